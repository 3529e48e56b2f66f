//! Members of groups.

use std::collections::BTreeSet;

use super::super::any::Stores;
use super::super::finding::{Finding, Outcome, demand, not_applicable};
use super::super::paging::walk_complete;
use super::records::{MembersOf, Record};
use super::subject::Subject;
use crate::id::StoreId;
use crate::model::Kind;
use crate::store::{Members, StoreSelect, Write};

/// More than this is not written at once, whatever is declared: a check should end.
const MOST: usize = 1_000;

/// A store that lists members, with a group and some users.
async fn scene(builder: Stores<'_>, users: usize) -> Result<(Subject<'_>, StoreId, Vec<StoreId>), Finding> {
    let subject = Subject::fresh(builder).await?;
    if subject.can.members == Members::Unlisted {
        return Err(not_applicable("the store declares that it cannot list members"));
    }
    let group = subject.create(&subject.wish(Kind::Group, 1)).await?.id;
    let users = subject.create_all(Kind::User, 0..users).await?;
    Ok((subject, group, users))
}

async fn has(subject: &Subject<'_>, group: &StoreId, wanted: &[StoreId], when: &str) -> Outcome {
    let found = subject.members(group).await?;
    let wanted: BTreeSet<String> = wanted.iter().map(|id| id.as_str().to_owned()).collect();
    let missing = wanted.difference(&found).count();
    demand(
        missing == 0,
        format!("the group has its {} members {when}", wanted.len()),
        || format!("{missing} are missing"),
        "who was given access has none, though the run says that it was written (rules E4, X1)",
    )?;
    let strange = found.difference(&wanted).count();
    demand(
        strange == 0,
        format!("the group has no member but its {} {when}", wanted.len()),
        || format!("{strange} more"),
        "who should have lost access keeps it, or somebody has it whom nobody gave it (rules D3, E4)",
    )
}

async fn remove(subject: &Subject<'_>, group: &StoreId, members: &[StoreId]) -> Outcome {
    let write = Write::RemoveMembers { id: group, version: None, members };
    subject.done("removing members", write).await?;
    Ok(())
}

// rules P3, E4
pub(super) async fn added_members_join_those_who_are_there(builder: Stores<'_>) -> Outcome {
    let (subject, group, users) = scene(builder, 5).await?;
    for end in 1..=users.len() {
        let (Some(there), Some(next)) = (users.get(..end), users.get(end - 1..end)) else { break };
        subject.add(&group, next).await?;
        has(&subject, &group, there, "after one more was added").await?;
    }
    Ok(())
}

// rule X2
pub(super) async fn adding_who_is_there_changes_nothing(builder: Stores<'_>) -> Outcome {
    let (subject, group, users) = scene(builder, 3).await?;
    for _ in 0..2 {
        subject.add(&group, users.get(..2).unwrap_or_default()).await?;
        has(&subject, &group, users.get(..2).unwrap_or_default(), "after they were added again").await?;
    }
    subject.add(&group, &users).await?;
    has(&subject, &group, &users, "after some of them were added again with a new one").await
}

// rules D3, X2
pub(super) async fn removing_takes_out_exactly_the_named(builder: Stores<'_>) -> Outcome {
    let (subject, group, users) = scene(builder, 5).await?;
    let [a, b, c, d, outside] = users.as_slice() else { return Ok(()) };
    subject.add(&group, &[a.clone(), b.clone(), c.clone(), d.clone()]).await?;
    remove(&subject, &group, std::slice::from_ref(b)).await?;
    has(&subject, &group, &[a.clone(), c.clone(), d.clone()], "after one was removed").await?;
    // Who is out already stays out, and takes nobody with him.
    remove(&subject, &group, &[b.clone(), outside.clone(), d.clone()]).await?;
    has(&subject, &group, &[a.clone(), c.clone()], "after one was removed with two who were not in it")
        .await?;
    remove(&subject, &group, &[StoreId::from("nobody")]).await?;
    has(&subject, &group, &[a.clone(), c.clone()], "after somebody was removed who is not there at all")
        .await?;
    remove(&subject, &group, &users).await?;
    has(&subject, &group, &[], "after all were removed").await
}

