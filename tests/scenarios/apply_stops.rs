//! When apply stops, and what it tells meanwhile (rules X1, X4, X6).

use identity_sync::{
    ApplyOptions, ApplyReport, Cancellation, ErrorKind, Event, Guards, Host, Run, Stop, apply, reconcile,
};
use pollster::block_on;
use pretty_assertions::assert_eq;

use crate::apply::outcomes;
use crate::faulty::{Fault, Listener, Scripted};
use crate::world::{NOTHING, World, capabilities};

fn many(count: usize) -> String {
    (0..count).map(|i| format!("u{i:03} ")).collect()
}

fn one_by_one() -> World {
    let mut store = capabilities();
    store.batch = 1;
    World::with_store(store)
}

fn applied(w: &World, store: &Scripted<'_>, host: &Host<'_>) -> ApplyReport {
    block_on(apply(&w.plan(), store, &ApplyOptions::default(), host)).unwrap()
}

#[test]
fn lost_authorisation_stops_everything() {
    // rule X1
    let mut w = one_by_one();
    w.users("a b c");
    w.assign("a b c");
    let store = Scripted::new(&w.store, [(1, Fault::Refuse(ErrorKind::Unauthorized))]);
    let report = applied(&w, &store, &Host::default());
    assert_eq!(outcomes(&report), ["applied", "failed: as scripted", "not tried"]);
    assert_eq!(report.stopped, Some(Stop::Unauthorized));
    assert_eq!(store.log().len(), 2);
    let shown = "1 applied, 1 failed, 1 not tried\noperation 1 failed: as scripted\n\
                 stopped: the store does not accept the credentials";
    assert_eq!(report.to_string(), shown);
}

#[test]
fn a_run_that_may_not_write_any_more_says_so_also_where_too_much_failed() {
    // rule X1
    let mut w = one_by_one();
    w.users("a b");
    w.assign("a b");
    let store = Scripted::new(&w.store, [(0, Fault::Refuse(ErrorKind::Unauthorized))]);
    let mut options = ApplyOptions::default();
    (options.failure_floor, options.failure_percent) = (1, 0);
    let report = block_on(apply(&w.plan(), &store, &options, &Host::default())).unwrap();
    assert_eq!(report.stopped, Some(Stop::Unauthorized));
    // The first failure alone is too many where none is allowed.
    let store = Scripted::new(&w.store, [(0, Fault::Refuse(ErrorKind::Invalid))]);
    let report = block_on(apply(&w.plan(), &store, &options, &Host::default())).unwrap();
    assert_eq!((report.stopped, outcomes(&report)[1].as_str()), (Some(Stop::FailureBudget), "not tried"));
    // So is what nobody knows of.
    let store = Scripted::new(&w.store, [(0, Fault::Forget)]);
    let report = block_on(apply(&w.plan(), &store, &options, &Host::default())).unwrap();
    assert_eq!(
        (report.stopped, outcomes(&report)),
        (Some(Stop::FailureBudget), vec!["unknown".to_owned(), "not tried".to_owned()])
    );
}

#[test]
fn a_report_counts_every_outcome_and_names_every_failure() {
    // rules X1, P8
    let mut w = one_by_one();
    w.users("a b c d");
    w.group("e", "b");
    w.assign("a b c d e");
    let faults = [
        (0, Fault::Refuse(ErrorKind::Invalid)),
        (1, Fault::Forget),
        (3, Fault::LoseAnswer(ErrorKind::Conflict)),
    ];
    let report = applied(&w, &Scripted::new(&w.store, faults), &Host::default());
    assert_eq!(
        report.to_string(),
        "2 applied, 2 failed, 1 skipped, 1 unknown\noperation 0 failed: as scripted\n\
         operation 3 failed: as scripted"
    );
    let mut w = one_by_one();
    w.users("a");
    w.assign("a");
    let report =
        applied(&w, &Scripted::new(&w.store, [(0, Fault::Refuse(ErrorKind::Invalid))]), &Host::default());
    assert_eq!(report.to_string(), "0 applied, 1 failed\noperation 0 failed: as scripted");
}

