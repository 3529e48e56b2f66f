//! Conditional writes (rule P7).

use super::super::any::Stores;
use super::super::finding::{Finding, Outcome, demand, not_applicable, wrong};
use super::records::Record;
use super::subject::{BOTH, Subject};
use super::unique::update;
use crate::error::ErrorKind;
use crate::id::{StoreId, Version};
use crate::model::Kind;
use crate::store::{Activation, Change, StoreSelect, Write};

const OVERWRITTEN: &str =
    "what somebody changed meanwhile is overwritten by a plan that did not know of it (rule P7)";

/// A store that compares versions, or there is nothing to be learned here.
async fn conditional(builder: Stores<'_>) -> Result<Subject<'_>, Finding> {
    let subject = Subject::fresh(builder).await?;
    if subject.is_conditional() {
        return Ok(subject);
    }
    Err(not_applicable(
        "the store declares that it compares no versions; the engine reads again in its place",
    ))
}

fn version(record: &Record) -> Result<Version, Finding> {
    record.version().ok_or_else(|| {
        wrong(
            "a record of a store with conditional writes is read with its version",
            format!("record `{}` has none", record.id),
            "its writes fall back to reading again, with a window in which changes are lost (rule P7)",
        )
    })
}

// rule P7
pub(super) async fn every_record_has_a_version(builder: Stores<'_>) -> Outcome {
    let subject = conditional(builder).await?;
    for kind in BOTH {
        subject.create_all(kind, 0..5).await?;
        for record in subject.read(kind, StoreSelect::All).await? {
            version(&record)?;
        }
    }
    Ok(())
}

/// A user in a group, and an attribute of each to play with.
struct Scene {
    user: StoreId,
    group: StoreId,
    other: [StoreId; 1],
    changes: [Vec<Change>; 2],
}

impl Scene {
    async fn set(subject: &Subject<'_>) -> Result<Self, Finding> {
        let user = subject.create(&subject.wish(Kind::User, 1)).await?.id;
        let other = [subject.create(&subject.wish(Kind::User, 2)).await?.id];
        let group = subject.create(&subject.wish(Kind::Group, 1)).await?.id;
        subject.add(&group, std::slice::from_ref(&user)).await?;
        Ok(Self { user, group, other, changes: BOTH.map(|kind| Self::change(subject, kind, 7)) })
    }

    /// A change of a free attribute or, without one, of any that the store names.
    fn change(subject: &Subject<'_>, kind: Kind, number: usize) -> Vec<Change> {
        let free = subject.free(kind).into_iter().next();
        let name = free.or_else(|| subject.schemas(kind).next().map(|(name, _)| name.to_owned()));
        let value = |name: &str| subject.builder.value(kind, name, number);
        name.map(|name| Change { old: Vec::new(), new: vec![value(&name)], attribute: name })
            .into_iter()
            .collect()
    }

    /// Every write that there is to a record, but for adoption; deletes last.
    fn writes<'w>(
        &'w self,
        activation: Activation,
        of_user: Option<&'w Version>,
        of_group: Option<&'w Version>,
    ) -> Vec<(&'static str, Write<'w>)> {
        let (user, group) = (&self.user, &self.group);
        let [users, groups] = &self.changes;
        let own = std::slice::from_ref(user);
        let mut writes = vec![
            (
                "updating a user",
                Write::UpdateUser { id: user, version: of_user, changes: users, origin: None },
            ),
            ("updating a group", Write::UpdateGroup { id: group, version: of_group, changes: groups }),
            ("adding a member", Write::AddMembers { id: group, version: of_group, members: &self.other }),
            ("removing a member", Write::RemoveMembers { id: group, version: of_group, members: own }),
        ];
        if activation == Activation::Supported {
            let write = Write::SetActive { id: user, version: of_user, active: false };
            writes.push(("deactivating a user", write));
        }
        writes.push(("deleting a group", Write::DeleteGroup { id: group, version: of_group }));
        writes.push(("deleting a user", Write::DeleteUser { id: user, version: of_user }));
        writes
    }
}

