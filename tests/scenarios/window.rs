//! Limits over several runs (rule D4).

use identity_sync::{ApplyOptions, ErrorKind, Host, Limit, Period, Timestamp, Window, apply};
use pollster::block_on;
use pretty_assertions::assert_eq;

use crate::faulty::{Fault, Scripted};
use crate::timeline::Timeline;
use crate::world::{World, capabilities, guards};

fn many(range: std::ops::Range<usize>) -> String {
    range.map(|i| format!("u{i:03} ")).collect()
}

/// A hundred users, each assigned, and members of one group.
fn hundred() -> Timeline {
    let mut w = World::new();
    w.users(&many(0..100));
    w.group("all", &many(0..100));
    w.assign(&many(0..100));
    w.assign("all");
    w.options.guards = guards(|guards| guards.window = Some(Window::default()));
    Timeline::start(w)
}

fn delete(t: &mut Timeline, range: std::ops::Range<usize>) {
    range.for_each(|i| t.delete(&format!("u{i:03}")));
}

#[test]
fn many_small_deletions_are_one_large_one() {
    // rule D4: five times 19 % within a day trip
    let mut t = hundred();
    t.options.guards.user_deletes = Some(Limit::new(Some(500), 20, 5));
    delete(&mut t, 0..19);
    assert_eq!(t.run().iter().filter(|line| line.starts_with("delete")).count(), 19);
    // Of the hundred that there were at the beginning of the window 30 may go.
    delete(&mut t, 19..30);
    t.hours(5);
    assert_eq!(t.run().iter().filter(|line| line.starts_with("delete")).count(), 11);
    delete(&mut t, 30..31);
    assert_eq!(
        t.hours(5).lines()[..2],
        ["limit UserDeletes: 30 + 1 > 30 of 100", "held by [0]: delete user u030 (DeletedInSource)",]
    );
    // The nineteen are older than a day by then; the eleven are not.
    assert_eq!(t.hours(14).run()[0], "delete user u030 (DeletedInSource)");
}

#[test]
fn what_was_spent_is_forgotten_at_the_end_of_the_window_and_not_before() {
    // rule D4
    let mut t = hundred();
    t.options.guards.user_deletes = Some(Limit::new(None, 10, 0));
    t.options.guards.window = Some(Window { period: Period::of_hours(24), percent: 100 });
    delete(&mut t, 0..10);
    t.run();
    delete(&mut t, 10..11);
    t.now += 86_399;
    assert_eq!(t.lines()[0], "limit UserDeletes: 10 + 1 > 10 of 100");
    t.now += 1;
    assert_eq!(t.lines()[0], "delete user u010 (DeletedInSource)");
}

#[test]
fn what_may_have_happened_is_spent_and_what_was_not_tried_is_not() {
    // rules D4, X1
    let refused = Fault::Refuse(ErrorKind::Unauthorized);
    let lost = Fault::LoseAnswer(ErrorKind::Transient);
    // Where nothing was done the same two are planned again, and may go.
    for (fault, others, limit) in
        [(refused, 0..0, None), (lost, 2..4, Some("limit UserDeletes: 2 + 2 > 2 of 10"))]
    {
        let mut store = capabilities();
        store.batch = 1;
        let mut w = World::with_store(store);
        w.users(&many(0..10));
        w.assign(&many(0..10));
        w.options.guards = guards(|guards| guards.window = Some(Window::default()));
        let mut t = Timeline::start(w);
        t.options.guards.user_deletes = Some(Limit::new(Some(2), 100, 0));
        t.options.guards.window = Some(Window { period: Period::of_hours(24), percent: 100 });
        delete(&mut t, 0..2);
        let script = Scripted::new(&t.store, [(0, fault)]);
        let (plan, options) = (t.plan(), ApplyOptions::default());
        let report = block_on(apply(&plan, &script, &options, &Host::default())).unwrap();
        t.state = report.run;
        delete(&mut t, others);
        let lines = t.hours(1).lines();
        let tripped = lines.iter().find(|line| line.starts_with("limit")).map(String::as_str);
        assert_eq!(tripped, limit);
    }
}

