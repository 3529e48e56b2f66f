//! Simulated worlds: one seed gives a directory, a store, assignments, options and one thing that goes wrong. `tests/README.md`
//! tells what is checked and how to run more of them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has found something")]
#![allow(unreachable_pub, reason = "modules of one test binary")]

#[path = "../common/mod.rs"]
mod common;

mod checks;
mod crooked;
mod engine;
mod fleet;
mod instant;
mod loose;
mod run;
mod shrink;
mod trouble;

use common::r#gen;
use engine::{Engine, SABOTAGES};
use fleet::{CAUSES, Fleet, Seen, cause_name, sail, seeds};
use run::Case;

fn report(fleet: &Fleet, again: impl Fn(u64, &common::world::World) -> run::Verdict) {
    for (seed, what) in &fleet.failed {
        println!("seed {seed} at commit {}: {what}", shrink::commit());
        println!(
            "replay: IDENTITY_SYNC_REPLAY={seed} cargo test --all-features --test simulation replay -- --nocapture"
        );
    }
    if let Some((seed, _)) = fleet.failed.first() {
        shrink::print(*seed, again);
        panic!("{} worlds failed", fleet.failed.len());
    }
}

#[test]
fn in_every_world_one_thing_goes_wrong_and_clean_runs_mend_it() {
    // rules P2, P4, P6, X1, X2, X4, C1, C2, C5, M1, M7, M8, J4
    let honest = Engine::default();
    let seeds = seeds(6_000);
    let work = |seed, seen: &mut Seen| Case::of(seed, r#gen::world(seed), &honest).one_trouble(seen);
    let fleet = sail(seeds.clone(), work);
    report(&fleet, |seed, world| Case::of(seed, world.clone(), &honest).one_trouble(&mut Seen::default()));
    println!("{} worlds from seed {}: {:#?}", seeds.end - seeds.start, seeds.start, fleet.seen.0);
    if seeds.end - seeds.start < 6_000 {
        return;
    }
    for what in SITUATIONS.into_iter().chain(CAUSES.map(cause_name)) {
        assert!(fleet.seen.0.contains_key(what), "it never happened that {what}");
    }
}

/// What must come up among some thousand worlds: a kind of trouble that never comes is a test that cannot fail.
const SITUATIONS: [&str; 42] = [
    "nothing goes wrong",
    "a read fails",
    "a read is partial",
    "a read is cut and calls itself complete",
    "a page is lost without a word",
    "a page comes twice",
    "a read never ends",
    "a read hangs",
    "a write is refused",
    "a write is throttled",
    "an answer is lost",
    "a write is done in silence",
    "a write is forgotten",
    "a write is done twice",
    "a batch breaks before a write",
    "a batch breaks after a write",
    "the rights are lost half-way",
    "the store goes down half-way",
    "the reconcile is dropped",
    "the apply is dropped",
    "a second runner",
    "somebody signs in",
    "an administrator edits",
    "assignments change",
    "nothing to do",
    "held by a limit",
    "removal blocked",
    "apply stopped early",
    "applied",
    "failed",
    "skipped",
    "not tried",
    "unknown",
    "refused: partial store",
    "refused: empty source",
    "refused: no assignments",
    "refused: cannot adopt",
    "comes to rest",
    "the end is compared",
    "cause: entitled",
    "cause: no path",
    "cause: swap",
];

#[test]
fn every_write_every_answer_and_every_await_point_may_be_the_last() {
    // rules X4, X2, P4
    let honest = Engine::default();
    let fleet = sail(seeds(60), |seed, seen| Case::of(seed, r#gen::world(seed), &honest).every_trouble(seen));
    report(&fleet, |seed, world| Case::of(seed, world.clone(), &honest).every_trouble(&mut Seen::default()));
    println!("{:#?}", fleet.seen.0);
    assert!(fleet.seen.0.values().sum::<u64>() > 1_000);
}

#[test]
fn every_sabotaged_engine_is_noticed() {
    // A suite that does not notice a broken engine proves nothing about a whole one.
    let most = 20_000;
    let mut costs = Vec::new();
    for (sabotage, recorded) in SABOTAGES {
        let engine = Engine { sabotage: Some(sabotage) };
        let noticed = |seed: &u64| {
            let check = || Case::of(*seed, r#gen::world(*seed), &engine).one_trouble(&mut Seen::default());
            fleet::guarded(check).is_err()
        };
        let first = (0..most).find(noticed).map(|seed| seed + 1);
        println!("{sabotage:?}: {first:?}, recorded {recorded}");
        costs.push((sabotage, first, recorded));
    }
    for (sabotage, first, recorded) in costs {
        let first = first.unwrap_or_else(|| panic!("{sabotage:?} is not noticed in {most} worlds"));
        assert!(first <= recorded * 10, "{sabotage:?} takes {first} worlds, once it took {recorded}");
    }
}

#[test]
fn replay() {
    let Some(seed) = std::env::var("IDENTITY_SYNC_REPLAY").ok().and_then(|seed| seed.parse().ok()) else {
        return;
    };
    let honest = Engine::default();
    let world = r#gen::world(seed);
    println!("{world:#?}");
    Case::of(seed, world, &honest).one_trouble(&mut Seen::default()).unwrap();
}
