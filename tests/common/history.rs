//! Histories: a world that lives for some weeks, and what the host does meanwhile. From a seed come a start world and
//! steps: edits of the directory, of the assignments, of the store and of the options, time that passes, pauses, and
//! runs with their approvals. It is plain data; whoever compares the library with the oracle plays it:
//!
//! ```text
//! world = history.start, memory = Memory::default(), live store = world.store
//! for each step:
//!     Edit     world.store = what the live store holds; apply_edit; if edit.touches_store(): live store = world.store
//!     Wait ... advance(world, memory, step) for the oracle, the same calls on the library's own state
//!     Run      world.store = what the live store holds; world.options.extent = run.extent;
//!              approvals = Approving::given(run); decide_with(world, memory, world.now, approvals); compare;
//!              Approving::show(decision); apply as run.how says (nothing while memory.paused);
//!              memory = what planning left, then after_apply with the lines of what was applied
//! ```
//!
//! The oracle always plans from what the live store really holds, so nobody has to guess the ids that a store
//! gives: edits name records by the anchors that they carry. An edit that finds nothing to do does nothing.

mod edits;
mod script;

#[allow(unused_imports, reason = "each test binary uses another part of the shared modules")]
pub use edits::{Edit, apply_edit};
#[allow(unused_imports, reason = "see above")]
pub use script::history;

use super::oracle::{Approval, Decision, Memory};
use super::world::{Extent, World};

/// A start world and what happens then.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    pub start: World,
    pub steps: Vec<Step>,
}

/// One thing that happens.
#[allow(clippy::large_enum_variant, reason = "there are few steps, and plain ones are easier to write")]
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Edit(Edit),
    /// The host's clock moves by so many seconds, sometimes back.
    Wait(i64),
    Pause,
    Resume,
    /// The host accepts another source, or an older state of it (rule C6).
    AcceptSource,
    /// The memory is lost (rule D7).
    Forget,
    Run(RunStep),
}

/// One run.
#[derive(Clone, Debug, PartialEq)]
pub struct RunStep {
    pub extent: Extent,
    pub approve: Approve,
    pub how: How,
}

/// Which approvals a run is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Approve {
    None,
    /// All that the plan before this one held.
    All,
    /// Some of it: see `chosen`.
    Part(u64),
    /// What was given before is given once more; what was used counts no more.
    Again,
}

/// How far a run gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Whole,
    /// So many operations, in the order of the plan, are applied; then it stops.
    Cut(usize),
    /// Nothing is applied; what was seen is remembered all the same, or not.
    Dry {
        remember: bool,
    },
}

/// Whether a partial approval covers an operation, told by its canonical line.
pub fn chosen(seed: u64, line: &str) -> bool {
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
    let hash = line.bytes().fold(seed ^ 0xCBF2_9CE4_8422_2325, mix);
    (hash ^ (hash >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 63 == 0
}

/// The oracle's approvals over a history: remembers what was shown and what was given.
#[derive(Clone, Debug, Default)]
pub struct Approving {
    shown: Option<(u64, Decision)>,
    given: Vec<Approval>,
}

impl Approving {
    /// The approvals of a run. What is newly approved stays given for `Again`.
    pub fn given(&mut self, run: &RunStep) -> Vec<Approval> {
        let fresh = self.shown.as_ref().and_then(|(at, decision)| match run.approve {
            Approve::None | Approve::Again => None,
            Approve::All => Some(decision.approve(*at, |_| true)),
            Approve::Part(seed) => Some(decision.approve(*at, |line| chosen(seed, line))),
        });
        self.given.extend(fresh.clone());
        match run.approve {
            Approve::Again => self.given.clone(),
            _ => fresh.into_iter().collect(),
        }
    }

    /// A plan was made at this time, and is shown.
    pub fn show(&mut self, at: u64, decision: &Decision) {
        self.shown = Some((at, decision.clone()));
    }
}

/// What a step that is no run does to the world and to the oracle's memory.
pub fn advance(world: &mut World, memory: &mut Memory, step: &Step) {
    match step {
        Step::Edit(edit) => apply_edit(world, edit),
        Step::Wait(seconds) => world.now = world.now.saturating_add_signed(*seconds),
        Step::Pause => memory.pause(world.now),
        Step::Resume => memory.resume(world.now),
        Step::AcceptSource => memory.accept_source(),
        Step::Forget => *memory = Memory::default(),
        Step::Run(_) => {}
    }
}
