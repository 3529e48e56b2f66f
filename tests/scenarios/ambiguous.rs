//! Anchors and records of which nobody can tell who is meant (rule M5).

use identity_sync::{Deprovision, ExternalId, Kind, Principal};
use pretty_assertions::assert_eq;

use crate::world::{CORP, World};

fn changes(w: &World) -> Vec<String> {
    w.lines().into_iter().filter(|line| !line.starts_with("note")).collect()
}

#[test]
fn a_record_keeps_whom_any_of_its_anchors_has_also_where_another_record_of_one_is_retired() {
    // rules M5, D1
    let mut w = World::new();
    w.users("ada bob kim");
    w.group("one", "ada");
    w.group("two", "bob");
    w.assign("two ada kim");
    w.options.groups.left_scope = Deprovision::Deactivate;
    for anchor in ["ada", "bob", "kim"] {
        w.record(Kind::User, anchor, anchor, &[("userName", anchor)]);
    }
    // The first record carries one anchor, which nobody is assigned to; the second carries both.
    w.record(Kind::Group, "g1", "one", &[("displayName", "one")]);
    w.record(Kind::Group, "g2", "one two", &[("displayName", "two")]);
    for member in ["ada", "bob", "kim"] {
        w.put_member("g1", member);
        w.put_member("g2", member);
    }
    assert_eq!(
        changes(&w),
        ["remove one: ada bob kim (GroupRetired)", "remove one: kim (NoPath)", "kept group one"]
    );
}

#[test]
fn a_user_record_with_the_anchor_of_a_group_takes_nobody_out_of_another_group() {
    // rule M5
    let mut w = World::new();
    w.users("ada");
    w.group("staff", "");
    w.group("other", "ada");
    w.assign("staff other ada");
    w.record(Kind::User, "u0", "staff", &[("userName", "staff")]);
    w.record(Kind::User, "u1", "ada", &[("userName", "ada")]);
    w.record(Kind::Group, "g0", "other", &[("displayName", "other")]);
    w.record(Kind::Group, "g1", "staff", &[("displayName", "staff")]);
    w.put_member("g0", "u1");
    assert_eq!(changes(&w), [""; 0]);
}

#[test]
fn an_anchor_that_a_record_carries_twice_is_carried_once() {
    // rule M5
    let mut w = World::new();
    w.users("ada bob");
    w.assign("ada bob");
    let notes = [
        "note: ambiguous: ada: its store record carries another anchor, too",
        "note: ambiguous: bob: its store record carries another anchor, too",
    ];
    for anchors in ["ada bob", "ada bob bob", "ada bob ada bob"] {
        w.record(Kind::User, "u", anchors, &[("userName", "both")]);
        assert_eq!(w.lines(), notes, "{anchors}");
    }
    w.unassign("bob");
    w.record(Kind::User, "u", "ada ada", &[("userName", "both")]);
    assert_eq!(w.lines(), ["update user ada [userName: both -> ada] (Changed)"]);
}

#[test]
fn who_carries_two_anchors_and_lost_one_is_not_said_to_be_entitled_by_it() {
    // rules M5, E11, E12
    let mut w = World::new();
    w.users("bob");
    w.group("staff", "bob ada");
    w.record(Kind::User, "u", "ada bob", &[("userName", "both")]);
    w.source.tombstones.push("ada".to_owned());
    w.assigned.principals.insert(Principal::Stored("u".into()));
    let (run, host) = (identity_sync::Run::default(), identity_sync::Host::default());
    let found = identity_sync::reconcile(&w.source, &w.store, &w.assigned, &w.options, &run, &host);
    let evidence = pollster::block_on(found).unwrap().evidence;
    let why = |anchor: &str| evidence.explain(&crate::world::anchor(anchor)).unwrap().to_string();
    assert_eq!(why("bob"), "entitled: assigned directly");
    assert_eq!(why("ada"), "not entitled: no group has this member");
    assert_eq!(w.assigned.principals.len(), 1);
    assert_eq!(ExternalId::new(CORP, "ada").value.as_str(), "ada");
}

#[test]
fn a_gone_anchor_or_one_that_is_no_principal_of_a_record_hides_nobody() {
    // rules M5, E9
    for gone in [true, false] {
        let mut w = World::new();
        w.users("ada kim");
        w.group("one", "ada");
        w.assign("one ada kim");
        for anchor in ["ada", "kim"] {
            w.record(Kind::User, anchor, anchor, &[("userName", anchor)]);
        }
        w.record(Kind::Group, "g", "one two", &[("displayName", "one")]);
        w.put_member("g", "ada");
        w.put_member("g", "kim");
        w.source.answers.insert("two".to_owned(), identity_sync::Existence::Unknown);
        assert!(w.plan().is_empty(), "nobody knows what the other anchor has");
        let answer = match gone {
            true => identity_sync::Existence::Gone,
            false => identity_sync::Existence::Exists { kind: identity_sync::MemberKind::Other },
        };
        w.source.answers.insert("two".to_owned(), answer);
        assert_eq!(changes(&w), ["remove one: kim (NoPath)"]);
    }
}

#[test]
fn two_records_of_one_group_are_said_to_be_just_that() {
    // rule M5
    let mut w = World::new();
    w.group("staff", "");
    w.assign("staff");
    w.record(Kind::Group, "g1", "staff", &[("displayName", "one")]);
    w.record(Kind::Group, "g2", "staff", &[("displayName", "two")]);
    let finding = "note: ambiguous: staff: more than one store record carries it";
    assert!(w.lines().contains(&finding.to_owned()), "{:?}", w.lines());
    assert!(w.lines().iter().all(|line| line == finding), "{:?}", w.lines());
}

#[test]
fn the_order_of_the_links_of_a_record_says_nothing() {
    // rules M5, P2
    let planned = |anchors: &str| {
        let mut w = World::new();
        w.options.guards = identity_sync::Guards::off();
        w.users("ada zed");
        w.record(Kind::User, "x", anchors, &[("userName", "ada")]);
        w.assign("zed");
        w.edit("ada").disabled();
        serde_json::to_string(&w.plan()).unwrap()
    };
    assert_eq!(planned("ada zed"), planned("zed ada"));
}

#[test]
fn whoever_is_user_and_group_at_once_stays_where_the_list_has_him() {
    // rules M5, E4
    let mut w = World::new();
    w.options.guards = identity_sync::Guards::off();
    w.users("ada x");
    w.group("staff", "ada x");
    w.assign("staff");
    w.sync();
    w.group("x", "");
    let lines = w.lines();
    assert!(lines.iter().all(|line| line.starts_with("note: ")), "{lines:?}");
}
