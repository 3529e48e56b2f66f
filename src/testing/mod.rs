//! For hosts that test what they have built on this crate, and for the tests of the crate itself: adapters that fail on
//! order, and futures that stop where the test says.
//!
//! * [`Faulty`] wraps any adapter and makes chosen calls and writes go wrong: see [`ReadFault`] and [`WriteFault`].
//! * [`drive`] and [`interleave`] poll futures by hand, so that a run can be dropped at any await point, and two runs can
//!   take turns in any order, without a runtime and without time.

mod executor;
mod faults;

pub use executor::{MOST_POLLS, Next, drive, interleave};
pub use faults::{Call, Faulty, ReadFault, WriteFault};