#[test]
fn a_full_store_gets_no_more_creates_and_all_else_goes_on() {
    // rule X1
    let mut w = one_by_one();
    w.users("old back");
    w.group("staff", "old");
    w.assign("staff back");
    w.edit("back").disabled();
    w.sync();
    w.edit("back").state(identity_sync::AccountState::Enabled);
    w.users("new1 new2");
    w.group("fresh", "new1");
    w.edit_group("staff").members("old back new2");
    w.assign("fresh");
    assert_eq!(
        w.lines(),
        [
            "create user new1 [userName=new1] (Entitled)",
            "create user new2 [userName=new2] (Entitled)",
            "create group fresh [displayName=fresh] (Entitled)",
            "add fresh: new1 (Entitled)",
            "add staff: back new2 (Entitled)",
            "reactivate back (Enabled)",
        ]
    );
    let store = Scripted::new(&w.store, [(0, Fault::Refuse(ErrorKind::QuotaExceeded))]);
    let report = applied(&w, &store, &Host::default());
    assert_eq!(
        outcomes(&report),
        [
            "failed: as scripted",
            "not tried",
            "not tried",
            "skipped because of operation 2",
            "skipped because of operation 1",
            "applied",
        ]
    );
    assert_eq!(report.stopped, None);
    assert_eq!(w.dump()[0], "group staff [displayName=staff]: back old");
}

#[test]
fn a_batch_of_creates_in_a_full_store_does_not_keep_all_else_from_being_written() {
    // rule X1
    let mut store = capabilities();
    store.batch = 100;
    let mut w = World::with_store(store);
    w.users("old back lee");
    w.group("staff", "old");
    w.assign("staff back lee");
    w.edit("back").disabled();
    w.sync();
    let names = many(120);
    w.users(&names);
    w.assign(&names);
    w.edit("back").state(identity_sync::AccountState::Enabled);
    w.edit_group("staff").members("lee");
    let lines = w.lines();
    let is_other = |line: &&str| !line.starts_with("create") && !line.starts_with("kept");
    let others: Vec<&str> = lines.iter().map(String::as_str).filter(is_other).collect();
    assert_eq!(
        others,
        ["remove staff: old (NoPath)", "add staff: lee (Entitled)", "reactivate back (Enabled)"]
    );
    // The removal and these are the first call; the creates behind them are not sent at all.
    let creates = (0..lines.len()).filter(|&at| lines[at].starts_with("create")).take(99);
    let full = creates.map(|at| (at, Fault::Refuse(ErrorKind::QuotaExceeded)));
    let report = applied(&w, &Scripted::new(&w.store, full), &Host::default());
    assert_eq!((report.stopped, report.applied()), (None, others.len()), "{report}");
    let untried = outcomes(&report).iter().filter(|outcome| *outcome == "not tried").count();
    assert_eq!((report.outcomes.len(), untried), (120 + others.len(), 21));
}

#[test]
fn a_conflict_fails_that_operation_alone() {
    // rules X1, P7
    let mut w = one_by_one();
    w.users("a b");
    w.assign("a b");
    w.sync();
    w.edit("a").set("title", "x");
    w.edit("b").set("title", "y");
    let store = Scripted::new(&w.store, [(0, Fault::Refuse(ErrorKind::Conflict))]);
    let report = applied(&w, &store, &Host::default());
    assert_eq!(outcomes(&report), ["failed: as scripted", "applied"]);
    assert_eq!(w.lines(), ["update user a [title:  -> x] (Changed)"]);
}

#[test]
fn too_many_failures_stop_the_rest() {
    // rule X1
    let mut w = one_by_one();
    let names = many(120);
    w.users(&names);
    w.assign(&names);
    // 20 of 50 failed is 40 %: not more. The 21st of 51 is.
    let refused = |n: usize| (0..n).map(|i| (i, Fault::Refuse(ErrorKind::Invalid)));
    let store = Scripted::new(&w.store, refused(20));
    let report = applied(&w, &store, &Host::default());
    assert_eq!((report.stopped, report.applied()), (None, 100));
    let mut w = one_by_one();
    w.users(&names);
    w.assign(&names);
    let store = Scripted::new(&w.store, refused(21));
    let report = applied(&w, &store, &Host::default());
    assert_eq!((report.stopped, report.applied(), store.log().len()), (Some(Stop::FailureBudget), 29, 50));
    assert!(!report.is_success());
}

