//! What waits for what, in the plan and while it is written (rules D2, P7, X1).

use std::sync::atomic::{AtomicUsize, Ordering};

use identity_sync::memory::MemoryRecord;
use identity_sync::{
    Action, ApplyOptions, Concurrency, ErrorKind, ExternalId, Guards, Host, IdentityStore, Kind,
    MembershipsOnDelete, Origin, Outcome, PageEnd, PageToken, StoreCapabilities, StoreError, StoreSelect,
    StoredGroupPage, StoredUserPage, WriteBatch, apply,
};
use pollster::block_on;
use pretty_assertions::assert_eq;

use crate::apply::outcomes;
use crate::faulty::{FakeTimer, Fault, Scripted};
use crate::world::{NOTHING, World, capabilities};

/// ada and bob in staff; a store that deletes no record with memberships.
fn not_cascading() -> World {
    let mut store = capabilities();
    store.memberships_on_delete = MembershipsOnDelete::RemoveFirst;
    let mut w = World::with_store(store);
    w.options.guards = Guards::off();
    w.users("ada bob");
    w.group("staff", "ada bob");
    w.group("rest", "");
    w.assign("staff rest ada bob");
    w.sync();
    w
}

#[test]
fn a_group_whose_members_could_not_be_removed_first_is_not_deleted() {
    // rules D2, X1
    let mut w = not_cascading();
    let staff = w.id("staff");
    w.delete("staff");
    let plan = w.plan();
    assert_eq!(
        w.lines()[..2],
        ["remove staff: ada bob (GroupDeleted)", "delete group staff (DeletedInSource)"]
    );
    let store = Scripted::new(&w.store, [(0, Fault::Refuse(ErrorKind::Invalid))]);
    let report = block_on(apply(&plan, &store, &ApplyOptions::default(), &Host::default())).unwrap();
    assert_eq!(outcomes(&report), ["failed: as scripted", "skipped because of operation 0"]);
    assert_eq!(store.log(), [format!("remove 2 from {staff}")]);
}

#[test]
fn a_group_that_somebody_put_into_another_one_leaves_it_before_it_is_deleted() {
    // rules D2, X1
    let mut w = not_cascading();
    let staff = w.id("staff");
    w.put_member(&w.id("rest"), &staff);
    w.edit_group("staff").members("");
    w.sync();
    w.put_member(&w.id("rest"), &staff);
    w.delete("staff");
    let plan = w.plan();
    assert_eq!(
        w.lines()[..2],
        [format!("remove rest: #{staff} (NoPath)"), "delete group staff (DeletedInSource)".to_owned()]
    );
    let Some(Action::RemoveMembers(members)) = plan.operations().next().map(|first| first.action()) else {
        panic!("{plan}");
    };
    assert!(members.iter().all(|member| member.kind() == Kind::Group));
    let store = Scripted::new(&w.store, [(0, Fault::Refuse(ErrorKind::Invalid))]);
    let report = block_on(apply(&plan, &store, &ApplyOptions::default(), &Host::default())).unwrap();
    assert_eq!(outcomes(&report), ["failed: as scripted", "skipped because of operation 0"]);
}

/// New users, all in one call.
fn newcomers(count: usize, batch: usize) -> World {
    let mut store = capabilities();
    store.batch = batch;
    let mut w = World::with_store(store);
    let all: String = (0..count).map(|i| format!("u{i:04} ")).collect();
    w.source.rows = 1_000;
    w.users(&all);
    w.assign(&all);
    w
}

#[test]
fn by_default_apply_stops_when_more_than_forty_of_a_hundred_failed() {
    // rule X1
    for (refused, stops) in [(400, false), (401, true)] {
        let w = newcomers(1_000, 1_000);
        let store = Scripted::new(&w.store, (0..refused).map(|at| (at, Fault::Refuse(ErrorKind::Invalid))));
        let report = block_on(apply(&w.plan(), &store, &ApplyOptions::default(), &Host::default())).unwrap();
        assert_eq!((report.applied(), report.stopped.is_some()), (1_000 - refused, stops));
    }
}

#[test]
fn a_plan_has_a_retry_for_each_full_hundred_of_its_operations() {
    // rule X3
    for (count, retries) in [(900, 10), (1_199, 11)] {
        let w = newcomers(count, 1);
        let timer = FakeTimer::default();
        let store = Scripted::always(&w.store, Fault::Refuse(ErrorKind::Transient));
        let host = Host::default().timer(&timer);
        block_on(apply(&w.plan(), &store, &ApplyOptions::default(), &host)).unwrap();
        assert_eq!(timer.millis().len(), retries);
    }
}

