//! A small world is planned: no panic, and what is cheap to check of every plan.

use std::collections::BTreeSet;

use arbitrary::{Arbitrary, Unstructured};
use identity_sync::{
    Action, Kind, Operation, Plan, Reconciliation, Run, SourceSnapshot, StoreSnapshot, Subject, Timestamp,
    UnmanagedMembers, plan, questions_for,
};

use super::build::{Builder, Built, ISSUER};
use super::shown::{assert_plain, assert_shown};
use super::world::World;

const NOW: i64 = 1_795_413_600;

pub fn run(bytes: &[u8]) {
    let Ok(world) = World::arbitrary(&mut Unstructured::new(bytes)) else { return };
    let builder = Builder { ending: "", reversed: false };
    let built = builder.build(&world);
    let at = Run::at(Timestamp(NOW));
    let found = planned(&built, &at);
    let other = Builder { reversed: true, ..builder }.build(&world);
    assert_same_order(&built, &other, &at);
    if !names_twice(&world) {
        assert_same_from_files(&built, found.as_ref(), &at);
    }
    let Some(found) = found else { return };
    let links = Links::of(&world, builder, &built);
    check(&found.plan, &links);
    // Some hours later, with all that was held approved: the state goes over its JSON.
    let state = serde_json::to_string(&found.run).and_then(|text| serde_json::from_str(&text));
    let state = state.unwrap_or_else(|error| panic!("a state does not survive its JSON: {error}"));
    assert_eq!(state, found.run, "a state changes in its JSON");
    let later = Run::new(state, Timestamp(NOW + 7_200)).approving(found.plan.held_set().approve());
    if let Some(found) = planned(&built, &later) {
        check(&found.plan, &links);
    }
}

fn planned(built: &Built, run: &Run) -> Option<Reconciliation> {
    match plan(&built.source, &built.store, &built.assignments, &built.options, run) {
        Ok(found) => Some(found),
        Err(error) => {
            assert_shown(&error);
            None
        }
    }
}

fn written(plan: &Plan) -> String {
    serde_json::to_string(plan).unwrap_or_else(|error| panic!("a plan cannot be written: {error}"))
}

/// Rule P2: rows in any order give the same bytes.
fn assert_same_order(built: &Built, other: &Built, run: &Run) {
    let asked =
        |built: &Built| questions_for(&built.source, &built.store, &built.assignments, &built.options);
    let answer = |built: &Built| {
        let found = plan(&built.source, &built.store, &built.assignments, &built.options, run);
        let found = found.map(|found| (written(&found.plan), found.plan.to_string()));
        found.map_err(|error| std::mem::discriminant(&error)) // one of several reasons is told
    };
    let (one, two) = (answer(built), answer(other));
    assert_eq!(one, two, "the order of rows changes the plan");
    if one.is_ok() {
        assert_eq!(asked(built), asked(other), "the order of rows changes what is asked");
    }
}

/// Whether rows share an anchor: ambiguous ones are withdrawn in a file.
fn names_twice(world: &World<'_>) -> bool {
    let users: BTreeSet<String> = world.users.iter().map(|user| user.anchor.text()).collect();
    let groups: BTreeSet<String> = world.groups.iter().map(|group| group.anchor.text()).collect();
    users.len() < world.users.len() || groups.len() < world.groups.len()
}

/// Snapshots that went over their files give the same plan.
fn assert_same_from_files(built: &Built, found: Option<&Reconciliation>, run: &Run) {
    fn again<T: serde::Serialize + serde::de::DeserializeOwned>(value: &T) -> T {
        let text = serde_json::to_string(value).unwrap_or_else(|e| panic!("cannot be written: {e}"));
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("cannot be read again: {e}\n{text}"))
    }
    let (source, store): (SourceSnapshot, StoreSnapshot) = (again(&built.source), again(&built.store));
    let options = again(&built.options);
    assert_eq!(options, built.options, "options change in their JSON");
    let (assignments, options) = (again(&built.assignments), &built.options);
    let read = plan(&source, &store, &assignments, options, run).ok();
    let texts = (read.map(|read| written(&read.plan)), found.map(|found| written(&found.plan)));
    assert_eq!(texts.0, texts.1, "snapshots read from files give another plan");
}

