//! Pairing both sides: by external id only (rules M1, M5, M7, M8).

use identity_sync::memory::MemoryRecord;
use identity_sync::{ExternalId, Kind, Options, UnmanagedMembers};
use pretty_assertions::assert_eq;

use crate::world::{CORP, NOTHING, World, record};

#[test]
fn a_rename_is_one_update_and_keeps_id_assignments_and_memberships() {
    // rules M1, P3
    let mut w = World::new();
    w.user("ada").set("mail", "ada@old").set("title", "engineer");
    w.group("staff", "ada");
    w.assign("staff");
    w.sync();
    let (ada, staff) = (w.id("ada"), w.id("staff"));
    w.edit("ada").set("userPrincipalName", "ada.king").set("mail", "ada@new");
    w.edit_group("staff").set("cn", "people");
    assert_eq!(
        w.lines(),
        [
            "update user ada [userName: ada -> ada.king, emails: ada@old -> ada@new] (Changed)",
            "update group staff [displayName: staff -> people] (Changed)",
        ]
    );
    w.sync();
    assert_eq!((w.id("ada"), w.id("staff")), (ada, staff));
    assert_eq!(
        w.dump(),
        [
            "group staff [displayName=people]: ada",
            "user ada [emails=ada@new title=engineer userName=ada.king]",
        ]
    );
}

#[test]
fn anchors_that_differ_only_in_case_are_two_objects() {
    // rule M2
    let mut w = World::new();
    w.user("AB").set("userPrincipalName", "one");
    w.user("ab").set("userPrincipalName", "two");
    w.assign("AB ab");
    assert_eq!(
        w.lines(),
        ["create user AB [userName=one] (Entitled)", "create user ab [userName=two] (Entitled)"]
    );
}

/// Two records carry the anchor of ada, both in group staff.
fn two_records_of_ada() -> World {
    let mut w = World::new();
    w.users("ada");
    w.group("staff", "ada");
    w.assign("staff");
    w.record(Kind::User, "u1", "ada", &[("userName", "one")]);
    w.record(Kind::User, "u2", "ada", &[("userName", "two")]);
    w.record(Kind::Group, "g", "staff", &[("displayName", "staff")]);
    w.put_member("g", "u1");
    w
}

const TWO: &str = "note: ambiguous: ada: more than one store record carries it";

#[test]
fn two_records_of_one_anchor_get_nothing() {
    // rule M5
    let w = two_records_of_ada();
    assert_eq!(w.lines(), [TWO]);
}

#[test]
fn two_records_of_one_anchor_are_both_deactivated() {
    // rules M5, A5
    let mut w = two_records_of_ada();
    w.edit("ada").disabled();
    assert_eq!(w.lines(), ["deactivate ada (DisabledInSource)", "deactivate ada (DisabledInSource)", TWO]);
}

#[test]
fn two_records_of_one_anchor_both_lose_their_memberships() {
    // rule M5
    let mut w = two_records_of_ada();
    w.put_member("g", "u2");
    w.edit_group("staff").members("");
    assert_eq!(w.lines(), ["remove staff: ada ada (NoPath)", "kept user ada", "kept user ada", TWO]);
}

#[test]
fn two_records_of_one_anchor_are_both_deleted_once_that_is_proven() {
    // rules M5, C3
    let mut w = two_records_of_ada();
    w.users("bob");
    w.assign("bob");
    w.delete("ada");
    let lines = w.lines();
    assert_eq!(
        lines[..3],
        [
            "delete user ada (DeletedInSource)",
            "delete user ada (DeletedInSource)",
            "create user bob [userName=bob] (Entitled)",
        ]
    );
    w.run();
    assert_eq!(w.dump(), ["group staff [displayName=staff]: ", "user bob [userName=bob]"]);
}

