//! Properties over generated worlds, against an oracle that shares no code with the library.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has found something")]

mod common;

use common::convert::convert;
use common::oracle::{Expectation, expect};
use common::{r#gen, lines};
use identity_sync::{PlanError, Run, plan};

/// How many worlds each property looks at; `IDENTITY_SYNC_WORLDS` asks for more.
fn worlds() -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = number("IDENTITY_SYNC_FIRST").unwrap_or(0);
    first..first + number("IDENTITY_SYNC_WORLDS").unwrap_or(25_000)
}

#[test]
fn plans_are_those_of_the_oracle() {
    // rules E1, E2, E3, E4, E8, E9, E10, E11, M1, M2, M5, M6, M7, M8, A1, A2, A3, A4, A5, A6, A7, C1, C2, C3, C4, C5,
    // D1, D2, D3, D4, D5, D6, J2, P3, P6
    let mut wrong = 0;
    for seed in worlds() {
        let world = r#gen::world(seed);
        let converted = convert(&world);
        let found = plan(
            &converted.source,
            &converted.store,
            &converted.assignments,
            &converted.options,
            &Run::default(),
        );
        let (ours, ours_held) = match &found {
            Ok(found) => (lines::operations(&found.plan), lines::held(&found.plan)),
            Err(PlanError::LimitExceeded(error)) => panic!("seed {seed}: {error}"),
            Err(_) => Default::default(),
        };
        match expect(&world) {
            Expectation::Refused(refusal) => {
                if found.is_ok() {
                    println!("seed {seed}: planned, but oracle refused {refusal:?}");
                    wrong += 1;
                }
            }
            Expectation::Plan { operations, held, .. } => {
                if let Err(error) = &found {
                    println!("seed {seed}: refused {error}, oracle planned {operations:?}");
                    wrong += 1;
                } else if ours != operations || ours_held != held {
                    wrong += 1;
                    println!("seed {seed}:");
                    ours.difference(&operations).for_each(|line| println!("   only ours: {line}"));
                    operations.difference(&ours).for_each(|line| println!("   only oracle's: {line}"));
                    ours_held.difference(&held).for_each(|line| println!("   only ours, held: {line}"));
                    held.difference(&ours_held).for_each(|line| println!("   only oracle's, held: {line}"));
                }
            }
        }
        assert!(wrong < 25, "too many differences");
    }
    assert_eq!(wrong, 0);
}

#[test]
#[ignore = "prints the worlds of the seeds in IDENTITY_SYNC_SHOW, for a person"]
fn show_worlds() {
    for seed in
        std::env::var("IDENTITY_SYNC_SHOW").unwrap_or_default().split(',').filter_map(|s| s.parse().ok())
    {
        let world = r#gen::world(seed);
        println!("seed {seed}: {world:#?}");
        let converted = convert(&world);
        let (source, store) = (&converted.source, &converted.store);
        match plan(source, store, &converted.assignments, &converted.options, &Run::default()) {
            Ok(found) => println!("{}", found.plan),
            Err(error) => println!("{error}"),
        }
    }
}

/// Fisher–Yates with a generator of its own.
fn shuffle<T>(items: &mut [T], seed: u64) {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    for i in (1..items.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        items.swap(i, (state % (i as u64 + 1)) as usize);
    }
}

#[test]
fn the_same_inputs_in_any_order_give_the_same_bytes() {
    // rules P2, E5, M5
    // In the last one an assigned group has two rows with different names.
    for seed in worlds().take(5_000).chain([3_000_679]) {
        let world = r#gen::world(seed);
        let mut shuffled = world.clone();
        shuffle(&mut shuffled.source.users, seed + 1);
        shuffle(&mut shuffled.source.groups, seed + 2);
        for group in &mut shuffled.source.groups {
            shuffle(&mut group.members, seed + 3);
        }
        shuffle(&mut shuffled.store.users, seed + 4);
        shuffle(&mut shuffled.store.groups, seed + 5);
        for group in &mut shuffled.store.groups {
            shuffle(&mut group.members, seed + 6);
        }
        shuffle(&mut shuffled.assignments.principals, seed + 7);
        let bytes = |world: &common::world::World, rows: usize| {
            let mut converted = convert(world);
            let asks = world.options.extent == common::world::Extent::Full;
            converted.source = common::convert::source(&world.source, rows, asks);
            let (source, store) = (&converted.source, &converted.store);
            let found = plan(source, store, &converted.assignments, &converted.options, &Run::default());
            found.map(|found| serde_json::to_string(&found.plan).unwrap()).map_err(|error| error.to_string())
        };
        pretty_assertions::assert_eq!(
            bytes(&world, 3),
            bytes(&shuffled, 1 + (seed % 5) as usize),
            "seed {seed}"
        );
    }
}

#[test]
fn a_plan_survives_its_json() {
    // rule P1
    for seed in worlds().take(4_000) {
        let converted = convert(&r#gen::world(seed));
        let (source, store) = (&converted.source, &converted.store);
        let Ok(found) = plan(source, store, &converted.assignments, &converted.options, &Run::default())
        else {
            continue;
        };
        let text = serde_json::to_string(&found.plan).unwrap();
        let back: identity_sync::Plan = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&back).unwrap(), text, "seed {seed}");
        assert_eq!(back.to_string(), found.plan.to_string(), "seed {seed}");
        assert!(back == found.plan, "seed {seed}");
    }
}

#[test]
fn an_assigned_anchor_that_is_declared_a_leaf_hides_nobody() {
    // rules E9, C2: found at this seed, where an unread assigned anchor kept blocking removals after the declaration
    let converted = convert(&r#gen::world(1_069_433));
    let (source, store) = (&converted.source, &converted.store);
    let found = plan(source, store, &converted.assignments, &converted.options, &Run::default()).unwrap();
    assert!(lines::operations(&found.plan).contains("remove_members t18 : p13,p18"));
}

#[test]
fn snapshots_survive_their_json() {
    // rules P1, P2
    for seed in worlds().take(4_000).chain([3_000_527]) {
        let converted = convert(&r#gen::world(seed));
        let source = serde_json::from_str(&serde_json::to_string(&converted.source).unwrap()).unwrap();
        let store = serde_json::from_str(&serde_json::to_string(&converted.store).unwrap()).unwrap();
        let plan_of = |source, store| {
            plan(&source, &store, &converted.assignments, &converted.options, &Run::default())
                .map(|found| serde_json::to_string(&found.plan).unwrap())
                .map_err(|error| error.to_string())
        };
        let expected = plan_of(converted.source.clone(), converted.store.clone());
        let ambiguous = |plan: &String| plan.contains("different_rows") || plan.contains("user_and_group");
        if expected.as_ref().is_ok_and(ambiguous) {
            // Ambiguous rows are written as one withdrawn row: the same operations, another diagnostic.
            continue;
        }
        pretty_assertions::assert_eq!(plan_of(source, store), expected, "seed {seed}");
    }
}

#[test]
fn the_generator_makes_what_it_is_meant_to_make() {
    // An interesting case that never comes is a test that cannot fail.
    let worlds = 4_000;
    let mut seen = std::collections::BTreeMap::<&str, usize>::new();
    for seed in 0..worlds {
        for feature in r#gen::features(&r#gen::world(seed)) {
            *seen.entry(feature).or_default() += 1;
        }
    }
    for feature in r#gen::ALL_FEATURES {
        let times = seen.get(feature).copied().unwrap_or(0);
        assert!(times >= 12, "{feature} was made only {times} times in {worlds} worlds");
    }
}
