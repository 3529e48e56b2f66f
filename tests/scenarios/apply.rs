//! Writing a plan: outcomes, retries, batches (rules X1–X3, X5).

use std::time::Duration;

use identity_sync::{
    Activation, Adoption, ApplyOptions, ApplyReport, AttributeSchema, Deprovision, ErrorKind, Guards, Host,
    Kind, PlanError, Run, apply, sign_in,
};
use pollster::block_on;
use pretty_assertions::assert_eq;

use crate::faulty::{FakeTimer, Fault, Scripted};
use crate::world::{NOTHING, World, anchor, capabilities, record};

pub(crate) fn outcomes(report: &ApplyReport) -> Vec<String> {
    report.outcomes.iter().map(ToString::to_string).collect()
}

/// ada, bob and kim are new; staff holds ada and bob.
fn newcomers() -> World {
    let mut store = capabilities();
    store.batch = 1;
    let mut w = World::with_store(store);
    w.users("ada bob kim");
    w.group("staff", "ada bob");
    w.assign("staff kim");
    w
}

fn applied(w: &World, store: &Scripted<'_>, timer: Option<&FakeTimer>) -> ApplyReport {
    let host = Host::default();
    let host = match timer {
        Some(timer) => host.timer(timer),
        None => host,
    };
    block_on(apply(&w.plan(), store, &ApplyOptions::default(), &host)).unwrap()
}

#[test]
fn a_plan_without_operations_writes_nothing() {
    // rule X1
    let w = World::new();
    let store = Scripted::new(&w.store, []);
    let report = applied(&w, &store, None);
    assert!(report.is_success() && report.stopped.is_none());
    assert_eq!(store.log(), NOTHING);
}

#[test]
fn a_failed_operation_blocks_only_what_depends_on_it() {
    // rule X1
    let w = newcomers();
    let store = Scripted::new(&w.store, [(0, Fault::Refuse(ErrorKind::Invalid))]);
    let report = applied(&w, &store, None);
    assert_eq!(
        outcomes(&report),
        [
            "failed: as scripted",
            "applied",
            "applied",
            "applied",
            // Bob was added, ada was not.
            "skipped because of operation 0",
        ]
    );
    assert_eq!(report.to_string(), "3 applied, 1 failed, 1 skipped\noperation 0 failed: as scripted");
    assert_eq!(
        w.dump(),
        ["group staff [displayName=staff]: bob", "user bob [userName=bob]", "user kim [userName=kim]"]
    );
    w.sync();
    assert_eq!(w.dump()[0], "group staff [displayName=staff]: ada bob");
}

#[test]
fn members_of_a_group_that_was_not_created_are_skipped() {
    // rule X1
    let w = newcomers();
    let store = Scripted::new(&w.store, [(3, Fault::Refuse(ErrorKind::Invalid))]);
    let report = applied(&w, &store, None);
    assert_eq!(outcomes(&report)[3..], ["failed: as scripted", "skipped because of operation 3"]);
    assert_eq!(store.log().len(), 4);
}

#[test]
fn transient_errors_are_tried_again_with_growing_waits() {
    // rule X3
    let w = newcomers();
    let timer = FakeTimer::default();
    let busy = Fault::Refuse(ErrorKind::Transient);
    let store = Scripted::new(&w.store, [(0, busy), (1, busy)]);
    let report = applied(&w, &store, Some(&timer));
    assert!(report.is_success(), "{report}");
    assert_eq!(timer.millis(), [200, 400]);
    assert_eq!(
        store.log()[..4],
        ["create user ada", "create user ada", "create user ada", "create user bob"]
    );
}

#[test]
fn after_three_tries_a_transient_error_is_a_failure() {
    // rules X3, X1
    let w = newcomers();
    let timer = FakeTimer::default();
    let busy = Fault::Refuse(ErrorKind::Transient);
    let store = Scripted::new(&w.store, [(0, busy), (1, busy), (2, busy)]);
    let report = applied(&w, &store, Some(&timer));
    assert_eq!(outcomes(&report)[..2], ["failed: as scripted", "applied"]);
    assert_eq!(timer.millis(), [200, 400]);
}

#[test]
fn without_a_timer_nothing_is_tried_again() {
    // rule X3
    let w = newcomers();
    let store = Scripted::new(&w.store, [(0, Fault::Refuse(ErrorKind::Transient))]);
    assert_eq!(outcomes(&applied(&w, &store, None))[..2], ["failed: as scripted", "applied"]);
}

#[test]
fn other_errors_are_never_tried_again() {
    // rule X3
    for kind in [ErrorKind::Invalid, ErrorKind::Permanent, ErrorKind::Unsupported, ErrorKind::Conflict] {
        let w = newcomers();
        let timer = FakeTimer::default();
        let store = Scripted::new(&w.store, [(0, Fault::Refuse(kind))]);
        applied(&w, &store, Some(&timer));
        assert_eq!((timer.millis().len(), store.log()[1].as_str()), (0, "create user bob"), "{kind:?}");
    }
}

