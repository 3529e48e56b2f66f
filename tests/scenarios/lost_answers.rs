//! A write that is tried again: whether what the store holds is our own lost write, or what somebody else did (rules P7, X4).

use std::sync::atomic::{AtomicUsize, Ordering};

use identity_sync::memory::MemoryRecord;
use identity_sync::{
    Adoption, ApplyOptions, Concurrency, Deprovision, ErrorKind, ExternalId, Guards, Host, IdentityStore,
    Kind, Members, Origin, PageEnd, PageToken, RunState, StoreCapabilities, StoreError, StoreSelect,
    StoredGroupPage, StoredUserPage, WriteBatch, apply,
};
use pollster::block_on;
use pretty_assertions::assert_eq;

use crate::apply::outcomes;
use crate::faulty::{FakeTimer, Fault, Scripted};
use crate::timeline::Timeline;
use crate::world::{CORP, NOTHING, World, capabilities, lines, record};

/// A world whose plan is one operation.
struct Case {
    line: &'static str,
    world: fn(Concurrency) -> World,
    /// What somebody else may do to the record meanwhile: each leaves it other than planned.
    others: &'static [fn(&mut MemoryRecord)],
}

fn world(concurrency: Concurrency) -> World {
    let mut store = capabilities();
    store.concurrency = concurrency;
    store.adoption = Adoption::Supported;
    let mut w = World::with_store(store);
    w.options.guards = Guards::off();
    w
}

fn ada(concurrency: Concurrency) -> World {
    let mut w = world(concurrency);
    w.users("ada");
    w.assign("ada");
    w.sync();
    w
}

/// Ada and bob (`user-1`, `user-2`) are in staff, eve and kim (`user-3`, `user-4`) are not.
fn staff(concurrency: Concurrency) -> World {
    let mut w = world(concurrency);
    w.users("ada bob eve kim");
    w.group("staff", "ada bob");
    w.assign("staff ada bob eve kim");
    w.sync();
    w
}

fn set(record: &mut MemoryRecord, name: &str, value: &str) {
    record.attributes.insert(name.to_owned(), vec![value.to_owned()]);
}

fn note(record: &mut MemoryRecord) {
    set(record, "note", "by somebody else");
}

fn matched(concurrency: Concurrency) -> World {
    let mut w = world(concurrency);
    w.options.soft_match.users.insert("userName".into());
    w.put(Kind::User, "L1", record(&[("userName", "ada")]));
    w.users("ada");
    w.assign("ada");
    w
}

const CASES: [Case; 8] = [
    Case {
        line: "update user ada [displayName:  -> Ada, title:  -> chief] (Changed)",
        world: |concurrency| {
            let mut w = ada(concurrency);
            w.edit("ada").set("displayName", "Ada").set("title", "chief");
            w
        },
        others: &[
            note,
            |record| set(record, "title", "chief"),
            |record| set(record, "displayName", "Ada"),
            |record| {
                set(record, "displayName", "Ada");
                set(record, "title", "queen");
            },
        ],
    },
    Case {
        line: "update user ada [origin -> Synced] (Adopted)",
        world: |concurrency| {
            let w = ada(concurrency);
            let id = w.id("ada");
            w.store.state().users.get_mut(&id).unwrap().origin = Some(Origin::Jit);
            w
        },
        others: &[note],
    },
    Case {
        line: "update group staff [displayName: staff -> people] (Changed)",
        world: |concurrency| {
            let mut w = staff(concurrency);
            w.edit_group("staff").set("cn", "people");
            w
        },
        others: &[note],
    },
    Case {
        line: "adopt user ada as L1 (Matched)",
        world: matched,
        // Another issuer's link to the same anchor, and our own to another one.
        others: &[
            |record| record.external_ids.push(ExternalId::new("other", "ada")),
            |record| record.external_ids.push(ExternalId::new(CORP, "eve")),
        ],
    },
    Case {
        line: "deactivate ada (DisabledInSource)",
        world: |concurrency| {
            let mut w = ada(concurrency);
            w.edit("ada").disabled();
            w
        },
        others: &[note],
    },
    Case {
        line: "reactivate ada (Enabled)",
        world: |concurrency| {
            let w = ada(concurrency);
            let id = w.id("ada");
            w.store.state().users.get_mut(&id).unwrap().active = false;
            w
        },
        others: &[note],
    },
    Case {
        line: "add staff: eve kim (Entitled)",
        world: |concurrency| {
            let mut w = staff(concurrency);
            w.edit_group("staff").members("ada bob eve kim");
            w
        },
        others: &[
            note,
            // One of both.
            |record| {
                record.members.insert("user-3".to_owned());
            },
            |record| {
                record.members.insert("user-4".to_owned());
            },
        ],
    },
    Case {
        line: "remove staff: ada bob (NoPath)",
        world: |concurrency| {
            let mut w = staff(concurrency);
            w.edit_group("staff").members("");
            w
        },
        others: &[
            note,
            |record| {
                record.members.remove("user-1");
            },
            |record| {
                record.members.remove("user-2");
            },
        ],
    },
];

