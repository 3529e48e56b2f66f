//! Files that an earlier version of this program wrote. `version_1.sql` is what that version executed.

use pretty_assertions::assert_eq;

use super::*;

/// A store as version 1 left it: two records of the sync, one of them inactive, and one inactive of the host's own.
fn version_1(path: &Path) {
    let file = rusqlite::Connection::open(path).unwrap();
    let mode: String = file.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
    file.execute_batch(include_str!("version_1.sql")).unwrap();
    file.execute_batch(
        r#"
        INSERT INTO meta VALUES ('identity', '00112233445566778899aabbccddeeff');
        INSERT INTO meta VALUES ('user_schema', '{"userName":{"matching":"nfkc_casefold","unique":true,"required":true,"multi_valued":false},"emails":{"matching":"exact","unique":false,"required":false,"multi_valued":true}}');
        INSERT INTO meta VALUES ('group_schema', '{"displayName":{"matching":"nfkc_casefold","unique":true,"required":true,"multi_valued":false}}');
        INSERT INTO users (id, active, origin, version) VALUES ('aa', 1, 'synced', 3), ('bb', 0, 'synced', 5), ('cc', 0, NULL, 1);
        INSERT INTO groups (id, version) VALUES ('dd', 7);
        INSERT INTO user_attributes VALUES (1, 'userName', 0, 'Ada', 'ada'), (2, 'userName', 0, 'Bob', 'bob'), (3, 'userName', 0, 'Eve', 'eve');
        INSERT INTO group_attributes VALUES (1, 'displayName', 0, 'Staff', 'staff');
        INSERT INTO external_ids VALUES ('ad', '1', 1, NULL), ('ad', '2', 2, NULL), ('ad', '3', NULL, 1);
        INSERT INTO memberships VALUES (1, 1);
        INSERT INTO assignments (issuer, value) VALUES ('ad', '3'), (NULL, 'cc');
        PRAGMA user_version = 1;
        PRAGMA application_id = 0x69647379;
        "#,
    )
    .unwrap();
}

fn schema_version(path: &Path) -> String {
    rows(path, "PRAGMA user_version").remove(0)
}

/// Every table with its columns, every index, and what belongs to them.
fn shape(path: &Path) -> Vec<String> {
    let columns = r#"SELECT t.name, c.name, c.type, c."notnull", c.pk, t.wr, t.strict
                     FROM pragma_table_list t, pragma_table_xinfo(t.name) c
                     WHERE t.schema = 'main' AND t.name <> 'sqlite_schema' ORDER BY t.name, c.cid"#;
    let indexes = "SELECT tbl_name, name, sql FROM sqlite_schema WHERE type <> 'table' ORDER BY name";
    [rows(path, columns), rows(path, indexes)].concat()
}

#[test]
fn a_file_of_version_1_is_migrated_and_keeps_everything() {
    // rules A7, M1, P7
    let (folder, path) = place();
    version_1(&path);
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(store.capabilities().identity, "sqlite:00112233445566778899aabbccddeeff");
    assert_eq!(schema_version(&path), "2");
    assert_eq!(
        rows(&path, "SELECT id, active, origin, version, inactive_by FROM users"),
        ["aa|1|synced|3|-", "bb|0|synced|5|sync", "cc|0|-|1|sync"]
    );
    assert_eq!(read_groups(&store, StoreSelect::All).0, ["dd"]);
    let links = [anchor("2"), anchor("1"), anchor("3")];
    assert_eq!(read_users(&store, StoreSelect::ExternalIds(&links)).0, ["bb", "aa"]);
    assert_eq!(rows(&path, "SELECT value FROM user_attributes"), ["Ada", "Bob", "Eve"]);
    let counts = store.counts().unwrap();
    assert_eq!((counts.users, counts.groups, counts.memberships, counts.assignments), (3, 1, 1, 2));
    // All that is new works, and so does opening it again.
    store.keep_run_state(&"ad".into(), &RunState::default()).unwrap();
    assert!(store.set_active(&"bb".into(), false).unwrap());
    drop(store);
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(store.run_state(&"ad".into()).unwrap(), Some(RunState::default()));
    assert_eq!(rows(&path, "SELECT inactive_by FROM users WHERE id = 'bb'"), ["other"]);
    assert_eq!(rows(&path, "PRAGMA integrity_check"), ["ok"]);
    let new = folder.path().join("new.db");
    drop(SqliteStore::open(&new).unwrap());
    assert_eq!(shape(&path), shape(&new));
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute("UPDATE users SET inactive_by = 'somebody'", [])
        .unwrap_err();
}

