//! What proves that somebody is gone, where nobody can be asked; and what may hide him (rules C2, C3, C6, E9).

use identity_sync::{
    AllowEmpty, Completeness, Deprovision, Diagnostic, Existence, Guards, Kind, MemberKind, Nesting, Origin,
    Period, PlanError, RunState, SourceCapabilities,
};
use pretty_assertions::assert_eq;

use crate::timeline::Timeline;
use crate::world::{World, partial};

/// Ada and bob in staff; absence is proof, since nobody can be asked.
fn settled() -> World {
    let mut w = World::new();
    w.source.capabilities = SourceCapabilities::default();
    w.options.absence_is_proof = true;
    w.options.guards = Guards::off();
    w.users("ada bob kim");
    w.group("staff", "ada bob");
    w.group("other", "");
    w.assign("staff other ada bob kim");
    w.sync();
    w
}

fn reads(w: &mut World, users: bool, groups: bool) {
    w.source.users_read = if users { Completeness::Complete } else { partial() };
    w.source.groups_read = if groups { Completeness::Complete } else { partial() };
}

const READS: [(bool, bool); 4] = [(true, true), (true, false), (false, true), (false, false)];

fn has(w: &World, start: &str) -> bool {
    w.lines().iter().any(|line| line.starts_with(start))
}

#[test]
fn a_member_of_unknown_kind_is_gone_only_where_users_and_groups_were_read_whole() {
    // rules C3, E9: else it may be a group that was not read, and hide bob
    for (users, groups) in READS {
        let mut w = settled();
        reads(&mut w, users, groups);
        w.edit_group("staff").members("ada ghost");
        assert_eq!(has(&w, "remove staff: bob"), users && groups, "users {users}, groups {groups}");
    }
}

#[test]
fn a_member_that_is_said_to_be_a_group_is_gone_where_the_groups_were_read_whole() {
    // rules C3, E9
    for (users, groups) in READS {
        let mut w = settled();
        reads(&mut w, users, groups);
        w.edit_group("staff").members("ada").member("ghost", MemberKind::Group);
        assert_eq!(has(&w, "remove staff: bob"), groups, "users {users}, groups {groups}");
        // Said to be a user it hides nobody, read or not.
        w.edit_group("staff").members("ada").member("ghost", MemberKind::User);
        assert!(has(&w, "remove staff: bob"));
    }
}

#[test]
fn a_record_is_deleted_only_where_all_was_read_that_could_have_shown_its_anchor() {
    // rule C3
    for (users, groups) in READS {
        let mut w = settled();
        reads(&mut w, users, groups);
        w.hide("kim");
        w.hide("other");
        assert_eq!(has(&w, "delete user kim"), users, "users {users}, groups {groups}");
        assert_eq!(has(&w, "delete group other"), groups, "users {users}, groups {groups}");
        // A list says that she is a group: then the groups must have been read, too.
        w.edit_group("staff").members("ada bob").member("kim", MemberKind::Group);
        assert_eq!(has(&w, "delete user kim"), users && groups, "users {users}, groups {groups}");
        w.edit_group("staff").members("ada bob").member("kim", MemberKind::User);
        assert_eq!(has(&w, "delete user kim"), users, "users {users}, groups {groups}");
    }
}

#[test]
fn what_lives_elsewhere_is_never_proven_gone_by_its_absence_here() {
    // rules C3, E9, E11
    let mut w = settled();
    w.edit_group("staff").members("ada bob").member("far", MemberKind::Foreign);
    w.assign("far");
    assert_eq!(w.lines(), [""; 0]);
    // Of somebody whom nothing knows the assignment says nothing.
    w.assign("nobody");
    let lines = w.lines();
    assert_eq!((lines.len(), lines[0].contains("nobody")), (1, true), "{lines:?}");
}

#[test]
fn a_read_without_its_canary_proves_no_absence() {
    // rules C2, C6
    let mut w = settled();
    w.options.canaries.users.insert("canary".into());
    w.options.canaries.groups.insert("bird".into());
    w.users("canary");
    w.group("bird", "");
    w.options.users.left_scope = Deprovision::Deactivate;
    w.options.groups.left_scope = Deprovision::Deactivate;
    w.hide("kim");
    w.hide("other");
    assert!(has(&w, "delete user kim") && has(&w, "delete group other"));
    w.hide("canary");
    assert!(!has(&w, "delete user kim") && has(&w, "delete group other"));
    w.hide("bird");
    assert!(!has(&w, "delete"));
    w.users("canary");
    assert!(has(&w, "delete user kim") && !has(&w, "delete group other"));
    // Nor that somebody has left scope who was not seen.
    w.options.absence_is_proof = false;
    w.group("bird", "");
    w.group("other", "");
    w.unassign("kim");
    assert!(has(&w, "deactivate kim (LeftScope)"));
    w.hide("canary");
    assert!(!has(&w, "deactivate"));
}