const BOTH: [Concurrency; 2] = [Concurrency::Conditional, Concurrency::ReadAgain];

/// Does something before each call that the engine makes while it applies.
struct Before<'s, F> {
    store: &'s Scripted<'s>,
    act: F,
    calls: AtomicUsize,
}

impl<'s, F: Fn(usize) + Send + Sync> Before<'s, F> {
    fn new(store: &'s Scripted<'s>, act: F) -> Self {
        Self { store, act, calls: AtomicUsize::new(0) }
    }

    fn call(&self) {
        (self.act)(self.calls.fetch_add(1, Ordering::SeqCst));
    }
}

#[async_trait::async_trait]
impl<F: Fn(usize) + Send + Sync> IdentityStore for Before<'_, F> {
    fn capabilities(&self) -> StoreCapabilities {
        self.store.capabilities()
    }

    async fn read_users(
        &self,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
        page: &mut StoredUserPage,
    ) -> Result<PageEnd, StoreError> {
        self.call();
        self.store.read_users(select, at, page).await
    }

    async fn read_groups(
        &self,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
        page: &mut StoredGroupPage,
    ) -> Result<PageEnd, StoreError> {
        self.call();
        self.store.read_groups(select, at, page).await
    }

    async fn write(&self, batch: &mut WriteBatch<'_>) -> Result<(), StoreError> {
        self.call();
        self.store.write(batch).await
    }
}

/// The outcome of the one operation; `act` gets the number of each call.
fn outcome(w: &World, fault: Fault, act: impl Fn(usize) + Send + Sync) -> (String, Vec<String>) {
    let plan = w.plan();
    let (scripted, timer) = (Scripted::new(&w.store, [(0, fault)]), FakeTimer::default());
    let store = Before::new(&scripted, act);
    let host = Host::default().timer(&timer);
    let report = block_on(apply(&plan, &store, &ApplyOptions::default(), &host)).unwrap();
    (outcomes(&report).concat(), scripted.log())
}

/// Changes the record of the plan's one operation, and its version with it.
fn change(w: &World, other: fn(&mut MemoryRecord)) {
    let mut state = w.store.state();
    let id = if state.groups.is_empty() { state.users.keys().next() } else { state.groups.keys().next() };
    let id = id.unwrap().clone();
    let state = &mut *state;
    let record = state.groups.get_mut(&id).or(state.users.get_mut(&id)).unwrap();
    other(record);
    record.version += 1;
}

#[test]
fn whatever_our_own_lost_write_did_counts_as_done() {
    // rules P7, X4
    for (case, concurrency) in CASES.iter().flat_map(|case| BOTH.map(|concurrency| (case, concurrency))) {
        let w = (case.world)(concurrency);
        assert_eq!(w.lines(), [case.line]);
        let (outcome, _) = outcome(&w, Fault::LoseAnswer(ErrorKind::Transient), |_| ());
        assert_eq!(outcome, "applied", "{} {concurrency:?}", case.line);
        assert_eq!(w.lines(), NOTHING);
    }
}

#[test]
fn what_somebody_else_did_meanwhile_is_no_lost_write_of_ours() {
    // rule P7: he may have done a part of it; nothing of his is lost
    for (case, concurrency) in CASES.iter().flat_map(|case| BOTH.map(|concurrency| (case, concurrency))) {
        // Without conditional writes the record is read before each try: the first call is a read.
        let (second, failed) = match concurrency {
            Concurrency::Conditional => (1, "the record has another version"),
            Concurrency::ReadAgain => (2, "the record has changed since the plan was made"),
        };
        for (number, &other) in case.others.iter().enumerate() {
            let w = (case.world)(concurrency);
            let acts = |call| {
                if call == second {
                    change(&w, other);
                }
            };
            let (outcome, _) = outcome(&w, Fault::Refuse(ErrorKind::Transient), acts);
            // A hash does not cover members: who was added or removed by somebody else may be so once more.
            let members_only = number > 0 && case.line.contains("staff:");
            let expected = match (concurrency, members_only) {
                (Concurrency::ReadAgain, true) => "applied".to_owned(),
                _ => format!("failed: {failed}"),
            };
            assert_eq!(outcome, expected, "{} {number} {concurrency:?}", case.line);
        }
    }
}

