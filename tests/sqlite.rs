//! The SQLite adapter from outside: what it answers, what is in the file, and what a killed process leaves.

#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "the helpers of tests are tests too")]
#![allow(clippy::print_stdout, reason = "so the writer that will be killed says how far it is")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use identity_sync::adapter::sqlite::{Counts, NewRecord, SqliteOptions, SqliteStore};
use identity_sync::{
    AssignmentPage, AssignmentSet, AttributeSchema, Attributes, Change, Concurrency, ErrorKind, ExternalId,
    IdentityStore, MatchRule, Members, Origin, PageEnd, PageToken, Principal, StoreId, StoreSelect,
    StoredGroupPage, StoredUserPage, Version, Write, WriteBatch, Written,
};
use indexmap::IndexMap;
use pollster::block_on;
use pretty_assertions::assert_eq;
use tempfile::TempDir;

type Answer = Result<Written, ErrorKind>;

/// A folder that goes away, with the path of a store in it.
fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("identities.db");
    (folder, path)
}

/// `userName` is unique and may be missing, so that users can be made without attributes.
fn lenient() -> SqliteOptions {
    let name = AttributeSchema::unique(MatchRule::NfkcCasefold);
    let users = [("userName".to_owned(), name), ("emails".to_owned(), AttributeSchema::multi_valued())];
    SqliteOptions::new()
        .users(IndexMap::from(users))
        .groups(IndexMap::from([("displayName".to_owned(), name)]))
}

fn write<'w>(store: &SqliteStore, writes: impl IntoIterator<Item = Write<'w>>) -> Vec<Answer> {
    let mut batch = WriteBatch::new();
    writes.into_iter().for_each(|write| batch.push(write));
    block_on(store.write(&mut batch)).unwrap();
    batch.into_answers().map(|answer| answer.unwrap().map_err(|error| error.kind())).collect()
}

fn write_one(store: &SqliteStore, one: Write<'_>) -> Answer {
    write(store, [one]).remove(0)
}

fn user(external_id: &ExternalId) -> Write<'_> {
    Write::CreateUser { external_id, attributes: Attributes::EMPTY, active: true, origin: Origin::Synced }
}

fn group(external_id: &ExternalId) -> Write<'_> {
    Write::CreateGroup { external_id, attributes: Attributes::EMPTY }
}

fn update<'w>(id: &'w StoreId, changes: &'w [Change]) -> Write<'w> {
    Write::UpdateUser { id, version: None, changes, origin: None }
}

fn created(answer: &Answer) -> StoreId {
    answer.as_ref().unwrap().id.clone().unwrap()
}

fn version(answer: &Answer) -> Version {
    answer.as_ref().unwrap().version.clone().unwrap()
}

fn now_at(version: &str) -> Answer {
    Ok(Written::done().with_version(version))
}

fn named(name: &str) -> NewRecord {
    NewRecord::new([("userName", name)])
}

fn change(attribute: &str, new: &[&str]) -> Change {
    let new = new.iter().map(|&value| value.to_owned()).collect();
    Change { attribute: attribute.to_owned(), old: Vec::new(), new }
}

fn anchor(value: impl Into<String>) -> ExternalId {
    ExternalId::new("ad", value.into())
}

fn anchors(prefix: &str, count: usize) -> Vec<ExternalId> {
    (0..count).map(|number| anchor(format!("{prefix}{number:05}"))).collect()
}

/// Reads all pages; answers the ids and how many pages there were.
fn read(mut page: impl FnMut(Option<&PageToken>, &mut Vec<String>) -> PageEnd) -> (Vec<String>, usize) {
    let (mut ids, mut pages, mut at) = (Vec::new(), 0, None);
    loop {
        pages += 1;
        match page(at.as_ref(), &mut ids) {
            PageEnd::More(token) => at = Some(token),
            end => {
                assert_eq!(end, PageEnd::COMPLETE);
                return (ids, pages);
            }
        }
    }
}

