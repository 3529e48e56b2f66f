//! What happens to those who are not wanted any more (rules D1–D3, D6, D7).

use identity_sync::{
    Deprovision, Guards, Host, Kind, MembershipsOnDelete, PlanError, Run, RunState, Timestamp,
    UnmanagedMembers, reconcile,
};
use pollster::block_on;
use pretty_assertions::assert_eq;

use crate::world::{NOTHING, World, capabilities, record};

fn settled_in(store: identity_sync::StoreCapabilities) -> World {
    let mut w = World::with_store(store);
    w.users("ada bob");
    w.group("staff", "ada bob");
    w.group("rest", "ada");
    w.assign("staff rest");
    w.options.guards = Guards::off();
    w.sync();
    w
}

fn settled() -> World {
    settled_in(capabilities())
}

#[test]
fn a_user_deleted_in_the_source_is_deleted_deactivated_or_kept() {
    // rule D1
    let mut w = settled();
    w.delete("bob");
    assert_eq!(w.lines(), ["delete user bob (DeletedInSource)"]);
    w.options.users.deleted_in_source = Deprovision::Deactivate;
    assert_eq!(
        w.lines(),
        ["deactivate bob (DeletedInSource)", "remove staff: bob (NoPath)", "kept user bob"]
    );
    w.sync();
    w.options.users.deleted_in_source = Deprovision::Keep;
    assert_eq!(w.lines(), ["kept user bob"]);
}

#[test]
fn a_user_who_left_scope_is_kept_deactivated_or_deleted() {
    // rule D1
    let mut w = settled();
    w.edit_group("staff").members("ada");
    w.edit("bob").set("title", "not updated any more");
    assert_eq!(w.lines(), ["remove staff: bob (NoPath)", "kept user bob"]);
    w.options.users.left_scope = Deprovision::Deactivate;
    assert_eq!(w.lines(), ["deactivate bob (LeftScope)", "remove staff: bob (NoPath)", "kept user bob"]);
    w.options.users.left_scope = Deprovision::Delete;
    assert_eq!(w.lines(), ["delete user bob (LeftScope)"]);
    w.sync();
}

#[test]
fn of_several_causes_the_strictest_wins() {
    // rule D1
    let mut w = settled();
    w.edit_group("staff").members("ada");
    w.edit("bob").disabled();
    w.options.users.left_scope = Deprovision::Delete;
    assert_eq!(w.lines(), ["delete user bob (LeftScope)"]);
    w.options.users.left_scope = Deprovision::Keep;
    assert_eq!(w.lines()[0], "deactivate bob (DisabledInSource)");
    w.options.users.disabled_in_source = Deprovision::Delete;
    assert_eq!(w.lines(), ["delete user bob (DisabledInSource)"]);
}

#[test]
fn a_disabled_account_cannot_be_kept() {
    // rules D1, A5
    let mut w = settled();
    w.options.users.disabled_in_source = Deprovision::Keep;
    assert_eq!(w.refused(), PlanError::CannotKeep { policy: "users.disabled_in_source" });
}

#[test]
fn a_deactivated_group_keeps_its_record_and_loses_its_managed_members() {
    // rules D1, D6
    let mut w = settled();
    w.put(Kind::User, "guest", record(&[("userName", "guest")]));
    w.put_member(&w.id("staff"), "guest");
    w.options.groups.left_scope = Deprovision::Deactivate;
    w.unassign("staff");
    w.assign("bob");
    assert_eq!(w.lines(), ["remove staff: ada bob (GroupRetired)", "kept group staff"]);
    w.sync();
    assert_eq!(w.dump()[1], "group staff [displayName=staff]: #guest");
}

#[test]
fn a_group_that_vanished_unproven_is_emptied_not_deleted() {
    // rules D1, C7
    let mut w = settled();
    w.options.groups.left_scope = Deprovision::Delete;
    w.unassign("staff");
    w.assign("bob");
    w.hide("staff");
    assert_eq!(
        w.lines(),
        ["remove staff: ada bob (GroupRetired)", "kept group staff", "blocked group staff: NotSeen"]
    );
}

