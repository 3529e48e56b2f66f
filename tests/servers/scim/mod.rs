//! The SCIM store against scim2-server, which is strict, and scimmy-routers, which is lax.

#[path = "../../scim/raw.rs"]
pub(crate) mod raw;

mod conformance;
mod runs;
mod tls;

use std::sync::atomic::{AtomicUsize, Ordering};

use identity_sync::adapter::scim::{ScimOptions, Token};

/// A variable that `tests/servers/run scim` sets.
fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run tests/servers/run scim"))
}

fn token() -> Token {
    Token::new(variable("SCIM_TOKEN"))
}

/// The address of an empty store on a server; each call another one.
pub(crate) fn fresh(server: &str) -> String {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!("{}/t{}-{number}/v2", variable(server), std::process::id())
}

fn options(url: &str) -> ScimOptions {
    ScimOptions::new(url, token())
}
