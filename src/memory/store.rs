//! An identity store in memory.

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::state::not_found;
use super::{MemoryRecord, MemoryState, after};
use crate::error::{ErrorKind, StoreError};
use crate::id::StoreId;
use crate::model::Kind;
use crate::page::{PageEnd, PageToken};
use crate::run::RunState;
use crate::store::{
    Adoption, Concurrency, DeactivationMemory, IdentityStore, MemberPage, Members, StoreCapabilities,
    StoreSelect, StoredGroupPage, StoredUserPage, WriteBatch,
};

/// A store in memory: external ids and unique attributes are unique, writes are conditional. It remembers who made a user
/// inactive, lets records be adopted, and keeps the state between runs.
#[derive(Debug)]
pub struct MemoryStore {
    capabilities: StoreCapabilities,
    state: Mutex<MemoryState>,
    run: Mutex<RunState>,
    page: usize,
}

impl MemoryStore {
    /// An empty store of this name, with the default schema.
    pub fn new(identity: impl Into<String>) -> Self {
        let mut capabilities = StoreCapabilities::named(identity);
        capabilities.concurrency = Concurrency::Conditional;
        capabilities.deactivation = DeactivationMemory::Remembered;
        capabilities.adoption = Adoption::Supported;
        Self::with_capabilities(capabilities)
    }

    /// An empty store with these capabilities.
    pub fn with_capabilities(capabilities: StoreCapabilities) -> Self {
        Self { capabilities, state: Mutex::default(), run: Mutex::default(), page: 100 }
    }

    /// With pages of this size; at least 1.
    #[must_use]
    pub fn with_page_size(mut self, rows: usize) -> Self {
        self.page = rows.max(1);
        self
    }

    /// What it holds, to look at or to change behind the engine's back.
    pub fn state(&self) -> MutexGuard<'_, MemoryState> {
        // Every write leaves the state whole before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the last run left (rule D7); that of a first run, where nothing was kept.
    pub fn run_state(&self) -> RunState {
        self.run.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps what a run left.
    pub fn keep_run_state(&self, state: RunState) {
        *self.run.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    fn find(
        &self,
        kind: Kind,
        state: &MemoryState,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
    ) -> Result<(Vec<(String, MemoryRecord)>, PageEnd), StoreError> {
        let records = match kind {
            Kind::User => &state.users,
            Kind::Group => &state.groups,
        };
        let wanted = |id: &str, record: &MemoryRecord| match select {
            StoreSelect::All => true,
            StoreSelect::Ids(ids) => ids.iter().any(|wanted| wanted.as_str() == id),
            StoreSelect::ExternalIds(links) => record.external_ids.iter().any(|link| links.contains(link)),
            StoreSelect::UniqueValue { attribute, value } => {
                let rule = self.capabilities.schema(kind, attribute).matching;
                let values = record.attributes.get(attribute);
                values.into_iter().flatten().any(|held| rule.key(held) == rule.key(value))
            }
        };
        let mut found = Vec::new();
        for (id, record) in after(records, at)?.filter(|(id, record)| wanted(id, record)) {
            found.push((id.clone(), record.clone()));
            if found.len() >= self.page {
                let token = PageToken::new(id.as_bytes());
                return Ok((found, PageEnd::More(token)));
            }
        }
        Ok((found, PageEnd::COMPLETE))
    }
}

#[async_trait]
impl IdentityStore for MemoryStore {
    fn capabilities(&self) -> StoreCapabilities {
        self.capabilities.clone()
    }

    async fn read_users(
        &self,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
        page: &mut StoredUserPage,
    ) -> Result<PageEnd, StoreError> {
        let (found, end) = self.find(Kind::User, &self.state(), select, at)?;
        for (id, record) in &found {
            let mut row = page.user(id);
            row.active(record.active).deactivated_by(record.deactivated_by);
            if let Some(origin) = record.origin {
                row.origin(origin);
            }
            if self.capabilities.concurrency == Concurrency::Conditional {
                row.version(&record.version.to_string());
            }
            for link in &record.external_ids {
                row.external_id(link.issuer.as_str(), link.value.as_str());
            }
            for (name, values) in &record.attributes {
                values.iter().for_each(|value| {
                    row.attribute(name, value);
                });
            }
        }
        Ok(end)
    }

    async fn read_groups(
        &self,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
        page: &mut StoredGroupPage,
    ) -> Result<PageEnd, StoreError> {
        let (found, end) = self.find(Kind::Group, &self.state(), select, at)?;
        for (id, record) in &found {
            let mut row = page.group(id);
            if self.capabilities.concurrency == Concurrency::Conditional {
                row.version(&record.version.to_string());
            }
            for link in &record.external_ids {
                row.external_id(link.issuer.as_str(), link.value.as_str());
            }
            for (name, values) in &record.attributes {
                values.iter().for_each(|value| {
                    row.attribute(name, value);
                });
            }
            if self.capabilities.members == Members::WithGroups {
                record.members.iter().for_each(|member| {
                    row.member(member);
                });
            }
        }
        Ok(end)
    }

    async fn read_members(
        &self,
        group: &StoreId,
        _at: Option<&PageToken>,
        page: &mut MemberPage,
    ) -> Result<PageEnd, StoreError> {
        if self.capabilities.members == Members::Unlisted {
            return Err(StoreError::new(ErrorKind::Unsupported, "this store does not list members"));
        }
        let state = self.state();
        let record = state.groups.get(group.as_str()).ok_or_else(not_found)?;
        record.members.iter().for_each(|member| page.member(member));
        Ok(PageEnd::COMPLETE)
    }

    async fn write(&self, batch: &mut WriteBatch<'_>) -> Result<(), StoreError> {
        for item in batch.items() {
            let answer = self.state().write(&self.capabilities, item.write());
            item.answer(answer);
        }
        Ok(())
    }
}