#[test]
fn the_other_side_s_wait_is_kept_and_capped() {
    // rule X3
    for (asked, waited) in [(7, 7_000), (3_600, 300_000), (0, 200)] {
        let w = newcomers();
        let timer = FakeTimer::default();
        let store = Scripted::new(&w.store, [(0, Fault::Busy(Duration::from_secs(asked)))]);
        assert!(applied(&w, &store, Some(&timer)).is_success());
        assert_eq!(timer.millis(), [waited]);
    }
}

#[test]
fn a_store_that_is_always_busy_is_not_hammered() {
    // rule X3
    let mut w = World::new();
    let names: String = (0..40).map(|i| format!("u{i} ")).collect();
    w.users(&names);
    w.assign(&names);
    let timer = FakeTimer::default();
    let store = Scripted::always(&w.store, Fault::Refuse(ErrorKind::Transient));
    let report = applied(&w, &store, Some(&timer));
    assert_eq!(report.applied(), 0);
    // Forty operations, and ten retries in all.
    assert_eq!(store.log().len(), 50);
}

#[test]
fn an_answer_lost_on_create_is_found_by_its_external_id() {
    // rules X2, X4
    let w = newcomers();
    let timer = FakeTimer::default();
    let lost = Fault::LoseAnswer(ErrorKind::Transient);
    let store = Scripted::new(&w.store, [(0, lost), (3, lost)]);
    let report = applied(&w, &store, Some(&timer));
    assert!(report.is_success(), "{report}");
    assert_eq!(w.lines(), NOTHING);
    assert_eq!(w.dump().len(), 4);
}

#[test]
fn answers_lost_on_updates_switches_and_members_converge() {
    // rules X2, X4
    let mut w = newcomers();
    w.options.guards = Guards::off();
    w.sync();
    w.edit("ada").set("title", "countess");
    w.edit("kim").disabled();
    w.delete("bob");
    w.users("new");
    w.edit_group("staff").members("new");
    w.assign("ada");
    let count = w.plan().len();
    assert_eq!(count, 6, "{:#?}", w.lines());
    for with_timer in [true, false] {
        let timer = FakeTimer::default();
        let before = w.store.state().clone();
        let store = Scripted::always(&w.store, Fault::LoseAnswer(ErrorKind::Transient));
        let report = applied(&w, &store, with_timer.then_some(&timer));
        let shown = outcomes(&report).join("; ");
        assert!(!report.is_success() || with_timer, "{shown}");
        w.sync();
        assert_eq!(
            w.dump(),
            [
                "group staff [displayName=staff]: new",
                "user ada [title=countess userName=ada]",
                "user kim inactive [userName=kim]",
                "user new [userName=new]",
            ],
            "{shown}"
        );
        *w.store.state() = before;
    }
}

#[test]
fn an_item_without_an_answer_is_unknown_and_a_create_is_looked_up() {
    // rules X1, X2
    let mut w = newcomers();
    let store = Scripted::new(&w.store, [(0, Fault::KeepSilent), (1, Fault::Forget)]);
    let report = applied(&w, &store, None);
    assert_eq!(outcomes(&report)[..3], ["applied", "unknown", "applied"]);
    assert!(!report.is_success());
    w.sync();
    w.edit("ada").set("title", "countess");
    let store = Scripted::new(&w.store, [(0, Fault::KeepSilent)]);
    assert_eq!(outcomes(&applied(&w, &store, None)), ["unknown"]);
    assert_eq!(w.lines(), NOTHING);
}

#[test]
fn an_error_of_the_whole_call_stands_for_every_item_without_an_answer() {
    // rule X1
    let mut w = newcomers();
    let mut store = capabilities();
    store.batch = 10;
    w.store = identity_sync::memory::MemoryStore::with_capabilities(store);
    let store = Scripted::new(&w.store, [(1, Fault::Break(ErrorKind::Permanent))]);
    let report = applied(&w, &store, None);
    assert_eq!(
        outcomes(&report),
        [
            "applied",
            "failed: as scripted",
            "failed: as scripted",
            "failed: as scripted",
            "skipped because of operation 3",
        ]
    );
    w.sync();
}

#[test]
fn what_exists_with_our_link_and_what_is_gone_already_count_as_done() {
    // rule X2
    let mut w = newcomers();
    w.sync();
    w.delete("kim");
    w.delete("bob");
    w.users("new");
    w.assign("new");
    let plan = w.plan();
    for anchor in ["kim", "bob"] {
        let id = w.id(anchor);
        w.store.state().users.remove(&id);
    }
    w.record(Kind::User, "by-another-run", "new", &[("userName", "new")]);
    let report = block_on(apply(&plan, &w.store, &ApplyOptions::default(), &Host::default())).unwrap();
    assert_eq!(outcomes(&report), ["applied", "applied", "applied"]);
    assert_eq!(w.id("new"), "by-another-run");
}