fn read_users(store: &SqliteStore, select: StoreSelect<'_>) -> (Vec<String>, usize) {
    read(|at, ids| {
        let mut page = StoredUserPage::default();
        let end = block_on(store.read_users(select, at, &mut page)).unwrap();
        ids.extend(page.ids().map(str::to_owned));
        end
    })
}

fn read_groups(store: &SqliteStore, select: StoreSelect<'_>) -> (Vec<String>, usize) {
    read(|at, ids| {
        let mut page = StoredGroupPage::default();
        let end = block_on(store.read_groups(select, at, &mut page)).unwrap();
        ids.extend(page.ids().map(str::to_owned));
        end
    })
}

/// Asks the file itself, by the schema that is documented; columns are joined by `|`.
fn rows(path: &Path, sql: &str) -> Vec<String> {
    let connection = rusqlite::Connection::open(path).unwrap();
    let mut statement = connection.prepare(sql).unwrap();
    let columns = statement.column_count();
    let row = |row: &rusqlite::Row<'_>| {
        let cell = |column| match row.get_ref(column)? {
            rusqlite::types::ValueRef::Null => Ok("-".to_owned()),
            rusqlite::types::ValueRef::Integer(number) => Ok(number.to_string()),
            other => Ok(other.as_str().unwrap().to_owned()),
        };
        Ok((0..columns).map(cell).collect::<rusqlite::Result<Vec<_>>>()?.join("|"))
    };
    statement.query_map([], row).unwrap().map(Result::unwrap).collect()
}

#[test]
fn an_empty_store_reads_as_empty_and_complete() {
    let store = SqliteStore::open_in_memory().unwrap();
    assert_eq!(read_users(&store, StoreSelect::All), (vec![], 1));
    assert_eq!(read_groups(&store, StoreSelect::All), (vec![], 1));
    assert_eq!(store.assignments().unwrap(), []);
    assert_eq!(store.counts().unwrap(), Counts::default());
    assert_eq!(write(&store, []), []);
}

#[test]
fn the_store_says_what_it_can_and_who_it_is() {
    // rule X5
    let (_folder, path) = place();
    let first = SqliteStore::open(&path).unwrap().capabilities();
    assert_eq!(first.concurrency, Concurrency::Conditional);
    assert_eq!(first.members, Members::WithGroups);
    assert_eq!((first.batch, first.members_per_write), (1_000, 10_000));
    assert!(first.users["userName"].unique && first.users["userName"].required);
    assert_eq!(SqliteStore::open(&path).unwrap().capabilities(), first);
    assert_ne!(SqliteStore::open_in_memory().unwrap().capabilities().identity, first.identity);
}