#[test]
fn what_was_planned_under_a_wrong_time_is_spent_at_the_time_that_was_put_right() {
    // rules D4, D7
    let mut t = hundred();
    t.options.guards.user_deletes = Some(Limit::new(None, 10, 0));
    t.options.guards.window = Some(Window { period: Period::of_hours(24), percent: 100 });
    delete(&mut t, 0..10);
    t.days(5_000);
    let plan = t.look();
    t.days(-4_999);
    t.state.accept_time(Timestamp(t.now));
    let report = t.apply(&plan).unwrap();
    t.state.absorb(&report);
    delete(&mut t, 10..11);
    assert_eq!(t.hours(23).lines()[0], "limit UserDeletes: 10 + 1 > 10 of 100");
    assert_eq!(t.hours(1).lines()[0], "delete user u010 (DeletedInSource)");
}

#[test]
fn each_group_and_each_attribute_has_a_window_of_its_own() {
    // rule D4
    let mut t = hundred();
    t.group("other", &many(0..100));
    t.assign("other");
    t.options.guards.removals_per_group = Some(Limit::new(None, 10, 0));
    t.options.guards.clears_per_attribute = Some(Limit::new(None, 10, 0));
    for i in 0..100 {
        t.edit(&format!("u{i:03}")).set("title", "x").set("company", "y");
    }
    t.run();
    t.edit_group("all").members(&many(10..100));
    (0..10).for_each(|i| {
        t.edit(&format!("u{i:03}")).unset("title");
    });
    assert_eq!(t.run().iter().filter(|line| line.starts_with("limit")).count(), 0);
    t.edit_group("all").members(&many(16..100));
    t.edit_group("other").members(&many(6..100));
    (10..16).for_each(|i| {
        t.edit(&format!("u{i:03}")).unset("title");
    });
    (0..6).for_each(|i| {
        t.edit(&format!("u{i:03}")).unset("company");
    });
    let lines = t.hours(1).lines();
    let limits: Vec<&String> = lines.iter().filter(|line| line.starts_with("limit")).collect();
    assert_eq!(
        limits,
        [
            "limit RemovalsPerGroup of all: 10 + 6 > 15 of 100",
            "limit ClearsPerAttribute of title: 10 + 6 > 15 of 100",
        ]
    );
}

#[test]
fn what_is_held_or_fails_spends_nothing() {
    // rule D4
    let mut t = hundred();
    t.options.guards.user_deletes = Some(Limit::new(None, 10, 0));
    delete(&mut t, 0..11);
    for _ in 0..5 {
        t.hours(1).run();
    }
    t.options.guards.user_deletes = Some(Limit::new(None, 11, 0));
    assert_eq!(t.run().iter().filter(|line| line.starts_with("delete")).count(), 11);
}

#[test]
fn growth_over_several_runs_is_measured_against_what_there_was() {
    // rule D4
    let mut t = hundred();
    t.options.guards.grants = Some(Limit::new(None, 10, 0));
    let new: String = (0..20).map(|i| format!("n{i} ")).collect();
    t.users(&new);
    t.assign(&new);
    // Twenty of two hundred users and memberships.
    assert_eq!(t.run().len(), 20);
    let more: String = (20..31).map(|i| format!("n{i} ")).collect();
    t.users(&more);
    t.assign(&more);
    assert_eq!(t.hours(1).lines()[0], "limit Grants: 20 + 11 > 30 of 200");
}

#[test]
fn members_lost_with_a_group_are_spent_too() {
    // rule D4
    let mut t = hundred();
    t.group("one", &many(0..10));
    t.group("two", &many(0..10));
    t.assign("one two");
    t.run();
    t.options.guards.removals_in_all = Some(Limit::new(Some(12), 100, 0));
    t.delete("one");
    assert_eq!(t.run()[0], "delete group one (DeletedInSource)");
    t.delete("two");
    assert_eq!(t.hours(1).lines()[0], "limit RemovalsInAll: 10 + 10 > 18 of 120");
}

