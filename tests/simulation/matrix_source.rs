//! The faults of a source, SF-1 to SF-25: each for users, groups and member lists, on the first, a middle and the last page.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use identity_sync::testing::{Call, Faulty, ReadFault};
use identity_sync::{
    Action, ErrorKind, Host, Plan, PlanError, ReadError, ReconcileError, Reconciliation, Run, RunState,
    Timestamp, reconcile,
};
use pollster::block_on;

use super::checks;
use super::instant::Instant;
use super::run::{Verdict, is_refused_for};
use crate::common::r#gen::{self, Rng};
use crate::common::live::{LiveAssignments, LiveSource, memory_store};
use crate::common::oracle::decide;
use crate::common::world::{self, Existence, GroupRow, KindHint, Member, MemberTarget, UserRow, World};
use crate::common::{convert, lines};

const ROWS: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Users,
    Groups,
    Members,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Where {
    First,
    Middle,
    Last,
}

pub const WHATS: [What; 3] = [What::Users, What::Groups, What::Members];
pub const WHERES: [Where; 3] = [Where::First, Where::Middle, Where::Last];
pub const FAULTS: u32 = 25;

/// What one cell puts the engine through, and what must come of it.
struct Cell {
    /// What the directory says now.
    told: World,
    faults: Vec<(Call, usize, ReadFault)>,
    outcome: Expected,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// The plan of the oracle for what was told; nobody is deleted who is there.
    Plan,
    /// The same, and nothing is taken away that an undisturbed read would have left.
    PlanTakesNothing,
    Error,
    Deadline,
    Panic,
    OlderSource,
    OtherSource,
}

/// Why there is no such cell.
pub fn impossible(fault: u32, what: What, at: Where) -> Option<&'static str> {
    match (fault, what, at) {
        (1, _, Where::Middle | Where::Last) => Some("before the first page is before the first page"),
        (8, What::Users | What::Groups, Where::Middle | Where::Last) => Some("an empty read has one page"),
        (15, What::Users | What::Groups, _) => Some("only member lists are cut by a range"),
        (18 | 22, What::Users, Where::First) => None,
        (18 | 22, _, _) => Some("asked once, before any page"),
        (19 | 20, _, _) => Some("this version reads no changes from a checkpoint"),
        (23, What::Users | What::Groups, _) => {
            Some("a read ends as `Last` or with an error: there is no third way")
        }
        _ => None,
    }
}

fn page(rows: usize, at: Where) -> Option<usize> {
    let pages = rows.div_ceil(ROWS);
    match at {
        _ if pages < 3 => None,
        Where::First => Some(0),
        Where::Middle => Some(pages / 2),
        Where::Last => Some(pages - 1),
    }
}

