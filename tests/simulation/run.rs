//! One world: a first run in which one thing goes wrong, then clean runs until nothing is left to do.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;

use identity_sync::memory::MemoryStore;
use identity_sync::testing::{Call, Faulty, Next, ReadFault, WriteFault, drive, interleave};
use identity_sync::{
    Action, ApplyOptions, ApplyReport, Concurrency, ErrorKind, Host, IdentityStore, Kind, Plan, PlanError,
    ReadError, ReconcileError, Run, apply, plan, reconcile, sign_in,
};
use pollster::block_on;

use super::checks;
use super::engine::Engine;
use super::fleet::Seen;
use super::instant::Instant;
use super::left_out;
use super::loose::Loose;
use super::trouble::Trouble;
use crate::common::r#gen::Rng;
use crate::common::live::{LiveAssignments, LiveSource, memory_store};
use crate::common::oracle::{self, Decision, Operation, Refusal, decide, perform};
use crate::common::world::{self, World};
use crate::common::{convert, lines};

/// What is wrong, if anything is.
pub type Verdict = Result<(), String>;

/// The streams of a seed, apart from the one that makes the world.
const TROUBLE: u64 = 0x7472_6F75_626C_6521;

/// A world of a seed, and what its host has.
pub struct Case<'e> {
    pub seed: u64,
    pub world: World,
    /// The same world without its directory, where only the store matters.
    pub(super) stored: World,
    pub engine: &'e Engine,
}

impl<'e> Case<'e> {
    pub fn of(seed: u64, mut world: World, engine: &'e Engine) -> Self {
        // What a limit holds depends on what was done before it: where the end is compared, there is none.
        if seed % 2 == 0 {
            world.options.guards = world::Guards::default();
        }
        // A store that is read in part is a trouble of its own.
        world.store.complete = true;
        left_out::leave_out(&mut world);
        let mut stored = world.clone();
        stored.source.users.clear();
        stored.source.groups.clear();
        Self { seed, world, stored, engine }
    }

    pub fn store(&self) -> MemoryStore {
        memory_store(&self.world, self.seed)
    }

    fn page_of_store(&self) -> usize {
        1 + (self.seed % 7) as usize
    }

    /// Every third host has a timer, and tries again.
    fn tries_again(&self) -> bool {
        self.seed % 3 == 0
    }

    /// One thing goes wrong, drawn from the seed.
    pub fn one_trouble(&self, seen: &mut Seen) -> Verdict {
        let expected = decide(&self.world);
        let writes = expected.as_ref().map_or(0, |decision| decision.operations.len());
        let mut rng = Rng(self.seed ^ TROUBLE);
        let trouble = Trouble::draw(&mut rng, &self.world, &self.store().capabilities(), writes);
        self.with(trouble, &expected, seen).map_err(|what| format!("{trouble:?}: {what}"))
    }

    /// Every write, every answer, every await point, one after the other.
    pub fn every_trouble(&self, seen: &mut Seen) -> Verdict {
        let lost = WriteFault::LoseAnswer(ErrorKind::Transient);
        let down = WriteFault::Break(ErrorKind::Unauthorized);
        self.over_again(seen, |straight| {
            let writes = (0..straight.writes).flat_map(move |at| {
                let after = WriteFault::BreakAfter(ErrorKind::Unauthorized);
                [
                    Trouble::Down(at, down),
                    Trouble::Write(at, after),
                    Trouble::Write(at, lost),
                    Trouble::Write(at, WriteFault::KeepSilent),
                ]
            });
            writes.chain((0..straight.polls).map(Trouble::DropApply))
        })
    }

    /// Every read fault at every page.
    pub fn every_read(&self, seen: &mut Seen) -> Verdict {
        let expected = decide(&self.world);
        let calls =
            [Call::SourceUsers, Call::SourceGroups, Call::StoreUsers, Call::StoreGroups, Call::Assignments];
        let faults = [
            ReadFault::Fail(ErrorKind::Transient),
            ReadFault::Partial,
            ReadFault::Cut,
            ReadFault::Lose,
            ReadFault::Repeat,
            ReadFault::Endless,
            ReadFault::Hang,
        ];
        for (call, fault) in calls.into_iter().flat_map(|call| faults.map(|fault| (call, fault))) {
            for page in 0..4 {
                let trouble = Trouble::Read(call, page, fault);
                self.with(trouble, &expected, seen).map_err(|what| format!("{trouble:?}: {what}"))?;
            }
        }
        Ok(())
    }