fn check(plan: &Plan, links: &Links) {
    let text = written(plan);
    let again: Plan = serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("a plan is not read again: {error}\n{text}"));
    assert_eq!(again, *plan, "a plan changes in its JSON");
    assert_eq!(written(&again), text, "the bytes of a plan change");
    assert_plain(&plan.to_string());
    for operation in plan.operations().chain(plan.held().map(|held| held.operation)) {
        links.assert_ours(plan, operation);
    }
}

/// Which records are ours.
struct Links {
    /// Records with the anchors of our links.
    ours: BTreeSet<(Kind, String, String)>,
    /// Records without any link.
    free: BTreeSet<(Kind, String)>,
    removes_unmanaged: bool,
}

impl Links {
    fn of(world: &World<'_>, builder: Builder<'_>, built: &Built) -> Self {
        let (mut ours, mut free) = (BTreeSet::new(), BTreeSet::new());
        for (kind, records) in [(Kind::User, &world.stored_users), (Kind::Group, &world.stored_groups)] {
            for record in records {
                let links = builder.links(record);
                if links.is_empty() {
                    free.insert((kind, record.id.text()));
                }
                let anchors = links.into_iter().filter(|(issuer, _)| *issuer == ISSUER);
                ours.extend(anchors.map(|(_, anchor)| (kind, record.id.text(), anchor)));
            }
        }
        let removes_unmanaged = built.options.unmanaged_members == UnmanagedMembers::Remove;
        Self { ours, free, removes_unmanaged }
    }

    /// Rule M7: nothing is done to a record without our link, but for an adoption of one without any (rule M3).
    fn assert_ours(&self, plan: &Plan, operation: Operation<'_>) {
        let adopted: BTreeSet<&str> = plan
            .operations()
            .chain(plan.held().map(|held| held.operation))
            .filter(|operation| matches!(operation.action(), Action::Adopt))
            .filter_map(|operation| operation.subject().id())
            .collect();
        let is_ours = |subject: Subject<'_>| {
            subject.id().is_none_or(|id| {
                adopted.contains(id)
                    || match subject.anchor() {
                        Some(anchor) => {
                            self.ours.contains(&(subject.kind(), id.to_owned(), anchor.to_owned()))
                        }
                        // A group as a member (rule E4) is named by its record alone.
                        None => {
                            let is_it =
                                |(kind, ours, _): &(Kind, String, String)| *kind == Kind::Group && ours == id;
                            subject.kind() == Kind::Group && self.ours.iter().any(is_it)
                        }
                    }
            })
        };
        let subject = operation.subject();
        match operation.action() {
            Action::Adopt => {
                let id = subject.id().unwrap_or_default().to_owned();
                assert!(self.free.contains(&(subject.kind(), id)), "adopts what has a link: {operation}");
                return;
            }
            Action::AddMembers(members) => {
                assert!(members.iter().all(is_ours), "adds who is not ours: {operation}");
            }
            // Rule D2: unmanaged members go with a deleted group.
            Action::RemoveMembers(members) if !self.removes_unmanaged && !is_deleted(plan, subject) => {
                assert!(members.iter().all(is_ours), "removes who is not ours: {operation}");
            }
            _ => {}
        }
        assert!(is_ours(subject), "changes what is not ours: {operation}");
    }
}

/// Whether the plan deletes this record, held or not.
fn is_deleted(plan: &Plan, subject: Subject<'_>) -> bool {
    let mut operations = plan.operations().chain(plan.held().map(|held| held.operation));
    operations.any(|operation| {
        matches!(operation.action(), Action::Delete)
            && operation.subject().id() == subject.id()
            && operation.subject().kind() == subject.kind()
    })
}