#[test]
fn only_what_may_have_moved_is_spent() {
    // rules D4, X1
    let mut t = hundred();
    t.options.guards.grants = Some(Limit::new(Some(40), 100, 0));
    t.users("x1 x2 x3");
    t.group("new", "x1 x2 x3");
    t.assign("new");
    // The name of the group is taken meanwhile: neither group nor memberships come about, however often it is tried.
    for _ in 0..5 {
        let plan = t.plan();
        let taken = crate::world::record(&[("displayName", "new")]);
        t.put(identity_sync::Kind::Group, "local", taken);
        let report = t.apply(&plan).unwrap();
        t.state = report.run;
        t.store.state().groups.remove("local");
        t.hours(1);
    }
    assert_eq!(t.plan().tripped(), []);
    assert_eq!(t.run().iter().filter(|line| line.starts_with("add")).count(), 1);
}

#[test]
fn a_list_that_went_out_in_part_is_spent_in_part() {
    // rules D4, X1
    let mut store = crate::world::capabilities();
    store.members_per_write = 10;
    let mut w = World { store: World::with_store(store).store, ..World::new() };
    w.users(&many(0..100));
    w.group("all", &many(0..100));
    w.assign("all");
    w.options.guards = guards(|guards| guards.window = Some(Window::default()));
    let mut t = Timeline::start(w);
    t.options.guards.removals_per_group = Some(Limit::new(Some(30), 100, 0));
    t.edit_group("all").members(&many(30..100));
    let plan = t.plan();
    let refuse = crate::faulty::Fault::Refuse(identity_sync::ErrorKind::Invalid);
    let faulty = crate::faulty::Scripted::new(&t.store, [(2, refuse)]);
    let (options, host) = (identity_sync::ApplyOptions::default(), identity_sync::Host::default());
    let report = identity_sync::apply(&plan, &faulty, &options, &host);
    let report = pollster::block_on(report).unwrap();
    assert!(!report.is_success());
    t.state = report.run;
    // Twenty have left; forty-five may, in all.
    t.edit_group("all").members(&many(46..100));
    assert_eq!(t.hours(1).lines()[0], "limit RemovalsPerGroup of all: 20 + 26 > 45 of 100");
}

#[test]
fn reports_of_plans_that_overtook_each_other_are_taken_in_one_by_one() {
    // rules D4, D7
    let mut t = hundred();
    t.options.guards.user_deletes = Some(Limit::new(Some(2), 100, 0));
    delete(&mut t, 0..2);
    let older = t.plan();
    t.state.pause(identity_sync::Timestamp(t.now));
    // The plan from before the pause is applied all the same; its report neither ends the pause nor is it lost.
    let report = t.apply(&older).unwrap();
    let mut kept = t.state.clone();
    kept.absorb(&report);
    assert!(kept.is_paused());
    kept.resume(identity_sync::Timestamp(t.now));
    t.state = kept;
    delete(&mut t, 2..4);
    assert_eq!(t.hours(1).lines()[0], "limit UserDeletes: 2 + 2 > 3 of 100");
}

#[test]
fn a_window_over_many_groups_and_runs_is_judged_in_near_linear_time() {
    // rule S1
    let mut w = World::new();
    w.users("a b");
    let groups: Vec<String> = (0..2_000).map(|i| format!("g{i}")).collect();
    for group in &groups {
        w.group(group, "a b");
        w.assign(group);
    }
    w.options.guards = guards(|guards| guards.window = Some(Window::default()));
    let mut t = Timeline::start(w);
    t.options.guards.removals_per_group = Some(Limit::new(None, 100, 10));
    for members in ["a", "a b", "a", "a b", "a"] {
        for group in &groups {
            t.edit_group(group).members(members);
        }
        t.hours(1).run();
    }
    assert!(t.plan().is_empty());
}

