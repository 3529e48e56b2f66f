//! The reference model: which operations a plan must hold, computed in the slowest and plainest way, for small
//! worlds. It shares no code with the library.
//!
//! Left out, because nothing in a `World` asks for it: soft match (M3), `release_names` (M4, taken as off),
//! flapping values (A4), an administrator's lock (A7), canaries (C6), grace periods and the rolling window (D1,
//! D4, D7), approvals (D5), the limit on grants, incremental runs and the schedule (I).
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
//!   own member list counts as incomplete. Members of a group with two anchors are compared with everything
//!   below either; that is complete if each anchor was read with a complete list or is gone.
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
//!   the component wait for. A value that will be cleared is set aside as `~hex`.
//!
//! Limits
//! - D4: the base of removals counts all managed records in lists, protected ones and groups included;
//!   removals of unmanaged members (D6) count in all and per group.
//! - D5: `Abort` holds all operations of the plan.

#![allow(dead_code, reason = "each test binary uses another part of the shared modules")]
#![allow(unreachable_pub, reason = "shared by several test binaries as a private module")]

mod decide;
mod facts;
mod limits;
mod operation;
mod source;
mod values;

#[allow(unused_imports, reason = "see above")]
pub use operation::{Changes, Operation, Reference, perform};
pub use source::Kind;

use super::world::World;
use std::collections::BTreeSet;

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
        /// Findings, coarsely: `ambiguous ANCHOR`, `cycle g1,g2`, `conflict ANCHOR ATTRIBUTE`,
        /// `required ANCHOR ATTRIBUTE`, `principal TEXT`, `tripped LIMIT`.
        diagnostics: BTreeSet<String>,
    },
}

/// Why there is no plan. Where several reasons hold, it is the first of this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    PartialStore,
    EmptySource(Kind),
    EmptyAssignments,
}

/// A plan with its operations as data, for `perform`.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    pub operations: BTreeSet<Operation>,
    pub held: BTreeSet<Operation>,
    pub kept: BTreeSet<String>,
    pub blocked: BTreeSet<String>,
    pub diagnostics: BTreeSet<String>,
}

/// What a reconcile of this world must answer, as canonical lines.
pub fn expect(world: &World) -> Expectation {
    let lines = |operations: &BTreeSet<Operation>| operations.iter().map(ToString::to_string).collect();
    match decide(world) {
        Err(refusal) => Expectation::Refused(refusal),
        Ok(plan) => Expectation::Plan {
            operations: lines(&plan.operations),
            held: lines(&plan.held),
            kept: plan.kept,
            blocked: plan.blocked,
            diagnostics: plan.diagnostics,
        },
    }
}

/// The same, with operations as data.
pub fn decide(world: &World) -> Result<Decision, Refusal> {
    decide::decide(&source::View::of(world))
}
