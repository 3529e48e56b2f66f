//! The quick pass between two full ones (rule I3).

use identity_sync::{Adoption, Extent, Guards, Kind};
use pretty_assertions::assert_eq;

use crate::timeline::Timeline;
use crate::world::{World, capabilities, record};

#[test]
fn a_quick_pass_makes_and_adds_and_takes_nothing_away() {
    // rule I3
    let mut store = capabilities();
    store.adoption = Adoption::Supported;
    let mut w = World::with_store(store);
    w.options.guards = Guards::off();
    w.options.soft_match.users.insert("userName".into());
    w.users("ada bob eve gone");
    w.group("staff", "ada bob eve gone");
    w.assign("staff");
    let mut t = Timeline::start(w);
    t.put(Kind::User, "L", record(&[("userName", "local")]));
    t.edit("ada").set("title", "new title");
    t.edit("eve").disabled();
    t.edit_group("staff").members("ada eve kim local");
    t.delete("gone");
    t.users("kim local");
    t.user("taker").set("userPrincipalName", "bob");
    t.edit("bob").set("userPrincipalName", "robert");
    t.assign("taker bob");
    t.options.extent = Extent::NewEntitlements;
    assert_eq!(
        t.run()[..3],
        [
            "adopt user local as L (Matched)",
            "create user kim [userName=kim] (Entitled)",
            "add staff: kim local (Entitled)",
        ]
    );
    assert!(t.plan().is_empty());
    t.options.extent = Extent::Full;
    let lines = t.run();
    assert!(lines.contains(&"delete user gone (DeletedInSource)".to_owned()));
    assert!(lines.contains(&"deactivate eve (DisabledInSource)".to_owned()));
    assert!(lines.contains(&"remove staff: bob (NoPath)".to_owned()));
    assert!(lines.contains(&"create user taker [userName=bob] (Entitled)".to_owned()));
    assert!(t.plan().is_empty());
}

#[test]
fn a_quick_pass_neither_begins_nor_ends_a_period() {
    // rules I3, D1
    let mut w = World::new();
    w.options.guards = Guards::off();
    w.options.users.grace.deleted_in_source = identity_sync::Period::of_days(2);
    w.users("ada eve");
    w.assign("ada eve");
    let mut t = Timeline::start(w);
    t.delete("eve");
    t.options.extent = Extent::NewEntitlements;
    t.run();
    t.options.extent = Extent::Full;
    assert_eq!(t.days(1).run()[0], "pending Delete user eve (DeletedInSource, day 1 to 3)");
    t.options.extent = Extent::NewEntitlements;
    t.days(1).run();
    t.options.extent = Extent::Full;
    assert_eq!(t.days(1).run()[0], "delete user eve (DeletedInSource)");
}

#[test]
fn a_quick_pass_asks_the_directory_no_questions() {
    // rule I3
    let mut w = World::new();
    w.users("ada eve");
    w.assign("ada eve");
    let mut t = Timeline::start(w);
    t.source.asked.lock().unwrap().clear();
    t.delete("eve");
    t.options.extent = Extent::NewEntitlements;
    t.run();
    assert!(t.source.asked.lock().unwrap().is_empty());
}

#[test]
fn whoever_is_entitled_again_is_made_active_in_a_quick_pass() {
    // rules I3, A7
    let mut w = World::new();
    w.options.guards = Guards::off();
    w.options.users.left_scope = identity_sync::Deprovision::Deactivate;
    w.users("ada eve");
    w.assign("ada eve");
    let mut t = Timeline::start(w);
    t.unassign("eve");
    t.run();
    t.assign("eve");
    t.options.extent = Extent::NewEntitlements;
    assert_eq!(t.run(), ["reactivate eve (Enabled)"]);
}

#[test]
fn a_quick_pass_lists_no_removal_that_it_would_not_do_anyway() {
    // rules I3, C7
    let mut w = World::new();
    w.users("ada bob");
    w.group("staff", "ada bob");
    w.assign("staff");
    w.sync();
    w.edit_group("staff").members("ada").partial();
    assert_eq!(w.plan().blocked().len(), 1);
    w.options.extent = Extent::NewEntitlements;
    assert_eq!(w.plan().blocked().len(), 0);
    let mut store = capabilities();
    store.members = identity_sync::Members::Unlisted;
    let mut w = World::with_store(store);
    w.group("staff", "");
    w.assign("staff");
    w.record(Kind::Group, "g", "staff", &[("displayName", "staff")]);
    assert_eq!(w.plan().blocked().len(), 1);
    w.options.extent = Extent::NewEntitlements;
    assert_eq!(w.plan().blocked().len(), 0);
}

#[test]
fn a_quick_pass_says_nothing_about_whom_it_leaves_alone() {
    // rules I3, C7
    let mut w = World::new();
    w.options.guards = Guards::off();
    w.users("ada bob eve");
    w.assign("ada bob eve");
    w.sync();
    w.hide("ada");
    w.unassign("bob");
    assert_eq!(w.lines().iter().filter(|line| line.starts_with("blocked")).count(), 1);
    assert!(w.lines().contains(&"kept user bob".to_owned()));
    w.options.extent = Extent::NewEntitlements;
    let plan = w.plan();
    assert_eq!((plan.len(), plan.kept().len(), plan.blocked().len()), (0, 0, 0), "{plan}");
}

#[test]
fn since_when_something_is_held_is_known_over_passes_of_every_extent() {
    // rules D5, D7, I3
    let mut w = World::new();
    w.options.guards = Guards::off();
    w.users("ada bob");
    w.assign("ada bob");
    let mut t = Timeline::start(w);
    let nothing = Some(identity_sync::Limit::new(Some(0), 0, 0));
    t.options.guards.grants = nothing;
    t.options.guards.clears_per_attribute = nothing;
    t.edit("ada").set("title", "x");
    t.run();
    t.edit("ada").unset("title");
    t.run();
    // A newcomer is held by a quick pass first.
    t.users("kim");
    t.assign("kim");
    t.options.extent = Extent::NewEntitlements;
    t.days(1).run();
    t.options.extent = Extent::ProvenRemovals;
    t.days(1).run();
    t.options.extent = Extent::Full;
    let plan = t.days(1).plan();
    let since: Vec<i64> = plan.held().map(|held| held.since.0 / crate::lines::DAY).collect();
    assert_eq!(since, [0, 1], "{plan}");
}

#[test]
fn a_quick_pass_gives_nobody_the_name_of_a_leaver_who_is_kept() {
    // rules I3, M4
    let mut w = World::new();
    w.options.guards = Guards::off();
    w.users("jdoe");
    w.assign("jdoe");
    w.sync();
    w.unassign("jdoe");
    w.edit("jdoe").set("userPrincipalName", "jroe");
    w.user("new").set("userPrincipalName", "jdoe");
    w.assign("new");
    assert_eq!(w.plan().len(), 2);
    w.options.extent = Extent::NewEntitlements;
    assert!(w.plan().is_empty(), "{}", w.plan());
}