#[test]
fn what_was_spent_in_a_wrong_time_leaves_the_window_a_day_after_it_was_put_right() {
    // rules D4, D7
    let mut t = hundred();
    t.options.guards.user_deletes = Some(Limit::new(Some(500), 20, 5));
    t.days(1_000);
    delete(&mut t, 0..19);
    t.run();
    t.days(-1_000);
    t.state.accept_time(identity_sync::Timestamp(t.now));
    delete(&mut t, 19..35);
    assert_eq!(t.plan().held().len(), 16);
    t.now += 86_399;
    assert_eq!(t.plan().held().len(), 16);
    t.now += 1;
    assert_eq!(t.plan().held().len(), 0);
}

#[test]
fn adoptions_are_spent_and_what_failed_is_not() {
    // rules D4, M3, X1
    use crate::faulty::{Fault, Scripted};
    let mut store = crate::world::capabilities();
    store.adoption = identity_sync::Adoption::Supported;
    let mut w = World::with_store(store);
    w.options.soft_match.users.insert("userName".into());
    w.options.guards = guards(|guards| {
        guards.window = Some(Window { period: Period::of_hours(24), percent: 100 });
        guards.adoptions = Some(Limit::new(Some(1), 100, 1));
        guards.user_deletes = Some(Limit::new(Some(1), 100, 1));
    });
    w.users("a b c");
    w.assign("a b c");
    let mut t = Timeline::start(w);
    for name in ["x", "y"] {
        t.put(identity_sync::Kind::User, name, crate::world::record(&[("userName", name)]));
    }
    t.users("x");
    t.assign("x");
    assert_eq!(t.run(), ["adopt user x as x (Matched)"]);
    t.users("y");
    t.assign("y");
    assert_eq!((t.plan().len(), t.plan().held().len()), (0, 1));
    assert_eq!(t.lines()[0], "limit Adoptions: 1 + 1 > 1 of 3");
    // A delete that the store refuses takes nothing from what may be deleted.
    t.unassign("y");
    t.hide("y");
    t.delete("a");
    let plan = t.plan();
    let store = Scripted::new(&t.store, [(0, Fault::Refuse(identity_sync::ErrorKind::Invalid))]);
    let (options, host) = (identity_sync::ApplyOptions::default(), identity_sync::Host::default());
    let report = pollster::block_on(identity_sync::apply(&plan, &store, &options, &host)).unwrap();
    assert_eq!(report.applied(), 0);
    t.state = report.run;
    assert_eq!(t.lines()[0], "delete user a (DeletedInSource)");
}

