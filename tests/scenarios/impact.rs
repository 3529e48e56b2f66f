//! Who loses and who gains access by a plan (rule P8).

use identity_sync::{AccessImpact, Affected, Deprovision, Guards, Kind, Limit, MembershipsOnDelete, Plan};
use pretty_assertions::assert_eq;

use crate::timeline::Timeline;
use crate::world::{World, capabilities, guards};

fn names(affected: &[Affected]) -> Vec<&str> {
    affected.iter().map(|one| one.anchor.as_str()).collect()
}

fn gains(impact: &AccessImpact) -> Vec<(&str, u64)> {
    impact.gains.iter().map(|gain| (gain.assignment.anchor.as_str(), gain.users)).collect()
}

fn company() -> Timeline {
    let mut w = World::new();
    w.users("ada bob eve joe");
    w.group("staff", "ada bob team");
    w.group("team", "eve");
    w.assign("staff joe");
    w.options.guards = Guards::off();
    Timeline::start(w)
}

#[test]
fn the_first_load_tells_how_many_gain_access_through_which_assignment() {
    // rules P8, E12
    let t = company();
    let mut fresh = World::new();
    fresh.source = t.world.source;
    fresh.assigned = t.world.assigned;
    let plan = fresh.plan();
    assert_eq!(gains(plan.impact()), [("joe", 1), ("staff", 3)]);
    assert_eq!(plan.impact().users_who_gain(), 4);
    assert!(plan.impact().loses_last_entitlement.is_empty());
    let text = plan.to_string();
    let line = "impact: gain access: 3 through group staff [staff], over up to 2 nested groups\n";
    assert!(text.contains(line), "{text}");
}

#[test]
fn whoever_leaves_the_last_group_is_named_and_whoever_stays_in_another_is_not() {
    // rule P8
    let mut t = company();
    t.edit_group("staff").members("ada");
    t.assign("eve");
    t.edit_group("team").members("");
    let plan = t.plan();
    assert_eq!(names(&plan.impact().loses_last_entitlement), ["bob"]);
    assert_eq!(names(&plan.impact().groups_emptied), ["team"]);
    // Eve has no group any more, but she is assigned herself.
    assert!(plan.to_string().contains("impact: becomes empty: group team [team]"), "{plan}");
}

#[test]
fn whoever_left_scope_is_named_once_also_where_the_record_is_kept() {
    // rules P8, D3
    let mut t = company();
    t.unassign("joe");
    assert_eq!(names(&t.look().impact().loses_last_entitlement), ["joe"]);
    assert!(t.plan().impact().is_empty());
    assert!(t.plan().is_empty());
}

#[test]
fn inactive_and_deleted_users_are_named() {
    // rule P8
    let mut t = company();
    t.edit("ada").disabled();
    t.delete("joe");
    let plan = t.plan();
    assert_eq!(names(&plan.impact().deactivated), ["ada"]);
    assert_eq!(names(&plan.impact().loses_last_entitlement), ["joe"]);
    assert_eq!(plan.impact().deactivated[0].kind, Kind::User);
    assert_eq!(plan.impact().deactivated[0].name, "ada");
}

#[test]
fn what_is_held_is_summed_up_apart() {
    // rules P8, D5
    let mut t = company();
    t.options.guards.removals_per_group = Some(Limit::new(Some(0), 0, 0));
    t.options.groups.left_scope = Deprovision::Keep;
    t.look();
    // Eve stays in her team, which is kept.
    t.edit_group("staff").members("ada");
    let plan = t.look();
    assert_eq!(names(&plan.held_impact().loses_last_entitlement), ["bob"]);
    let again = t.plan();
    assert!(again.impact().is_empty());
    assert_eq!(names(&again.held_impact().loses_last_entitlement), ["bob"]);
}

#[test]
fn members_lost_with_a_deleted_group_lose_their_last_entitlement_too() {
    // rule P8
    let mut t = company();
    t.delete("staff");
    let plan = t.plan();
    assert_eq!(names(&plan.impact().loses_last_entitlement), ["ada", "bob", "eve"]);
    assert!(
        plan.to_string().contains("- delete group staff [staff], 3 members lose it (deleted in the source)")
    );
}

#[test]
fn whoever_comes_back_gains_access() {
    // rule P8
    let mut t = company();
    t.unassign("staff");
    t.options.groups.left_scope = Deprovision::Deactivate;
    t.run();
    t.assign("staff");
    let plan = t.plan();
    assert_eq!(gains(plan.impact()), [("staff", 3)]);
}

#[test]
fn the_summary_survives_json_and_no_name_forges_a_line_of_it() {
    // rules P1, P8
    let mut t = company();
    t.edit("bob").set("userPrincipalName", "bob\nimpact: nobody");
    t.run();
    t.edit_group("staff").members("ada team");
    let plan = t.plan();
    let back: Plan = serde_json::from_str(&serde_json::to_string(&plan).unwrap()).unwrap();
    assert_eq!(back.impact(), plan.impact());
    assert_eq!(plan.to_string().matches("\nimpact:").count(), 1, "{plan}");
}

#[test]
fn whoever_gains_over_several_assignments_counts_once_for_the_least() {
    // rules P5, E12, P2
    let mut w = World::new();
    w.users("ada");
    for group in ["c", "a", "b"] {
        w.group(group, "ada");
    }
    w.assign("a b c");
    for _ in 0..3 {
        assert_eq!(w.plan().impact().to_string(), "gain access: 1 through group a [a]\n");
        w.source.groups.rotate_left(1);
    }
}

#[test]
fn what_a_held_deletion_of_a_group_would_take_is_told_whether_the_store_cascades_or_not() {
    // rules P8, D2, D5
    for on_delete in [MembershipsOnDelete::Cascade, MembershipsOnDelete::RemoveFirst] {
        let mut store = capabilities();
        store.memberships_on_delete = on_delete;
        let mut w = World::with_store(store);
        w.users("ada bob eve");
        w.group("staff", "ada bob");
        w.group("team", "bob");
        w.assign("staff team eve");
        w.options.guards = guards(|guards| guards.group_deletes = Some(Limit::new(Some(0), 0, 0)));
        let mut t = Timeline::start(w);
        t.delete("staff");
        // What earlier runs have told already is told again with what is held.
        t.look();
        let plan = t.plan();
        assert_eq!(names(&plan.held_impact().loses_last_entitlement), ["ada"], "{on_delete:?}");
        // A group that goes is not said to become empty.
        assert!(plan.held_impact().groups_emptied.is_empty());
        assert!(plan.impact().is_empty());
    }
}

#[test]
fn a_held_deactivation_takes_the_last_entitlement_of_whoever_is_entitled_no_more() {
    // rules P8, A5, D5
    let mut t = company();
    t.options.guards = guards(|guards| guards.deactivations = Some(Limit::new(Some(0), 0, 0)));
    t.options.users.left_scope = Deprovision::Deactivate;
    t.unassign("joe");
    t.edit("ada").disabled();
    t.look();
    let plan = t.plan();
    assert_eq!(names(&plan.held_impact().deactivated), ["ada", "joe"]);
    assert_eq!(names(&plan.held_impact().loses_last_entitlement), ["joe"]);
}

#[test]
fn whoever_joins_one_more_group_or_is_disabled_gains_no_access() {
    // rule P8
    let mut t = company();
    t.users("new off");
    t.edit("off").disabled();
    t.assign("off");
    t.run();
    t.group("more", "ada joe off new");
    t.assign("more");
    let plan = t.plan();
    // Joe had no group before; ada had one.
    assert_eq!(gains(plan.impact()), [("joe", 1), ("more", 1)]);
}
