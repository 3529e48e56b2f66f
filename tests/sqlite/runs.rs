//! What is remembered between runs (rule D7).

use identity_sync::Issuer;
use pretty_assertions::assert_eq;

use super::*;

fn issuer(name: &str) -> Issuer {
    Issuer::from(name)
}

/// A state that tells how many runs failed; it is as large as that of a real directory.
fn after_failures(count: i64) -> RunState {
    let mut json = serde_json::to_value(RunState::default()).unwrap();
    let written = (0..2_000).map(|record| {
        let value = format!("{record:032x}");
        (value.clone(), serde_json::json!({ "title": { "value": value, "times": count % 7 } }))
    });
    json["written"] = serde_json::Value::Object(written.collect());
    json.as_object_mut().unwrap().remove("digest"); // it is of the state as it was
    let mut state: RunState = serde_json::from_value(json).unwrap();
    (0..count).for_each(|now| state.note_failure(Timestamp(now)));
    state
}

#[test]
fn nothing_is_kept_in_a_new_store() {
    // rule D7
    let store = SqliteStore::open_in_memory().unwrap();
    assert_eq!(store.run_state(&issuer("ad")).unwrap(), None);
    assert!(!store.forget_run_state(&issuer("ad")).unwrap());
}

#[test]
fn each_issuer_has_its_own_state_and_the_newest_counts() {
    // rules D7, M7
    let (_folder, path) = place();
    let (ad, ldap) = (issuer("ad"), issuer("ldap"));
    let store = SqliteStore::open(&path).unwrap();
    store.keep_run_state(&ad, &after_failures(1)).unwrap();
    store.keep_run_state(&ldap, &after_failures(2)).unwrap();
    store.keep_run_state(&ad, &after_failures(3)).unwrap();
    drop(store);
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(store.run_state(&ad).unwrap(), Some(after_failures(3)));
    assert_eq!(store.run_state(&ldap).unwrap(), Some(after_failures(2)));
    assert_eq!(store.run_state(&issuer("AD")).unwrap(), None);
    assert_eq!(rows(&path, "SELECT issuer FROM run_states"), ["ad", "ldap"]);
    assert!(store.forget_run_state(&ad).unwrap());
    assert!(!store.forget_run_state(&ad).unwrap());
    assert_eq!(store.run_state(&ad).unwrap(), None);
    assert_eq!(store.run_state(&ldap).unwrap(), Some(after_failures(2)));
}

#[test]
fn the_state_of_a_real_run_comes_back_as_it_was() {
    // rule D7
    let (_folder, path) = place();
    let (ad, options) = (issuer("ad"), Options::for_issuer("ad"));
    let mut world = MemoryDirectory::new("ad");
    world.add_user("u1", &[("userPrincipalName", "ada"), ("displayName", "Ada")]);
    world.add_user("u2", &[("userPrincipalName", "bob")]);
    let store = SqliteStore::open(&path).unwrap();
    let forgets = |plan: &Plan| plan.diagnostics().contains(&Diagnostic::NoMemory {});
    let first = run(&world, &store, &["u1", "u2"], &options, RunState::default()).1.run;
    store.keep_run_state(&ad, &first).unwrap();
    drop(store);
    let store = SqliteStore::open(&path).unwrap();
    let kept = store.run_state(&ad).unwrap().unwrap();
    assert_eq!(kept, first);
    world.add_user("u1", &[("userPrincipalName", "ada"), ("displayName", "Ada L.")]);
    let (plan, report) = run(&world, &store, &["u1"], &options, kept);
    assert!(!forgets(&plan), "{plan}");
    store.keep_run_state(&ad, &report.run).unwrap();
    assert_eq!(store.run_state(&ad).unwrap(), Some(report.run));
    assert!(store.forget_run_state(&ad).unwrap());
    let afresh = store.run_state(&ad).unwrap().unwrap_or_default();
    assert!(forgets(&run(&world, &store, &["u1"], &options, afresh).0));
}

