//! The reference model: which operations a plan must hold, computed in the slowest and plainest way, for small
//! worlds. It shares no code with the library.
//!
//! `decide` answers for a first run, `decide_with` for a run after others: `Memory` is this model's own record of what
//! must be remembered (rule D7).
//!
//! Left out: plans of proven removals alone (C4, S1), sign-ins (J1), changes instead of full
//! reads and the schedule (I1 to I3), and what belongs to the form of a saved memory or approval (another issuer,
//! store or format).
//!
//! Where the rules leave room, this model decides as follows.
//!
//! Source
//! - M5: rows of one anchor are equal if they are so with values and members as sets. If any of several
//!   different rows has no version, or two share the highest, the anchor is `Ambiguous`. An `Ambiguous` user is
//!   disabled if any row says so, else unknown if any says so; withdrawn if any row is.
//! - S1: members listed by a withdrawn group are edges like any other; the group gains nobody, loses only
//!   deleted users (its list is incomplete) and claims no name. A withdrawn user that is disabled is made
//!   inactive; he is not made active again, added or claimant.
//! - C3: absence proves deletion only where every read is complete that could have shown the anchor: of users
//!   if any list or link says user, of groups likewise, of both if nothing is known; never for an anchor that
//!   lists call other or foreign and that has no link.
//! - E9: the kind of an anchor without a row, also of an assigned one, comes from the lists, then the look-up,
//!   then our link. A leaf is an unread user whatever its kind, also when it is assigned; for C4 it resolves
//!   only if its kind is known.
//! - E8, E9: under `DirectOnly` an unread group or an unknown member still makes its own list incomplete. The
//!   lists that must be complete for C2 are then those of the assigned groups alone.
//! - C4: principals of another issuer do not resolve. Of several refusals the first counts: partial store,
//!   users, groups, assignments.
//! - E5: every cyclic component of the read is reported, entitled or not; none under `DirectOnly`.
//!
//! Records
//! - M5: a record that is linked to a row of the other kind is entitled, read and reached through it, and its
//!   own member list counts as incomplete; under `DirectOnly`, too, a listed group entitles the user record that
//!   carries its anchor. Members of a group with two anchors are compared with everything below either; that is
//!   complete if each anchor was read with a complete list, is gone, or is no principal.
//! - M5, C3: a delete because of `LeftScope` or `DisabledInSource` hits an `Ambiguous` record too. The anchor
//!   that shared it may then be created in the next run. P4 takes two runs then.
//! - E11, C4: a delete of the record that an assignment names by store id leaves that assignment dangling; if it
//!   was the last that resolved, the next run is refused.
//! - P3: a managed group that is deleted in this plan and listed in another group is an ordinary removal there,
//!   even where the store cascades. (D2 speaks of users only.)
//! - J2, A5: a JIT user who is not entitled is not made inactive either, disabled or not. One who is entitled,
//!   but unread, withdrawn or `Ambiguous`, stays JIT.
//! - E4, C2: a managed group listed as a member of an entitled or kept group goes, if that list is complete.
//! - D3, C2: a tombstone alone removes nobody from a group whose list is incomplete; being deleted does.
//! - D1: a group emptied for `LeftScope` is emptied whether or not its own list is complete, but for the
//!   protected. A group delete that rule M8 replaces counts as emptied.
//! - C5: where the store cannot list members, a created group gains members only if it is named too, whoever
//!   belongs to a named group is added each time, no removal precedes a delete, and rule M8 cannot see members.
//! - A disabled user who stays is updated and added to groups like any other who is entitled.
//!
//! Attributes
//! - A1: all distinct trimmed values of a multi-valued attribute are written, those with equal keys too. An
//!   attribute that only the schema requires is quarantined like one that the map requires, if it is mapped.
//! - M6: a unique attribute of several values is one unit: all of its new values can be had, or it stays.
//! - M6: who holds a value and still maps to it keeps it even if his own record is deleted in this plan.
//! - P6: a cycle may lead over different attributes. As long as updates wait for each other in a cycle, the
//!   least anchor of each such component first sets aside, in one operation, all attributes that others of
//!   the component wait for. A value that will be cleared is set aside as `~hex`; what
//!   another record has already gets a number behind it.
//!
//! Soft match and released names
//! - M3: "no external id" means of no issuer. A record that has one, whoever's, and shares the values makes a match
//!   doubtful: nothing is adopted. Several candidates come before that: then the object is barred.
//! - M3: an object that rule A5 would not create adopts nothing either (disabled under `Delete`, state unknown); one
//!   that lacks a required value does, and what it lacks stays. Partial reads do not keep anybody from adopting.
//! - M3: any row of an `Ambiguous` or withdrawn object that shares the values keeps others from the record.
//! - M3: a barred object is like an `Ambiguous` one: it claims no name.
//! - M3, D4: adopted records are in the base of no limit: they were not ours before the plan. Members of an adopted
//!   group that are ours count for its own limit. What is taken away from adopted records counts like any other.
//! - M3, E11: an assignment by the store id of a record that is adopted in this plan does not resolve yet.
//! - M4: what is released keeps the spelling that the record had. The current name is free if nobody claims it and
//!   whoever has it gives it up in this plan, unless he waits for this very record (else a run that was cut would end
//!   otherwise, X4). A name with a prefix must not be held by anybody now. If none is free, M6 decides.
//! - M4: a record whose source value is missing, though it is not marked `keep`, maps to the name no longer, also
//!   where the target is required; it gets the name with the prefix. Of several values of one attribute, those that
//!   are taken get it, unless the record's current values are all free. Attributes are gone through in the order of the map,
//!   records in that of anchors.
//! - M4: a record that is only kept because nobody can prove that it left the scope gives names up too.
//!
//! Memory
//! - D7: the causes of a record with several anchors are remembered under the least; records of one kind that share
//!   it share them: a cause is noted if it holds for any. Protected and unentitled JIT records are noted as well, but
//!   their causes are listed nowhere.
//! - D1: `pending` lists each cause that holds, is not due, and whose policy is not `Keep`, whatever other causes do.
//!   `since` is the host's clock, even where it had gone back.
//! - D1: what rule C3 mitigates is blocked (C7) only once it is due. A record whose cause is not due is `kept`, if it
//!   is not entitled and nothing else acts on it.
//! - D4: what is spent is noted only where the limit is set, under the least anchor of the group for removals per
//!   group, and where the limit is set later, nothing was spent before. A limit trips only if something is planned
//!   that it counts.
//! - D4: for adoptions and for growth the window takes what is spent off the base, to which it belongs by then.
//! - D5: a removal that only precedes a delete runs or is held with the delete, approved or not. An update over a
//!   temporary value is approved with the update itself; under `Abort` both must be. A member is approved by group and
//!   member, whatever the cause of his removal.
//! - D5: under `Abort` approved operations still wait for held ones whose names or objects they need.
//! - A4: only full runs compare. A create counts as one write of each value, the first time that its record is compared,
//!   if the map wants exactly what it wrote. Records that are not compared keep what is known of them. Releases,
//!   temporary values and writes of which nothing is known do not count.
//! - A7: an inactive record of which a remembering store does not say who made it so is locked.
//! - C6: an older generation is refused; the quick pass is refused, too.
//! - C6: a canary needs a row, withdrawn or not; a tombstone beside it does not matter. Identity and generations are
//!   remembered by the quick pass too.
//! - I3: the quick pass is refused for empty reads as a full run is. It gives no membership to a user who is disabled or
//!   whom a full run would delete, now or after a grace period, and neither adopts for nor makes a disabled one that
//!   matches. It lists nothing as pending or blocked, and what is held is noted by full runs alone.
//!
//! Limits
//! - D4: the base of removals counts all managed records in lists, protected ones and groups included;
//!   removals of unmanaged members (D6) count in all and per group.
//! - D5: `Abort` holds all operations of the plan that are not approved.

