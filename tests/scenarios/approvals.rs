//! What limits hold is shown, cut down, approved, and runs if it is still planned unchanged (rule D5).

use identity_sync::{
    Approval, Concurrency, Guards, HeldSet, Kind, Limit, MembershipsOnDelete, OnTrip, PlanError,
    ReconcileError,
};
use pretty_assertions::assert_eq;

use crate::timeline::Timeline;
use crate::world::{World, capabilities, guards};

const TWO: Option<Limit> = Some(Limit::new(Some(2), 100, 0));

fn many(count: usize) -> String {
    (0..count).map(|i| format!("u{i} ")).collect()
}

/// Ten users in `all`; at most two may be deleted.
fn ten() -> Timeline {
    let mut w = World::new();
    w.users(&many(10));
    w.group("all", &many(10));
    w.assign("all");
    w.options.guards = guards(|guards| guards.user_deletes = TWO);
    Timeline::start(w)
}

fn held(t: &Timeline) -> usize {
    t.plan().held().len()
}

#[test]
fn a_limit_that_never_clears_by_itself_is_cleared_by_an_approval() {
    // rule D5
    let mut t = ten();
    for user in ["u7", "u8", "u9"] {
        t.delete(user);
    }
    for _ in 0..30 {
        t.days(1).run();
        assert_eq!(held(&t), 3, "every run comes to the same");
    }
    let file = t.held_file();
    assert_eq!(
        file.to_string(),
        "user deletes: 3 planned, 2 allowed of 10\n\
         1: - delete user u7 [u7] (deleted in the source)\n\
         2: - delete user u8 [u8] (deleted in the source)\n\
         3: - delete user u9 [u9] (deleted in the source)\n"
    );
    t.approvals.push(file.approve());
    assert_eq!(
        t.run(),
        [
            "delete user u7 (DeletedInSource, approved)",
            "delete user u8 (DeletedInSource, approved)",
            "delete user u9 (DeletedInSource, approved)",
        ]
    );
    assert!(t.plan().is_empty());
}

#[test]
fn a_part_may_be_approved_and_the_rest_is_judged_on_its_own() {
    // rule D5
    let mut t = ten();
    for user in ["u5", "u6", "u7", "u8", "u9"] {
        t.delete(user);
    }
    // One approved, four left: still two too many.
    t.approvals = vec![t.held_file().only(|at| at == 0).approve()];
    let lines = t.lines();
    assert_eq!(lines[..2], ["delete user u5 (DeletedInSource, approved)", "limit UserDeletes: 4 > 2 of 10"]);
    // Three approved: the other two are within the limit.
    t.approvals = vec![t.held_file().only(|at| at < 3).approve()];
    assert_eq!(t.lines().len(), 5);
    assert_eq!(held(&t), 0);
}

#[test]
fn nothing_that_was_not_shown_runs_under_an_approval() {
    // rule D5
    let mut t = ten();
    for user in ["u7", "u8", "u9"] {
        t.delete(user);
    }
    let approval = t.held_file().approve();
    for user in ["u4", "u5", "u6"] {
        t.delete(user);
    }
    t.approvals.push(approval);
    let lines = t.lines();
    assert_eq!(lines[3], "limit UserDeletes: 3 > 2 of 10");
    assert_eq!(lines[4], "held by [0]: delete user u4 (DeletedInSource)");
}

#[test]
fn what_has_changed_since_is_not_approved() {
    // rule D5
    let mut t = ten();
    t.options.guards = guards(|guards| guards.clears_per_attribute = TWO);
    for i in 0..5 {
        t.edit(&format!("u{i}")).set("title", "x");
    }
    t.run();
    for i in 0..3 {
        t.edit(&format!("u{i}")).unset("title");
    }
    let approval = t.held_file().approve();
    // One operation now does more than what was shown, and of another record the old value is another one.
    t.edit("u0").set("mail", "u0@x");
    let id = t.id("u1");
    t.store.state().users.get_mut(&id).unwrap().attributes.insert("title".into(), vec!["y".into()]);
    t.edit("u3").unset("title");
    t.approvals.push(approval);
    let lines = t.lines();
    assert_eq!(lines[0], "update user u2 [title: x -> ] (Changed, approved)");
    assert_eq!(lines[1], "limit ClearsPerAttribute of title: 3 > 2 of 5");
    assert_eq!(
        lines.last().unwrap(),
        "note: 2 approved operations are done, or not planned like that any more"
    );
}

