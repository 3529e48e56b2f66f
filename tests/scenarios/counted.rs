//! What each limit counts, cause by cause (rules D4, D5).

use identity_sync::{
    AccountState, Deprovision, Guards, Kind, Limit, MembershipsOnDelete, OnTrip, Period, UnmanagedMembers,
};
use pretty_assertions::assert_eq;

use crate::timeline::Timeline;
use crate::world::{World, capabilities, guards, record};

fn at_most(count: u64) -> Option<Limit> {
    Some(Limit::new(Some(count), 100, 0))
}

/// Everybody assigned on his own, all in staff.
fn staff() -> World {
    let mut w = World::new();
    w.options.guards = Guards::off();
    w.users("a b c d");
    w.group("staff", "a b c");
    w.assign("staff a b c d");
    w.sync();
    w
}

/// What trips where one less is allowed; nothing where just as many are.
fn counted(w: &mut World, limit: fn(&mut Guards, Option<Limit>), n: u64) -> String {
    w.options.guards = guards(|guards| limit(guards, at_most(n)));
    let lines = w.lines();
    assert!(!lines.iter().any(|line| line.starts_with("limit")), "{n} are allowed: {lines:?}");
    w.options.guards = guards(|guards| limit(guards, at_most(n - 1)));
    w.lines().into_iter().find(|line| line.starts_with("limit")).unwrap_or_default()
}

fn in_all(guards: &mut Guards, limit: Option<Limit>) {
    guards.removals_in_all = limit;
}

fn per_group(guards: &mut Guards, limit: Option<Limit>) {
    guards.removals_per_group = limit;
}

fn grants(guards: &mut Guards, limit: Option<Limit>) {
    guards.grants = limit;
}

#[test]
fn members_who_leave_for_any_cause_of_their_own_are_counted() {
    // rule D4
    let mut w = staff();
    w.edit_group("staff").members("a");
    assert_eq!(counted(&mut w, in_all, 2), "limit RemovalsInAll: 2 > 1 of 3");
    assert_eq!(counted(&mut w, per_group, 2), "limit RemovalsPerGroup of staff: 2 > 1 of 3");
    // Whoever will be deleted after a while leaves at once.
    let mut w = staff();
    w.options.users.disabled_in_source = Deprovision::Delete;
    w.options.users.grace.disabled_in_source = Period::of_days(9);
    w.edit("a").disabled();
    w.edit("b").disabled();
    assert_eq!(counted(&mut w, in_all, 2), "limit RemovalsInAll: 2 > 1 of 3");
    assert_eq!(counted(&mut w, per_group, 2), "limit RemovalsPerGroup of staff: 2 > 1 of 3");
    // Somebody else's members are no part of the base, and count all the same.
    let mut w = staff();
    w.options.unmanaged_members = UnmanagedMembers::Remove;
    for id in ["x", "y"] {
        w.put(Kind::User, id, record(&[("userName", id)]));
        let staff = w.id("staff");
        w.put_member(&staff, id);
    }
    assert_eq!(counted(&mut w, in_all, 2), "limit RemovalsInAll: 2 > 1 of 3");
    assert_eq!(counted(&mut w, per_group, 2), "limit RemovalsPerGroup of staff: 2 > 1 of 3");
}

#[test]
fn members_of_a_group_that_is_emptied_or_deleted_count_in_all_and_not_per_group() {
    // rule D4
    for retired in [Deprovision::Deactivate, Deprovision::Delete] {
        for on_delete in [MembershipsOnDelete::Cascade, MembershipsOnDelete::RemoveFirst] {
            let mut store = capabilities();
            store.memberships_on_delete = on_delete;
            let mut w = World { store: World::with_store(store).store, ..staff() };
            w.sync();
            w.options.groups.left_scope = retired;
            w.unassign("staff");
            assert_eq!(counted(&mut w, in_all, 3), "limit RemovalsInAll: 3 > 2 of 3", "{retired:?}");
            w.options.guards = guards(|guards| per_group(guards, at_most(0)));
            assert!(!w.lines().iter().any(|line| line.starts_with("limit")));
        }
    }
}