#![allow(dead_code, reason = "each test binary uses another part of the shared modules")]
#![allow(unreachable_pub, reason = "shared by several test binaries as a private module")]

mod approvals;
mod decide;
mod emit;
mod facts;
mod fates;
mod flapping;
mod holding;
mod limits;
mod members;
mod memory;
mod operation;
mod perform;
mod release;
mod soft_match;
mod source;
mod values;
mod writes;

#[allow(unused_imports, reason = "see above")]
pub use {
    approvals::Approval,
    fates::Cause,
    memory::{Memory, Since, Spent},
    operation::{Changes, Operation, Reference},
    perform::{in_order, perform},
    source::Kind,
};

use super::world::World;
use flapping::Wrote;
use soft_match::Adoptions;
use std::collections::{BTreeMap, BTreeSet};

/// What a reconcile of a world must answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Expectation {
    Refused(Refusal),
    Plan {
        /// Canonical lines of the operations that run.
        operations: BTreeSet<String>,
        /// Canonical lines of the operations that a limit holds.
        held: BTreeSet<String>,
        /// Store ids of the kept records (rule D3).
        kept: BTreeSet<String>,
        /// `members GROUP` and `scope RECORD`: where a removal was blocked (rule C7), coarsely.
        blocked: BTreeSet<String>,
        /// `user|group ID CAUSE SINCE DUE`: what waits for its grace period (rule D1).
        pending: BTreeSet<String>,
        /// Findings, coarsely: `ambiguous ANCHOR`, `cycle g1,g2`, `conflict ANCHOR ATTRIBUTE`,
        /// `required ANCHOR ATTRIBUTE`, `principal TEXT`, `tripped LIMIT`, `flapping ANCHOR ATTRIBUTE`,
        /// `not_adopted ANCHOR`, `locked ID`, `canary ANCHOR`, `older_source`, `clock_went_back`, `no_memory`.
        diagnostics: BTreeSet<String>,
    },
}