    /// Whatever somebody else may do, at every await point of the apply, and other runners in many orders of turns.
    pub fn every_event(&self, seen: &mut Seen) -> Verdict {
        let first = self.seed;
        self.over_again(seen, |straight| {
            let steps = (0..straight.polls).flat_map(move |at| {
                let who = at as u64 * 7 + first;
                [Trouble::SignIn(at, who), Trouble::Edit(at, who)]
            });
            let others = (0..40).flat_map(|turns| [Trouble::SecondRunner(turns), Trouble::Reassign(turns)]);
            let options = (0..20).flat_map(|which| [Trouble::Protect(which), Trouble::Repolicy(which)]);
            steps.chain(others).chain(options)
        })
    }

    /// The plan alone.
    pub fn plan_only(&self) -> Verdict {
        let told = convert::convert(&self.world);
        let found = plan(&told.source, &told.store, &told.assignments, &told.options, &Run::default());
        match (found, decide(&self.world)) {
            (Ok(found), Ok(decision)) => {
                checks::plan_is(&found.plan, &decision)?;
                checks::invariants(&found.plan, &self.world)
            }
            (Err(error), Err(refusal)) if is_refused_for(&error, &refusal) => Ok(()),
            (found, decision) => {
                Err(format!("{:?}, expected {decision:?}", found.map(|found| found.plan.to_string())))
            }
        }
    }

    /// A crash before each write, and with it after each one before.
    pub fn every_crash(&self, seen: &mut Seen) -> Verdict {
        let crash = |at| Trouble::Down(at, WriteFault::Break(ErrorKind::Unauthorized));
        self.over_again(seen, |straight| (0..straight.writes).map(crash))
    }

    /// Once without trouble, then the same plan again for each trouble of the apply.
    fn over_again<I: Iterator<Item = Trouble>>(
        &self,
        seen: &mut Seen,
        troubles: impl FnOnce(&Path) -> I,
    ) -> Verdict {
        let expected = decide(&self.world);
        let Some(first) = self.first_plan(Trouble::None, &expected, seen)? else { return Ok(()) };
        let straight = self.onwards(Trouble::None, &first, &expected, seen)?;
        for trouble in troubles(&straight) {
            self.onwards(trouble, &first, &expected, seen).map_err(|what| format!("{trouble:?}: {what}"))?;
        }
        Ok(())
    }

    fn with(&self, trouble: Trouble, expected: &Result<Decision, Refusal>, seen: &mut Seen) -> Verdict {
        match self.first_plan(trouble, expected, seen)? {
            Some(first) => self.onwards(trouble, &first, expected, seen).map(drop),
            None => {
                seen.note(trouble.name());
                Ok(())
            }
        }
    }

    /// The plan is applied under the trouble, and clean runs follow.
    fn onwards(
        &self,
        trouble: Trouble,
        (plan, decision): &(Plan, Decision),
        expected: &Result<Decision, Refusal>,
        seen: &mut Seen,
    ) -> Result<Path, String> {
        seen.note(trouble.name());
        seen.plan(plan);
        let (store, mut path) = (self.store(), Path::default());
        let mut world = self.world.clone();
        let report = self.first_apply(trouble, plan, &store, &mut world, &mut path)?;
        if let Some(report) = &report {
            seen.report(report);
            self.report_is_true(trouble, plan, decision, report, &store)?;
        }
        let whole = report.is_some_and(|report| report.is_success() && plan.held().len() == 0);
        let done = whole && matches!(trouble, Trouble::None | Trouble::Write(..) | Trouble::Down(..));
        self.clean_runs(trouble, done, &mut world, &store, expected, seen)?;
        Ok(path)
    }

