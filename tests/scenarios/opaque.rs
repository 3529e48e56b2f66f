//! Members that were not read (rule E9).

use identity_sync::{Existence, Kind, MemberKind};
use pretty_assertions::assert_eq;

use crate::world::World;

/// `top` holds `staff`, `staff` holds ada and bob; all of it is in the store. Then bob leaves the list.
fn bob_leaves() -> World {
    let mut w = World::new();
    w.users("ada bob");
    w.group("top", "staff");
    w.group("staff", "ada bob");
    w.assign("top");
    w.sync();
    w.edit_group("staff").members("ada");
    w
}

const BOB_GOES: [&str; 3] = ["remove staff: bob (NoPath)", "remove top: bob (NoPath)", "kept user bob"];

const BOB_STAYS: [&str; 2] = ["blocked bob in staff: ListIncomplete", "blocked bob in top: ListIncomplete"];

#[test]
fn a_member_that_is_gone_is_ignored() {
    // rule E9
    let mut w = bob_leaves();
    w.edit_group("staff").member("ghost", MemberKind::Unknown);
    w.source.answers.insert("ghost".to_owned(), Existence::Gone);
    assert_eq!(w.lines(), BOB_GOES);
    assert_eq!(*w.source.asked.lock().unwrap(), ["ghost"]);
}

#[test]
fn a_contact_or_computer_counts_for_nothing() {
    // rule E9
    let mut w = bob_leaves();
    w.edit_group("staff").member("printer", MemberKind::Other);
    assert_eq!(w.lines(), BOB_GOES);
    w.edit_group("staff").members("ada printer");
    w.source.answers.insert("printer".to_owned(), Existence::Exists { kind: MemberKind::Other });
    assert_eq!(w.lines(), BOB_GOES);
}

#[test]
fn an_unread_group_or_a_member_of_unknown_kind_removes_nobody_here_or_above() {
    // rules E9, C2, C7
    for kind in [MemberKind::Group, MemberKind::Unknown] {
        let mut w = bob_leaves();
        w.edit_group("staff").member("hidden", kind);
        let expected = [
            BOB_STAYS[0],
            BOB_STAYS[1],
            "note: group staff: 1 members may hide others, so nobody is removed from it or above",
        ];
        let found: Vec<String> = w.lines().into_iter().filter(|line| !line.contains("hidden")).collect();
        // Bob is neither reached nor proven out: he counts as kept.
        assert_eq!(found[0], "kept user bob", "{kind:?}");
        assert_eq!(found[1..], expected, "{kind:?}");
    }
}

#[test]
fn a_list_with_an_unread_member_still_gains_members() {
    // rules E9, C2
    let mut w = bob_leaves();
    w.users("kim");
    w.edit_group("staff").members("ada bob kim").member("hidden", MemberKind::Group);
    assert_eq!(
        w.lines()[..3],
        ["create user kim [userName=kim] (Entitled)", "add staff: kim (Entitled)", "add top: kim (Entitled)"]
    );
}

#[test]
fn a_look_up_that_says_group_keeps_the_list_incomplete_and_one_that_says_user_completes_it() {
    // rule E9
    let mut w = bob_leaves();
    w.edit_group("staff").member("zoe", MemberKind::Unknown);
    w.source.answers.insert("zoe".to_owned(), Existence::Exists { kind: MemberKind::Group });
    assert!(w.plan().is_empty());
    w.source.answers.insert("zoe".to_owned(), Existence::Exists { kind: MemberKind::User });
    assert_eq!(w.lines(), BOB_GOES);
}

#[test]
fn a_dn_without_an_entry_blocks_until_the_host_declares_a_leaf() {
    // rules E9, C7
    let text = "CN=Old\\, Group,OU=Attic,DC=corp";
    let mut w = bob_leaves();
    w.edit_group("staff").unresolved(text, MemberKind::Unknown);
    assert_eq!(
        w.lines(),
        [
            "kept user bob",
            BOB_STAYS[0],
            BOB_STAYS[1],
            "note: group staff: 1 members may hide others, so nobody is removed from it or above",
        ]
    );
    w.options.leaves.texts.insert(text.to_owned());
    assert_eq!(w.lines(), BOB_GOES);
    w.options.leaves.texts.clear();
    w.options.leaves.dn_suffixes.insert("ou=attic,dc=CORP".to_owned());
    assert_eq!(w.lines(), BOB_GOES);
    w.options.leaves.dn_suffixes.clear();
    w.options.leaves.dn_suffixes.insert("OU=tic,DC=corp".to_owned());
    assert!(w.plan().is_empty());
}

#[test]
fn unresolved_users_contacts_and_foreign_principals_block_nothing() {
    // rule E9
    for kind in [MemberKind::User, MemberKind::Other, MemberKind::Foreign] {
        let mut w = bob_leaves();
        w.edit_group("staff").unresolved("CN=S-1-5-21,CN=ForeignSecurityPrincipals,DC=corp", kind);
        assert_eq!(w.lines(), BOB_GOES, "{kind:?}");
    }
}