#[test]
fn a_change_before_the_first_try_is_never_taken_for_our_own() {
    // rule P7: even where it is all that we wanted; the next run sees that nothing is left to do
    let w = (CASES[0].world)(Concurrency::ReadAgain);
    let plan = w.plan();
    change(&w, |record| {
        set(record, "displayName", "Ada");
        set(record, "title", "chief");
    });
    let scripted = Scripted::new(&w.store, []);
    let report = block_on(apply(&plan, &scripted, &ApplyOptions::default(), &Host::default())).unwrap();
    assert_eq!(outcomes(&report), ["failed: the record has changed since the plan was made"]);
    assert_eq!((scripted.log().len(), w.lines()), (0, Vec::new()));
}

#[test]
fn the_values_of_a_lost_write_are_recognised_in_any_order() {
    // rules A4, X4
    for concurrency in BOTH {
        let mut w = ada(concurrency);
        w.edit("ada").add("mail", "b@x").add("mail", "a@x");
        assert_eq!(w.lines(), ["update user ada [emails:  -> a@x|b@x] (Changed)"]);
        let again = if concurrency == Concurrency::Conditional { 1 } else { 2 };
        let acts = |call| {
            if call == again {
                // The store keeps values in an order of its own.
                change(&w, |record| {
                    record.attributes.get_mut("emails").unwrap().reverse();
                });
            }
        };
        let (outcome, _) = outcome(&w, Fault::LoseAnswer(ErrorKind::Transient), acts);
        assert_eq!(outcome, "applied");
    }
}

#[test]
fn an_update_of_values_alone_asks_nothing_of_the_origin_and_one_of_the_origin_asks_for_it() {
    // rules J2, X4
    let mut w = ada(Concurrency::Conditional);
    let id = w.id("ada");
    w.store.state().users.get_mut(&id).unwrap().origin = Some(Origin::Jit);
    w.edit("ada").set("title", "chief");
    assert_eq!(w.lines(), ["update user ada [title:  -> chief, origin -> Synced] (Adopted)"]);
    // Somebody else gave her the title; that she is ours for good has not been written.
    let acts = |call| {
        if call == 1 {
            change(&w, |record| set(record, "title", "chief"));
        }
    };
    let (failed, _) = outcome(&w, Fault::Refuse(ErrorKind::Transient), acts);
    assert_eq!(failed, "failed: the record has another version");
    assert_eq!(w.lines(), ["update user ada [origin -> Synced] (Adopted)"]);
}

#[test]
fn an_adoption_is_recognised_beside_another_issuer_s_link() {
    // rules M3, M7, X4
    for first in [true, false] {
        let w = matched(Concurrency::Conditional);
        let acts = |call| {
            if call == 1 {
                let mut state = w.store.state();
                let links = &mut state.users.get_mut("L1").unwrap().external_ids;
                links.insert(if first { 0 } else { 1 }, ExternalId::new("other", "x"));
            }
        };
        let (outcome, _) = outcome(&w, Fault::LoseAnswer(ErrorKind::Transient), acts);
        assert_eq!(outcome, "applied");
    }
}

#[test]
fn where_records_do_not_tell_their_members_a_lost_list_is_not_taken_for_done() {
    // rules C5, P7, X4
    for (members, line) in [("ada bob eve kim", "add staff: eve kim"), ("", "remove staff: ada bob")] {
        let mut store = capabilities();
        store.members = Members::PerGroup;
        let mut w = World::with_store(store);
        w.options.guards = Guards::off();
        w.users("ada bob eve kim");
        w.group("staff", "ada bob");
        w.assign("staff ada bob eve kim");
        w.sync();
        w.edit_group("staff").members(members);
        assert!(w.lines()[0].starts_with(line));
        let (outcome, _) = outcome(&w, Fault::LoseAnswer(ErrorKind::Transient), |_| ());
        assert_eq!(outcome, "failed: the record has another version");
        // The next run finds out.
        assert_eq!(w.lines(), NOTHING);
    }
}

#[test]
fn a_delete_that_was_refused_does_not_take_a_changed_record_for_gone() {
    // rules P7, X2
    for concurrency in BOTH {
        let mut w = ada(concurrency);
        w.options.users.deleted_in_source = Deprovision::Delete;
        w.options.allow_empty.users = true;
        w.options.allow_empty.assignments = true;
        w.delete("ada");
        assert_eq!(w.lines()[0], "delete user ada (DeletedInSource)");
        let second = if concurrency == Concurrency::Conditional { 1 } else { 2 };
        let acts = |call| {
            if call == second {
                change(&w, note);
            }
        };
        let (failed, _) = outcome(&w, Fault::Refuse(ErrorKind::Transient), acts);
        assert!(failed.starts_with("failed"), "{failed}");
        assert_eq!(w.dump(), ["user ada [note=by somebody else userName=ada]"]);
        // Lost, it is gone: nothing is left to delete.
        let (done, _) = outcome(&w, Fault::LoseAnswer(ErrorKind::Transient), |_| ());
        assert_eq!((done.as_str(), w.dump().len()), ("applied", 0));
    }
}

