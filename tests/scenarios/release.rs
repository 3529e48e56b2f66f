//! Kept records give up names that are theirs no more (rule M4).

use identity_sync::{AttributeSchema, Deprovision, Guards, Kind, Limit, MatchRule, OnTrip, Origin, Period};
use pretty_assertions::assert_eq;

use crate::timeline::Timeline;
use crate::world::{World, capabilities};

/// `jdoe` is about to leave; deleted accounts are kept.
fn kept() -> World {
    let mut w = World::new();
    w.options.guards = Guards::off();
    w.options.users.deleted_in_source = Deprovision::Keep;
    w.user("0f7c-old-1").set("userPrincipalName", "jdoe");
    w.assign("0f7c-old-1");
    w.sync();
    w
}

#[test]
fn a_leaver_who_is_kept_gives_the_name_to_the_newcomer() {
    // rule M4
    let mut w = kept();
    w.delete("0f7c-old-1");
    w.user("new").set("userPrincipalName", "jdoe");
    w.assign("new");
    assert_eq!(
        w.lines()[..2],
        [
            "update user 0f7c-old-1 [userName: jdoe -> jdoe~0f7c-old] (NameReleased)",
            "create user new [userName=jdoe] (Entitled)",
        ]
    );
    w.sync();
    assert_ne!(w.id("new"), w.id("0f7c-old-1"));
}

#[test]
fn a_renamed_leaver_gets_the_current_name_where_that_is_free() {
    // rule M4
    let mut w = kept();
    w.unassign("0f7c-old-1");
    w.edit("0f7c-old-1").set("userPrincipalName", "jroe");
    w.user("new").set("userPrincipalName", "jdoe");
    w.assign("new");
    assert_eq!(w.lines()[0], "update user 0f7c-old-1 [userName: jdoe -> jroe] (NameReleased)");
    // Somebody else is entitled to that one, too.
    w.user("third").set("userPrincipalName", "jroe");
    w.assign("third");
    assert_eq!(w.lines()[0], "update user 0f7c-old-1 [userName: jdoe -> jdoe~0f7c-old] (NameReleased)");
    w.sync();
}

#[test]
fn whoever_still_maps_to_the_name_keeps_it() {
    // rules M4, M6
    let mut w = kept();
    w.unassign("0f7c-old-1");
    w.user("new").set("userPrincipalName", "jdoe");
    w.assign("new");
    assert!(w.lines()[1].contains("does not get its userName"), "{:?}", w.lines());
    // So does everybody of whom nobody knows what he maps to.
    w.hide("0f7c-old-1");
    assert!(w.lines()[1].contains("nothing proves") || w.lines().iter().any(|l| l.contains("does not get")));
    assert!(w.plan().is_empty());
}

#[test]
fn whoever_s_name_cannot_be_read_keeps_the_one_he_has() {
    // rules M4, A2: nobody knows what he maps to
    let mut w = kept();
    w.unassign("0f7c-old-1");
    w.edit("0f7c-old-1").set("userPrincipalName", "jroe").unreadable("userPrincipalName");
    w.user("new").set("userPrincipalName", "jdoe");
    w.assign("new");
    assert!(w.plan().is_empty(), "{}", w.plan());
    w.edit("0f7c-old-1").readable();
    assert_eq!(w.lines()[0], "update user 0f7c-old-1 [userName: jdoe -> jroe] (NameReleased)");
}

#[test]
fn whoever_came_by_sign_in_gives_no_name_up() {
    // rules J2, M4, M6
    let mut w = World::new();
    w.options.guards = Guards::off();
    w.record(Kind::User, "guest", "guest", &[("userName", "jdoe")]);
    w.store.state().users.get_mut("guest").unwrap().origin = Some(Origin::Jit);
    w.user("guest").set("userPrincipalName", "jroe");
    w.user("new").set("userPrincipalName", "jdoe");
    w.assign("new");
    assert!(w.plan().is_empty(), "{}", w.plan());
    assert!(w.lines()[0].contains("does not get its userName"), "{:?}", w.lines());
}

