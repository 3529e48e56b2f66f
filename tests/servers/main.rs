//! The adapters against real servers. All that needs one is ignored; `tests/servers/run` starts them and runs it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that panics has found something"
)]
#![allow(clippy::disallowed_methods, reason = "real servers answer in real time")]

#[cfg(all(feature = "ldap", feature = "sqlite"))]
mod ad_sync;
#[cfg(feature = "aws")]
mod aws;
mod chromium;
#[cfg(all(feature = "ldap", feature = "ldif"))]
mod ldap;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "scim")]
mod scim;

/// What the scripts print of a server; a test without its server fails.
#[allow(dead_code, reason = "each adapter's tests use it, and each adapter is a feature")]
fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: tests/servers/run sets it"))
}
