//! The faults of a store, WF-1 to WF-21, for each kind of operation at its first, a middle and its last place, and the world
//! events at every step.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use identity_sync::memory::{MemoryRecord, MemoryStore};
use identity_sync::testing::{Call, Faulty, Next, ReadFault, WriteFault, drive};
use identity_sync::{
    Action, ApplyOptions, ApplyReport, ErrorKind, ExternalId, Host, IdentityStore, Kind, Outcome, Plan,
    PlanError, ReconcileError, Run, StoreCapabilities, apply, reconcile,
};
use pollster::block_on;

use super::checks;
use super::exhaustive;
use super::instant::Instant;
use super::matrix_source::Where;
use super::run::Verdict;
use crate::common::live::{LiveAssignments, LiveSource, load, unload};
use crate::common::oracle::{decide, perform};
use crate::common::world::{
    AccountState, DeactivatedBy, Existence, GroupRow, KindHint, Member, MemberTarget, Origin, Principal,
    StoreGroup, StoreUser, UserRow, World,
};
use crate::common::{convert, lines};

pub const FAULTS: u32 = 21;

/// A kind of operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    CreateUser,
    CreateGroup,
    Update,
    Deactivate,
    Reactivate,
    Delete,
    AddMembers,
    RemoveMembers,
}

pub const OPS: [Op; 8] = [
    Op::CreateUser,
    Op::CreateGroup,
    Op::Update,
    Op::Deactivate,
    Op::Reactivate,
    Op::Delete,
    Op::AddMembers,
    Op::RemoveMembers,
];

fn kind_of(action: &Action<'_>) -> Option<Op> {
    Some(match action {
        Action::CreateUser { .. } => Op::CreateUser,
        Action::CreateGroup { .. } => Op::CreateGroup,
        Action::Update { .. } => Op::Update,
        Action::Deactivate => Op::Deactivate,
        Action::Reactivate => Op::Reactivate,
        Action::Delete => Op::Delete,
        Action::AddMembers(_) => Op::AddMembers,
        Action::RemoveMembers(_) => Op::RemoveMembers,
        _ => return None,
    })
}

/// A world whose plan holds three of every kind of operation.
pub fn rich() -> World {
    let mut world = exhaustive::base();
    let user = |anchor: String, state| UserRow {
        attributes: BTreeMap::from([("uid".to_owned(), vec![anchor.clone()])]),
        anchor,
        state,
        version: None,
        unreadable: Default::default(),
        withdrawn: false,
    };
    let stored = |anchor: &str, name: &str, active: bool| StoreUser {
        id: format!("record-{anchor}"),
        external_ids: vec![("ad".to_owned(), anchor.to_owned())],
        active,
        deactivated_by: (!active).then_some(DeactivatedBy::Sync),
        origin: Some(Origin::Synced),
        attributes: BTreeMap::from([("userName".to_owned(), vec![name.to_owned()])]),
    };
    let member = |anchor: String, hint| Member { target: MemberTarget::Anchor(anchor), hint };
    for n in 1..=3 {
        let (new, changed, off, on, gone) = (
            format!("new{n}"),
            format!("changed{n}"),
            format!("off{n}"),
            format!("on{n}"),
            format!("gone{n}"),
        );
        for (anchor, state) in [
            (&new, AccountState::Enabled),
            (&changed, AccountState::Enabled),
            (&off, AccountState::Disabled),
            (&on, AccountState::Enabled),
        ] {
            world.source.users.push(user(anchor.clone(), state));
        }
        world.store.users.push(stored(&changed, &format!("old-{changed}"), true));
        world.store.users.push(stored(&off, &off, true));
        world.store.users.push(stored(&on, &on, false));
        world.store.users.push(stored(&gone, &gone, true));
        world.source.existence.insert(gone.clone(), Existence::Gone);
        // One group to be made, and one that gains somebody and loses somebody.
        let (fresh, old) = (format!("fresh{n}"), format!("group{n}"));
        for (anchor, members) in
            [(&fresh, vec![new.clone()]), (&old, vec![new.clone(), changed.clone(), off.clone(), on.clone()])]
        {
            world.source.groups.push(GroupRow {
                anchor: anchor.clone(),
                version: None,
                attributes: BTreeMap::from([("cn".to_owned(), vec![anchor.clone()])]),
                unreadable: Default::default(),
                withdrawn: false,
                members: members.into_iter().map(|anchor| member(anchor, KindHint::User)).collect(),
                members_complete: true,
            });
            world.assignments.principals.push(Principal::External("ad".to_owned(), anchor.clone()));
        }
        world.store.groups.push(StoreGroup {
            id: format!("record-{old}"),
            external_ids: vec![("ad".to_owned(), old.clone())],
            attributes: BTreeMap::from([("displayName".to_owned(), vec![old.clone()])]),
            members: vec![format!("record-{off}"), format!("record-on{}", n % 3 + 1)],
        });
    }
    world
}

