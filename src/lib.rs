//! Keeps an identity store (an application's users and groups) in step with a directory such as Active Directory, for
//! exactly those people who were given access: reads both sides, decides, shows the plan, and writes exactly that plan.
//!
//! ```
//! use identity_sync::memory::{MemoryAssignments, MemoryDirectory, MemoryStore};
//! use identity_sync::{ApplyOptions, Host, Options, Run, Timestamp, apply, reconcile};
//!
//! # pollster::block_on(async {
//! let mut directory = MemoryDirectory::new("corp");
//! directory.add_user("u1", &[("userPrincipalName", "ada@example.com"), ("displayName", "Ada")]);
//! directory.add_group("g1", &[("cn", "engineering")], &["g2"]);
//! directory.add_group("g2", &[("cn", "compilers")], &["u1"]);
//! let store = MemoryStore::new("app");
//! let assignments = MemoryAssignments::of("corp", &["g1"]);
//!
//! let (options, host) = (Options::default(), Host::default());
//! let run = Run::at(Timestamp(1_795_413_600)); // a first run; the core reads no clock
//! let found = reconcile(&directory, &store, &assignments, &options, &run, &host).await?; // reads and decides
//! println!("{}", found.plan); // what a person reviews
//! println!("{}", found.evidence.explain(&"u1".into())?); // entitled: g1 → g2 → u1
//! let report = apply(&found.plan, &store, &ApplyOptions::default(), &host).await?; // writes exactly that plan
//! assert!(report.is_success());
//!
//! let run = Run::new(report.run, Timestamp(1_795_428_000)); // what the first run left
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
//! * what the host decides: [`Options`], by name with [`Preset`]; [`AttributeMap`], [`Guards`], [`Limits`], [`ApplyOptions`],
//!   [`Host`];
//! * what goes from run to run: [`Run`], [`RunState`], [`Approval`]; when the next one is due: [`Schedule`];
//! * what comes out: [`Plan`] with its [`AccessImpact`] and its [`HeldSet`], [`Evidence`], [`Diagnostic`], [`ApplyReport`];
//! * [`memory`]: all three traits in memory; [`adapter`]: real systems, each behind a feature.
//!
//! # A host's loop
//!
//! Between two runs the host keeps one value, the [`RunState`]. Each run gets it, the time, and what a person has approved.
//! [`Schedule`] says when to run, and how much. What a limit holds goes into a file as a [`HeldSet`]; what a person leaves in
//! that file is approved, once.
//!
//! ```
//! use identity_sync::memory::{MemoryAssignments, MemoryDirectory, MemoryStore};
//! use identity_sync::{
//!     ApplyOptions, Approval, Due, Extent, HeldSet, Host, Preset, Run, Schedule, Timestamp, apply, reconcile,
//! };
//!
//! struct Service {
//!     directory: MemoryDirectory,
//!     assignments: MemoryAssignments,
//!     store: MemoryStore,
//!     held: String, // stands for a file
//! }
//!
//! impl Service {
//!     /// Does what is due, and answers when to wake again.
//!     async fn wake(&mut self, now: Timestamp, approvals: Vec<Approval>) -> Result<Due, Box<dyn std::error::Error>> {
//!         let (schedule, host) = (Schedule::default(), Host::new());
//!         let mut run = Run::new(self.store.run_state(), now);
//!         let mut options = Preset::AwsConfigurableSync.options();
//!         options.extent = match schedule.due(&run.state, now) {
//!             Due::Now(extent) if approvals.is_empty() => extent,
//!             Due::Paused => return Ok(Due::Paused),
//!             later if approvals.is_empty() => return Ok(later),
//!             _ => Extent::Full, // somebody waits for what was approved
//!         };
//!         run.approvals = approvals;
//!         let found = reconcile(&self.directory, &self.store, &self.assignments, &options, &run, &host).await;
//!         let found = match found {
//!             Ok(found) => found,
//!             Err(error) => {
//!                 run.state.note_failure(now); // the schedule waits before the next try
//!                 self.store.keep_run_state(run.state);
//!                 return Err(error.into());
//!             }
//!         };
//!         self.held = serde_json::to_string_pretty(&found.plan.held_set())?;
//!         let mut kept = found.run; // what was seen, in case the process dies now
//!         self.store.keep_run_state(kept.clone());
//!         match apply(&found.plan, &self.store, &ApplyOptions::default(), &host).await {
//!             Ok(report) => kept.absorb(&report), // and what was done
//!             Err(_) => kept.note_failure(now),
//!         }
//!         self.store.keep_run_state(kept);
//!         Ok(schedule.due(&self.store.run_state(), now))
//!     }
//! }
//!
//! # pollster::block_on(async {
//! let users = ["u1", "u2", "u3", "u4", "u5", "u6", "u7", "u8"];
//! let mut directory = MemoryDirectory::new("corp");
//! for user in users {
//!     directory.add_user(user, &[("userPrincipalName", user)]);
//! }
//! directory.add_group("g1", &[("cn", "staff")], &users);
//! let (assignments, store) = (MemoryAssignments::of("corp", &["g1"]), MemoryStore::new("app"));
//! let mut service = Service { directory, assignments, store, held: String::new() };
//!
//! const HOUR: i64 = 3_600;
//! let next = service.wake(Timestamp(0), vec![]).await?;
//! assert_eq!(next, Due::At(Timestamp(2 * HOUR), Extent::NewEntitlements));
//!
//! for user in &users[..7] {
//!     service.directory.remove(user);
//! }
//! service.wake(Timestamp(4 * HOUR), vec![]).await?; // more deletes than one run may do
//! assert_eq!(service.store.run_state().held(), 7);
//!
//! let reviewed: HeldSet = serde_json::from_str(&service.held)?; // somebody has read the file, and cut it down
//! service.wake(Timestamp(5 * HOUR), vec![reviewed.approve()]).await?;
//! assert_eq!(service.store.run_state().held(), 0);
//! assert_eq!(service.store.state().users.len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! # Presets
//!
//! [`Preset::options`] is where to start; each field of [`Options`] can be changed afterwards. Everything that the table does not
//! name is the same in all of them.
//!
//! | [`Preset`] | left scope: users | left scope: groups | deleted in source | disabled in source | members removed |
//! |---|---|---|---|---|---|
//! | `AwsAdSync`, the default | keep | keep | delete | deactivate | yes |
//! | `AwsConfigurableSync` | deactivate after 28 days | keep | delete | deactivate | yes |
//! | `StrictOffboarding` | deactivate | deactivate (emptied) | delete | deactivate | yes |
//! | `Mirror` | delete | delete | delete | deactivate | yes |
//! | `Additive` | keep | keep | keep | deactivate | never |
//!
//! # Features
//!
//! | Feature | What it adds | Beside the core |
//! |---|---|---|
//! | `ldif` | `adapter::ldif`: a source that reads directory exports (RFC 2849) | base64 |
//! | `ldap` | `adapter::ldap`: a source that reads Active Directory and other directories live | ldap3, rustls with ring, Tokio |
//! | `sqlite` | `adapter::sqlite`: a store and an assignment set in one file | rusqlite, SQLite compiled in |
//! | `postgres` | `adapter::postgres`: a store and an assignment set in one schema of a PostgreSQL database, one runner at a time | tokio-postgres, Tokio |
//! | `scim` | `adapter::scim`: a store behind a SCIM 2.0 service | reqwest, rustls with ring, Tokio |
//! | `aws` | `adapter::aws`: AWS IAM Identity Center: its assignments, and its store, which is written through SCIM | the AWS SDK, `scim` |
//! | `tracing` | spans and events for reads, steps, writes, retries and limits; no values | tracing |
//! | `testing` | `testing`: faults on order, generated directories, conformance suites for adapters of one's own | nothing |
//!
//! None is on by default, and features only add.
//!
//! # The rules
//!
//! Behaviour is laid down in numbered rules. The table names one test for each; more say in a comment which rules they show.
//!
#![doc = include_str!("rules.md")]
//!
//! Not in this version: incremental runs from a checkpoint (I1, I2).

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
mod trace;

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
#[cfg(feature = "testing")]
pub mod testing;

pub use apply::{ApplyError, ApplyOptions, ApplyReport, Outcome, Stop, apply};
pub use approval::Approval;
pub use assignment::{AssignmentPage, AssignmentSet};
pub use attributes::Attributes;
pub use diagnostic::{Ambiguity, Diagnostic, NotAdopted, Repeated};
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