#[test]
fn a_deleted_group_takes_its_memberships_with_it_where_the_store_cascades() {
    // rule D2
    let mut w = settled();
    w.put(Kind::User, "guest", record(&[("userName", "guest")]));
    w.put_member(&w.id("staff"), "guest");
    w.delete("staff");
    w.unassign("staff");
    w.assign("bob");
    assert_eq!(w.lines(), ["delete group staff (DeletedInSource)"]);
    w.sync();
}

fn not_cascading() -> World {
    let mut store = capabilities();
    store.memberships_on_delete = MembershipsOnDelete::RemoveFirst;
    settled_in(store)
}

#[test]
fn memberships_are_removed_before_a_delete_where_the_store_does_not_cascade() {
    // rules D2, P6
    let mut w = not_cascading();
    w.delete("ada");
    let plan = w.plan();
    assert_eq!(
        w.lines(),
        [
            "remove rest: ada (MemberDeleted)",
            "remove staff: ada (MemberDeleted)",
            "delete user ada (DeletedInSource)",
        ]
    );
    assert_eq!(plan.operations().last().unwrap().after(), [0, 1]);
    w.sync();
    assert_eq!(w.dump()[..2], ["group rest [displayName=rest]: ", "group staff [displayName=staff]: bob"]);
}

#[test]
fn a_group_that_is_deleted_loses_all_members_first_unmanaged_ones_too() {
    // rule D2
    let mut w = not_cascading();
    w.put(Kind::User, "guest", record(&[("userName", "guest")]));
    w.put_member(&w.id("staff"), "guest");
    w.delete("staff");
    w.unassign("staff");
    w.assign("bob");
    assert_eq!(
        w.lines(),
        ["remove staff: #guest ada bob (GroupDeleted)", "delete group staff (DeletedInSource)"]
    );
    w.sync();
}

#[test]
fn a_deleted_user_leaves_kept_groups_too() {
    // rules D2, D3
    let mut w = not_cascading();
    w.unassign("staff");
    w.assign("bob");
    w.delete("bob");
    assert_eq!(
        w.lines(),
        [
            "remove staff: bob (MemberDeleted)",
            "delete user bob (DeletedInSource)",
            "kept group staff",
            "note: assignment resolves to nothing: corp:bob",
        ]
    );
    w.sync();
}

#[test]
fn a_kept_group_only_shrinks() {
    // rule D3
    let mut w = settled();
    w.users("kim");
    w.unassign("staff");
    w.assign("kim");
    w.edit_group("staff").members("bob kim").set("cn", "people");
    assert_eq!(
        w.lines(),
        [
            "remove staff: ada (NoPath)",
            "create user kim [userName=kim] (Entitled)",
            "kept user bob",
            "kept group staff",
        ]
    );
    w.edit_group("staff").partial();
    assert_eq!(
        w.lines(),
        [
            "create user kim [userName=kim] (Entitled)",
            "kept user bob",
            "kept group staff",
            "blocked ada in staff: ListIncomplete",
        ]
    );
}

#[test]
fn a_kept_group_that_is_gone_loses_only_deleted_users() {
    // rule D3
    let mut w = not_cascading();
    w.options.groups.deleted_in_source = Deprovision::Keep;
    w.delete("staff");
    w.unassign("staff");
    w.edit_group("rest").members("");
    assert_eq!(
        w.lines(),
        ["remove rest: ada (NoPath)", "kept user ada", "kept user bob", "kept group staff"]
    );
    w.delete("bob");
    assert_eq!(
        w.lines(),
        [
            "remove rest: ada (NoPath)",
            "remove staff: bob (MemberDeleted)",
            "delete user bob (DeletedInSource)",
            "kept user ada",
            "kept group staff",
        ]
    );
}

#[test]
fn a_group_that_comes_back_into_scope_is_compared_whole() {
    // rule D3
    let mut w = settled();
    w.unassign("staff");
    w.assign("bob");
    w.users("kim");
    w.edit_group("staff").members("bob kim").set("cn", "people");
    w.sync();
    let stranger = w.id("ada");
    w.put_member(&w.id("staff"), &stranger);
    w.assign("staff");
    assert_eq!(
        w.lines(),
        [
            "remove staff: ada (NoPath)",
            "update group staff [displayName: staff -> people] (Changed)",
            "create user kim [userName=kim] (Entitled)",
            "add staff: kim (Entitled)",
        ]
    );
}

