//! Conformance suites: whether your own store, source or assignment set keeps the contract of its trait.
//!
//! You write one builder: how a fresh, empty adapter is made. One call runs all checks, each on an adapter of its own,
//! chosen by what the adapter declares, and answers a [`Report`]. Each failure says what was expected, what came, and
//! what it would cost in production, with the rule that is at risk.
//!
//! # Testing your own store
//!
//! The least builder is a closure. This one makes stores that live in memory; yours would open a database.
//!
//! ```
//! use identity_sync::memory::MemoryStore;
//! use identity_sync::testing::conformance;
//!
//! // #[test]
//! fn my_store_keeps_the_contract() {
//!     let report = pollster::block_on(conformance::store(&|| Ok(MemoryStore::new("app"))));
//!     report.assert_conforming(); // panics with the report
//! }
//! # my_store_keeps_the_contract();
//! ```
//!
//! With a little more the suite checks more: what the store takes, and how somebody else's record comes into it.
//!
//! ```
//! use async_trait::async_trait;
//! use identity_sync::memory::{MemoryRecord, MemoryStore};
//! use identity_sync::testing::conformance::{self, BuildError, StoreBuilder, Unmanaged};
//! use identity_sync::{Kind, StoreId};
//!
//! struct MyStores;
//!
//! #[async_trait]
//! impl StoreBuilder for MyStores {
//!     type Store = MemoryStore;
//!
//!     async fn empty(&self) -> Result<MemoryStore, BuildError> {
//!         Ok(MemoryStore::new("app").with_page_size(10)) // errors of the adapter pass with `?`
//!     }
//!
//!     fn many(&self) -> usize {
//!         25 // makes three pages
//!     }
//!
//!     async fn put_unmanaged(&self, store: &MemoryStore, record: &Unmanaged) -> Result<StoreId, BuildError> {
//!         let attributes = record.attributes.iter().cloned().collect();
//!         let made = MemoryRecord { attributes, active: record.active, ..MemoryRecord::default() };
//!         let mut state = store.state();
//!         let id = format!("local-{}", state.users.len() + state.groups.len());
//!         match record.kind {
//!             Kind::User => state.users.insert(id.clone(), made),
//!             Kind::Group => state.groups.insert(id.clone(), made),
//!         };
//!         Ok(StoreId::from(id))
//!     }
//! }
//!
//! let report = pollster::block_on(conformance::store(&MyStores));
//! assert!(report.is_conforming(), "{report}");
//! for (check, reason) in report.not_applicable() {
//!     println!("{check}: {reason}"); // what nobody has looked at, and why
//! }
//! ```
//!
//! # Sources and assignment sets
//!
//! A source is only read, so its builder gets what it shall hold: a [`Directory`](super::Directory) as plain data. A
//! builder of LDAP sources writes it into a test server, one of exports into a file. What a make of source cannot hold
//! it says with [`BuildError::cannot`], or beforehand in its [`Vocabulary`](super::Vocabulary).
//!
//! ```
//! use identity_sync::memory::{MemoryAssignments, MemoryDirectory};
//! use identity_sync::testing::{Directory, conformance};
//! use identity_sync::Principal;
//!
//! # pollster::block_on(async {
//! let report = conformance::source(&|directory: &Directory| Ok(MemoryDirectory::from(directory))).await;
//! report.assert_conforming();
//!
//! let report = conformance::assignments(&|principals: &[Principal]| {
//!     let mut set = MemoryAssignments::of("corp", &[]);
//!     set.principals.extend_from_slice(principals);
//!     Ok(set)
//! });
//! report.await.assert_conforming();
//! # });
//! ```
//!
//! # What a suite does not see
//!
//! * It has no clock: an adapter that never answers is never given up. Put a time limit around the suite.
//! * Faults of the network and of the other side: [`Faulty`](super::Faulty) makes those, to test a host with.
//! * What the builder cannot make. A report names the checks that were not applicable; it conforms in spite of them.
//!
//! While a suite reads, nothing changes, so it is stricter here than the contracts are: a source may give a row twice
//! in a directory that is being written to, but where all stands still that is a fault of its paging.
//!
//! A panic of an adapter fails the check at hand, and the next one runs; with `panic = "abort"` it ends the process.

mod any;
mod assignments;
mod builder;
mod finding;
mod paging;
mod report;
mod source;
mod store;
mod turns;

pub use builder::{AssignmentBuilder, BuildError, SourceBuilder, StoreBuilder, Unmanaged};
pub use report::{Check, Failure, Report, Verdict};

/// Checks a store: some eighty demands of the contract of [`IdentityStore`](crate::IdentityStore), each on a fresh one.
///
/// The number of writes is linear in [`StoreBuilder::many`] and in what the store declares for a batch and for the
/// members of a write, up to 1,000 each.
pub async fn store<B: StoreBuilder>(builder: &B) -> Report {
    store::suite(&any::Any(builder)).await
}

/// Checks a source: some forty demands of the contract of [`DirectorySource`](crate::DirectorySource), each on a fresh one.
///
/// The number of objects is linear in [`SourceBuilder::many`] and [`SourceBuilder::long_list`]; of anchors asked for at
/// once, in what the source declares, up to 20,000.
pub async fn source<B: SourceBuilder>(builder: &B) -> Report {
    source::suite(&any::Any(builder)).await
}

/// Checks an assignment set: the demands of the contract of [`AssignmentSet`](crate::AssignmentSet), each on a fresh one.
///
/// The number of principals is linear in [`AssignmentBuilder::many`].
pub async fn assignments<B: AssignmentBuilder>(builder: &B) -> Report {
    assignments::suite(&any::Any(builder)).await
}