#[test]
fn a_look_up_that_finds_somebody_ends_the_wait_for_his_deletion() {
    // rules C3, D1: the period begins anew
    let mut w = World::new();
    w.options.guards = Guards::off();
    w.options.users.grace.deleted_in_source = Period::of_days(10);
    w.users("ada bob");
    w.assign("ada bob");
    let mut t = Timeline::start(w);
    t.delete("ada");
    assert_eq!(t.days(1).run()[0], "pending Delete user ada (DeletedInSource, day 1 to 11)");
    // Not read, and not answered: what was known stands.
    t.source.answers.insert("ada".to_owned(), Existence::Unknown);
    t.days(1).run();
    t.source.answers.insert("ada".to_owned(), Existence::Gone);
    assert_eq!(t.days(1).run()[0], "pending Delete user ada (DeletedInSource, day 1 to 11)");
    // Found alive, though no read shows her.
    t.source.answers.insert("ada".to_owned(), Existence::Exists { kind: MemberKind::User });
    t.days(1).run();
    t.source.answers.insert("ada".to_owned(), Existence::Gone);
    assert_eq!(t.days(1).run()[0], "pending Delete user ada (DeletedInSource, day 5 to 15)");
}

#[test]
fn whoever_is_kept_or_linked_is_asked_about_and_so_is_who_is_said_to_be_no_principal() {
    // rules C3, E9
    let mut w = World::new();
    w.options.guards = Guards::off();
    w.users("ada kim");
    w.group("staff", "ada");
    w.assign("staff kim");
    w.sync();
    w.unassign("staff");
    w.edit_group("staff").member("ghost", MemberKind::Unknown).member("printer", MemberKind::Other);
    w.record(Kind::User, "p", "printer", &[("userName", "printer")]);
    w.source.asked.lock().unwrap().clear();
    w.plan();
    assert_eq!(*w.source.asked.lock().unwrap(), ["ghost", "printer"]);
}

#[test]
fn under_direct_only_one_assigned_list_cut_short_is_enough_to_prove_nobody_out() {
    // rules C2, E8
    for cut in ["one", "two", "three"] {
        let mut w = World::new();
        w.options.guards = Guards::off();
        w.options.nesting = Nesting::DirectOnly;
        w.options.users.left_scope = Deprovision::Deactivate;
        w.users("a b c kim");
        w.group("one", "a");
        w.group("two", "b");
        w.group("three", "c");
        w.assign("one two three kim");
        w.sync();
        w.unassign("kim");
        assert!(has(&w, "deactivate kim"));
        w.edit_group(cut).partial();
        assert!(!has(&w, "deactivate kim"), "{cut}");
    }
}

#[test]
fn an_empty_read_of_assignments_is_refused_where_it_is_whole_and_anything_is_managed() {
    // rule C4
    let start = |kind: Option<Kind>| {
        let mut w = World::new();
        w.users("ada");
        w.group("staff", "");
        match kind {
            Some(Kind::User) => w.assign("ada"),
            Some(Kind::Group) => w.assign("staff"),
            None => {}
        }
        w.sync();
        w.assigned.principals.clear();
        w
    };
    for kind in [Kind::User, Kind::Group] {
        let mut w = start(Some(kind));
        assert_eq!(w.refused(), PlanError::EmptyAssignments, "{kind:?}");
        // What was not read whole says nothing, and takes nobody out.
        w.assigned.read = partial();
        assert!(w.plan().is_empty());
    }
    assert!(start(None).plan().is_empty());
}

#[test]
fn only_records_that_a_reconcile_left_tell_that_its_memory_was_lost() {
    // rules D7, J2
    let lost = |w: &World| {
        let allow = AllowEmpty { users: true, groups: true, assignments: true };
        let mut world = World { store: copy(w), ..World::new() };
        (world.options.allow_empty, world.options.guards) = (allow, Guards::off());
        let t = Timeline { world, state: RunState::default(), now: 0, approvals: Vec::new() };
        t.plan().diagnostics().iter().any(|finding| matches!(finding, Diagnostic::NoMemory { .. }))
    };
    let mut jit = World::new();
    jit.record(Kind::User, "u", "ada", &[("userName", "ada")]);
    jit.store.state().users.get_mut("u").unwrap().origin = Some(Origin::Jit);
    let mut user = World::new();
    user.record(Kind::User, "u", "ada", &[("userName", "ada")]);
    let mut group = World::new();
    group.record(Kind::Group, "g", "staff", &[("displayName", "staff")]);
    assert_eq!([&jit, &user, &group].map(lost), [false, true, true]);
}

/// A copy of what a world's store holds.
fn copy(w: &World) -> identity_sync::memory::MemoryStore {
    let store = World::new().store;
    *store.state() = w.store.state().clone();
    store
}