#[test]
fn no_name_is_released_for_somebody_who_does_not_take_it() {
    // rules M4, P3
    let mut store = capabilities();
    store.users.insert("title".into(), AttributeSchema::default().required());
    let mut w = World { store: World::with_store(store).store, ..kept() };
    w.edit("0f7c-old-1").set("title", "x");
    w.sync();
    w.delete("0f7c-old-1");
    // He has no title, so that no account can be made.
    w.user("new").set("userPrincipalName", "jdoe");
    w.assign("new");
    assert!(w.plan().is_empty(), "{}", w.plan());
}

#[test]
fn the_policy_can_be_switched_off() {
    // rule M4
    let mut w = kept();
    w.delete("0f7c-old-1");
    w.user("new").set("userPrincipalName", "jdoe");
    w.assign("new");
    w.options.release_names = false;
    assert!(w.plan().is_empty());
}

#[test]
fn a_protected_record_keeps_its_name() {
    // rules M4, M8
    let mut w = kept();
    w.delete("0f7c-old-1");
    w.user("new").set("userPrincipalName", "jdoe");
    w.assign("new");
    w.options.protected.anchors.insert("0f7c-old-1".into());
    assert!(w.plan().is_empty());
}

#[test]
fn within_a_grace_period_the_name_is_given_on_and_the_record_goes_later() {
    // rules M4, D1: a re-hire, a rename and a name clash in one run
    let mut w = World::new();
    w.options.guards = Guards::off();
    w.options.users.grace.deleted_in_source = Period::of_days(30);
    w.user("old").set("userPrincipalName", "jdoe").set("mail", "jdoe@x");
    w.user("ann").set("userPrincipalName", "ann");
    w.assign("old ann");
    let mut t = Timeline::start(w);
    let old = t.id("old");
    t.delete("old");
    t.user("rehired").set("userPrincipalName", "jdoe").set("mail", "jdoe@x");
    t.edit("ann").set("userPrincipalName", "ann.doe");
    t.user("other").set("userPrincipalName", "ann");
    t.assign("rehired other");
    assert_eq!(
        t.run()[..4],
        [
            "update user old [userName: jdoe -> jdoe~old] (NameReleased)",
            "update user ann [userName: ann -> ann.doe] (Changed)",
            "create user other [userName=ann] (Entitled)",
            "create user rehired [emails=jdoe@x userName=jdoe] (Entitled)",
        ]
    );
    assert!(t.plan().is_empty());
    assert_eq!(t.days(30).run()[0], "delete user old (DeletedInSource)");
    assert!(!t.store.state().users.contains_key(&old));
}

#[test]
fn a_held_create_holds_the_release_with_it() {
    // rules M4, D5
    let mut w = kept();
    w.delete("0f7c-old-1");
    w.user("new").set("userPrincipalName", "jdoe");
    w.assign("new");
    w.options.guards.grants = Some(Limit::new(Some(0), 0, 0));
    assert_eq!(w.plan().len(), 0);
    assert_eq!(w.plan().held().len(), 2);
    w.options.guards.on_trip = OnTrip::Abort;
    assert_eq!(w.plan().held().len(), 2);
}

#[test]
fn mail_addresses_and_groups_release_their_names_too() {
    // rule M4
    let mut store = capabilities();
    store.users.insert("emails".into(), AttributeSchema::unique(MatchRule::AsciiCaseFold));
    let mut w = World::with_store(store);
    w.options.guards = Guards::off();
    w.options.users.deleted_in_source = Deprovision::Keep;
    w.options.groups.deleted_in_source = Deprovision::Keep;
    w.user("old").set("mail", "jdoe@x");
    w.group("g-old", "").set("cn", "club");
    w.assign("old g-old");
    w.sync();
    w.delete("old");
    w.delete("g-old");
    w.user("new").set("mail", "JDOE@x");
    w.group("g-new", "").set("cn", "club");
    w.assign("new g-new");
    assert_eq!(
        w.lines()[..2],
        [
            "update user old [emails: jdoe@x -> jdoe~old@x] (NameReleased)",
            "update group g-old [displayName: club -> club~g-old] (NameReleased)",
        ]
    );
    w.sync();
}

