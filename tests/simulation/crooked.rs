//! What a sabotaged applier does between the plan and the store.

use std::sync::Arc;

use identity_sync::memory::MemoryStore;
use identity_sync::{
    Concurrency, ErrorKind, IdentityStore, MemberPage, PageEnd, PageToken, StoreCapabilities, StoreError,
    StoreId, StoreSelect, StoredGroupPage, StoredUserPage, Write, WriteBatch, Written,
};

#[derive(Clone, Debug)]
pub enum Applier {
    /// Takes the links of every issuer for its own.
    ReadsLinksAs(String),
    SendsNoVersion,
    /// Takes an empty slot for a success.
    BelievesSilence,
    ForgetsTheLastMember,
    SkipsDeactivations,
    /// Never asks whether what it sends again is there already.
    LooksNothingUp,
    /// Takes a refusal for a success.
    HearsNoRefusal,
}

pub struct Crooked<'s> {
    store: Arc<dyn IdentityStore + 's>,
    memory: &'s MemoryStore,
    applier: Applier,
}

impl<'s> Crooked<'s> {
    /// `store` is what answers, `memory` what is behind it.
    pub fn new(store: Arc<dyn IdentityStore + 's>, memory: &'s MemoryStore, applier: Applier) -> Self {
        Self { store, memory, applier }
    }

    /// The store as this applier sees it.
    fn view(&self) -> Option<MemoryStore> {
        let Applier::ReadsLinksAs(issuer) = &self.applier else { return None };
        let view = MemoryStore::with_capabilities(self.store.capabilities());
        view.state().clone_from(&self.memory.state());
        {
            let mut state = view.state();
            let state = &mut *state;
            for record in state.users.values_mut().chain(state.groups.values_mut()) {
                for link in &mut record.external_ids {
                    link.issuer = issuer.as_str().into();
                }
            }
        }
        Some(view)
    }
}

#[async_trait::async_trait]
impl IdentityStore for Crooked<'_> {
    fn capabilities(&self) -> StoreCapabilities {
        let mut capabilities = self.store.capabilities();
        if matches!(self.applier, Applier::SendsNoVersion) {
            // It neither sends versions nor reads again.
            capabilities.concurrency = Concurrency::Conditional;
        }
        capabilities
    }

    async fn read_users(
        &self,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
        page: &mut StoredUserPage,
    ) -> Result<PageEnd, StoreError> {
        if matches!((&self.applier, select), (Applier::LooksNothingUp, StoreSelect::ExternalIds(_))) {
            return Ok(PageEnd::Last(identity_sync::Completeness::Complete));
        }
        match self.view() {
            Some(view) => view.read_users(select, at, page).await,
            None => self.store.read_users(select, at, page).await,
        }
    }

    async fn read_groups(
        &self,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
        page: &mut StoredGroupPage,
    ) -> Result<PageEnd, StoreError> {
        if matches!((&self.applier, select), (Applier::LooksNothingUp, StoreSelect::ExternalIds(_))) {
            return Ok(PageEnd::Last(identity_sync::Completeness::Complete));
        }
        match self.view() {
            Some(view) => view.read_groups(select, at, page).await,
            None => self.store.read_groups(select, at, page).await,
        }
    }

    async fn read_members(
        &self,
        group: &StoreId,
        at: Option<&PageToken>,
        page: &mut MemberPage,
    ) -> Result<PageEnd, StoreError> {
        self.store.read_members(group, at, page).await
    }

    async fn write(&self, batch: &mut WriteBatch<'_>) -> Result<(), StoreError> {
        for item in batch.items() {
            let mut single = WriteBatch::new();
            match (&self.applier, item.write()) {
                (Applier::SkipsDeactivations, Write::SetActive { active: false, .. }) => {
                    item.answer(Ok(Written::done()));
                    continue;
                }
                (Applier::ForgetsTheLastMember, Write::AddMembers { id, version, members }) => {
                    let members = &members[..members.len().saturating_sub(1)];
                    single.push(Write::AddMembers { id, version: *version, members });
                }
                (Applier::ForgetsTheLastMember, Write::RemoveMembers { id, version, members }) => {
                    let members = &members[..members.len().saturating_sub(1)];
                    single.push(Write::RemoveMembers { id, version: *version, members });
                }
                (Applier::SendsNoVersion, write) => single.push(without_version(write)),
                (_, write) => single.push(write.clone()),
            }
            let whole = self.store.write(&mut single).await;
            let answer = single.into_answers().next().flatten();
            match (&self.applier, answer) {
                (Applier::HearsNoRefusal, Some(Err(error))) if error.kind() != ErrorKind::Transient => {
                    item.answer(Ok(Written::done()));
                }
                (Applier::BelievesSilence, None) => item.answer(Ok(Written::done())),
                (_, Some(answer)) => item.answer(answer),
                (_, None) => {}
            }
            whole?;
        }
        Ok(())
    }
}

fn without_version<'w>(write: &Write<'w>) -> Write<'w> {
    match write.clone() {
        Write::UpdateUser { id, changes, origin, .. } => {
            Write::UpdateUser { id, version: None, changes, origin }
        }
        Write::UpdateGroup { id, changes, .. } => Write::UpdateGroup { id, version: None, changes },
        Write::SetActive { id, active, .. } => Write::SetActive { id, version: None, active },
        Write::DeleteUser { id, .. } => Write::DeleteUser { id, version: None },
        Write::DeleteGroup { id, .. } => Write::DeleteGroup { id, version: None },
        Write::AddMembers { id, members, .. } => Write::AddMembers { id, version: None, members },
        Write::RemoveMembers { id, members, .. } => Write::RemoveMembers { id, version: None, members },
        other => other,
    }
}