#[test]
fn members_that_somebody_else_put_in_stay_or_go_as_the_host_decides() {
    // rules D6, M7
    let mut w = settled();
    w.put(Kind::User, "guest", record(&[("userName", "guest")]));
    w.put_member(&w.id("staff"), "guest");
    assert_eq!(w.lines(), NOTHING);
    w.options.unmanaged_members = UnmanagedMembers::Remove;
    assert_eq!(w.lines(), ["remove staff: #guest (Unmanaged)"]);
    w.edit_group("staff").members("ada");
    assert_eq!(w.lines(), ["remove staff: #guest bob (NoPath)", "kept user bob"]);
    w.edit_group("staff").partial();
    assert_eq!(
        w.lines(),
        ["kept user bob", "blocked #guest in staff: ListIncomplete", "blocked bob in staff: ListIncomplete"]
    );
    // A kept group is not cleaned of strangers.
    let mut w = settled();
    w.put(Kind::User, "guest", record(&[("userName", "guest")]));
    w.put_member(&w.id("staff"), "guest");
    w.options.unmanaged_members = UnmanagedMembers::Remove;
    w.unassign("staff");
    assert_eq!(w.lines(), ["kept user bob", "kept group staff"]);
}

#[test]
fn what_is_remembered_survives_serialisation_and_is_refused_for_another_issuer() {
    // rule D7
    let mut w = settled();
    let host = Host::default();
    let run = Run::at(Timestamp(1_700_000_000));
    let found = block_on(reconcile(&w.source, &w.store, &w.assigned, &w.options, &run, &host)).unwrap();
    assert_eq!(found.plan.planned_at(), Timestamp(1_700_000_000));
    let text = serde_json::to_string(&found.run).unwrap();
    let state: RunState = serde_json::from_str(&text).unwrap();
    assert_eq!(state, found.run);
    let next = Run::new(state, Timestamp(1_700_000_060));
    let found = block_on(reconcile(&w.source, &w.store, &w.assigned, &w.options, &next, &host)).unwrap();
    assert_eq!(found.plan.diagnostics(), []);
    w.options.issuer = Some("other-corp".into());
    let error = block_on(reconcile(&w.source, &w.store, &w.assigned, &w.options, &next, &host)).unwrap_err();
    let expected = "the run state does not belong to issuer other-corp and this store, or has another format";
    assert_eq!(error.to_string(), expected);
    let other = text.replacen("\"format\":1", "\"format\":2", 1);
    assert_ne!(other, text);
    w.options.issuer = Some(crate::world::CORP.into());
    let newer = Run::new(serde_json::from_str(&other).unwrap(), Timestamp(0));
    assert!(block_on(reconcile(&w.source, &w.store, &w.assigned, &w.options, &newer, &host)).is_err());
}

#[test]
fn the_only_one_whom_any_read_knows_is_asked_about_too() {
    // rules C3, C4
    let mut w = World::new();
    w.options.guards = Guards::off();
    w.users("ada");
    w.assign("ada");
    w.sync();
    w.delete("ada");
    w.unassign("ada");
    w.options.allow_empty.users = true;
    w.options.allow_empty.assignments = true;
    assert_eq!(w.lines()[0], "delete user ada (DeletedInSource)");
}

#[test]
fn members_of_the_only_group_are_asked_about_too() {
    // rules C3, E9
    let mut w = World::new();
    w.group("staff", "ghost");
    w.record(Kind::Group, "g", "staff", &[("displayName", "staff")]);
    w.options.allow_empty.users = true;
    w.options.allow_empty.assignments = true;
    w.plan();
    assert_eq!(*w.source.asked.lock().unwrap(), ["ghost"]);
}

#[test]
fn where_the_deleted_are_kept_an_unproven_deletion_blocks_nothing() {
    // rules C7, D1
    let mut w = settled();
    w.hide("ada");
    assert_eq!(w.plan().blocked().len(), 1);
    w.options.users.deleted_in_source = Deprovision::Keep;
    assert_eq!(w.plan().blocked().len(), 0);
    w.options.users.deleted_in_source = Deprovision::Deactivate;
    assert_eq!(w.plan().blocked().len(), 1);
}