#[test]
fn a_name_taken_meanwhile_by_somebody_else_is_a_failure_never_a_link() {
    // rules X2, M3, M7
    let w = newcomers();
    let plan = w.plan();
    let mut w = w;
    w.put(Kind::User, "local", record(&[("userName", "ADA")]));
    let report = block_on(apply(&plan, &w.store, &ApplyOptions::default(), &Host::default())).unwrap();
    assert_eq!(outcomes(&report)[0], "failed: a unique value is taken");
    assert_eq!(w.store.state().users["local"].external_ids, []);
    assert_eq!(w.dump()[0], "group staff [displayName=staff]: bob");
}

#[test]
fn a_member_removal_from_a_group_that_is_gone_counts_as_done() {
    // rule X2
    let mut w = newcomers();
    w.sync();
    w.edit_group("staff").members("ada");
    let plan = w.plan();
    let id = w.id("staff");
    w.store.state().groups.remove(&id);
    let report = block_on(apply(&plan, &w.store, &ApplyOptions::default(), &Host::default())).unwrap();
    assert_eq!(outcomes(&report), ["applied"]);
}

#[test]
fn batches_and_member_lists_respect_what_the_store_declares() {
    // rule X5
    let mut store = capabilities();
    (store.batch, store.members_per_write) = (2, 2);
    let mut w = World::with_store(store);
    w.users("a b c d e");
    w.group("staff", "a b c d e");
    w.assign("staff");
    let store = Scripted::new(&w.store, []);
    assert!(applied(&w, &store, None).is_success());
    let calls = store.calls.lock().unwrap().clone();
    assert!(calls.iter().all(|&items| (1..=2).contains(&items)), "{calls:?}");
    let id = w.id("staff");
    let members: Vec<String> = store.log().into_iter().filter(|line| line.ends_with(&id)).collect();
    assert_eq!(members, [format!("add 2 to {id}"), format!("add 2 to {id}"), format!("add 1 to {id}")]);
}

#[test]
fn options_that_need_what_the_store_lacks_are_refused_up_front() {
    // rule X5
    let mut store = capabilities();
    store.activation = Activation::AlwaysActive;
    let mut w = World::with_store(store);
    let refused = |policy| PlanError::CannotDeactivate { policy };
    assert_eq!(w.refused(), refused("users.disabled_in_source"));
    w.options.users.disabled_in_source = Deprovision::Delete;
    assert_eq!(w.lines(), NOTHING);
    w.options.users.left_scope = Deprovision::Deactivate;
    assert_eq!(w.refused(), refused("users.left_scope"));
    w.options.users.left_scope = Deprovision::Keep;
    w.options.users.deleted_in_source = Deprovision::Deactivate;
    assert_eq!(w.refused(), refused("users.deleted_in_source"));
}

#[test]
fn what_the_store_has_no_place_for_is_left_out_and_the_plan_says_so() {
    // rule X5
    let mut store = capabilities();
    store.adoption = Adoption::Supported;
    store.groups.insert("description".into(), AttributeSchema::absent());
    let mut w = World::with_store(store);
    w.users("ada");
    w.group("staff", "ada");
    w.assign("staff");
    w.sync();
    // Nobody has one: there is nothing to tell.
    assert_eq!(w.lines(), NOTHING);
    w.edit_group("staff").set("description", "all of them").set("cn", "people");
    let note = "note: the store has no place for description of groups: it is left out";
    let lines = w.lines();
    assert!(lines.contains(&note.to_owned()), "{lines:?}");
    w.sync();
    assert!(w.store.state().groups.values().all(|group| !group.attributes.contains_key("description")));
    // Whatever comes of it, there is nothing to do.
    w.edit_group("staff").set("description", "none of them");
    assert_eq!(w.lines(), [note]);
    // Nor can a record be known by it.
    w.options.soft_match.groups = ["description".to_owned()].into();
    assert_eq!(w.refused(), PlanError::Unmapped { kind: Kind::Group, attribute: "description".into() });
}

#[test]
fn an_attribute_that_everybody_must_have_needs_a_place() {
    // rules A3, X5
    let mut store = capabilities();
    store.users.insert("title".into(), AttributeSchema::absent());
    let mut w = World::with_store(store);
    w.users("ada");
    w.assign("ada");
    assert_eq!(w.lines().len(), 1);
    w.options.user_map.set("title", "${title}").unwrap().required = true;
    let refused = PlanError::NoPlace { kind: Kind::User, attribute: "title".into() };
    assert_eq!(w.refused(), refused);
    let told = "the attribute map of users requires title, for which the store has no place";
    assert_eq!(refused.to_string(), told);
    // Nor is anybody made without it who signs in.
    let (run, host) = (Run::default(), Host::default());
    let signed_in = block_on(sign_in(&w.source, &w.store, &anchor("ada"), &w.options, &run, &host));
    assert_eq!(signed_in.unwrap_err().to_string(), told);
    assert!(w.store.state().users.is_empty());
}
