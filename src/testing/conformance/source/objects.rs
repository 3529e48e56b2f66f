//! Which objects there are, and who they are.

use std::collections::BTreeSet;

use super::super::super::directory::{AnchorForm, Directory};
use super::super::finding::{Outcome, demand, not_applicable, some, wrong};
use super::super::paging::{exactly, walk};
use super::{Bench, Groups, Users, attributes, group_anchors, groups, lists, user, user_anchors, users};
use crate::model::{AccountState, Kind};
use crate::source::{DirectorySource, Select};
use crate::testing::directory::odd_anchors;

// rules C1, C4
pub(super) async fn an_empty_directory_reads_as_complete_and_empty(bench: &Bench<'_>) -> Outcome {
    let source = bench.holding(&Directory::new()).await?;
    exactly("the users", &users(&source, Select::All).await?, &Default::default())?;
    exactly("the groups", &groups(&source, Select::All).await?, &Default::default())
}

// rule C1
pub(super) async fn every_user_is_read_exactly_once(bench: &Bench<'_>) -> Outcome {
    let directory = bench.people(bench.builder.many(), 1);
    let source = bench.holding(&directory).await?;
    exactly("the users", &users(&source, Select::All).await?, &user_anchors(&directory))
}

// rule C1
pub(super) async fn every_group_is_read_exactly_once(bench: &Bench<'_>) -> Outcome {
    let mut directory = bench.people(1, bench.builder.many());
    // One has a member, so that an export shows the attribute at all.
    if let Some(group) = directory.groups.first_mut() {
        group.members.push(bench.object(1));
    }
    let source = bench.holding(&directory).await?;
    exactly("the groups", &groups(&source, Select::All).await?, &group_anchors(&directory))
}

// rule M2
pub(super) async fn anchors_come_back_byte_for_byte(bench: &Bench<'_>) -> Outcome {
    if bench.words.anchors != AnchorForm::Text {
        return Err(not_applicable("anchors are UUIDs here"));
    }
    let mut directory = Directory::new();
    let odd = odd_anchors();
    let half = odd.len() / 2;
    for (number, anchor) in odd.iter().enumerate() {
        if number < half {
            directory.add_user(anchor, bench.words.user(number));
        } else {
            directory.add_group(anchor, bench.words.group(number), Vec::new());
        }
    }
    let source = bench.holding(&directory).await?;
    exactly("the users", &users(&source, Select::All).await?, &user_anchors(&directory))?;
    exactly("the groups", &groups(&source, Select::All).await?, &group_anchors(&directory))
}

// rule A5
pub(super) async fn account_states_are_true(bench: &Bench<'_>) -> Outcome {
    let mut directory = bench.people(12, 0);
    for user in directory.users.iter_mut().skip(1).step_by(3) {
        user.state = AccountState::Disabled;
    }
    let source = bench.holding(&directory).await?;
    if !source.capabilities().account_state {
        return Err(not_applicable("the source declares that accounts cannot be disabled"));
    }
    let seen = users(&source, Select::All).await?;
    for expected in &directory.users {
        let found = user(&seen, &expected.anchor)?.state;
        let risk = match expected.state {
            AccountState::Disabled => "who was locked out of the directory keeps his access (rule A5)",
            _ => "who may sign in loses his access, or gets none (rule A5)",
        };
        demand(
            found == expected.state,
            format!("the state of user `{}` is {:?}", expected.anchor, expected.state),
            || format!("it is {found:?}"),
            risk,
        )?;
    }
    Ok(())
}

// rule C3
pub(super) async fn the_dead_are_not_among_the_living(bench: &Bench<'_>) -> Outcome {
    let mut directory = bench.company();
    directory.delete(Kind::User, &bench.anchor(1)).delete(Kind::Group, &bench.anchor(101));
    let source = bench.holding(&directory).await?;
    // Tombstones in a read are welcome; nobody must be both.
    exactly("the users", &users(&source, Select::All).await?, &user_anchors(&directory))?;
    exactly("the groups", &groups(&source, Select::All).await?, &group_anchors(&directory))?;
    let rows = walk(&Users { source: &source, select: Select::All }).await?.rows;
    let dead = rows.iter().filter(|row| row.tombstone).map(|row| row.anchor.as_str());
    let rows = walk(&Groups { source: &source, select: Select::All }).await?.rows;
    let dead_groups = rows.iter().filter(|row| row.tombstone).map(|row| row.anchor.as_str());
    let alive: BTreeSet<&str> = dead.chain(dead_groups).filter(|a| directory.kind_of(a).is_some()).collect();
    demand(
        alive.is_empty(),
        "a tombstone is given only for an object that was deleted",
        || format!("tombstones of the living: {}", some(&alive)),
        "a tombstone is proof on its own: the record is deleted (rule C3)",
    )
}

// rule C6
pub(super) async fn the_identity_is_always_the_same(bench: &Bench<'_>) -> Outcome {
    let directory = bench.company();
    let source = bench.holding(&directory).await?;
    let first = source.identity();
    users(&source, Select::All).await?;
    let (second, other) = (source.identity(), bench.holding(&directory).await?.identity());
    let found =
        || format!("`{first}`, then `{second}`, and `{other}` for another source of the same directory");
    demand(
        !first.as_str().is_empty() && first == second && first == other,
        "a source says who it is, and always the same",
        found,
        "a source other than the one linked before is refused; under a changing name no run is possible (rule C6)",
    )
}

// rules E4, E5
pub(super) async fn a_generated_directory_reads_as_it_is(bench: &Bench<'_>) -> Outcome {
    for seed in 1..=4 {
        let directory = bench.generated(seed);
        let source = bench.holding(&directory).await?;
        let (seen_users, seen_groups) =
            (users(&source, Select::All).await?, groups(&source, Select::All).await?);
        exactly("the users", &seen_users, &user_anchors(&directory))?;
        exactly("the groups", &seen_groups, &group_anchors(&directory))?;
        let states = source.capabilities().account_state;
        for expected in &directory.users {
            let found = user(&seen_users, &expected.anchor)?;
            attributes::same_values(&expected.anchor, &expected.attributes, &found.attributes)?;
            if states && found.state != expected.state {
                return Err(wrong(
                    format!("the state of user `{}` is {:?}", expected.anchor, expected.state),
                    format!("it is {:?}", found.state),
                    "access is kept, or lost, against what the directory says (rule A5)",
                ));
            }
        }
        for expected in &directory.groups {
            let found = super::group(&seen_groups, &expected.anchor)?;
            attributes::same_values(&expected.anchor, &expected.attributes, &found.attributes)?;
            lists::same_members(expected, found)?;
        }
    }
    Ok(())
}
