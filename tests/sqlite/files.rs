//! Which files are opened, and by how many.

use pretty_assertions::assert_eq;

use super::*;

#[test]
fn opened_again_everything_is_there() {
    let (_folder, path) = place();
    let principal = Principal::External(anchor("everyone"));
    let first = SqliteStore::open_with(&path, lenient()).unwrap();
    let id = first.add_user(&named("ada").external_id(anchor("1")).origin(Origin::Jit).inactive()).unwrap();
    let group = first.add_group(&NewRecord::new([("displayName", "g")])).unwrap();
    write_one(&first, Write::AddMembers { id: &group, version: None, members: &[id] }).unwrap();
    first.assign(&principal).unwrap();
    let (counts, users) = (first.counts().unwrap(), read_users(&first, StoreSelect::All));
    let capabilities = first.capabilities();
    drop(first);
    // Without a schema named, the one in the file counts.
    let again = SqliteStore::open(&path).unwrap();
    assert_eq!(again.counts().unwrap(), counts);
    assert_eq!(read_users(&again, StoreSelect::All), users);
    assert_eq!(again.assignments().unwrap(), [principal]);
    assert_eq!(again.capabilities(), capabilities);
    assert_eq!(rows(&path, "SELECT active, origin FROM users"), ["0|jit"]);
}

#[test]
fn another_attribute_schema_than_the_files_is_refused() {
    let (_folder, path) = place();
    drop(SqliteStore::open(&path).unwrap());
    let error = SqliteStore::open_with(&path, lenient()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let same = SqliteStore::open(&path).unwrap().capabilities();
    SqliteStore::open_with(&path, SqliteOptions::new().users(same.users).groups(same.groups)).unwrap();
}

#[test]
fn a_newer_file_is_refused_and_left_as_it_was() {
    let (_folder, path) = place();
    drop(SqliteStore::open(&path).unwrap());
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.pragma_update(None, "user_version", 3).unwrap();
    drop(raw);
    let before = std::fs::read(&path).unwrap();
    let error = SqliteStore::open(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("version 3"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn a_file_of_another_program_is_refused_and_left_as_it_was() {
    let (folder, path) = place();
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.execute_batch("CREATE TABLE invoices (id INTEGER PRIMARY KEY)").unwrap();
    drop(raw);
    let marked = folder.path().join("marked.db");
    let raw = rusqlite::Connection::open(&marked).unwrap();
    raw.pragma_update(None, "application_id", 7).unwrap();
    drop(raw);
    let text = folder.path().join("notes.txt");
    std::fs::write(&text, "these are no identities, but some hundred octets of plain text. ".repeat(20))
        .unwrap();
    for path in [path, marked, text] {
        let before = std::fs::read(&path).unwrap();
        assert_eq!(SqliteStore::open(&path).unwrap_err().kind(), ErrorKind::Invalid);
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
    // Not even a path may lead elsewhere.
    assert_eq!(SqliteStore::open(":memory:").unwrap_err().kind(), ErrorKind::Unsupported);
    let nowhere = folder.path().join("no such folder").join("identities.db");
    assert_eq!(SqliteStore::open(nowhere).unwrap_err().kind(), ErrorKind::Permanent);
}

#[test]
fn two_connections_share_one_file() {
    let (_folder, path) = place();
    let (one, two) = (SqliteStore::open(&path).unwrap(), SqliteStore::open(&path).unwrap());
    let id = one.add_user(&named("ada")).unwrap();
    assert_eq!(read_users(&two, StoreSelect::All).0, [id.as_str()]);
    assert_eq!(two.add_user(&named("ADA")).unwrap_err().kind(), ErrorKind::AlreadyExists);
    let old = Version::from("1");
    let deactivate = || Write::SetActive { id: &id, version: Some(&old), active: false };
    assert_eq!(write_one(&one, deactivate()), now_at("2"));
    assert_eq!(write_one(&two, deactivate()), Err(ErrorKind::Conflict));
}

#[test]
fn a_locked_file_is_transient_and_answers_nothing() {
    // rule X3
    let (_folder, path) = place();
    let store = SqliteStore::open_with(&path, SqliteOptions::new().busy_timeout(Duration::ZERO)).unwrap();
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.execute_batch("BEGIN IMMEDIATE").unwrap();
    let link = anchor("1");
    let mut batch = WriteBatch::new();
    batch.push(user(&link));
    let error = block_on(store.write(&mut batch)).unwrap_err();
    assert!(error.is_transient());
    assert!(batch.into_answers().all(|answer| answer.is_none()));
    // Readers go on beside a writer.
    assert_eq!(read_users(&store, StoreSelect::All).0.len(), 0);
    raw.execute_batch("ROLLBACK").unwrap();
    store.add_user(&named("ada")).unwrap();
}

#[test]
fn a_new_file_may_be_opened_by_many_at_once() {
    for _ in 0..20 {
        let (_folder, path) = place();
        let identity = |_| vec![SqliteStore::open(&path).unwrap().capabilities().identity];
        let identities = at_once(6, identity);
        assert!(identities.iter().all(|identity| *identity == identities[0]));
    }
}