#[test]
fn a_longer_piece_of_the_anchor_is_used_where_the_short_one_is_taken() {
    // rule M4
    let mut w = kept();
    w.user("squatter").set("userPrincipalName", "JDOE~0f7c-old");
    w.assign("squatter");
    w.sync();
    w.delete("0f7c-old-1");
    w.user("new").set("userPrincipalName", "jdoe");
    w.assign("new");
    assert_eq!(w.lines()[0], "update user 0f7c-old-1 [userName: jdoe -> jdoe~0f7c-old-1] (NameReleased)");
    w.sync();
}

/// Leavers who are kept, in a store whose addresses are unique and may be several.
fn addresses(of_old: &[&str]) -> World {
    let mut store = capabilities();
    let mut unique = AttributeSchema::unique(MatchRule::AsciiCaseFold);
    unique.multi_valued = true;
    store.users.insert("emails".into(), unique);
    let mut w = World::with_store(store);
    w.options.guards = Guards::off();
    w.options.users.deleted_in_source = Deprovision::Keep;
    w.options.user_map.set("emails", "${proxyAddresses}").unwrap();
    w.users("old");
    of_old.iter().for_each(|address| {
        w.edit("old").add("proxyAddresses", address);
    });
    w.assign("old");
    w.sync();
    w
}

#[test]
fn of_several_values_only_the_one_that_somebody_takes_is_given_up() {
    // rule M4
    let mut w = addresses(&["a@x", "b@x"]);
    w.delete("old");
    w.users("new");
    w.edit("new").add("proxyAddresses", "a@x");
    w.assign("new");
    assert_eq!(
        w.lines()[..2],
        [
            "update user old [emails: a@x|b@x -> a~old@x|b@x] (NameReleased)",
            "create user new [emails=a@x userName=new] (Entitled)",
        ]
    );
    w.sync();
}

#[test]
fn whoever_maps_to_the_rest_of_his_values_now_keeps_just_those() {
    // rule M4
    let mut w = addresses(&["a@x", "b@x"]);
    w.unassign("old");
    w.edit("old").unset("proxyAddresses").add("proxyAddresses", "b@x");
    w.users("new");
    w.edit("new").add("proxyAddresses", "a@x");
    w.assign("new");
    assert_eq!(w.lines()[0], "update user old [emails: a@x|b@x -> b@x] (NameReleased)");
    w.sync();
}

#[test]
fn a_login_that_looks_like_an_address_is_none() {
    // rule M4
    let mut w = World::new();
    w.options.guards = Guards::off();
    w.options.users.deleted_in_source = Deprovision::Keep;
    w.user("old").set("userPrincipalName", "jdoe@corp");
    w.assign("old");
    w.sync();
    w.delete("old");
    w.user("new").set("userPrincipalName", "jdoe@corp");
    w.assign("new");
    assert_eq!(w.lines()[0], "update user old [userName: jdoe@corp -> jdoe@corp~old] (NameReleased)");
    w.sync();
}

#[test]
fn a_name_that_somebody_gives_up_in_the_same_plan_is_not_invented_again() {
    // rules M4, P6
    let mut w = kept();
    w.user("squatter").set("userPrincipalName", "jdoe~0f7c-old");
    w.assign("squatter");
    w.sync();
    w.delete("0f7c-old-1");
    w.edit("squatter").set("userPrincipalName", "squatter");
    w.user("new").set("userPrincipalName", "jdoe");
    w.assign("new");
    assert!(
        w.lines().contains(
            &"update user 0f7c-old-1 [userName: jdoe -> jdoe~0f7c-old-1] (NameReleased)".to_owned()
        ),
        "{:?}",
        w.lines()
    );
    w.sync();
}

