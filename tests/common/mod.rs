//! What the test binaries share: the generated worlds, the oracle, and the way from a world to the library's snapshots.

#![allow(dead_code, reason = "each test binary uses another part of the shared modules")]
#![allow(unreachable_pub, reason = "shared by several test binaries as a private module")]

pub mod convert;
pub mod r#gen;
pub mod history;
pub mod lines;
pub mod live;
pub mod oracle;
pub mod world;