// rule P7
pub(super) async fn a_stale_version_is_refused_and_nothing_is_written(builder: Stores<'_>) -> Outcome {
    let subject = conditional(builder).await?;
    let scene = Scene::set(&subject).await?;
    let old_user = version(&subject.get(Kind::User, &scene.user).await?)?;
    let old_group = version(&subject.get(Kind::Group, &scene.group).await?)?;
    // Somebody else writes; the versions that we know are old ones now.
    for (kind, id) in [(Kind::User, &scene.user), (Kind::Group, &scene.group)] {
        let changes = Scene::change(&subject, kind, 8);
        subject.done("an update", update(kind, id, &changes)).await?;
    }
    let before = subject.everything().await?;
    for (what, write) in scene.writes(subject.can.activation, Some(&old_user), Some(&old_group)) {
        let what = format!("{what} with the version before the last change");
        subject.refuses(&what, write, ErrorKind::Conflict, OVERWRITTEN).await?;
        let after = subject.everything().await?;
        demand(
            before == after,
            format!("{what} changes nothing"),
            || "something is different".to_owned(),
            OVERWRITTEN,
        )?;
    }
    Ok(())
}

// rule P7
pub(super) async fn every_change_gives_another_version(builder: Stores<'_>) -> Outcome {
    let subject = conditional(builder).await?;
    let scene = Scene::set(&subject).await?;
    for (what, write) in scene.writes(subject.can.activation, None, None) {
        let (kind, id) = match &write {
            // Who is added or removed by one does not undo the other's work: no version is needed for that.
            Write::AddMembers { .. } | Write::RemoveMembers { .. } => continue,
            Write::DeleteUser { .. } | Write::DeleteGroup { .. } => continue,
            Write::UpdateGroup { .. } => (Kind::Group, &scene.group),
            _ => (Kind::User, &scene.user),
        };
        let before = subject.get(kind, id).await?;
        subject.done(what, write).await?;
        let after = subject.get(kind, id).await?;
        demand(
            before.unversioned() == after.unversioned() || version(&before)? != version(&after)?,
            format!("after {what} the record has another version than `{}`", version(&before)?),
            || "it has the same".to_owned(),
            OVERWRITTEN,
        )?;
    }
    Ok(())
}

// rule P7
pub(super) async fn the_answered_version_is_the_one_read_next(builder: Stores<'_>) -> Outcome {
    let subject = conditional(builder).await?;
    let wish = subject.wish(Kind::User, 50);
    let made = subject.create(&wish).await?;
    answered(&subject, "creating a user", Kind::User, &made.id, made.version).await?;
    let scene = Scene::set(&subject).await?;
    let names = scene.writes(subject.can.activation, None, None).len();
    for number in 0..names {
        let of_user = version(&subject.get(Kind::User, &scene.user).await?)?;
        // The group may be gone by now: then only the user is left.
        let of_group = subject.find(Kind::Group, &scene.group).await?.as_ref().map(version).transpose()?;
        let writes = scene.writes(subject.can.activation, Some(&of_user), of_group.as_ref());
        let Some((what, write)) = writes.into_iter().nth(number) else { break };
        let (kind, id) = match &write {
            Write::UpdateUser { .. } | Write::SetActive { .. } | Write::DeleteUser { .. } => {
                (Kind::User, &scene.user)
            }
            _ => (Kind::Group, &scene.group),
        };
        let deletes = matches!(write, Write::DeleteUser { .. } | Write::DeleteGroup { .. });
        let written = subject.done(&format!("{what} with the version just read"), write).await?;
        if !deletes {
            answered(&subject, what, kind, id, written.version).await?;
        }
    }
    Ok(())
}

async fn answered(
    subject: &Subject<'_>,
    what: &str,
    kind: Kind,
    id: &StoreId,
    answered: Option<Version>,
) -> Outcome {
    let read = version(&subject.get(kind, id).await?)?;
    demand(
        answered.as_ref() == Some(&read),
        format!("{what} is answered with the version that is read next: `{read}`"),
        || format!("{answered:?}"),
        "the next write to the record within the plan fails as Conflict (rules P4, P7)",
    )
}
