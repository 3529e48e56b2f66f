//! What a killed process leaves (rule X4).

use pretty_assertions::assert_eq;

use super::*;

/// Says to this test binary, started as a child, that it is the writer and where to write.
const WRITER: &str = "IDENTITY_SYNC_TEST_WRITER";
const USERS_A_BATCH: usize = 50;

#[test]
fn a_killed_writer_leaves_every_batch_whole_or_not_at_all() {
    // rule X4
    if let Some(path) = std::env::var_os(WRITER) {
        return write_until_killed(Path::new(&path));
    }
    let (_folder, path) = place();
    let mut answered = 0;
    for round in 0..20 {
        let test = "kill::a_killed_writer_leaves_every_batch_whole_or_not_at_all";
        let last = kill_a_child(test, WRITER, &path, 1 + round % 7);
        answered = answered.max(last.map_or(0, |last| last + 1));
        answered = whole_batches(&path, answered);
    }
}

/// Batch by batch: fifty users are made, and those of the batch before are named and join the group.
fn write_until_killed(path: &Path) {
    let store = SqliteStore::open_with(path, lenient()).unwrap();
    let everyone = anchor("everyone");
    let found = read_groups(&store, StoreSelect::ExternalIds(std::slice::from_ref(&everyone))).0;
    let everyone = match found.first() {
        Some(id) => StoreId::from(id.as_str()),
        None => created(&write_one(&store, group(&everyone))),
    };
    let batch_links = |number: usize| anchors(&format!("{number}-"), USERS_A_BATCH);
    let first = usize::try_from(store.counts().unwrap().users).unwrap() / USERS_A_BATCH;
    for number in first..10_000 {
        let before = number.checked_sub(1).map(batch_links).unwrap_or_default();
        let before = read_users(&store, StoreSelect::ExternalIds(&before)).0;
        let before: Vec<_> = before.into_iter().map(StoreId::from).collect();
        let names = (0..before.len()).map(|user| [change("userName", &[&format!("{number}-{user}")])]);
        let names: Vec<_> = names.collect();
        let links = batch_links(number);
        let mut writes: Vec<_> = links.iter().map(user).collect();
        writes.extend(before.iter().zip(&names).map(|(id, name)| update(id, name)));
        writes.push(Write::AddMembers { id: &everyone, version: None, members: &before });
        assert!(write(&store, writes).iter().all(Result::is_ok));
        // The test harness may have begun a line.
        println!("\nanswered {number}");
    }
}

/// Checks the file and answers how many batches it holds.
fn whole_batches(path: &Path, answered: usize) -> usize {
    assert_eq!(rows(path, "PRAGMA integrity_check"), ["ok"]);
    assert!(rows(path, "PRAGMA foreign_key_check").is_empty());
    let store = SqliteStore::open(path).unwrap();
    let users = usize::try_from(store.counts().unwrap().users).unwrap();
    let batches = users / USERS_A_BATCH;
    assert_eq!(users % USERS_A_BATCH, 0, "a batch is there in part");
    assert!(batches >= answered, "{answered} batches were answered, {batches} are there");
    for batch in 0..batches {
        let links = anchors(&format!("{batch}-"), USERS_A_BATCH);
        assert_eq!(read_users(&store, StoreSelect::ExternalIds(&links)).0.len(), USERS_A_BATCH);
    }
    // All but the newest batch have their names and memberships, by the transaction that made the batch after them.
    let complete = batches.saturating_sub(1) * USERS_A_BATCH;
    let versions =
        "SELECT count(*) FILTER (WHERE version = 2), count(*) FILTER (WHERE version = 1) FROM users";
    assert_eq!(rows(path, versions), [format!("{complete}|{}", users - complete)]);
    let named = "SELECT count(DISTINCT match_key) FROM user_attributes";
    assert_eq!(rows(path, named), [complete.to_string()]);
    assert_eq!(rows(path, "SELECT count(*) FROM memberships"), [complete.to_string()]);
    batches
}
