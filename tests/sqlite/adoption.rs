//! Records without a link become ours (rule M3).

use pretty_assertions::assert_eq;

use super::*;

fn adopt<'w>(kind: Kind, id: &'w StoreId, external_id: &'w ExternalId) -> Write<'w> {
    Write::Adopt { kind, id, version: None, external_id }
}

const LINKS: &str = "SELECT issuer, value, user_pk, group_pk FROM external_ids ORDER BY issuer, value";

#[test]
fn an_adopted_record_gets_the_link_and_keeps_all_else() {
    // rules M3, P7
    let (_folder, path) = place();
    let store = SqliteStore::open(&path).unwrap();
    let ada = store.add_user(&named("ada").origin(Origin::Jit).inactive()).unwrap();
    let staff = store.add_group(&NewRecord::new([("displayName", "Staff")])).unwrap();
    let members = [ada.clone()];
    let (a, s) = (anchor("a"), anchor("s"));
    let (one, two) = (Version::from("1"), Version::from("2"));
    let answers = write(
        &store,
        [
            Write::AddMembers { id: &staff, version: Some(&one), members: &members },
            Write::Adopt { kind: Kind::User, id: &ada, version: Some(&one), external_id: &a },
            Write::Adopt { kind: Kind::Group, id: &staff, version: Some(&two), external_id: &s },
        ],
    );
    assert_eq!(answers, ["2", "2", "3"].map(now_at));
    assert_eq!(rows(&path, LINKS), ["ad|a|1|-", "ad|s|-|1"]);
    assert_eq!(
        rows(&path, "SELECT id, active, origin, version, inactive_by FROM users"),
        [format!("{}|0|synced|2|other", ada.as_str())]
    );
    assert_eq!(rows(&path, "SELECT value FROM user_attributes"), ["ada"]);
    assert_eq!(rows(&path, "SELECT value FROM group_attributes"), ["Staff"]);
    assert_eq!(store.counts().unwrap().memberships, 1);
    let by_link = [a, s];
    assert_eq!(read_users(&store, StoreSelect::ExternalIds(&by_link)).0, [ada.as_str()]);
    assert_eq!(read_groups(&store, StoreSelect::ExternalIds(&by_link)).0, [staff.as_str()]);
}

#[test]
fn a_link_that_some_record_carries_is_not_given_again() {
    // rules M1, M3, X2
    let (_folder, path) = place();
    let store = SqliteStore::open_with(&path, lenient()).unwrap();
    let (of_user, of_group) = (anchor("u"), anchor("g"));
    write(&store, [user(&of_user), group(&of_group)]);
    let (ada, staff) = (store.add_user(&named("ada")).unwrap(), store.add_group(&named("g")).unwrap());
    let nobody = StoreId::from("nobody");
    for link in [&of_user, &of_group] {
        let answers = write(
            &store,
            [
                adopt(Kind::User, &ada, link),
                adopt(Kind::Group, &staff, link),
                adopt(Kind::User, &nobody, link),
            ],
        );
        assert!(answers.iter().all(|answer| *answer == Err(ErrorKind::AlreadyExists)), "{answers:?}");
    }
    // The second of two equal adoptions is told that it is done, whatever version it expects.
    let (new, one) = (anchor("new"), Version::from("1"));
    let once = || Write::Adopt { kind: Kind::User, id: &ada, version: Some(&one), external_id: &new };
    assert_eq!(write(&store, [once(), once()]), [now_at("2"), Err(ErrorKind::AlreadyExists)]);
    assert_eq!(write_one(&store, once()), Err(ErrorKind::AlreadyExists));
    assert_eq!(rows(&path, LINKS), ["ad|g|-|1", "ad|new|2|-", "ad|u|1|-"]);
}

#[test]
fn a_record_with_a_link_of_whatever_issuer_is_not_adopted() {
    // rules M1, M3, M7
    let (_folder, path) = place();
    let store = SqliteStore::open_with(&path, lenient()).unwrap();
    let theirs = ExternalId::new("ldap", "1");
    let answers = write(&store, [user(&theirs), group(&ExternalId::new("ldap", "2"))]);
    let (u, g) = (created(&answers[0]), created(&answers[1]));
    let free = store.add_user(&named("ada")).unwrap();
    let (first, second, before) = (anchor("1"), anchor("2"), rows(&path, LINKS));
    let conflict = || Err(ErrorKind::Conflict);
    let answers = write(&store, [adopt(Kind::User, &u, &first), adopt(Kind::Group, &g, &first)]);
    assert_eq!(answers, [conflict(), conflict()]);
    assert_eq!(rows(&path, LINKS), before);
    // The same anchor of another issuer is another link; once it is ours, a further one is a conflict too.
    let answers = write(&store, [adopt(Kind::User, &free, &first), adopt(Kind::User, &free, &second)]);
    assert_eq!(answers, [now_at("2"), conflict()]);
    assert_eq!(rows(&path, "SELECT version, origin FROM users ORDER BY pk"), ["1|synced", "2|synced"]);
}

