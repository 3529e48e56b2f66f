//! A test world that is alive: a source and assignments that are read through the traits, and a store that is written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use identity_sync::memory::{MemoryRecord, MemoryState, MemoryStore};
use identity_sync::{
    Asked, AssignmentError, AssignmentPage, AssignmentSet, Concurrency, DeactivatedBy, DirectorySource,
    ErrorKind, Existence, ExternalId, GroupPage, IdentityStore, MemberPage, Members, Origin, PageEnd,
    PageToken, Read, SourceCapabilities, SourceError, SourceIdentity, StoreCapabilities, StoreError, StoreId,
    StoreSelect, StoredGroupPage, StoredUserPage, UserPage, WriteBatch,
};

use super::convert;
use super::world::{self, World};

/// The directory of a world, read page by page.
pub struct LiveSource<'w>(pub &'w World);

fn start(at: Option<&PageToken>) -> usize {
    at.and_then(PageToken::as_text).and_then(|text| text.parse().ok()).unwrap_or(0)
}

const ROWS: usize = 3;

#[async_trait::async_trait]
impl DirectorySource for LiveSource<'_> {
    fn identity(&self) -> SourceIdentity {
        self.0.source.identity.as_str().into()
    }

    async fn generation(&self) -> Result<Option<identity_sync::Generation>, SourceError> {
        Ok(convert::generation(&self.0.source))
    }

    fn capabilities(&self) -> SourceCapabilities {
        convert::capabilities(&self.0.source)
    }

    async fn read_users(&self, read: Read<'_>, page: &mut UserPage) -> Result<PageEnd, SourceError> {
        let source = &self.0.source;
        let first = start(read.at);
        if first == 0 {
            source.tombstones.iter().for_each(|anchor| page.tombstone(anchor));
        }
        source.users.iter().skip(first).take(ROWS).for_each(|user| convert::user_row(page, user));
        Ok(if first + ROWS < source.users.len() {
            PageEnd::More(PageToken::new((first + ROWS).to_string().into_bytes()))
        } else {
            PageEnd::Last(convert::completeness(source.users_complete))
        })
    }

    async fn read_groups(&self, read: Read<'_>, page: &mut GroupPage) -> Result<PageEnd, SourceError> {
        let source = &self.0.source;
        let first = start(read.at);
        source.groups.iter().skip(first).take(ROWS).for_each(|group| convert::group_row(page, group));
        Ok(if first + ROWS < source.groups.len() {
            PageEnd::More(PageToken::new((first + ROWS).to_string().into_bytes()))
        } else {
            PageEnd::Last(convert::completeness(source.groups_complete))
        })
    }

    async fn existence(&self, asked: &mut Asked<'_>) -> Result<(), SourceError> {
        for (anchor, answer) in asked.iter_mut() {
            let known = self.0.source.existence.get(anchor.as_str());
            *answer = known.map_or(Existence::Unknown, |known| convert::existence(*known));
        }
        Ok(())
    }
}

/// The assignments of a world.
pub struct LiveAssignments<'w>(pub &'w World);

#[async_trait::async_trait]
impl AssignmentSet for LiveAssignments<'_> {
    async fn read_assignments(
        &self,
        _at: Option<&PageToken>,
        page: &mut AssignmentPage,
    ) -> Result<PageEnd, AssignmentError> {
        let assignments = convert::assignments(&self.0.assignments);
        assignments.principals.into_iter().for_each(|principal| page.assign(principal));
        Ok(PageEnd::Last(assignments.read))
    }
}

/// The store of a world, in memory. The seed chooses how it is written: batch sizes, conditional writes or not.
pub fn memory_store(world: &World, seed: u64) -> MemoryStore {
    let mut capabilities = convert::store_capabilities(&world.store);
    capabilities.batch = 1 + (seed % 5) as usize;
    capabilities.members_per_write = 1 + (seed / 5 % 3) as usize;
    if seed % 2 == 0 {
        capabilities.concurrency = Concurrency::Conditional;
    }
    if world.store.can_list_members && seed % 11 < 3 {
        capabilities.members = Members::PerGroup;
    }
    let store = MemoryStore::with_capabilities(capabilities).with_page_size(1 + (seed % 7) as usize);
    load(&store, world);
    store
}

/// Puts what a world holds into a store, in place of what it held.
pub fn load(store: &MemoryStore, world: &World) {
    {
        let mut state = store.state();
        state.users.clear();
        state.groups.clear();
        for user in &world.store.users {
            let origin = user.origin.map(|origin| match origin {
                world::Origin::Synced => Origin::Synced,
                world::Origin::Jit => Origin::Jit,
            });
            let record = MemoryRecord {
                external_ids: links(&user.external_ids),
                attributes: user.attributes.clone(),
                active: user.active,
                deactivated_by: convert::deactivated_by(user),
                origin,
                ..MemoryRecord::default()
            };
            state.users.insert(user.id.clone(), record);
        }
        for group in &world.store.groups {
            let record = MemoryRecord {
                external_ids: links(&group.external_ids),
                attributes: group.attributes.clone(),
                members: group.members.iter().cloned().collect(),
                ..MemoryRecord::default()
            };
            state.groups.insert(group.id.clone(), record);
        }
    }
}

/// What a store holds now, as a world has it.
pub fn unload(store: &MemoryStore, world: &mut World) {
    world.store = held(store, &world.store);
}

