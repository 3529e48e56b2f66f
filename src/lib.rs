//! Keeps an identity store (an application's users and groups) in step with a directory such as Active Directory, for
//! exactly those people who were given access: reads both sides, decides, shows the plan, and writes exactly that plan.
//!
//! ```
//! use identity_sync::memory::{MemoryAssignments, MemoryDirectory, MemoryStore};
//! use identity_sync::{ApplyOptions, Host, Options, Run, apply, reconcile};
//!
//! # pollster::block_on(async {
//! let mut directory = MemoryDirectory::new("corp");
//! directory.add_user("u1", &[("userPrincipalName", "ada@example.com"), ("displayName", "Ada")]);
//! directory.add_group("g1", &[("cn", "engineering")], &["g2"]);
//! directory.add_group("g2", &[("cn", "compilers")], &["u1"]);
//! let store = MemoryStore::new("app");
//! let assignments = MemoryAssignments::of("corp", &["g1"]);
//!
//! let (options, run, host) = (Options::default(), Run::default(), Host::default());
//! let found = reconcile(&directory, &store, &assignments, &options, &run, &host).await?; // reads and decides
//! println!("{}", found.plan); // what a person reviews
//! println!("{}", found.evidence.explain(&"u1".into())?); // entitled: g1 → g2 → u1
//! let report = apply(&found.plan, &store, &ApplyOptions::default(), &host).await?; // writes exactly that plan
//! assert!(report.is_success());
//!
//! let again = reconcile(&directory, &store, &assignments, &options, &run, &host).await?;
//! assert!(again.plan.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! # The way of the data
//!
//! ```text
//!  DirectorySource ─┐ read                                                          write
//!  AssignmentSet   ─┼──────▶ snapshot ─▶ scope ─▶ correlate ─▶ diff ─▶ plan ─▶ apply ──────▶ IdentityStore
//!  IdentityStore   ─┘  async          (graph walk,            (attributes,   (order,  async
//!                                      entitlement)            members)       guards)
//!                             └────────────── pure, synchronous ──────────────────┘
//! ```
//!
//! A host implements three small traits, [`DirectorySource`], [`IdentityStore`] and [`AssignmentSet`], and calls
//! [`reconcile`] and [`apply`], and [`sign_in`] at each authentication where users are made just in time. Who holds the
//! data already calls the pure [`plan()`]. The core does no I/O, spawns nothing, and reads no clock.
//!
//! The crate is organised as follows:
//!
//! * the verbs: [`reconcile`], [`apply`], [`sign_in`], [`plan()`] with [`questions_for`];
//! * the traits and the pages that they fill, with their contracts: [`DirectorySource`], [`IdentityStore`],
//!   [`AssignmentSet`];
//! * what the host decides: [`Options`], [`AttributeMap`], [`Guards`], [`Limits`], [`ApplyOptions`], [`Host`];
//! * what comes out: [`Plan`], [`Evidence`], [`Diagnostic`], [`ApplyReport`];
//! * [`memory`]: all three traits in memory; [`adapter`]: real systems, each behind a feature.
//!
//! # Features
//!
//! | Feature | What it adds | Beside the core |
//! |---|---|---|
//! | `ldif` | `adapter::ldif`: a source that reads directory exports (RFC 2849) | base64 |
//! | `sqlite` | `adapter::sqlite`: a store and an assignment set in one file | rusqlite, SQLite compiled in |
//!
//! None is on by default, and features only add.
//!
//! # The rules
//!
//! Behaviour is laid down in numbered rules; each has a test that names it.
//!
#![doc = include_str!("rules.md")]
//!
//! Not in this version: adopting records without a link (M3), giving a taken name back under another one (the policy of
//! M4), values that flap between runs (A4), an administrator's lock (A7), canaries (C6), grace periods (D1), a window over
//! several runs (D4), approvals (D5), incremental runs and schedules (I1–I3).

mod attributes;
mod diagnostic;
mod error;
mod escape;
mod id;
mod intern;
mod limits;
mod model;
mod page;

mod assignment;
mod source;
mod store;

mod approval;
mod fingerprint;
mod host;
mod mapping;
mod options;
mod run;
mod schedule;

mod read;
mod snapshot;

mod graph;
mod links;
mod scope;

mod adopt;
mod correlate;
mod object;

mod diff;
mod flapping;
mod members;
mod release;
mod unique;
mod value;

mod approved;
mod evidence;
mod guard;
mod plan;
mod planner;
mod version;

mod apply;
mod reconcile;
mod sign_in;

pub mod adapter;
pub mod memory;

pub use apply::{ApplyError, ApplyOptions, ApplyReport, Outcome, Stop, apply};
pub use approval::Approval;
pub use assignment::{AssignmentPage, AssignmentSet};
pub use attributes::Attributes;
pub use diagnostic::{Ambiguity, Diagnostic, NotAdopted};
pub use diff::{BlockReason, Cause};
pub use error::{AdapterError, AssignmentError, ErrorKind, SourceError, StoreError};
pub use escape::Escaped;
pub use evidence::{Evidence, ExplainError, Explanation};
pub use guard::LimitName;
pub use host::{Cancellation, Event, Host, Progress, Retry, Timer};
pub use id::{ExternalId, Issuer, MatchKey, MatchRule, SourceAnchor, StoreId, Version};
pub use limits::Limits;
pub use mapping::{AttributeMap, Mapping, MappingError, Missing, Sensitivity, Template};
pub use model::{
    AccountState, Completeness, DeactivatedBy, Existence, Kind, MemberKind, Origin, Period, Principal,
    Timestamp,
};
pub use options::{
    AllowEmpty, Canaries, Deprovision, Extent, GroupGrace, GroupPolicy, Guards, Leaves, Limit,
    MemberRemovals, Nesting, OnTrip, Options, Preset, Protected, Reactivate, SoftMatch, UnmanagedMembers,
    UserGrace, UserPolicy, Window,
};
pub use page::{PageEnd, PageToken};
pub use plan::{
    AccessImpact, Action, Affected, Gain, Held, HeldSet, Members as PlanMembers, Operation, PendingRemoval,
    Plan, RemovalBlocked, Subject, TrippedLimit,
};
pub use planner::{PlanError, Reconciliation, plan, questions_for};
pub use read::ReadError;
pub use reconcile::{ReconcileError, reconcile};
pub use run::{Run, RunState};
pub use schedule::{Due, Schedule};
pub use sign_in::{SignIn, sign_in};
pub use snapshot::{
    Assignments, LimitExceeded, SourceSnapshot, SourceSnapshotBuilder, StoreSnapshot, StoreSnapshotBuilder,
};
pub use source::{
    Asked, DirectorySource, Generation, GroupPage, GroupRow, Read, Select, SourceCapabilities,
    SourceIdentity, UserPage, UserRow,
};
pub use store::{
    Activation, Adoption, AttributeSchema, Change, Concurrency, DeactivationMemory, IdentityStore,
    MemberPage, Members, MembershipsOnDelete, StoreCapabilities, StoreSelect, StoredGroupPage,
    StoredGroupRow, StoredUserPage, StoredUserRow, Write, WriteBatch, WriteItem, Written,
};

/// The code of the README is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
