//! The plan of proven removals alone (rules S1, C4): it makes, changes and gives nothing.

use identity_sync::{Adoption, Deprovision, Extent, Guards, Kind, Origin};
use pretty_assertions::assert_eq;

use crate::world::{World, capabilities, record};

#[test]
fn nobody_is_made_changed_adopted_or_judged_by_his_entitlement() {
    // rules S1, J2, M3, A7
    let mut store = capabilities();
    store.adoption = Adoption::Supported;
    let mut w = World::with_store(store);
    w.options.guards = Guards::off();
    w.options.soft_match.users.insert("userName".into());
    w.options.users.left_scope = Deprovision::Delete;
    w.options.groups.left_scope = Deprovision::Delete;
    w.users("ada bob kim jit off eve gone");
    w.group("staff", "ada bob kim jit off eve gone");
    w.group("old", "ada");
    w.assign("staff old");
    w.sync();
    w.edit("ada").set("title", "countess");
    w.edit_group("staff").members("ada kim jit off eve gone new local");
    w.unassign("old");
    w.edit("eve").disabled();
    w.delete("gone");
    w.users("new local");
    w.put(Kind::User, "L", record(&[("userName", "local")]));
    let (jit, off) = (w.id("jit"), w.id("off"));
    w.store.state().users.get_mut(&jit).unwrap().origin = Some(Origin::Jit);
    w.store.state().users.get_mut(&off).unwrap().active = false;
    w.options.extent = Extent::ProvenRemovals;
    let plan = w.plan();
    let operations: Vec<String> = crate::world::lines(&plan).into_iter().take(plan.len()).collect();
    assert_eq!(operations, ["deactivate eve (DisabledInSource)", "delete user gone (DeletedInSource)"]);
    assert_eq!(plan.held().len(), 0);
    // All the rest is left for the next whole plan.
    w.run();
    w.options.extent = Extent::Full;
    let lines = w.lines();
    for expected in [
        "adopt user local as L (Matched)",
        "create user new [userName=new] (Entitled)",
        "delete user bob (LeftScope)",
        "delete group old (LeftScope)",
        "update user ada [title:  -> countess] (Changed)",
        "update user jit [origin -> Synced] (Adopted)",
    ] {
        assert!(lines.contains(&expected.to_owned()), "{expected}: {lines:#?}");
    }
}