/// Builds the cell in a world; `None`: this world has not enough pages.
fn cell(fault: u32, what: What, at: Where, world: &World) -> Option<Cell> {
    let groups = what != What::Users;
    let rows = if groups { world.source.groups.len() } else { world.source.users.len() };
    let page = page(rows, at)?;
    let call = if groups { Call::SourceGroups } else { Call::SourceUsers };
    let range = page * ROWS..((page + 1) * ROWS).min(rows);
    let mut told = world.clone();
    let mut faults = Vec::new();
    let mut outcome = Expected::Plan;
    let fail = |kind| vec![(call, page, ReadFault::Fail(kind))];
    match (fault, what) {
        (1 | 2, _) => (faults, outcome) = (fail(ErrorKind::Permanent), Expected::Error),
        (3 | 4 | 6, What::Members) => {
            for group in &mut told.source.groups[range] {
                group.members.truncate(group.members.len() / 2);
                group.members_complete = false;
            }
            outcome = Expected::PlanTakesNothing;
        }
        (3 | 4 | 6, _) => {
            faults.push((call, page, ReadFault::Partial));
            cut(&mut told, groups, range.end);
            if groups {
                told.source.groups_complete = false
            } else {
                told.source.users_complete = false
            }
            outcome = Expected::PlanTakesNothing;
        }
        (5, _) => {
            let kind = [ErrorKind::Transient, ErrorKind::Unauthorized, ErrorKind::Permanent][page % 3];
            (faults, outcome) = (fail(kind), Expected::Error);
        }
        (7, _) => (faults, outcome) = (fail(ErrorKind::NotFound), Expected::Error),
        (8, What::Members) => told.source.groups[range].iter_mut().for_each(|group| group.members.clear()),
        (8, What::Users) => told.source.users.clear(),
        (8, What::Groups) => told.source.groups.clear(),
        (9, What::Members) => {
            for group in &mut told.source.groups[range] {
                group.members.retain(|member| member.hint != KindHint::Group);
            }
        }
        (9, _) => {
            faults.push((call, page, ReadFault::Lose));
            lose(&mut told, groups, range);
        }
        (10, What::Members) => {
            told.source.groups[range].iter_mut().for_each(|group| group.members.truncate(1));
        }
        (10, _) => {
            faults.push((call, page, ReadFault::Cut));
            cut(&mut told, groups, range.end);
        }
        (11, What::Members) => (faults, outcome) = (vec![(call, page, ReadFault::Endless)], Expected::Error),
        (11, _) => {
            faults.push((call, page, ReadFault::Repeat));
            again(&mut told, groups, range);
        }
        (12, _) => {
            let mut rng = Rng(u64::from(fault) + page as u64);
            for at in range {
                let other = rng.below(rows);
                match what {
                    What::Users => told.source.users.swap(at, other),
                    What::Groups => told.source.groups.swap(at, other),
                    What::Members => told.source.groups[at].members.reverse(),
                }
            }
        }
        (13, What::Members) => {
            for group in &mut told.source.groups[range] {
                let twice = group.members.clone();
                group.members.extend(twice);
            }
        }
        // On the first page it is seen twice, on the others never.
        (13, _) if at == Where::First => again(&mut told, groups, range),
        (13, _) => lose(&mut told, groups, range.start..range.start + 1),
        (14, What::Users) => {
            let mut other = told.source.users[range.start].clone();
            // What is not mapped is not read: two rows that differ in nothing else are one.
            let template = &world.options.user_map.first()?.template;
            let name = template.trim_start_matches("${").split('}').next().unwrap_or_default();
            other.attributes.insert(name.to_owned(), vec!["another".to_owned()]);
            told.source.users.push(UserRow { version: None, ..other });
        }
        (14, _) => {
            let mut other = told.source.groups[range.start].clone();
            match what {
                What::Members => other.members.clear(),
                _ => drop(other.attributes.insert("cn".to_owned(), vec!["another".to_owned()])),
            }
            told.source.groups.push(GroupRow { version: None, ..other });
        }
        (15, _) => {
            for group in &mut told.source.groups[range] {
                group.members.truncate(1);
                group.members_complete = false;
            }
            outcome = Expected::PlanTakesNothing;
        }
        (16, What::Users) => {
            for user in &mut told.source.users[range] {
                let names: Vec<String> = user.attributes.keys().cloned().collect();
                user.attributes.clear();
                user.unreadable.extend(names);
            }
        }
        (16, What::Groups) => {
            for group in &mut told.source.groups[range] {
                let names: Vec<String> = group.attributes.keys().cloned().collect();
                group.attributes.clear();
                group.unreadable.extend(names);
            }
        }
        (16 | 23, What::Members) => {
            for group in &mut told.source.groups[range] {
                group.members.clear();
                group.members_complete = false;
            }
            outcome = Expected::PlanTakesNothing;
        }
        (17, What::Members) => {
            let odd = [
                (MemberTarget::Unresolved("CN=Nobody,DC=x".to_owned()), KindHint::Unknown),
                (MemberTarget::Anchor("from-elsewhere".to_owned()), KindHint::Foreign),
                (MemberTarget::Anchor("printer".to_owned()), KindHint::Other),
                (MemberTarget::Anchor(world.source.groups[0].anchor.clone()), KindHint::User),
            ];
            for (group, (target, hint)) in told.source.groups[range].iter_mut().zip(odd) {
                group.members.push(Member { target, hint });
            }
        }
        (17, _) => {
            // Named by assignments and lists, and not there; a look-up says that it exists.
            let anchor = match what {
                What::Users => told.source.users.remove(range.start).anchor,
                _ => told.source.groups.remove(range.start).anchor,
            };
            let kind = if groups { KindHint::Group } else { KindHint::User };
            told.source.existence.insert(anchor, Existence::Exists(kind));
        }
        (18, _) => {
            told.source.generation = Some(world::Generation { replica: "dc1".to_owned(), number: 41 });
            outcome = Expected::OlderSource;
        }
        (21, What::Users) => {
            for (at, user) in told.source.users[range].iter_mut().enumerate() {
                match at {
                    0 => user.withdrawn = true,
                    1 => drop(
                        user.attributes.insert("displayName".to_owned(), vec!["\u{0}\u{202e}".to_owned()]),
                    ),
                    _ => drop(user.attributes.insert("uid".to_owned(), vec!["x".repeat(100_000)])),
                }
                // A value beyond its bound is a row beyond use.
                user.withdrawn |= user.attributes.values().flatten().any(|value| value.len() > 64 << 10);
            }
        }
        (21, _) => {
            for group in &mut told.source.groups[range] {
                let own = MemberTarget::Anchor(group.anchor.clone());
                group.members.push(Member { target: own, hint: KindHint::Group });
                group.withdrawn = what == What::Groups;
            }
        }
        (22, _) => {
            told.source.identity = "another-domain".to_owned();
            outcome = Expected::OtherSource;
        }
        (24, _) => (faults, outcome) = (vec![(call, page, ReadFault::Hang)], Expected::Deadline),
        (25, _) => (faults, outcome) = (vec![(call, page, ReadFault::Panic)], Expected::Panic),
        _ => return None,
    }
    Some(Cell { told, faults, outcome })
}

