//! Creates.

use super::super::any::Stores;
use super::super::finding::{Outcome, demand, not_applicable};
use super::super::paging::exactly;
use super::subject::{BOTH, Made, OURS, Subject, THEIRS, Wish};
use super::unique::update;
use crate::error::{ErrorKind, StoreError};
use crate::model::{DeactivatedBy, Kind, Origin};
use crate::store::{Activation, Change, DeactivationMemory, StoreSelect, Write};
use crate::testing::directory::{ODD, odd_anchors};

const TWO: &str = "two records for one person: his access is given twice and taken back once (rules J4, M1)";

async fn reads_back(builder: Stores<'_>, kind: Kind) -> Outcome {
    let subject = Subject::fresh(builder).await?;
    for number in 1..=3 {
        let wish = subject.wish(kind, number);
        let made = subject.create(&wish).await?;
        let record = subject.get(kind, &made.id).await?;
        subject.fulfils(&record, &wish)?;
        demand(
            record.active,
            format!("a {kind} that was created active is active"),
            || "it is inactive".to_owned(),
            "who was given access has none (rule E1)",
        )?;
        demand(
            record.members.is_empty(),
            format!("a new {kind} has no members"),
            || format!("{} members", record.members.len()),
            "somebody gets access whom nobody gave it (rule E4)",
        )?;
    }
    Ok(())
}

// rules A1, M1
pub(super) async fn a_created_user_reads_back_as_written(builder: Stores<'_>) -> Outcome {
    reads_back(builder, Kind::User).await
}

// rules A1, M1
pub(super) async fn a_created_group_reads_back_as_written(builder: Stores<'_>) -> Outcome {
    reads_back(builder, Kind::Group).await
}

// rules A4, M2
pub(super) async fn odd_characters_come_back_unchanged(builder: Stores<'_>) -> Outcome {
    let subject = Subject::fresh(builder).await?;
    let mut any = false;
    for kind in BOTH {
        let Some(attribute) = subject.free(kind).into_iter().next() else { continue };
        for (number, odd) in ODD.iter().enumerate() {
            let wish = subject.wish(kind, number).with(&attribute, *odd);
            match subject.try_create(&wish).await? {
                Ok(written) => {
                    any = true;
                    let made = super::subject::made(written, kind)?;
                    subject.fulfils(&subject.get(kind, &made.id).await?, &wish)?;
                }
                Err(error) => {
                    let risk = "a name that nobody foresaw stops the person's synchronisation (rule S1)";
                    refuses_cleanly(&subject, &wish, &error, &format!("value `{odd}`"), risk).await?;
                }
            }
        }
    }
    let none = "the builder names no free attribute, or the store refuses all that is odd";
    if any { Ok(()) } else { Err(not_applicable(none)) }
}

/// A store may refuse what it cannot hold, if it then has nothing of it.
async fn refuses_cleanly(
    subject: &Subject<'_>,
    wish: &Wish,
    error: &StoreError,
    what: &str,
    risk: &str,
) -> Outcome {
    demand(
        error.kind() == ErrorKind::Invalid && subject.linked(&wish.link).await?.is_empty(),
        format!("{what} is kept, or refused as Invalid with nothing left behind"),
        || format!("{:?}: {error}", error.kind()),
        risk,
    )
}

// rules A4, S1
pub(super) async fn a_long_value_is_whole_or_refused(builder: Stores<'_>) -> Outcome {
    let subject = Subject::fresh(builder).await?;
    let mut any = false;
    for kind in BOTH {
        let Some(attribute) = subject.free(kind).into_iter().next() else { continue };
        any = true;
        // About the lengths at which columns end.
        for (number, length) in [63, 65, 257, 1_025, 5_000].into_iter().enumerate() {
            let wish = subject.wish(kind, number).with(&attribute, "x".repeat(length));
            let written = match subject.try_create(&wish).await? {
                Ok(written) => written,
                Err(error) => {
                    let risk = "a long name stops the person's synchronisation (rule S1)";
                    let what = format!("a value of {length} letters");
                    refuses_cleanly(&subject, &wish, &error, &what, risk).await?;
                    continue;
                }
            };
            let made = super::subject::made(written, kind)?;
            let held = subject.get(kind, &made.id).await?.values.remove(&attribute).unwrap_or_default();
            demand(
                held.iter().map(String::len).eq([length]),
                format!("{attribute} of {length} letters is kept whole, or refused as Invalid"),
                || format!("values of {:?} letters", held.iter().map(String::len).collect::<Vec<_>>()),
                "the engine writes it again on every run, and never comes to rest (rules A4, P4)",
            )?;
        }
    }
    if any { Ok(()) } else { Err(not_applicable("the builder names no free attribute")) }
}

