#![no_main]
#![allow(dead_code, reason = "each program runs one target of the shared module")]

#[path = "../targets/mod.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| targets::templates::run(bytes));
