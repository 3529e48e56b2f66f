//! A store that does not keep external ids unique, as many do not: whoever creates twice has two records.

use identity_sync::memory::MemoryStore;
use identity_sync::{
    ErrorKind, ExternalId, IdentityStore, MemberPage, PageEnd, PageToken, StoreCapabilities, StoreError,
    StoreId, StoreSelect, StoredGroupPage, StoredUserPage, Write, WriteBatch,
};

pub struct Loose<'s>(pub &'s MemoryStore);

impl Loose<'_> {
    fn is_linked(&self, link: &ExternalId) -> bool {
        let state = self.0.state();
        state.users.values().chain(state.groups.values()).any(|record| record.external_ids.contains(link))
    }

    fn put_link(&self, id: &StoreId, link: &ExternalId) {
        let mut state = self.0.state();
        let state = &mut *state;
        let record = match state.users.get_mut(id.as_str()) {
            Some(user) => Some(user),
            None => state.groups.get_mut(id.as_str()),
        };
        if let Some(record) = record {
            record.external_ids = vec![link.clone()];
        }
    }
}

#[async_trait::async_trait]
impl IdentityStore for Loose<'_> {
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

    async fn read_members(
        &self,
        group: &StoreId,
        at: Option<&PageToken>,
        page: &mut MemberPage,
    ) -> Result<PageEnd, StoreError> {
        self.0.read_members(group, at, page).await
    }

    async fn write(&self, batch: &mut WriteBatch<'_>) -> Result<(), StoreError> {
        for item in batch.items() {
            let link = match item.write() {
                Write::CreateUser { external_id, .. } | Write::CreateGroup { external_id, .. } => {
                    Some((*external_id).clone())
                }
                _ => None,
            };
            let double = link.filter(|link| self.is_linked(link));
            let stand_in =
                double.as_ref().map(|link| ExternalId::new("a second record", link.value.as_str()));
            let mut single = WriteBatch::new();
            match (item.write().clone(), &stand_in) {
                (Write::CreateUser { attributes, active, origin, .. }, Some(external_id)) => {
                    single.push(Write::CreateUser { external_id, attributes, active, origin });
                }
                (Write::CreateGroup { attributes, .. }, Some(external_id)) => {
                    single.push(Write::CreateGroup { external_id, attributes });
                }
                (write, _) => single.push(write),
            }
            self.0.write(&mut single).await?;
            let answer = single.into_answers().next().flatten();
            if let (Some(link), Some(Ok(written))) = (&double, &answer) {
                written.id.iter().for_each(|id| self.put_link(id, link));
            }
            let answer = answer.unwrap_or_else(|| Err(StoreError::new(ErrorKind::Permanent, "no answer")));
            item.answer(answer);
        }
        Ok(())
    }
}
