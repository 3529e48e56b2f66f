//! Limits, and what they hold (rules D4, D5).

use identity_sync::{Deprovision, Guards, Limit, MembershipsOnDelete, OnTrip};
use pretty_assertions::assert_eq;

use crate::world::{World, capabilities};

/// At most two, of however many.
const TWO: Option<Limit> = Some(Limit::new(Some(2), 100, 0));

fn many(count: usize) -> String {
    (0..count).map(|i| format!("u{i} ")).collect()
}

/// Ten users, all in `all`, half of them in `half`; both groups assigned, no limit on.
fn ten() -> World {
    let mut w = World::new();
    w.users(&many(10));
    w.group("all", &many(10));
    w.group("half", &many(5));
    w.assign("all half");
    w.options.guards = Guards::off();
    w.sync();
    w
}

/// What one more than allowed gives: everything that is held, and the limit.
fn tripped(w: &World) -> (usize, String, usize) {
    let plan = w.plan();
    let limits: Vec<String> = plan
        .tripped()
        .iter()
        .map(|t| format!("{:?} {} > {} of {}", t.limit, t.planned, t.allowed, t.base))
        .collect();
    (plan.len(), limits.join(", "), plan.held().len())
}

#[test]
fn user_deletes_are_held_from_the_first_one_too_many() {
    // rules D4, D5
    let mut w = ten();
    w.options.guards.user_deletes = TWO;
    w.delete("u8");
    w.delete("u9");
    assert_eq!(tripped(&w), (2, String::new(), 0));
    w.delete("u7");
    w.edit("u0").set("title", "still updated");
    assert_eq!(
        w.lines(),
        [
            "update user u0 [title:  -> still updated] (Changed)",
            "limit UserDeletes: 3 > 2 of 10",
            "held by [0]: delete user u7 (DeletedInSource)",
            "held by [0]: delete user u8 (DeletedInSource)",
            "held by [0]: delete user u9 (DeletedInSource)",
        ]
    );
}

#[test]
fn deactivations_are_measured_against_active_managed_users() {
    // rule D4
    let mut w = ten();
    w.edit("u9").disabled();
    w.sync();
    w.options.guards.deactivations = Some(Limit::new(None, 30, 0));
    w.edit("u0").disabled();
    w.edit("u1").disabled();
    assert_eq!(tripped(&w), (2, String::new(), 0));
    // 30 % of nine, rounded down.
    w.edit("u2").disabled();
    assert_eq!(tripped(&w), (0, "Deactivations 3 > 2 of 9".to_owned(), 3));
    w.options.guards.deactivations = Some(Limit::new(None, 30, 3));
    assert_eq!(tripped(&w), (3, String::new(), 0));
}

#[test]
fn group_deletes_are_held_from_the_first_one_too_many() {
    // rule D4
    let mut w = ten();
    for group in ["g0", "g1", "g2"] {
        w.group(group, "");
        w.assign(group);
    }
    w.sync();
    w.options.guards.group_deletes = TWO;
    w.delete("g0");
    w.delete("g1");
    assert_eq!(tripped(&w), (2, String::new(), 0));
    w.delete("g2");
    assert_eq!(tripped(&w), (0, "GroupDeletes 3 > 2 of 5".to_owned(), 3));
}

#[test]
fn removals_in_all_are_measured_against_managed_memberships() {
    // rule D4
    let mut w = ten();
    w.assign(&many(10));
    w.options.guards.removals_in_all = Some(Limit::new(None, 20, 0));
    w.edit_group("all").members(&many(8));
    w.edit_group("half").members(&many(4));
    assert_eq!(tripped(&w), (2, String::new(), 0));
    w.edit_group("half").members(&many(3));
    assert_eq!(tripped(&w), (0, "RemovalsInAll 4 > 3 of 15".to_owned(), 2));
}

#[test]
fn removals_per_group_hold_that_group_only() {
    // rules D4, D5
    let mut w = ten();
    w.assign(&many(10));
    w.options.guards.removals_per_group = TWO;
    w.edit_group("all").members(&many(8));
    assert_eq!(tripped(&w), (1, String::new(), 0));
    w.edit_group("half").members(&many(2));
    assert_eq!(
        w.lines(),
        [
            "remove all: u8 u9 (NoPath)",
            "limit RemovalsPerGroup of half: 3 > 2 of 5",
            "held by [0]: remove half: u2 u3 u4 (NoPath)",
        ]
    );
}

#[test]
fn cleared_values_are_counted_per_attribute_against_records_that_have_one() {
    // rules D4, A2
    let mut w = ten();
    for user in ["u0", "u1", "u2", "u3"] {
        w.edit(user).set("title", "x").set("company", "y");
    }
    w.sync();
    w.options.guards.clears_per_attribute = TWO;
    w.edit("u0").unset("title").unset("company");
    w.edit("u1").unset("title");
    assert_eq!(tripped(&w), (2, String::new(), 0));
    w.edit("u2").unset("title");
    w.edit("u3").unset("company").set("mail", "u3@x");
    assert_eq!(
        w.lines(),
        [
            "update user u3 [emails:  -> u3@x, organization: y -> ] (Changed)",
            "limit ClearsPerAttribute of title: 3 > 2 of 4",
            "held by [0]: update user u0 [title: x -> , organization: y -> ] (Changed)",
            "held by [0]: update user u1 [title: x -> ] (Changed)",
            "held by [0]: update user u2 [title: x -> ] (Changed)",
        ]
    );
}