// rule E4
pub(super) async fn groups_keep_their_members_apart(builder: Stores<'_>) -> Outcome {
    let (subject, first, users) = scene(builder, 4).await?;
    let second = subject.create(&subject.wish(Kind::Group, 2)).await?.id;
    let [a, b, c, d] = users.as_slice() else { return Ok(()) };
    subject.add(&first, &[a.clone(), b.clone()]).await?;
    subject.add(&second, &[b.clone(), c.clone(), d.clone()]).await?;
    remove(&subject, &second, std::slice::from_ref(b)).await?;
    has(&subject, &first, &[a.clone(), b.clone()], "whatever happens to another group").await?;
    has(&subject, &second, &[c.clone(), d.clone()], "whatever happens to another group").await
}

// rules D6, M8
pub(super) async fn a_member_whom_somebody_else_made_is_listed(builder: Stores<'_>) -> Outcome {
    let (subject, group, users) = scene(builder, 1).await?;
    let stranger = subject.put_unmanaged(&subject.wish(Kind::User, 5)).await?;
    let all: Vec<StoreId> = users.into_iter().chain([stranger]).collect();
    for one in &all {
        subject.add(&group, std::slice::from_ref(one)).await?;
    }
    has(&subject, &group, &all, "though one of them has no external id").await
}

// rules D1, E4
pub(super) async fn memberships_leave_the_users_as_they_are(builder: Stores<'_>) -> Outcome {
    let subject = Subject::fresh(builder).await?;
    let users = subject.create_all(Kind::User, 0..2).await?;
    let read = async || -> Result<Vec<Record>, Finding> {
        let users = subject.read(Kind::User, StoreSelect::All).await?;
        let mut users: Vec<Record> = users.iter().map(Record::unversioned).collect();
        users.sort_unstable();
        Ok(users)
    };
    let before = read().await?;
    let group = subject.group_of(1, &users).await?;
    for step in ["added to a group", "removed from it"] {
        let after = read().await?;
        let differ = after.iter().zip(&before).find(|(now, was)| now != was);
        demand(
            before == after,
            format!("users who were {step} are what they were"),
            || match differ {
                Some((now, was)) if now.id == was.id => format!("`{}`: {}", now.id, now.since(was)),
                _ => format!("{} users in place of {}", after.len(), before.len()),
            },
            "who only changes teams is locked out, deleted or rewritten (rules D1, E4)",
        )?;
        for one in &users {
            remove(&subject, &group, std::slice::from_ref(one)).await?;
        }
    }
    Ok(())
}

// rule X5
pub(super) async fn as_many_members_as_declared_are_written_at_once(builder: Stores<'_>) -> Outcome {
    let most = Subject::fresh(builder).await?.can.members_per_write.clamp(1, MOST);
    let (subject, group, users) = scene(builder, most + 1).await?;
    let (many, rest) = users.split_at(most.min(users.len()));
    subject.add(&group, many).await?;
    has(&subject, &group, many, "after as many as are allowed were added at once").await?;
    subject.add(&group, rest).await?;
    remove(&subject, &group, many).await?;
    has(&subject, &group, rest, "after as many as are allowed were removed at once").await
}

// rules C2, C5
pub(super) async fn many_members_are_all_listed(builder: Stores<'_>) -> Outcome {
    let (subject, group, users) = scene(builder, builder.many()).await?;
    for some in users.chunks(subject.can.members_per_write.max(1)) {
        subject.add(&group, some).await?;
    }
    has(&subject, &group, &users, "also where they are many").await?;
    if subject.can.members != Members::PerGroup {
        return Ok(());
    }
    // Twice in a list is one member; but a page that overlaps also leaves out.
    let listed = walk_complete(&MembersOf { store: &subject.store, group: &group }).await?;
    demand(
        listed.len() == users.len(),
        format!("each of the {} members is listed once", users.len()),
        || format!("{} entries", listed.len()),
        "who is missing from the list is added again, and never removed (rules C5, P4)",
    )
}
