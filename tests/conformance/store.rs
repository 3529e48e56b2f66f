//! Stores in memory, with every capability that a store may declare or lack.

use async_trait::async_trait;
use identity_sync::memory::{MemoryRecord, MemoryStore};
use identity_sync::testing::conformance::{self, BuildError, StoreBuilder, Unmanaged};
use identity_sync::{
    Activation, Adoption, AttributeSchema, Concurrency, DeactivatedBy, DeactivationMemory, IdentityStore,
    Kind, MatchRule, Members, MembershipsOnDelete, PageEnd, PageToken, StoreCapabilities, StoreError,
    StoreId, StoreSelect, StoredGroupPage, StoredUserPage, Write, WriteBatch, Written,
};
use pollster::block_on;

use crate::{open, spawned};

/// Builds stores with these capabilities.
pub(crate) struct InMemory(pub(crate) StoreCapabilities);

impl InMemory {
    /// As [`MemoryStore::new`] declares.
    pub(crate) fn full() -> Self {
        let mut capabilities = StoreCapabilities::named("app");
        capabilities.concurrency = Concurrency::Conditional;
        capabilities.deactivation = DeactivationMemory::Remembered;
        capabilities.adoption = Adoption::Supported;
        Self(capabilities)
    }

    fn with(change: impl FnOnce(&mut StoreCapabilities)) -> Self {
        let mut builder = Self::full();
        change(&mut builder.0);
        builder
    }

    pub(crate) fn build(&self) -> MemoryStore {
        MemoryStore::with_capabilities(self.0.clone()).with_page_size(7)
    }
}

/// Puts a record in behind the trait's back.
pub(crate) fn put(store: &MemoryStore, record: &Unmanaged) -> StoreId {
    let made = MemoryRecord {
        attributes: record.attributes.iter().cloned().collect(),
        active: record.active,
        deactivated_by: DeactivatedBy::Other,
        ..MemoryRecord::default()
    };
    let mut state = store.state();
    let id = format!("local-{}", state.users.len() + state.groups.len());
    match record.kind {
        Kind::User => state.users.insert(id.clone(), made),
        Kind::Group => state.groups.insert(id.clone(), made),
    };
    StoreId::from(id)
}

#[async_trait]
impl StoreBuilder for InMemory {
    type Store = MemoryStore;

    async fn empty(&self) -> Result<MemoryStore, BuildError> {
        Ok(self.build())
    }

    fn many(&self) -> usize {
        20
    }

    async fn put_unmanaged(&self, store: &MemoryStore, record: &Unmanaged) -> Result<StoreId, BuildError> {
        Ok(put(store, record))
    }
}

#[test]
fn a_store_in_memory_with_everything_conforms() {
    let report = block_on(conformance::store(&InMemory::full()));
    report.assert_conforming();
    // It lives as long as its value, and always sees all that it holds.
    assert_eq!(
        open(&report),
        ["what_cannot_be_seen_is_not_called_complete", "what_was_answered_survives_a_restart"],
        "{report}"
    );
}

#[test]
fn a_store_that_compares_no_versions_conforms() {
    let report =
        block_on(conformance::store(&InMemory::with(|can| can.concurrency = Concurrency::ReadAgain)));
    report.assert_conforming();
    assert!(open(&report).contains(&"a_stale_version_is_refused_and_nothing_is_written"), "{report}");
}

/// Groups have nothing but a name that others may have as well, and a change of nothing is none: no version grows.
struct NamesAlone;

struct Idle(MemoryStore);

#[async_trait]
impl StoreBuilder for NamesAlone {
    type Store = Idle;

    async fn empty(&self) -> Result<Idle, BuildError> {
        let builder = InMemory::with(|can| {
            can.groups.insert("displayName".to_owned(), AttributeSchema::default().required());
        });
        Ok(Idle(builder.build()))
    }

    fn attributes(&self, kind: Kind) -> Vec<String> {
        if kind == Kind::User { vec!["title".to_owned()] } else { Vec::new() }
    }
}

#[async_trait]
impl IdentityStore for Idle {
    fn capabilities(&self) -> StoreCapabilities {
        self.0.capabilities()
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
        for item in batch.items() {
            let known = match item.write() {
                Write::UpdateGroup { id, changes: [], version: None } => {
                    self.0.state().groups.get(id.as_str()).map(|group| group.version)
                }
                _ => None,
            };
            item.answer(match known {
                Some(version) => Ok(Written::done().with_version(version.to_string())),
                None => {
                    let mut one = WriteBatch::new();
                    one.push(item.write().clone());
                    self.0.write(&mut one).await?;
                    one.into_answers().next().flatten().unwrap()
                }
            });
        }
        Ok(())
    }
}

#[test]
fn a_store_whose_groups_have_only_a_name_conforms() {
    // rule P7: somebody else's write is one that changes something, or the version before it is not stale
    let report = block_on(conformance::store(&NamesAlone));
    report.assert_conforming();
    assert!(!open(&report).contains(&"a_stale_version_is_refused_and_nothing_is_written"), "{report}");
}

#[test]
fn a_store_that_lists_members_group_by_group_conforms() {
    let report = block_on(conformance::store(&InMemory::with(|can| can.members = Members::PerGroup)));
    report.assert_conforming();
    assert!(!open(&report).contains(&"many_members_are_all_listed"), "{report}");
}

#[test]
fn a_store_that_cannot_list_members_conforms() {
    let report = block_on(conformance::store(&InMemory::with(|can| can.members = Members::Unlisted)));
    report.assert_conforming();
    assert!(open(&report).contains(&"many_members_are_all_listed"), "{report}");
}

#[test]
fn a_store_that_keeps_memberships_of_the_deleted_conforms() {
    let can = |can: &mut StoreCapabilities| can.memberships_on_delete = MembershipsOnDelete::RemoveFirst;
    let report = block_on(conformance::store(&InMemory::with(can)));
    report.assert_conforming();
    assert!(open(&report).contains(&"a_deleted_user_leaves_all_groups"), "{report}");
}

#[test]
fn a_store_that_can_do_little_conforms() {
    let report = block_on(conformance::store(&InMemory::with(|can| {
        can.activation = Activation::AlwaysActive;
        can.deactivation = DeactivationMemory::Forgotten;
        can.adoption = Adoption::Unsupported;
        (can.batch, can.members_per_write) = (1, 1);
    })));
    report.assert_conforming();
    assert!(open(&report).contains(&"each_answer_stands_in_its_own_slot"), "{report}");
}

#[test]
fn a_store_conforms_by_whatever_rule_its_names_compare() {
    for rule in [MatchRule::Exact, MatchRule::AsciiCaseFold, MatchRule::NfkcCasefold] {
        let report = block_on(conformance::store(&InMemory::with(|can| {
            can.users.values_mut().chain(can.groups.values_mut()).for_each(|schema| schema.matching = rule);
        })));
        report.assert_conforming();
    }
}

#[test]
fn a_closure_is_a_builder() {
    let report = spawned(conformance::store(&|| Ok(MemoryStore::new("app"))));
    report.assert_conforming();
    assert!(open(&report).contains(&"records_that_somebody_else_made_are_read"), "{report}");
}

#[test]
fn a_builder_that_fails_is_a_failure_and_not_a_reason_to_skip() {
    let broken = || Err::<MemoryStore, _>(BuildError::Failed("no connection".into()));
    let report = block_on(conformance::store(&broken));
    assert!(!report.is_conforming() && report.passed() == 0, "{report}");
    assert!(report.to_string().contains("no connection"));
}
