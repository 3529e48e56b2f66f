//! Between plan and write, in which order, how often, and whose records (T12, T19, T22, T23, T24, T27).

use std::collections::BTreeSet;
use std::time::Duration;

use identity_sync::memory::{MemoryState, MemoryStore};
use identity_sync::{
    Action, ApplyOptions, Approval, Deprovision, ErrorKind, ExternalId, Guards, HeldSet, Host, Limit,
    MembershipsOnDelete, Options, Outcome, Plan, Principal, Retry, Run, Window, apply, reconcile,
};
use pollster::block_on;
use pretty_assertions::assert_eq;

use crate::faulty::{FakeTimer, Fault, Scripted};
use crate::rich::{able, eventful};
use crate::timeline::Timeline;
use crate::world::{World, guards};

fn applied(plan: &Plan, store: &MemoryStore, options: &ApplyOptions) -> Vec<String> {
    let report = block_on(apply(plan, store, options, &Host::new())).unwrap();
    report.outcomes.iter().map(ToString::to_string).collect()
}

#[test]
fn a_record_that_is_protected_by_the_time_of_the_write_is_not_touched() {
    // threat T12: the protection is younger than the plan
    let fresh = || eventful("");
    let plan = fresh().plan();
    let mut touched = 0;
    for number in 0..plan.len() {
        let operation = plan.operations().nth(number).unwrap();
        let (id, anchor) = (operation.subject().id(), operation.subject().anchor().unwrap());
        for by_id in [true, false] {
            let t = fresh();
            let plan = t.plan();
            let mut options = ApplyOptions::default();
            match (by_id, id) {
                (true, Some(id)) => drop(options.protected.ids.insert(id.into())),
                (true, None) => continue,
                (false, _) => drop(options.protected.anchors.insert(anchor.into())),
            }
            let before = t.store.state().clone();
            let outcomes = applied(&plan, &t.store, &options);
            let refused = outcomes[number] == "failed: it would touch a record that is protected by now";
            assert!(refused || outcomes[number].starts_with("skipped because"), "{}", outcomes[number]);
            let after = t.store.state();
            if let Some(id) = id {
                assert_eq!(after.users.get(id), before.users.get(id), "{anchor}");
                let of = |state: &MemoryState| -> BTreeSet<String> {
                    let lists = state.groups.iter().filter(|(_, group)| group.members.contains(id));
                    lists.map(|(group, _)| group.clone()).collect()
                };
                assert_eq!(of(&after), of(&before), "{anchor}");
                touched += 1;
            }
        }
    }
    assert!(touched > 10);
}

#[test]
fn whatever_changes_in_a_record_after_the_plan_fails_its_operations_and_is_not_written_over() {
    // threat T19
    let count = {
        let t = eventful("");
        let state = t.store.state();
        state.users.len() + state.groups.len()
    };
    for number in 0..count {
        let t = eventful("");
        let plan = t.plan();
        let id = {
            let mut state = t.store.state();
            let state = &mut *state;
            let (id, record) = state.users.iter_mut().chain(&mut state.groups).nth(number).unwrap();
            record.attributes.insert("note".to_owned(), vec!["changed meanwhile".to_owned()]);
            record.version += 1;
            id.clone()
        };
        let outcomes = applied(&plan, &t.store, &ApplyOptions::default());
        for (operation, outcome) in plan.operations().zip(&outcomes) {
            if operation.subject().id() == Some(id.as_str()) {
                let conflict =
                    outcome == "failed: the record has another version" || outcome.starts_with("skipped");
                assert!(conflict, "{operation}: {outcome}");
            }
        }
        let state = t.store.state();
        let record = state.users.get(&id).or(state.groups.get(&id));
        assert_eq!(record.unwrap().attributes["note"], ["changed meanwhile"]);
    }
}

