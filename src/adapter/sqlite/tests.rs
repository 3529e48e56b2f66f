//! What can be seen only from inside: the content of pages, creates with attributes, a full disk, a poisoned lock.

use pretty_assertions::assert_eq;

use super::*;
use crate::attributes::AttributeTable;
use crate::error::ErrorKind;
use crate::id::ExternalId;
use crate::model::Origin;
use crate::store::{Change, StoredRows, Write, Written};

/// The rows of a page as a person would write them down.
fn lines(rows: &StoredRows) -> Vec<String> {
    let line = |index: usize| {
        let (row, next) = (&rows.rows[index], rows.rows.get(index + 1));
        let by = if row.active { String::new() } else { format!(" by={:?}", row.deactivated_by) };
        let links = row.links..next.map_or(rows.anchors.len(), |next| next.links);
        let links = links.map(|i| format!("{}:{}", rows.issuers.at(i), rows.anchors.at(i)));
        let values = rows.attributes.row(index).iter().map(|(name, value)| format!("{name}={value}"));
        let members = next.map_or(rows.members.len(), |next| next.members) - row.members;
        format!(
            "v{} active={}{by} {:?} [{}] {} members={members}",
            row.version.as_deref().unwrap_or("?"),
            row.active,
            row.origin,
            links.collect::<Vec<_>>().join(" "),
            values.collect::<Vec<_>>().join(" "),
        )
    };
    (0..rows.rows.len()).map(line).collect()
}

fn users(store: &SqliteStore) -> Vec<String> {
    let mut page = StoredUserPage::default();
    pollster::block_on(store.read_users(StoreSelect::All, None, &mut page)).unwrap();
    lines(&page.0)
}

fn groups(store: &SqliteStore) -> Vec<String> {
    let mut page = StoredGroupPage::default();
    pollster::block_on(store.read_groups(StoreSelect::All, None, &mut page)).unwrap();
    lines(&page.0)
}

fn attributes(pairs: &[(&str, &str)]) -> AttributeTable {
    let mut table = AttributeTable::default();
    table.open_row();
    for (name, value) in pairs {
        let name = table.name_index(name);
        assert!(table.push(name, value));
    }
    table
}

fn write<'w>(
    store: &SqliteStore,
    writes: impl IntoIterator<Item = Write<'w>>,
) -> Vec<Result<Written, ErrorKind>> {
    let mut batch = WriteBatch::new();
    writes.into_iter().for_each(|write| batch.push(write));
    pollster::block_on(store.write(&mut batch)).unwrap();
    batch.into_answers().map(|answer| answer.unwrap().map_err(|error| error.kind())).collect()
}

#[test]
fn pages_give_back_what_was_written_byte_for_byte() {
    let store = SqliteStore::open_in_memory().unwrap();
    let bob = attributes(&[("userName", " Bob\0 "), ("emails", "z@x"), ("title", "ﬀ"), ("emails", "a@x")]);
    let staff = attributes(&[("displayName", "Staff")]);
    let (bob_link, staff_link) = (ExternalId::new("ad", "1"), ExternalId::new("ad", "2"));
    let answers = write(
        &store,
        [
            Write::CreateUser {
                external_id: &bob_link,
                attributes: bob.row(0),
                active: false,
                origin: Origin::Synced,
            },
            Write::CreateGroup { external_id: &staff_link, attributes: staff.row(0) },
        ],
    );
    let [Ok(user), Ok(group)] = answers.as_slice() else { panic!("refused: {answers:?}") };
    let ada = NewRecord::new([("userName", "ada")])
        .external_id(ExternalId::new("z", "9"))
        .external_id(ExternalId::new("a", "8"))
        .origin(Origin::Jit);
    store.add_user(&ada).unwrap();
    store.add_group(&NewRecord::new([("displayName", "empty")])).unwrap();
    let members = [user.id.clone().unwrap()];
    let id = group.id.as_ref().unwrap();
    let answers =
        write(&store, [Write::AddMembers { id, version: group.version.as_ref(), members: &members }]);
    assert_eq!(answers, [Ok(Written::done().with_version("2"))]);
    assert_eq!(
        users(&store),
        [
            "v1 active=false by=Sync Some(Synced) [ad:1] emails=z@x emails=a@x title=ﬀ userName= Bob\0  members=0",
            "v1 active=true Some(Jit) [a:8 z:9] userName=ada members=0",
        ]
    );
    assert_eq!(
        groups(&store),
        [
            "v2 active=true None [ad:2] displayName=Staff members=1",
            "v1 active=true None [] displayName=empty members=0",
        ]
    );
}