#[test]
fn a_protection_that_is_younger_than_the_plan_fails_only_what_names_the_record() {
    // rules M8, X1
    for by_id in [true, false] {
        let mut w = not_cascading();
        w.users("kim");
        w.edit("ada").set("title", "countess");
        w.edit("bob").set("title", "builder");
        w.edit_group("staff").members("bob");
        w.edit_group("rest").members("ada kim");
        let plan = w.plan();
        assert_eq!(
            w.lines(),
            [
                "remove staff: ada (NoPath)",
                "update user ada [title:  -> countess] (Changed)",
                "update user bob [title:  -> builder] (Changed)",
                "create user kim [userName=kim] (Entitled)",
                "add rest: ada kim (Entitled)",
            ]
        );
        let mut options = ApplyOptions::default();
        if by_id {
            options.protected.ids.insert(w.id("ada").as_str().into());
        } else {
            options.protected.anchors.insert("ada".into());
        }
        let report = block_on(apply(&plan, &w.store, &options, &Host::default())).unwrap();
        let refused = "failed: it would touch a record that is protected by now";
        assert_eq!(outcomes(&report), [refused, refused, "applied", "applied", refused]);
        // It has not happened, and does not when it is tried again.
        let Outcome::Failed(error) = &report.outcomes[0] else { panic!("{report}") };
        assert_eq!(error.kind(), ErrorKind::Permanent);
    }
}

#[test]
fn a_store_may_name_the_record_in_every_answer() {
    // rules X1, P7
    let mut w = not_cascading();
    w.edit("ada").set("title", "countess");
    let name = if w.id("ada") == "user-1" { "user-1" } else { "user-2" };
    let store = Scripted::new(&w.store, [(0, Fault::Name(name))]);
    let report = block_on(apply(&w.plan(), &store, &ApplyOptions::default(), &Host::default())).unwrap();
    assert!(report.is_success(), "{report}");
}

/// Answers every selection of single records with the same page again, or with a part of it.
struct Endless<'s> {
    store: &'s Scripted<'s>,
    partial: bool,
    reads: AtomicUsize,
}

#[async_trait::async_trait]
impl IdentityStore for Endless<'_> {
    fn capabilities(&self) -> StoreCapabilities {
        self.store.capabilities()
    }

    async fn read_users(
        &self,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
        page: &mut StoredUserPage,
    ) -> Result<PageEnd, StoreError> {
        if matches!(select, StoreSelect::All) {
            return self.store.read_users(select, at, page).await;
        }
        self.reads.fetch_add(1, Ordering::SeqCst);
        if self.partial {
            return Ok(PageEnd::partial("half of it"));
        }
        Ok(PageEnd::More(PageToken::new(b"again".to_vec())))
    }

    async fn read_groups(
        &self,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
        page: &mut StoredGroupPage,
    ) -> Result<PageEnd, StoreError> {
        self.store.read_groups(select, at, page).await
    }

    async fn write(&self, batch: &mut WriteBatch<'_>) -> Result<(), StoreError> {
        self.store.write(batch).await
    }
}

#[test]
fn a_look_up_that_repeats_its_page_or_ends_in_part_is_given_up_at_once() {
    // rules P7, S1
    for (partial, most) in [(true, 1), (false, 2)] {
        let mut store = capabilities();
        store.concurrency = Concurrency::ReadAgain;
        let mut w = World::with_store(store);
        w.users("ada");
        w.assign("ada");
        w.sync();
        w.edit("ada").set("title", "countess");
        let scripted = Scripted::new(&w.store, []);
        let store = Endless { store: &scripted, partial, reads: AtomicUsize::new(0) };
        let timer = FakeTimer::default();
        let host = Host::default().timer(&timer);
        let report = block_on(apply(&w.plan(), &store, &ApplyOptions::default(), &host)).unwrap();
        let unread = "failed: the record could not be read again before the write";
        assert_eq!(outcomes(&report), [unread]);
        assert_eq!((store.reads.into_inner(), scripted.log().len()), (most, 0));
    }
}

/// Compares versions, and gives none to the records that it lists.
struct WithoutVersions<'s>(&'s Scripted<'s>);

#[async_trait::async_trait]
impl IdentityStore for WithoutVersions<'_> {
    fn capabilities(&self) -> StoreCapabilities {
        let mut capabilities = self.0.capabilities();
        capabilities.concurrency = Concurrency::Conditional;
        capabilities
    }

    async fn read_users(
        &self,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
        page: &mut StoredUserPage,
    ) -> Result<PageEnd, StoreError> {
        self.0.read_users(select, at, page).await
    }

    async fn read_groups(
        &self,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
        page: &mut StoredGroupPage,
    ) -> Result<PageEnd, StoreError> {
        self.0.read_groups(select, at, page).await
    }

    async fn write(&self, batch: &mut WriteBatch<'_>) -> Result<(), StoreError> {
        self.0.write(batch).await
    }
}