#[test]
fn the_name_of_somebody_who_is_deleted_in_the_same_plan_is_free() {
    // rules M4, P6
    let mut w = kept();
    w.options.users.deleted_in_source = Deprovision::Delete;
    w.user("gone").set("userPrincipalName", "jroe");
    w.assign("gone");
    w.sync();
    w.unassign("0f7c-old-1");
    w.edit("0f7c-old-1").set("userPrincipalName", "jroe");
    w.delete("gone");
    w.user("new").set("userPrincipalName", "jdoe");
    w.assign("new");
    assert_eq!(
        w.lines()[..3],
        [
            "delete user gone (DeletedInSource)",
            "update user 0f7c-old-1 [userName: jdoe -> jroe] (NameReleased)",
            "create user new [userName=jdoe] (Entitled)",
        ]
    );
    w.sync();
}

#[test]
fn a_release_is_held_only_where_all_who_take_its_values_are() {
    // rules M4, D5
    let mut w = addresses(&["a@x", "b@x"]);
    w.users("here");
    w.assign("here");
    w.sync();
    w.delete("old");
    w.edit("here").add("proxyAddresses", "a@x");
    w.users("new");
    w.edit("new").add("proxyAddresses", "b@x");
    w.assign("new");
    w.options.guards.grants = Some(Limit::new(Some(0), 0, 0));
    assert_eq!(
        w.lines()[..4],
        [
            "update user old [emails: a@x|b@x -> a~old@x|b~old@x] (NameReleased)",
            "update user here [emails:  -> a@x] (Changed)",
            "limit Grants: 1 > 0 of 2",
            "held by [0]: create user new [emails=b@x userName=new] (Entitled)",
        ]
    );
    w.edit("here").unset("proxyAddresses");
    assert_eq!((w.plan().len(), w.plan().held().len()), (0, 2));
}

#[test]
fn takers_who_are_held_by_different_limits_are_held_together_through_the_release() {
    // rules M4, D5
    let mut w = addresses(&["a@x", "b@x"]);
    w.users("one two");
    w.edit("one").set("title", "x");
    w.edit("two").set("company", "x");
    w.assign("one two");
    w.sync();
    w.delete("old");
    w.edit("one").unset("title").add("proxyAddresses", "a@x");
    w.edit("two").unset("company").add("proxyAddresses", "b@x");
    w.options.guards.clears_per_attribute = Some(Limit::new(Some(0), 0, 0));
    let lines = w.lines();
    assert_eq!(
        lines[2..5],
        [
            "held by [0, 1]: update user old [emails: a@x|b@x -> a~old@x|b~old@x] (NameReleased)",
            "held by [0, 1]: update user one [emails:  -> a@x, title: x -> ] (Changed)",
            "held by [0, 1]: update user two [emails:  -> b@x, organization: x -> ] (Changed)",
        ],
        "{lines:#?}"
    );
}

#[test]
fn a_release_that_waits_for_a_held_delete_is_held_by_nothing_else() {
    // rules M4, D5
    let mut w = kept();
    w.options.users.deleted_in_source = Deprovision::Delete;
    w.user("gone").set("userPrincipalName", "jroe");
    w.assign("gone");
    w.sync();
    w.unassign("0f7c-old-1");
    w.edit("0f7c-old-1").set("userPrincipalName", "jroe");
    w.delete("gone");
    w.user("new").set("userPrincipalName", "jdoe");
    w.assign("new");
    w.options.guards.user_deletes = Some(Limit::new(Some(0), 0, 0));
    w.options.guards.grants = Some(Limit::new(Some(0), 0, 0));
    let lines = w.lines();
    assert_eq!(
        lines[2..5],
        [
            "held by [0]: delete user gone (DeletedInSource)",
            "held by [0]: update user 0f7c-old-1 [userName: jdoe -> jroe] (NameReleased)",
            "held by [0, 1]: create user new [userName=jdoe] (Entitled)",
        ],
        "{lines:#?}"
    );
}

