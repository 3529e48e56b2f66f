//! Weeks in the life of a tenant: edits, approvals, pauses, lost memory, runs that were cut. Every plan on the way is that of
//! the oracle, which keeps a memory of its own and shares no code with the library.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has found something")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use common::history::{Approve, Approving, History, How, RunStep, Step, advance, chosen, history};
use common::live::{LiveAssignments, LiveSource, load, memory_store, unload};
use common::oracle::{Decision, Memory, Refusal, decide_with};
use common::world::World;
use common::{convert, lines};
use identity_sync::memory::MemoryStore;
use identity_sync::{
    ApplyError, ApplyOptions, ApplyReport, Approval, Cancellation, Event, HeldSet, Host, Plan, PlanError,
    Progress, ReconcileError, Reconciliation, Run, RunState, Timestamp, apply, reconcile,
};
use pollster::block_on;

fn histories(default: u64) -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = number("IDENTITY_SYNC_FIRST").unwrap_or(0);
    first..first + number("IDENTITY_SYNC_HISTORIES").unwrap_or(default)
}

/// The library's side of a history.
struct Tenant {
    seed: u64,
    store: MemoryStore,
    state: RunState,
    shown: Option<HeldSet>,
    /// The lines of what was shown, to choose among them as the oracle does.
    lines: Vec<String>,
    given: Vec<Approval>,
}

/// What the histories met on their way: a kind of event that never comes is a test that cannot fail.
type Seen = BTreeMap<&'static str, usize>;

impl Tenant {
    fn new(world: &World, seed: u64) -> Self {
        let store = memory_store(world, seed);
        Self { seed, store, state: RunState::default(), shown: None, lines: Vec::new(), given: Vec::new() }
    }

    fn step(&mut self, world: &World, step: &Step) {
        let now = timestamp(world);
        match step {
            Step::Edit(edit) if edit.touches_store() => load(&self.store, world),
            Step::Edit(_) | Step::Wait(_) | Step::Run(_) => {}
            Step::Pause => self.state.pause(now),
            Step::Resume => self.state.resume(now),
            Step::AcceptSource => self.state.accept_source(),
            Step::Forget => self.state = RunState::default(),
        }
        // What is remembered survives its file.
        let text = serde_json::to_string(&self.state).unwrap();
        self.state = serde_json::from_str(&text).unwrap();
    }

    fn approvals(&mut self, run: &RunStep) -> Vec<Approval> {
        let fresh = self.shown.clone().and_then(|held| match run.approve {
            Approve::None | Approve::Again => None,
            Approve::All => Some(held.approve()),
            Approve::Part(seed) => Some(held.only(|at| chosen(seed, &self.lines[at])).approve()),
        });
        self.given.extend(fresh.clone());
        match run.approve {
            Approve::Again => self.given.clone(),
            _ => fresh.into_iter().collect(),
        }
    }

    fn reconcile(&self, world: &World, approvals: Vec<Approval>) -> Result<Reconciliation, ReconcileError> {
        let mut run = Run::new(self.state.clone(), timestamp(world));
        run.approvals = approvals;
        let options = convert::options(&world.options);
        let (source, assignments) = (LiveSource(world), LiveAssignments(world));
        block_on(reconcile(&source, &self.store, &assignments, &options, &run, &Host::default()))
    }
}

fn timestamp(world: &World) -> Timestamp {
    Timestamp(i64::try_from(world.now).unwrap())
}

/// Lists of one group in one line: what was approved of a list is an operation of its own here.
fn merged(lines: impl IntoIterator<Item = String>) -> BTreeSet<String> {
    let mut lists: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut merged = BTreeSet::new();
    for line in lines {
        match line.split_once(" : ") {
            Some((list, members)) if line.starts_with("remove_") || line.starts_with("add_") => {
                lists.entry(list.to_owned()).or_default().extend(members.split(',').map(str::to_owned));
            }
            _ => {
                merged.insert(line);
            }
        }
    }
    merged.extend(
        lists
            .into_iter()
            .map(|(list, members)| format!("{list} : {}", members.into_iter().collect::<Vec<_>>().join(","))),
    );
    merged
}

fn pending(plan: &Plan) -> BTreeSet<String> {
    let line = |pending: identity_sync::PendingRemoval<'_>| {
        let (subject, cause) = (pending.subject, serde_json::to_value(pending.cause).unwrap());
        let (kind, id) = (subject.kind(), subject.id().unwrap_or_default());
        format!("{kind} {id} {} {} {}", cause.as_str().unwrap(), pending.since.0, pending.due.0)
    };
    plan.pending().map(line).collect()
}

