//! Access that somebody gives himself, keeps, or loses for want of proof (T10, T11, T13, T28).

use identity_sync::{AccountState, Deprovision, Existence, Guards, Kind, Limit, MemberKind, Origin, Preset};
use pretty_assertions::assert_eq;

use crate::timeline::Timeline;
use crate::world::{World, record};

fn many(range: std::ops::Range<usize>) -> String {
    range.map(|i| format!("u{i:03} ")).collect()
}

/// An assigned group with others below it, so many levels deep.
fn deep(levels: usize) -> World {
    let mut w = World::new();
    w.users(&many(0..100));
    w.group("g0", &many(0..100));
    for level in 1..levels {
        w.group(&format!("g{level}"), "u000");
        w.edit_group(&format!("g{}", level - 1)).member(&format!("g{level}"), MemberKind::Group);
    }
    w.assign("g0");
    w
}

#[test]
fn a_group_hung_in_at_any_depth_gives_exactly_what_its_path_explains_and_says_how_far_down_it_is() {
    // threat T13
    for depth in [1, 2, 5, 20] {
        let mut t = Timeline::start(deep(20));
        t.users("evil pal");
        t.group("own", "evil pal");
        t.edit_group(&format!("g{}", depth - 1)).member("own", MemberKind::Group);
        let found = t.found().unwrap();
        // Two users, one group, and them in it and in each group above.
        let added =
            found.plan.operations().filter(|op| matches!(op.action(), identity_sync::Action::AddMembers(_)));
        assert_eq!((found.plan.len(), added.count()), (2 + 1 + 1 + depth, 1 + depth));
        let gains = &found.plan.impact().gains;
        assert_eq!((gains.len(), gains[0].users), (1, 2));
        assert_eq!(gains[0].groups_on_the_way as usize, depth + 1);
        let line = format!("gain access: 2 through group g0 [g0], over up to {} nested groups\n", depth + 1);
        assert!(found.plan.impact().to_string().contains(&line), "{}", found.plan.impact());
        for user in ["evil", "pal"] {
            let identity_sync::Explanation::Entitled { path } = found.evidence.explain(&user.into()).unwrap()
            else {
                panic!("not entitled");
            };
            let names: Vec<String> = path.iter().map(ToString::to_string).collect();
            let mut expected: Vec<String> = (0..depth).map(|level| format!("g{level}")).collect();
            expected.extend(["own".to_owned(), user.to_owned()]);
            assert_eq!(names, expected);
        }
    }
}

#[test]
fn the_limit_on_growth_lets_its_number_pass_and_holds_one_more_over_several_runs_too() {
    // threats T13, T24
    for (newcomers, held) in [(9, false), (10, false), (11, true)] {
        let mut w = deep(1);
        w.options.guards = Guards::off();
        w.options.guards.window = Some(identity_sync::Window::default());
        let mut t = Timeline::start(w);
        // Each newcomer counts twice: created, and put into the group. 10 % of 100 users and 100 memberships.
        t.options.guards.grants = Some(Limit::new(None, 10, 0));
        t.users(&(0..newcomers).map(|i| format!("new{i:02} ")).collect::<String>());
        let all: String =
            format!("{}{}", many(0..100), (0..newcomers).map(|i| format!("new{i:02} ")).collect::<String>());
        t.edit_group("g0").members(&all);
        let plan = t.plan();
        assert_eq!(!plan.held().collect::<Vec<_>>().is_empty(), held, "{newcomers}: {plan}");
        if held {
            assert_eq!(plan.len(), 0);
            // Approved, they get in: once.
            t.approvals.push(t.held_file().approve());
            t.run();
            assert!(t.plan().is_empty());
        }
    }
    // In small steps it is the same: 1.5 times the limit within a day.
    let mut t = Timeline::start(deep(1));
    t.options.guards.grants = Some(Limit::new(None, 10, 0));
    let mut let_in = 0;
    for step in 0..10 {
        let (name, all) =
            (format!("drip{step}"), (0..=step).map(|i| format!("drip{i} ")).collect::<String>());
        t.users(&format!("{name}a {name}b {name}c"));
        let all: String = all.split_whitespace().map(|n| format!("{n}a {n}b {n}c ")).collect();
        t.edit_group("g0").members(&format!("{}{all}", many(0..100)));
        t.hours(1).run();
        let_in = t.store.state().users.len() - 100;
    }
    assert!((10..=17).contains(&let_in), "{let_in} got in");
}

