//! Protected records in every place where one can stand (rule M8).

use identity_sync::{Deprovision, Existence, Kind, Period, UnmanagedMembers};
use pretty_assertions::assert_eq;

use crate::timeline::Timeline;
use crate::world::{NOTHING, World, record};

/// ada and bob in staff, and each assigned as well; a local group that is protected by its id.
fn settled() -> World {
    let mut w = World::new();
    w.users("ada bob");
    w.group("staff", "ada bob");
    w.group("rest", "");
    w.assign("staff rest ada bob");
    w.options.guards = identity_sync::Guards::off();
    w.sync();
    w.put(Kind::Group, "vault", record(&[("displayName", "vault")]));
    w.options.protected.ids.insert("vault".into());
    w
}

#[test]
fn a_group_delete_that_would_strip_a_protected_group_removes_the_others_instead() {
    // rules M8, C7
    let mut w = settled();
    w.put_member(&w.id("staff"), "vault");
    w.delete("staff");
    w.unassign("staff");
    assert_eq!(
        w.lines(),
        ["remove staff: ada bob (GroupRetired)", "kept group staff", "blocked group staff: Protected"]
    );
    w.options.protected.ids.clear();
    assert_eq!(w.lines(), ["delete group staff (DeletedInSource)"]);
}

#[test]
fn a_protected_group_that_was_deleted_is_one_finding_whoever_is_in_it() {
    // rule M8
    let mut w = settled();
    w.options.protected.anchors.extend(["staff".into(), "ada".into()]);
    let staff = w.id("staff");
    w.delete("staff");
    w.unassign("staff");
    assert_eq!(w.lines(), [format!("note: protected group {staff} (staff) is left alone")]);
}

#[test]
fn whoever_is_about_to_be_deleted_stays_in_a_protected_group_until_then() {
    // rules M8, D1
    let mut w = settled();
    w.options.users.grace.deleted_in_source = Period::of_days(30);
    w.options.protected.anchors.insert("staff".into());
    let mut t = Timeline::start(w);
    let staff = t.id("staff");
    t.delete("bob");
    t.edit_group("staff").members("ada bob").partial();
    assert_eq!(
        t.run(),
        [
            "pending Delete user bob (DeletedInSource, day 0 to 30)".to_owned(),
            "kept user bob".to_owned(),
            "note: assignment resolves to nothing: corp:bob".to_owned(),
            format!("note: protected group {staff} (staff) is left alone"),
        ]
    );
    t.options.protected.anchors.clear();
    assert_eq!(t.lines()[0], "remove staff: bob (MemberLeaving)");
}

#[test]
fn a_protected_group_that_somebody_put_into_a_group_of_ours_stays_there() {
    // rules M8, D6
    let mut w = settled();
    w.put_member(&w.id("staff"), "vault");
    assert_eq!(w.lines(), NOTHING, "it stays in any case");
    w.options.unmanaged_members = UnmanagedMembers::Remove;
    assert_eq!(w.lines(), ["note: protected group vault is left alone"]);
    w.options.protected.ids.clear();
    assert_eq!(w.lines(), ["remove staff: #vault (Unmanaged)"]);
}

#[test]
fn a_managed_group_that_is_protected_is_not_taken_out_of_another_one() {
    // rules M8, E4
    let mut w = settled();
    let rest = w.id("rest");
    w.put_member(&w.id("staff"), &rest);
    assert_eq!(w.lines(), [format!("remove staff: #{rest} (NoPath)")]);
    w.options.protected.anchors.insert("rest".into());
    assert_eq!(w.lines(), [format!("note: protected group {rest} (rest) is left alone")]);
}

