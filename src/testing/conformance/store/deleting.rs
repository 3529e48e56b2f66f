//! Deletes.

use std::collections::BTreeSet;

use super::super::any::Stores;
use super::super::finding::{Finding, Outcome, demand, not_applicable};
use super::super::paging::exactly;
use super::subject::{BOTH, Subject};
use crate::error::ErrorKind;
use crate::id::StoreId;
use crate::model::Kind;
use crate::store::{MembershipsOnDelete, StoreSelect, Write};

const STAYS: &str = "who was deleted keeps his access, though the run says that it is gone (rule X1)";

fn delete(kind: Kind, id: &StoreId) -> Write<'_> {
    match kind {
        Kind::User => Write::DeleteUser { id, version: None },
        Kind::Group => Write::DeleteGroup { id, version: None },
    }
}

// rules D1, X1
pub(super) async fn a_deleted_record_is_gone(builder: Stores<'_>) -> Outcome {
    let subject = Subject::fresh(builder).await?;
    for kind in BOTH {
        let made = subject.create_all(kind, 1..4).await?;
        let [first, victim, last] = made.as_slice() else { return Ok(()) };
        subject.done("a delete", delete(kind, victim)).await?;
        let left = BTreeSet::from([first.as_str(), last.as_str()]);
        exactly("what is left after a delete", &subject.read(kind, StoreSelect::All).await?, &left)?;
        let wish = subject.wish(kind, 2);
        let (ids, links) = ([victim.clone()], [wish.link.clone()]);
        let mut selects = vec![StoreSelect::Ids(&ids), StoreSelect::ExternalIds(&links)];
        let unique = subject.unique(kind);
        selects.extend(unique.iter().filter_map(|(attribute, _)| {
            let value = wish.values.get(attribute)?.first()?;
            Some(StoreSelect::UniqueValue { attribute, value })
        }));
        for select in selects {
            let found = subject.read(kind, select).await?;
            demand(
                found.is_empty(),
                format!("a deleted {kind} is found by nothing"),
                || format!("it is found by {select:?}"),
                STAYS,
            )?;
        }
    }
    Ok(())
}

// rule X2
pub(super) async fn a_second_delete_is_answered_not_found(builder: Stores<'_>) -> Outcome {
    let subject = Subject::fresh(builder).await?;
    for kind in BOTH {
        let id = subject.create(&subject.wish(kind, 1)).await?.id;
        subject.done("a delete", delete(kind, &id)).await?;
        let what = format!("deleting a {kind} that is deleted already");
        let risk = "what was done already counts as failed, on every run (rules X2, X4)";
        subject.refuses(&what, delete(kind, &id), ErrorKind::NotFound, risk).await?;
    }
    Ok(())
}

// rule D2
pub(super) async fn a_deleted_user_leaves_all_groups(builder: Stores<'_>) -> Outcome {
    let subject = Subject::fresh(builder).await?;
    if subject.can.memberships_on_delete == MembershipsOnDelete::RemoveFirst {
        return Err(not_applicable("the store declares that memberships have to be removed first"));
    }
    let users = subject.create_all(Kind::User, 0..3).await?;
    let groups = subject.create_all(Kind::Group, 0..2).await?;
    for group in &groups {
        subject.members(group).await?; // not applicable, where nobody can tell
        subject.add(group, &users).await?;
    }
    let [leaver, staying @ ..] = users.as_slice() else { return Ok(()) };
    subject.done("deleting a user who is in groups", delete(Kind::User, leaver)).await?;
    let wanted: BTreeSet<String> = staying.iter().map(|id| id.as_str().to_owned()).collect();
    for group in &groups {
        let found = subject.members(group).await?;
        demand(
            found == wanted,
            "a deleted user is in no group, and the others are where they were",
            || format!("{found:?}"),
            "memberships of nobody stay behind: a later owner of the id inherits them (rule D2)",
        )?;
    }
    Ok(())
}

// rule D2
pub(super) async fn a_deleted_group_leaves_its_members_alone(builder: Stores<'_>) -> Outcome {
    let subject = Subject::fresh(builder).await?;
    let users = subject.create_all(Kind::User, 0..3).await?;
    let groups = subject.create_all(Kind::Group, 0..2).await?;
    for group in &groups {
        subject.add(group, &users).await?;
    }
    let before = subject.read(Kind::User, StoreSelect::All).await?;
    let [victim, other] = groups.as_slice() else { return Ok(()) };
    if subject.can.memberships_on_delete == MembershipsOnDelete::RemoveFirst {
        let remove = Write::RemoveMembers { id: victim, version: None, members: &users };
        subject.done("removing members", remove).await?;
    }
    subject.done("deleting a group", delete(Kind::Group, victim)).await?;
    let after = subject.read(Kind::User, StoreSelect::All).await?;
    demand(
        before.len() == after.len() && before.iter().all(|user| after.contains(user)),
        "the users who were in a deleted group are what they were",
        || format!("{} users in place of {}", after.len(), before.len()),
        "people are deleted or changed with a group (rule D2)",
    )?;
    match subject.members(other).await {
        Ok(members) => demand(
            members.len() == users.len(),
            "another group with the same members keeps them",
            || format!("{} of {}", members.len(), users.len()),
            "a deleted group takes access away that another one gives (rules D2, E6)",
        ),
        Err(Finding::NotApplicable(_)) => Ok(()),
        Err(wrong) => Err(wrong),
    }
}

// rules M1, D2
pub(super) async fn a_store_id_is_never_used_again(builder: Stores<'_>) -> Outcome {
    let subject = Subject::fresh(builder).await?;
    for kind in BOTH {
        let mut seen = BTreeSet::new();
        for number in 0..6 {
            // Always the newest is deleted: who counts from the highest that is left comes to it again.
            let id = subject.create(&subject.wish(kind, number)).await?.id;
            demand(
                seen.insert(id.clone()),
                format!("a new {kind} has an id that no other ever had"),
                || format!("`{id}` was that of a deleted one"),
                "assignments and memberships of somebody who left pass to somebody new (rules M4, D2)",
            )?;
            subject.done("a delete", delete(kind, &id)).await?;
        }
    }
    Ok(())
}

// rules J3, M1
pub(super) async fn a_freed_external_id_can_be_linked_again(builder: Stores<'_>) -> Outcome {
    let subject = Subject::fresh(builder).await?;
    for kind in BOTH {
        let wish = subject.wish(kind, 1);
        let first = subject.create(&wish).await?.id;
        subject.done("a delete", delete(kind, &first)).await?;
        // As a sign-in does that read the directory before the deletion.
        let second = subject.create(&wish).await?.id;
        subject.fulfils(&subject.get(kind, &second).await?, &wish)?;
    }
    Ok(())
}