/// Why there is no plan. Where several reasons hold, it is the first of this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    OtherSource,
    OlderSource,
    CannotAdopt,
    PartialStore,
    EmptySource(Kind),
    EmptyAssignments,
}

/// A plan with its operations as data.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    pub operations: BTreeSet<Operation>,
    pub held: BTreeSet<Operation>,
    pub kept: BTreeSet<String>,
    pub blocked: BTreeSet<String>,
    pub pending: BTreeSet<String>,
    pub diagnostics: BTreeSet<String>,
    /// What is to be known of each operation, run or held, besides what it says.
    pub notes: BTreeMap<Operation, Note>,
}

/// What approvals and the memory need to know of an operation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Note {
    /// By which it is recognised in a later plan (rule D5), those of member lists member by member.
    pub keys: BTreeSet<String>,
    /// Those of the keys that are approved in this run, with the time at which they were shown.
    pub approved: BTreeMap<String, u64>,
    /// How much it takes from which limit (rule D4), as far as it is not approved.
    pub costs: BTreeMap<String, u64>,
    /// It only gives up names (rule M4).
    pub release: bool,
    /// What it writes (rule A4).
    wrote: Wrote,
}

/// What a first reconcile of this world must answer, as canonical lines.
pub fn expect(world: &World) -> Expectation {
    match decide(world) {
        Err(refusal) => Expectation::Refused(refusal),
        Ok(plan) => Expectation::Plan {
            operations: plan.lines(),
            held: plan.held_lines(),
            kept: plan.kept,
            blocked: plan.blocked,
            pending: plan.pending,
            diagnostics: plan.diagnostics,
        },
    }
}

/// The same, with operations as data.
pub fn decide(world: &World) -> Result<Decision, Refusal> {
    decide_with(world, &Memory::default(), 0, &[]).map(|(decision, _)| decision)
}

/// What a reconcile of this world must answer after all that is remembered, and the memory after planning: it is
/// kept as it is where the plan is not applied, and goes through `Memory::after_apply` where it is.
pub fn decide_with(
    world: &World,
    memory: &Memory,
    now: u64,
    approvals: &[Approval],
) -> Result<(Decision, Memory), Refusal> {
    decide::decide(world, memory, now, approvals)
}

impl Decision {
    /// Canonical lines of the operations that run.
    pub fn lines(&self) -> BTreeSet<String> {
        self.operations.iter().map(ToString::to_string).collect()
    }

    /// Canonical lines of the operations that a limit holds.
    pub fn held_lines(&self) -> BTreeSet<String> {
        self.held.iter().map(ToString::to_string).collect()
    }
}
