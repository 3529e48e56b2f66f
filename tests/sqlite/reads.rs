//! What is read, and what the store says of itself.

use pretty_assertions::assert_eq;

use super::*;

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
    assert_eq!(first.adoption, Adoption::Supported);
    assert_eq!(first.deactivation, DeactivationMemory::Remembered);
    assert_eq!((first.batch, first.members_per_write), (1_000, 10_000));
    assert!(first.users["userName"].unique && first.users["userName"].required);
    assert_eq!(SqliteStore::open(&path).unwrap().capabilities(), first);
    assert_ne!(SqliteStore::open_in_memory().unwrap().capabilities().identity, first.identity);
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
