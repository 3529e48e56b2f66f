//! Names that more than one wants (rules M2, M4, M6).

use identity_sync::{AttributeSchema, Deprovision, Guards, Kind, Limit, MatchRule};
use pretty_assertions::assert_eq;

use crate::world::{NOTHING, World, capabilities, record};

#[test]
fn names_that_differ_in_case_or_width_are_one_name_and_nobody_gets_it() {
    // rules M2, M6
    let held = "does not get its userName: another one maps to the same value";
    for (one, two) in [("Bob", "bob"), ("Bob", "ｂｏｂ"), ("STRASSE", "straße"), ("ſam", "SAM")] {
        let mut w = World::new();
        w.user("1").set("userPrincipalName", one);
        w.user("2").set("userPrincipalName", two);
        w.assign("1 2");
        assert_eq!(
            w.lines(),
            [format!("note: user 1 {held}"), format!("note: user 2 {held}")],
            "{one} {two}"
        );
    }
    let mut w = World::new();
    w.user("1").set("userPrincipalName", "mıke");
    w.user("2").set("userPrincipalName", "mike");
    w.assign("1 2");
    assert_eq!(w.plan().len(), 2);
}

#[test]
fn the_store_declares_the_rule_of_each_unique_attribute() {
    // rule M2
    for (rule, created) in [(MatchRule::Exact, 2), (MatchRule::AsciiCaseFold, 0)] {
        let mut store = capabilities();
        store.users.insert("userName".to_owned(), AttributeSchema::unique(rule).required());
        let mut w = World::with_store(store);
        w.user("1").set("userPrincipalName", "Bob");
        w.user("2").set("userPrincipalName", "bob");
        w.assign("1 2");
        assert_eq!(w.plan().len(), created, "{rule:?}");
    }
}

#[test]
fn the_case_of_what_is_written_is_that_of_the_source() {
    // rules M2, A4
    let mut w = World::new();
    w.user("1").set("userPrincipalName", "Ada.King");
    w.assign("1");
    w.sync();
    assert_eq!(w.dump(), ["user 1 [userName=Ada.King]"]);
    w.edit("1").set("userPrincipalName", "ADA.king");
    assert_eq!(w.lines(), NOTHING);
}

/// 1 has the login ada and is in staff; then 1 is deleted, and the newcomer 2 has its login.
fn login_used_again() -> World {
    let mut w = World::new();
    w.user("1").set("userPrincipalName", "ada");
    w.group("staff", "1");
    w.group("admins", "1");
    w.assign("staff admins");
    w.sync();
    w.delete("1");
    w.user("2").set("userPrincipalName", "ada");
    w.edit_group("staff").members("2");
    w
}

#[test]
fn a_login_used_again_is_a_delete_and_then_a_create_that_inherits_nothing() {
    // rules M4, P6
    let w = login_used_again();
    let old = w.id("1");
    assert_eq!(
        w.lines(),
        [
            "delete user 1 (DeletedInSource)",
            "create user 2 [userName=ada] (Entitled)",
            "add staff: 2 (Entitled)",
        ]
    );
    assert_eq!(w.plan().operations().nth(1).unwrap().after(), [0]);
    w.sync();
    assert_ne!(w.id("2"), old);
    assert_eq!(
        w.dump(),
        [
            "group admins [displayName=admins]: ",
            "group staff [displayName=staff]: 2",
            "user 2 [userName=ada]"
        ]
    );
}

#[test]
fn a_login_used_again_over_two_runs_inherits_nothing_either() {
    // rule M4
    let mut w = login_used_again();
    let newcomer = w.source.users.pop().unwrap();
    w.edit_group("staff").members("");
    w.options.allow_empty.users = true;
    w.sync();
    w.source.users.push(newcomer);
    w.edit_group("staff").members("2");
    w.sync();
    assert_eq!(
        w.dump(),
        [
            "group admins [displayName=admins]: ",
            "group staff [displayName=staff]: 2",
            "user 2 [userName=ada]"
        ]
    );
}

#[test]
fn a_held_delete_holds_the_creation_that_needs_its_name() {
    // rules M4, D5
    let mut w = login_used_again();
    w.options.guards.user_deletes = Some(Limit::new(Some(0), 0, 0));
    w.users("kim");
    w.edit_group("staff").members("2 kim");
    assert_eq!(
        w.lines(),
        [
            "create user kim [userName=kim] (Entitled)",
            "add staff: kim (Entitled)",
            "limit UserDeletes: 1 > 0 of 1",
            "held by [0]: delete user 1 (DeletedInSource)",
            "held by [0]: create user 2 [userName=ada] (Entitled)",
            "held by [0]: add staff: 2 (Entitled)",
        ]
    );
}