#[test]
fn an_approval_cannot_be_forged_by_its_date() {
    // threat T19
    let mut w = World::new();
    w.users("a b c d e f");
    w.assign("a b c d e f");
    w.options.guards = guards(|guards| guards.user_deletes = Some(Limit::new(Some(1), 100, 0)));
    let mut t = Timeline::start(w);
    t.delete("a");
    t.delete("b");
    t.days(3);
    let held = serde_json::to_value(t.held_file()).unwrap();
    let shown = |at: i64| -> Approval {
        let mut file = held.clone();
        file["shown_at"] = at.into();
        serde_json::from_value::<HeldSet>(file).unwrap().approve()
    };
    const YEAR: i64 = 366 * 86_400;
    for (at, good) in [
        (t.now, true),
        (t.now + 1, false),
        (i64::MAX, false),
        (t.now - YEAR, true),
        (t.now - YEAR - 1, false),
        (i64::MIN, false),
    ] {
        t.approvals = vec![shown(at)];
        let plan = t.plan();
        assert_eq!((plan.len(), plan.held().len()), if good { (2, 0) } else { (0, 2) }, "shown at {at}");
        let note =
            plan.to_string().contains("2 approved operations are done, or not planned like that any more");
        assert_eq!(note, !good);
    }
    // Where a clock went back, what was shown before is still good.
    t.approvals = vec![shown(t.now)];
    t.look();
    t.days(-1);
    assert_eq!(t.plan().len(), 2);
}

/// One of two sources that share a store, with an issuer of its own, its users' names and groups apart.
fn tenant(issuer: &str) -> World {
    let mut w = World::new();
    w.source.identity = issuer.into();
    w.options = Options::for_issuer(issuer);
    w.options.guards = Guards::off();
    w.options.users.left_scope = Deprovision::Delete;
    w.users("1 2 3");
    for user in ["1", "2", "3"] {
        w.edit(user).set("userPrincipalName", &format!("{issuer}-{user}"));
    }
    w.group("g", "1 2").set("cn", &format!("{issuer} staff"));
    for anchor in ["g", "3"] {
        w.assigned.principals.insert(Principal::External(ExternalId::new(issuer, anchor)));
    }
    w
}

#[test]
fn two_sources_with_one_store_commute_and_never_touch_what_is_the_other_s() {
    // threat T22: the same anchors in both
    let run = |w: &World, store: &MemoryStore| {
        let (run, host) = (Run::default(), Host::new());
        let plan = block_on(reconcile(&w.source, store, &w.assigned, &w.options, &run, &host)).unwrap().plan;
        let foreign: Vec<String> = {
            let ours = w.options.issuer.clone().unwrap();
            let state = store.state();
            let mut records = state.users.iter().chain(&state.groups);
            let others =
                records.by_ref().filter(|(_, r)| r.external_ids.iter().all(|link| link.issuer != ours));
            others.map(|(id, _)| id.clone()).collect()
        };
        for operation in plan.operations() {
            assert!(
                operation.subject().id().is_none_or(|id| !foreign.contains(&id.to_owned())),
                "{operation}"
            );
            if let Action::AddMembers(members) | Action::RemoveMembers(members) = operation.action() {
                let mut ids = members.iter().filter_map(|member| member.id().map(str::to_owned));
                assert!(ids.all(|id| !foreign.contains(&id)), "{operation}");
            }
        }
        let report = block_on(apply(&plan, store, &ApplyOptions::default(), &host)).unwrap();
        assert!(report.is_success(), "{report}");
    };
    let mut ends = BTreeSet::new();
    for order in [[0, 1, 0, 1], [1, 0, 1, 0], [0, 0, 1, 1], [1, 1, 0, 0], [0, 1, 1, 0], [1, 0, 0, 1]] {
        let mut tenants = [tenant("east"), tenant("west")];
        let store = tenants[0].store.state().clone();
        let shared = MemoryStore::with_capabilities(able());
        *shared.state() = store;
        let mut seen = [false, false];
        for who in order {
            if seen[who] {
                tenants[who].delete("3");
                tenants[who].edit_group("g").members("2");
            }
            seen[who] = true;
            run(&tenants[who], &shared);
        }
        ends.insert(dump_by_issuer(&shared));
    }
    assert_eq!(ends.len(), 1, "{ends:#?}");
}

/// What the store holds, without ids that depend on the order of creation.
fn dump_by_issuer(store: &MemoryStore) -> Vec<String> {
    let state = store.state();
    let name =
        |id: &String| format!("{:?}", state.users.get(id).or(state.groups.get(id)).unwrap().external_ids);
    let records = state.users.iter().chain(&state.groups);
    let lines = records.map(|(id, record)| {
        let members: BTreeSet<String> = record.members.iter().map(name).collect();
        format!("{} {:?} {} {members:?}", name(id), record.attributes, record.active)
    });
    let mut lines: Vec<String> = lines.collect();
    lines.sort_unstable();
    lines
}