#[test]
fn one_record_of_two_anchors_gets_nothing_and_loses_what_neither_has() {
    // rule M5
    let mut w = World::new();
    w.users("ada bob");
    w.group("staff", "ada");
    w.group("other", "");
    w.assign("staff bob other");
    w.record(Kind::User, "u", "ada bob", &[("userName", "both")]);
    w.record(Kind::Group, "g", "staff", &[("displayName", "staff")]);
    w.record(Kind::Group, "h", "other", &[("displayName", "other")]);
    w.put_member("h", "u");
    assert_eq!(
        w.lines(),
        [
            "remove other: ada (NoPath)",
            "note: ambiguous: ada: its store record carries another anchor, too",
            "note: ambiguous: bob: its store record carries another anchor, too",
        ]
    );
}

#[test]
fn equal_rows_of_one_anchor_are_one() {
    // rule M5
    let mut w = World::new();
    w.users("ada ada");
    w.group("staff", "ada");
    w.group("staff", "ada");
    w.assign("staff");
    assert_eq!(
        w.lines(),
        [
            "create user ada [userName=ada] (Entitled)",
            "create group staff [displayName=staff] (Entitled)",
            "add staff: ada (Entitled)",
        ]
    );
}

#[test]
fn of_different_rows_the_higher_version_counts() {
    // rule M5
    for (first, second, expected) in [(1, 2, "new"), (2, 1, "old")] {
        let mut w = World::new();
        w.user("ada").set("userPrincipalName", "old").version(first);
        w.user("ada").set("userPrincipalName", "new").version(second);
        w.assign("ada");
        assert_eq!(w.lines(), [format!("create user ada [userName={expected}] (Entitled)")]);
    }
}

#[test]
fn different_rows_without_versions_change_no_attribute_and_create_nobody() {
    // rule M5
    const ROWS: &str = "note: ambiguous: ada: the source gives different rows for it";
    let mut w = World::new();
    w.users("ada");
    w.user("ada").set("title", "engineer");
    w.assign("ada");
    assert_eq!(w.lines(), [ROWS]);
    w.record(Kind::User, "u", "ada", &[("userName", "ada"), ("title", "clerk")]);
    assert_eq!(w.lines(), [ROWS]);
    w.edit("ada").disabled();
    assert_eq!(w.lines(), ["deactivate ada (DisabledInSource)", ROWS]);
}

#[test]
fn different_rows_of_a_group_unite_their_members_and_remove_nobody() {
    // rules M5, C2
    let mut w = World::new();
    w.users("ada bob kim");
    w.group("staff", "ada kim");
    w.assign("staff");
    w.sync();
    w.edit_group("staff").members("ada");
    w.group("staff", "bob");
    w.assign("bob");
    assert_eq!(
        w.lines(),
        [
            "create user bob [userName=bob] (Entitled)",
            "kept user kim",
            "blocked kim in staff: ListIncomplete",
            "note: ambiguous: staff: the source gives different rows for it",
        ]
    );
}

#[test]
fn of_different_rows_of_a_group_the_higher_version_counts_alone() {
    // rule M5
    let mut w = World::new();
    w.users("ada bob");
    w.group("staff", "ada").version(2);
    w.group("staff", "bob").version(1);
    w.assign("staff bob");
    w.sync();
    assert_eq!(w.dump()[0], "group staff [displayName=staff]: ada");
}

#[test]
fn alive_beats_its_own_tombstone() {
    // rule M5
    let mut w = World::new();
    w.users("ada");
    w.assign("ada");
    w.sync();
    w.source.tombstones.push("ada".to_owned());
    assert_eq!(w.lines(), NOTHING);
}

#[test]
fn a_user_and_a_group_of_one_anchor_are_ambiguous() {
    // rule M5
    let mut w = World::new();
    w.users("twin ada");
    w.group("twin", "ada");
    w.assign("twin");
    let lines = w.lines();
    assert_eq!(lines[0], "create user ada [userName=ada] (Entitled)");
    assert!(
        !lines
            .iter()
            .any(|line| line.starts_with("create user twin") || line.starts_with("create group twin"))
    );
    assert!(
        lines.contains(&"note: ambiguous: twin: it was read as a user and as a group".to_owned()),
        "{lines:#?}"
    );
}