fn cut(told: &mut World, groups: bool, rows: usize) {
    if groups { told.source.groups.truncate(rows) } else { told.source.users.truncate(rows) }
}

fn lose(told: &mut World, groups: bool, range: std::ops::Range<usize>) {
    if groups { drop(told.source.groups.drain(range)) } else { drop(told.source.users.drain(range)) }
}

fn again(told: &mut World, groups: bool, range: std::ops::Range<usize>) {
    if groups {
        let rows = told.source.groups[range].to_vec();
        told.source.groups.extend(rows);
    } else {
        let rows = told.source.users[range].to_vec();
        told.source.users.extend(rows);
    }
}

/// Runs a cell in a world; `None`: the world is too small for it.
pub fn run(fault: u32, what: What, at: Where, seed: u64) -> Option<Verdict> {
    let mut world = r#gen::calm(&mut Rng(seed ^ 0x6D61_7472_6978));
    world.options.guards = world::Guards::default();
    world.store.complete = true;
    world.source.tombstones.clear();
    world.source.has_existence = true;
    world.source.generation = Some(world::Generation { replica: "dc1".to_owned(), number: 42 });
    pad(&mut world);
    let cell = cell(fault, what, at, &world)?;
    Some(judge(&world, &cell, seed))
}

/// More groups, among those that are there: enough for three pages.
fn pad(world: &mut World) {
    let users: Vec<String> = world.source.users.iter().map(|user| user.anchor.clone()).collect();
    for number in 0..6_usize {
        let anchor = format!("pad{number}");
        let members = users
            .iter()
            .skip(number)
            .step_by(3)
            .map(|user| Member { target: MemberTarget::Anchor(user.clone()), hint: KindHint::User });
        let group = GroupRow {
            anchor: anchor.clone(),
            version: None,
            attributes: BTreeMap::from([("cn".to_owned(), vec![anchor.clone()])]),
            unreadable: BTreeSet::new(),
            withdrawn: false,
            members: members.collect(),
            members_complete: true,
        };
        let at = (2 * number).min(world.source.groups.len());
        world.source.groups.insert(at, group);
        if number % 2 == 0 {
            world
                .assignments
                .principals
                .push(world::Principal::External(world.options.issuer.clone(), anchor));
        }
    }
}

fn judge(world: &World, cell: &Cell, seed: u64) -> Verdict {
    let store = memory_store(world, seed);
    let before = checks::canonical(&store, world);
    // The fault is that of the adapter, or it is in what the directory says.
    let said = if cell.faults.is_empty() { &cell.told } else { world };
    let mut source = Faulty::new(LiveSource(said));
    for (call, page, fault) in &cell.faults {
        source = source.read(*call, *page, *fault);
    }
    let assigned = LiveAssignments(world);
    let options = convert::options(&world.options);
    let timer = Instant::default();
    let host = match cell.outcome {
        Expected::Deadline => Host::new().timer(&timer).read_deadline(Duration::from_secs(60)),
        _ => Host::new(),
    };
    let remembered = matches!(cell.outcome, Expected::OlderSource | Expected::OtherSource);
    let run = if remembered { Run::new(state_after(world, seed), Timestamp(1)) } else { Run::default() };
    let found = catch_unwind(AssertUnwindSafe(|| {
        block_on(reconcile(&source, &store, &assigned, &options, &run, &host))
    }));
    checks::same("a read has written", &checks::canonical(&store, world), &before)?;
    let found = match (found, cell.outcome) {
        (Err(_), Expected::Panic) => return comes_to_rest(world, seed),
        (Err(_), _) => return Err("panics".to_owned()),
        (Ok(found), _) => found,
    };
    match (found, cell.outcome) {
        (
            Err(ReconcileError::Read(ReadError::Adapter { .. } | ReadError::RepeatedPage { .. })),
            Expected::Error,
        )
        | (Err(ReconcileError::Read(ReadError::DeadlineExceeded { .. })), Expected::Deadline)
        | (Err(ReconcileError::Plan(PlanError::OlderSource { .. })), Expected::OlderSource)
        | (Err(ReconcileError::Plan(PlanError::OtherSource { .. })), Expected::OtherSource) => Ok(()),
        (found, Expected::Plan | Expected::PlanTakesNothing) => planned(world, cell, found),
        (found, expected) => {
            Err(format!("{expected:?} expected: {:?}", found.map(|found| found.plan.to_string())))
        }
    }
}

