//! The values of users and groups.

use std::collections::{BTreeMap, BTreeSet};

use super::super::super::directory::Directory;
use super::super::finding::{Outcome, demand, not_applicable, some};
use super::{Bench, filled, group, groups, user, users};
use crate::source::Select;
use crate::testing::directory::ODD;

/// Every value that the object has, and no other in the same attribute. What the source gives besides is its own affair.
pub(super) fn same_values(
    anchor: &str,
    expected: &BTreeMap<String, Vec<String>>,
    found: &BTreeMap<String, Vec<String>>,
) -> Outcome {
    for (name, values) in expected {
        let wanted: BTreeSet<&String> = values.iter().collect();
        let held = found.get(name).into_iter().flatten().collect::<BTreeSet<_>>();
        demand(
            wanted == held,
            format!("attribute {name} of `{anchor}` has the values {}", some(&wanted)),
            || format!("it has {}", some(&held)),
            "names are written that nobody chose, and names that differ become one (rules A1, M2)",
        )?;
    }
    Ok(())
}

// rules A1, M2
pub(super) async fn attributes_come_back_unchanged(bench: &Bench<'_>) -> Outcome {
    let (words, mut directory) = (&bench.words, Directory::new());
    if words.user_values.is_empty() && words.group_values.is_empty() {
        return Err(not_applicable("the vocabulary names no attribute"));
    }
    let values = |names: &[String], odd: &str| -> BTreeMap<String, Vec<String>> {
        // Not all alike: a source that mixes columns up is found out, too.
        names.iter().map(|name| (name.clone(), vec![format!("{odd} {name}")])).collect()
    };
    for (number, odd) in ODD.iter().enumerate() {
        directory.add_user(bench.anchor(1 + number), values(&words.user_values, odd));
        directory.add_group(bench.anchor(101 + number), values(&words.group_values, odd), Vec::new());
    }
    let source = bench.holding(&directory).await?;
    let seen = users(&source, Select::All).await?;
    for expected in &directory.users {
        same_values(&expected.anchor, &expected.attributes, &user(&seen, &expected.anchor)?.attributes)?;
    }
    let seen = groups(&source, Select::All).await?;
    for expected in &directory.groups {
        same_values(&expected.anchor, &expected.attributes, &group(&seen, &expected.anchor)?.attributes)?;
    }
    Ok(())
}

// rule A2
pub(super) async fn a_missing_attribute_stays_missing(bench: &Bench<'_>) -> Outcome {
    let [_, optional @ ..] = bench.words.user_values.as_slice() else {
        return Err(not_applicable("the vocabulary names no attribute of a user"));
    };
    if optional.is_empty() {
        return Err(not_applicable("the vocabulary names but one attribute of a user"));
    }
    let mut directory = bench.people(20, 0);
    // Every second one lacks them: whoever fills a buffer and does not empty it hands on his neighbour's.
    for user in directory.users.iter_mut().step_by(2) {
        user.attributes.retain(|name, _| !optional.contains(name));
    }
    let source = bench.holding(&directory).await?;
    let seen = users(&source, Select::All).await?;
    for expected in &directory.users {
        let found = user(&seen, &expected.anchor)?;
        let strange = filled(&found.attributes).filter(|(name, values)| {
            optional.contains(name) && !values.is_empty() && !expected.attributes.contains_key(*name)
        });
        let strange: Vec<String> =
            strange.map(|(name, values)| format!("{name}: {}", some(values))).collect();
        demand(
            strange.is_empty(),
            format!("an attribute that user `{}` does not have has no value", expected.anchor),
            || strange.join("; "),
            "one person gets the values of another (rules A1, A2)",
        )?;
        let unreadable: Vec<&String> =
            found.unreadable.iter().filter(|name| optional.contains(name)).collect();
        demand(
            unreadable.is_empty(),
            format!("an attribute that user `{}` does not have is readable and empty", expected.anchor),
            || format!("unreadable: {}", some(&unreadable)),
            "a value that was taken away stays in the store for ever (rule A2)",
        )?;
    }
    Ok(())
}

// rule A1
pub(super) async fn several_values_all_come_back(bench: &Bench<'_>) -> Outcome {
    let words = &bench.words;
    if words.user_lists.is_empty() && words.group_lists.is_empty() {
        return Err(not_applicable("the vocabulary names no attribute with several values"));
    }
    let mut directory = bench.people(6, 6);
    let lists = |names: &[String], number: usize| -> Vec<(String, Vec<String>)> {
        let values =
            |name: &String| (0..number % 6).map(|place| format!("{name}-{number}-{place}")).collect();
        names
            .iter()
            .map(|name| (name.clone(), values(name)))
            .filter(|(_, v): &(_, Vec<_>)| !v.is_empty())
            .collect()
    };
    for (number, user) in directory.users.iter_mut().enumerate() {
        user.attributes.extend(lists(&words.user_lists, number));
    }
    for (number, group) in directory.groups.iter_mut().enumerate() {
        group.attributes.extend(lists(&words.group_lists, number));
    }
    let source = bench.holding(&directory).await?;
    let seen = users(&source, Select::All).await?;
    for expected in &directory.users {
        same_values(&expected.anchor, &expected.attributes, &user(&seen, &expected.anchor)?.attributes)?;
    }
    let seen = groups(&source, Select::All).await?;
    for expected in &directory.groups {
        same_values(&expected.anchor, &expected.attributes, &group(&seen, &expected.anchor)?.attributes)?;
    }
    Ok(())
}