#[test]
fn a_run_can_be_cancelled_between_two_writes() {
    // rule X6
    let mut w = one_by_one();
    w.users("a b c");
    w.assign("a b c");
    let cancellation = Cancellation::default();
    let listener = Listener::new(|event: &Event<'_>| {
        if matches!(event, Event::Outcome { operation: 1, .. }) {
            cancellation.cancel();
        }
    });
    let store = Scripted::new(&w.store, []);
    let host = Host::default().progress(&listener).cancellation(&cancellation);
    let report = applied(&w, &store, &host);
    assert_eq!(outcomes(&report), ["applied", "applied", "not tried"]);
    assert_eq!(report.stopped, Some(Stop::Cancelled));
    assert_eq!(store.log().len(), 2);
    w.sync();
}

#[test]
fn a_run_cancelled_before_it_starts_writes_nothing_and_a_read_ends_too() {
    // rule X6
    let mut w = one_by_one();
    w.users("a b c d e");
    w.assign("a");
    let cancellation = Cancellation::default();
    cancellation.cancel();
    let host = Host::default().cancellation(&cancellation);
    let store = Scripted::new(&w.store, []);
    let report = applied(&w, &store, &host);
    assert_eq!((outcomes(&report), store.log().len()), (vec!["not tried".to_owned()], 0));
    let run = Run::default();
    let error = block_on(reconcile(&w.source, &w.store, &w.assigned, &w.options, &run, &host)).unwrap_err();
    assert_eq!(error.to_string(), "cancelled while reading");
}

#[test]
fn progress_is_told_as_it_happens() {
    // rule X6
    let mut w = one_by_one();
    w.users("a b c d");
    w.group("staff", "a b");
    w.assign("staff");
    let listener = Listener::new(|_: &Event<'_>| {});
    let host = Host::default().progress(&listener);
    let run = Run::default();
    let plan = block_on(reconcile(&w.source, &w.store, &w.assigned, &w.options, &run, &host)).unwrap().plan;
    let store = Scripted::new(&w.store, [(1, Fault::Refuse(ErrorKind::Invalid))]);
    block_on(apply(&plan, &store, &ApplyOptions::default(), &host)).unwrap();
    assert_eq!(
        listener.events(),
        [
            "read 1 assignments",
            "read 0 store users",
            "read 0 store groups",
            "read 3 source users",
            "read 4 source users",
            "read 1 source groups",
            "started 4",
            "0: applied",
            "1: failed: as scripted",
            "2: applied",
            "3: skipped because of operation 1",
            "finished 2",
        ]
    );
}

#[test]
fn every_operation_is_told_exactly_once_also_where_apply_stops() {
    // rules X6, X1
    let mut w = World::new();
    let names = many(30);
    w.users(&names);
    w.group("staff", &names);
    w.assign("staff");
    let listener = Listener::new(|_: &Event<'_>| {});
    let host = Host::default().progress(&listener);
    let store = Scripted::new(&w.store, [(9, Fault::Refuse(ErrorKind::Invalid))]);
    let report = applied(&w, &store, &host);
    let told = listener.events().into_iter().filter(|event| event.contains(": ")).count();
    assert_eq!(told, report.outcomes.len());
}

#[test]
fn cut_after_any_write_the_next_run_ends_the_same_with_no_second_record() {
    // rule X4
    let start = || {
        let mut w = one_by_one();
        w.options.guards = Guards::off();
        w.users("a b c d");
        w.group("staff", "a b c");
        w.group("old", "d");
        w.assign("staff old");
        w.sync();
        w.delete("b");
        w.delete("old");
        w.edit("a").disabled();
        w.edit("c").set("userPrincipalName", "b");
        w.users("e");
        w.group("fresh", "e d");
        w.assign("fresh");
        w
    };
    let straight = start();
    let count = straight.plan().len();
    straight.sync();
    assert!(count >= 7);
    for cut in 0..count {
        for lost in [false, true] {
            let w = start();
            let plan = w.plan();
            let (kind, at) = (ErrorKind::Unauthorized, cut);
            let fault = if lost { Fault::LoseAnswer(kind) } else { Fault::Refuse(kind) };
            let store = Scripted::new(&w.store, [(at, fault)]);
            let report = block_on(apply(&plan, &store, &ApplyOptions::default(), &Host::default())).unwrap();
            assert_eq!(report.applied(), cut);
            w.sync();
            assert_eq!(w.dump(), straight.dump(), "cut at {cut}, answer lost: {lost}");
            assert_eq!(w.lines(), straight.lines());
        }
    }
    assert_ne!(straight.lines(), NOTHING);
}
