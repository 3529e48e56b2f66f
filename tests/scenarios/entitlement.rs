//! Entitlement and flattening (rules E1–E8, E10, E11).

use identity_sync::{
    Assignments, Completeness, ExternalId, GroupPage, Kind, MemberKind, Nesting, Options, Principal, Run,
    SourceCapabilities, SourceSnapshot, StoreCapabilities, StoreSnapshot, UserPage, plan,
};
use pretty_assertions::assert_eq;

use crate::world::{CORP, NOTHING, World, lines};

#[test]
fn nobody_assigned_and_an_empty_store_is_nothing_to_do() {
    // rule E1
    let mut w = World::new();
    w.users("ada");
    w.group("staff", "ada");
    assert_eq!(w.lines(), NOTHING);
}

#[test]
fn the_assigned_and_those_below_are_created_and_nobody_else() {
    // rules E1, E3, E4
    let mut w = World::new();
    w.users("ada bob eve kim");
    w.group("staff", "ada sub");
    w.group("sub", "bob");
    w.group("other", "eve");
    w.assign("staff kim");
    assert_eq!(
        w.lines(),
        [
            "create user ada [userName=ada] (Entitled)",
            "create user bob [userName=bob] (Entitled)",
            "create user kim [userName=kim] (Entitled)",
            "create group staff [displayName=staff] (Entitled)",
            "create group sub [displayName=sub] (Entitled)",
            "add staff: ada bob (Entitled)",
            "add sub: bob (Entitled)",
        ]
    );
}

