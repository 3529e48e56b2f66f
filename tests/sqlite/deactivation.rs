//! Who made a user inactive (rule A7).

use pretty_assertions::assert_eq;

use super::*;

const ACTIVE: &str = "SELECT active, inactive_by, version FROM users ORDER BY pk";

fn set_active(id: &StoreId, active: bool) -> Write<'_> {
    Write::SetActive { id, version: None, active }
}

#[test]
fn nobody_made_an_active_user_inactive() {
    // rule A7
    let (_folder, path) = place();
    let store = SqliteStore::open_with(&path, lenient()).unwrap();
    let id = created(&write_one(&store, user(&anchor("1"))));
    store.add_user(&named("ada")).unwrap();
    write_one(&store, set_active(&id, true)).unwrap();
    assert!(!store.set_active(&id, true).unwrap());
    assert_eq!(rows(&path, ACTIVE), ["1|-|2", "1|-|1"]);
}

#[test]
fn it_is_remembered_who_made_a_user_inactive() {
    // rule A7
    let (_folder, path) = place();
    let store = SqliteStore::open_with(&path, lenient()).unwrap();
    let (one, two) = (anchor("1"), anchor("2"));
    let inactive = Write::CreateUser {
        external_id: &two,
        attributes: Attributes::EMPTY,
        active: false,
        origin: Origin::Synced,
    };
    let ids: Vec<_> = write(&store, [user(&one), inactive]).iter().map(created).collect();
    store.add_user(&named("ada").inactive()).unwrap();
    let bob = store.add_user(&named("bob")).unwrap();
    write_one(&store, set_active(&ids[0], false)).unwrap();
    assert!(store.set_active(&bob, false).unwrap());
    assert_eq!(rows(&path, ACTIVE), ["0|sync|2", "0|sync|1", "0|other|1", "0|other|2"]);
    drop(store);
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(rows(&path, ACTIVE), ["0|sync|2", "0|sync|1", "0|other|1", "0|other|2"]);
    // Made active by whomever, it is forgotten.
    write(&store, [set_active(&ids[0], true), set_active(&bob, true)]);
    assert!(store.set_active(&ids[1], true).unwrap());
    assert_eq!(rows(&path, ACTIVE), ["1|-|3", "1|-|2", "0|other|1", "1|-|3"]);
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.execute("UPDATE users SET inactive_by = 'somebody'", []).unwrap_err();
}

#[test]
fn an_administrators_lock_survives_our_own_deactivation() {
    // rule A7
    let (_folder, path) = place();
    let store = SqliteStore::open_with(&path, lenient()).unwrap();
    let id = created(&write_one(&store, user(&anchor("1"))));
    // Over ours …
    write_one(&store, set_active(&id, false)).unwrap();
    assert!(store.set_active(&id, false).unwrap());
    assert_eq!(rows(&path, ACTIVE), ["0|other|3"]);
    // … and under ours.
    assert_eq!(write_one(&store, set_active(&id, false)), now_at("4"));
    assert_eq!(rows(&path, ACTIVE), ["0|other|4"]);
}

#[test]
fn the_host_is_told_whether_its_lock_changed_anything() {
    // rule P7
    let (_folder, path) = place();
    let store = SqliteStore::open_with(&path, lenient()).unwrap();
    let id = store.add_user(&named("ada")).unwrap();
    let answers = [true, false, false, true, true].map(|active| store.set_active(&id, active).unwrap());
    assert_eq!(answers, [false, true, false, true, false]);
    assert_eq!(rows(&path, ACTIVE), ["1|-|3"]);
    let group = store.add_group(&named("g")).unwrap();
    for id in [group, "nobody".into()] {
        let error = store.set_active(&id, false).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}

#[test]
fn a_plan_made_before_the_lock_does_not_write_over_it() {
    // rules A7, P7
    let (_folder, path) = place();
    let store = SqliteStore::open_with(&path, lenient()).unwrap();
    let id = created(&write_one(&store, user(&anchor("1"))));
    assert_eq!(write_one(&store, set_active(&id, false)), now_at("2"));
    let planned = Version::from("2");
    assert!(store.set_active(&id, false).unwrap());
    for active in [true, false] {
        let late = Write::SetActive { id: &id, version: Some(&planned), active };
        assert_eq!(write_one(&store, late), Err(ErrorKind::Conflict));
    }
    assert_eq!(rows(&path, ACTIVE), ["0|other|3"]);
}

#[test]
fn the_next_reconcile_makes_ours_active_again_and_leaves_a_lock() {
    // rules A5, A7
    let (_folder, path) = place();
    let store = SqliteStore::open(&path).unwrap();
    let mut world = MemoryDirectory::new("ad");
    for user in ["ours", "locked", "both", "by hand"] {
        world.add_user(user, &[("userPrincipalName", user)]);
    }
    let assigned = ["ours", "locked", "both", "by hand"];
    let mut options = Options::for_issuer("ad");
    options.guards = Guards::off();
    let state = run(&world, &store, &assigned, &options, RunState::default()).1.run;
    for user in ["ours", "both"] {
        world.users.get_mut(user).unwrap().state = AccountState::Disabled;
    }
    let state = run(&world, &store, &assigned, &options, state).1.run;
    let id_of = |anchor: &str| {
        let link = [ExternalId::new("ad", anchor)];
        StoreId::from(read_users(&store, StoreSelect::ExternalIds(&link)).0.remove(0))
    };
    assert!(store.set_active(&id_of("locked"), false).unwrap());
    assert!(store.set_active(&id_of("both"), false).unwrap());
    // Another program that says nothing about itself is not us.
    let raw = rusqlite::Connection::open(&path).unwrap();
    let sql = "UPDATE users SET active = 0, version = version + 1 WHERE id = ?1";
    assert_eq!(raw.execute(sql, [id_of("by hand").as_str()]).unwrap(), 1);
    for user in ["ours", "both"] {
        world.users.get_mut(user).unwrap().state = AccountState::Enabled;
    }
    let (plan, report) = run(&world, &store, &assigned, &options, state);
    assert!(report.is_success(), "{report}");
    assert_eq!(plan.len(), 1);
    let locked = plan.diagnostics().iter().filter(|found| matches!(found, Diagnostic::Locked { .. })).count();
    assert_eq!(locked, 3);
    let sql = "SELECT value, active, inactive_by FROM users JOIN external_ids ON user_pk = pk ORDER BY value";
    assert_eq!(rows(&path, sql), ["both|0|other", "by hand|0|-", "locked|0|other", "ours|1|-"]);
    // The lock is taken back where it was set.
    assert!(store.set_active(&id_of("both"), true).unwrap());
}