#[test]
fn an_entitled_user_of_a_migrated_file_is_made_active_again_as_before() {
    // rule A7
    let (_folder, path) = place();
    version_1(&path);
    let store = SqliteStore::open(&path).unwrap();
    let mut world = MemoryDirectory::new("ad");
    world.add_user("1", &[("userPrincipalName", "Ada")]);
    world.add_user("2", &[("userPrincipalName", "Bob")]);
    world.add_group("3", &[("cn", "Staff")], &["1", "2"]);
    let report = run(&world, &store, &["3"], &Options::for_issuer("ad"), RunState::default()).1;
    assert!(report.is_success(), "{report}");
    assert_eq!(rows(&path, "SELECT id, active, inactive_by FROM users"), ["aa|1|-", "bb|1|-", "cc|0|sync"]);
}

#[test]
fn an_old_file_may_be_opened_by_many_at_once() {
    // rule X4
    for _ in 0..20 {
        let (_folder, path) = place();
        version_1(&path);
        let opened = at_once(6, |_| vec![SqliteStore::open(&path).unwrap().counts().unwrap().users]);
        assert_eq!(opened, [3; 6]);
        assert_eq!(schema_version(&path), "2");
    }
}

/// Says to this test binary, started as a child, which file to open.
const OPENER: &str = "IDENTITY_SYNC_TEST_OPENER";

#[test]
fn an_old_file_may_be_opened_by_several_processes_at_once() {
    // rule X4
    if let Some(path) = std::env::var_os(OPENER) {
        let store = SqliteStore::open(Path::new(&path)).unwrap();
        assert!(store.set_active(&"cc".into(), true).is_ok());
        return;
    }
    for _ in 0..5 {
        let (_folder, path) = place();
        version_1(&path);
        let test = "migration::an_old_file_may_be_opened_by_several_processes_at_once";
        let mut children: Vec<_> = (0..4).map(|_| child(test, OPENER, &path).spawn().unwrap()).collect();
        for child in &mut children {
            // Read to its end, or a child that says much would wait for ever.
            let mut said = String::new();
            child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
            assert!(child.wait().unwrap().success(), "{said}");
        }
        assert_eq!(schema_version(&path), "2");
        assert_eq!(
            rows(&path, "SELECT active, inactive_by, version FROM users"),
            ["1|-|3", "0|sync|5", "1|-|2"]
        );
    }
}

#[test]
fn an_old_file_that_is_refused_stays_as_it_was() {
    let (_folder, path) = place();
    version_1(&path);
    let before = std::fs::read(&path).unwrap();
    let error = SqliteStore::open_with(&path, lenient()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(schema_version(&path), "1");
}

#[test]
fn a_migration_that_fails_half_way_leaves_the_old_file() {
    // rule X4
    let (_folder, path) = place();
    version_1(&path);
    let raw = rusqlite::Connection::open(&path).unwrap();
    // The last step meets a table of somebody else's.
    raw.execute_batch("CREATE TABLE run_states (theirs TEXT)").unwrap();
    drop(raw);
    let before = std::fs::read(&path).unwrap();
    assert_eq!(SqliteStore::open(&path).unwrap_err().kind(), ErrorKind::Permanent);
    assert_eq!(std::fs::read(&path).unwrap(), before);
    let columns = rows(&path, "SELECT name FROM pragma_table_info('users')");
    assert_eq!(columns, ["pk", "id", "active", "origin", "version"]);
    assert_eq!(schema_version(&path), "1");
    rusqlite::Connection::open(&path).unwrap().execute_batch("DROP TABLE run_states").unwrap();
    SqliteStore::open(&path).unwrap();
}

#[test]
fn an_old_file_that_is_locked_is_transient_and_migrated_later() {
    // rule X3
    let (_folder, path) = place();
    version_1(&path);
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.execute_batch("BEGIN IMMEDIATE").unwrap();
    let options = SqliteOptions::new().busy_timeout(Duration::ZERO);
    assert!(SqliteStore::open_with(&path, options.clone()).unwrap_err().is_transient());
    raw.execute_batch("ROLLBACK").unwrap();
    assert_eq!(schema_version(&path), "1");
    SqliteStore::open_with(&path, options).unwrap();
    assert_eq!(schema_version(&path), "2");
}
