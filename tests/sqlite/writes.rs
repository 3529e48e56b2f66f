//! What each write does, and when it is refused.

use pretty_assertions::assert_eq;

use super::*;

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
