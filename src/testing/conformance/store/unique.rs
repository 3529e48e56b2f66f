//! Unique values (rules M2, M6).

use super::super::any::Stores;
use super::super::finding::{Finding, Outcome, demand, not_applicable, wrong};
use super::subject::{BOTH, Made, Subject, made};
use crate::error::{ErrorKind, StoreError};
use crate::id::{MatchRule, StoreId};
use crate::model::Kind;
use crate::store::{Change, Write};

const TWO_NAMES: &str = "two records of one name: one person signs in as the other (rules M2, M6)";

/// Two spellings, and whether they are one name by the rule.
pub(super) struct Pair {
    pub(super) held: String,
    pub(super) asked: String,
    pub(super) same: bool,
    /// A number that no other pair has.
    pub(super) number: usize,
}

/// Spellings that show which rule a store really follows.
pub(super) fn pairs(builder: Stores<'_>, kind: Kind, attribute: &str, rule: MatchRule) -> Vec<Pair> {
    let base = |number: usize| builder.value(kind, attribute, number);
    let upper = |number: usize| base(number).to_ascii_uppercase();
    let plain = (base(20), upper(20), rule != MatchRule::Exact);
    let mut spellings = vec![plain];
    match rule {
        MatchRule::Exact => {}
        MatchRule::AsciiCaseFold => {
            spellings.push((format!("é{}", base(21)), format!("É{}", base(21)), false));
        }
        MatchRule::NfkcCasefold => {
            spellings.push((base(21), full_width(&base(21)), true));
            spellings.push((format!("straße{}", base(22)), format!("STRASSE{}", upper(22)), true));
            spellings.push((format!("e\u{301}{}", base(23)), format!("É{}", base(23)), true));
            spellings.push((format!("mıke{}", base(24)), format!("mike{}", base(24)), false));
        }
    }
    let numbered = spellings.into_iter().zip(20..);
    numbered.map(|((held, asked, same), number)| Pair { held, asked, same, number }).collect()
}

/// Letters as East Asian keyboards write them.
fn full_width(text: &str) -> String {
    let wide = |c: char| match c {
        'a'..='z' => char::from_u32(u32::from(c) + 0xfee0).unwrap_or(c),
        other => other,
    };
    text.chars().map(wide).collect()
}

/// Every unique attribute of the store.
fn attributes(subject: &Subject<'_>) -> Result<Vec<(Kind, String, MatchRule)>, Finding> {
    let of = |kind| subject.unique(kind).into_iter().map(move |(name, schema)| (kind, name, schema.matching));
    let all: Vec<_> = BOTH.into_iter().flat_map(of).collect();
    if all.is_empty() { Err(not_applicable("the store declares no unique attribute")) } else { Ok(all) }
}

fn change(attribute: &str, new: impl Into<String>) -> Change {
    Change { attribute: attribute.to_owned(), old: Vec::new(), new: vec![new.into()] }
}

pub(super) fn update<'w>(kind: Kind, id: &'w StoreId, changes: &'w [Change]) -> Write<'w> {
    match kind {
        Kind::User => Write::UpdateUser { id, version: None, changes, origin: None },
        Kind::Group => Write::UpdateGroup { id, version: None, changes },
    }
}

// rules M6, X2
pub(super) async fn a_taken_unique_value_is_refused(builder: Stores<'_>) -> Outcome {
    for (kind, attribute, _) in attributes(&Subject::fresh(builder).await?)? {
        let subject = Subject::fresh(builder).await?;
        let first = subject.wish(kind, 1);
        subject.create(&first).await?;
        let taken = builder.value(kind, &attribute, 1);
        let second = subject.wish(kind, 2).with(&attribute, taken.as_str());
        let what = format!("creating a {kind} with a taken {attribute}");
        let table = second.table();
        subject.refuses(&what, second.write(table.row(0)), ErrorKind::AlreadyExists, TWO_NAMES).await?;
        let Made { id, .. } = subject.create(&subject.wish(kind, 3)).await?;
        let before = subject.get(kind, &id).await?;
        let what = format!("giving a {kind} a taken {attribute}");
        let changes = [change(&attribute, taken)];
        subject.refuses(&what, update(kind, &id, &changes), ErrorKind::AlreadyExists, TWO_NAMES).await?;
        demand(
            subject.get(kind, &id).await? == before,
            "a refused update changes nothing",
            || "the record is different".to_owned(),
            TWO_NAMES,
        )?;
    }
    Ok(())
}

/// Creates both of a pair; `Ok(None)` where the store does not take the first at all.
async fn side_by_side(
    subject: &Subject<'_>,
    kind: Kind,
    attribute: &str,
    pair: &Pair,
) -> Result<Option<Result<(), ErrorKind>>, Finding> {
    let held = subject.wish(kind, pair.number).with(attribute, pair.held.as_str());
    if subject.try_create(&held).await?.is_err() {
        return Ok(None);
    }
    let asked = subject.wish(kind, pair.number + 50).with(attribute, pair.asked.as_str());
    Ok(Some(subject.try_create(&asked).await?.map(|_| ()).map_err(|error| error.kind())))
}

