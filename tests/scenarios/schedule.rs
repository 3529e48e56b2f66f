//! When the next run is due (rule I3).

use identity_sync::{Due, Extent, Guards, RunState, Schedule, Timestamp};
use pretty_assertions::assert_eq;

use crate::timeline::Timeline;
use crate::world::World;

const HOUR: i64 = 3_600;

fn idle() -> Timeline {
    let mut w = World::new();
    w.users("ada");
    w.assign("ada");
    w.options.guards = Guards::off();
    Timeline::start(w)
}

fn due(state: &RunState, hours: i64) -> Due {
    Schedule::default().due(state, Timestamp(hours * HOUR))
}

#[test]
fn new_entitlements_are_due_after_two_hours_and_changed_data_after_four() {
    // rule I3
    let mut t = idle();
    assert_eq!(due(&RunState::default(), 0), Due::Now(Extent::Full));
    assert_eq!(due(&t.state, 1), Due::At(Timestamp(2 * HOUR), Extent::NewEntitlements));
    assert_eq!(due(&t.state, 2), Due::Now(Extent::NewEntitlements));
    assert_eq!(due(&t.state, 4), Due::Now(Extent::Full));
    t.options.extent = Extent::NewEntitlements;
    t.hours(2).run();
    assert_eq!(due(&t.state, 3), Due::At(Timestamp(4 * HOUR), Extent::Full));
    t.options.extent = Extent::Full;
    t.hours(2).run();
    assert_eq!(due(&t.state, 5), Due::At(Timestamp(6 * HOUR), Extent::NewEntitlements));
}

#[test]
fn only_a_run_that_was_applied_counts() {
    // rule I3
    let mut t = idle();
    t.hours(4).look();
    assert_eq!(due(&t.state, 4), Due::Now(Extent::Full));
    t.run();
    assert_eq!(t.state.last_run(Extent::Full), Some(Timestamp(4 * HOUR)));
}

#[test]
fn after_a_failure_there_is_a_wait_that_grows() {
    // rule I3
    let mut t = idle();
    let minutes = |state: &RunState, now: i64| match Schedule::default().due(state, Timestamp(now)) {
        Due::At(at, Extent::Full) => (at.0 - now) / 60,
        other => panic!("{other:?}"),
    };
    t.now = 10 * HOUR;
    for expected in [5, 10, 20, 40, 80, 120, 120] {
        t.state.note_failure(Timestamp(t.now));
        assert_eq!(minutes(&t.state, t.now), expected);
    }
    t.run();
    assert_eq!(due(&t.state, 10), Due::At(Timestamp(12 * HOUR), Extent::NewEntitlements));
}

#[test]
fn nothing_is_due_during_a_pause() {
    // rule I3
    let mut t = idle();
    t.state.pause(Timestamp(HOUR));
    assert_eq!(due(&t.state, 1_000), Due::Paused);
    t.state.resume(Timestamp(1_000 * HOUR));
    assert_eq!(due(&t.state, 1_000), Due::Now(Extent::Full));
}

#[test]
fn jitter_moves_a_run_ahead_and_never_back() {
    // rule I3
    let t = idle();
    let at = |jitter| match Schedule::default().next(&t.state, Timestamp(HOUR), jitter) {
        Due::At(at, _) => at.0,
        other => panic!("{other:?}"),
    };
    assert_eq!(at(0.0), 2 * HOUR);
    assert_eq!(at(1.0), 2 * HOUR - 720);
    assert_eq!([at(f64::NAN), at(-7.0), at(99.0)], [2 * HOUR, 2 * HOUR, 2 * HOUR - 720]);
}

#[test]
fn a_last_run_that_seems_to_lie_ahead_does_not_put_off_the_next_one() {
    // rule I3
    let mut t = idle();
    t.now = 1_000_000 * HOUR;
    t.run();
    assert_eq!(due(&t.state, 5), Due::Now(Extent::Full));
}

#[test]
fn a_schedule_with_one_period_has_full_runs_only() {
    // rule I3
    let t = idle();
    let schedule = Schedule::every(identity_sync::Period::of_hours(1));
    assert_eq!(schedule.due(&t.state, Timestamp(0)), Due::At(Timestamp(HOUR), Extent::Full));
    assert_eq!(schedule.due(&t.state, Timestamp(HOUR)), Due::Now(Extent::Full));
}