#[test]
fn a_record_that_has_no_version_is_read_again_by_a_store_that_compares_versions_too() {
    // rule P7
    let mut store = capabilities();
    store.concurrency = Concurrency::ReadAgain;
    let mut w = World::with_store(store);
    w.users("ada bob");
    w.assign("ada bob");
    w.sync();
    w.edit("ada").set("title", "countess");
    w.edit("bob").set("title", "builder");
    let scripted = Scripted::new(&w.store, []);
    let store = WithoutVersions(&scripted);
    let plan = w.plan_on(&store).unwrap();
    // An administrator is quicker with one of them.
    let bob = w.id("bob");
    w.store.state().users.get_mut(&bob).unwrap().attributes.insert("title".into(), vec!["mason".into()]);
    let report = block_on(apply(&plan, &store, &ApplyOptions::default(), &Host::default())).unwrap();
    assert_eq!(outcomes(&report), ["applied", "failed: the record has changed since the plan was made"]);
    assert_eq!(scripted.log().len(), 1);
    assert_eq!(w.lines(), ["update user bob [title: mason -> builder] (Changed)"]);
    w.sync();
    assert_eq!(w.lines(), NOTHING);
}

#[test]
fn in_a_swap_of_names_each_update_waits_for_those_before_it() {
    // rules P6, X1
    let mut w = not_cascading();
    w.edit("ada").set("userPrincipalName", "bob");
    w.edit("bob").set("userPrincipalName", "ada");
    let plan = w.plan();
    let waits: Vec<Vec<u32>> = plan.operations().map(|operation| operation.after().to_vec()).collect();
    assert_eq!(waits, [vec![], vec![0], vec![0, 1]], "{plan}");
    let store = Scripted::new(&w.store, [(0, Fault::Refuse(ErrorKind::Invalid))]);
    let report = block_on(apply(&plan, &store, &ApplyOptions::default(), &Host::default())).unwrap();
    let skipped = "skipped because of operation 0";
    assert_eq!(outcomes(&report), ["failed: as scripted", skipped, skipped]);
}

#[test]
fn a_user_who_is_deleted_with_his_group_waits_for_its_members_to_go() {
    // rules D2, X1
    let mut w = not_cascading();
    w.delete("ada");
    w.delete("staff");
    let plan = w.plan();
    assert_eq!(
        w.lines()[..3],
        [
            "remove staff: ada bob (GroupDeleted)",
            "delete user ada (DeletedInSource)",
            "delete group staff (DeletedInSource)",
        ]
    );
    let store = Scripted::new(&w.store, [(0, Fault::Refuse(ErrorKind::Invalid))]);
    let report = block_on(apply(&plan, &store, &ApplyOptions::default(), &Host::default())).unwrap();
    let skipped = "skipped because of operation 0";
    assert_eq!(outcomes(&report), ["failed: as scripted", skipped, skipped]);
}

#[test]
fn a_call_that_finds_nothing_at_all_is_not_tried_again() {
    // rules X2, X3: a wrong address, perhaps
    let w = newcomers(2, 2);
    let timer = FakeTimer::default();
    let store = Scripted::new(&w.store, [(0, Fault::Break(ErrorKind::NotFound))]);
    let host = Host::default().timer(&timer);
    let report = block_on(apply(&w.plan(), &store, &ApplyOptions::default(), &host)).unwrap();
    assert_eq!((report.applied(), timer.millis().len(), store.log().len()), (0, 0, 1));
}

#[test]
fn whatever_somebody_changes_in_a_record_without_a_version_fails_its_write() {
    // rule P7
    let set = |record: &mut MemoryRecord, name: &str, value: &str| {
        record.attributes.insert(name.to_owned(), vec![value.to_owned()]);
    };
    let outcome = |change: &dyn Fn(&mut MemoryRecord)| {
        let mut store = capabilities();
        store.concurrency = Concurrency::ReadAgain;
        let mut w = World::with_store(store);
        w.users("ada");
        w.assign("ada");
        w.sync();
        let id = w.id("ada");
        let edit = |change: &dyn Fn(&mut MemoryRecord)| {
            change(w.store.state().users.get_mut(&id).unwrap());
        };
        edit(&|record| {
            set(record, "aaa", "1");
            set(record, "zzz", "1");
            record.external_ids.push(ExternalId::new("other", "x"));
        });
        w.source.users[0].set("title", "countess");
        let plan = w.plan();
        edit(change);
        let report = block_on(apply(&plan, &w.store, &ApplyOptions::default(), &Host::default())).unwrap();
        outcomes(&report).concat()
    };
    let changes: [&dyn Fn(&mut MemoryRecord); 8] = [
        &|record| set(record, "aaa", "2"),
        &|record| set(record, "zzz", "2"),
        &|record| drop(record.attributes.remove("zzz")),
        &|record| record.active = false,
        &|record| record.origin = Some(Origin::Jit),
        &|record| record.origin = None,
        &|record| record.external_ids.push(ExternalId::new("third", "x")),
        &|record| record.external_ids[1] = ExternalId::new("other", "y"),
    ];
    for change in changes {
        assert_eq!(outcome(change), "failed: the record has changed since the plan was made");
    }
    // What is the same in another order has not changed.
    assert_eq!(outcome(&|record| record.external_ids.reverse()), "applied");
}
