//! No removal without proof: reads that fail, end early or come back empty (rules C1, C2, C4, C7).

use identity_sync::{
    Deprovision, Extent, Guards, Kind, PlanError, ReadError, ReconcileError, SourceCapabilities,
};
use pretty_assertions::assert_eq;

use crate::world::{NOTHING, World, partial};

/// Everybody in the store as in the directory: ada and bob in sub, sub in top, kim assigned directly.
fn settled() -> World {
    let mut w = World::new();
    w.users("ada bob kim");
    w.group("top", "sub");
    w.group("sub", "ada bob");
    w.assign("top kim");
    w.options.guards = Guards::off();
    w.sync();
    w
}

#[test]
fn an_error_of_any_read_gives_no_plan_on_whichever_page() {
    // rule C1
    let mut w = settled();
    w.source.rows = 1;
    let mut fail = |what: &'static str, page: usize| {
        w.source.fail = Some((what, page));
        match w.try_plan() {
            Err(ReconcileError::Read(ReadError::Adapter { source, .. })) => assert!(!source.is_transient()),
            other => panic!("{what}: {other:?}"),
        }
    };
    for page in 0..2 {
        fail("users", page);
        fail("groups", page);
    }
    w.hide("bob");
    w.source.fail = Some(("look-ups", 0));
    assert!(matches!(w.try_plan(), Err(ReconcileError::Read(_))));
    w.source.fail = None;
    w.assigned.fail = true;
    assert!(matches!(w.try_plan(), Err(ReconcileError::Read(_))));
}

#[test]
fn an_incomplete_list_makes_every_list_above_incomplete() {
    // rules C1, C2, C7
    let mut w = settled();
    w.users("new");
    w.edit_group("sub").members("ada new").partial();
    assert_eq!(
        w.lines(),
        [
            "create user new [userName=new] (Entitled)",
            "add sub: new (Entitled)",
            "add top: new (Entitled)",
            "kept user bob",
            "blocked bob in sub: ListIncomplete",
            "blocked bob in top: ListIncomplete",
        ]
    );
}

#[test]
fn an_incomplete_list_blocks_nothing_beside_it() {
    // rule C2
    let mut w = settled();
    w.group("other", "ada kim");
    w.group("below", "kim");
    w.assign("other below");
    w.sync();
    w.edit_group("other").partial();
    w.edit_group("below").members("");
    assert_eq!(w.lines(), ["remove below: kim (NoPath)"]);
}

#[test]
fn partial_users_delete_and_retire_nobody_whom_the_read_lacks() {
    // rules C2, C7
    let mut w = settled();
    w.options.users.left_scope = Deprovision::Delete;
    w.unassign("kim");
    w.hide("kim");
    w.edit("ada").set("title", "countess");
    w.source.users_read = partial();
    assert_eq!(
        w.lines(),
        [
            "update user ada [title:  -> countess] (Changed)",
            "kept user kim",
            "blocked user kim: DeletionUnproven",
        ]
    );
    // Whoever was read and has no path is proven out all the same.
    w.edit_group("sub").members("ada");
    assert_eq!(w.lines()[0], "delete user bob (LeftScope)");
}

#[test]
fn partial_groups_prove_no_group_out_and_remove_nobody_below_an_unread_one() {
    // rules C2, C7
    let mut w = settled();
    w.options.groups.left_scope = Deprovision::Delete;
    w.options.users.left_scope = Deprovision::Delete;
    w.hide("sub");
    w.source.groups_read = partial();
    assert_eq!(
        w.lines(),
        [
            "kept user ada",
            "kept user bob",
            "blocked user ada: ScopeUnproven",
            "blocked user bob: ScopeUnproven",
            "blocked group sub: DeletionUnproven",
            "blocked ada in top: ListIncomplete",
            "blocked bob in top: ListIncomplete",
            "note: sub is entitled but was not read: left as it is",
            "note: group top: 1 members may hide others, so nobody is removed from it or above",
        ]
    );
}

#[test]
fn an_assigned_group_that_a_partial_read_lacks_may_entitle_anybody() {
    // rules C2, E11
    let mut w = settled();
    w.options.users.left_scope = Deprovision::Delete;
    w.assign("unread");
    w.unassign("kim");
    w.source.groups_read = partial();
    let lines = w.lines();
    assert_eq!(lines[..2], ["kept user kim", "blocked user kim: ScopeUnproven"]);
    assert_eq!(lines.len(), 3, "{lines:#?}");
}

#[test]
fn partial_assignments_take_nobody_out_of_scope() {
    // rules C2, C7
    let mut w = settled();
    w.options.users.left_scope = Deprovision::Delete;
    w.options.groups.left_scope = Deprovision::Delete;
    w.unassign("top");
    w.assigned.read = partial();
    w.edit("kim").set("title", "clerk");
    assert_eq!(
        w.lines(),
        [
            "update user kim [title:  -> clerk] (Changed)",
            "kept user ada",
            "kept user bob",
            "kept group sub",
            "kept group top",
            "blocked user ada: ScopeUnproven",
            "blocked user bob: ScopeUnproven",
            "blocked group sub: ScopeUnproven",
            "blocked group top: ScopeUnproven",
        ]
    );
    w.assigned.read = identity_sync::Completeness::Complete;
    assert_eq!(w.lines().iter().filter(|line| line.starts_with("delete")).count(), 4);
}