/// Its store: one write to a call, conditional.
fn store_of(world: &World, batch: usize) -> MemoryStore {
    let mut capabilities: StoreCapabilities = convert::store_capabilities(&world.store);
    capabilities.batch = batch;
    capabilities.concurrency = identity_sync::Concurrency::Conditional;
    let store = MemoryStore::with_capabilities(capabilities);
    load(&store, world);
    store
}

fn plan_on(world: &World, store: &MemoryStore) -> Result<Plan, ReconcileError> {
    let options = convert::options(&world.options);
    let (source, assigned) = (LiveSource(world), LiveAssignments(world));
    block_on(reconcile(&source, store, &assigned, &options, &Run::default(), &Host::new()))
        .map(|found| found.plan)
}

/// The place of an operation of a kind in the plan; of those whose record is there already, where somebody meddles with it.
fn place(plan: &Plan, op: Op, at: Where, with_record: bool) -> Option<usize> {
    let all: Vec<usize> = plan
        .operations()
        .enumerate()
        .filter(|(_, operation)| kind_of(&operation.action()) == Some(op))
        .filter(|(_, operation)| !with_record || operation.subject().id().is_some())
        .map(|(number, _)| number)
        .collect();
    match at {
        _ if all.len() < 3 => None,
        Where::First => all.first().copied(),
        Where::Middle => all.get(all.len() / 2).copied(),
        Where::Last => all.last().copied(),
    }
}

/// Why there is no such cell.
pub fn impossible(fault: u32, op: Op) -> Option<&'static str> {
    let creates = matches!(op, Op::CreateUser | Op::CreateGroup);
    match (fault, op) {
        (6, Op::Update) => None,
        (6, _) if !creates => Some("only a create or an update takes a unique value"),
        (7 | 8, _) if creates => Some("a record that is to be made has no version yet"),
        (9, Op::Delete) => None,
        (9, _) => Some("of deletes; for the others see WF-10"),
        (10, Op::Delete) => Some("of the others; for deletes see WF-9"),
        (10, _) if creates => Some("there is nothing to be missing"),
        (18, Op::Update) => None,
        (18, _) if !creates => Some("no values are written"),
        (16, Op::CreateUser | Op::CreateGroup) => None,
        (16, _) => Some("users and groups are listed before any operation: see their creates"),
        (19, _) if !creates => Some("only a create is answered with an id"),
        _ => None,
    }
}

/// Runs a cell: the fault, what is seen of it at once, and the clean runs after it.
pub fn run(fault: u32, op: Op, at: Where) -> Option<Verdict> {
    let world = rich();
    let store = store_of(&world, if fault == 14 { 5 } else { 1 });
    let plan = plan_on(&world, &store).ok()?;
    let number = place(&plan, op, at, matches!(fault, 8..=10))?;
    Some(cell(fault, (op, at), number, &world, &store, &plan).and_then(|healed| match healed {
        Healed::Whole => ends_well(&world, &store),
        Healed::InStep => in_step(&world, &store),
        Healed::Not => Ok(()),
    }))
}