#[test]
fn pages_say_who_made_a_user_inactive() {
    // rule A7
    let store = SqliteStore::open_in_memory().unwrap();
    let ids = ["active", "sync", "host", "lock", "unknown"].map(|name| {
        let record = NewRecord::new([("userName", name)]);
        store.add_user(&if name == "host" { record.inactive() } else { record }).unwrap()
    });
    let answers = write(&store, [Write::SetActive { id: &ids[1], version: None, active: false }]);
    assert_eq!(answers, [Ok(Written::done().with_version("2"))]);
    assert!(store.set_active(&ids[3], false).unwrap());
    // Who writes past this adapter is somebody else; and a word that is left beside an active user says nothing.
    let past = "UPDATE users SET active = 0 WHERE id = ?1";
    store.connection().execute(past, [ids[4].as_str()]).unwrap();
    let past = "UPDATE users SET inactive_by = 'sync' WHERE id = ?1";
    store.connection().execute(past, [ids[0].as_str()]).unwrap();
    assert_eq!(
        users(&store),
        [
            "v1 active=true None [] userName=active members=0",
            "v2 active=false by=Sync None [] userName=sync members=0",
            "v1 active=false by=Other None [] userName=host members=0",
            "v2 active=false by=Other None [] userName=lock members=0",
            "v1 active=false by=Other None [] userName=unknown members=0",
        ]
    );
    // Our own deactivation does not make one of these ours.
    write(&store, ids[2..].iter().map(|id| Write::SetActive { id, version: None, active: false }));
    assert_eq!(users(&store).iter().filter(|line| line.contains("by=Other")).count(), 3);
}

#[test]
fn a_create_that_the_schema_forbids_leaves_nothing() {
    let store = SqliteStore::open_in_memory().unwrap();
    store.add_user(&NewRecord::new([("userName", "bob")])).unwrap();
    let link = ExternalId::new("ad", "1");
    let tables = [
        attributes(&[("title", "without a name")]),
        attributes(&[("userName", "ada"), ("title", "one"), ("title", "two")]),
        attributes(&[("userName", "ＢＯＢ")]),
    ];
    let writes = tables.iter().map(|table| Write::CreateUser {
        external_id: &link,
        attributes: table.row(0),
        active: true,
        origin: Origin::Synced,
    });
    let answers = write(&store, writes);
    assert_eq!(answers, [Err(ErrorKind::Invalid), Err(ErrorKind::Invalid), Err(ErrorKind::AlreadyExists)]);
    assert_eq!(users(&store), ["v1 active=true None [] userName=bob members=0"]);
}

#[test]
fn a_full_disk_is_told_and_takes_the_whole_batch_back() {
    // rule X1
    let store = SqliteStore::open_in_memory().unwrap();
    let id = store.add_user(&NewRecord::new([("userName", "before")])).unwrap();
    // The pragma answers the new bound.
    let set_bound = |pages: i64| {
        let sql = format!("PRAGMA max_page_count = {pages}");
        store.connection().query_row(&sql, [], |_| Ok(())).unwrap();
    };
    let pages: i64 = store.connection().pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    set_bound(pages + 2);
    let new = vec!["x".repeat(100_000)];
    let changes = [Change { attribute: "title".to_owned(), old: Vec::new(), new }];
    let mut batch = WriteBatch::new();
    batch.push(Write::SetActive { id: &id, version: None, active: false });
    batch.push(Write::UpdateUser { id: &id, version: None, changes: &changes, origin: None });
    let error = pollster::block_on(store.write(&mut batch)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::QuotaExceeded);
    assert!(batch.into_answers().all(|answer| answer.is_none()));
    set_bound(1_000_000);
    assert_eq!(users(&store), ["v1 active=true None [] userName=before members=0"]);
    store.add_user(&NewRecord::new([("userName", "after")])).unwrap();
}

#[test]
fn an_item_that_has_its_answer_is_not_performed_again() {
    // rule X4
    let store = SqliteStore::open_in_memory().unwrap();
    let id = store.add_user(&NewRecord::new([("userName", "ada")])).unwrap();
    let mut batch = WriteBatch::new();
    batch.push(Write::DeleteUser { id: &id, version: None });
    batch.push(Write::SetActive { id: &id, version: None, active: false });
    batch.items().next().unwrap().answer(Err(StoreError::new(ErrorKind::Transient, "another store said so")));
    pollster::block_on(store.write(&mut batch)).unwrap();
    let answers: Vec<_> = batch.into_answers().map(Option::unwrap).collect();
    assert!(answers[0].as_ref().unwrap_err().is_transient());
    assert_eq!(answers[1].as_ref().unwrap(), &Written::done().with_version("2"));
}

