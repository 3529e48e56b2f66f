//! The rules one by one, each in a small world of its own: whole plans, whole stores, every awkward moment.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has found something")]

mod ambiguous;
mod apply;
mod apply_stops;
mod approvals;
mod approved_exactly;
mod attributes;
mod canaries;
mod completeness;
mod deprovision;
mod display;
mod entitlement;
mod explain;
mod faulty;
mod findings;
mod flapping;
mod grace;
mod guards;
mod impact;
mod incidents;
mod jit;
mod lines;
mod locks;
mod matching;
mod memory;
mod names;
mod opaque;
mod order;
mod pages;
mod plan;
mod presets;
mod proof;
mod protected;
mod proven_removals;
mod quick;
mod reading;
mod release;
mod retries;
mod safety;
mod scale;
mod schedule;
mod soft_match;
mod timeline;
mod window;
mod world;