/// What the clean runs after a fault can be held to.
enum Healed {
    /// The end is that of a run without a fault.
    Whole,
    /// Nothing is left to do; somebody else has had a hand in it.
    InStep,
    Not,
}

fn cell(
    fault: u32,
    (op, at): (Op, Where),
    number: usize,
    world: &World,
    store: &MemoryStore,
    plan: &Plan,
) -> Result<Healed, String> {
    let one = |fault| Faulty::new(store).write(number, fault);
    let outcome = |report: &ApplyReport, wanted: &str, ok: fn(&Outcome) -> bool| {
        let found = &report.outcomes[number];
        if ok(found) { Ok(()) } else { Err(format!("{wanted} expected: {found}\n{report}\n{plan}")) }
    };
    let applied = |report: &ApplyReport| outcome(report, "applied", Outcome::is_applied);
    let failed = |report: &ApplyReport, kind: ErrorKind| match &report.outcomes[number] {
        Outcome::Failed(error) if error.kind() == kind => Ok(()),
        other => Err(format!("failed with {kind:?} expected: {other}\n{report}")),
    };
    let others_ran = |report: &ApplyReport| {
        let idle = report.outcomes.iter().filter(|outcome| matches!(outcome, Outcome::NotTried)).count();
        if idle == 0 && report.stopped.is_none() {
            Ok(())
        } else {
            Err(format!("the rest did not run: {report}"))
        }
    };
    match fault {
        1 => applied(&written(plan, &one(WriteFault::Refuse(ErrorKind::Transient)), true))?,
        2 => applied(&written(plan, &one(WriteFault::LoseAnswer(ErrorKind::Transient)), true))?,
        3 => drop(written(plan, &one(WriteFault::Twice), true)),
        4 => {
            for wait in [Duration::ZERO, Duration::from_secs(7), Duration::MAX] {
                let fresh = store_of(world, 1);
                let timer = Instant::default();
                let faulty = Faulty::new(&fresh).write(number, WriteFault::Throttle(wait));
                let host = Host::new().timer(&timer);
                let report = block_on(apply(plan, &faulty, &ApplyOptions::default(), &host)).unwrap();
                applied(&report)?;
                if timer.waited() > 300 || timer.waited() < wait.as_secs().min(300) {
                    return Err(format!("waits {} s where {wait:?} were asked for", timer.waited()));
                }
            }
            let report = written(plan, &one(WriteFault::Throttle(Duration::from_secs(1))), false);
            failed(&report, ErrorKind::Transient)?;
        }
        5 => {
            let busy = WriteFault::Refuse(ErrorKind::Transient);
            let twice = Faulty::new(store).write(number, busy).write(number + 1, busy);
            applied(&written(plan, &twice, true))?;
        }
        6 => return holders(op, number, world, plan),
        7 => {
            let report = written(plan, &one(WriteFault::Refuse(ErrorKind::Conflict)), true);
            failed(&report, ErrorKind::Conflict)?;
            others_ran(&report)?;
        }
        8 => {
            let report = meanwhile(plan, store, number, touch);
            failed(&report, ErrorKind::Conflict)?;
            return Ok(Healed::InStep);
        }
        9 => {
            let report = meanwhile(plan, store, number, |state, id| {
                state.users.remove(id);
                state.groups.remove(id);
            });
            applied(&report)?;
        }
        10 => {
            let report = meanwhile(plan, store, number, |state, id| {
                state.users.remove(id);
                state.groups.remove(id);
            });
            if op == Op::RemoveMembers {
                applied(&report)?;
            } else {
                failed(&report, ErrorKind::NotFound)?;
            }
            return Ok(Healed::InStep);
        }
        11 => {
            let report = written(plan, &one(WriteFault::Refuse(ErrorKind::Invalid)), true);
            failed(&report, ErrorKind::Invalid)?;
            others_ran(&report)?;
        }
        12 => {
            let report = written(plan, &one(WriteFault::Refuse(ErrorKind::Unauthorized)), true);
            failed(&report, ErrorKind::Unauthorized)?;
            let after = &report.outcomes[number + 1..];
            if report.stopped.is_none() || after.iter().any(|outcome| !matches!(outcome, Outcome::NotTried)) {
                return Err(format!("goes on without rights: {report}"));
            }
        }
        13 => {
            let report = written(plan, &one(WriteFault::Refuse(ErrorKind::QuotaExceeded)), true);
            failed(&report, ErrorKind::QuotaExceeded)?;
            let made_after =
                plan.operations().zip(&report.outcomes).skip(number + 1).any(|(operation, outcome)| {
                    let creates =
                        matches!(kind_of(&operation.action()), Some(Op::CreateUser | Op::CreateGroup));
                    creates && outcome.is_applied()
                });
            if matches!(op, Op::CreateUser | Op::CreateGroup) && made_after {
                return Err(format!("creates go on over the quota: {report}"));
            }
        }
        14 => {
            let report = written(plan, &one(WriteFault::BreakAfter(ErrorKind::Permanent)), true);
            outcome(&report, "not applied, or seen to be", |outcome| !matches!(outcome, Outcome::NotTried))?;
        }
        15 => {
            written(plan, &Faulty::new(store), true);
            let stale = stale_listing(world, store, plan, number);
            let again = plan_on(world, &stale).map_err(|error| error.to_string())?;
            let wanted = plan.operations().nth(number).unwrap().subject().anchor();
            let same = |other: identity_sync::Operation<'_>| {
                kind_of(&other.action()) == Some(op) && other.subject().anchor() == wanted
            };
            if !again.operations().any(same) {
                return Err(format!("the stale listing plans nothing for {wanted:?}\n{again}"));
            }
            written(&again, &Faulty::new(store), true);
        }
        16 => torn_listing(op, at, world)?,
        17 => {
            written(plan, &one(WriteFault::Pretend), true);
            let dropped = plan.operations().nth(number).unwrap();
            let again = plan_on(world, store).map_err(|error| error.to_string())?;
            let same = |other: identity_sync::Operation<'_>| {
                kind_of(&other.action()) == Some(op) && other.subject().anchor() == dropped.subject().anchor()
            };
            if !again.operations().any(same) {
                return Err(format!(
                    "dropped in silence and not planned again: {}\n{again}",
                    lines::line(dropped)
                ));
            }
        }
        18 => {
            written(plan, &Faulty::new(store), true);
            let subject = plan.operations().nth(number).unwrap().subject();
            let anchor = subject.anchor().unwrap_or_default().to_owned();
            shout(store, &anchor);
            // The names match by their rule: nothing is planned for the sake of their spelling alone.
            let again = plan_on(world, store).map_err(|error| error.to_string())?;
            let spelled = lines::operations(&again);
            if spelled.len() > 1 {
                return Err(format!("one value in another spelling plans {spelled:?}"));
            }
            return Ok(Healed::InStep);
        }
        19 => {
            let report = answered_wrongly(plan, store, number);
            failed(&report, ErrorKind::Permanent)?;
            return Ok(Healed::InStep);
        }
        20 => {
            for hang in [WriteFault::Hang, WriteFault::HangAfter] {
                let fresh = store_of(world, 1);
                let faulty = Faulty::new(&fresh).write(number, hang);
                let (options, host) = (ApplyOptions::default(), Host::new());
                let dropped = drive(apply(plan, &faulty, &options, &host), |at| {
                    if at == 0 { Next::Poll } else { Next::Drop }
                });
                if dropped.is_some() {
                    return Err("a write that hangs does not hang".to_owned());
                }
                ends_well(world, &fresh)?;
            }
        }
        21 => {
            for panics in [WriteFault::Panic, WriteFault::PanicAfter] {
                let fresh = store_of(world, 1);
                let faulty = Faulty::new(&fresh).write(number, panics);
                let ended = catch_unwind(AssertUnwindSafe(|| written(plan, &faulty, true)));
                if ended.is_ok() {
                    return Err("the panic is swallowed".to_owned());
                }
                ends_well(world, &fresh)?;
            }
        }
        _ => return Ok(Healed::Not),
    }
    Ok(Healed::Whole)
}