#[test]
fn whatever_vanishes_without_a_word_for_some_runs_and_comes_back_has_lost_nothing() {
    // threats T10, T11
    let hidden: [&[&str]; 4] = [&["ada", "bob"], &["sub"], &["staff"], &["ada", "sub", "bob"]];
    for names in hidden {
        for preset in [Preset::AwsAdSync, Preset::StrictOffboarding, Preset::Mirror] {
            let mut w = World::new();
            w.options = preset.options();
            w.options.issuer = Some("corp".into());
            w.options.guards = Guards::off();
            w.users("ada bob kim eve");
            w.group("staff", "ada sub kim");
            w.group("sub", "bob ada");
            w.group("other", "eve");
            w.assign("staff other");
            let mut t = Timeline::start(w);
            let before = t.dump();
            let (users, groups) = (t.source.users.clone(), t.source.groups.clone());
            for _ in 0..5 {
                // A right on some objects is gone: no row, no answer to a look-up, and the lists still name them.
                t.source.users.retain(|row| !names.contains(&row.anchor.as_str()));
                t.source.groups.retain(|row| !names.contains(&row.anchor.as_str()));
                for name in names {
                    t.source.answers.insert((*name).to_owned(), Existence::Unknown);
                }
                let lines = t.days(1).run();
                let takes =
                    |line: &&String| ["delete", "remove", "deactivate"].iter().any(|t| line.starts_with(t));
                assert_eq!(lines.iter().filter(takes).count(), 0, "{names:?} {preset:?}: {lines:?}");
            }
            t.source.users = users;
            t.source.groups = groups;
            t.days(1).run();
            assert_eq!(t.dump(), before, "{names:?} {preset:?}");
        }
    }
}

#[test]
fn the_table_of_account_states_lets_no_disabled_account_keep_its_access() {
    // threat T28: state, entitled or not, and how the record came there; whether it is active afterwards
    let cases = [
        (AccountState::Enabled, true, Origin::Synced, true),
        (AccountState::Disabled, true, Origin::Synced, false),
        (AccountState::Unknown, true, Origin::Synced, true),
        (AccountState::Enabled, false, Origin::Synced, true), // left scope: kept
        (AccountState::Disabled, false, Origin::Synced, false),
        (AccountState::Disabled, true, Origin::Jit, false),
        (AccountState::Disabled, false, Origin::Jit, true), // its next sign-in looks after it (rule J2)
    ];
    for (state, entitled, origin, active) in cases {
        let mut w = World::new();
        w.options.guards = Guards::off();
        w.users("other");
        w.assign("other");
        w.user("ada").state(state);
        if entitled {
            w.assign("ada");
        }
        let mut ada = record(&[("userName", "ada")]);
        ada.external_ids.push(identity_sync::ExternalId::new("corp", "ada"));
        ada.origin = Some(origin);
        w.put(Kind::User, "A", ada);
        let plan = w.plan();
        // It counts as a revocation, never as a delete.
        assert!(!plan.operations().any(|op| matches!(op.action(), identity_sync::Action::Delete)));
        assert!(w.run().is_success());
        assert_eq!(w.store.state().users["A"].active, active, "{state:?} {entitled} {origin:?}");
    }
    // Sign-ins of disabled accounts end at the door.
    let mut w = World::new();
    w.user("ada").disabled();
    let mut ada = record(&[("userName", "ada")]);
    ada.external_ids.push(identity_sync::ExternalId::new("corp", "ada"));
    ada.origin = Some(Origin::Jit);
    w.put(Kind::User, "A", ada);
    let (run, host) = (identity_sync::Run::default(), identity_sync::Host::new());
    let ada = "ada".into();
    let signed = identity_sync::sign_in(&w.source, &w.store, &ada, &w.options, &run, &host);
    assert!(!pollster::block_on(signed).unwrap().allowed);
    assert!(!w.store.state().users["A"].active);
    assert_eq!(w.options.users.disabled_in_source, Deprovision::Deactivate);
}