/// Who is in which group.
fn memberships(state: &MemoryState) -> BTreeSet<(String, String)> {
    let lists = state.groups.iter().flat_map(|(group, record)| {
        record
            .members
            .iter()
            .filter(|member| state.users.contains_key(*member))
            .map(|m| (group.clone(), m.clone()))
    });
    lists.collect()
}

#[test]
fn wherever_a_run_is_cut_nobody_has_more_than_before_and_after_and_all_is_taken_before_any_is_given() {
    // threat T23
    for on_delete in [MembershipsOnDelete::Cascade, MembershipsOnDelete::RemoveFirst] {
        let start = || {
            let mut store = able();
            store.memberships_on_delete = on_delete;
            store.batch = 1;
            let mut w = World::with_store(store);
            w.options.guards = Guards::off();
            w.users("off gone out stay back");
            w.edit("back").disabled();
            w.group("staff", "off gone out stay");
            w.group("more", "stay gone back");
            w.assign("staff more");
            w.sync();
            w.edit("off").disabled();
            w.edit("back").state(identity_sync::AccountState::Enabled);
            w.delete("gone");
            // The login of the leaver goes to a newcomer at once.
            w.user("new").set("userPrincipalName", "gone");
            w.edit_group("staff").members("stay new back");
            w.edit_group("more").members("new");
            w
        };
        let w = start();
        let plan = w.plan();
        let takes = |op: &identity_sync::Operation<'_>| {
            matches!(op.action(), Action::Deactivate | Action::RemoveMembers(_) | Action::Delete)
        };
        let gives = |op: &identity_sync::Operation<'_>| {
            matches!(op.action(), Action::AddMembers(_) | Action::Reactivate | Action::CreateUser { .. })
        };
        let last_taken =
            plan.operations().enumerate().filter(|(_, op)| takes(op)).map(|(i, _)| i).max().unwrap();
        let first_given = plan.operations().position(|op| gives(&op)).unwrap();
        assert!(last_taken < first_given, "{plan}");
        let old = memberships(&w.store.state());
        assert!(w.run().is_success());
        let new = memberships(&w.store.state());
        let end = w.dump();
        for cut in 0..=plan.len() {
            let w = start();
            let leaver = w.id("gone");
            let plan = w.plan();
            let broken = (cut..plan.len() + 1).map(|at| (at, Fault::Refuse(ErrorKind::Unauthorized)));
            let store = Scripted::new(&w.store, broken);
            let report = block_on(apply(&plan, &store, &ApplyOptions::default(), &Host::new())).unwrap();
            assert!(report.applied() <= cut);
            {
                let state = w.store.state();
                let now = memberships(&state);
                assert!(
                    now.iter().all(|one| old.contains(one) || new.contains(one)),
                    "cut at {cut}: {now:?}"
                );
                // The newcomer's record is none that ever was the leaver's.
                let link = ExternalId::new("corp", "new");
                assert!(
                    state.users.iter().all(|(id, user)| !user.external_ids.contains(&link) || *id != leaver)
                );
            }
            w.sync();
            assert_eq!(w.dump(), end, "cut at {cut}");
        }
    }
}

#[test]
fn five_times_nineteen_percent_within_the_window_is_too_much_in_whatever_kind_it_is_taken() {
    // threat T24
    let names = |range: std::ops::Range<usize>| range.map(|i| format!("u{i:03} ")).collect::<String>();
    type Take = fn(&mut Timeline, std::ops::Range<usize>);
    let delete: Take = |t, range| range.for_each(|i| t.delete(&format!("u{i:03}")));
    let disable: Take = |t, range| {
        range.for_each(|i| {
            t.edit(&format!("u{i:03}")).disabled();
        });
    };
    let remove: Take = |t, range| {
        let rest = range.end..100;
        t.edit_group("all").members(&rest.map(|i| format!("u{i:03} ")).collect::<String>());
    };
    let clear: Take = |t, range| {
        range.for_each(|i| {
            t.edit(&format!("u{i:03}")).unset("title");
        });
    };
    for (number, take) in [delete, disable, remove, clear].into_iter().enumerate() {
        let mut w = World::new();
        w.users(&names(0..100));
        w.group("all", &names(0..100));
        w.assign(&names(0..100));
        w.assign("all");
        for user in names(0..100).split_whitespace() {
            w.edit(user).set("title", "x");
        }
        let mut t = Timeline::start(w);
        // The limits as they are by default; members of one group may go by halves.
        assert_eq!(t.options.guards.window, Some(Window::default()));
        t.options.guards.removals_per_group = None;
        let mut held = 0;
        for hour in 0..5 {
            take(&mut t, hour * 19..(hour + 1) * 19);
            held = t.hours(1).plan().held().len();
            if hour < 1 {
                assert_eq!(held, 0, "case {number}: 19 % pass by themselves");
            } else {
                assert!(held > 0, "case {number}: {} % within {} hours", (hour + 1) * 19, hour + 1);
            }
            t.run();
        }
        assert!(held > 0);
    }
}

