//! The parts of the example `ad_sync`, tested. The example itself is a plain program, so that building all tests builds it, too.
#![cfg(all(feature = "ldap", feature = "sqlite"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has found something")]
#![allow(dead_code, unused_macros, reason = "the program's `main` is not among the parts")]

#[macro_use]
#[path = "../../examples/common/mod.rs"]
mod common;

#[path = "../../examples/ad_sync/arguments.rs"]
mod arguments;
#[path = "../../examples/ad_sync/config.rs"]
mod config;
#[path = "../../examples/ad_sync/directory.rs"]
mod directory;
#[path = "../../examples/ad_sync/files.rs"]
mod files;
#[path = "../../examples/ad_sync/page/mod.rs"]
mod page;
#[path = "../../examples/ad_sync/repeat.rs"]
mod repeat;
#[path = "../../examples/ad_sync/run.rs"]
mod run;
#[path = "../../examples/ad_sync/secret.rs"]
mod secret;
#[path = "../../examples/ad_sync/stop.rs"]
mod stop;
#[path = "../../examples/ad_sync/store/mod.rs"]
mod store;
#[path = "../../examples/ad_sync/watch.rs"]
mod watch;

mod configuration;
mod hostile;
mod looping;
mod shown;

// Where the page looks for it.
use common::time;
