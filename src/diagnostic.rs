//! Findings that stop nothing.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::escape::Escaped;
use crate::id::{SourceAnchor, StoreId};
use crate::model::{Kind, Principal, Timestamp};

/// Something that a person should know. Diagnostics may repeat on every run; they stop nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Diagnostic {
    /// Groups that contain each other, directly or through others (rule E5).
    Cycle {
        /// All groups of the cycle.
        groups: Vec<SourceAnchor>,
    },
    /// An assignment names somebody who is neither in the source nor linked (rule E11).
    UnresolvedAssignment {
        /// Whom it names.
        principal: Principal,
    },
    /// Assignments that name principals of another issuer (rule E11).
    ForeignAssignments {
        /// How many.
        count: u64,
    },
    /// Nobody can tell who is meant by an anchor (rule M5). Only removals reach it.
    Ambiguous {
        /// The anchor.
        anchor: SourceAnchor,
        /// Why.
        reason: Ambiguity,
    },
    /// A row could not be used, or is beyond a bound (rule S1). Only removals reach it.
    Quarantined {
        /// A user or a group.
        kind: Kind,
        /// Whose row it is.
        anchor: SourceAnchor,
    },
    /// A unique value is not free, so the attribute stays as it is, or is left out (rule M6).
    UniqueConflict {
        /// A user or a group.
        kind: Kind,
        /// Who does not get it.
        anchor: SourceAnchor,
        /// The attribute.
        attribute: String,
        /// Record that has it, where one has.
        held_by: Option<StoreId>,
    },
    /// A required attribute comes out empty, or cannot be had; it stays as it is, or nothing is created (rule A3).
    RequiredMissing {
        /// A user or a group.
        kind: Kind,
        /// Whose attribute.
        anchor: SourceAnchor,
        /// The attribute.
        attribute: String,
    },
    /// The account state could not be read: `active` stays, nothing is created (rule A5).
    UnknownState {
        /// Whose account.
        anchor: SourceAnchor,
    },
    /// A disabled account keeps an active record, because it came by sign-in and is not entitled (rule J2).
    DisabledJustInTime {
        /// Whose account.
        anchor: SourceAnchor,
    },
    /// Something would have been done to a protected record (rule M8).
    Protected {
        /// A user or a group.
        kind: Kind,
        /// The record, where there is one.
        id: Option<StoreId>,
        /// The anchor, where it is managed.
        anchor: Option<SourceAnchor>,
    },
    /// An entitled identity was not read, so that nothing is done to its record (rule E9).
    Unread {
        /// Which.
        anchor: SourceAnchor,
    },
    /// Groups are nested deeper than is likely to be meant (rule E7); nothing is cut.
    DeepNesting {
        /// The deepest group, of several the least by its anchor.
        group: SourceAnchor,
        /// Levels of groups below it.
        depth: u32,
    },
    /// Nothing is remembered of earlier runs, though the store holds records of ours: grace periods and the window of the limits
    /// start anew (rule D7).
    NoMemory {},
    /// An earlier run told a later time. Until that is reached, no period and no window grows older (rule D7).
    ClockWentBack {
        /// The latest time told.
        latest: Timestamp,
    },
    /// The map names an attribute for which the store has no place: it is neither compared nor written (rule X5).
    NoPlace {
        /// Of users or of groups.
        kind: Kind,
        /// The attribute.
        attribute: String,
    },
    /// An object that must be visible was not read, so that the read of its kind counts as partial (rule C6).
    CanaryMissing {
        /// A user or a group.
        kind: Kind,
        /// Which.
        anchor: SourceAnchor,
    },
    /// An entitled, enabled account is inactive because somebody else made it so; that stays (rule A7).
    Locked {
        /// Whose account.
        anchor: SourceAnchor,
    },
    /// A value comes back different each time that it was written. It is left alone until it changes in the source (rule A4).
    Flapping {
        /// A user or a group.
        kind: Kind,
        /// Whose attribute.
        anchor: SourceAnchor,
        /// The attribute.
        attribute: String,
    },
    /// The one record without a link that matches an object is not adopted (rule M3).
    NotAdopted {
        /// A user or a group.
        kind: Kind,
        /// The object.
        anchor: SourceAnchor,
        /// The record.
        id: StoreId,
        /// Why not.
        because: NotAdopted,
    },
    /// The store reported an operation as done in two runs, and it is planned again just so: the store drops it in silence, or
    /// somebody undoes it. It is tried again all the same (rule P4).
    NonConverging {
        /// A user or a group.
        kind: Kind,
        /// Of whom.
        anchor: SourceAnchor,
        /// What does not stay done.
        operation: Repeated,
        /// Of a list of members: how many.
        #[serde(default, skip_serializing_if = "is_zero")]
        members: u64,
    },
    /// Approved operations, or members of lists, that are not planned any more, are planned with other values, have run under
    /// the approval before, or whose approval was shown at a time that has not come yet (rule D5).
    UnusedApprovals {
        /// How many.
        count: u64,
    },
    /// A group's list holds members that may hide others: unresolved ones, or groups that were not read (rule E9).
    OpaqueMembers {
        /// The group.
        group: SourceAnchor,
        /// How many of its direct members.
        count: u64,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// An operation that does not stay done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Repeated {
    /// A record without a link is given ours.
    Adopt,
    /// A record is made.
    Create,
    /// Attributes are changed.
    Update,
    /// A user is made inactive.
    Deactivate,
    /// A user is made active again.
    Reactivate,
    /// A record is deleted.
    Delete,
    /// Members are added to a group.
    AddMembers,
    /// Members are removed from a group.
    RemoveMembers,
}

