//! A world in which everything happens that a plan can tell of.

use identity_sync::{
    Adoption, AttributeSchema, DeactivationMemory, Deprovision, Guards, Kind, Limit, MatchRule, MemberKind,
    Period, Principal, Sensitivity, StoreCapabilities, Window,
};

use crate::timeline::Timeline;
use crate::world::{World, capabilities, record};

/// A store that can do everything.
pub(crate) fn able() -> StoreCapabilities {
    let mut store = capabilities();
    store.adoption = Adoption::Supported;
    store.deactivation = DeactivationMemory::Remembered;
    store
        .users
        .insert("emails".to_owned(), AttributeSchema::multi_valued().matching(MatchRule::NfkcCasefold));
    store
}

/// A run with an operation of each kind, approved and held ones, limits, pending ones, blocked ones and findings. Every value
/// that may be sensitive ends with `mark`.
pub(crate) fn eventful(mark: &str) -> Timeline {
    let mut w = World::with_store(able());
    let marked = |text: &str| format!("{text}{mark}");
    for (target, template) in [("employeeNumber", "${employeeID}"), ("title", "${title}")] {
        w.options.user_map.set(target, template).unwrap().sensitivity = Sensitivity::Sensitive;
    }
    w.options.group_map.set("description", "${description}").unwrap().sensitivity = Sensitivity::Sensitive;
    w.users("off back moved out gone1 gone2 gone3 one two leaver late clear spent flap");
    for user in ["moved", "clear", "gone1", "flap"] {
        w.edit(user).set("employeeID", &marked("old")).set("title", &marked("Title"));
    }
    w.group("staff", "off back moved out").set("description", &marked("old"));
    w.group("open", "off moved");
    w.group("loop", "loop");
    w.group("dead", "off moved");
    w.edit("back").disabled();
    w.assign("staff open loop dead one two gone1 gone2 gone3 leaver late clear flap");
    w.edit_group("open").members("off moved spent");
    w.options.guards = Guards::off();
    w.options.guards.removals_per_group = Some(Limit::new(None, 90, 90));
    w.options.guards.window = Some(Window { period: Period::of_days(30), percent: 150 });
    w.options.users.left_scope = Deprovision::Deactivate;
    w.options.users.grace.disabled_in_source = Period::of_days(1);
    w.options.soft_match.users.insert("userName".to_owned());
    let mut t = Timeline::start(w);
    t.edit("flap").set("title", &marked("Flap"));
    for _ in 0..3 {
        t.run();
        let id = t.id("flap");
        let mut state = t.store.state();
        state.users.get_mut(&id).unwrap().attributes.insert("title".to_owned(), vec![marked("flip")]);
    }
    t.edit_group("open").members("off moved");
    t.run();
    t.unassign("leaver");
    t.edit("off").disabled();
    t.edit("back").state(identity_sync::AccountState::Enabled);
    t.edit("moved").set("mail", "moved@x").add("mail", "also@x").set("employeeID", &marked("new"));
    t.edit("clear").unset("title");
    t.edit("one").set("userPrincipalName", "two");
    t.edit("two").set("userPrincipalName", "one");
    t.edit_group("staff").members("off back moved new").set("description", &marked("new"));
    t.edit_group("open").members("moved").partial();
    t.edit_group("loop").unresolved("CN=ghost,DC=x", MemberKind::Unknown);
    t.users("new local same1 same2 odd");
    t.edit("new").set("employeeID", &marked("new")).set("mail", "new@x");
    t.edit("same1").set("userPrincipalName", "same");
    t.edit("same2").set("userPrincipalName", "SAME");
    t.edit("odd").unset("userPrincipalName").set("title", &marked("odd"));
    t.put(Kind::User, "L1", record(&[("userName", "local"), ("note", &marked("note"))]));
    t.assign("local same1 same2 odd");
    for anchor in ["gone1", "gone2", "gone3", "dead"] {
        t.delete(anchor);
    }
    t.options.guards.user_deletes = Some(Limit::new(Some(1), 100, 0));
    t.options.guards.group_deletes = Some(Limit::new(Some(0), 0, 0));
    t.options.guards.clears_per_attribute = Some(Limit::new(Some(0), 0, 0));
    t.assigned.principals.insert(Principal::Stored("missing".into()));
    t.days(1);
    t.look();
    t.edit("late").disabled();
    t.days(1);
    t.look();
    let approved = t.held_file();
    let first = approved.only(|at| at == 0).approve();
    t.approvals = vec![first];
    t.hours(3);
    t
}
