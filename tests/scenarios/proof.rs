//! What proves a deletion, and what a store must show (rules C3, C5).

use identity_sync::{
    Completeness, Deprovision, Existence, Guards, Kind, MemberKind, Members, PlanError, SourceCapabilities,
};
use pretty_assertions::assert_eq;

use crate::faulty::PartialStore;
use crate::world::{NOTHING, World, capabilities};

fn settled() -> World {
    let mut w = World::new();
    w.users("ada bob");
    w.group("staff", "ada bob");
    w.group("old", "");
    w.assign("staff old");
    w.options.guards = Guards::off();
    w.sync();
    w
}

#[test]
fn leaver_is_deleted_only_after_the_source_said_gone() {
    // rule C3
    let mut w = settled();
    w.delete("bob");
    w.source.answers.clear();
    assert_eq!(
        w.lines(),
        ["remove staff: bob (NoPath)", "kept user bob", "blocked user bob: DeletionUnproven",]
    );
    w.source.answers.insert("bob".to_owned(), Existence::Gone);
    assert_eq!(w.lines(), ["delete user bob (DeletedInSource)"]);
    w.source.answers.insert("bob".to_owned(), Existence::Exists { kind: MemberKind::User });
    assert_eq!(w.lines(), ["remove staff: bob (NoPath)", "kept user bob"]);
}

#[test]
fn exactly_the_unread_anchors_are_asked_about_and_each_once() {
    // rule C3
    let mut w = settled();
    assert_eq!(w.lines(), NOTHING);
    assert_eq!(*w.source.asked.lock().unwrap(), [""; 0]);
    w.hide("bob");
    w.hide("old");
    w.edit_group("staff").members("ada bob ghost");
    w.group("unrelated", "stranger");
    w.assign("nobody");
    w.try_plan().unwrap();
    assert_eq!(*w.source.asked.lock().unwrap(), ["bob", "ghost", "nobody", "old"]);
}

#[test]
fn a_gone_group_is_deleted_and_an_unknown_one_stays_with_its_members() {
    // rules C3, D3
    let mut w = settled();
    w.hide("staff");
    w.assign("ada bob");
    assert_eq!(
        w.lines(),
        ["blocked group staff: DeletionUnproven", "note: staff is entitled but was not read: left as it is"]
    );
    w.source.answers.insert("staff".to_owned(), Existence::Gone);
    let lines = w.lines();
    assert_eq!(lines[0], "delete group staff (DeletedInSource)");
}

#[test]
fn a_partial_read_does_not_weaken_a_look_up_that_says_gone() {
    // rules C3, C2
    let mut w = settled();
    w.delete("bob");
    w.source.users_read = crate::world::partial();
    w.source.groups_read = crate::world::partial();
    w.assigned.read = crate::world::partial();
    assert_eq!(w.lines(), ["delete user bob (DeletedInSource)"]);
}

#[test]
fn a_tombstone_in_a_read_is_proof_on_its_own() {
    // rule C3
    let mut w = settled();
    w.source.capabilities = SourceCapabilities::default();
    w.delete("bob");
    w.source.tombstones.push("bob".to_owned());
    assert_eq!(w.lines(), ["delete user bob (DeletedInSource)"]);
}

#[test]
fn without_look_ups_absence_deletes_only_where_the_host_says_so_and_the_read_is_complete() {
    // rule C3
    let mut w = settled();
    w.source.capabilities = SourceCapabilities::default();
    w.delete("bob");
    assert_eq!(w.lines()[2], "blocked user bob: DeletionUnproven");
    w.options.absence_is_proof = true;
    assert_eq!(w.lines(), ["delete user bob (DeletedInSource)"]);
    w.source.users_read = crate::world::partial();
    assert!(!w.lines().iter().any(|line| line.starts_with("delete")));
}

#[test]
fn where_the_source_can_be_asked_absence_is_never_proof() {
    // rule C3
    let mut w = settled();
    w.options.absence_is_proof = true;
    w.hide("bob");
    assert!(!w.lines().iter().any(|line| line.starts_with("delete")));
}

#[test]
fn leaving_scope_deletes_only_whom_this_run_has_seen() {
    // rules C3, D1, C7
    let mut w = settled();
    w.options.users.left_scope = Deprovision::Delete;
    w.edit_group("staff").members("ada");
    assert_eq!(w.lines(), ["delete user bob (LeftScope)"]);
    w.hide("bob");
    assert_eq!(
        w.lines(),
        [
            "deactivate bob (LeftScope)",
            "remove staff: bob (NoPath)",
            "kept user bob",
            "blocked user bob: NotSeen",
        ]
    );
}

#[test]
fn a_partial_read_of_the_store_gives_no_plan() {
    // rule C5
    let w = settled();
    for kind in [Kind::User, Kind::Group] {
        let error = w.plan_on(&PartialStore(&w.store, kind)).unwrap_err();
        assert_eq!(error.to_string(), "the store was not read whole: half of it", "{kind}");
    }
    let refused = PlanError::PartialStore { reason: "x\n".to_owned() };
    assert_eq!(refused.to_string(), "the store was not read whole: x\\n");
}