#[test]
fn a_group_that_merely_contains_an_assigned_group_is_not_entitled() {
    // rule E2
    let mut w = World::new();
    w.users("ada eve");
    w.group("top", "staff eve");
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
fn an_empty_nested_group_is_written_too() {
    // rule E3
    let mut w = World::new();
    w.group("staff", "empty");
    w.group("empty", "");
    w.assign("staff");
    assert_eq!(
        w.lines(),
        [
            "create group empty [displayName=empty] (Entitled)",
            "create group staff [displayName=staff] (Entitled)",
        ]
    );
}

#[test]
fn members_in_the_store_become_exactly_the_flattened_users() {
    // rules E4, P5
    let mut w = World::new();
    w.users("ada bob eve");
    w.group("staff", "ada eve sub");
    w.group("sub", "bob");
    w.assign("staff");
    w.sync();
    w.users("kim");
    w.edit_group("sub").members("kim");
    assert_eq!(
        w.lines(),
        [
            "remove staff: bob (NoPath)",
            "remove sub: bob (NoPath)",
            "create user kim [userName=kim] (Entitled)",
            "add staff: kim (Entitled)",
            "add sub: kim (Entitled)",
            "kept user bob",
        ]
    );
}

#[test]
fn a_group_never_stays_a_member_of_a_group_in_the_store() {
    // rule E4
    let mut w = World::new();
    w.users("ada");
    w.group("staff", "sub");
    w.group("sub", "ada");
    w.assign("staff");
    w.sync();
    let sub = w.id("sub");
    w.put_member(&w.id("staff"), &sub);
    assert_eq!(w.lines(), [format!("remove staff: #{sub} (NoPath)")]);
    w.sync();
    assert_eq!(
        w.dump(),
        [
            "group staff [displayName=staff]: ada",
            "group sub [displayName=sub]: ada",
            "user ada [userName=ada]"
        ]
    );
}

#[test]
fn groups_of_a_cycle_have_the_same_members_in_any_order_of_input() {
    // rules E5, P2
    let mut w = World::new();
    w.users("ada bob kim");
    w.group("a", "b ada");
    w.group("b", "c");
    w.group("c", "a bob below");
    w.group("below", "kim");
    w.assign("b");
    let expected = [
        "create user ada [userName=ada] (Entitled)",
        "create user bob [userName=bob] (Entitled)",
        "create user kim [userName=kim] (Entitled)",
        "create group a [displayName=a] (Entitled)",
        "create group b [displayName=b] (Entitled)",
        "create group below [displayName=below] (Entitled)",
        "create group c [displayName=c] (Entitled)",
        "add a: ada bob kim (Entitled)",
        "add b: ada bob kim (Entitled)",
        "add below: kim (Entitled)",
        "add c: ada bob kim (Entitled)",
        "note: cycle of 3 groups: a b c",
    ];
    assert_eq!(w.lines(), expected);
    w.source.groups.reverse();
    w.source.users.reverse();
    assert_eq!(w.lines(), expected);
    w.source.groups.rotate_left(1);
    assert_eq!(w.lines(), expected);
    w.sync();
}

#[test]
fn a_group_that_is_its_own_member_ends_and_is_reported_once() {
    // rule E5
    let mut w = World::new();
    w.users("ada");
    w.group("staff", "staff ada staff");
    w.assign("staff");
    assert_eq!(
        w.lines(),
        [
            "create user ada [userName=ada] (Entitled)",
            "create group staff [displayName=staff] (Entitled)",
            "add staff: ada (Entitled)",
            "note: cycle of 1 groups: staff",
        ]
    );
}

#[test]
fn each_cyclic_component_has_one_finding() {
    // rule E5
    let mut w = World::new();
    w.group("a", "b");
    w.group("b", "a c");
    w.group("c", "d");
    w.group("d", "c");
    w.assign("a");
    let notes: Vec<String> = w.lines().into_iter().filter(|line| line.starts_with("note")).collect();
    assert_eq!(notes, ["note: cycle of 2 groups: a b", "note: cycle of 2 groups: c d"]);
}

#[test]
fn a_cycle_that_is_cut_loses_exactly_whom_no_path_reaches() {
    // rules E5, E4
    let mut w = World::new();
    w.users("ada bob");
    w.group("a", "b ada");
    w.group("b", "a bob");
    w.assign("a");
    w.sync();
    w.edit_group("b").members("bob");
    assert_eq!(w.lines(), ["remove b: ada (NoPath)"]);
}

#[test]
fn a_user_over_two_paths_is_there_once_and_one_path_is_enough() {
    // rule E6
    let mut w = World::new();
    w.users("ada");
    w.group("top", "left right");
    w.group("left", "ada");
    w.group("right", "ada");
    w.assign("top");
    assert_eq!(w.lines().iter().filter(|line| line.starts_with("add top: ada (")).count(), 1);
    w.sync();
    w.edit_group("left").members("");
    assert_eq!(w.lines(), ["remove left: ada (NoPath)"]);
    w.edit_group("left").members("ada");
    w.edit_group("top").members("left");
    assert_eq!(w.lines(), ["kept group right"]);
    w.edit_group("left").members("");
    assert_eq!(
        w.lines(),
        ["remove left: ada (NoPath)", "remove top: ada (NoPath)", "kept user ada", "kept group right"]
    );
}

#[test]
fn depth_is_reported_beyond_its_bound_and_never_cut() {
    // rule E7
    let mut w = World::new();
    w.users("ada");
    for (group, member) in [("g0", "g1"), ("g1", "g2"), ("g2", "g3"), ("g3", "ada")] {
        w.group(group, member);
    }
    w.assign("g0");
    w.options.limits.depth_reported = 3;
    let lines = w.lines();
    assert!(lines.contains(&"add g0: ada (Entitled)".to_owned()));
    assert!(!lines.iter().any(|line| line.starts_with("note")), "{lines:#?}");
    w.options.limits.depth_reported = 2;
    assert_eq!(w.lines()[..lines.len()], lines);
    assert_eq!(w.lines()[lines.len()..], ["note: groups are nested 3 levels deep below g0"]);
}

#[test]
fn under_direct_only_nested_groups_count_for_nothing() {
    // rule E8
    let mut w = World::new();
    w.users("ada bob");
    w.group("staff", "ada sub");
    w.group("sub", "bob");
    w.assign("staff");
    w.sync();
    w.options.nesting = Nesting::DirectOnly;
    assert_eq!(w.lines(), ["remove staff: bob (NoPath)", "kept user bob", "kept group sub"]);
    w.assign("sub");
    assert_eq!(w.lines(), ["remove staff: bob (NoPath)"]);
}

#[test]
fn under_direct_only_a_nested_list_cut_short_blocks_nothing_above() {
    // rules E8, C2
    let mut w = World::new();
    w.users("ada bob");
    w.group("staff", "ada bob sub");
    w.group("sub", "");
    w.options.nesting = Nesting::DirectOnly;
    w.assign("staff");
    w.sync();
    w.edit_group("staff").members("ada sub");
    w.edit_group("sub").partial();
    assert_eq!(w.lines(), ["remove staff: bob (NoPath)", "kept user bob"]);
}

#[test]
fn members_that_come_apart_from_the_list_are_edges_like_any_other() {
    // rule E10
    let mut source = SourceSnapshot::builder(CORP, SourceCapabilities::default());
    let mut users = UserPage::default();
    for anchor in ["ada", "bob"] {
        users.user(anchor).active(true).attribute("userPrincipalName", anchor);
    }
    source.users(&users).unwrap();
    source.users_end(Completeness::Complete);
    let mut groups = GroupPage::default();
    groups.group("staff").attribute("cn", "staff").member_of_kind("domain-users", MemberKind::Group);
    groups.group("domain-users").attribute("cn", "domain-users").member("ada");
    source.groups(&groups).unwrap();
    // The primary members of a group, found in the users' rows.
    groups.clear();
    groups.group("domain-users").member_of_kind("bob", MemberKind::User).members_complete();
    groups.group("staff").members_complete();
    source.groups(&groups).unwrap();
    source.groups_end(Completeness::Complete);
    let store = StoreSnapshot::builder(StoreCapabilities::named("app")).finish(Completeness::Complete);
    let assigned = Assignments::complete([Principal::External(ExternalId::new(CORP, "staff"))]);
    let found =
        plan(&source.finish(), &store, &assigned, &Options::for_issuer(CORP), &Run::default()).unwrap();
    assert_eq!(
        lines(&found.plan)[4..],
        ["add domain-users: ada bob (Entitled)", "add staff: ada bob (Entitled)"]
    );
}

#[test]
fn an_assignment_may_name_a_record_of_ours_by_its_store_id() {
    // rule E11
    let mut w = World::new();
    w.users("ada bob");
    w.group("staff", "bob");
    w.record(Kind::Group, "g1", "staff", &[("displayName", "staff")]);
    w.assigned.principals.insert(Principal::Stored("g1".into()));
    assert_eq!(w.lines(), ["create user bob [userName=bob] (Entitled)", "add staff: bob (Entitled)"]);
}

#[test]
fn an_assigned_record_whose_anchor_is_a_contact_now_is_nobody() {
    // rules E11, E9
    let mut w = World::new();
    w.users("ada");
    w.assign("ada");
    w.record(Kind::User, "u1", "eve", &[("userName", "eve")]);
    w.source
        .answers
        .insert("eve".into(), identity_sync::Existence::Exists { kind: identity_sync::MemberKind::Other });
    w.assigned.principals.insert(Principal::Stored("u1".into()));
    let note = "note: assignment resolves to nothing: ";
    assert!(w.lines().iter().any(|line| line.starts_with(note)), "{:?}", w.lines());
}

#[test]
fn assignments_that_resolve_to_nothing_are_findings_and_foreign_ones_are_counted() {
    // rule E11
    let mut w = World::new();
    w.users("ada");
    w.put(Kind::User, "local", crate::world::record(&[("userName", "local")]));
    w.assign("ada nobody");
    let stored = ["local", "missing"].map(|id| Principal::Stored(id.into()));
    w.assigned.principals.extend(stored);
    let foreign = ["x", "y"].map(|value| Principal::External(ExternalId::new("other-corp", value)));
    w.assigned.principals.extend(foreign);
    let expected = ["create user ada [userName=ada] (Entitled)"];
    assert_eq!(w.lines()[..1], expected);
    let plan = w.plan();
    let found: Vec<String> = plan.diagnostics().iter().map(|finding| format!("{finding:?}")).collect();
    assert_eq!(
        found,
        [
            "UnresolvedAssignment { principal: External(ExternalId { issuer: Issuer(corp), value: SourceAnchor(nobody) }) }",
            "UnresolvedAssignment { principal: Stored(StoreId(local)) }",
            "UnresolvedAssignment { principal: Stored(StoreId(missing)) }",
            "ForeignAssignments { count: 2 }",
        ]
    );
}

#[test]
fn one_foreign_assignment_is_counted_as_well() {
    // rule E11
    let mut w = World::new();
    w.assigned.principals.insert(Principal::External(ExternalId::new("other-corp", "x")));
    assert_eq!(w.lines().len(), 1, "{:?}", w.lines());
    assert!(w.lines()[0].starts_with("note: "), "{:?}", w.lines());
}