fn planned(world: &World, cell: &Cell, found: Result<Reconciliation, ReconcileError>) -> Verdict {
    let (found, decision) = match (found, decide(&cell.told)) {
        (Ok(found), Ok(decision)) => (found, decision),
        // Refused by both, for the same reason: nothing is done.
        (Err(ReconcileError::Plan(error)), Err(refusal)) if is_refused_for(&error, &refusal) => return Ok(()),
        (found, decision) => {
            return Err(format!("{:?}, expected {decision:?}", found.map(|found| found.plan.to_string())));
        }
    };
    checks::plan_is(&found.plan, &decision)?;
    checks::invariants(&found.plan, &cell.told)?;
    let alive: BTreeSet<&String> = world.source.users.iter().map(|user| &user.anchor).collect();
    let groups: BTreeSet<&String> = world.source.groups.iter().map(|group| &group.anchor).collect();
    for operation in found.plan.operations() {
        let anchor = operation.subject().anchor().map(str::to_owned).unwrap_or_default();
        let deleted = matches!(operation.action(), Action::Delete);
        if deleted
            && operation.cause() == identity_sync::Cause::DeletedInSource
            && (alive.contains(&anchor) || groups.contains(&anchor))
        {
            return Err(format!("somebody is deleted who is there: {}", lines::line(operation)));
        }
    }
    if cell.outcome == Expected::PlanTakesNothing {
        let Ok(whole) = decide(world) else { return Ok(()) };
        let allowed: BTreeSet<String> = whole.lines().iter().flat_map(|line| singly(line)).collect();
        let taken = taken(&found.plan);
        let more: Vec<&String> = taken.iter().filter(|line| !allowed.contains(*line)).collect();
        if !more.is_empty() {
            return Err(format!("an incomplete read takes away: {more:?}"));
        }
    }
    Ok(())
}

/// What takes something away from somebody: deletes, deactivations, each member that is removed, each value that is cleared.
fn taken(plan: &Plan) -> Vec<String> {
    let mut taken = Vec::new();
    for operation in plan.operations() {
        match operation.action() {
            Action::Delete | Action::Deactivate | Action::RemoveMembers(_) => {
                taken.extend(singly(&lines::line(operation)));
            }
            Action::Update { .. } => {
                let cleared =
                    singly(&lines::line(operation)).into_iter().filter(|line| line.ends_with("->[]"));
                taken.extend(cleared);
            }
            _ => {}
        }
    }
    taken
}

/// A list, or an update of several attributes, line by line.
fn singly(line: &str) -> Vec<String> {
    if let Some((list, members)) = line.split_once(" : ") {
        return members.split(',').map(|member| format!("{list} : {member}")).collect();
    }
    let mut words = line.splitn(3, ' ');
    match (words.next(), words.next(), words.next()) {
        (Some(action @ ("update_user" | "update_group")), Some(subject), Some(changes)) => {
            changes.split(';').map(|change| format!("{action} {subject} {change}")).collect()
        }
        _ => vec![line.to_owned()],
    }
}

/// What a run before left that saw this world as it is.
fn state_after(world: &World, seed: u64) -> RunState {
    let store = memory_store(world, seed);
    let options = convert::options(&world.options);
    let run = Run::new(RunState::default(), Timestamp(0));
    let found = block_on(reconcile(
        &LiveSource(world),
        &store,
        &LiveAssignments(world),
        &options,
        &run,
        &Host::new(),
    ));
    found.map(|found| found.run).unwrap_or_else(|_| {
        // Refused worlds remember nothing; any state that knows the source will do.
        let mut state = RunState::default();
        state.accept_source();
        state
    })
}

/// A run after the fault ends as if it had not been.
fn comes_to_rest(world: &World, seed: u64) -> Verdict {
    let store = memory_store(world, seed);
    let options = convert::options(&world.options);
    let found = block_on(reconcile(
        &LiveSource(world),
        &store,
        &LiveAssignments(world),
        &options,
        &Run::default(),
        &Host::new(),
    ));
    match (found, decide(world)) {
        (Ok(found), Ok(decision)) => checks::plan_is(&found.plan, &decision),
        (Err(_), Err(_)) => Ok(()),
        (found, decision) => {
            Err(format!("{:?}, expected {decision:?}", found.map(|found| found.plan.to_string())))
        }
    }
}
