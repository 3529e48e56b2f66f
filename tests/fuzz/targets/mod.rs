//! The bodies of the fuzz targets, shared by the programs of cargo-fuzz and by `tests/fuzz_corpus.rs`.
//!
//! Each target takes any bytes. It panics where it has found something; bytes that say nothing are passed over.

#![allow(clippy::panic, reason = "a target that panics has found something")]
#![allow(unreachable_pub, reason = "what is public here is so for two worlds, neither of them a library")]

mod build;
mod shown;
mod world;

pub mod dn;
pub mod ldif;
pub mod plan;
pub mod plan_document;
pub mod render;
pub mod templates;
