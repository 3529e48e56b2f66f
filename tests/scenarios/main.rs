//! The rules one by one, each in a small world of its own: whole plans, whole stores, every awkward moment.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has found something")]

mod apply;
mod apply_stops;
mod attributes;
mod completeness;
mod deprovision;
mod display;
mod entitlement;
mod explain;
mod faulty;
mod guards;
mod incidents;
mod jit;
mod lines;
mod matching;
mod names;
mod opaque;
mod order;
mod plan;
mod proof;
mod reading;
mod retries;
mod safety;
mod scale;
mod world;