#[test]
fn every_kind_of_write_is_done_and_answers_the_new_version() {
    // rule P7
    let (_folder, path) = place();
    let store = SqliteStore::open_with(&path, lenient()).unwrap();
    let links = [anchor("u1"), anchor("u2"), anchor("g1"), anchor("g2")];
    let [u1, u2, g1, g2] = &links;
    let answers = write(&store, [user(u1), user(u2), group(g1), group(g2)]);
    assert!(answers.iter().all(|answer| version(answer).as_str() == "1"));
    let ids: Vec<_> = answers.iter().map(created).collect();
    let [u1, u2, g1, g2] = ids.as_slice() else { panic!("four records") };
    let user_changes = [change("emails", &["b@x", "a@x"]), change("title", &["Dr"])];
    let group_changes = [change("displayName", &["Staff"])];
    let (one, two) = (Version::from("1"), Version::from("2"));
    let both = [u2.clone(), u1.clone(), u2.clone()];
    let answers = write(
        &store,
        [
            Write::UpdateUser {
                id: u1,
                version: Some(&one),
                changes: &user_changes,
                origin: Some(Origin::Jit),
            },
            Write::SetActive { id: u1, version: Some(&two), active: false },
            Write::UpdateGroup { id: g1, version: Some(&one), changes: &group_changes },
            Write::AddMembers { id: g1, version: Some(&two), members: &both },
            Write::AddMembers { id: g2, version: Some(&one), members: &both },
            Write::RemoveMembers { id: g2, version: Some(&two), members: &both[1..] },
        ],
    );
    assert_eq!(answers, ["2", "3", "2", "3", "2", "3"].map(now_at));
    assert_eq!(
        rows(&path, "SELECT active, origin, version FROM users ORDER BY pk"),
        ["0|jit|3", "1|synced|1"]
    );
    assert_eq!(
        rows(&path, "SELECT name, ordinal, value, match_key FROM user_attributes ORDER BY name, ordinal"),
        ["emails|0|b@x|-", "emails|1|a@x|-", "title|0|Dr|-"]
    );
    assert_eq!(
        rows(
            &path,
            "SELECT name, value, match_key, version FROM group_attributes JOIN groups ON pk = group_pk"
        ),
        ["displayName|Staff|staff|2"].map(|row| row.replace("|2", "|3"))
    );
    assert_eq!(rows(&path, "SELECT group_pk, user_pk FROM memberships"), ["1|1", "1|2"]);
    let cleared = [change("title", &[])];
    assert_eq!(write_one(&store, update(u1, &cleared)), now_at("4"));
    assert_eq!(rows(&path, "SELECT DISTINCT name FROM user_attributes"), ["emails"]);
    let deletes = [Write::DeleteUser { id: u1, version: None }, Write::DeleteGroup { id: g2, version: None }];
    assert_eq!(write(&store, deletes), [Ok(Written::done()), Ok(Written::done())]);
    assert_eq!(rows(&path, "SELECT group_pk, user_pk FROM memberships"), ["1|2"]);
}

#[test]
fn a_members_write_that_changes_nothing_leaves_the_version() {
    let store = SqliteStore::open_in_memory_with(lenient()).unwrap();
    let (u, g) = (anchor("u"), anchor("g"));
    let answers = write(&store, [user(&u), group(&g)]);
    let (members, id) = ([created(&answers[0])], created(&answers[1]));
    let nobody = ["nobody".into()];
    let add = || Write::AddMembers { id: &id, version: None, members: &members };
    let remove = |members| Write::RemoveMembers { id: &id, version: None, members };
    let answers = write(&store, [add(), add(), remove(&nobody), remove(&members), remove(&members)]);
    assert_eq!(answers, ["2", "2", "2", "3", "3"].map(now_at));
}

#[test]
fn deleting_a_user_leaves_the_versions_of_its_groups() {
    // rule P7: the delete could not answer them, and a later write of the same plan would fail.
    let store = SqliteStore::open_in_memory_with(lenient()).unwrap();
    let (u, v, g) = (anchor("u"), anchor("v"), anchor("g"));
    let answers = write(&store, [user(&u), user(&v), group(&g)]);
    let (u, v, g) = (created(&answers[0]), created(&answers[1]), created(&answers[2]));
    let (leaver, joiner, version) = ([u.clone()], [v], Version::from("2"));
    let answers = write(
        &store,
        [
            Write::AddMembers { id: &g, version: None, members: &leaver },
            Write::DeleteUser { id: &u, version: None },
            Write::AddMembers { id: &g, version: Some(&version), members: &joiner },
        ],
    );
    assert_eq!(answers, [now_at("2"), Ok(Written::done()), now_at("3")]);
    assert_eq!(store.counts().unwrap().memberships, 1);
}

#[test]
fn a_record_with_another_version_is_a_conflict_and_stays() {
    // rule P7
    let (_folder, path) = place();
    let store = SqliteStore::open_with(&path, lenient()).unwrap();
    let (u, g) = (anchor("u"), anchor("g"));
    let answers = write(&store, [user(&u), group(&g)]);
    let (u, g) = (created(&answers[0]), created(&answers[1]));
    let (members, changes) = ([u.clone()], [change("title", &["Dr"])]);
    let before = rows(&path, "SELECT version FROM users UNION ALL SELECT version FROM groups");
    for old in ["0", "2", "01", "", "W/\"1\""] {
        let old = Version::from(old);
        let version = Some(&old);
        let answers = write(
            &store,
            [
                Write::UpdateUser { id: &u, version, changes: &changes, origin: None },
                Write::UpdateGroup { id: &g, version, changes: &changes },
                Write::SetActive { id: &u, version, active: false },
                Write::AddMembers { id: &g, version, members: &members },
                Write::RemoveMembers { id: &g, version, members: &members },
                Write::DeleteUser { id: &u, version },
                Write::DeleteGroup { id: &g, version },
            ],
        );
        assert!(answers.iter().all(|answer| *answer == Err(ErrorKind::Conflict)), "{answers:?}");
    }
    assert_eq!(rows(&path, "SELECT version FROM users UNION ALL SELECT version FROM groups"), before);
}