#[test]
fn an_anchor_declared_a_leaf_hides_nobody() {
    // rule E9
    let mut w = bob_leaves();
    w.edit_group("staff").member("hidden", MemberKind::Group);
    assert!(w.plan().is_empty());
    w.options.leaves.anchors.insert("hidden".into());
    let found: Vec<String> = w.lines().into_iter().filter(|line| !line.contains("hidden")).collect();
    assert_eq!(found, BOB_GOES);
}

#[test]
fn a_foreign_principal_keeps_its_own_memberships_and_nothing_else() {
    // rule E9
    let mut w = bob_leaves();
    w.hide("ada");
    w.edit_group("staff").members("").member("ada", MemberKind::Foreign);
    // Bob goes, ada stays in both groups, gets no update and is deleted by nobody.
    assert_eq!(
        w.lines(),
        [
            "remove staff: bob (NoPath)",
            "remove top: bob (NoPath)",
            "kept user bob",
            "blocked user ada: DeletionUnproven",
            "note: ada is entitled but was not read: left as it is",
        ]
    );
}

#[test]
fn an_unread_user_that_exists_is_entitled_and_gets_no_create_update_or_membership() {
    // rules E9, C1
    let mut w = bob_leaves();
    w.edit_group("staff").members("ada bob zoe");
    w.source.answers.insert("zoe".to_owned(), Existence::Exists { kind: MemberKind::User });
    assert_eq!(w.lines(), crate::world::NOTHING);
    // With a record: it stays as it is, in its groups, though a group that it is new to does not get it.
    w.group("extra", "bob");
    w.assign("extra");
    w.sync();
    w.hide("bob");
    w.source.answers.insert("bob".to_owned(), Existence::Exists { kind: MemberKind::User });
    w.record(Kind::Group, "late", "late", &[("displayName", "late")]);
    w.group("late", "bob");
    w.assign("late");
    assert_eq!(w.lines(), ["note: bob is entitled but was not read: left as it is"]);
}

#[test]
fn our_own_linked_record_tells_the_kind_of_a_member() {
    // rule E9
    let mut w = bob_leaves();
    w.hide("ada");
    w.source.users_read = crate::world::partial();
    let found: Vec<String> = w.lines();
    assert_eq!(found[..2], ["remove staff: bob (NoPath)", "remove top: bob (NoPath)"]);
    assert!(!found.iter().any(|line| line.contains("may hide others")), "{found:#?}");
}

#[test]
fn what_was_read_wins_over_what_a_list_says_of_its_kind() {
    // rule E9
    let mut w = bob_leaves();
    w.edit_group("staff").members("ada").member("bob", MemberKind::Other);
    assert_eq!(w.lines(), crate::world::NOTHING);
}

#[test]
fn a_dn_suffix_is_compared_part_by_part_however_it_is_spelled() {
    // rule E9
    let blocks = |text: &str, suffix: &str| {
        let mut w = bob_leaves();
        w.edit_group("staff").unresolved(text, MemberKind::Unknown);
        w.options.leaves.dn_suffixes.insert(suffix.to_owned());
        w.plan().is_empty()
    };
    for (text, suffix) in [
        ("CN=x,OU=Attic,DC=corp", "OU=Attic,DC=corp"),
        ("CN=x , ou = ATTIC ; dc=Corp ", "OU=Attic,DC=corp"),
        ("CN=x,OU=Attic,DC=corp", "OU=Attic,DC=corp,"),
        ("CN=x,,OU=Attic,,DC=corp", "OU=Attic,DC=corp"),
        // The backslash is escaped, the comma behind it is not.
        ("CN=x\\\\,OU=Attic,DC=corp", "OU=Attic,DC=corp"),
        ("CN=x, Attic ,DC=corp", "Attic,DC=corp"),
    ] {
        assert!(!blocks(text, suffix), "{text} under {suffix}");
    }
    for (text, suffix) in [
        ("CN=x\\,OU=Attic,DC=corp", "OU=Attic,DC=corp"),
        ("CN=x,OU=Attic,DC=corp", ""),
        ("CN=x,OU=Attic,DC=corp", ","),
        ("CN=x,OU=Attic,DC=corp", "OU=Attic"),
        ("CN=x,OU=Attic,DC=corp", "OU=At,DC=corp"),
    ] {
        assert!(blocks(text, suffix), "{text} under {suffix}");
    }
    // One of several is enough.
    let mut w = bob_leaves();
    w.edit_group("staff").unresolved("CN=x,OU=Attic,DC=corp", MemberKind::Unknown);
    w.options.leaves.dn_suffixes.extend(["OU=Cellar".to_owned(), "OU=Attic,DC=corp".to_owned()]);
    assert_eq!(w.lines(), BOB_GOES);
}

#[test]
fn absence_proves_a_member_of_unknown_kind_gone_only_where_both_reads_are_complete() {
    // rules E9, C3
    let mut w = bob_leaves();
    w.source.capabilities = identity_sync::SourceCapabilities::default();
    w.options.absence_is_proof = true;
    w.edit_group("staff").members("ada ghost");
    assert_eq!(w.lines(), BOB_GOES);
    w.source.groups_read = crate::world::partial();
    assert!(w.plan().is_empty());
    w.source.groups_read = identity_sync::Completeness::Complete;
    w.source.users_read = crate::world::partial();
    assert!(w.plan().is_empty());
}