#[test]
fn a_group_that_is_lost_with_another_counts_and_a_deleted_user_does_not() {
    // rules D2, D4: the user only precedes his own delete
    let mut w = staff();
    w.group("inner", "");
    w.assign("inner");
    w.sync();
    let (staff, inner) = (w.id("staff"), w.id("inner"));
    w.put_member(&staff, &inner);
    w.delete("staff");
    w.delete("inner");
    w.delete("a");
    w.options.allow_empty.groups = true;
    // b, c and the group.
    assert_eq!(counted(&mut w, in_all, 3), "limit RemovalsInAll: 3 > 2 of 4");
}

#[test]
fn growth_counts_each_created_user_added_member_and_reactivation_once() {
    // rule D4
    let mut w = staff();
    w.users("e");
    w.assign("e");
    w.edit_group("staff").members("a b c d e");
    assert_eq!(counted(&mut w, grants, 3), "limit Grants: 3 > 2 of 7");
    let mut w = staff();
    for who in ["a", "b"] {
        let id = w.id(who);
        w.store.state().users.get_mut(&id).unwrap().active = false;
    }
    assert_eq!(counted(&mut w, grants, 2), "limit Grants: 2 > 1 of 7");
    // A group is nobody's access.
    let mut w = staff();
    w.group("new", "");
    w.assign("new");
    w.options.guards = guards(|guards| grants(guards, at_most(0)));
    assert_eq!(w.lines(), ["create group new [displayName=new] (Entitled)"]);
}

#[test]
fn reactivations_are_spent_in_their_window_as_grants() {
    // rule D4
    let mut w = staff();
    w.options.guards = guards(|guards| {
        guards.grants = at_most(1);
        guards.window = Some(identity_sync::Window { period: Period::of_days(1), percent: 100 });
    });
    let mut t = Timeline::start(w);
    let lock = |t: &Timeline, who: &str| {
        let id = t.id(who);
        t.store.state().users.get_mut(&id).unwrap().active = false;
    };
    lock(&t, "a");
    assert_eq!(t.run(), ["reactivate a (Enabled)"]);
    lock(&t, "b");
    assert_eq!(t.hours(1).lines()[0], "limit Grants: 1 + 1 > 1 of 6");
    assert_eq!(t.hours(23).lines(), ["reactivate b (Enabled)"]);
}

#[test]
fn of_two_causes_the_strictest_one_is_counted() {
    // rule D1: disabled would delete, out of scope would deactivate
    let mut w = staff();
    w.options.users.disabled_in_source = Deprovision::Delete;
    w.options.users.left_scope = Deprovision::Deactivate;
    w.unassign("d");
    w.edit("d").state(AccountState::Disabled);
    assert_eq!(w.lines(), ["delete user d (DisabledInSource)"]);
    w.options.users.disabled_in_source = Deprovision::Deactivate;
    w.options.users.left_scope = Deprovision::Delete;
    assert_eq!(w.lines(), ["delete user d (LeftScope)"]);
    w.options.users.left_scope = Deprovision::Deactivate;
    assert_eq!(w.lines(), ["deactivate d (LeftScope)", "kept user d"]);
}

#[test]
fn under_abort_what_precedes_an_approved_delete_goes_with_it() {
    // rules D2, D5
    let mut store = capabilities();
    store.memberships_on_delete = MembershipsOnDelete::RemoveFirst;
    let mut w = World::with_store(store);
    w.users("a b c d");
    w.group("one", "a b");
    w.group("two", "c d");
    w.assign("one two a b c d");
    w.options.allow_empty.groups = true;
    w.options.guards = guards(|guards| {
        guards.group_deletes = at_most(0);
        guards.on_trip = OnTrip::Abort;
    });
    let mut t = Timeline::start(w);
    t.delete("one");
    t.delete("two");
    let held = t.held_file();
    assert_eq!(t.plan().len(), 0);
    // The lists of both, then the deletes: that of `one` is the third.
    t.approvals = vec![held.only(|at| at == 2).approve()];
    let lines = t.lines();
    let run: Vec<&String> = lines.iter().take_while(|line| !line.starts_with("limit")).collect();
    assert_eq!(run, ["remove one: a b (GroupDeleted)", "delete group one (DeletedInSource, approved)"]);
}