#[test]
fn a_record_that_is_missing_is_not_found() {
    // rule X2
    let store = SqliteStore::open_in_memory_with(lenient()).unwrap();
    let (u, g) = (anchor("u"), anchor("g"));
    let answers = write(&store, [user(&u), group(&g)]);
    // A user's id is no group's, and the reverse.
    let (u, g) = (created(&answers[0]), created(&answers[1]));
    let (members, version) = ([u.clone(), g.clone()], None);
    let answers = write(
        &store,
        [
            Write::UpdateUser { id: &g, version, changes: &[], origin: None },
            Write::UpdateGroup { id: &u, version, changes: &[] },
            Write::SetActive { id: &g, version, active: false },
            Write::DeleteUser { id: &g, version },
            Write::DeleteGroup { id: &u, version },
            Write::RemoveMembers { id: &u, version, members: &members },
            Write::AddMembers { id: &u, version, members: &members[..1] },
            Write::AddMembers { id: &g, version, members: &members },
        ],
    );
    assert!(answers.iter().all(|answer| *answer == Err(ErrorKind::NotFound)), "{answers:?}");
    // The good one of the two members was not added either.
    assert_eq!(store.counts().unwrap().memberships, 0);
}

#[test]
fn what_the_schema_forbids_is_invalid() {
    let store = SqliteStore::open_in_memory().unwrap();
    let id = store.add_user(&named("ada")).unwrap();
    let refused =
        [change("userName", &[]), change("userName", &["a", "b"]), change("title", &["Dr", "Prof"])];
    for change in refused {
        assert_eq!(write_one(&store, update(&id, &[change])), Err(ErrorKind::Invalid));
    }
    let nameless = NewRecord::new([("title", "Dr")]);
    assert_eq!(store.add_user(&nameless).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(store.add_group(&nameless).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(store.counts().unwrap().users, 1);
}

#[test]
fn a_refused_item_leaves_nothing_and_the_others_are_done() {
    let (_folder, path) = place();
    let store = SqliteStore::open_with(&path, lenient()).unwrap();
    let (bob, id) = (store.add_user(&named("bob")).unwrap(), store.add_user(&named("ada")).unwrap());
    let (twice, new) = (anchor("1"), anchor("2"));
    // The first change of this item is fine, the second takes Bob's name: neither may stay.
    let changes = [change("title", &["Dr"]), change("userName", &["BOB"])];
    let answers = write(
        &store,
        [
            user(&twice),
            update(&id, &changes),
            user(&twice),
            Write::SetActive { id: &bob, version: None, active: false },
            user(&new),
        ],
    );
    let kinds: Vec<_> = answers.iter().map(|answer| answer.as_ref().err().copied()).collect();
    let taken = Some(ErrorKind::AlreadyExists);
    assert_eq!(kinds, [None, taken, taken, None, None]);
    assert_eq!(rows(&path, "SELECT value FROM user_attributes ORDER BY value"), ["ada", "bob"]);
    assert_eq!(rows(&path, "SELECT active, version FROM users"), ["0|2", "1|1", "1|1", "1|1"]);
}

#[test]
fn names_are_unique_by_match_key() {
    // rule M2
    let (_folder, path) = place();
    let store = SqliteStore::open(&path).unwrap();
    let bob = store.add_user(&named("Bob")).unwrap();
    for same in ["bob", "BOB", " bob ", "ｂｏｂ", "ᴮᴼᴮ"] {
        let error = store.add_user(&named(same)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{same}");
    }
    // Names of users and of groups do not meet, and what is written keeps its case.
    store.add_group(&NewRecord::new([("displayName", "Bob")])).unwrap();
    assert_eq!(write_one(&store, update(&bob, &[change("userName", &["bOB"])])), now_at("2"));
    assert_eq!(rows(&path, "SELECT value, match_key FROM user_attributes"), ["bOB|bob"]);
    let by = |value| read_users(&store, StoreSelect::UniqueValue { attribute: "userName", value }).0;
    assert_eq!(by("ＢＯＢ"), [bob.as_str()]);
    assert!(by("bobby").is_empty());
}

#[test]
fn the_database_itself_refuses_a_second_key_or_link() {
    // rules M2, J4
    let (_folder, path) = place();
    let store = SqliteStore::open(&path).unwrap();
    store.add_user(&named("bob").external_id(anchor("1"))).unwrap();
    store.add_group(&NewRecord::new([("displayName", "g")])).unwrap();
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.execute("INSERT INTO users (id, active, version) VALUES ('x', 1, 1)", []).unwrap();
    for sql in [
        "INSERT INTO user_attributes VALUES (2, 'userName', 0, 'whatever', 'bob')",
        "INSERT INTO external_ids (issuer, value, group_pk) VALUES ('ad', '1', 1)",
        "INSERT INTO external_ids (issuer, value) VALUES ('ad', '2')",
        "INSERT INTO memberships VALUES (1, 77)",
    ] {
        let error = raw.execute(sql, []).unwrap_err();
        assert_eq!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::ConstraintViolation), "{sql}");
    }
}

#[test]
fn an_external_id_belongs_to_one_record_of_any_kind() {
    // rule J4
    let store = SqliteStore::open_in_memory_with(lenient()).unwrap();
    let (one, two) = (anchor("1"), anchor("2"));
    let other_issuer = ExternalId::new("ldap", "1");
    let taken = |answer: &Answer| *answer == Err(ErrorKind::AlreadyExists);
    let answers = write(
        &store,
        [user(&one), user(&one), group(&one), group(&two), group(&two), user(&two), user(&other_issuer)],
    );
    let which: Vec<_> = answers.iter().map(taken).collect();
    assert_eq!(which, [false, true, true, false, true, true, false]);
    // A deleted record frees it.
    let id = created(&answers[0]);
    let answers = write(&store, [Write::DeleteUser { id: &id, version: None }, group(&one)]);
    assert!(answers.iter().all(Result::is_ok));
}

#[test]
fn two_names_are_swapped_within_one_batch() {
    // rule P6
    let (_folder, path) = place();
    let store = SqliteStore::open(&path).unwrap();
    let (a, b) = (store.add_user(&named("a")).unwrap(), store.add_user(&named("b")).unwrap());
    let [temporary, to_a, to_b] = [["~61"], ["a"], ["b"]].map(|value| [change("userName", value.as_slice())]);
    let answers = write(&store, [update(&a, &temporary), update(&b, &to_a), update(&a, &to_b)]);
    assert_eq!(answers, ["2", "2", "3"].map(now_at));
    assert_eq!(rows(&path, "SELECT user_pk, value FROM user_attributes"), ["1|b", "2|a"]);
}

#[test]
fn a_unique_attribute_may_hold_one_key_twice_in_the_same_record() {
    let mut mails = AttributeSchema::unique(MatchRule::AsciiCaseFold);
    mails.multi_valued = true;
    let options = SqliteOptions::new().users(IndexMap::from([("emails".to_owned(), mails)]));
    let store = SqliteStore::open_in_memory_with(options).unwrap();
    let mine = NewRecord::new([("emails", "A@x"), ("emails", "a@x"), ("emails", "b@x")]);
    store.add_user(&mine).unwrap();
    let error = store.add_user(&NewRecord::new([("emails", "B@X")])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
}

#[test]
fn five_thousand_users_and_a_group_of_them_all_are_paged() {
    let (_folder, path) = place();
    let store = SqliteStore::open_with(&path, lenient()).unwrap();
    let links = anchors("u", 5_000);
    let mut users = Vec::new();
    for chunk in links.chunks(1_000) {
        users.extend(write(&store, chunk.iter().map(user)).iter().map(created));
    }
    let group_links = anchors("g", 3);
    let groups: Vec<_> = write(&store, group_links.iter().map(group)).iter().map(created).collect();
    let (some, all) = (&users[..7], users.as_slice());
    let answers = write(
        &store,
        [
            Write::AddMembers { id: &groups[0], version: None, members: all },
            Write::AddMembers { id: &groups[2], version: None, members: some },
        ],
    );
    assert_eq!(answers, ["2", "2"].map(now_at));
    let texts = |ids: &[StoreId]| ids.iter().map(|id| id.as_str().to_owned()).collect::<Vec<_>>();
    let (read, pages) = read_users(&store, StoreSelect::All);
    assert_eq!((read, pages), (texts(&users), 6));
    assert_eq!(read_groups(&store, StoreSelect::All), (texts(&groups), 1));
    let sql = "SELECT id, count(user_pk) FROM groups LEFT JOIN memberships ON group_pk = pk GROUP BY pk";
    let counts = [5_000, 0, 7].iter().zip(&groups).map(|(count, id)| format!("{}|{count}", id.as_str()));
    assert_eq!(rows(&path, sql), counts.collect::<Vec<_>>());
    // Look-ups page too, and leave out what is not there.
    let mut wanted = users.clone();
    wanted.insert(1, "nobody".into());
    assert_eq!(read_users(&store, StoreSelect::Ids(&wanted)), (texts(&users), 6));
    let mut wanted: Vec<_> = links.iter().rev().cloned().collect();
    wanted.push(group_links[0].clone());
    let reversed: Vec<_> = users.iter().rev().cloned().collect();
    assert_eq!(read_users(&store, StoreSelect::ExternalIds(&wanted)), (texts(&reversed), 6));
    assert_eq!(read_groups(&store, StoreSelect::ExternalIds(&wanted)).0, texts(&groups[..1]));
    assert!(read_groups(&store, StoreSelect::Ids(&users[..1])).0.is_empty());
}

#[test]
fn a_record_made_during_a_read_comes_later_in_the_same_read() {
    // rule C5
    let store = SqliteStore::open_in_memory_with(lenient()).unwrap();
    let links = anchors("u", 1_500);
    links.chunks(1_000).for_each(|chunk| drop(write(&store, chunk.iter().map(user))));
    let mut page = StoredUserPage::default();
    let end = block_on(store.read_users(StoreSelect::All, None, &mut page)).unwrap();
    let PageEnd::More(token) = end else { panic!("there are 500 left") };
    let seen: Vec<StoreId> = page.ids().map(StoreId::from).collect();
    let late = created(&write_one(&store, user(&anchor("late"))));
    write(&store, seen.iter().map(|id| Write::DeleteUser { id, version: None }));
    page.clear();
    block_on(store.read_users(StoreSelect::All, Some(&token), &mut page)).unwrap();
    assert_eq!(page.len(), 501);
    assert_eq!(page.ids().last(), Some(late.as_str()));
}

#[test]
fn a_read_that_cannot_be_is_invalid_and_never_empty() {
    // rule C1
    let store = SqliteStore::open_in_memory().unwrap();
    let mut page = StoredUserPage::default();
    let token = PageToken::new(*b"not ours at all");
    let error = block_on(store.read_users(StoreSelect::All, Some(&token), &mut page)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let select = StoreSelect::UniqueValue { attribute: "title", value: "Dr" };
    assert_eq!(block_on(store.read_users(select, None, &mut page)).unwrap_err().kind(), ErrorKind::Invalid);
}

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
fn a_newer_file_is_refused() {
    let (_folder, path) = place();
    drop(SqliteStore::open(&path).unwrap());
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.pragma_update(None, "user_version", 2).unwrap();
    let error = SqliteStore::open(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("version 2"), "{error}");
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
        let identity = || SqliteStore::open(&path).unwrap().capabilities().identity;
        let identities = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..6).map(|_| scope.spawn(identity)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        assert!(identities.iter().all(|identity| *identity == identities[0]));
    }
}

#[test]
fn many_that_create_the_same_at_once_leave_one_record() {
    // rule J4
    let (_folder, path) = place();
    let links = anchors("u", 50);
    let create_all = || {
        let store = SqliteStore::open_with(&path, lenient()).unwrap();
        links.iter().map(|link| write_one(&store, user(link))).collect::<Vec<_>>()
    };
    let answers = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(create_all)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 50);
    assert_eq!(answers.iter().filter(|answer| **answer == Err(ErrorKind::AlreadyExists)).count(), 150);
    assert_eq!(SqliteStore::open(&path).unwrap().counts().unwrap().users, 50);
}

#[test]
fn assignments_are_kept_once_and_paged() {
    let store = SqliteStore::open_in_memory().unwrap();
    let principals: Vec<_> = anchors("p", 2_500).into_iter().map(Principal::External).collect();
    assert_eq!(store.assign_all(&principals).unwrap(), 2_500);
    assert_eq!(store.assign_all(&principals[..3]).unwrap(), 0);
    let stored = Principal::Stored("p00000".into());
    assert!(store.assign(&stored).unwrap());
    assert!(!store.assign(&stored).unwrap());
    assert!(store.unassign(&principals[0]).unwrap());
    assert!(!store.unassign(&principals[0]).unwrap());
    let expected: Vec<_> = principals[1..].iter().chain([&stored]).cloned().collect();
    assert_eq!(store.assignments().unwrap(), expected);
    let mut read_back = Vec::new();
    let (_, pages) = read(|at, _| {
        let mut page = AssignmentPage::default();
        let end = block_on(store.read_assignments(at, &mut page)).unwrap();
        read_back.extend_from_slice(page.principals());
        end
    });
    assert_eq!((read_back, pages), (expected, 3));
    assert!(store.unassign(&stored).unwrap());
    assert_eq!(store.counts().unwrap().assignments, 2_499);
}

#[test]
fn neither_errors_nor_debug_show_a_value() {
    // rule S2
    let store = SqliteStore::open_in_memory().unwrap();
    let secret = named("hunter2").external_id(anchor("hunter2"));
    let id = store.add_user(&secret).unwrap();
    let taken = store.add_user(&secret).unwrap_err();
    let name_taken = store.add_user(&named("hunter2")).unwrap_err();
    let mut batch = WriteBatch::new();
    let changes = [change("title", &["hunter2", "hunter2"])];
    batch.push(update(&id, &changes));
    block_on(store.write(&mut batch)).unwrap();
    let invalid = batch.into_answers().next().unwrap().unwrap().unwrap_err();
    for shown in [
        format!("{store:?} {secret:?}"),
        format!("{taken} {taken:?} {name_taken} {name_taken:?} {invalid} {invalid:?}"),
    ] {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

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
        answered = answered.max(kill_a_writer(&path, 1 + round % 7));
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

/// Kills a writer after so many answered batches; answers how many batches were answered in all.
fn kill_a_writer(path: &Path, lines: usize) -> usize {
    let mut writer = Command::new(std::env::current_exe().unwrap())
        .args(["a_killed_writer_leaves_every_batch_whole_or_not_at_all", "--exact", "--nocapture"])
        .env(WRITER, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(writer.stdout.take().unwrap()).lines().map(Result::unwrap);
    let number = |line: String| line.strip_prefix("answered ").map(|number| number.parse::<usize>().unwrap());
    let seen: Vec<_> = output.by_ref().filter_map(number).take(lines).collect();
    writer.kill().unwrap();
    writer.wait().unwrap();
    assert_eq!(seen.len(), lines, "the writer ended by itself");
    // What it still said between the line and the kill was answered too.
    seen.into_iter().chain(output.filter_map(number)).max().map_or(0, |last| last + 1)
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