impl fmt::Display for Repeated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Adopt => "the adoption",
            Self::Create => "the creation",
            Self::Update => "the update",
            Self::Deactivate => "the deactivation",
            Self::Reactivate => "the reactivation",
            Self::Delete => "the deletion",
            Self::AddMembers => "the addition of members",
            Self::RemoveMembers => "the removal of members",
        })
    }
}

/// Why an anchor is ambiguous.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ambiguity {
    /// The read has different rows for it.
    DifferentRows,
    /// It was read as a user and as a group.
    UserAndGroup,
    /// More than one record carries it.
    SeveralRecords,
    /// Its record carries another anchor of ours, too.
    SeveralAnchors,
    /// Its record is of the other kind than the object.
    OtherKind,
    /// More than one record without a link matches it, or another object matches the same one (rule M3).
    SeveralCandidates,
}

/// Why a matching record is not adopted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NotAdopted {
    /// It is inactive.
    Inactive,
    /// It is protected.
    Protected,
    /// A record that has a link has the same values.
    LinkedToo,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cycle { groups } => {
                write!(f, "cycle of {} groups:", groups.len())?;
                for group in groups.iter().take(10) {
                    write!(f, " {group}")?;
                }
                if groups.len() > 10 { write!(f, " …") } else { Ok(()) }
            }
            Self::UnresolvedAssignment { principal } => {
                write!(f, "assignment resolves to nothing: {principal}")
            }
            Self::ForeignAssignments { count } => write!(f, "{count} assignments belong to other issuers"),
            Self::Ambiguous { anchor, reason } => {
                let why = match reason {
                    Ambiguity::DifferentRows => "the source gives different rows for it",
                    Ambiguity::UserAndGroup => "it was read as a user and as a group",
                    Ambiguity::SeveralRecords => "more than one store record carries it",
                    Ambiguity::SeveralAnchors => "its store record carries another anchor, too",
                    Ambiguity::OtherKind => "its store record is of the other kind",
                    Ambiguity::SeveralCandidates => "nobody can tell which record without a link is its own",
                };
                write!(f, "ambiguous: {anchor}: {why}")
            }
            Self::Quarantined { kind, anchor } => {
                write!(f, "quarantined {kind} {anchor}: its row cannot be used")
            }
            Self::UniqueConflict { kind, anchor, attribute, held_by } => {
                write!(f, "{kind} {anchor} does not get its {}: ", Escaped(attribute))?;
                match held_by {
                    Some(id) => write!(f, "record {id} has the value"),
                    None => write!(f, "another one maps to the same value"),
                }
            }
            Self::RequiredMissing { kind, anchor, attribute } => {
                write!(f, "{kind} {anchor} has no {}, which is required", Escaped(attribute))
            }
            Self::UnknownState { anchor } => write!(f, "account state of user {anchor} could not be read"),
            Self::DisabledJustInTime { anchor } => {
                write!(f, "user {anchor} is disabled in the source, but came by sign-in and is not entitled")
            }
            Self::Protected { kind, id, anchor } => {
                write!(f, "protected {kind}")?;
                if let Some(id) = id {
                    write!(f, " {id}")?;
                }
                if let Some(anchor) = anchor {
                    write!(f, " ({anchor})")?;
                }
                write!(f, " is left alone")
            }
            Self::Unread { anchor } => write!(f, "{anchor} is entitled but was not read: left as it is"),
            Self::DeepNesting { group, depth } => {
                write!(f, "groups are nested {depth} levels deep below {group}")
            }
            Self::NoMemory {} => f.write_str(
                "nothing is remembered of earlier runs: grace periods and the window of the limits start anew",
            ),
            Self::ClockWentBack { latest } => {
                write!(f, "an earlier run told a later time ({}): no period grows older until then", latest.0)
            }
            Self::NoPlace { kind, attribute } => {
                write!(f, "the store has no place for {} of {kind}s: it is left out", Escaped(attribute))
            }
            Self::CanaryMissing { kind, anchor } => {
                write!(f, "{kind} {anchor} must be visible and was not read: the read of {kind}s is taken for partial")
            }
            Self::Locked { anchor } => {
                write!(f, "user {anchor} was made inactive by somebody else, and stays so")
            }
            Self::Flapping { kind, anchor, attribute } => {
                let attribute = Escaped(attribute);
                write!(f, "{attribute} of {kind} {anchor} does not stay as it is written: left alone until it changes")
            }
            Self::NotAdopted { kind, anchor, id, because } => {
                let why = match because {
                    NotAdopted::Inactive => "is inactive",
                    NotAdopted::Protected => "is protected",
                    NotAdopted::LinkedToo => "shares its values with a record that has a link",
                };
                write!(f, "{kind} {anchor} matches record {id}, which {why}: not adopted")
            }
            Self::NonConverging { kind, anchor, operation, members } => {
                write!(f, "{operation} of {kind} {anchor} was reported as done twice and is planned again")?;
                if *members > 0 { write!(f, " for {members} of them") } else { Ok(()) }
            }
            Self::UnusedApprovals { count } => {
                write!(f, "{count} approved operations are done, or not planned like that any more")
            }
            Self::OpaqueMembers { group, count } => {
                write!(
                    f,
                    "group {group}: {count} members may hide others, so nobody is removed from it or above"
                )
            }
        }
    }
}
