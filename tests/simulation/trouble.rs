//! The one thing that goes wrong in a world.

use std::time::Duration;

use identity_sync::testing::{Call, ReadFault, WriteFault};
use identity_sync::{ErrorKind, StoreCapabilities};

use crate::common::r#gen::Rng;
use crate::common::world::World;

/// Rows in a page of the directory, as `LiveSource` gives them.
const ROWS: usize = 3;

/// What goes wrong in the first run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    None,
    /// A call that reads goes wrong.
    Read(Call, usize, ReadFault),
    /// One write goes wrong.
    Write(usize, WriteFault),
    /// All writes go wrong from this one on.
    Down(usize, WriteFault),
    /// The reconcile, or the apply, is dropped at this await point.
    DropPlan(usize),
    DropApply(usize),
    /// Another runner applies its own plan meanwhile, in this order of turns.
    SecondRunner(u64),
    /// Somebody signs in at this await point of the apply.
    SignIn(usize, u64),
    /// An administrator changes a record at this await point of the apply.
    Edit(usize, u64),
    /// Assignments change between plan and apply.
    Reassign(u64),
    /// A record becomes protected between plan and apply.
    Protect(u64),
    /// The host chooses other policies between plan and apply.
    Repolicy(u64),
}

const KINDS: [ErrorKind; 9] = [
    ErrorKind::Transient,
    ErrorKind::Transient,
    ErrorKind::Unauthorized,
    ErrorKind::NotFound,
    ErrorKind::AlreadyExists,
    ErrorKind::Conflict,
    ErrorKind::Invalid,
    ErrorKind::QuotaExceeded,
    ErrorKind::Permanent,
];

impl Trouble {
    /// What goes wrong under this seed; `writes` is how much there is to write.
    pub fn draw(rng: &mut Rng, world: &World, store: &StoreCapabilities, writes: usize) -> Self {
        let kind = rng.pick(&KINDS);
        let at = rng.below(writes.max(1));
        let step = rng.below(4 * writes + 4);
        match rng.below(20) {
            0 => Self::None,
            1..=4 => Self::read(rng, world, store),
            5 => Self::Write(at, WriteFault::Refuse(kind)),
            6 => Self::Write(at, WriteFault::LoseAnswer(ErrorKind::Transient)),
            7 => Self::Write(at, WriteFault::LoseAnswer(kind)),
            8 => Self::Write(at, rng.pick(&[WriteFault::KeepSilent, WriteFault::Forget])),
            9 => Self::Write(at, WriteFault::Twice),
            10 => Self::Write(at, rng.pick(&[WriteFault::Break(kind), WriteFault::BreakAfter(kind)])),
            11 => Self::Write(at, WriteFault::Throttle(Duration::from_secs(rng.next() % 100_000))),
            12 => Self::Down(at, WriteFault::Refuse(ErrorKind::Unauthorized)),
            13 => Self::Down(at, rng.pick(&[WriteFault::Break(kind), WriteFault::Refuse(kind)])),
            14 => Self::DropApply(step),
            15 => rng.pick(&[Self::DropPlan(step), Self::DropApply(step)]),
            16 => Self::SecondRunner(rng.next()),
            17 => Self::SignIn(step, rng.next()),
            18 => Self::Edit(step, rng.next()),
            _ => Self::Reassign(rng.next()),
        }
    }

