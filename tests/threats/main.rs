//! The threats T1 to T28 of `.github/SECURITY.md`, each attacked as somebody would who means it. What another test shows
//! already is not shown again here: the table in that file names it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has found something")]

mod access;
mod adapters;
mod bounds;
mod determinism;
#[path = "../scenarios/faulty.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the scenarios, which use all of it")]
mod faulty;
mod files;
#[path = "../scenarios/lines.rs"]
#[allow(dead_code, reason = "shared with the scenarios, which use all of it")]
mod lines;
mod names;
mod output;
mod rich;
mod stores;
mod table;
#[path = "../scenarios/timeline.rs"]
#[allow(dead_code, reason = "shared with the scenarios, which use all of it")]
mod timeline;
mod trap;
#[path = "../scenarios/world.rs"]
#[allow(dead_code, reason = "shared with the scenarios, which use all of it")]
mod world;
mod writes;
