//! identity-sync (crate docs follow)

pub mod adapter;
mod apply;
mod assignment;
mod attributes;
mod correlate;
mod diagnostic;
mod diff;
mod error;
mod escape;
mod evidence;
mod graph;
mod guard;
mod host;
mod id;
mod intern;
mod limits;
mod links;
mod mapping;
mod members;
pub mod memory;
mod model;
mod object;
mod options;
mod page;
mod plan;
mod planner;
mod read;
mod reconcile;
mod run;
mod scope;
mod sign_in;
mod snapshot;
mod source;
mod store;
mod unique;
mod value;
mod version;

pub use apply::{ApplyError, ApplyOptions, ApplyReport, Outcome, Stop, apply};
pub use assignment::{AssignmentPage, AssignmentSet};
pub use attributes::Attributes;
pub use diagnostic::{Ambiguity, Diagnostic};
pub use diff::{BlockReason, Cause};
pub use error::{AdapterError, AssignmentError, ErrorKind, SourceError, StoreError};
pub use escape::Escaped;
pub use evidence::{Evidence, ExplainError, Explanation};
pub use guard::LimitName;
pub use host::{Cancellation, Event, Host, Progress, Retry, Timer};
pub use id::{ExternalId, Issuer, MatchKey, MatchRule, SourceAnchor, StoreId, Version};
pub use limits::Limits;
pub use mapping::{AttributeMap, Mapping, MappingError, Missing, Sensitivity, Template};
pub use model::{AccountState, Completeness, Existence, Kind, MemberKind, Origin, Principal, Timestamp};
pub use options::{
    AllowEmpty, Deprovision, Extent, GroupPolicy, Guards, Leaves, Limit, Nesting, OnTrip, Options, Protected,
    UnmanagedMembers, UserPolicy,
};
pub use page::{PageEnd, PageToken};
pub use plan::{
    Action, Held, Members as PlanMembers, Operation, Plan, RemovalBlocked, Subject, TrippedLimit,
};
pub use planner::{PlanError, Reconciliation, plan, questions_for};
pub use read::ReadError;
pub use reconcile::{ReconcileError, reconcile};
pub use run::{Run, RunState};
pub use sign_in::{SignIn, sign_in};
pub use snapshot::{
    Assignments, LimitExceeded, SourceSnapshot, SourceSnapshotBuilder, StoreSnapshot, StoreSnapshotBuilder,
};
pub use source::{
    Asked, DirectorySource, GroupPage, GroupRow, Read, Select, SourceCapabilities, SourceIdentity, UserPage,
    UserRow,
};
pub use store::{
    Activation, AttributeSchema, Change, Concurrency, IdentityStore, MemberPage, Members,
    MembershipsOnDelete, StoreCapabilities, StoreSelect, StoredGroupPage, StoredGroupRow, StoredUserPage,
    StoredUserRow, Write, WriteBatch, WriteItem, Written,
};