#[test]
fn whatever_wait_the_other_side_asks_for_is_clamped_jittered_and_counted() {
    // threat T27
    let world = || {
        let mut w = World::new();
        w.users("ada");
        w.assign("ada");
        w
    };
    // Nothing asked for, zero, some, and as much as can be written.
    let cases: [(Duration, [u128; 2]); 5] = [
        (Duration::ZERO, [200, 400]),
        (Duration::from_millis(1), [200, 400]),
        (Duration::from_secs(7), [7_000, 7_000]),
        (Duration::from_secs(365 * 86_400), [300_000, 300_000]),
        (Duration::MAX, [300_000, 300_000]),
    ];
    for (asked, waits) in cases {
        let (w, timer) = (world(), FakeTimer::default());
        let store = Scripted::always(&w.store, Fault::Busy(asked));
        let host = Host::new().timer(&timer);
        let report = block_on(apply(&w.plan(), &store, &ApplyOptions::default(), &host)).unwrap();
        assert_eq!((timer.millis(), report.applied()), (waits.to_vec(), 0), "{asked:?}");
        assert!(matches!(report.outcomes[0], Outcome::Failed(_)));
    }
    // A host may wait less, and never; a wait without bounds is his own wish.
    let (w, timer) = (world(), FakeTimer::default());
    let mut options = ApplyOptions::default();
    options.retry.longest_wait = Duration::ZERO;
    let store = Scripted::always(&w.store, Fault::Busy(Duration::MAX));
    let host = Host::new().timer(&timer);
    block_on(apply(&w.plan(), &store, &options, &host)).unwrap();
    assert_eq!(timer.millis(), [0, 0]);
    assert_eq!(Retry::default().longest_wait, Duration::from_secs(300));
}

#[test]
fn the_retries_of_one_run_have_a_budget_however_many_operations_it_has() {
    // threat T27: the larger of 10 and 1 % of the operations
    for (users, budget) in [(30, 10), (1_000, 10), (1_200, 12)] {
        let mut w = World::new();
        let names: String = (0..users).map(|i| format!("u{i:04} ")).collect();
        w.users(&names);
        w.assign(&names);
        w.source.rows = 500;
        let timer = FakeTimer::default();
        let store = Scripted::always(&w.store, Fault::Busy(Duration::ZERO));
        let mut options = ApplyOptions::default();
        options.failure_percent = 100;
        let host = Host::new().timer(&timer);
        let plan = w.plan();
        let report = block_on(apply(&plan, &store, &options, &host)).unwrap();
        assert_eq!(report.applied(), 0);
        assert_eq!(store.log().len(), users + budget, "{users}");
    }
}

#[test]
fn a_run_in_which_too_much_fails_stops_at_its_budget_and_not_one_before() {
    // threat T27: more than 40 % of at least 50
    for (failing, tried) in [(20, 60), (21, 50)] {
        let mut store = able();
        store.batch = 1;
        let mut w = World::with_store(store);
        let names: String = (0..60).map(|i| format!("u{i:02} ")).collect();
        w.users(&names);
        w.assign(&names);
        let store = Scripted::new(&w.store, (0..failing).map(|at| (at, Fault::Refuse(ErrorKind::Invalid))));
        let report = block_on(apply(&w.plan(), &store, &ApplyOptions::default(), &Host::new())).unwrap();
        assert_eq!((store.log().len(), report.applied()), (tried, tried - failing));
    }
}
