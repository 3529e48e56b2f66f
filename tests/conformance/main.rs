//! The conformance suites over the adapters of this crate, and over adapters that are wrong on purpose: each of those
//! has to be found out by the check that is meant for it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has found something")]

mod assignments;
#[cfg(feature = "ldif")]
mod ldif;
mod source;
#[cfg(feature = "sqlite")]
mod sqlite;
mod store;
mod wrong;

use identity_sync::testing::conformance::Report;

/// The names of the failed checks, in their order.
fn failed(report: &Report) -> Vec<&'static str> {
    report.failures().map(|(name, _)| name).collect()
}

/// The names of the checks about which nothing was learned.
fn open(report: &Report) -> Vec<&'static str> {
    report.not_applicable().map(|(name, _)| name).collect()
}

/// A suite can be spawned on a runtime, as any other test.
fn spawned<F: Future + Send>(suite: F) -> F::Output {
    pollster::block_on(suite)
}