    /// Reads and plans; the plan is the oracle's for what was read. `None`: there is none, as there must be none.
    fn first_plan(
        &self,
        trouble: Trouble,
        expected: &Result<Decision, Refusal>,
        seen: &mut Seen,
    ) -> Result<Option<(Plan, Decision)>, String> {
        let store = &self.store();
        let (mut source, mut assigned) =
            (Faulty::new(self.engine.source(&self.world)), Faulty::new(LiveAssignments(&self.world)));
        let mut faulty = Faulty::new(store);
        let mut stop = None;
        match trouble {
            Trouble::Read(call, at, fault) => match call {
                Call::Assignments => assigned = assigned.read(call, at, fault),
                Call::StoreUsers | Call::StoreGroups | Call::StoreMembers => {
                    faulty = faulty.read(call, at, fault);
                }
                _ => source = source.read(call, at, fault),
            },
            Trouble::DropPlan(at) => {
                (source, faulty, assigned) = (source.stepped(), faulty.stepped(), assigned.stepped());
                stop = Some(at);
            }
            _ => {}
        }
        let timer = Instant::default();
        let host = if self.tries_again() { Host::new().timer(&timer) } else { Host::new() };
        let options = self.engine.options(convert::options(&self.world.options));
        let hit = |call, at| source.calls(call) > at || faulty.calls(call) > at || assigned.calls(call) > at;
        let found = {
            let run = Run::default();
            let served = self.engine.store(Arc::new(&faulty), store, &self.world);
            let future = reconcile(&source, &served, &assigned, &options, &run, &host);
            let hangs = matches!(trouble, Trouble::Read(_, _, ReadFault::Hang));
            drive(future, |at| if stop == Some(at) || hangs && at > 0 { Next::Drop } else { Next::Poll })
        };
        if faulty.written() > 0 {
            return Err("planning has written".to_owned());
        }
        let Some(found) = found else { return Ok(None) };
        let told = match trouble {
            Trouble::Read(call, at, _) if hit(call, at) => {
                trouble.as_read(&self.world, self.page_of_store(), self.tries_again())
            }
            _ => Some(self.world.clone()),
        };
        let Some(told) = told else {
            return match found {
                Err(ReconcileError::Read(ReadError::Adapter { .. } | ReadError::RepeatedPage { .. })) => {
                    Ok(None)
                }
                Err(error) => Err(format!("the error of a failing read is {error}")),
                Ok(found) => Err(format!("a plan although a read failed\n{}", found.plan)),
            };
        };
        let unchanged = told == self.world;
        let expected = if unchanged { Cow::Borrowed(expected) } else { Cow::Owned(decide(&told)) };
        match (found, expected.into_owned()) {
            (Ok(found), Ok(decision)) => {
                let plan = found.plan;
                checks::plan_is(&plan, &decision)?;
                checks::invariants(&plan, &told)?;
                if self.seed % 100 == 0 {
                    self.is_deterministic(&told, &plan)?;
                }
                Ok(Some((plan, decision)))
            }
            (Err(ReconcileError::Plan(error)), Err(refusal)) => {
                seen.note(refusal_name(&refusal));
                if is_refused_for(&error, &refusal) {
                    return Ok(None);
                }
                Err(format!("refused with {error}, where {refusal:?} is expected"))
            }
            (Ok(found), Err(refusal)) => {
                Err(format!("a plan, where {refusal:?} is expected\n{}", found.plan))
            }
            (Err(error), Ok(decision)) => {
                Err(format!("refused with {error}, where these are expected: {:?}", decision.lines()))
            }
            (Err(error), Err(refusal)) => Err(format!("{error}, where {refusal:?} is expected")),
        }
    }

    /// The same inputs once more, in pages of other sizes, give the same bytes (rule P2).
    fn is_deterministic(&self, told: &World, plan: &Plan) -> Verdict {
        if told != &self.world || self.engine.is_sabotaged() {
            return Ok(());
        }
        let options = convert::options(&self.world.options);
        let store = memory_store(&self.world, self.seed).with_page_size(2);
        let run = Run::default();
        let (source, assigned) = (LiveSource(&self.world), LiveAssignments(&self.world));
        let again = block_on(reconcile(&source, &store, &assigned, &options, &run, &Host::new()));
        let bytes = |plan: &Plan| serde_json::to_string(plan).unwrap_or_default();
        match again {
            Ok(again) if bytes(&again.plan) == bytes(plan) => Ok(()),
            Ok(again) => Err(format!("two plans of the same inputs differ\n{plan}\n{}", again.plan)),
            Err(error) => Err(format!("the second time: {error}")),
        }
    }

