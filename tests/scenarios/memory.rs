//! What is remembered between runs (rules D7, I3, C6).

use identity_sync::{
    ApplyError, Deprovision, Diagnostic, Guards, Limit, Period, PlanError, ReconcileError, RunState, Window,
};
use pretty_assertions::assert_eq;

use crate::timeline::Timeline;
use crate::world::{World, guards};

fn leaving() -> Timeline {
    let mut w = World::new();
    w.users("ada eve");
    w.assign("ada eve");
    w.options.guards = Guards::off();
    w.options.users.left_scope = Deprovision::Deactivate;
    w.options.users.grace.left_scope = Period::of_days(10);
    let mut t = Timeline::start(w);
    t.unassign("eve");
    t.run();
    t
}

#[test]
fn what_was_seen_may_be_kept_without_applying() {
    // rule D7
    let mut t = leaving();
    t.edit("ada").set("title", "x");
    for _ in 0..10 {
        t.reload();
        assert_eq!(t.days(1).look().len(), if t.now == 864_000 { 2 } else { 1 });
    }
    assert_eq!(t.lines()[0], "deactivate eve (LeftScope)");
}

#[test]
fn a_lost_memory_restarts_the_periods_and_says_so() {
    // rule D7
    let mut t = leaving();
    t.days(10);
    assert_eq!(t.lines()[0], "deactivate eve (LeftScope)");
    t.state = RunState::default();
    let plan = t.plan();
    assert!(plan.is_empty());
    assert!(plan.diagnostics().contains(&Diagnostic::NoMemory {}));
    assert_eq!(t.lines()[0], "pending Deactivate user eve (LeftScope, day 10 to 20)");
    t.run();
    assert!(!t.plan().diagnostics().contains(&Diagnostic::NoMemory {}));
    assert_eq!(t.days(10).lines()[0], "deactivate eve (LeftScope)");
}

#[test]
fn a_first_run_into_an_empty_store_has_lost_nothing() {
    // rule D7
    let mut w = World::new();
    w.users("ada");
    w.assign("ada");
    let t = Timeline { world: w, state: RunState::default(), now: 0, approvals: Vec::new() };
    assert_eq!(t.plan().diagnostics(), []);
}

#[test]
fn time_that_goes_back_never_shortens_a_period() {
    // rule D7
    let mut t = leaving();
    t.days(9).look();
    t.days(-300);
    let plan = t.look();
    assert!(plan.diagnostics().iter().any(|d| matches!(d, Diagnostic::ClockWentBack { .. })), "{plan}");
    // Put right again: nine and a half days have passed in all, however often the clock jumped.
    t.days(300).hours(12);
    assert!(t.look().is_empty());
    t.days(-1).look();
    t.days(1).look();
    assert!(t.plan().is_empty());
    t.hours(12);
    assert_eq!(t.lines()[0], "deactivate eve (LeftScope)");
}

#[test]
fn a_clock_that_ran_ahead_is_put_right_and_no_period_is_longer_or_shorter_for_it() {
    // rule D7
    let mut t = leaving();
    t.days(4).look();
    t.days(5_000);
    t.edit("ada").disabled();
    t.world.options.users.grace.disabled_in_source = Period::of_days(3);
    assert_eq!(t.lines()[0], "deactivate eve (LeftScope)", "nobody can tell a leap from a long wait");
    t.look();
    t.days(-5_000);
    t.state.accept_time(identity_sync::Timestamp(t.now));
    t.reload();
    assert!(t.look().is_empty());
    // What was first seen in the wrong time counts from the moment at which it was put right.
    assert!(
        t.lines().contains(&"pending Deactivate user ada (DisabledInSource, day 4 to 7)".to_owned()),
        "{:?}",
        t.lines()
    );
    assert_eq!(t.days(3).lines()[0], "deactivate ada (DisabledInSource)");
    assert!(!t.lines().iter().any(|line| line.starts_with("deactivate eve")));
    t.days(3);
    assert!(t.lines().contains(&"deactivate eve (LeftScope)".to_owned()), "{:?}", t.lines());
}

#[test]
fn all_that_was_first_seen_under_a_wrong_time_counts_from_the_moment_it_was_put_right() {
    // rule D7
    let mut t = leaving();
    t.world.options.users.grace.disabled_in_source = Period::of_days(3);
    t.users("kim zoe");
    t.assign("kim zoe");
    t.run();
    assert_eq!((t.state.causes(), t.state.held()), (1, 0));
    t.edit("kim").disabled();
    t.edit("zoe").disabled();
    t.days(5_000).look();
    assert_eq!(t.state.causes(), 3);
    t.days(-5_000);
    t.state.accept_time(identity_sync::Timestamp(t.now));
    for who in ["kim", "zoe"] {
        let line = format!("pending Deactivate user {who} (DisabledInSource, day 0 to 3)");
        assert!(t.lines().contains(&line), "{:?}", t.lines());
    }
}

#[test]
fn a_run_that_comes_to_its_end_is_the_end_of_the_failures() {
    // rules D7, I3
    let mut t = leaving();
    for failures in 1..4 {
        t.state.note_failure(identity_sync::Timestamp(t.now));
        assert_eq!(t.state.failures(), failures);
    }
    t.run();
    assert_eq!(t.state.failures(), 0);
}