// rules M1, M2
pub(super) async fn external_ids_are_kept_byte_for_byte(builder: Stores<'_>) -> Outcome {
    const MIXED: &str =
        "two people whose anchors look alike become one, or nobody is known again (rules M1, M2)";
    let subject = Subject::fresh(builder).await?;
    let mut made = Vec::new();
    for (number, anchor) in odd_anchors().iter().enumerate() {
        let wish = subject.wish(Kind::User, number).linked(OURS, anchor);
        match subject.try_create(&wish).await? {
            Ok(written) => made.push((super::subject::made(written, Kind::User)?.id, wish)),
            Err(error) => {
                let what = format!("external id `{}`, which no other record has byte for byte,", wish.link);
                refuses_cleanly(&subject, &wish, &error, &what, MIXED).await?;
            }
        }
    }
    if made.len() < 2 {
        return Err(not_applicable("the store refuses all external ids that are odd"));
    }
    for (id, wish) in &made {
        subject.fulfils(&subject.get(Kind::User, id).await?, wish)?;
        let found =
            subject.read(Kind::User, StoreSelect::ExternalIds(std::slice::from_ref(&wish.link))).await?;
        exactly(&format!("the user of external id `{}`", wish.link), &found, &[id.as_str()].into())?;
    }
    Ok(())
}

// rule A1
pub(super) async fn several_values_all_come_back(builder: Stores<'_>) -> Outcome {
    let subject = Subject::fresh(builder).await?;
    let mut any = false;
    for kind in BOTH {
        let many = subject.schemas(kind).filter(|(_, schema)| schema.multi_valued);
        let many: Vec<String> = many.map(|(name, _)| name.to_owned()).collect();
        for (number, attribute) in many.iter().enumerate() {
            any = true;
            let mut wish = subject.wish(kind, number);
            let values = (0..3).map(|place| builder.value(kind, attribute, 100 + number * 10 + place));
            wish.values.insert(attribute.clone(), values.collect());
            let made = subject.create(&wish).await?;
            subject.fulfils(&subject.get(kind, &made.id).await?, &wish)?;
        }
    }
    if any { Ok(()) } else { Err(not_applicable("the store declares no attribute with several values")) }
}

// rules A5, A7
pub(super) async fn a_user_created_inactive_is_inactive(builder: Stores<'_>) -> Outcome {
    let subject = Subject::fresh(builder).await?;
    if subject.can.activation == Activation::AlwaysActive {
        return Err(not_applicable("the store declares that every user is active"));
    }
    let wish = Wish { active: false, ..subject.wish(Kind::User, 1) };
    let made = subject.create(&wish).await?;
    let record = subject.get(Kind::User, &made.id).await?;
    demand(
        !record.active,
        "a user that was created inactive is inactive",
        || "it is active".to_owned(),
        "somebody whose account is disabled gets access (rule A5)",
    )?;
    demand(
        subject.can.deactivation == DeactivationMemory::Forgotten
            || record.deactivated_by == Some(DeactivatedBy::Sync),
        "who was created inactive was made so by the sync, where the store remembers that",
        || format!("{:?}", record.deactivated_by),
        "he is taken for locked by an administrator, and never made active (rule A7)",
    )
}

// rule J2
pub(super) async fn the_origin_is_kept_or_unknown(builder: Stores<'_>) -> Outcome {
    let subject = Subject::fresh(builder).await?;
    let risk = "a user who only signed in is deleted as one who left, or one who left is kept (rule J2)";
    let fits = |found: Option<Origin>, wanted: Origin| {
        let known = found.is_none_or(|found| found == wanted);
        let expected = format!("the origin is {wanted:?}, or not told");
        demand(known, expected, || format!("{found:?}"), risk)
    };
    let mut told = Vec::new();
    for (number, origin) in [Origin::Synced, Origin::Jit].into_iter().enumerate() {
        let wish = Wish { origin, ..subject.wish(Kind::User, number) };
        let Made { id, .. } = subject.create(&wish).await?;
        let found = subject.get(Kind::User, &id).await?.origin;
        fits(found, origin)?;
        told.push(found);
        if let Ok(free) = subject.one_free(Kind::User) {
            let changes = [Change { attribute: free, old: Vec::new(), new: vec!["new".to_owned()] }];
            subject.done("an update", update(Kind::User, &id, &changes)).await?;
            fits(subject.get(Kind::User, &id).await?.origin, origin)?;
        }
        let origin = Some(Origin::Synced);
        let write = Write::UpdateUser { id: &id, version: None, changes: &[], origin };
        subject.done("an update of the origin alone", write).await?;
        fits(subject.get(Kind::User, &id).await?.origin, Origin::Synced)?;
    }
    if told.iter().all(Option::is_none) {
        return Err(not_applicable("the store does not tell origins"));
    }
    Ok(())
}