#[test]
fn what_a_retired_group_lost_is_not_held_against_it_when_it_comes_back() {
    // rule D4: it counts in all, not per group, over the runs of the window, too
    let mut w = staff();
    w.options.groups.left_scope = Deprovision::Deactivate;
    w.options.guards = guards(|guards| {
        per_group(guards, at_most(3));
        guards.window = Some(identity_sync::Window { period: Period::of_days(1), percent: 100 });
    });
    let mut t = Timeline::start(w);
    t.unassign("staff");
    assert_eq!(t.run(), ["remove staff: a b c (GroupRetired)", "kept group staff"]);
    t.assign("staff");
    assert_eq!(t.hours(1).run(), ["add staff: a b c (Entitled)"]);
    t.edit_group("staff").members("a b");
    assert_eq!(t.hours(1).lines(), ["remove staff: c (NoPath)"]);
}

#[test]
fn each_held_operation_names_the_limit_that_holds_it_in_whatever_order_the_groups_came() {
    // rules D5, P2
    let mut w = World::new();
    w.users("a b");
    for group in ["z", "y", "x"] {
        w.group(group, "a b");
    }
    w.assign("x y z a b");
    w.options.guards = Guards::off();
    w.sync();
    for (group, members) in [("z", "a"), ("y", "a b"), ("x", "b")] {
        w.edit_group(group).members(members);
    }
    w.options.guards = guards(|guards| per_group(guards, at_most(0)));
    assert_eq!(
        w.lines(),
        [
            "limit RemovalsPerGroup of x: 1 > 0 of 2",
            "limit RemovalsPerGroup of z: 1 > 0 of 2",
            "held by [0]: remove x: a (NoPath)",
            "held by [1]: remove z: b (NoPath)",
        ]
    );
}

#[test]
fn no_limit_counts_what_another_one_is_for() {
    // rule D4
    let only = |set: fn(&mut Guards, Option<Limit>), w: &mut World| {
        w.options.guards = guards(|guards| set(guards, at_most(0)));
        w.lines().iter().any(|line| line.starts_with("limit"))
    };
    let mut w = staff();
    w.group("spare", "");
    w.assign("spare");
    w.edit("d").set("title", "x");
    w.sync();
    w.delete("spare");
    assert!(!only(|guards, limit| guards.user_deletes = limit, &mut w));
    assert!(!only(|guards, limit| guards.deactivations = limit, &mut w));
    assert!(!only(in_all, &mut w));
    assert!(only(|guards, limit| guards.group_deletes = limit, &mut w));
    let mut w = staff();
    w.delete("d");
    assert!(only(|guards, limit| guards.user_deletes = limit, &mut w));
    assert!(!only(|guards, limit| guards.group_deletes = limit, &mut w));
    assert!(!only(|guards, limit| guards.deactivations = limit, &mut w));
    // A member who is deleted only precedes his own delete.
    let mut w = staff();
    w.delete("a");
    assert!(!only(in_all, &mut w) && !only(per_group, &mut w));
    let mut w = staff();
    w.edit("d").disabled();
    assert!(!only(|guards, limit| guards.user_deletes = limit, &mut w));
    assert!(only(|guards, limit| guards.deactivations = limit, &mut w));
    // New values and new groups are no clears, no adoptions and no growth.
    let mut w = staff();
    w.edit("d").set("title", "x");
    assert!(!only(|guards, limit| guards.clears_per_attribute = limit, &mut w));
    assert!(!only(|guards, limit| guards.adoptions = limit, &mut w));
    assert!(!only(grants, &mut w));
}