// rule M2
pub(super) async fn unique_values_are_compared_by_the_declared_rule(builder: Stores<'_>) -> Outcome {
    let mut any = false;
    for (kind, attribute, rule) in attributes(&Subject::fresh(builder).await?)? {
        let subject = Subject::fresh(builder).await?;
        for pair in pairs(builder, kind, &attribute, rule).iter().filter(|pair| pair.same) {
            let Some(answer) = side_by_side(&subject, kind, &attribute, pair).await? else { continue };
            any = true;
            // A store may also refuse a spelling as such.
            let refused = matches!(answer, Err(ErrorKind::AlreadyExists | ErrorKind::Invalid));
            demand(
                refused,
                format!(
                    "with {attribute} `{}` taken, `{}` is, too: by rule {rule:?} they are one name",
                    pair.held, pair.asked
                ),
                || format!("{answer:?}"),
                TWO_NAMES,
            )?;
        }
    }
    if any { Ok(()) } else { Err(not_applicable("by the declared rules no two spellings are one name")) }
}

// rule M2
pub(super) async fn values_that_differ_by_the_declared_rule_stand_side_by_side(
    builder: Stores<'_>,
) -> Outcome {
    let mut any = false;
    for (kind, attribute, rule) in attributes(&Subject::fresh(builder).await?)? {
        let subject = Subject::fresh(builder).await?;
        for pair in pairs(builder, kind, &attribute, rule).iter().filter(|pair| !pair.same) {
            let Some(answer) = side_by_side(&subject, kind, &attribute, pair).await? else { continue };
            any = true;
            if answer == Err(ErrorKind::AlreadyExists) {
                return Err(wrong(
                    format!(
                        "{attribute} `{}` and `{}` are two names by rule {rule:?}, which the store declares",
                        pair.held, pair.asked
                    ),
                    "the second is answered AlreadyExists",
                    "the plan holds a create that fails on every run (rules M6, P4): declare a wider rule",
                ));
            }
        }
    }
    if any { Ok(()) } else { Err(not_applicable("the store takes none of the spellings that would show it")) }
}

fn told(error: &StoreError) -> String {
    format!("it is answered {:?}: {error}", error.kind())
}

// rules M4, P6
pub(super) async fn a_freed_unique_value_can_be_taken(builder: Stores<'_>) -> Outcome {
    let stuck = "who gets a leaver's login is never created (rules M4, P6)";
    for (kind, attribute, _) in attributes(&Subject::fresh(builder).await?)? {
        let subject = Subject::fresh(builder).await?;
        let Made { id, .. } = subject.create(&subject.wish(kind, 1)).await?;
        let value = builder.value(kind, &attribute, 1);
        let renamed = [change(&attribute, builder.value(kind, &attribute, 2))];
        subject.done("a rename", update(kind, &id, &renamed)).await?;
        let taker = subject.wish(kind, 3).with(&attribute, value.as_str());
        let taken = subject.try_create(&taker).await?;
        let expected = format!("{attribute} of a {kind} that was renamed can be taken");
        let taker = made(taken.map_err(|error| wrong(expected, told(&error), stuck))?, kind)?;
        let delete = match kind {
            Kind::User => Write::DeleteUser { id: &taker.id, version: None },
            Kind::Group => Write::DeleteGroup { id: &taker.id, version: None },
        };
        subject.done("a delete", delete).await?;
        let next = subject.wish(kind, 4).with(&attribute, value.as_str());
        let expected = format!("{attribute} of a {kind} that was deleted can be taken");
        subject.try_create(&next).await?.map_err(|error| wrong(expected, told(&error), stuck))?;
    }
    Ok(())
}

// rules A4, M6
pub(super) async fn a_record_may_respell_its_own_unique_value(builder: Stores<'_>) -> Outcome {
    for (kind, attribute, rule) in attributes(&Subject::fresh(builder).await?)? {
        let subject = Subject::fresh(builder).await?;
        let Made { id, .. } = subject.create(&subject.wish(kind, 1)).await?;
        let value = builder.value(kind, &attribute, 1);
        for spelling in [value.clone(), value.to_ascii_uppercase()] {
            let answer = subject.write(update(kind, &id, &[change(&attribute, spelling.as_str())])).await?;
            if let Err(error) = answer {
                return Err(wrong(
                    format!("a {kind} may have its own {attribute} again, spelled `{spelling}`"),
                    format!("{:?}: {error}", error.kind()),
                    "a name whose spelling was put right stays as it was, and fails on every run (rule P4)",
                ));
            }
            let held = subject.get(kind, &id).await?.values.remove(&attribute).unwrap_or_default();
            demand(
                held.len() == 1 && held.iter().all(|held| rule.key(held) == rule.key(&spelling)),
                format!("the {kind} has its {attribute} once, as `{spelling}`"),
                || format!("{held:?}"),
                TWO_NAMES,
            )?;
        }
    }
    Ok(())
}

// rule M6
pub(super) async fn a_user_and_a_group_may_have_one_name(builder: Stores<'_>) -> Outcome {
    let subject = Subject::fresh(builder).await?;
    let (users, groups) = (subject.unique(Kind::User), subject.unique(Kind::Group));
    let (Some((of_user, _)), Some((of_group, _))) = (users.first(), groups.first()) else {
        return Err(not_applicable("the store declares no unique attribute for users and groups both"));
    };
    subject.create(&subject.wish(Kind::User, 1)).await?;
    let name = builder.value(Kind::User, of_user, 1);
    let group = subject.wish(Kind::Group, 1).with(of_group, name.as_str());
    match subject.try_create(&group).await? {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(wrong(
            format!("{of_group} `{name}` of a group is free, though a user has it: unique is by kind"),
            told(&error),
            "a team that is called like a person is never created (rules M6, P4)",
        )),
        _ => Ok(()),
    }
}