    /// Applies the first plan under the trouble. `None`: it was dropped.
    fn first_apply(
        &self,
        trouble: Trouble,
        plan: &Plan,
        store: &MemoryStore,
        world: &mut World,
        path: &mut Path,
    ) -> Result<Option<ApplyReport>, String> {
        // With two writers at once such a store needs a lock around them, as the documentation says (rule J4).
        // Nor can anybody know what such a store has lost from its answers.
        let alone = !matches!(
            trouble,
            Trouble::SignIn(..)
                | Trouble::SecondRunner(_)
                | Trouble::Read(Call::StoreUsers | Call::StoreGroups, _, ReadFault::Lose | ReadFault::Cut)
        );
        let base: Arc<dyn IdentityStore> = match self.seed % 5 {
            3 if alone => Arc::new(Loose(store)),
            _ => Arc::new(store),
        };
        let mut faulty = Faulty::new(base);
        match trouble {
            Trouble::Write(at, fault) => faulty = faulty.write(at, fault),
            Trouble::Down(at, fault) => faulty = faulty.down_from(at, fault),
            Trouble::Reassign(seed) => checks::reassign(world, seed),
            Trouble::Repolicy(seed) => checks::repolicy(world, seed),
            _ => {}
        }
        faulty = faulty.stepped();
        let timer = Instant::default();
        let host = if self.tries_again() { Host::new().timer(&timer) } else { Host::new() };
        let mut options = ApplyOptions::default();
        let protected = match trouble {
            Trouble::Protect(seed) => checks::protect(world, seed),
            _ => None,
        };
        options.protected.ids.extend(protected.iter().map(|id| id.as_str().into()));
        let spared = protected.map(|id| checks::Spared::of(store, id));
        if let Trouble::SecondRunner(turns) = trouble {
            return self.two_runners(turns, plan, store, &options, &host);
        }
        let mut edited = None;
        let served = self.engine.store(Arc::new(&faulty), store, &self.world);
        let future = apply(plan, &served, &options, &host);
        let report = drive(future, |at| {
            path.polls = at + 1;
            match trouble {
                Trouble::DropApply(stop) if stop == at => return Next::Drop,
                Trouble::SignIn(step, who) if step == at => self.signs_in(store, who),
                Trouble::Edit(step, how) if step == at => edited = checks::edit(store, how),
                _ => {}
            }
            Next::Poll
        });
        path.writes = faulty.written();
        if let Some(spared) = spared {
            spared.stays(store)?;
        }
        if let Some(edited) = edited.filter(|_| store.capabilities().concurrency == Concurrency::Conditional)
        {
            edited.survives(store)?;
        }
        report.transpose().map_err(|error| format!("apply refused: {error}"))
    }

    /// Somebody else reads, plans and applies the same world at the same time.
    fn two_runners(
        &self,
        turns: u64,
        plan: &Plan,
        store: &MemoryStore,
        options: &ApplyOptions,
        host: &Host<'_>,
    ) -> Result<Option<ApplyReport>, String> {
        let (first, second) = (Faulty::new(store).stepped(), Faulty::new(store).stepped());
        let first = async {
            let report = apply(plan, &first, options, host).await;
            report.map(drop).map_err(|error| format!("apply refused: {error}"))
        };
        let (source, assigned) =
            (Faulty::new(LiveSource(&self.world)).stepped(), LiveAssignments(&self.world));
        let (choices, run) = (convert::options(&self.world.options), Run::default());
        let second = async {
            let found = match reconcile(&source, &second, &assigned, &choices, &run, host).await {
                Ok(found) => found,
                // It meets the store half-way: what the first run was not refused for, this one may be, and a group may be gone
                // by the time that its members are read. It has written nothing then.
                Err(_) => return Ok(()),
            };
            let report = apply(&found.plan, &second, options, host).await;
            report.map(drop).map_err(|error| format!("the second runner: apply refused: {error}"))
        };
        let mut rng = Rng(turns);
        let runners: Vec<Pin<Box<dyn Future<Output = Verdict> + '_>>> =
            vec![Box::pin(first), Box::pin(second)];
        for ended in interleave(runners, |running| rng.below(running)) {
            ended.ok_or("two runners never end")??;
        }
        // Each of them has seen the other's work as conflicts or as done: neither report tells the end alone.
        Ok(None)
    }

    fn signs_in(&self, store: &MemoryStore, who: u64) {
        let users = &self.world.source.users;
        let Some(user) = users.get(who as usize % users.len().max(1)) else { return };
        let options = convert::options(&self.world.options);
        let (source, run) = (LiveSource(&self.world), Run::default());
        let anchor = user.anchor.as_str().into();
        // Its own failures are its own; what it leaves in the store is judged by the clean runs.
        drop(block_on(sign_in(&source, store, &anchor, &options, &run, &Host::new())));
    }