fn written<S: IdentityStore>(plan: &Plan, store: &S, tries_again: bool) -> ApplyReport {
    let timer = Instant::default();
    let host = if tries_again { Host::new().timer(&timer) } else { Host::new() };
    block_on(apply(plan, store, &ApplyOptions::default(), &host)).unwrap()
}

/// Applies, while somebody else changes the record of one operation just before it.
fn meanwhile(
    plan: &Plan,
    store: &MemoryStore,
    number: usize,
    act: impl Fn(&mut identity_sync::memory::MemoryState, &str),
) -> ApplyReport {
    let id = plan.operations().nth(number).and_then(|operation| operation.subject().id().map(str::to_owned));
    let faulty = Faulty::new(store).stepped();
    let (options, host) = (ApplyOptions::default(), Host::new());
    let mut acted = false;
    drive(apply(plan, &faulty, &options, &host), |_| {
        if faulty.written() == number && !acted {
            acted = true;
            id.iter().for_each(|id| act(&mut store.state(), id));
        }
        Next::Poll
    })
    .unwrap()
    .unwrap()
}

fn touch(state: &mut identity_sync::memory::MemoryState, id: &str) {
    let record = match state.users.get_mut(id) {
        Some(user) => Some(user),
        None => state.groups.get_mut(id),
    };
    if let Some(record) = record {
        record.attributes.insert("note".to_owned(), vec!["seen".to_owned()]);
        record.version += 1;
    }
}