#[test]
fn a_state_that_cannot_be_read_is_invalid_and_stays_until_it_is_forgotten() {
    // rules D7, S2
    let (_folder, path) = place();
    let ad = issuer("ad");
    let store = SqliteStore::open(&path).unwrap();
    let raw = rusqlite::Connection::open(&path).unwrap();
    let nested = format!("'{}'", "[".repeat(100_000));
    for unreadable in [
        "''",
        "'hunter2'",
        "'{}'",
        "'null'",
        r#"'{"format":1,"hunter2":true}'"#,
        r#"'{"format":1,"issuer":["hunter2"]}'"#,
        r#"'{"format":"hunter2"}'"#,
        r#"'{"format":1} hunter2'"#,
        "CAST(x'ff68756e74657232' AS TEXT)",
        &nested,
    ] {
        let sql = format!("INSERT OR REPLACE INTO run_states VALUES ('ad', {unreadable})");
        raw.execute(&sql, []).unwrap();
        let error = store.run_state(&ad).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{unreadable}");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(std::error::Error::source(&error).is_none());
        assert_eq!(rows(&path, "SELECT count(*) FROM run_states"), ["1"]);
    }
    assert_eq!(store.run_state(&issuer("ldap")).unwrap(), None);
    assert!(store.forget_run_state(&ad).unwrap());
    assert_eq!(store.run_state(&ad).unwrap(), None);
    // An unreadable one does not stand in the way of a new one either.
    raw.execute("INSERT INTO run_states VALUES ('ad', 'hunter2')", []).unwrap();
    store.keep_run_state(&ad, &RunState::default()).unwrap();
    assert_eq!(store.run_state(&ad).unwrap(), Some(RunState::default()));
}

#[test]
fn a_state_that_cannot_be_kept_leaves_the_one_before() {
    // rules D7, X3
    let (_folder, path) = place();
    let (ad, options) = (issuer("ad"), SqliteOptions::new().busy_timeout(Duration::ZERO));
    let store = SqliteStore::open_with(&path, options).unwrap();
    store.keep_run_state(&ad, &after_failures(1)).unwrap();
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(store.keep_run_state(&ad, &after_failures(2)).unwrap_err().is_transient());
    assert!(store.forget_run_state(&ad).unwrap_err().is_transient());
    assert_eq!(store.run_state(&ad).unwrap(), Some(after_failures(1)));
    raw.execute_batch("ROLLBACK").unwrap();
    store.keep_run_state(&ad, &after_failures(2)).unwrap();
    assert_eq!(store.run_state(&ad).unwrap(), Some(after_failures(2)));
}

/// Says to this test binary, started as a child, that it is the keeper and where to keep.
const KEEPER: &str = "IDENTITY_SYNC_TEST_KEEPER";

#[test]
fn a_killed_keeper_leaves_the_answered_state_or_the_one_after() {
    // rules D7, X4
    if let Some(path) = std::env::var_os(KEEPER) {
        return keep_until_killed(Path::new(&path));
    }
    let (_folder, path) = place();
    let mut answered = 0;
    for round in 0..10 {
        let test = "runs::a_killed_keeper_leaves_the_answered_state_or_the_one_after";
        answered = kill_a_child(test, KEEPER, &path, 1 + round % 4).unwrap_or(answered);
        let kept = SqliteStore::open(&path).unwrap().run_state(&issuer("ad")).unwrap().unwrap();
        let whole = (answered..answered + 2).find(|&number| kept == after_failures(number as i64));
        answered = whole.expect("a state that was never answered, or in part");
        assert_eq!(rows(&path, "PRAGMA integrity_check"), ["ok"]);
    }
}

fn keep_until_killed(path: &Path) {
    let store = SqliteStore::open(path).unwrap();
    let kept = store.run_state(&issuer("ad")).unwrap();
    let first = (0..10_000).find(|&number| kept.as_ref().is_none_or(|kept| *kept == after_failures(number)));
    for number in first.unwrap()..10_000 {
        store.keep_run_state(&issuer("ad"), &after_failures(number)).unwrap();
        // The test harness may have begun a line.
        println!("\nanswered {number}");
    }
}