    /// What the report says was done is what the store holds now, and nothing else (rule X1).
    fn report_is_true(
        &self,
        trouble: Trouble,
        plan: &Plan,
        decision: &Decision,
        report: &ApplyReport,
        store: &MemoryStore,
    ) -> Verdict {
        let ambiguous = match trouble {
            // A store that denies a record which is there.
            Trouble::Write(_, WriteFault::Refuse(ErrorKind::NotFound))
            | Trouble::Down(_, WriteFault::Refuse(ErrorKind::NotFound)) => true,
            Trouble::Write(_, fault) | Trouble::Down(_, fault) => {
                !matches!(fault, WriteFault::Refuse(_) | WriteFault::Throttle(_) | WriteFault::Break(_))
            }
            Trouble::SignIn(..) | Trouble::Edit(..) | Trouble::SecondRunner(_) | Trouble::Protect(_) => true,
            // A plan from half a store meets the other half when it writes.
            Trouble::Read(Call::StoreUsers | Call::StoreGroups, _, _) => true,
            _ => false,
        };
        // A list that goes out in parts may be done in part.
        let in_parts = plan.operations().zip(&report.outcomes).any(|(operation, outcome)| {
            let list = matches!(operation.action(), Action::AddMembers(_) | Action::RemoveMembers(_));
            list && !outcome.is_applied()
        });
        let trouble_free = !matches!(trouble, Trouble::Write(..) | Trouble::Down(..));
        if trouble_free && !ambiguous && !report.is_success() {
            return Err(format!("nothing went wrong, and yet: {report}\n{plan}"));
        }
        let lost = matches!(trouble, Trouble::Write(_, WriteFault::LoseAnswer(ErrorKind::Transient)));
        let creates = plan.operations().zip(&report.outcomes).filter(|(operation, _)| {
            matches!(operation.action(), Action::CreateUser { .. } | Action::CreateGroup { .. })
        });
        // Whoever tries again finds out by the link what has happened (rules X2, X4).
        let denied = |(operation, outcome): (identity_sync::Operation<'_>, &identity_sync::Outcome)| {
            let kind = match outcome {
                identity_sync::Outcome::Failed(error) => error.kind(),
                _ => return false,
            };
            let anchor = operation.subject().anchor().unwrap_or_default();
            let state = store.state();
            let mut links = state.users.values().chain(state.groups.values()).flat_map(|r| &r.external_ids);
            kind == ErrorKind::AlreadyExists && links.any(|link| link.value.as_str() == anchor)
        };
        if lost && self.tries_again() && creates.into_iter().any(denied) {
            return Err(format!("a create whose answer was lost is not found again: {report}\n{plan}"));
        }
        if ambiguous || in_parts {
            return Ok(());
        }
        let known: BTreeMap<String, &Operation> =
            decision.operations.iter().map(|operation| (operation.to_string(), operation)).collect();
        let applied = plan.operations().zip(&report.outcomes).filter(|(_, outcome)| outcome.is_applied());
        let done: BTreeSet<Operation> = applied
            .filter_map(|(operation, _)| known.get(&lines::line(operation)).map(|&o| o.clone()))
            .collect();
        let expected = checks::canonical_store(&perform(&self.stored, &done).store);
        checks::same(
            "the store is not what the report says",
            &checks::canonical(store, &self.world),
            &expected,
        )
    }
}

/// How far an undisturbed run goes.
#[derive(Clone, Copy, Debug, Default)]
struct Path {
    writes: usize,
    polls: usize,
}

/// Whether both were refused for the same reason.
pub fn is_refused_for(error: &PlanError, refusal: &Refusal) -> bool {
    match (error, refusal) {
        (PlanError::OtherSource { .. }, Refusal::OtherSource)
        | (PlanError::OlderSource { .. }, Refusal::OlderSource)
        | (PlanError::CannotAdopt, Refusal::CannotAdopt)
        | (PlanError::PartialStore { .. }, Refusal::PartialStore)
        | (PlanError::EmptyAssignments, Refusal::EmptyAssignments) => true,
        (PlanError::EmptySource { kind, .. }, Refusal::EmptySource(expected)) => {
            (*kind == Kind::User) == (*expected == oracle::Kind::User)
        }
        _ => false,
    }
}

fn refusal_name(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::OtherSource => "refused: another source",
        Refusal::OlderSource => "refused: an older source",
        Refusal::CannotAdopt => "refused: cannot adopt",
        Refusal::PartialStore => "refused: partial store",
        Refusal::EmptySource(_) => "refused: empty source",
        Refusal::EmptyAssignments => "refused: no assignments",
    }
}
