//! Whole runs on generated worlds: apply, crash anywhere, lose answers, run again.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has found something")]

mod common;

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use common::live::{Fault, FaultyStore, LiveAssignments, LiveSource, canonical, memory_store};
use common::world::World;
use common::{convert, r#gen};
use identity_sync::memory::MemoryStore;
use identity_sync::{
    ApplyOptions, ApplyReport, AssignmentSet, Diagnostic, DirectorySource, Guards, Host, IdentityStore,
    Options, Plan, PlanError, ReconcileError, Run, apply, reconcile,
};
use pollster::block_on;
use pretty_assertions::assert_eq;

fn count(default: u64) -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = number("IDENTITY_SYNC_FIRST").unwrap_or(0);
    first..first + number("IDENTITY_SYNC_WORLDS").unwrap_or(default)
}

fn planned<S: IdentityStore>(world: &World, store: &S, options: &Options) -> Option<Plan> {
    let found = block_on(reconcile(
        &LiveSource(world),
        store,
        &LiveAssignments(world),
        options,
        &Run::default(),
        &Host::default(),
    ));
    match found {
        Ok(found) => Some(found.plan),
        Err(ReconcileError::Plan(PlanError::LimitExceeded(error))) => panic!("{error}"),
        Err(ReconcileError::Plan(_)) => None,
        Err(error) => panic!("{error}"),
    }
}

fn applied<S: IdentityStore>(plan: &Plan, store: &S) -> ApplyReport {
    block_on(apply(plan, store, &ApplyOptions::default(), &Host::default())).unwrap()
}

/// Worlds in which P4 holds in one run. An ambiguous record that is deleted leaves its other anchor for the next run; a
/// store that lists no members gets the named additions on every run (rule C5).
fn settles_at_once(world: &World, plan: &Plan) -> bool {
    let ambiguous = |d: &Diagnostic| matches!(d, Diagnostic::Ambiguous { .. });
    world.store.can_list_members && !plan.diagnostics().iter().any(ambiguous)
}

#[test]
fn after_everything_was_applied_nothing_is_left_to_do() {
    // rules P4, A4, E4
    let mut settled = 0;
    for seed in count(10_000) {
        let world = r#gen::world(seed);
        let options = convert::options(&world.options);
        let store = memory_store(&world, seed);
        let Some(plan) = planned(&world, &store, &options) else { continue };
        let report = applied(&plan, &store);
        assert!(report.is_success(), "seed {seed}: {report}\n{plan}");
        if !settles_at_once(&world, &plan) {
            continue;
        }
        let Some(next) = planned(&world, &store, &options) else { continue };
        // What was held may run by now: the base of its limit has changed. Nothing else is left.
        let left = next.len() + next.held().len();
        assert!(left <= plan.held().len(), "seed {seed}: first\n{plan}\nthen\n{next}");
        assert!(next.is_empty() || plan.held().len() > 0, "seed {seed}: first\n{plan}\nthen\n{next}");
        settled += 1;
    }
    assert!(settled > 0);
}

/// Runs until nothing is left; at most so often.
fn settle(world: &World, store: &MemoryStore, options: &Options, seed: u64, what: Fault) {
    for _ in 0..4 {
        let Some(plan) = planned(world, store, options) else { return };
        if plan.is_empty() {
            return;
        }
        let report = applied(&plan, store);
        assert!(report.is_success(), "seed {seed}, {what:?}: {report}\n{plan}");
    }
    panic!("seed {seed}, {what:?}: does not come to rest");
}

/// Interrupts the first run in every way at every write, and compares where it ends.
fn interrupted(seeds: std::ops::Range<u64>, faults: impl Fn(usize) -> Vec<Fault>) {
    let mut interrupted = 0;
    for seed in seeds {
        let world = r#gen::world(seed);
        let mut options = convert::options(&world.options);
        // What a limit holds depends on what was done before: another question.
        options.guards = Guards::off();
        let straight = memory_store(&world, seed);
        let Some(plan) = planned(&world, &straight, &options) else { continue };
        if !settles_at_once(&world, &plan) {
            continue;
        }
        let counting = FaultyStore::new(&straight, Fault::None);
        applied(&plan, &counting);
        let writes = counting.writes.into_inner();
        settle(&world, &straight, &options, seed, Fault::None);
        let expected = canonical(&straight.state());
        for fault in (0..writes).flat_map(&faults) {
            let store = memory_store(&world, seed);
            let Some(plan) = planned(&world, &store, &options) else { continue };
            let faulty = FaultyStore::new(&store, fault);
            run_interrupted(&plan, &faulty);
            settle(&world, &store, &options, seed, fault);
            assert_eq!(canonical(&store.state()), expected, "seed {seed}, {fault:?}\n{plan}");
            interrupted += 1;
        }
    }
    assert!(interrupted > 100, "only {interrupted} interruptions");
}

/// Polls apply until it ends or hangs; a hanging future is dropped, as a cancelled task is.
fn run_interrupted(plan: &Plan, store: &FaultyStore<'_>) {
    let options = ApplyOptions::default();
    let host = Host::default();
    let mut future = pin!(apply(plan, store, &options, &host));
    let mut context = Context::from_waker(Waker::noop());
    if let Poll::Ready(report) = future.as_mut().poll(&mut context) {
        let report = report.unwrap();
        let failed = !report.is_success();
        assert!(failed || !matches!(store.fault, Fault::CrashBefore(_)), "a crash was reported as a success");
    }
}

#[test]
fn a_crash_before_any_write_changes_nothing_in_the_end() {
    // rule X4
    interrupted(count(1_500), |at| vec![Fault::CrashBefore(at)]);
}

#[test]
fn a_crash_after_any_write_changes_nothing_in_the_end() {
    // rule X4
    interrupted(count(1_500), |at| vec![Fault::CrashAfter(at)]);
}

#[test]
fn a_lost_answer_makes_no_second_record_and_loses_none() {
    // rules X4, X2
    interrupted(count(1_500), |at| vec![Fault::LostAnswer(at)]);
}

#[test]
fn a_dropped_future_changes_nothing_in_the_end() {
    // rule X4
    interrupted(count(1_500), |at| vec![Fault::HangBefore(at), Fault::HangAfter(at)]);
}

#[test]
fn planning_writes_nothing() {
    // rule P1
    for seed in count(1_000) {
        let world = r#gen::world(seed);
        let store = memory_store(&world, seed);
        let before = store.state().clone();
        planned(&world, &store, &convert::options(&world.options));
        assert_eq!(*store.state(), before, "seed {seed}");
    }
}

#[test]
fn the_futures_can_be_spawned_and_the_traits_are_objects() {
    fn spawnable<T: Send>(future: T) -> T {
        future
    }
    let world = r#gen::world(1);
    let (source, assignments, store) = (LiveSource(&world), LiveAssignments(&world), memory_store(&world, 1));
    let options = convert::options(&world.options);
    let (run, host) = (Run::default(), Host::default());
    let (directory, store): (&dyn DirectorySource, &dyn IdentityStore) = (&source, &store);
    let set: &dyn AssignmentSet = &assignments;
    drop(spawnable(reconcile(directory, store, set, &options, &run, &host)));
    let anchor = "u1".into();
    drop(spawnable(identity_sync::sign_in(directory, store, &anchor, &options, &run, &host)));
    let plan = planned(&world, &memory_store(&world, 1), &options).unwrap();
    drop(spawnable(apply(&plan, store, &ApplyOptions::default(), &host)));
}