#[test]
fn a_protected_group_whose_list_changes_is_a_finding_both_ways() {
    // rule M8
    let mut w = settled();
    w.options.protected.anchors.insert("staff".into());
    let note = format!("note: protected group {} (staff) is left alone", w.id("staff"));
    assert_eq!(w.lines(), NOTHING);
    w.edit_group("staff").members("ada");
    assert_eq!(w.lines(), [note.as_str()]);
    w.edit_group("staff").members("ada bob");
    w.options.protected.anchors.clear();
    w.users("kim");
    w.assign("kim");
    w.sync();
    w.options.protected.anchors.insert("staff".into());
    w.edit_group("staff").members("ada bob kim");
    assert_eq!(w.lines(), [note]);
}

#[test]
fn a_protected_member_of_an_incomplete_list_is_no_finding() {
    // rules M8, C2
    let mut w = settled();
    w.options.protected.anchors.insert("ada".into());
    w.edit_group("staff").members("bob").partial();
    assert_eq!(w.lines(), NOTHING);
    w.edit_group("staff").members("bob").whole();
    assert_eq!(w.lines(), [format!("note: protected user {} (ada) is left alone", w.id("ada"))]);
}

#[test]
fn whom_nothing_would_be_done_to_is_no_finding() {
    // rule M8
    let mut w = settled();
    w.options.protected.anchors.insert("staff".into());
    w.options.users.disabled_in_source = Deprovision::Delete;
    // Nobody would add an account that is not made.
    w.user("kim").disabled();
    w.assign("kim");
    w.edit_group("staff").members("ada bob kim");
    assert_eq!(w.lines(), NOTHING);
    // Nor take anybody's guest out of a group that only shrinks.
    w.options.protected.anchors.clear();
    w.options.unmanaged_members = UnmanagedMembers::Remove;
    w.put_member(&w.id("staff"), "vault");
    w.unassign("staff");
    assert_eq!(w.lines(), ["kept group staff"]);
}

#[test]
fn nothing_is_pending_for_a_protected_leaver() {
    // rules M8, D1
    let mut w = settled();
    w.options.users.grace.deleted_in_source = Period::of_days(30);
    w.options.protected.anchors.insert("ada".into());
    w.delete("ada");
    assert_eq!(w.plan().pending().len(), 0);
    w.options.protected.anchors.clear();
    assert_eq!(w.plan().pending().len(), 1);
}

#[test]
fn names_protect_groups_too_and_only_the_unique_attribute_is_a_name() {
    // rules M8, D6
    let mut w = settled();
    w.options.protected.ids.clear();
    w.options.unmanaged_members = UnmanagedMembers::Remove;
    w.put(Kind::User, "guest", record(&[("userName", "guest"), ("title", "VAULT"), ("emails", "Vault")]));
    w.put_member(&w.id("staff"), "vault");
    w.put_member(&w.id("staff"), "guest");
    assert_eq!(w.lines(), ["remove staff: #guest #vault (Unmanaged)"]);
    w.options.protected.names.insert("Vault".into());
    assert_eq!(w.lines(), ["remove staff: #guest (Unmanaged)", "note: protected group vault is left alone"]);
}

#[test]
fn a_record_is_protected_by_any_of_its_anchors() {
    // rules M8, M5
    for protected in ["ada", "zed"] {
        let mut w = settled();
        w.record(Kind::User, "x", "ada2 zed", &[("userName", "x")]);
        w.source.answers.insert("ada2".to_owned(), Existence::Gone);
        w.source.answers.insert("zed".to_owned(), Existence::Gone);
        assert!(w.lines()[0].starts_with("delete user"), "{:?}", w.lines());
        w.options.protected.anchors.insert(protected.replace("ada", "ada2").as_str().into());
        assert!(w.plan().is_empty(), "{}", w.plan());
    }
}

#[test]
fn no_removal_of_a_protected_record_counts_as_blocked() {
    // rules M8, C7
    let mut w = settled();
    w.hide("ada");
    assert!(w.plan().blocked().len() == 1, "{}", w.plan());
    w.options.protected.anchors.insert("ada".into());
    assert_eq!(w.plan().blocked().len(), 0, "{}", w.plan());
}