/// A store that cannot list members, holding ada in staff as far as anybody knows.
fn unlisted() -> World {
    let mut store = capabilities();
    store.members = Members::Unlisted;
    let mut w = World::with_store(store);
    w.users("ada bob");
    w.group("staff", "ada bob");
    w.assign("staff");
    for anchor in ["ada", "bob"] {
        w.record(Kind::User, anchor, anchor, &[("userName", anchor)]);
    }
    w.record(Kind::Group, "staff", "staff", &[("displayName", "staff")]);
    w
}

#[test]
fn a_store_that_cannot_list_members_gains_them_only_in_named_groups_and_loses_none() {
    // rules C5, C7
    let mut w = unlisted();
    w.edit("ada").set("title", "countess");
    assert_eq!(
        w.lines(),
        ["update user ada [title:  -> countess] (Changed)", "blocked group staff: MembersUnlisted"]
    );
    w.options.add_members_to.insert("staff".into());
    assert_eq!(
        w.lines(),
        [
            "update user ada [title:  -> countess] (Changed)",
            "add staff: ada bob (Entitled)",
            "blocked group staff: MembersUnlisted",
        ]
    );
}

#[test]
fn in_a_store_that_cannot_list_members_deactivations_and_deletes_go_on() {
    // rules C5, P4
    let mut w = unlisted();
    w.edit("ada").disabled();
    w.delete("bob");
    assert_eq!(
        w.lines(),
        [
            "deactivate ada (DisabledInSource)",
            "delete user bob (DeletedInSource)",
            "blocked group staff: MembersUnlisted",
        ]
    );
    w.run();
    assert_eq!(w.lines(), ["blocked group staff: MembersUnlisted"]);
}

#[test]
fn a_store_that_lists_members_group_by_group_is_read_that_way() {
    // rules C5, E4
    let mut store = capabilities();
    store.members = Members::PerGroup;
    let mut w = World::with_store(store);
    w.users("ada bob");
    w.group("staff", "ada bob");
    w.assign("staff");
    w.sync();
    w.edit_group("staff").members("ada");
    assert_eq!(w.lines(), ["remove staff: bob (NoPath)", "kept user bob"]);
    w.source.users_read = Completeness::Complete;
    w.sync();
}

/// A store that lists the members of each group apart, and not all of them.
struct HalfTheMembers<'s>(&'s identity_sync::memory::MemoryStore);

#[async_trait::async_trait]
impl identity_sync::IdentityStore for HalfTheMembers<'_> {
    fn capabilities(&self) -> identity_sync::StoreCapabilities {
        self.0.capabilities()
    }

    async fn read_users(
        &self,
        select: identity_sync::StoreSelect<'_>,
        at: Option<&identity_sync::PageToken>,
        page: &mut identity_sync::StoredUserPage,
    ) -> Result<identity_sync::PageEnd, identity_sync::StoreError> {
        self.0.read_users(select, at, page).await
    }

    async fn read_groups(
        &self,
        select: identity_sync::StoreSelect<'_>,
        at: Option<&identity_sync::PageToken>,
        page: &mut identity_sync::StoredGroupPage,
    ) -> Result<identity_sync::PageEnd, identity_sync::StoreError> {
        self.0.read_groups(select, at, page).await
    }

    async fn read_members(
        &self,
        group: &identity_sync::StoreId,
        at: Option<&identity_sync::PageToken>,
        page: &mut identity_sync::MemberPage,
    ) -> Result<identity_sync::PageEnd, identity_sync::StoreError> {
        self.0.read_members(group, at, page).await?;
        Ok(identity_sync::PageEnd::partial("half of them"))
    }

    async fn write(
        &self,
        batch: &mut identity_sync::WriteBatch<'_>,
    ) -> Result<(), identity_sync::StoreError> {
        self.0.write(batch).await
    }
}

#[test]
fn a_partial_read_of_the_members_of_one_group_gives_no_plan() {
    // rule C5
    let mut store = capabilities();
    store.members = Members::PerGroup;
    let mut w = World::with_store(store);
    w.users("ada");
    w.group("staff", "ada");
    w.assign("staff");
    w.sync();
    let error = w.plan_on(&HalfTheMembers(&w.store)).unwrap_err();
    assert_eq!(error.to_string(), "the store was not read whole: half of them");
}

#[test]
fn a_group_that_is_out_of_use_cannot_be_emptied_where_nobody_lists_its_members() {
    // rules C5, C7, D1
    let mut w = unlisted();
    w.assign("ada bob");
    w.unassign("staff");
    w.options.groups.left_scope = Deprovision::Deactivate;
    assert_eq!(w.lines(), ["kept group staff", "blocked group staff: MembersUnlisted"]);
}
