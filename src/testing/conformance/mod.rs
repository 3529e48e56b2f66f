//! Conformance suites: whether your own store, source or assignment set keeps the contract of its trait.
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

/// Checks a store.
pub async fn store<B: StoreBuilder>(builder: &B) -> Report {
    store::suite(builder).await
}

/// Checks a source.
pub async fn source<B: SourceBuilder>(builder: &B) -> Report {
    source::suite(builder).await
}

/// Checks an assignment set.
pub async fn assignments<B: AssignmentBuilder>(builder: &B) -> Report {
    assignments::suite(builder).await
}