#[test]
fn members_are_approved_one_by_one() {
    // rule D5: a list that grows every day could never be approved otherwise
    let mut t = ten();
    t.users("x");
    t.options.guards = guards(|guards| guards.removals_per_group = TWO);
    t.edit_group("all").members(&many(6));
    let approval = t.held_file().approve();
    assert_eq!(approval.len(), 4);
    t.edit_group("all").members(&many(3));
    t.approvals.push(approval);
    assert_eq!(
        t.lines()[..3],
        [
            "remove all: u6 u7 u8 u9 (NoPath, approved)",
            "limit RemovalsPerGroup of all: 3 > 2 of 10",
            "held by [0]: remove all: u3 u4 u5 (NoPath)",
        ]
    );
    t.edit_group("all").members(&many(5));
    assert_eq!(t.lines()[..2], ["remove all: u5 (NoPath)", "remove all: u6 u7 u8 u9 (NoPath, approved)"]);
    t.run();
    assert!(t.plan().is_empty());
}

#[test]
fn a_member_may_be_cut_out_of_the_file() {
    // rule D5
    let mut t = ten();
    t.options.guards = guards(|guards| guards.removals_per_group = Some(Limit::new(Some(0), 0, 0)));
    t.edit_group("all").members(&many(7));
    let mut file = serde_json::to_value(t.plan().held_set()).unwrap();
    file["operations"][0]["members"].as_array_mut().unwrap().remove(1);
    t.approvals = vec![serde_json::from_value::<HeldSet>(file).unwrap().approve()];
    assert_eq!(t.run()[0], "remove all: u7 u9 (NoPath, approved)");
    assert_eq!(t.lines()[1], "held by [0]: remove all: u8 (NoPath)");
}

#[test]
fn an_approval_is_good_for_one_time() {
    // rule D5
    let mut t = ten();
    t.options.guards = guards(|guards| guards.deactivations = Some(Limit::new(Some(0), 0, 0)));
    t.edit("u1").disabled();
    let approval = t.held_file().approve();
    t.approvals = vec![approval.clone()];
    assert_eq!(t.run(), ["deactivate u1 (DisabledInSource, approved)"]);
    // Enabled, and disabled again: nobody has looked at that.
    t.edit("u1").state(identity_sync::AccountState::Enabled);
    t.run();
    t.days(1);
    t.edit("u1").disabled();
    t.approvals = vec![approval];
    assert_eq!(t.lines()[0], "limit Deactivations: 1 > 0 of 10");
    t.approvals = vec![t.held_file().approve()];
    assert_eq!(t.run()[0], "deactivate u1 (DisabledInSource, approved)");
}

/// Deactivations are held; u1 is disabled, and was shown on two days: both approvals.
fn shown_twice(store: Concurrency) -> (Timeline, Approval, Approval) {
    let mut capabilities = capabilities();
    capabilities.concurrency = store;
    let mut w = World::with_store(capabilities);
    w.users(&many(10));
    w.assign(&many(10));
    w.options.guards = guards(|guards| guards.deactivations = Some(Limit::new(Some(0), 0, 0)));
    let mut t = Timeline::start(w);
    t.edit("u1").disabled();
    let first = t.held_file().approve();
    let second = t.days(1).held_file().approve();
    (t, first, second)
}

/// Somebody makes u1 active again.
fn switch_on(t: &Timeline) {
    let id = t.id("u1");
    t.store.state().users.get_mut(&id).unwrap().active = true;
}

#[test]
fn a_run_takes_its_approvals_one_after_the_other() {
    // rule D5
    let (t, first, _) = shown_twice(Concurrency::Conditional);
    let run = identity_sync::Run::new(t.state.clone(), identity_sync::Timestamp(t.now));
    let run = run.approving(first.clone()).approving(first);
    assert_eq!((run.approvals.len(), run.now.0), (2, t.now));
}