#[test]
fn records_of_others_are_never_touched() {
    // rule M7
    let mut w = World::new();
    w.users("ada");
    w.group("staff", "ada");
    w.assign("staff");
    let foreign = |name: &str, attribute: &str| MemoryRecord {
        external_ids: vec![ExternalId::new("other-corp", "ada")],
        ..record(&[(attribute, name)])
    };
    w.put(Kind::User, "local", record(&[("userName", "admin")]));
    w.put(Kind::User, "theirs", foreign("their-ada", "userName"));
    w.put(Kind::Group, "local-group", record(&[("displayName", "admins")]));
    w.put(Kind::Group, "their-group", foreign("their-staff", "displayName"));
    w.put_member("local-group", "local");
    w.sync();
    w.delete("ada");
    w.users("bob");
    w.assign("bob");
    w.sync();
    assert_eq!(
        w.dump(),
        [
            "group #local-group [displayName=admins]: #local",
            "group ada [displayName=their-staff]: ",
            "group staff [displayName=staff]: ",
            "user #local [userName=admin]",
            "user ada [userName=their-ada]",
            "user bob [userName=bob]",
        ]
    );
}

#[test]
fn two_engines_with_different_issuers_leave_each_other_alone_in_any_order() {
    // rules M7, M6
    let directory = |issuer: &str, login: &str| {
        let mut w = World::new();
        w.user("1").set("userPrincipalName", login);
        w.group("2", "1").set("cn", login);
        w.options = Options::for_issuer(issuer);
        w.assigned.principals.insert(identity_sync::Principal::External(ExternalId::new(issuer, "2")));
        w
    };
    let mut ends = Vec::new();
    for turned in [false, true] {
        let mut engines = [directory("left", "ada"), directory("right", "bob")];
        if turned {
            engines.reverse();
        }
        let store = World::new().store;
        for _ in 0..2 {
            for engine in &engines {
                let plan = engine.plan_on(&store).unwrap();
                let options = identity_sync::ApplyOptions::default();
                let host = identity_sync::Host::default();
                let report =
                    pollster::block_on(identity_sync::apply(&plan, &store, &options, &host)).unwrap();
                assert!(report.is_success());
            }
        }
        for engine in &engines {
            assert!(engine.plan_on(&store).unwrap().is_empty());
        }
        ends.push(crate::world::dump(&store));
    }
    assert_eq!(ends[0], ends[1]);
    assert_eq!(ends[0].len(), 4);
}

#[test]
fn a_protected_record_appears_in_no_operation() {
    // rule M8
    let mut w = World::new();
    w.users("ada bob kim");
    w.group("staff", "ada bob kim");
    w.assign("staff");
    w.sync();
    w.options.protected.anchors.insert("ada".into());
    w.options.protected.ids.insert(w.id("bob").as_str().into());
    w.edit("ada").disabled();
    w.edit("bob").set("userPrincipalName", "robert");
    w.edit("kim").set("userPrincipalName", "kimberly");
    w.edit_group("staff").members("");
    let bob = w.id("bob");
    assert_eq!(
        w.lines(),
        [
            "remove staff: kim (NoPath)".to_owned(),
            "kept user kim".to_owned(),
            format!("note: protected user {} (ada) is left alone", w.id("ada")),
            format!("note: protected user {bob} (bob) is left alone"),
        ]
    );
    w.edit_group("staff").members("bob");
    let ada = w.id("ada");
    let notes: Vec<String> = w.lines().into_iter().filter(|line| line.starts_with("note")).collect();
    let note = |id: &str, who: &str| format!("note: protected user {id} ({who}) is left alone");
    assert_eq!(notes, [note(&ada, "ada"), note(&bob, "bob")]);
    w.delete("bob");
    w.delete("ada");
    let lines = w.lines();
    assert!(!lines.iter().any(|line| line.starts_with("delete")), "{lines:#?}");
    assert_eq!(lines.iter().filter(|line| line.starts_with("note: protected user")).count(), 2, "{lines:#?}");
}