    fn read(rng: &mut Rng, world: &World, store: &StoreCapabilities) -> Self {
        let lists_apart = store.members == identity_sync::Members::PerGroup;
        let call = rng.pick(&[
            Call::SourceUsers,
            Call::SourceUsers,
            Call::SourceGroups,
            Call::SourceGroups,
            Call::Existence,
            Call::Generation,
            Call::StoreUsers,
            Call::StoreGroups,
            if lists_apart { Call::StoreMembers } else { Call::StoreGroups },
            Call::Assignments,
        ]);
        let kind = rng.pick(&KINDS);
        let fault = match call {
            Call::Existence | Call::Generation => {
                rng.pick(&[ReadFault::Fail(kind), ReadFault::Lose, ReadFault::Hang])
            }
            Call::StoreMembers => {
                rng.pick(&[ReadFault::Fail(kind), ReadFault::Partial, ReadFault::Endless, ReadFault::Hang])
            }
            _ => rng.pick(&[
                ReadFault::Fail(kind),
                ReadFault::Partial,
                ReadFault::Partial,
                ReadFault::Cut,
                ReadFault::Lose,
                ReadFault::Repeat,
                ReadFault::Endless,
                ReadFault::Hang,
            ]),
        };
        Self::Read(call, rng.below(pages(world, call)), fault)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::None => "nothing goes wrong",
            Self::Read(_, _, fault) => match fault {
                ReadFault::Fail(_) => "a read fails",
                ReadFault::Partial => "a read is partial",
                ReadFault::Cut => "a read is cut and calls itself complete",
                ReadFault::Lose => "a page is lost without a word",
                ReadFault::Repeat => "a page comes twice",
                ReadFault::Endless => "a read never ends",
                ReadFault::Hang => "a read hangs",
                _ => "a read panics",
            },
            Self::Write(_, fault) => match fault {
                WriteFault::Refuse(_) => "a write is refused",
                WriteFault::Throttle(_) => "a write is throttled",
                WriteFault::LoseAnswer(_) => "an answer is lost",
                WriteFault::KeepSilent => "a write is done in silence",
                WriteFault::Forget => "a write is forgotten",
                WriteFault::Twice => "a write is done twice",
                WriteFault::Break(_) => "a batch breaks before a write",
                WriteFault::BreakAfter(_) => "a batch breaks after a write",
                _ => "a write hangs",
            },
            Self::Down(_, WriteFault::Refuse(ErrorKind::Unauthorized)) => "the rights are lost half-way",
            Self::Down(..) => "the store goes down half-way",
            Self::DropPlan(_) => "the reconcile is dropped",
            Self::DropApply(_) => "the apply is dropped",
            Self::SecondRunner(_) => "a second runner",
            Self::SignIn(..) => "somebody signs in",
            Self::Edit(..) => "an administrator edits",
            Self::Reassign(_) => "assignments change",
            Self::Protect(_) => "a record becomes protected",
            Self::Repolicy(_) => "the policy changes",
        }
    }

    /// Whether it is only the answer, or the way to it, that is disturbed, so that the end must be that of a run in which
    /// nothing went wrong.
    pub fn leaves_the_world_alone(self) -> bool {
        match self {
            Self::Read(_, _, fault) => {
                matches!(fault, ReadFault::Fail(_) | ReadFault::Repeat | ReadFault::Endless | ReadFault::Hang)
            }
            // A store that denies a record which is there.
            Self::Write(_, WriteFault::Refuse(ErrorKind::NotFound))
            | Self::Down(_, WriteFault::Refuse(ErrorKind::NotFound))
            | Self::Write(_, WriteFault::LoseAnswer(ErrorKind::NotFound)) => false,
            Self::SignIn(..) | Self::Edit(..) | Self::Reassign(_) | Self::Protect(_) | Self::Repolicy(_) => {
                false
            }
            _ => true,
        }
    }

    /// What the engine is told where a read had this trouble: the world as an honest reader would note it down. `None`:
    /// the read fails.
    pub fn as_read(self, world: &World, page_of_store: usize, tries_again: bool) -> Option<World> {
        let Self::Read(call, page, fault) = self else { return Some(world.clone()) };
        match fault {
            ReadFault::Fail(ErrorKind::Transient) if tries_again => return Some(world.clone()),
            ReadFault::Fail(_) | ReadFault::Endless | ReadFault::Hang | ReadFault::Panic => return None,
            _ => {}
        }
        let mut seen = world.clone();
        match call {
            Call::SourceUsers => {
                if fault == ReadFault::Lose && page == 0 {
                    seen.source.tombstones.clear();
                }
                seen.source.users_complete &= fault != ReadFault::Partial;
                if fault == ReadFault::Cut {
                    seen.source.users_complete = true;
                }
                spoil(&mut seen.source.users, page, ROWS, fault);
            }
            Call::SourceGroups => {
                seen.source.groups_complete &= fault != ReadFault::Partial;
                if fault == ReadFault::Cut {
                    seen.source.groups_complete = true;
                }
                spoil(&mut seen.source.groups, page, ROWS, fault);
            }
            Call::Existence => seen.source.existence.clear(),
            Call::Generation => seen.source.generation = None,
            Call::StoreUsers => {
                seen.store.users.sort_by(|a, b| a.id.cmp(&b.id));
                let read = seen.store.users.len();
                spoil(&mut seen.store.users, page, page_of_store, fault);
                // A record that comes twice is a store that cannot be read.
                seen.store.complete &= fault != ReadFault::Partial && seen.store.users.len() <= read;
            }
            Call::StoreGroups => {
                seen.store.groups.sort_by(|a, b| a.id.cmp(&b.id));
                let read = seen.store.groups.len();
                spoil(&mut seen.store.groups, page, page_of_store, fault);
                // A record that comes twice is a store that cannot be read.
                seen.store.complete &= fault != ReadFault::Partial && seen.store.groups.len() <= read;
            }
            Call::Assignments => {
                match fault {
                    ReadFault::Partial => seen.assignments.complete = false,
                    ReadFault::Cut => seen.assignments.complete = true,
                    _ => {}
                }
                spoil(&mut seen.assignments.principals, 0, usize::MAX, fault);
            }
            _ => seen.store.complete &= fault != ReadFault::Partial,
        }
        Some(seen)
    }
}

fn pages(world: &World, call: Call) -> usize {
    match call {
        Call::SourceUsers => world.source.users.len().div_ceil(ROWS),
        Call::SourceGroups => world.source.groups.len().div_ceil(ROWS),
        Call::StoreUsers => world.store.users.len(),
        Call::StoreGroups | Call::StoreMembers => world.store.groups.len(),
        _ => 1,
    }
}

/// What is left of the rows of a read whose page has this fault.
fn spoil<T: Clone>(rows: &mut Vec<T>, page: usize, size: usize, fault: ReadFault) {
    let from = page.saturating_mul(size).min(rows.len());
    let to = from.saturating_add(size).min(rows.len());
    match fault {
        ReadFault::Partial | ReadFault::Cut => rows.truncate(to),
        ReadFault::Lose => drop(rows.drain(from..to)),
        ReadFault::Repeat => {
            let again = rows[from..to].to_vec();
            rows.extend(again);
        }
        _ => {}
    }
}
