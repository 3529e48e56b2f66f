//! Member lists.

use std::collections::BTreeSet;

use super::super::super::directory::{Directory, DirectoryGroup, DirectoryMember};
use super::super::finding::{Outcome, demand, not_applicable, some};
use super::rows::GroupSeen;
use super::{Bench, group, groups};
use crate::model::{Kind, MemberKind};
use crate::source::{DirectorySource, Select};

const LOST: &str = "who is missing from a whole list loses his access (rules C2, E4)";

/// The list is closed, and it is this one.
pub(super) fn same_members(expected: &DirectoryGroup, found: &GroupSeen) -> Outcome {
    closed(found)?;
    let wanted: BTreeSet<&str> = expected.members.iter().map(DirectoryMember::text).collect();
    let held: BTreeSet<&str> = found.members.iter().map(|(anchor, _)| anchor.as_str()).collect();
    let missing: Vec<&&str> = wanted.difference(&held).collect();
    demand(
        missing.is_empty(),
        format!("the list of group `{}` has all its {} members", found.anchor, wanted.len()),
        || format!("{} are missing: {}", missing.len(), some(&missing)),
        LOST,
    )?;
    let strange: Vec<&&str> = held.difference(&wanted).collect();
    demand(
        strange.is_empty() && found.unresolved.is_empty(),
        format!("the list of group `{}` has nobody but its {} direct members", found.anchor, wanted.len()),
        || {
            let unresolved = found.unresolved.iter().map(|(text, _)| text);
            format!("it also has {}, and entries without an anchor: {}", some(&strange), some(unresolved))
        },
        "somebody gets access whom nobody put into the group (rules E1, E4)",
    )
}

fn closed(found: &GroupSeen) -> Outcome {
    demand(
        found.is_whole(),
        format!("the list of group `{}` is declared complete: all of it can be read", found.anchor),
        || format!("it ends {:?}", found.list),
        "a list that nobody calls complete removes nobody: who leaves the group keeps his access (rule C2)",
    )
}

async fn all_lists<S: DirectorySource>(source: &S, directory: &Directory) -> Outcome {
    let seen = groups(source, Select::All).await?;
    for expected in &directory.groups {
        same_members(expected, group(&seen, &expected.anchor)?)?;
    }
    Ok(())
}

// rules C1, C2
pub(super) async fn member_lists_are_whole_and_closed(bench: &Bench<'_>) -> Outcome {
    let mut directory = bench.people(30, 0);
    for number in 0..10 {
        let members = (0..=number * 2).map(|place| bench.object(1 + (number + place) % 30)).collect();
        directory.add_group(bench.anchor(101 + number), bench.words.group(101 + number), members);
    }
    all_lists(&bench.holding(&directory).await?, &directory).await
}

// rule E3
pub(super) async fn an_empty_group_has_a_whole_list(bench: &Bench<'_>) -> Outcome {
    let mut directory = bench.people(3, 3);
    if let Some(group) = directory.groups.get_mut(1) {
        group.members.push(bench.object(1));
    }
    all_lists(&bench.holding(&directory).await?, &directory).await
}

// rule C2
pub(super) async fn a_long_member_list_is_whole(bench: &Bench<'_>) -> Outcome {
    let long = bench.builder.long_list();
    let mut directory = bench.people(long, 0);
    let members = (1..=long).map(|number| bench.object(number)).collect();
    // One before it and one after it: what goes on over pages must not run into its neighbours.
    directory.add_group(bench.anchor(long + 1), bench.words.group(1), vec![bench.object(1)]);
    directory.add_group(bench.anchor(long + 2), bench.words.group(2), members);
    directory.add_group(bench.anchor(long + 3), bench.words.group(3), vec![bench.object(2)]);
    all_lists(&bench.holding(&directory).await?, &directory).await
}

// rule E4
pub(super) async fn nested_groups_are_given_as_members(bench: &Bench<'_>) -> Outcome {
    nesting(bench)?;
    let directory = bench.company();
    all_lists(&bench.holding(&directory).await?, &directory).await
}

fn nesting(bench: &Bench<'_>) -> Outcome {
    match bench.words.nesting {
        true => Ok(()),
        false => Err(not_applicable("the vocabulary says that groups are not nested")),
    }
}

// rule E5
pub(super) async fn cycles_of_groups_are_given_as_they_are(bench: &Bench<'_>) -> Outcome {
    nesting(bench)?;
    let mut directory = bench.people(3, 0);
    for (number, below) in [(101, 102), (102, 103), (103, 101), (104, 104)] {
        let members = vec![bench.object(below), bench.object(number % 3 + 1)];
        directory.add_group(bench.anchor(number), bench.words.group(number), members);
    }
    all_lists(&bench.holding(&directory).await?, &directory).await
}

// rule E9
pub(super) async fn member_kinds_are_true_or_unknown(bench: &Bench<'_>) -> Outcome {
    let directory = bench.company();
    let source = bench.holding(&directory).await?;
    for found in groups(&source, Select::All).await? {
        for (anchor, kind) in &found.members {
            let fits = match directory.kind_of(anchor) {
                Some(Kind::User) => matches!(kind, MemberKind::User | MemberKind::Unknown),
                Some(Kind::Group) => matches!(kind, MemberKind::Group | MemberKind::Unknown),
                // Who has no business in the list is another check's.
                None => true,
            };
            demand(
                fits,
                format!("member `{anchor}` of `{}` is what it is, or unknown", found.anchor),
                || format!("it is called {kind:?}"),
                "a group that passes for a user, or for nobody, takes the access of all below it away (rule E9)",
            )?;
        }
    }
    Ok(())
}

// rule E9
pub(super) async fn a_member_who_is_not_there_is_not_dropped(bench: &Bench<'_>) -> Outcome {
    stranger(bench, DirectoryMember::Dangling).await
}

// rule E9
pub(super) async fn a_foreign_member_is_not_dropped(bench: &Bench<'_>) -> Outcome {
    stranger(bench, DirectoryMember::Foreign).await
}

/// Somebody who cannot be read stands in the list, or the list is not whole; and nobody says that he is no principal.
async fn stranger(bench: &Bench<'_>, member: fn(String) -> DirectoryMember) -> Outcome {
    let mut directory = bench.company();
    if let Some(group) = directory.groups.first_mut() {
        group.members.push(member(bench.anchor(999)));
    }
    let source = bench.holding(&directory).await?;
    let seen = groups(&source, Select::All).await?;
    for expected in directory.groups.iter().take(1) {
        let found = group(&seen, &expected.anchor)?;
        let given = found.members.len() + found.unresolved.len();
        demand(
            given >= expected.members.len() || !found.is_whole(),
            format!("the {} entries of group `{}` are all given", expected.members.len(), found.anchor),
            || format!("{given} are given, and the list is called complete"),
            "an entry that leads nowhere may be a group that could not be read: whoever is below it loses access (rule E9)",
        )?;
        let known: BTreeSet<&str> = directory
            .users
            .iter()
            .map(|user| user.anchor.as_str())
            .chain(super::group_anchors(&directory))
            .collect();
        let strangers = found.members.iter().filter(|(anchor, _)| !known.contains(anchor.as_str()));
        for (text, kind) in strangers.chain(&found.unresolved) {
            demand(
                matches!(kind, MemberKind::Foreign | MemberKind::Unknown),
                format!("entry `{text}`, whose object cannot be read, is foreign or unknown"),
                || format!("it is called {kind:?}"),
                "who passes for no principal counts for nothing, and loses what he had (rule E9)",
            )?;
        }
    }
    Ok(())
}