#[test]
fn a_group_delete_that_would_strip_a_protected_member_removes_the_others_instead() {
    // rules M8, C7
    let mut w = World::new();
    w.users("ada bob");
    w.group("staff", "ada bob");
    w.group("rest", "");
    w.assign("staff rest");
    w.sync();
    w.options.protected.anchors.insert("ada".into());
    w.assign("ada bob");
    w.delete("staff");
    w.unassign("staff");
    assert_eq!(
        w.lines(),
        ["remove staff: bob (GroupRetired)", "kept group staff", "blocked group staff: Protected"]
    );
}

#[test]
fn a_protected_member_whose_record_the_store_does_not_show_is_spared_too() {
    // rule M8: found by simulation, where the store lost a row without a word and the group was deleted over it
    let mut w = World::new();
    w.users("ada bob");
    w.group("staff", "ada bob");
    w.group("team", "bob");
    w.group("rest", "");
    w.assign("staff team rest");
    w.sync();
    for group in ["staff", "team"] {
        w.put_member(&w.id(group), "breakglass");
    }
    w.options.protected.ids.insert("breakglass".into());
    w.options.unmanaged_members = identity_sync::UnmanagedMembers::Remove;
    w.assign("ada bob");
    w.delete("staff");
    w.unassign("staff");
    assert_eq!(
        w.lines(),
        [
            "remove staff: ada bob (GroupRetired)",
            "kept group staff",
            "blocked group staff: Protected",
            "note: protected user breakglass is left alone",
        ]
    );
}

#[test]
fn a_protected_user_gains_nothing_and_a_protected_group_neither_gains_nor_loses() {
    // rule M8
    let mut w = World::new();
    w.users("ada bob");
    w.group("staff", "bob");
    w.group("vault", "ada bob");
    w.assign("staff vault");
    w.sync();
    let (ada, vault) = (w.id("ada"), w.id("vault"));
    w.options.protected.anchors.extend(["ada".into(), "vault".into()]);
    assert_eq!(w.lines(), NOTHING);
    w.users("kim");
    w.edit_group("staff").members("ada bob");
    w.edit_group("vault").members("ada kim").set("cn", "safe");
    assert_eq!(
        w.lines(),
        [
            "create user kim [userName=kim] (Entitled)".to_owned(),
            format!("note: protected user {ada} (ada) is left alone"),
            format!("note: protected group {vault} (vault) is left alone"),
        ]
    );
    w.delete("vault");
    w.unassign("vault");
    let taken = |line: &String| line.starts_with("delete") || line.starts_with("remove vault");
    assert!(!w.lines().iter().any(taken));
}

#[test]
fn a_name_protects_unmanaged_records_only() {
    // rules M8, D6
    let mut w = World::new();
    w.users("ada leaver");
    w.group("staff", "ada leaver");
    w.assign("staff");
    w.sync();
    w.put(Kind::User, "root", record(&[("userName", "Root")]));
    w.put(Kind::User, "guest", record(&[("userName", "guest")]));
    for member in ["root", "guest"] {
        w.put_member(&w.id("staff"), member);
    }
    w.options.unmanaged_members = UnmanagedMembers::Remove;
    w.options.protected.names.extend(["root".to_owned(), "leaver".to_owned()]);
    w.delete("leaver");
    assert_eq!(
        w.lines(),
        [
            "remove staff: #guest (Unmanaged)",
            "delete user leaver (DeletedInSource)",
            "note: protected user root is left alone",
        ]
    );
    assert_eq!(w.options.issuer, Some(CORP.into()));
}
