//! Names and links belong to one record each.

use pretty_assertions::assert_eq;

use super::*;

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
fn many_that_create_the_same_at_once_leave_one_record() {
    // rule J4
    let (_folder, path) = place();
    let links = anchors("u", 50);
    let create_all = |_| {
        let store = SqliteStore::open_with(&path, lenient()).unwrap();
        links.iter().map(|link| write_one(&store, user(link))).collect::<Vec<_>>()
    };
    let answers = at_once(4, create_all);
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 50);
    assert_eq!(answers.iter().filter(|answer| **answer == Err(ErrorKind::AlreadyExists)).count(), 150);
    assert_eq!(SqliteStore::open(&path).unwrap().counts().unwrap().users, 50);
}