#[test]
fn a_run_in_which_nothing_works_or_that_the_store_stopped_is_a_failure() {
    // rules I3, X1
    use crate::faulty::{Fault, Scripted};
    use identity_sync::{ApplyOptions, ErrorKind, Host, apply};
    let start = || {
        let mut t = idle();
        t.users("bob kim");
        t.assign("bob kim");
        t.now = 10 * HOUR;
        t
    };
    // Which writes go wrong, and how; what is counted after it.
    let refuse = |kind| Fault::Refuse(kind);
    let cases = [
        (vec![], 0, 10),
        (vec![(0, refuse(ErrorKind::Invalid))], 0, 10),
        (vec![(0, refuse(ErrorKind::Invalid)), (1, refuse(ErrorKind::Invalid))], 1, 0),
        (vec![(0, Fault::Forget), (1, refuse(ErrorKind::Invalid))], 1, 0),
        (vec![(0, Fault::Forget), (1, Fault::Forget)], 1, 0),
        (vec![(1, refuse(ErrorKind::Unauthorized))], 1, 0),
    ];
    for (number, (script, failures, last)) in cases.into_iter().enumerate() {
        let t = start();
        let store = Scripted::new(&t.store, script);
        let (plan, options, host) = (t.plan(), ApplyOptions::default(), Host::default());
        let run = pollster::block_on(apply(&plan, &store, &options, &host)).unwrap().run;
        assert_eq!(run.failures(), failures, "case {number}");
        assert_eq!(run.last_run(Extent::Full), Some(Timestamp(last * HOUR)), "case {number}");
    }
    // Whoever cancels a run knows when he wants the next one.
    let t = start();
    let cancelled = identity_sync::Cancellation::default();
    cancelled.cancel();
    let host = Host::default().cancellation(&cancelled);
    let (plan, options) = (t.plan(), ApplyOptions::default());
    let run = pollster::block_on(apply(&plan, &t.store, &options, &host)).unwrap().run;
    assert_eq!((run.failures(), run.last_run(Extent::Full)), (0, Some(Timestamp(0))));
}

#[test]
fn odd_settings_and_numbers_give_a_time_all_the_same() {
    // rules I3, S1
    let t = idle();
    let mut schedule = Schedule::every(identity_sync::Period::of_hours(1));
    let next = |schedule: &Schedule, jitter| match schedule.next(&t.state, Timestamp(0), jitter) {
        Due::At(at, Extent::Full) => at.0,
        other => panic!("{other:?}"),
    };
    assert_eq!(next(&schedule, f64::NAN), HOUR);
    assert_eq!(next(&schedule, f64::INFINITY), HOUR);
    assert_eq!(next(&schedule, -7.0), HOUR);
    assert_eq!(next(&schedule, 7.0), HOUR - HOUR / 10);
    schedule.spread_percent = 50;
    assert_eq!(next(&schedule, 0.5), HOUR - HOUR / 4);
    // A spread of more than all of it is all of it.
    schedule.spread_percent = 255;
    assert_eq!(schedule.next(&t.state, Timestamp(0), 1.0), Due::Now(Extent::Full));
    assert_eq!(next(&schedule, 0.5), HOUR / 2);
    // A wait after a failure that is longer than the period stays as it is; a failure that lies ahead is none.
    schedule.spread_percent = 0;
    schedule.retry = identity_sync::Period::of_hours(3);
    let mut state = t.state.clone();
    state.note_failure(Timestamp(0));
    let due = |state: &RunState, now: i64| schedule.due(state, Timestamp(now * HOUR));
    assert_eq!(due(&state, 1), Due::At(Timestamp(3 * HOUR), Extent::Full));
    assert_eq!(due(&state, 3), Due::Now(Extent::Full));
    state.note_failure(Timestamp(100 * HOUR));
    assert_eq!(due(&state, 2), Due::Now(Extent::Full));
}

#[test]
fn the_defaults_are_those_that_the_documentation_names() {
    // rule I3
    use identity_sync::Period;
    let schedule = Schedule::default();
    assert_eq!(schedule.new_entitlements, Period::of_hours(2));
    assert_eq!(schedule.changed_data, Period::of_hours(4));
    assert_eq!((schedule.spread_percent, schedule.retry), (10, Period::of_seconds(300)));
}
