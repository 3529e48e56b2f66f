//! Bounds are looked at before memory is taken (T16, rule S1). A process of its own: every allocation is counted.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has found something")]

use identity_sync::{
    Assignments, Completeness, ExternalId, GroupPage, Options, Principal, Run, SourceCapabilities,
    SourceSnapshot, StoreCapabilities, StoreSnapshot, UserPage, plan,
};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const MIB: usize = 1 << 20;

/// A chain of assigned groups with everybody at its end: each group has all users, so that a small read flattens to groups ×
/// users memberships.
fn bomb(groups: usize, users: usize) -> SourceSnapshot {
    let mut source = SourceSnapshot::builder("corp", SourceCapabilities::default());
    let mut page = UserPage::default();
    for user in 0..users {
        let name = format!("u{user}");
        page.user(&name).active(true).attribute("userPrincipalName", &name);
    }
    source.users(&page).unwrap();
    source.users_end(Completeness::Complete);
    let mut page = GroupPage::default();
    for group in 0..groups {
        let name = format!("g{group}");
        let mut row = page.group(&name);
        row.attribute("cn", &name);
        if group + 1 < groups {
            row.member(&format!("g{}", group + 1));
        } else {
            (0..users).for_each(|user| {
                row.member(&format!("u{user}"));
            });
        }
        row.members_complete();
    }
    source.groups(&page).unwrap();
    source.groups_end(Completeness::Complete);
    source.finish()
}

/// What planning says, and how much more memory than before it held at its worst.
fn planned(source: &SourceSnapshot, options: &Options) -> (Result<usize, String>, usize) {
    let store = StoreSnapshot::builder(StoreCapabilities::named("app")).finish(Completeness::Complete);
    let top = Assignments::complete([Principal::External(ExternalId::new("corp", "g0"))]);
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let found = plan(source, &store, &top, options, &Run::default());
    let found = found.map(|found| found.plan.len()).map_err(|error| error.to_string());
    (found, ALLOCATOR.peak_usage().saturating_sub(before))
}

#[test]
fn the_flattening_bomb_is_refused_within_a_fixed_amount_of_memory() {
    // threat T16: 25,000 rows and entries that make 100 million memberships, which would take 400 MB at the least
    let mut options = Options::for_issuer("corp");
    let source = bomb(5_000, 20_001);
    let (found, taken) = planned(&source, &options);
    assert_eq!(found.unwrap_err(), "more than 100000000 flattened memberships");
    assert!(taken < 32 * MIB, "{} MiB", taken / MIB);
    // What the read itself takes is all that grows with it, whatever the bound.
    options.limits.memberships = 1_000;
    let (found, less) = planned(&source, &options);
    assert_eq!(found.unwrap_err(), "more than 1000 flattened memberships");
    assert!(less < 32 * MIB, "{} MiB", less / MIB);
    // One that goes off is counted, so that this test would notice.
    options.limits.memberships = 100_000_000;
    let (found, taken) = planned(&bomb(500, 20_000), &options);
    assert_eq!(found.unwrap(), 20_000 + 2 * 500);
    assert!(taken > 32 * MIB, "{} MiB", taken / MIB);
}