#[test]
fn one_incomplete_list_below_an_assignment_takes_nobody_out_of_scope() {
    // rule C2
    let mut w = settled();
    w.options.users.left_scope = Deprovision::Deactivate;
    w.unassign("kim");
    w.edit_group("sub").partial();
    assert_eq!(w.lines(), ["kept user kim", "blocked user kim: ScopeUnproven"]);
    // A list that nobody reaches from an assignment entitles nobody, whatever it hides.
    let mut w = settled();
    w.options.users.left_scope = Deprovision::Deactivate;
    w.group("apart", "").partial();
    w.unassign("kim");
    assert_eq!(w.lines(), ["deactivate kim (LeftScope)", "kept user kim"]);
}

#[test]
fn every_blocked_removal_is_listed_with_its_reason_and_counted() {
    // rule C7
    let mut w = settled();
    w.edit_group("sub").members("ada").partial();
    w.hide("kim");
    let plan = w.plan();
    let blocked: Vec<String> = plan
        .blocked()
        .map(|b| format!("{:?} {:?} {:?}", b.subject, b.member.map(|m| m.to_string()), b.because))
        .collect();
    assert_eq!(
        blocked,
        [
            "user kim [kim] None DeletionUnproven",
            "group sub [sub] Some(\"user bob [bob]\") ListIncomplete",
            "group top [top] Some(\"user bob [bob]\") ListIncomplete",
        ]
    );
    assert_eq!(plan.blocked().len(), 3);
}

#[test]
fn a_complete_read_without_users_is_refused_unless_allowed() {
    // rule C4
    let mut w = settled();
    w.source.users.clear();
    assert_eq!(w.refused(), PlanError::EmptySource { kind: Kind::User });
    w.source.users_read = partial();
    assert!(w.plan().is_empty());
    w.source.users_read = identity_sync::Completeness::Complete;
    w.options.allow_empty.users = true;
    let lines = w.lines();
    assert!(!lines.iter().any(|line| line.starts_with("delete")), "{lines:#?}");
}

#[test]
fn a_complete_read_without_groups_is_refused_unless_allowed() {
    // rule C4
    let mut w = settled();
    w.source.groups.clear();
    assert_eq!(w.refused(), PlanError::EmptySource { kind: Kind::Group });
    w.options.allow_empty.groups = true;
    assert!(w.try_plan().is_ok());
}

#[test]
fn no_assignment_or_none_that_resolves_is_refused_unless_allowed() {
    // rule C4
    let mut w = settled();
    w.assigned.principals.clear();
    assert_eq!(w.refused(), PlanError::EmptyAssignments);
    w.assign("nobody");
    assert_eq!(w.refused(), PlanError::EmptyAssignments);
    w.options.allow_empty.assignments = true;
    assert_eq!(
        w.lines(),
        [
            "kept user ada",
            "kept user bob",
            "kept user kim",
            "kept group sub",
            "kept group top",
            "note: assignment resolves to nothing: corp:nobody",
        ]
    );
}

#[test]
fn an_empty_directory_before_an_empty_store_is_fine() {
    // rule C4
    let mut w = World::new();
    w.put(Kind::User, "local", crate::world::record(&[("userName", "local")]));
    assert_eq!(w.lines(), NOTHING);
}

#[test]
fn where_the_engine_reads_by_anchor_empty_means_that_no_linked_one_was_found() {
    // rule C4
    let mut w = settled();
    let select = std::num::NonZeroUsize::new(2).unwrap();
    w.source.capabilities = SourceCapabilities::default().with_existence().with_select(select);
    assert_eq!(w.lines(), NOTHING);
    w.source.users.clear();
    w.users("stranger");
    w.assign("stranger");
    assert_eq!(w.refused(), PlanError::EmptySource { kind: Kind::User });
}

#[test]
fn the_plan_of_proven_removals_can_be_had_from_an_empty_read() {
    // rules C4, S1
    let mut w = settled();
    w.delete("bob");
    w.source.users.clear();
    w.users("ada");
    w.edit("ada").disabled().set("title", "countess");
    w.source.groups.clear();
    w.assigned.principals.clear();
    assert!(matches!(w.refused(), PlanError::EmptySource { .. } | PlanError::EmptyAssignments));
    w.options.extent = Extent::ProvenRemovals;
    let lines = w.lines();
    assert_eq!(lines[..2], ["deactivate ada (DisabledInSource)", "delete user bob (DeletedInSource)"]);
    assert_eq!(w.plan().len(), 2, "{lines:#?}");
}
