//! Reading by anchor.

use std::collections::{BTreeMap, BTreeSet};

use super::super::finding::{Finding, Outcome, demand, not_applicable, some};
use super::super::paging::exactly;
use super::{Bench, anchors, group, group_anchors, groups, lists, user, user_anchors, users};
use crate::model::AccountState;
use crate::source::{DirectorySource, Select};

/// More than this is not asked for, whatever is declared: a check should end.
const MOST: usize = 20_000;

/// Most anchors in one read.
fn most<S: DirectorySource>(source: &S) -> Result<usize, Finding> {
    match source.capabilities().select {
        Some(most) => Ok(most.get()),
        None => Err(not_applicable("the source declares that it is only read whole")),
    }
}

// rules C1, C2
pub(super) async fn a_selection_gives_all_that_it_names_and_nothing_else(bench: &Bench<'_>) -> Outcome {
    let directory = bench.people(40, 40);
    let source = bench.holding(&directory).await?;
    let most = most(&source)?;
    let (all_users, all_groups) = (user_anchors(&directory), group_anchors(&directory));
    for step in [1, 2, 7] {
        let some: BTreeSet<&str> = all_users.iter().copied().step_by(step).take(most).collect();
        let wanted = anchors(some.iter().copied());
        exactly("the users of some anchors", &users(&source, Select::Anchors(&wanted)).await?, &some)?;
        let some: BTreeSet<&str> = all_groups.iter().copied().skip(1).step_by(step).take(most).collect();
        let wanted = anchors(some.iter().copied());
        exactly("the groups of some anchors", &groups(&source, Select::Anchors(&wanted)).await?, &some)?;
    }
    Ok(())
}

// rules C1, C3
pub(super) async fn unknown_anchors_select_nothing(bench: &Bench<'_>) -> Outcome {
    let directory = bench.company();
    let source = bench.holding(&directory).await?;
    let most = most(&source)?;
    let unknown: Vec<String> = (9_001..9_006).map(|number| bench.anchor(number)).collect();
    let wanted = anchors(unknown.iter().map(String::as_str).take(most));
    for wanted in [wanted.as_slice(), &[]] {
        let seen = users(&source, Select::Anchors(wanted)).await?;
        exactly("the users of anchors that are not there", &seen, &Default::default())?;
        let seen = groups(&source, Select::Anchors(wanted)).await?;
        exactly("the groups of anchors that are not there", &seen, &Default::default())?;
    }
    if most < 2 {
        return Ok(());
    }
    // One who is there does not go down with one who is not.
    let known = bench.anchor(1);
    let both = anchors([known.as_str()].into_iter().chain(unknown.iter().map(String::as_str).take(1)));
    let seen = users(&source, Select::Anchors(&both)).await?;
    exactly("the users of two anchors, one unknown", &seen, &[known.as_str()].into())
}

// rule X5
pub(super) async fn the_largest_selection_is_served(bench: &Bench<'_>) -> Outcome {
    let directory = bench.people(bench.builder.many(), 0);
    let source = bench.holding(&directory).await?;
    let most = most(&source)?.min(MOST);
    let there = user_anchors(&directory);
    let there: BTreeSet<&str> = there.into_iter().take(most).collect();
    let unknown: Vec<String> = (there.len()..most).map(|number| bench.anchor(1_000_000 + number)).collect();
    let wanted = anchors(there.iter().copied().chain(unknown.iter().map(String::as_str)));
    let seen = users(&source, Select::Anchors(&wanted)).await?;
    exactly("the users of as many anchors as are allowed at once", &seen, &there)
}

// rule C2
pub(super) async fn a_selected_group_has_its_whole_list(bench: &Bench<'_>) -> Outcome {
    let directory = bench.company();
    let source = bench.holding(&directory).await?;
    most(&source)?;
    for expected in &directory.groups {
        // None of its members is asked for: the list is the group's own.
        let wanted = anchors([expected.anchor.as_str()]);
        let seen = groups(&source, Select::Anchors(&wanted)).await?;
        lists::same_members(expected, group(&seen, &expected.anchor)?)?;
    }
    Ok(())
}

// rules A1, A5
pub(super) async fn a_selected_object_is_read_as_in_the_whole_read(bench: &Bench<'_>) -> Outcome {
    let mut directory = bench.company();
    directory.users.iter_mut().step_by(3).for_each(|user| user.state = AccountState::Disabled);
    let source = bench.holding(&directory).await?;
    let most = most(&source)?;
    let risk =
        "the engine reads by anchor where it can: values are cleared, or a lock is not seen (rules A1, A5)";
    let wanted: Vec<&str> = user_anchors(&directory).into_iter().take(most).collect();
    let whole = users(&source, Select::All).await?;
    for found in users(&source, Select::Anchors(&anchors(wanted))).await? {
        let listed = user(&whole, &found.anchor)?;
        let expected = format!("user `{}`, asked for, reads as it does among all", found.anchor);
        demand(
            found.state == listed.state && found.unreadable == listed.unreadable,
            expected.as_str(),
            || format!("{:?} in place of {:?}, unreadable {:?}", found.state, listed.state, found.unreadable),
            risk,
        )?;
        same_attributes(&expected, &listed.attributes, &found.attributes, risk)?;
    }
    let wanted: Vec<&str> = group_anchors(&directory).into_iter().take(most).collect();
    let whole = groups(&source, Select::All).await?;
    for found in groups(&source, Select::Anchors(&anchors(wanted))).await? {
        let listed = group(&whole, &found.anchor)?;
        let expected = format!("group `{}`, asked for, reads as it does among all", found.anchor);
        same_attributes(&expected, &listed.attributes, &found.attributes, risk)?;
    }
    Ok(())
}

/// The same values in whatever order; an attribute that is empty is as good as one that is not there (rule A4).
fn same_attributes(
    expected: &str,
    listed: &BTreeMap<String, Vec<String>>,
    found: &BTreeMap<String, Vec<String>>,
    risk: &str,
) -> Outcome {
    let names: BTreeSet<&String> = listed.keys().chain(found.keys()).collect();
    for name in names {
        let set = |all: &BTreeMap<String, Vec<String>>| -> BTreeSet<String> {
            all.get(name).into_iter().flatten().filter(|value| !value.is_empty()).cloned().collect()
        };
        let (was, now) = (set(listed), set(found));
        demand(was == now, expected, || format!("{name}: {} in place of {}", some(&now), some(&was)), risk)?;
    }
    Ok(())
}

// rule M5
pub(super) async fn users_and_groups_are_selected_apart(bench: &Bench<'_>) -> Outcome {
    let directory = bench.people(3, 3);
    let source = bench.holding(&directory).await?;
    if most(&source)? < 6 {
        return Err(not_applicable("fewer than six anchors may be asked for at once"));
    }
    let (all_users, all_groups) = (user_anchors(&directory), group_anchors(&directory));
    let wanted = anchors(all_users.iter().chain(&all_groups).copied());
    exactly(
        "the users among users and groups",
        &users(&source, Select::Anchors(&wanted)).await?,
        &all_users,
    )?;
    exactly(
        "the groups among users and groups",
        &groups(&source, Select::Anchors(&wanted)).await?,
        &all_groups,
    )
}