fn refusal(error: &ReconcileError) -> String {
    match error {
        ReconcileError::Plan(PlanError::OtherSource { .. }) => "OtherSource".to_owned(),
        ReconcileError::Plan(PlanError::OlderSource { .. }) => "OlderSource".to_owned(),
        ReconcileError::Plan(PlanError::CannotAdopt) => "CannotAdopt".to_owned(),
        ReconcileError::Plan(PlanError::PartialStore { .. }) => "PartialStore".to_owned(),
        ReconcileError::Plan(PlanError::EmptySource { kind }) => format!("EmptySource {kind}"),
        ReconcileError::Plan(PlanError::EmptyAssignments) => "EmptyAssignments".to_owned(),
        other => panic!("{other}"),
    }
}

fn expected_refusal(refusal: &Refusal) -> String {
    match refusal {
        Refusal::EmptySource(kind) => format!("EmptySource {kind}"),
        other => format!("{other:?}"),
    }
}

/// Stops a run once so many operations have an outcome.
struct Cut {
    left: AtomicUsize,
    cancellation: Cancellation,
}

impl Progress for Cut {
    fn event(&self, event: Event<'_>) {
        let outcome = matches!(event, Event::Outcome { .. });
        if outcome && self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.cancellation.cancel();
        }
    }
}

fn applied(plan: &Plan, store: &MemoryStore, operations: usize) -> Result<ApplyReport, ApplyError> {
    let cut = Cut { left: AtomicUsize::new(operations), cancellation: Cancellation::default() };
    if operations == 0 {
        cut.cancellation.cancel();
    }
    let host = Host::new().progress(&cut).cancellation(&cut.cancellation);
    block_on(apply(plan, store, &ApplyOptions::default(), &host))
}

/// How many operations of a plan are applied: never only one part of a list that the oracle has as one.
fn whole_lists(plan: &Plan, operations: usize) -> usize {
    let name = |line: String| line.split_once(" : ").map(|(list, _)| list.to_owned());
    let names: Vec<Option<String>> =
        plan.operations().map(|operation| name(lines::line(operation))).collect();
    let torn =
        |at: usize| names[..at].iter().flatten().any(|list| names[at..].iter().flatten().any(|n| n == list));
    (operations.min(names.len())..=names.len()).find(|&at| !torn(at)).unwrap_or(names.len())
}

/// One run on both sides; answers the oracle's new memory, or what differs.
fn run(
    tenant: &mut Tenant,
    world: &World,
    memory: &Memory,
    approving: &mut Approving,
    run: &RunStep,
    seen: &mut Seen,
) -> Result<Memory, String> {
    let approvals = approving.given(run);
    let ours = tenant.approvals(run);
    let expected = decide_with(world, memory, world.now, &approvals);
    let found = match (tenant.reconcile(world, ours), expected) {
        (Err(error), Err(expected)) if refusal(&error) == expected_refusal(&expected) => {
            *seen.entry("refused").or_default() += 1;
            *seen.entry("older source").or_default() += usize::from(expected == Refusal::OlderSource);
            return Ok(memory.clone());
        }
        (Ok(found), Ok(expected)) => (found, expected),
        (Ok(found), Err(expected)) => return Err(format!("oracle refused {expected:?}\n{}", found.plan)),
        (Err(error), expected) => return Err(format!("refused {error}, oracle: {expected:?}")),
    };
    let (found, (decision, planned)) = found;
    compare(&found.plan, &decision)?;
    note(&found.plan, seen);
    approving.show(world.now, &decision);
    tenant.lines = found.plan.held().map(|held| lines::line(held.operation)).collect();
    let file = serde_json::to_string(&found.plan.held_set()).unwrap();
    tenant.shown = Some(serde_json::from_str(&file).unwrap());
    let operations = match run.how {
        How::Whole => found.plan.len(),
        How::Cut(operations) => whole_lists(&found.plan, operations),
        How::Dry { remember: false } => return Ok(memory.clone()),
        How::Dry { remember: true } => {
            tenant.state = found.run;
            return Ok(planned);
        }
    };
    let report = match applied(
        &found.plan,
        &tenant.store,
        if run.how == How::Whole { usize::MAX } else { operations },
    ) {
        Err(ApplyError::Paused) => {
            tenant.state = found.run;
            *seen.entry("paused").or_default() += 1;
            return Ok(planned);
        }
        other => other.unwrap(),
    };
    let tried = report.outcomes.iter().filter(|outcome| !matches!(outcome, identity_sync::Outcome::NotTried));
    if run.how == How::Whole && !report.is_success() || tried.count() != report.applied() {
        return Err(format!("{report}\n{}", found.plan));
    }
    let done = found.plan.operations().zip(&report.outcomes).filter(|(_, outcome)| outcome.is_applied());
    let done = merged(done.map(|(operation, _)| lines::line(operation)));
    tenant.state = report.run;
    Ok(planned.after_apply(&decision, &done, &BTreeSet::new()))
}