#[test]
fn a_poisoned_lock_is_rolled_back_and_the_store_goes_on() {
    let store = SqliteStore::open_in_memory().unwrap();
    let panic = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let connection = store.connection();
            connection.execute_batch("BEGIN; INSERT INTO assignments (value) VALUES ('half')").unwrap();
            panic!("while the lock is held");
        });
        thread.join()
    });
    assert!(panic.is_err());
    assert!(store.assign(&Principal::Stored("whole".into())).unwrap());
    assert_eq!(store.assignments().unwrap(), [Principal::Stored("whole".into())]);
}

/// Says to this test binary, started as a child, in which folder the files are.
const OPENER: &str = "IDENTITY_SYNC_TEST_NEW_FILES";
/// Files, one after the other, that all processes open as soon as they can.
const NEW_FILES: usize = 40;

#[test]
fn a_new_file_may_be_opened_by_several_processes_at_once() {
    // rule X4
    const CHILDREN: usize = 4;
    let file = |folder: &Path, number: usize| folder.join(format!("{number}.db"));
    if let Some(folder) = std::env::var_os(OPENER) {
        let folder = Path::new(&folder);
        while !folder.join("go").exists() {
            std::thread::yield_now();
        }
        let mine = NewRecord::new([("userName", std::process::id().to_string())]);
        for number in 0..NEW_FILES {
            // Opened anew: the last one that closes takes the write-ahead log away, beside the others.
            let open = || SqliteStore::open(file(folder, number)).unwrap();
            open().add_user(&mine).unwrap();
            assert!(open().counts().unwrap().users >= 1);
        }
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let test = "adapter::sqlite::tests::a_new_file_may_be_opened_by_several_processes_at_once";
    let child = || {
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args([test, "--exact", "--nocapture"]).env(OPENER, folder.path());
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped()).spawn().unwrap()
    };
    let children: Vec<_> = (0..CHILDREN).map(|_| child()).collect();
    std::fs::write(folder.path().join("go"), "").unwrap();
    for child in children {
        let ended = child.wait_with_output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    }
    for number in 0..NEW_FILES {
        let store = SqliteStore::open(file(folder.path(), number)).unwrap();
        assert_eq!(store.counts().unwrap().users as usize, CHILDREN);
    }
}

#[test]
fn a_new_file_is_made_once_nobody_reads_it_any_more() {
    // rule X3: a reader holds no write lock, and is in the way of the switch to a write-ahead log all the same
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new.db");
    let reader = Connection::open(&path).unwrap();
    let look = || reader.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema").unwrap();
    look();
    let hurried = SqliteOptions::new().busy_timeout(std::time::Duration::ZERO);
    assert!(SqliteStore::open_with(&path, hurried).unwrap_err().is_transient());
    std::thread::scope(|scope| {
        let made = scope.spawn(|| SqliteStore::open(&path));
        std::thread::sleep(std::time::Duration::from_millis(300));
        reader.execute_batch("ROLLBACK").unwrap();
        made.join().unwrap().unwrap().add_user(&NewRecord::new([("userName", "ada")])).unwrap();
    });
}

#[test]
fn every_statement_finds_its_rows_by_an_index() {
    let store = SqliteStore::open_in_memory().unwrap();
    let connection = store.connection();
    let users = statements::Statements::of(Kind::User);
    let groups = statements::Statements::of(Kind::Group);
    for statements in [users, groups] {
        let bound = [
            (statements.find, 1),
            (statements.bump, 1),
            (statements.delete, 1),
            (statements.clear_values, 2),
            (statements.heads, 2),
            (statements.head_by_id, 1),
            (statements.head_by_link, 2),
            (statements.head_by_key, 2),
            (statements.values, 2),
            (statements.links, 2),
            (statements.own_links, 1),
            (write::LINK, 2),
            (write::SET_ACTIVE, 3),
            (read::MEMBERS_OF, 2),
        ];
        for (sql, parameters) in bound {
            let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let parameters = rusqlite::params_from_iter(vec![1; parameters]);
            let plan = statement.query_map(parameters, |row| row.get::<_, String>(3)).unwrap();
            for step in plan {
                let step = step.unwrap();
                assert!(!step.contains("SCAN") && !step.contains("TEMP B-TREE"), "{sql}: {step}");
            }
        }
    }
}