#[test]
fn two_who_are_kept_do_not_get_the_same_current_name() {
    // rules M4, M6
    let mut w = World::new();
    w.options.guards = Guards::off();
    // The least anchor has the choice, not the least store id.
    for (id, anchor, name) in [("2", "0f7c-old-1", "jdoe"), ("1", "0f7c-old-2", "jsmith")] {
        w.record(Kind::User, id, anchor, &[("userName", name)]);
        w.user(anchor).set("userPrincipalName", name);
        w.assign(anchor);
    }
    w.sync();
    for (old, new, name) in [("0f7c-old-1", "new1", "jdoe"), ("0f7c-old-2", "new2", "jsmith")] {
        w.unassign(old);
        w.edit(old).set("userPrincipalName", "jroe");
        w.user(new).set("userPrincipalName", name);
        w.assign(new);
    }
    assert_eq!(
        w.lines()[..2],
        [
            "update user 0f7c-old-1 [userName: jdoe -> jroe] (NameReleased)",
            "update user 0f7c-old-2 [userName: jsmith -> jsmith~0f7c-old] (NameReleased)",
        ]
    );
    w.sync();
}

#[test]
fn a_current_name_that_the_first_of_all_records_is_to_get_is_not_free() {
    // rules M4, M6
    let mut w = World::new();
    w.options.guards = Guards::off();
    w.record(Kind::User, "a", "first", &[("userName", "first")]);
    w.record(Kind::User, "b", "old", &[("userName", "jdoe")]);
    w.user("first").set("userPrincipalName", "jroe");
    w.user("old").set("userPrincipalName", "jroe");
    w.user("new").set("userPrincipalName", "jdoe");
    w.assign("first new");
    let lines = w.lines();
    assert!(
        lines.contains(&"update user old [userName: jdoe -> jdoe~old] (NameReleased)".to_owned()),
        "{lines:?}"
    );
    w.sync();
}

#[test]
fn a_current_name_that_an_update_of_the_same_plan_frees_can_be_had() {
    // rules M4, P6
    let mut w = kept();
    w.user("other").set("userPrincipalName", "jroe");
    w.assign("other");
    w.sync();
    w.unassign("0f7c-old-1");
    w.edit("0f7c-old-1").set("userPrincipalName", "jroe");
    w.edit("other").set("userPrincipalName", "somebody");
    w.user("new").set("userPrincipalName", "jdoe");
    w.assign("new");
    assert_eq!(
        w.lines()[..3],
        [
            "update user other [userName: jroe -> somebody] (Changed)",
            "update user 0f7c-old-1 [userName: jdoe -> jroe] (NameReleased)",
            "create user new [userName=jdoe] (Entitled)",
        ]
    );
    w.sync();
}

#[test]
fn current_values_can_be_had_all_together_or_not_at_all() {
    // rules M4, M6
    let mut w = addresses(&["a@x", "b@x"]);
    w.users("other");
    w.edit("other").add("proxyAddresses", "c@x");
    w.assign("other");
    w.sync();
    w.unassign("old");
    w.edit("old").unset("proxyAddresses").add("proxyAddresses", "b@x").add("proxyAddresses", "c@x");
    w.users("new");
    w.edit("new").add("proxyAddresses", "a@x");
    w.assign("new");
    assert_eq!(w.lines()[0], "update user old [emails: a@x|b@x -> a~old@x|b@x] (NameReleased)");
    w.sync();
}

#[test]
fn the_values_of_a_release_are_in_order_like_those_of_any_update() {
    // rules M4, P2
    let mut w = addresses(&["a@x", "a@y"]);
    w.delete("old");
    w.users("new");
    w.edit("new").add("proxyAddresses", "a@x");
    w.assign("new");
    assert_eq!(w.lines()[0], "update user old [emails: a@x|a@y -> a@y|a~old@x] (NameReleased)");
    w.sync();
}