#[test]
fn a_pause_ages_nothing_and_writes_nothing() {
    // rule I3
    let mut t = leaving();
    t.days(5);
    t.state.pause(identity_sync::Timestamp(t.now));
    assert!(t.state.is_paused());
    t.edit("ada").set("title", "x");
    let plan = t.days(100).look();
    assert_eq!(plan.len(), 1, "a plan can be looked at");
    assert_eq!(t.apply(&plan).unwrap_err(), ApplyError::Paused);
    t.reload();
    t.state.resume(identity_sync::Timestamp(t.now));
    assert_eq!(t.run()[0], "update user ada [title:  -> x] (Changed)");
    assert_eq!(t.lines()[0], "pending Deactivate user eve (LeftScope, day 0 to 110)");
    assert!(t.days(4).plan().is_empty());
    assert_eq!(t.days(1).lines()[0], "deactivate eve (LeftScope)");
}

#[test]
fn a_pause_does_not_stop_a_sign_in() {
    // rules I3, J1
    let mut t = leaving();
    t.state.pause(identity_sync::Timestamp(t.now));
    t.user("kim");
    let (anchor, host) = ("kim".into(), identity_sync::Host::default());
    let run = identity_sync::Run::new(t.state.clone(), identity_sync::Timestamp(t.now));
    let signed = identity_sync::sign_in(&t.source, &t.store, &anchor, &t.options, &run, &host);
    let signed = pollster::block_on(signed).unwrap();
    assert!(signed.allowed);
    assert!(signed.report.run.is_paused(), "and changes nothing that is remembered");
}

#[test]
fn memory_of_another_store_is_refused() {
    // rule D7
    let t = leaving();
    let other = World::with_store(identity_sync::StoreCapabilities::named("other"));
    let t = Timeline { world: other, ..t };
    assert!(matches!(t.found(), Err(ReconcileError::Plan(PlanError::ForeignState { .. }))));
}

#[test]
fn a_state_with_unknown_parts_is_refused_and_one_of_older_days_is_read() {
    // rule D7
    assert!(serde_json::from_str::<RunState>(r#"{"format":1,"surprise":true}"#).is_err());
    let old: RunState = serde_json::from_str(r#"{"format":1,"issuer":"corp"}"#).unwrap();
    let mut t = leaving();
    t.state = old;
    assert!(t.found().is_ok());
}

#[test]
fn a_record_that_is_gone_from_the_store_is_forgotten() {
    // rule D7
    let mut t = leaving();
    let before = serde_json::to_string(&t.state).unwrap();
    assert!(before.contains("\"eve\""));
    let id = t.id("eve");
    t.store.state().users.remove(&id);
    t.run();
    assert!(!serde_json::to_string(&t.state).unwrap().contains("\"eve\""));
}

#[test]
fn the_state_of_another_store_or_issuer_is_refused() {
    // rules D7, P7
    let mut w = World::new();
    w.users("ada");
    w.assign("ada");
    let mut t = Timeline::start(w);
    assert_eq!(t.plan().store(), "app");
    let kept = serde_json::to_value(&t.state).unwrap();
    for (field, ours) in [("store", "app"), ("issuer", "corp")] {
        let mut foreign = kept.clone();
        assert_eq!(foreign[field], ours);
        foreign[field] = "x".into();
        foreign.as_object_mut().unwrap().remove("digest"); // it is of the state as it was
        t.state = serde_json::from_value(foreign).unwrap();
        match t.found() {
            Err(identity_sync::ReconcileError::Plan(identity_sync::PlanError::ForeignState { .. })) => {}
            other => panic!("{field}: {other:?}"),
        }
    }
}

#[test]
fn what_is_held_is_held_since_it_was_first_seen_and_never_since_a_time_to_come() {
    // rules D5, D7
    let mut w = World::new();
    w.users("ada eve kim");
    w.assign("ada eve kim");
    w.options.guards = guards(|guards| guards.user_deletes = Some(Limit::new(Some(0), 0, 0)));
    let mut t = Timeline::start(w);
    t.delete("ada");
    t.days(1).look();
    t.delete("eve");
    t.days(5_000).look();
    t.days(-4_999);
    t.state.accept_time(identity_sync::Timestamp(t.now));
    t.reload();
    let plan = t.look();
    let since: Vec<i64> = plan.held().map(|held| held.since.0 / crate::lines::DAY).collect();
    assert_eq!(since, [1, 2]);
    t.days(3);
    let since: Vec<i64> = t.plan().held().map(|held| held.since.0 / crate::lines::DAY).collect();
    assert_eq!(since, [1, 2]);
}

#[test]
fn the_state_forgets_what_was_spent_once_no_window_needs_it() {
    // rules D4, D7: it is kept for years
    let mut w = World::new();
    w.users("ada eve kim");
    w.assign("ada eve kim");
    w.options.guards = guards(|guards| {
        guards.user_deletes = Some(Limit::new(Some(2), 100, 0));
        guards.window = Some(Window::default());
    });
    let mut t = Timeline::start(w);
    let spent = |t: &Timeline| {
        let state = serde_json::to_value(&t.state).unwrap();
        state.get("spent").and_then(|spent| spent.as_array()).map_or(0, Vec::len)
    };
    t.delete("ada");
    t.days(1).run();
    assert_eq!(spent(&t), 1);
    t.now += crate::lines::DAY - 1;
    t.run();
    assert_eq!(spent(&t), 1);
    t.now += 1;
    t.run();
    assert_eq!(spent(&t), 0);
    t.delete("eve");
    t.run();
    t.options.guards.window = None;
    t.run();
    assert_eq!(spent(&t), 0);
}