#[test]
fn while_the_old_record_may_still_be_alive_the_newcomer_waits() {
    // rules M4, M6, C3
    let mut w = login_used_again();
    w.source.answers.clear();
    let old = w.id("1");
    let lines = w.lines();
    assert_eq!(
        lines.last().unwrap(),
        &format!("note: user 2 does not get its userName: record {old} has the value")
    );
    assert!(w.plan().is_empty() || lines[0].starts_with("remove"), "{lines:#?}");
    assert!(!lines.iter().any(|line| line.starts_with("create user 2")));
}

#[test]
fn whoever_holds_a_name_and_still_maps_to_it_keeps_it() {
    // rule M6
    let mut w = World::new();
    w.user("1").set("userPrincipalName", "ada");
    w.assign("1");
    w.sync();
    let holder = w.id("1");
    w.user("2").set("userPrincipalName", "ADA");
    w.assign("2");
    assert_eq!(w.lines(), [format!("note: user 2 does not get its userName: record {holder} has the value")]);
}

#[test]
fn all_else_about_a_quarantined_name_goes_on() {
    // rule M6
    let mut w = World::new();
    w.users("1 2");
    w.group("staff", "1");
    w.assign("1 2 staff");
    w.sync();
    let holder = w.id("1");
    w.edit("2").set("userPrincipalName", "1").set("title", "clerk");
    w.edit_group("staff").members("1 2");
    let note = format!("note: user 2 does not get its userName: record {holder} has the value");
    assert_eq!(
        w.lines(),
        ["update user 2 [title:  -> clerk] (Changed)", "add staff: 2 (Entitled)", note.as_str()]
    );
    w.edit("2").disabled();
    assert_eq!(w.lines()[0], "deactivate 2 (DisabledInSource)");
    w.delete("2");
    w.unassign("2");
    assert_eq!(w.lines(), ["delete user 2 (DeletedInSource)"]);
}

#[test]
fn an_optional_unique_value_that_is_taken_is_left_out_of_the_create() {
    // rules M6, M7
    let mut store = capabilities();
    store.users.insert("title".to_owned(), AttributeSchema::unique(MatchRule::NfkcCasefold));
    let mut w = World::with_store(store);
    w.put(Kind::User, "local", record(&[("userName", "local"), ("title", "boss")]));
    w.user("1").set("title", "Boss");
    w.assign("1");
    assert_eq!(
        w.lines(),
        [
            "create user 1 [userName=1] (Entitled)",
            "note: user 1 does not get its title: record local has the value",
        ]
    );
}

#[test]
fn a_name_that_an_unmanaged_record_holds_is_our_conflict() {
    // rules M7, M6
    let mut w = World::new();
    w.users("ada");
    w.assign("ada");
    w.put(Kind::User, "local", record(&[("userName", "ADA")]));
    let expected = ["note: user ada does not get its userName: record local has the value"];
    assert_eq!(w.lines(), expected);
    w.run();
    // On every run.
    assert_eq!(w.lines(), expected);
    assert_eq!(w.dump(), ["user #local [userName=ADA]"]);
}

#[test]
fn a_holder_that_gives_its_name_up_frees_it_in_the_same_plan() {
    // rules M6, P6
    let mut w = World::new();
    w.users("1 2");
    w.assign("1 2");
    w.sync();
    w.edit("1").set("userPrincipalName", "2");
    w.edit("2").set("userPrincipalName", "3");
    assert_eq!(
        w.lines(),
        ["update user 2 [userName: 2 -> 3] (Changed)", "update user 1 [userName: 1 -> 2] (Changed)",]
    );
    w.sync();
}

#[test]
fn a_chain_of_names_that_ends_at_a_taken_one_stays_as_it_is() {
    // rule M6
    let mut w = World::new();
    w.users("1 2 3");
    w.assign("1 2 3");
    w.sync();
    w.put(Kind::User, "local", record(&[("userName", "4")]));
    // 1 takes 2's name, 2 takes 3's, 3 wants the one that is not free.
    for (anchor, name) in [("1", "2"), ("2", "3"), ("3", "4")] {
        w.edit(anchor).set("userPrincipalName", name).set("title", "moved");
    }
    let (two, three) = (w.id("2"), w.id("3"));
    let note = |who: &str, holder: &str| {
        format!("note: user {who} does not get its userName: record {holder} has the value")
    };
    assert_eq!(
        w.lines(),
        [
            "update user 1 [title:  -> moved] (Changed)".to_owned(),
            "update user 2 [title:  -> moved] (Changed)".to_owned(),
            "update user 3 [title:  -> moved] (Changed)".to_owned(),
            note("1", &two),
            note("2", &three),
            note("3", "local"),
        ]
    );
}

