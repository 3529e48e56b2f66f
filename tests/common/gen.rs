//! Makes small worlds from a seed: a directory, the store that an earlier sync would have left, and then
//! changes to both. Which kinds of change occur is itself drawn from the seed, so that most worlds are mostly
//! healthy and no rule is drowned by another. A few worlds are random throughout.

#![allow(dead_code, reason = "each test binary uses another part of the shared modules")]
#![allow(unreachable_pub, reason = "shared by several test binaries as a private module")]

mod directory;
mod features;
mod judgement;
mod membership;
mod options;
mod people;
mod reads;
mod records;
mod synced;

pub use directory::{external, member, new_user};
#[allow(unused_imports, reason = "each test binary uses another part of the shared modules")]
pub use features::{ALL_FEATURES, features};
pub use synced::mapped;

use super::world::World;
use directory::directory;
use std::collections::BTreeSet;

const ISSUER: &str = "ad";
const SOURCE: &str = "test-source";
/// Names with different match keys under every rule, so that a world starts without collisions.
const NAMES: [&str; 14] = [
    "anna", "bob", "carl", "dora", "eve", "josé", "straße", "fiona", "gül", "hugo", "ida", "jan", "kim",
    "λένα",
];

/// What may be in a world, how often (per cent), and whether it disturbs: partial reads, ambiguity and limits
/// are left out of the healthy third.
const FEATURES: [(&str, u64, bool); 62] = [
    ("rename", 40, false),
    ("swap", 30, false),
    ("spelling", 22, false),
    ("clear", 30, false),
    ("move_members", 60, false),
    ("delete_users", 30, false),
    ("delete_groups", 20, false),
    ("new_users", 35, false),
    ("new_groups", 25, false),
    ("name_reuse", 28, false),
    ("collision", 15, false),
    ("disabled", 25, false),
    ("unknown_state", 10, false),
    ("no_account_state", 5, false),
    ("cycle", 15, false),
    ("self_loop", 8, false),
    ("dangling_user", 12, false),
    ("dangling_group", 11, true),
    ("dangling_unknown", 11, true),
    ("dangling_other", 8, false),
    ("foreign", 9, false),
    ("unresolved", 10, true),
    ("leaf", 8, false),
    ("unreadable", 12, false),
    ("withdrawn", 10, true),
    ("duplicate_equal", 8, false),
    ("duplicate_versioned", 6, false),
    ("duplicate_ambiguous", 10, true),
    ("both_kinds", 8, true),
    ("partial_users", 12, true),
    ("partial_groups", 12, true),
    ("partial_list", 15, true),
    ("partial_assignments", 9, true),
    ("partial_store", 1, true),
    ("empty_read", 2, true),
    ("assign_more", 30, false),
    ("assign_less", 35, false),
    ("assign_stored", 20, false),
    ("assign_dangling", 10, false),
    ("assign_other_issuer", 8, false),
    ("unmanaged_users", 25, false),
    ("unmanaged_holds_name", 12, false),
    ("unmanaged_groups", 12, false),
    ("unmanaged_member", 15, false),
    ("dangling_id", 3, false),
    ("group_in_group", 5, false),
    ("two_links", 8, true),
    ("two_records", 9, true),
    ("mixed_kinds", 4, true),
    ("other_issuer", 12, false),
    ("inactive", 20, false),
    ("jit", 22, false),
    ("drift", 20, false),
    ("member_drift", 25, false),
    ("protected", 15, false),
    ("protected_name", 6, false),
    ("guards", 40, true),
    ("direct_only", 10, false),
    ("no_cascade", 35, false),
    ("no_listing", 5, false),
    ("absence_is_proof", 12, false),
    ("no_lookups", 15, false),
];

/// SplitMix64.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        if bound == 0 { 0 } else { (self.next() % bound as u64) as usize }
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// Up to `count` different indexes below `bound`.
    pub fn some(&mut self, bound: usize, count: usize) -> Vec<usize> {
        let mut all: Vec<usize> = (0..bound).collect();
        let mut chosen = Vec::new();
        while chosen.len() < count && !all.is_empty() {
            chosen.push(all.swap_remove(self.below(all.len())));
        }
        chosen
    }
}

/// The features that this seed switched on.
struct Swarm {
    on: BTreeSet<&'static str>,
}

impl Swarm {
    fn draw(rng: &mut Rng) -> Self {
        let healthy = rng.chance(30);
        // Some seeds try few things and some try many.
        let factor = rng.pick(&[60, 100, 100, 140]);
        let drawn = FEATURES.iter().filter(|(_, percent, disturbing)| {
            let hit = rng.chance(percent * factor / 100);
            hit && !(healthy && *disturbing)
        });
        Self { on: drawn.map(|(name, _, _)| *name).collect() }
    }

    fn has(&self, name: &str) -> bool {
        self.on.contains(name)
    }
}

/// The world of a seed: an ordinary one, to which what needs memory or judgement is then added from a stream of
/// its own, so that the worlds of known seeds stay as they were where nothing is added. With
/// `IDENTITY_SYNC_BASIC` in the environment nothing is.
pub fn world(seed: u64) -> World {
    let mut world = world_basic(seed);
    if std::env::var_os("IDENTITY_SYNC_BASIC").is_none() {
        judgement::add(&mut Rng(seed ^ 0x6A75_6467_656D_656E), &mut world);
    }
    world
}

/// A world as it is when nothing is wrong with it: the start of a history. The store is in step with the directory,
/// or empty.
pub fn calm(rng: &mut Rng) -> World {
    let oddities = [
        ("direct_only", 8),
        ("no_cascade", 35),
        ("no_account_state", 4),
        ("no_lookups", 12),
        ("absence_is_proof", 8),
        ("guards", 45),
    ];
    let drawn = oddities.iter().filter(|(_, percent)| rng.chance(*percent));
    let swarm = Swarm { on: drawn.map(|(name, _)| *name).collect() };
    let mut world = directory(rng, &swarm);
    if rng.chance(75) {
        synced::synced(rng, &mut world);
    }
    options::choose_options(rng, &swarm, &mut world);
    judgement::habits(rng, &mut world);
    options::keep_names_unique(&mut world);
    world
}

/// The world of a seed without soft match, released names, grace, locks, canaries, windows and quick passes.
pub fn world_basic(seed: u64) -> World {
    let mut rng = Rng(seed);
    let throughout = rng.chance(4);
    let swarm = Swarm::draw(&mut rng);
    let mut world = directory(&mut rng, &swarm);
    if throughout {
        synced::random_links(&mut rng, &mut world);
    } else {
        synced::synced(&mut rng, &mut world);
    }
    people::change_people(&mut rng, &swarm, &mut world);
    membership::change_membership(&mut rng, &swarm, &mut world);
    records::change_store(&mut rng, &swarm, &mut world);
    reads::change_assignments(&mut rng, &swarm, &mut world);
    reads::spoil_reads(&mut rng, &swarm, &mut world);
    options::choose_options(&mut rng, &swarm, &mut world);
    options::keep_names_unique(&mut world);
    world
}