#[test]
fn a_record_that_is_missing_or_has_another_version_is_not_adopted() {
    // rules M3, P7
    let (_folder, path) = place();
    let store = SqliteStore::open_with(&path, lenient()).unwrap();
    let (ada, staff) = (store.add_user(&named("ada")).unwrap(), store.add_group(&named("g")).unwrap());
    let (link, nobody) = (anchor("1"), StoreId::from("nobody"));
    for (kind, id) in [(Kind::User, &staff), (Kind::Group, &ada), (Kind::User, &nobody)] {
        assert_eq!(write_one(&store, adopt(kind, id, &link)), Err(ErrorKind::NotFound));
    }
    for version in ["0", "2", ""].map(Version::from) {
        for (kind, id) in [(Kind::User, &ada), (Kind::Group, &staff)] {
            let late = Write::Adopt { kind, id, version: Some(&version), external_id: &link };
            assert_eq!(write_one(&store, late), Err(ErrorKind::Conflict));
        }
    }
    assert!(rows(&path, LINKS).is_empty());
    assert_eq!(rows(&path, "SELECT version, origin FROM users"), ["1|-"]);
}

#[test]
fn of_many_that_adopt_one_record_at_once_one_does() {
    // rules M1, M3
    let (_folder, path) = place();
    let store = SqliteStore::open_with(&path, lenient()).unwrap();
    let ids: Vec<_> = (0..50).map(|n| store.add_user(&named(&format!("user{n}"))).unwrap()).collect();
    let adopt_all = |issuer: usize| {
        let store = SqliteStore::open(&path).unwrap();
        let links = (0..50).map(|n| ExternalId::new(format!("issuer{issuer}"), n.to_string()));
        let links: Vec<_> = links.collect();
        let each = ids.iter().zip(&links).map(|(id, link)| write_one(&store, adopt(Kind::User, id, link)));
        each.collect::<Vec<_>>()
    };
    let answers = at_once(4, adopt_all);
    assert_eq!(answers.iter().filter(|answer| **answer == now_at("2")).count(), 50);
    assert_eq!(answers.iter().filter(|answer| **answer == Err(ErrorKind::Conflict)).count(), 150);
    assert_eq!(rows(&path, "SELECT count(*), count(DISTINCT user_pk) FROM external_ids"), ["50|50"]);
    assert_eq!(rows(&path, "SELECT DISTINCT version FROM users"), ["2"]);
}

#[test]
fn of_adoptions_and_creates_with_one_link_at_once_one_is_done() {
    // rules J4, M3
    let (_folder, path) = place();
    let store = SqliteStore::open_with(&path, lenient()).unwrap();
    let links = anchors("a", 50);
    let ids: Vec<_> = (0..100).map(|n| store.add_user(&named(&format!("user{n}"))).unwrap()).collect();
    let compete = |rival: usize| {
        let store = SqliteStore::open(&path).unwrap();
        let each = links.iter().enumerate().map(|(n, link)| match rival {
            0 | 1 => write_one(&store, adopt(Kind::User, &ids[rival * 50 + n], link)),
            2 => write_one(&store, user(link)),
            _ => write_one(&store, group(link)),
        });
        each.collect::<Vec<_>>()
    };
    let answers = at_once(4, compete);
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 50);
    assert_eq!(answers.iter().filter(|answer| **answer == Err(ErrorKind::AlreadyExists)).count(), 150);
    assert_eq!(rows(&path, "SELECT count(*) FROM external_ids"), ["50"]);
}

#[test]
fn a_reconcile_adopts_the_hosts_own_record_and_the_next_one_has_nothing_to_do() {
    // rules M3, P4
    let (_folder, path) = place();
    let store = SqliteStore::open(&path).unwrap();
    let ada = store.add_user(&named("ADA@example.com")).unwrap();
    let mut world = MemoryDirectory::new("ad");
    world.add_user("u1", &[("userPrincipalName", "ada@example.com"), ("displayName", "Ada")]);
    let mut options = Options::for_issuer("ad");
    options.soft_match.users.insert("userName".to_owned());
    let report = run(&world, &store, &["u1"], &options, RunState::default()).1;
    assert!(report.is_success(), "{report}");
    assert_eq!(rows(&path, LINKS), ["ad|u1|1|-"]);
    assert_eq!(rows(&path, "SELECT id, origin FROM users"), [format!("{}|synced", ada.as_str())]);
    assert!(run(&world, &store, &["u1"], &options, report.run).0.is_empty());
}