#[test]
fn two_that_want_a_name_that_its_holder_gives_up_both_wait() {
    // rule M6
    let mut w = World::new();
    w.users("1 2 3");
    w.assign("1 2 3");
    w.sync();
    w.edit("1").set("userPrincipalName", "free");
    w.edit("2").set("userPrincipalName", "1");
    w.edit("3").set("userPrincipalName", "1");
    let lines = w.lines();
    assert_eq!(lines[0], "update user 1 [userName: 1 -> free] (Changed)");
    assert_eq!(lines.len(), 3, "{lines:#?}");
    assert!(lines[1].starts_with("note: user 2 does not get its userName"));
    assert!(lines[2].starts_with("note: user 3 does not get its userName"));
}

#[test]
fn a_claim_counts_even_where_its_object_can_never_be_created() {
    // rules M6, A3
    let mut store = capabilities();
    store.users.insert("title".to_owned(), AttributeSchema::unique(MatchRule::Exact));
    let mut w = World::with_store(store);
    // 1 has no login and cannot be created, but it maps to the same title.
    w.user("1").unset("userPrincipalName").set("title", "boss");
    w.user("2").set("title", "boss");
    w.assign("1 2");
    assert_eq!(w.lines()[0], "create user 2 [userName=2] (Entitled)");
}

#[test]
fn a_record_that_is_kept_holds_its_name() {
    // rules M6, D3
    let mut w = World::new();
    w.users("1 2");
    w.assign("1 2");
    w.sync();
    w.unassign("1");
    w.edit("1").set("userPrincipalName", "renamed");
    w.edit("2").set("userPrincipalName", "1");
    let holder = w.id("1");
    w.options.release_names = false;
    assert_eq!(
        w.lines(),
        [
            "kept user 1".to_owned(),
            format!("note: user 2 does not get its userName: record {holder} has the value")
        ]
    );
    w.options.users.left_scope = Deprovision::Delete;
    w.options.guards = Guards::off();
    assert_eq!(w.lines(), ["delete user 1 (LeftScope)", "update user 2 [userName: 2 -> 1] (Changed)"]);
    w.sync();
}

#[test]
fn a_record_without_its_required_name_is_a_finding_though_nothing_differs() {
    // rule A3
    let mut w = World::new();
    w.users("ada");
    w.edit("ada").unset("userPrincipalName").set("title", "x");
    w.assign("ada");
    w.record(Kind::User, "u", "ada", &[("title", "x")]);
    assert_eq!(w.lines(), ["note: user ada has no userName, which is required"]);
}

#[test]
fn of_several_records_that_hold_what_two_of_ours_want_the_least_is_named() {
    // rules M6, P2
    let mut w = World::new();
    for id in ["m", "k", "z"] {
        w.put(Kind::User, id, record(&[("userName", "jdoe")]));
    }
    w.user("one").set("userPrincipalName", "jdoe");
    w.user("two").set("userPrincipalName", "jdoe");
    w.assign("one two");
    let told: Vec<bool> = w.lines().iter().map(|line| line.ends_with("record k has the value")).collect();
    assert_eq!(told, [true, true], "{:?}", w.lines());
}

#[test]
fn members_of_a_group_that_waits_for_a_held_name_are_held_with_it() {
    // rules D5, M4
    let mut w = World::new();
    w.options.guards = Guards::off();
    w.users("ada");
    w.group("old", "").set("cn", "club");
    w.assign("ada old");
    w.sync();
    w.delete("old");
    w.group("new", "ada").set("cn", "club");
    w.assign("new");
    w.options.guards.group_deletes = Some(Limit::new(Some(0), 0, 0));
    assert_eq!(
        w.lines()[1..4],
        [
            "held by [0]: delete group old (DeletedInSource)",
            "held by [0]: create group new [displayName=club] (Entitled)",
            "held by [0]: add new: ada (Entitled)",
        ],
        "{:#?}",
        w.lines()
    );
    let plan = w.plan();
    assert!(plan.is_empty());
    // Among themselves they wait as they would if they ran.
    assert_eq!(plan.held().nth(1).unwrap().operation.after(), [0]);
}