#[test]
fn two_approvals_of_one_operation_are_both_used_at_once() {
    // rule D5
    for swapped in [false, true] {
        let (mut t, first, second) = shown_twice(Concurrency::Conditional);
        t.approvals = if swapped { vec![second.clone(), first] } else { vec![first, second.clone()] };
        assert_eq!(t.run(), ["deactivate u1 (DisabledInSource, approved)"]);
        switch_on(&t);
        t.approvals = vec![second];
        assert_eq!(held(&t), 1);
    }
}

#[test]
fn a_clock_that_is_put_right_uses_up_no_approval() {
    // rules D5, D7
    let (mut t, first, second) = shown_twice(Concurrency::Conditional);
    t.approvals = vec![first];
    t.run();
    switch_on(&t);
    t.days(1).look();
    t.state.accept_time(identity_sync::Timestamp(t.now));
    t.approvals = vec![second];
    assert_eq!(t.lines(), ["deactivate u1 (DisabledInSource, approved)"]);
}

#[test]
fn of_two_reports_that_are_absorbed_the_later_approval_counts_as_used() {
    // rules D5, D7
    for swapped in [false, true] {
        let (mut t, first, second) = shown_twice(Concurrency::ReadAgain);
        let mut plans = Vec::new();
        for approval in [first, second.clone()] {
            t.approvals = vec![approval];
            plans.push(t.plan());
        }
        if swapped {
            plans.reverse();
        }
        for plan in plans {
            let report = t.apply(&plan).unwrap();
            assert_eq!(report.applied(), 1, "{report}");
            t.state.absorb(&report);
            switch_on(&t);
        }
        t.approvals = vec![second];
        assert_eq!(held(&t), 1);
    }
}

#[test]
fn an_approval_that_was_not_used_yet_lasts() {
    // rule D5
    let mut t = ten();
    for user in ["u7", "u8", "u9"] {
        t.delete(user);
    }
    let approval = t.held_file().approve();
    t.days(200).run();
    t.approvals = vec![approval.clone()];
    assert_eq!(held(&t), 0);
    // Not for ever, though.
    t.days(200);
    assert_eq!(held(&t), 3);
}

#[test]
fn what_depends_on_an_approved_operation_runs_with_it_and_not_before_it() {
    // rules D5, M4
    let mut t = ten();
    for user in ["u7", "u8", "u9"] {
        t.delete(user);
    }
    t.user("new").set("userPrincipalName", "u9");
    t.assign("new");
    let file = t.held_file();
    assert_eq!(file.len(), 4);
    // The creation alone was approved: the delete that it needs was not.
    t.approvals = vec![file.clone().only(|at| at == 3).approve()];
    assert_eq!(held(&t), 4);
    t.approvals = vec![file.only(|at| at < 3).approve()];
    assert_eq!(t.lines().last().unwrap(), "create user new [userName=u9] (Entitled)");
    assert_eq!(held(&t), 0);
}

#[test]
fn abort_runs_what_was_approved_and_nothing_else() {
    // rule D5
    let mut t = ten();
    t.options.guards.on_trip = OnTrip::Abort;
    for user in ["u6", "u7", "u8", "u9"] {
        t.delete(user);
    }
    t.edit("u0").set("title", "x");
    t.approvals = vec![t.held_file().only(|at| at == 0).approve()];
    assert_eq!(t.plan().len(), 1);
    assert_eq!(held(&t), 4);
    t.approvals = vec![t.held_file().approve()];
    assert_eq!(t.run().len(), 5);
}

#[test]
fn under_abort_the_least_eight_of_many_limits_are_named_with_each_operation() {
    // rules D5, P2: in whatever order the directory and the store list the groups
    for order in
        [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], [9, 8, 7, 6, 5, 4, 3, 2, 1, 0], [3, 9, 1, 7, 0, 5, 8, 2, 6, 4]]
    {
        let mut w = World::new();
        w.users("ada bob");
        w.assign("ada bob");
        for (at, i) in order.into_iter().enumerate() {
            let group = format!("g{i}");
            w.group(&group, "ada");
            w.assign(&group);
            w.record(Kind::Group, &format!("id{at}"), &group, &[("displayName", &group)]);
        }
        w.options.guards = Guards::off();
        w.sync();
        (0..10).for_each(|i| {
            w.edit_group(&format!("g{i}")).members("bob");
        });
        w.options.guards.removals_per_group = Some(Limit::new(Some(0), 0, 0));
        w.options.guards.on_trip = OnTrip::Abort;
        let plan = w.plan();
        let named = |by: u32| plan.tripped()[by as usize].group.as_ref().unwrap().as_str().to_owned();
        for held in plan.held() {
            let groups: Vec<String> = held.by().iter().map(|&by| named(by)).collect();
            assert_eq!(groups, ["g0", "g1", "g2", "g3", "g4", "g5", "g6", "g7"]);
        }
        assert_eq!(plan.held().len(), 20);
    }
}