#[test]
fn a_record_that_is_not_there_any_more_fails_all_but_what_takes_away() {
    // rule X2
    for (case, concurrency) in CASES.iter().flat_map(|case| BOTH.map(|concurrency| (case, concurrency))) {
        let w = (case.world)(concurrency);
        let plan = w.plan();
        {
            let mut state = w.store.state();
            state.groups.clear();
            if !case.line.contains("staff") {
                state.users.clear();
            }
        }
        let scripted = Scripted::new(&w.store, []);
        let report = block_on(apply(&plan, &scripted, &ApplyOptions::default(), &Host::default())).unwrap();
        let expected = match (case.line.starts_with("remove"), concurrency) {
            (true, _) => "applied",
            (false, Concurrency::Conditional) => "failed: no such record",
            (false, Concurrency::ReadAgain) => "failed: the record is not there any more",
        };
        assert_eq!(outcomes(&report), [expected], "{}", case.line);
    }
}

#[test]
fn a_create_is_found_again_by_our_own_link_alone() {
    // rules X2, X4, M7: the look-up may answer more records than it was asked for
    /// Answers a look-up by link with all records.
    struct Generous<'s>(&'s Scripted<'s>);

    #[async_trait::async_trait]
    impl IdentityStore for Generous<'_> {
        fn capabilities(&self) -> StoreCapabilities {
            self.0.capabilities()
        }

        async fn read_users(
            &self,
            _: StoreSelect<'_>,
            at: Option<&PageToken>,
            page: &mut StoredUserPage,
        ) -> Result<PageEnd, StoreError> {
            self.0.read_users(StoreSelect::All, at, page).await
        }

        async fn read_groups(
            &self,
            _: StoreSelect<'_>,
            at: Option<&PageToken>,
            page: &mut StoredGroupPage,
        ) -> Result<PageEnd, StoreError> {
            self.0.read_groups(StoreSelect::All, at, page).await
        }

        async fn write(&self, batch: &mut WriteBatch<'_>) -> Result<(), StoreError> {
            self.0.write(batch).await
        }
    }

    let mut w = world(Concurrency::Conditional);
    w.users("bob ada");
    w.assign("ada bob");
    // Others' records stand around ours: with another issuer's link to the same anchor, and with ours to another anchor.
    for (id, links) in [("a", ["other/ada", "corp/eve"]), ("z", ["third/ada", "corp/kim"])] {
        let links = links.map(|link| link.split_once('/').unwrap());
        let links = links.map(|(issuer, anchor)| ExternalId::new(issuer, anchor)).to_vec();
        w.put(Kind::User, id, MemoryRecord { external_ids: links, ..record(&[("userName", id)]) });
    }
    w.group("staff", "ada");
    w.assign("staff");
    let (scripted, timer) =
        (Scripted::new(&w.store, [(0, Fault::LoseAnswer(ErrorKind::Transient))]), FakeTimer::default());
    let host = Host::default().timer(&timer);
    let report = block_on(apply(&w.plan(), &Generous(&scripted), &ApplyOptions::default(), &host)).unwrap();
    assert!(report.is_success(), "{report}");
    // The membership went to the new record.
    let members = w.store.state().groups.values().next().unwrap().members.clone();
    assert_eq!(members.into_iter().collect::<Vec<_>>(), [w.id("ada")]);
}

#[test]
fn whatever_is_reported_as_done_twice_and_is_not_is_told_and_done_again() {
    // rules P4, X1; of a value rule A4 says what follows
    for case in CASES.iter().filter(|case| !case.line.ends_with("(Changed)")) {
        let world = (case.world)(Concurrency::Conditional);
        let mut t = Timeline { world, state: RunState::default(), now: 0, approvals: Vec::new() };
        for run in 0..4 {
            let plan = t.plan();
            assert_eq!(lines(&plan)[0], case.line);
            let told: Vec<String> = plan.diagnostics().iter().map(ToString::to_string).collect();
            let told = told.iter().find(|finding| finding.contains("reported as done twice"));
            assert_eq!(told.is_some(), run >= 2, "{} in run {run}: {told:?}", case.line);
            let members = if case.line.contains("staff:") { " for 2 of them" } else { "planned again" };
            assert!(told.is_none_or(|told| told.ends_with(members)), "{told:?}");
            let store = Scripted::always(&t.store, Fault::Pretend);
            let report = block_on(apply(&plan, &store, &ApplyOptions::default(), &Host::default())).unwrap();
            assert!(report.is_success());
            t.state = report.run;
        }
        // Once it is done there is nothing to tell.
        t.run();
        assert!(t.plan().is_empty());
    }
}