/// WF-15: what the store lists once all was done, but that the record of one operation is shown as it was before.
fn stale_listing(world: &World, store: &MemoryStore, plan: &Plan, number: usize) -> MemoryStore {
    let stale = store_of(world, 1);
    let before = stale.state().clone();
    let mut listed = store.state().clone();
    let subject = plan.operations().nth(number).unwrap().subject();
    let anchor = subject.anchor().unwrap_or_default();
    let (then, now) = match subject.kind() {
        Kind::User => (&before.users, &mut listed.users),
        Kind::Group => (&before.groups, &mut listed.groups),
    };
    let is_subject =
        |record: &MemoryRecord| record.external_ids.iter().any(|link| link.value.as_str() == anchor);
    now.retain(|_, record| !is_subject(record));
    let shown = then.iter().filter(|(_, record)| is_subject(record));
    now.extend(shown.map(|(id, record)| (id.clone(), record.clone())));
    *stale.state() = listed;
    stale
}

/// WF-16: users or groups are listed up to the first, a middle or the last page, and no further.
fn torn_listing(op: Op, at: Where, world: &World) -> Verdict {
    let (call, rows) = match op {
        Op::CreateUser => (Call::StoreUsers, world.store.users.len()),
        _ => (Call::StoreGroups, world.store.groups.len()),
    };
    let store = store_of(world, 1).with_page_size(1);
    let page = match at {
        Where::First => 0,
        Where::Middle => rows / 2,
        Where::Last => rows - 1,
    };
    let torn = Faulty::new(&store).read(call, page, ReadFault::Partial);
    let options = convert::options(&world.options);
    let (source, assigned) = (LiveSource(world), LiveAssignments(world));
    match block_on(reconcile(&source, &torn, &assigned, &options, &Run::default(), &Host::new())) {
        Err(ReconcileError::Plan(PlanError::PartialStore { .. })) => Ok(()),
        other => Err(format!("a plan from half a store: {other:?}")),
    }
}