#[test]
fn every_limit_counts_over_the_runs_of_its_window() {
    // rule D4
    use identity_sync::{AccountState, Guards, LimitName};
    type Set = fn(&mut Guards, Option<Limit>);
    type Change = fn(&mut Timeline, &str);
    let one = Some(Limit::new(Some(1), 100, 1));
    let cases: [(LimitName, Set, Change, [&str; 2]); 7] = [
        (
            LimitName::UserDeletes,
            |guards, limit| guards.user_deletes = limit,
            |t, who| t.delete(who),
            ["a", "b"],
        ),
        (
            LimitName::Deactivations,
            |guards, limit| guards.deactivations = limit,
            |t, who| {
                t.edit(who).state(AccountState::Disabled);
            },
            ["a", "b"],
        ),
        (
            LimitName::GroupDeletes,
            |guards, limit| guards.group_deletes = limit,
            |t, who| t.delete(who),
            ["g", "h"],
        ),
        (
            LimitName::RemovalsInAll,
            |guards, limit| guards.removals_in_all = limit,
            |t, who| {
                t.edit_group(who).members("a b");
            },
            ["g", "h"],
        ),
        (
            LimitName::RemovalsPerGroup,
            |guards, limit| guards.removals_per_group = limit,
            |t, who| {
                t.edit_group("g").members(who);
            },
            ["a b", "a"],
        ),
        (
            LimitName::ClearsPerAttribute,
            |guards, limit| guards.clears_per_attribute = limit,
            |t, who| {
                t.edit(who).unset("title");
            },
            ["a", "b"],
        ),
        (
            LimitName::Grants,
            |guards, limit| guards.grants = limit,
            |t, who| {
                t.users(who);
                t.assign(who);
            },
            ["new", "newer"],
        ),
    ];
    for (name, set, change, whom) in cases {
        let mut w = World::new();
        w.options.guards = guards(|guards| {
            guards.window = Some(Window { period: Period::of_hours(24), percent: 100 });
        });
        w.users("a b c");
        for anchor in ["a", "b"] {
            w.edit(anchor).set("title", "x");
        }
        w.group("g", "a b c");
        w.group("h", "a b c");
        w.group("k", "");
        w.assign("a b c g h k");
        let mut t = Timeline::start(w);
        set(&mut t.options.guards, one);
        change(&mut t, whom[0]);
        let plan = t.hours(1).plan();
        assert_eq!((plan.len(), plan.held().len()), (1, 0), "{name:?}");
        t.run();
        change(&mut t, whom[1]);
        let plan = t.hours(1).plan();
        assert_eq!((plan.len(), plan.held().len()), (0, 1), "{name:?}");
        assert_eq!((plan.tripped()[0].limit, plan.tripped()[0].spent), (name, 1));
        // A day after the first it is forgotten.
        let plan = t.hours(23).plan();
        assert_eq!((plan.len(), plan.held().len()), (1, 0), "{name:?}");
    }
}

#[test]
fn what_only_precedes_a_delete_and_groups_that_are_made_are_not_spent() {
    // rules D4, D2
    let mut store = capabilities();
    store.memberships_on_delete = identity_sync::MembershipsOnDelete::RemoveFirst;
    let mut w = World::with_store(store);
    w.users(&many(0..10));
    w.group("all", &many(0..10));
    w.assign(&many(0..10));
    w.assign("all");
    let mut t = Timeline::start(w);
    let window = Window { period: Period::of_hours(24), percent: 100 };
    t.options.guards = guards(|guards| guards.window = Some(window));
    t.options.guards.removals_in_all = Some(Limit::new(Some(1), 100, 0));
    t.options.guards.grants = Some(Limit::new(Some(1), 100, 0));
    delete(&mut t, 0..1);
    t.group("new", "");
    t.assign("new");
    assert_eq!(
        t.run()[..3],
        [
            "remove all: u000 (MemberDeleted)",
            "delete user u000 (DeletedInSource)",
            "create group new [displayName=new] (Entitled)",
        ]
    );
    // Both limits are as they were: one may leave, and one may come in.
    t.edit_group("all").members(&many(2..10));
    t.edit_group("new").members("u002");
    assert_eq!(t.hours(1).lines()[..2], ["remove all: u001 (NoPath)", "add new: u002 (Entitled)"]);
}

#[test]
fn one_member_of_a_list_that_failed_later_is_spent() {
    // rules D4, X1
    let mut store = capabilities();
    store.members_per_write = 1;
    let mut w = World::with_store(store);
    w.users(&many(0..10));
    w.group("all", &many(0..10));
    w.assign("all");
    let mut t = Timeline::start(w);
    let window = Window { period: Period::of_hours(24), percent: 100 };
    t.options.guards = guards(|guards| guards.window = Some(window));
    t.options.guards.removals_in_all = Some(Limit::new(Some(2), 100, 0));
    t.edit_group("all").members(&many(2..10));
    let script = Scripted::new(&t.store, [(1, Fault::Refuse(ErrorKind::Invalid))]);
    let report = block_on(apply(&t.plan(), &script, &ApplyOptions::default(), &Host::default())).unwrap();
    assert_eq!(report.applied(), 0);
    t.state = report.run;
    t.edit_group("all").members(&many(3..10));
    assert_eq!(t.hours(1).lines()[0], "limit RemovalsInAll: 1 + 2 > 2 of 10");
}