fn compare(plan: &Plan, decision: &Decision) -> Result<(), String> {
    let texts =
        |operations: &BTreeSet<common::oracle::Operation>| merged(operations.iter().map(ToString::to_string));
    let mut differences = String::new();
    for (what, ours, expected) in [
        ("", merged(lines::operations(plan)), texts(&decision.operations)),
        ("held ", merged(lines::held(plan)), texts(&decision.held)),
        ("pending ", pending(plan), decision.pending.clone()),
    ] {
        ours.difference(&expected).for_each(|line| differences += &format!("   only ours: {what}{line}\n"));
        expected
            .difference(&ours)
            .for_each(|line| differences += &format!("   only oracle's: {what}{line}\n"));
    }
    if differences.is_empty() { Ok(()) } else { Err(format!("{differences}{plan}")) }
}

fn note(plan: &Plan, seen: &mut Seen) {
    let mut met = |what, times: usize| *seen.entry(what).or_default() += times;
    met("plans", 1);
    met("operations", plan.len());
    met("held", plan.held().len());
    met("pending", plan.pending().len());
    met("approved", plan.operations().filter(|operation| operation.is_approved()).count());
    met("window", plan.tripped().iter().filter(|tripped| tripped.window.is_some()).count());
    met("quick", usize::from(plan.extent() == identity_sync::Extent::NewEntitlements));
    for operation in plan.operations() {
        match operation.cause() {
            identity_sync::Cause::NameReleased => met("released", 1),
            identity_sync::Cause::Matched => met("adopted", 1),
            identity_sync::Cause::MemberLeaving => met("leaving", 1),
            _ => {}
        }
    }
    for diagnostic in plan.diagnostics() {
        use identity_sync::Diagnostic as D;
        match diagnostic {
            D::Flapping { .. } => met("flapping", 1),
            D::Locked { .. } => met("locked", 1),
            D::CanaryMissing { .. } => met("canary", 1),
            D::ClockWentBack { .. } => met("clock went back", 1),
            D::NoMemory {} => met("no memory", 1),
            D::UnusedApprovals { .. } => met("unused approvals", 1),
            _ => {}
        }
    }
}

fn play(history: &History, seed: u64, seen: &mut Seen) -> Result<(), String> {
    let mut world = history.start.clone();
    let mut tenant = Tenant::new(&world, seed);
    let (mut memory, mut approving) = (Memory::default(), Approving::default());
    for (number, step) in history.steps.iter().enumerate() {
        unload(&tenant.store, &mut world);
        advance(&mut world, &mut memory, step);
        tenant.step(&world, step);
        if let Step::Run(one) = step {
            world.options.extent = one.extent;
            let result = run(&mut tenant, &world, &memory, &mut approving, one, seen);
            memory =
                result.map_err(|error| format!("seed {}, step {number}, {one:?}:\n{error}", tenant.seed))?;
        }
    }
    Ok(())
}

#[test]
fn every_plan_of_a_tenant_s_life_is_that_of_the_oracle() {
    // rules D1, D4, D5, D7, M3, M4, A4, A7, C6, I3, P4, X4
    let mut seen = Seen::new();
    let mut wrong = 0;
    for seed in histories(1_500) {
        if let Err(error) = play(&history(seed), seed, &mut seen) {
            println!("{error}");
            wrong += 1;
            assert!(wrong < 10, "too many differences");
        }
    }
    assert_eq!(wrong, 0);
    println!("{seen:?}");
    if histories(1_500) == (0..1_500) {
        for what in [
            "approved",
            "window",
            "pending",
            "held",
            "quick",
            "released",
            "adopted",
            "leaving",
            "flapping",
            "locked",
            "canary",
            "older source",
            "clock went back",
            "no memory",
            "unused approvals",
            "paused",
            "refused",
        ] {
            assert!(seen.get(what).copied().unwrap_or(0) >= 3, "{what} hardly ever happens: {seen:?}");
        }
    }
}

#[test]
fn a_history_can_be_played_again() {
    // rule P2: the same seed, the same end
    for seed in 0..20 {
        let end = || {
            let (history, mut seen) = (history(seed), Seen::new());
            play(&history, seed, &mut seen).map(|()| seen)
        };
        assert_eq!(end(), end());
    }
}