#[test]
fn growth_is_limited_where_the_host_asks_for_it() {
    // rule D4
    let mut w = ten();
    w.options.guards.grants = TWO;
    w.users("new");
    w.edit_group("half").members(&format!("{} new", many(5)));
    // One create, two memberships.
    w.edit_group("all").members(&format!("{} new", many(10)));
    assert_eq!(tripped(&w), (0, "Grants 3 > 2 of 25".to_owned(), 3));
    w.edit_group("all").members(&many(10));
    assert_eq!(tripped(&w), (2, String::new(), 0));
}

#[test]
fn members_lost_with_a_group_count_in_all_and_not_per_group() {
    // rule D4
    for policy in [Deprovision::Delete, Deprovision::Deactivate] {
        let mut w = ten();
        w.assign(&many(10));
        w.options.groups.deleted_in_source = policy;
        w.options.guards.removals_per_group = TWO;
        w.delete("half");
        assert_eq!(tripped(&w), (1, String::new(), 0), "{policy:?}");
        w.options.guards.removals_in_all = Some(Limit::new(Some(5), 100, 0));
        assert_eq!(tripped(&w), (1, String::new(), 0), "{policy:?}");
        w.options.guards.removals_in_all = Some(Limit::new(Some(4), 100, 0));
        assert_eq!(tripped(&w), (0, "RemovalsInAll 5 > 4 of 15".to_owned(), 1), "{policy:?}");
    }
}

#[test]
fn removals_that_only_precede_a_delete_are_not_counted_and_are_held_with_it() {
    // rules D4, D5, D2
    let mut store = capabilities();
    store.memberships_on_delete = MembershipsOnDelete::RemoveFirst;
    let mut w = World::with_store(store);
    w.users("a b c");
    w.group("staff", "a b c");
    w.assign("staff");
    w.options.guards = Guards::off();
    w.sync();
    w.options.guards.removals_in_all = Some(Limit::new(Some(0), 0, 0));
    w.options.guards.removals_per_group = Some(Limit::new(Some(0), 0, 0));
    w.delete("a");
    w.delete("b");
    assert_eq!(
        w.lines(),
        [
            "remove staff: a b (MemberDeleted)",
            "delete user a (DeletedInSource)",
            "delete user b (DeletedInSource)",
        ]
    );
    w.options.guards.user_deletes = Some(Limit::new(Some(1), 100, 0));
    assert_eq!(
        w.lines(),
        [
            "limit UserDeletes: 2 > 1 of 3",
            "held by [0]: remove staff: a b (MemberDeleted)",
            "held by [0]: delete user a (DeletedInSource)",
            "held by [0]: delete user b (DeletedInSource)",
        ]
    );
}

#[test]
fn abort_runs_nothing_and_shows_everything() {
    // rule D5
    let mut w = ten();
    w.options.guards.user_deletes = TWO;
    w.options.guards.on_trip = OnTrip::Abort;
    for user in ["u7", "u8", "u9"] {
        w.delete(user);
    }
    w.edit("u0").set("title", "x");
    assert_eq!(tripped(&w), (0, "UserDeletes 3 > 2 of 10".to_owned(), 4));
    assert_eq!(w.run().outcomes.len(), 0);
    w.options.guards.user_deletes = None;
    assert_eq!(tripped(&w), (4, String::new(), 0));
}

#[test]
fn the_default_limits_stop_a_mass_deletion_and_let_a_small_one_pass() {
    // rule D4
    let mut w = ten();
    w.options.guards = Guards::default();
    for i in 5..10 {
        w.delete(&format!("u{i}"));
    }
    assert_eq!(tripped(&w), (5, String::new(), 0));
    w.delete("u4");
    assert_eq!(tripped(&w), (0, "UserDeletes 6 > 5 of 10".to_owned(), 6));
}

#[test]
fn an_operation_that_two_limits_hold_names_both() {
    // rule D5
    let mut w = ten();
    w.assign(&many(10));
    w.options.guards.removals_in_all = TWO;
    w.options.guards.removals_per_group = TWO;
    w.edit_group("half").members(&many(2));
    assert_eq!(
        w.lines(),
        [
            "limit RemovalsInAll: 3 > 2 of 15",
            "limit RemovalsPerGroup of half: 3 > 2 of 5",
            "held by [0, 1]: remove half: u2 u3 u4 (NoPath)",
        ]
    );
}

#[test]
fn whatever_is_held_is_what_remains_once_the_rest_was_applied() {
    // rules D5, P4
    let mut w = ten();
    w.options.guards.user_deletes = TWO;
    for user in ["u7", "u8", "u9"] {
        w.delete(user);
    }
    w.edit("u0").set("title", "x");
    let held: Vec<String> = w.lines().into_iter().filter(|line| line.starts_with("held")).collect();
    assert!(w.run().is_success());
    assert_eq!(w.lines()[1..], held);
}

#[test]
fn under_abort_many_tripped_limits_make_no_huge_plan() {
    // rules S1, D5
    let mut w = World::new();
    w.users("a b c");
    for i in 0..300 {
        w.group(&format!("g{i:03}"), "a b c");
        w.assign(&format!("g{i:03}"));
    }
    w.options.guards = Guards::off();
    w.sync();
    w.options.guards.removals_per_group = TWO.map(|_| Limit::new(Some(0), 0, 0));
    w.options.guards.on_trip = OnTrip::Abort;
    for i in 0..300 {
        w.edit_group(&format!("g{i:03}")).members("a");
    }
    let plan = w.plan();
    assert_eq!((plan.tripped().len(), plan.held().len()), (300, 300));
    assert!(plan.held().all(|held| held.by().len() == 8));
}