#[test]
fn under_abort_what_precedes_an_approved_delete_goes_with_it() {
    // rules D5, D2: found by a history
    let mut store = capabilities();
    store.memberships_on_delete = MembershipsOnDelete::RemoveFirst;
    let mut w = World::with_store(store);
    w.users(&many(5));
    w.group("all", &many(5));
    w.assign("all");
    w.options.guards = guards(|guards| guards.user_deletes = Some(Limit::new(Some(0), 0, 0)));
    w.options.guards.on_trip = OnTrip::Abort;
    let mut t = Timeline::start(w);
    t.delete("u3");
    t.delete("u4");
    let file = t.held_file();
    assert_eq!(file.len(), 3);
    // The delete of one of the two, and nothing else, was left in the file.
    t.approvals = vec![file.only(|at| at == 1).approve()];
    assert_eq!(
        t.lines()[..2],
        ["remove all: u3 (MemberDeleted)", "delete user u3 (DeletedInSource, approved)"]
    );
    t.run();
    assert_eq!(held(&t), 2);
}

#[test]
fn a_swap_of_names_that_was_held_is_approved_as_it_was_shown() {
    // rules D5, P6
    let mut t = ten();
    t.options.guards = guards(|guards| guards.user_deletes = Some(Limit::new(Some(0), 0, 0)));
    t.options.guards.on_trip = OnTrip::Abort;
    t.delete("u9");
    t.edit("u0").set("userPrincipalName", "u1");
    t.edit("u1").set("userPrincipalName", "u0");
    let file = t.held_file();
    assert_eq!(file.len(), 4);
    t.approvals = vec![file.approve()];
    assert_eq!(t.plan().len(), 4);
    t.run();
    assert!(t.plan().is_empty());
}

#[test]
fn what_is_approved_spends_nothing_of_the_window() {
    // rules D5, D4
    let mut t = ten();
    t.options.guards.window = Some(identity_sync::Window::default());
    for user in ["u5", "u6", "u7", "u8", "u9"] {
        t.delete(user);
    }
    t.approvals = vec![t.held_file().approve()];
    t.run();
    for user in ["u3", "u4"] {
        t.delete(user);
    }
    assert_eq!(t.hours(1).run().len(), 2, "within the limit, though five were deleted an hour ago");
    t.delete("u2");
    t.delete("u1");
    assert_eq!(t.lines()[0], "limit UserDeletes: 2 + 2 > 3 of 5");
}

#[test]
fn an_approval_for_another_store_is_refused() {
    // rule D5
    let mut t = ten();
    t.delete("u9");
    t.options.guards.user_deletes = Some(Limit::new(Some(0), 0, 0));
    let mut file = serde_json::to_value(t.plan().held_set()).unwrap();
    file["store"] = "other".into();
    t.approvals = vec![serde_json::from_value::<HeldSet>(file).unwrap().approve()];
    assert!(matches!(t.found(), Err(ReconcileError::Plan(PlanError::ForeignApproval))));
}

#[test]
fn the_plan_says_since_when_an_operation_is_held() {
    // rules D5, D7
    let mut t = ten();
    for user in ["u7", "u8", "u9"] {
        t.delete(user);
    }
    t.days(1).run();
    t.reload();
    t.days(2);
    let plan = t.plan();
    assert!(plan.held().all(|held| held.since.0 == 86_400));
    assert!(plan.to_string().contains("held for 2days"), "{plan}");
    assert!(!t.plan().held_set().to_string().contains("held for"));
    // The limit is lifted, or grows with what it is measured against: what runs then was held, and says so.
    t.options.guards.user_deletes = None;
    let plan = t.plan();
    assert!(
        plan.to_string().contains("- delete user u7 [u7] (deleted in the source, was held for 2days)"),
        "{plan}"
    );
    assert!(plan.operations().all(|operation| operation.was_held().is_some()));
}

