//! For hosts that test what they have built on this crate, and for the tests of the crate itself: adapters that fail on
//! order, and futures that stop where the test says.
//!
//! * [`Faulty`] wraps any adapter and makes chosen calls and writes go wrong: see [`ReadFault`] and [`WriteFault`].
//! * [`conformance`]: whether an adapter of your own keeps the contract of its trait; one builder, one call.
//! * [`Directory`]: a directory as plain data, written down or made from a seed by [`Knobs`].
//! * [`drive`] and [`interleave`] poll futures by hand, so that a run can be dropped at any await point, and two runs can
//!   take turns in any order, without a runtime and without time.

pub mod conformance;
mod directory;
mod executor;
mod faults;
mod random;

pub use directory::{
    AnchorForm, Directory, DirectoryGroup, DirectoryMember, DirectoryTombstone, DirectoryUser, Knobs,
    Vocabulary,
};
pub use executor::{MOST_POLLS, Next, drive, interleave};
pub use faults::{Call, Faulty, ReadFault, WriteFault};
pub use random::Random;