/// The same, of a store that is otherwise like this one.
pub fn held(store: &MemoryStore, like: &world::Store) -> world::Store {
    let state = store.state();
    let pairs = |record: &MemoryRecord| {
        let links = record.external_ids.iter();
        links.map(|link| (link.issuer.as_str().to_owned(), link.value.as_str().to_owned())).collect()
    };
    let users = state
        .users
        .iter()
        .map(|(id, user)| world::StoreUser {
            id: id.clone(),
            external_ids: pairs(user),
            active: user.active,
            deactivated_by: Some(match user.deactivated_by {
                DeactivatedBy::Sync => world::DeactivatedBy::Sync,
                DeactivatedBy::Other => world::DeactivatedBy::Other,
            }),
            origin: user.origin.map(|origin| match origin {
                Origin::Synced => world::Origin::Synced,
                Origin::Jit => world::Origin::Jit,
            }),
            attributes: user.attributes.clone(),
        })
        .collect();
    let groups = state
        .groups
        .iter()
        .map(|(id, group)| world::StoreGroup {
            id: id.clone(),
            external_ids: pairs(group),
            attributes: group.attributes.clone(),
            members: group.members.iter().cloned().collect(),
        })
        .collect();
    world::Store {
        users,
        groups,
        complete: like.complete,
        user_schema: like.user_schema.clone(),
        group_schema: like.group_schema.clone(),
        cascades: like.cascades,
        can_list_members: like.can_list_members,
        remembers_deactivation: like.remembers_deactivation,
        can_adopt: like.can_adopt,
    }
}

fn links(ids: &[(String, String)]) -> Vec<ExternalId> {
    ids.iter().map(|(issuer, value)| ExternalId::new(issuer.as_str(), value.as_str())).collect()
}

/// What a store holds, without ids that it chose itself and without versions.
pub fn canonical(state: &MemoryState) -> Vec<String> {
    let name = |id: &String, record: &MemoryRecord| match record.external_ids.as_slice() {
        [one] => one.to_string(),
        _ => id.clone(),
    };
    let names: BTreeMap<&String, String> =
        state.users.iter().chain(&state.groups).map(|(id, record)| (id, name(id, record))).collect();
    let mut lines: Vec<String> = Vec::new();
    for (kind, records) in [("user", &state.users), ("group", &state.groups)] {
        for (id, record) in records {
            let members: BTreeSet<&str> = record
                .members
                .iter()
                .map(|member| names.get(member).map_or(member.as_str(), String::as_str))
                .collect();
            let origin = record.origin;
            lines.push(format!(
                "{kind} {} {:?} active={} {origin:?} {:?} {members:?}",
                names[id], record.external_ids, record.active, record.attributes
            ));
        }
    }
    lines.sort_unstable();
    lines
}

/// What goes wrong, and at which write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// From this write on the store refuses everything, before any effect.
    CrashBefore(usize),
    /// This write happens, its answer is lost, and nothing works after it.
    CrashAfter(usize),
    /// This write happens, and its answer is lost; the next ones work.
    LostAnswer(usize),
    /// The caller is never woken again before this write.
    HangBefore(usize),
    /// This write happens, and the caller is never woken again.
    HangAfter(usize),
}

/// A store that fails on order. Counts the writes of all batches, item by item.
pub struct FaultyStore<'s> {
    pub inner: &'s MemoryStore,
    pub fault: Fault,
    pub writes: AtomicUsize,
}

impl<'s> FaultyStore<'s> {
    pub fn new(inner: &'s MemoryStore, fault: Fault) -> Self {
        Self { inner, fault, writes: AtomicUsize::new(0) }
    }
}

#[async_trait::async_trait]
impl IdentityStore for FaultyStore<'_> {
    fn capabilities(&self) -> StoreCapabilities {
        self.inner.capabilities()
    }

    async fn read_users(
        &self,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
        page: &mut StoredUserPage,
    ) -> Result<PageEnd, StoreError> {
        self.inner.read_users(select, at, page).await
    }

    async fn read_groups(
        &self,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
        page: &mut StoredGroupPage,
    ) -> Result<PageEnd, StoreError> {
        self.inner.read_groups(select, at, page).await
    }

    async fn read_members(
        &self,
        group: &StoreId,
        at: Option<&PageToken>,
        page: &mut MemberPage,
    ) -> Result<PageEnd, StoreError> {
        self.inner.read_members(group, at, page).await
    }

    async fn write(&self, batch: &mut WriteBatch<'_>) -> Result<(), StoreError> {
        let dead = || StoreError::new(ErrorKind::Unauthorized, "the store is down");
        for item in batch.items() {
            let number = self.writes.fetch_add(1, Ordering::SeqCst);
            match self.fault {
                Fault::CrashBefore(at) if number >= at => return Err(dead()),
                Fault::CrashAfter(at) if number > at => return Err(dead()),
                Fault::HangBefore(at) if number == at => std::future::pending::<()>().await,
                _ => {}
            }
            let mut single = WriteBatch::new();
            single.push(item.write().clone());
            self.inner.write(&mut single).await?;
            let answer = single.into_answers().next().flatten();
            match self.fault {
                Fault::CrashAfter(at) if number == at => return Err(dead()),
                Fault::LostAnswer(at) if number == at => {
                    return Err(StoreError::new(ErrorKind::Transient, "no answer"));
                }
                Fault::HangAfter(at) if number == at => std::future::pending::<()>().await,
                _ => {}
            }
            if let Some(answer) = answer {
                item.answer(answer);
            }
        }
        Ok(())
    }
}
