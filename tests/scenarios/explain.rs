//! Why somebody is entitled (rule E12).

use identity_sync::{Evidence, Explanation, Host, Nesting, Run, reconcile};
use pollster::block_on;
use pretty_assertions::assert_eq;

use crate::world::{World, anchor};

fn evidence(w: &World) -> Evidence {
    let (run, host) = (Run::default(), Host::default());
    block_on(reconcile(&w.source, &w.store, &w.assigned, &w.options, &run, &host)).unwrap().evidence
}

fn why(evidence: &Evidence, who: &str) -> String {
    evidence.explain(&anchor(who)).map_or_else(|error| error.to_string(), |why| why.to_string())
}

#[test]
fn an_entitlement_is_explained_by_a_shortest_path_from_an_assignment() {
    // rule E12
    let mut w = World::new();
    w.users("ada bob");
    w.group("long", "mid");
    w.group("mid", "low");
    w.group("low", "ada bob");
    w.group("short", "ada");
    w.assign("long short bob");
    let evidence = evidence(&w);
    assert_eq!(why(&evidence, "ada"), "entitled: short → ada");
    assert_eq!(why(&evidence, "bob"), "entitled: assigned directly");
    assert_eq!(why(&evidence, "low"), "entitled: long → mid → low");
}

#[test]
fn of_equally_short_paths_the_least_by_bytes_is_shown_in_any_order_of_input() {
    // rules E12, P2
    let mut w = World::new();
    w.users("ada");
    w.group("top", "right left");
    w.group("right", "ada");
    w.group("left", "ada");
    w.group("zone", "right");
    w.assign("zone top");
    for _ in 0..2 {
        assert_eq!(why(&evidence(&w), "ada"), "entitled: top → left → ada");
        w.source.groups.reverse();
    }
}

#[test]
fn a_membership_is_explained_by_a_shortest_path_from_its_group() {
    // rule E12
    let mut w = World::new();
    w.users("ada");
    w.group("a", "b");
    w.group("b", "c a");
    w.group("c", "ada");
    w.assign("a");
    let evidence = evidence(&w);
    let path = |group: &str, who: &str| {
        let found = evidence.explain_membership(&anchor(group), &anchor(who)).unwrap();
        found.map(|path| path.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
    };
    assert_eq!(path("a", "ada").as_deref(), Some("a b c ada"));
    assert_eq!(path("c", "ada").as_deref(), Some("c ada"));
    assert_eq!(path("a", "a").as_deref(), Some("a b a"));
    assert_eq!(path("c", "c"), None);
}

#[test]
fn somebody_not_entitled_hears_of_the_nearest_group_that_would_entitle_him() {
    // rule E12
    let mut w = World::new();
    w.users("ada bob eve");
    w.group("far", "near");
    w.group("near", "ada");
    w.group("staff", "bob");
    w.assign("staff");
    let evidence = evidence(&w);
    assert_eq!(why(&evidence, "ada"), "not entitled; would be by an assignment of the first of: near → ada");
    assert_eq!(why(&evidence, "eve"), "not entitled: no group has this member");
    assert_eq!(why(&evidence, "nobody"), "the anchor was not read");
}

#[test]
fn under_direct_only_no_path_leads_through_a_nested_group() {
    // rules E12, E8
    let mut w = World::new();
    w.users("ada");
    w.group("staff", "sub");
    w.group("sub", "ada");
    w.assign("staff");
    w.options.nesting = Nesting::DirectOnly;
    let evidence = evidence(&w);
    let expected = Explanation::NotEntitled { nearest: Some(vec![anchor("sub"), anchor("ada")]) };
    assert_eq!(evidence.explain(&anchor("ada")).unwrap(), expected);
    assert_eq!(evidence.explain_membership(&anchor("staff"), &anchor("ada")).unwrap(), None);
}

#[test]
fn every_planned_grant_has_a_path_and_every_removal_has_none() {
    // rules P5, E12
    let mut w = World::new();
    w.users("ada bob kim");
    w.group("top", "a");
    w.group("a", "b ada");
    w.group("b", "a bob");
    w.assign("top");
    w.sync();
    w.edit_group("b").members("a kim");
    let (run, host) = (Run::default(), Host::default());
    let found = block_on(reconcile(&w.source, &w.store, &w.assigned, &w.options, &run, &host)).unwrap();
    let mut grants = 0;
    for operation in found.plan.operations() {
        let (group, members, granted) = match operation.action() {
            identity_sync::Action::AddMembers(members) => (operation.subject(), members, true),
            identity_sync::Action::RemoveMembers(members) => (operation.subject(), members, false),
            _ => continue,
        };
        for member in members.iter() {
            let group = anchor(group.anchor().unwrap());
            let path = found.evidence.explain_membership(&group, &anchor(member.anchor().unwrap())).unwrap();
            assert_eq!(path.is_some(), granted, "{operation}");
            grants += usize::from(granted);
        }
    }
    assert_eq!(grants, 3);
}

#[test]
fn the_part_of_the_graph_that_decides_over_somebody_can_be_drawn() {
    // rule E12
    let mut w = World::new();
    w.users("ada bob");
    w.group("top", "mid");
    w.group("mid", "low bob");
    w.group("low", "mid ada");
    w.group("say \"x\"", "ada ada");
    w.group("beside", "bob");
    w.assign("top");
    let evidence = evidence(&w);
    let expected = [
        "digraph membership {",
        "  \"low\" -> \"ada\";",
        "  \"low\" -> \"mid\";",
        "  \"mid\" -> \"low\";",
        "  \"say \\\"x\\\"\" -> \"ada\";",
        "  \"top\" -> \"mid\";",
        "  \"top\" [style=filled];",
        "}",
        "",
    ];
    assert_eq!(evidence.dot(&anchor("ada")).unwrap(), expected.join("\n"));
    let alone = "digraph membership {\n  \"top\" [style=filled];\n}\n";
    assert_eq!(evidence.dot(&anchor("top")).unwrap(), alone);
    assert!(evidence.dot(&anchor("nobody")).is_err());
}

#[test]
fn of_several_groups_that_would_entitle_somebody_the_least_is_named() {
    // rules E12, P2
    let mut w = World::new();
    w.users("ada eve");
    for group in ["b", "a", "c"] {
        w.group(group, "ada");
    }
    w.group("used", "eve");
    w.assign("used");
    for _ in 0..3 {
        assert!(why(&evidence(&w), "ada").ends_with(": a → ada"));
        w.source.groups.rotate_left(1);
    }
}