/// WF-6: the unique value, or the link, is taken when the create arrives; by whom decides what comes of it.
fn holders(op: Op, number: usize, world: &World, plan: &Plan) -> Result<Healed, String> {
    let operation = plan.operations().nth(number).unwrap();
    let anchor = operation.subject().anchor().unwrap_or_default().to_owned();
    let (kind, attribute) = match operation.subject().kind() {
        Kind::User => (Kind::User, "userName"),
        Kind::Group => (Kind::Group, "displayName"),
    };
    let ours = ExternalId::new("ad", anchor.as_str());
    for (holder, links) in [
        ("ours", vec![ours]),
        ("unlinked", Vec::new()),
        ("another source's", vec![ExternalId::new("hr", "x")]),
        ("protected", Vec::new()),
    ] {
        let mut world = world.clone();
        if holder == "protected" {
            world.options.protected_ids.insert("meanwhile".to_owned());
        }
        if holder == "ours" && op == Op::Update {
            continue;
        }
        let store = store_of(&world, 1);
        let record = MemoryRecord {
            external_ids: links.clone(),
            attributes: BTreeMap::from([(attribute.to_owned(), vec![anchor.to_uppercase()])]),
            ..MemoryRecord::default()
        };
        let faulty = Faulty::new(&store).stepped();
        let (options, host) = (ApplyOptions::default(), Host::new());
        let mut acted = false;
        let report = drive(apply(plan, &faulty, &options, &host), |_| {
            if faulty.written() == number && !acted {
                acted = true;
                let mut state = store.state();
                let records = if kind == Kind::User { &mut state.users } else { &mut state.groups };
                records.insert("meanwhile".to_owned(), record.clone());
            }
            Next::Poll
        });
        let report = report.unwrap().unwrap();
        let found = &report.outcomes[number];
        let right = match (holder, found) {
            ("ours", Outcome::Applied) => true,
            ("ours", _) => false,
            (_, Outcome::Failed(error)) => error.kind() == ErrorKind::AlreadyExists,
            _ => false,
        };
        if !right {
            return Err(format!("the holder is {holder}: {found}"));
        }
        let state = store.state();
        let records = if kind == Kind::User { &state.users } else { &state.groups };
        if records["meanwhile"].external_ids != links {
            return Err(format!("the record of the holder ({holder}) has other links now"));
        }
        drop(state);
        in_step(&world, &store)?;
    }
    Ok(Healed::Not)
}

/// The store spells a name in its own way.
fn shout(store: &MemoryStore, anchor: &str) {
    let mut state = store.state();
    let state = &mut *state;
    for record in state.users.values_mut().chain(state.groups.values_mut()) {
        if record.external_ids.iter().any(|link| link.value.as_str() == anchor) {
            for values in record.attributes.values_mut() {
                values.iter_mut().for_each(|value| *value = value.to_uppercase());
            }
            record.version += 1;
        }
    }
}

/// WF-19: the create is answered with the id of a record that is another's.
fn answered_wrongly(plan: &Plan, store: &MemoryStore, number: usize) -> ApplyReport {
    let other = if matches!(plan.operations().nth(number).unwrap().action(), Action::CreateUser { .. }) {
        "record-changed1"
    } else {
        "record-group1"
    };
    let faulty = Faulty::new(store).write(number, WriteFault::AnswerWith(other));
    written(plan, &faulty, true)
}

/// Runs until nothing is left to do.
fn in_step(world: &World, store: &MemoryStore) -> Verdict {
    let mut now = world.clone();
    for _ in 0..4 {
        unload(store, &mut now);
        checks::links(&now, world, true)?;
        let plan = plan_on(&now, store).map_err(|error| error.to_string())?;
        checks::plan_is(&plan, &decide(&now).map_err(|refusal| format!("{refusal:?}"))?)?;
        if plan.is_empty() {
            return Ok(());
        }
        let report = written(&plan, &store, true);
        if !report.is_success() {
            return Err(format!("a clean run: {report}\n{plan}"));
        }
    }
    Err("does not come to rest".to_owned())
}

/// The same, and the end is that of a run without a fault.
fn ends_well(world: &World, store: &MemoryStore) -> Verdict {
    in_step(world, store)?;
    let decision = decide(world).map_err(|refusal| format!("{refusal:?}"))?;
    let end = checks::canonical_store(&perform(world, &decision.operations).store);
    checks::same("the end is another", &checks::canonical(store, world), &end)
}