#[test]
fn a_limit_that_trips_every_day_in_a_busy_tenant_holds_up_nothing_else() {
    // rules D5, P4
    let mut t = ten();
    t.options.guards = Guards::default();
    for i in 0..6 {
        t.delete(&format!("u{i}"));
    }
    for day in 0..60 {
        t.user(&format!("day{day}"));
        t.assign(&format!("day{day}"));
        let lines = t.days(1).run();
        assert!(lines.contains(&format!("create user day{day} [userName=day{day}] (Entitled)")));
        // As the tenant grows, so does what it may lose: the limit clears by itself at thirty users.
        assert_eq!(lines.iter().any(|line| line.starts_with("held")), day < 20, "day {day}: {lines:?}");
    }
}

#[test]
fn a_group_that_has_grown_since_is_not_deleted_under_the_approval() {
    // rule D5
    let mut w = World::new();
    w.users(&many(10));
    w.group("club", "u0");
    w.group("other", "u0");
    w.assign(&many(10));
    w.assign("club");
    w.options.guards = guards(|guards| guards.group_deletes = Some(Limit::new(Some(0), 0, 0)));
    let mut t = Timeline::start(w);
    t.delete("club");
    let approval = t.held_file().approve();
    let (club, member) = (t.id("club"), t.id("u1"));
    t.put_member(&club, &member);
    t.approvals = vec![approval];
    assert_eq!(t.plan().len(), 0);
    t.approvals = vec![t.held_file().approve()];
    assert_eq!(t.lines()[0], "delete group club (DeletedInSource, approved)");
}

#[test]
fn a_sign_in_uses_no_approval_up() {
    // rules D5, J1
    let mut t = ten();
    t.options.guards = guards(|guards| guards.deactivations = Some(Limit::new(Some(0), 0, 0)));
    t.edit("u1").disabled();
    t.approvals = vec![t.held_file().approve()];
    let mut run = identity_sync::Run::new(t.state.clone(), identity_sync::Timestamp(t.now));
    run.approvals = t.approvals.clone();
    let (anchor, host) = ("u1".into(), identity_sync::Host::default());
    let signed = identity_sync::sign_in(&t.source, &t.store, &anchor, &t.options, &run, &host);
    let signed = pollster::block_on(signed).unwrap();
    assert_eq!(signed.report.run, t.state, "and changes nothing that is remembered");
    assert!(signed.plan.operations().all(|operation| !operation.is_approved()));
}

#[test]
fn a_file_of_another_format_is_refused_and_no_value_shows_in_debug() {
    // rules D5, S2
    let mut t = ten();
    t.edit("u0").set("title", "SECRET");
    t.options.guards.on_trip = OnTrip::Abort;
    for user in ["u7", "u8", "u9"] {
        t.delete(user);
    }
    let mut file = serde_json::to_value(t.plan().held_set()).unwrap();
    let run = identity_sync::Run::default().approving(t.held_file().approve());
    assert!(!format!("{run:?} {:?}", t.held_file()).contains("SECRET"));
    file["format"] = 99.into();
    assert!(serde_json::from_value::<HeldSet>(file).is_err());
}

#[test]
fn members_are_not_added_to_a_group_that_is_held_whoever_approves_them() {
    // rules D5, P6: under abort, of a new group and its members only the members are approved
    let mut t = ten();
    t.options.guards.on_trip = OnTrip::Abort;
    for user in ["u7", "u8", "u9"] {
        t.delete(user);
    }
    t.group("new", "u1");
    t.assign("new");
    let plan = t.plan();
    let adds = |at: usize| plan.held().nth(at).unwrap().operation.cause() == identity_sync::Cause::Entitled;
    let found: Vec<usize> = (0..plan.held().len()).filter(|&at| adds(at)).collect();
    assert_eq!(found.len(), 2, "{plan}");
    t.approvals = vec![t.held_file().only(|at| at == found[1]).approve()];
    assert_eq!((t.plan().len(), held(&t)), (0, 5));
    assert!(t.plan().held().all(|held| !held.operation.is_approved()));
    t.approvals = vec![t.held_file().only(|at| found.contains(&at)).approve()];
    assert_eq!((t.plan().len(), held(&t)), (2, 3));
}
