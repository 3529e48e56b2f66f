//! Findings are about what a plan is about, and are the same whatever the order of input (rules E5, E7, P2).

use identity_sync::{Deprovision, Guards, Kind, MemberKind, Nesting};
use pretty_assertions::assert_eq;

use crate::world::{NOTHING, World};

fn notes(w: &World) -> Vec<String> {
    w.lines().into_iter().filter(|line| line.starts_with("note")).collect()
}

#[test]
fn groups_that_nobody_is_given_are_no_finding_and_count_for_no_bound() {
    // rules E1, E5, E7, S1
    let mut w = World::new();
    w.users("ada");
    w.group("staff", "ada");
    w.assign("staff");
    w.sync();
    w.users("u1 u2 u3");
    w.group("left", "right u1 u2 u3").unresolved("CN=Attic", MemberKind::Unknown);
    w.group("right", "left deep");
    w.group("deep", "deeper");
    w.group("deeper", "u1");
    w.options.limits.depth_reported = 0;
    w.options.limits.memberships = 1;
    w.options.limits.merged_members = 0;
    assert_eq!(w.lines(), NOTHING);
}

#[test]
fn a_group_that_is_out_of_use_is_no_finding_either() {
    // rules D1, E5
    let mut w = World::new();
    w.users("ada bob");
    w.group("staff", "ada");
    w.group("a", "b bob");
    w.group("b", "a");
    w.assign("staff a bob");
    w.options.guards = Guards::off();
    w.sync();
    assert_eq!(w.lines(), ["note: cycle of 2 groups: a b"]);
    w.options.groups.left_scope = Deprovision::Deactivate;
    w.unassign("a");
    assert_eq!(
        w.lines(),
        ["remove a: bob (GroupRetired)", "remove b: bob (GroupRetired)", "kept group a", "kept group b",]
    );
}

#[test]
fn the_deepest_nesting_is_named_and_of_equally_deep_ones_the_least() {
    // rules E7, P2
    let mut w = World::new();
    w.options.limits.depth_reported = 0;
    for (group, member) in [("b0", "b1"), ("b1", ""), ("a0", "a1"), ("a1", ""), ("c0", "c1"), ("c1", "")] {
        w.group(group, member);
    }
    w.assign("a0 b0 c0");
    for _ in 0..6 {
        assert_eq!(notes(&w), ["note: groups are nested 1 levels deep below a0"]);
        w.source.groups.rotate_left(1);
    }
    w.edit_group("c1").members("c2");
    w.group("c2", "");
    for _ in 0..7 {
        assert_eq!(notes(&w), ["note: groups are nested 2 levels deep below c0"]);
        w.source.groups.rotate_left(1);
    }
    w.source.groups.reverse();
    assert_eq!(notes(&w), ["note: groups are nested 2 levels deep below c0"]);
}

#[test]
fn a_long_cycle_is_named_by_its_first_ten_groups() {
    // rules E5, P8
    for (count, end) in [(10, "g07 g08 g09"), (11, "g07 g08 g09 …")] {
        let mut w = World::new();
        for i in 0..count {
            w.group(&format!("g{i:02}"), &format!("g{:02}", (i + 1) % count));
        }
        w.assign("g00");
        let found = notes(&w);
        assert!(found[0].starts_with(&format!("note: cycle of {count} groups: g00 g01 ")), "{found:?}");
        assert!(found[0].ends_with(end), "{found:?}");
    }
}

#[test]
fn who_counts_for_nothing_and_a_group_itself_are_no_explanation() {
    // rules E12, E9
    let mut w = World::new();
    w.users("ada");
    w.group("staff", "ada staff below").member("printer", MemberKind::Other);
    w.group("below", "ada");
    w.group("zone", "staff");
    w.group("used", "ada");
    w.assign("used");
    let why = |w: &World, who: &str| {
        let (run, host) = (identity_sync::Run::default(), identity_sync::Host::default());
        let found = identity_sync::reconcile(&w.source, &w.store, &w.assigned, &w.options, &run, &host);
        let evidence = pollster::block_on(found).unwrap().evidence;
        evidence.explain(&crate::world::anchor(who)).unwrap().to_string()
    };
    let would = "not entitled; would be by an assignment of the first of: ";
    assert_eq!(why(&w, "printer"), "not entitled: no group has this member");
    assert_eq!(why(&w, "staff"), format!("{would}zone → staff"));
    assert_eq!(why(&w, "below"), format!("{would}staff → below"));
    w.hide("zone");
    assert_eq!(why(&w, "staff"), "not entitled: no group has this member");
    // Under `DirectOnly` no assignment of a group entitles another one.
    w.options.nesting = Nesting::DirectOnly;
    assert_eq!(why(&w, "below"), "not entitled: no group has this member");
}

#[test]
fn a_value_that_a_record_lacks_and_cannot_get_is_reported_as_missing_too() {
    // rules A3, M6
    let mut w = World::new();
    w.users("ada");
    w.assign("ada");
    w.options.user_map.set("nickName", "${nick}").unwrap();
    w.put(Kind::User, "theirs", crate::world::record(&[("userName", "ada")]));
    w.record(Kind::User, "u", "ada", &[("title", "x")]);
    w.edit("ada").set("title", "x");
    assert_eq!(
        w.lines(),
        [
            "note: user ada does not get its userName: record theirs has the value",
            "note: user ada has no userName, which is required",
        ]
    );
}