// rules J4, X2
pub(super) async fn a_second_create_for_one_external_id_is_refused(builder: Stores<'_>) -> Outcome {
    let subject = Subject::fresh(builder).await?;
    for kind in BOTH {
        let first = subject.wish(kind, 1);
        let made = subject.create(&first).await?;
        let before = subject.everything().await?;
        // Another name: only the link can be what is in the way. And the same again, as after a lost answer.
        let other = subject.wish(kind, 2).linked(first.link.issuer.as_str(), first.link.value.as_str());
        for again in [&other, &first] {
            let what = format!("a second create of a {kind} for one external id");
            let table = again.table();
            subject.refuses(&what, again.write(table.row(0)), ErrorKind::AlreadyExists, TWO).await?;
        }
        let found = subject.linked(&first.link).await?;
        demand(
            found.len() == 1 && found.iter().all(|record| record.id == made.id.as_str()),
            "one record carries the external id",
            || format!("{} do", found.len()),
            TWO,
        )?;
        demand(
            subject.everything().await? == before,
            "a refused create changes nothing",
            || "something is different".to_owned(),
            "what failed has happened, and nobody is told (rule X1)",
        )?;
    }
    Ok(())
}

// rules M3, M7
pub(super) async fn a_create_takes_over_no_record_of_somebody_else(builder: Stores<'_>) -> Outcome {
    let subject = Subject::fresh(builder).await?;
    let mut any = false;
    for kind in BOTH {
        let Some((attribute, _)) = subject.unique(kind).into_iter().next() else { continue };
        any = true;
        let id = subject.put_unmanaged(&subject.wish(kind, 1)).await?;
        let before = subject.get(kind, &id).await?;
        let name = builder.value(kind, &attribute, 1);
        let ours = subject.wish(kind, 2).with(&attribute, name.as_str());
        let (what, table) =
            (format!("creating a {kind} with the {attribute} of somebody else's"), ours.table());
        let risk = "a record that somebody else made becomes ours, and is changed and deleted as ours (rules M3, M7)";
        subject.refuses(&what, ours.write(table.row(0)), ErrorKind::AlreadyExists, risk).await?;
        let after = subject.get(kind, &id).await?;
        demand(before == after, "his record stays as it was", || after.since(&before), risk)?;
        let linked = subject.linked(&ours.link).await?;
        demand(
            linked.is_empty(),
            "no record carries the external id of a create that was refused",
            || format!("record `{}` does", linked.first().map_or("", |record| &record.id)),
            risk,
        )?;
    }
    if any { Ok(()) } else { Err(not_applicable("the store declares no unique attribute")) }
}

// rules J4, M5
pub(super) async fn a_user_and_a_group_share_no_external_id(builder: Stores<'_>) -> Outcome {
    let subject = Subject::fresh(builder).await?;
    let user = subject.wish(Kind::User, 1);
    subject.create(&user).await?;
    let group = subject.wish(Kind::Group, 2).linked(user.link.issuer.as_str(), user.link.value.as_str());
    let risk = "one anchor is a user and a group at once: nothing is granted to either (rule M5)";
    let (what, table) = ("creating a group for the external id of a user", group.table());
    subject.refuses(what, group.write(table.row(0)), ErrorKind::AlreadyExists, risk).await
}

// rule M7
pub(super) async fn one_anchor_of_two_issuers_is_two_records(builder: Stores<'_>) -> Outcome {
    let subject = Subject::fresh(builder).await?;
    for kind in BOTH {
        let ours = subject.wish(kind, 1);
        let theirs = subject.wish(kind, 2).linked(THEIRS, ours.link.value.as_str());
        for wish in [&ours, &theirs] {
            let made = subject.create(wish).await?;
            subject.fulfils(&subject.get(kind, &made.id).await?, wish)?;
        }
    }
    Ok(())
}

// rule A3
pub(super) async fn a_create_without_a_required_value_is_refused(builder: Stores<'_>) -> Outcome {
    let subject = Subject::fresh(builder).await?;
    let mut any = false;
    for kind in BOTH {
        let required = subject.schemas(kind).filter(|(_, schema)| schema.required);
        let required: Vec<String> = required.map(|(name, _)| name.to_owned()).collect();
        for attribute in required {
            any = true;
            let mut wish = subject.wish(kind, 1);
            wish.values.remove(&attribute);
            let (what, table) = (format!("creating a {kind} without {attribute}"), wish.table());
            let risk = "a record without a name that it must have (rule A3)";
            subject.refuses(&what, wish.write(table.row(0)), ErrorKind::Invalid, risk).await?;
            let left = subject.read(kind, StoreSelect::All).await?;
            demand(
                left.is_empty(),
                "a refused create leaves no record",
                || format!("{} left", left.len()),
                risk,
            )?;
        }
    }
    if any { Ok(()) } else { Err(not_applicable("the store declares no required attribute")) }
}
