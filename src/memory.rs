//! A source, a store and an assignment set in memory: for tests, for first steps, and as a model of the contracts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::assignment::{AssignmentPage, AssignmentSet};
use crate::error::{AssignmentError, ErrorKind, SourceError, StoreError};
use crate::id::{ExternalId, SourceAnchor, StoreId, Version};
use crate::model::{AccountState, Completeness, Existence, Kind, MemberKind, Origin, Principal};
use crate::page::{PageEnd, PageToken};
use crate::source::{
    Asked, DirectorySource, GroupPage, Read, Select, SourceCapabilities, SourceIdentity, UserPage,
};
use crate::store::{
    Change, Concurrency, IdentityStore, MemberPage, Members, MembershipsOnDelete, StoreCapabilities,
    StoreSelect, StoredGroupPage, StoredUserPage, Write, WriteBatch, Written,
};

type Values = BTreeMap<String, Vec<String>>;

/// A user of a [`MemoryDirectory`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryUser {
    /// Whether it may sign in.
    pub state: AccountState,
    /// Its attributes.
    pub attributes: Values,
}

/// A group of a [`MemoryDirectory`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryGroup {
    /// Its attributes.
    pub attributes: Values,
    /// The anchors of its direct members, users and groups.
    pub members: Vec<String>,
    /// Whether the source can read the list only in part.
    pub members_partial: bool,
}

/// A directory in memory. Removing an object leaves a tombstone: this source can prove deletions.
#[derive(Clone, Debug)]
pub struct MemoryDirectory {
    identity: SourceIdentity,
    /// Users by anchor.
    pub users: BTreeMap<String, MemoryUser>,
    /// Groups by anchor.
    pub groups: BTreeMap<String, MemoryGroup>,
    /// Anchors that were removed.
    pub tombstones: BTreeSet<String>,
    /// How the next reads of users and of groups end.
    pub users_read: Completeness,
    /// How the next reads of groups end.
    pub groups_read: Completeness,
    capabilities: SourceCapabilities,
    page: usize,
}

impl MemoryDirectory {
    /// An empty directory of this name. It can be read by anchor and asked about anchors.
    pub fn new(identity: impl Into<SourceIdentity>) -> Self {
        let select = std::num::NonZeroUsize::MIN.saturating_add(99);
        Self {
            identity: identity.into(),
            users: BTreeMap::new(),
            groups: BTreeMap::new(),
            tombstones: BTreeSet::new(),
            users_read: Completeness::Complete,
            groups_read: Completeness::Complete,
            capabilities: SourceCapabilities::default().with_select(select).with_existence(),
            page: 100,
        }
    }

    /// With other capabilities than all.
    #[must_use]
    pub fn with_capabilities(mut self, capabilities: SourceCapabilities) -> Self {
        self.capabilities = capabilities;
        self
    }

    /// With pages of this size; at least 1.
    #[must_use]
    pub fn with_page_size(mut self, rows: usize) -> Self {
        self.page = rows.max(1);
        self
    }

    /// Adds an enabled user with these attributes, or replaces it.
    pub fn add_user(&mut self, anchor: &str, attributes: &[(&str, &str)]) -> &mut MemoryUser {
        self.tombstones.remove(anchor);
        let user = MemoryUser { state: AccountState::Enabled, attributes: values(attributes) };
        let entry = self.users.entry(anchor.to_owned()).or_default();
        *entry = user;
        entry
    }

    /// Adds a group with these attributes and direct members, or replaces it.
    pub fn add_group(
        &mut self,
        anchor: &str,
        attributes: &[(&str, &str)],
        members: &[&str],
    ) -> &mut MemoryGroup {
        self.tombstones.remove(anchor);
        let members = members.iter().map(|&member| member.to_owned()).collect();
        let entry = self.groups.entry(anchor.to_owned()).or_default();
        *entry = MemoryGroup { attributes: values(attributes), members, members_partial: false };
        entry
    }

    /// Removes a user or group, everywhere, and leaves its tombstone.
    pub fn remove(&mut self, anchor: &str) {
        self.users.remove(anchor);
        self.groups.remove(anchor);
        for group in self.groups.values_mut() {
            group.members.retain(|member| member != anchor);
        }
        self.tombstones.insert(anchor.to_owned());
    }

    fn kind_of(&self, anchor: &str) -> MemberKind {
        match (self.users.contains_key(anchor), self.groups.contains_key(anchor)) {
            (true, _) => MemberKind::User,
            (_, true) => MemberKind::Group,
            _ => MemberKind::Unknown,
        }
    }
}

fn values(attributes: &[(&str, &str)]) -> Values {
    let mut values = Values::new();
    for (name, value) in attributes {
        values.entry((*name).to_owned()).or_default().push((*value).to_owned());
    }
    values
}

/// The keys behind a token, for keyset paging.
fn after<'m, V>(
    map: &'m BTreeMap<String, V>,
    at: Option<&PageToken>,
) -> Result<impl Iterator<Item = (&'m String, &'m V)> + use<'m, V>, StoreError> {
    let start = match at {
        None => None,
        Some(token) => {
            Some(token.as_text().ok_or_else(|| StoreError::new(ErrorKind::Invalid, "unknown page token"))?)
        }
    };
    let bound = start.map_or(std::ops::Bound::Unbounded, |key| std::ops::Bound::Excluded(key.to_owned()));
    Ok(map.range((bound, std::ops::Bound::Unbounded)))
}

#[async_trait]
impl DirectorySource for MemoryDirectory {
    fn identity(&self) -> SourceIdentity {
        self.identity.clone()
    }

    fn capabilities(&self) -> SourceCapabilities {
        self.capabilities.clone()
    }

    async fn read_users(&self, read: Read<'_>, page: &mut UserPage) -> Result<PageEnd, SourceError> {
        if read.at.is_none() && matches!(read.select, Select::All) {
            self.tombstones.iter().for_each(|anchor| page.tombstone(anchor));
        }
        for (anchor, user) in after(&self.users, read.at)?.filter(|(anchor, _)| read.wants(anchor)) {
            let mut row = page.user(anchor);
            row.state(user.state);
            for (name, values) in &user.attributes {
                values.iter().for_each(|value| {
                    row.attribute(name, value);
                });
            }
            if page.len() >= self.page {
                return Ok(PageEnd::More(PageToken::new(anchor.as_bytes())));
            }
        }
        Ok(PageEnd::Last(self.users_read.clone()))
    }

    async fn read_groups(&self, read: Read<'_>, page: &mut GroupPage) -> Result<PageEnd, SourceError> {
        for (anchor, group) in after(&self.groups, read.at)?.filter(|(anchor, _)| read.wants(anchor)) {
            let mut row = page.group(anchor);
            for (name, values) in &group.attributes {
                values.iter().for_each(|value| {
                    row.attribute(name, value);
                });
            }
            for member in &group.members {
                row.member_of_kind(member, self.kind_of(member));
            }
            if group.members_partial {
                row.members_partial();
            } else {
                row.members_complete();
            }
            if page.len() >= self.page {
                return Ok(PageEnd::More(PageToken::new(anchor.as_bytes())));
            }
        }
        Ok(PageEnd::Last(self.groups_read.clone()))
    }

    async fn existence(&self, asked: &mut Asked<'_>) -> Result<(), SourceError> {
        for (anchor, answer) in asked.iter_mut() {
            *answer = match self.kind_of(anchor.as_str()) {
                MemberKind::Unknown if self.tombstones.contains(anchor.as_str()) => Existence::Gone,
                MemberKind::Unknown => Existence::Unknown,
                kind => Existence::Exists { kind },
            };
        }
        Ok(())
    }
}

/// A record of a [`MemoryStore`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryRecord {
    /// Its links.
    pub external_ids: Vec<ExternalId>,
    /// Its attributes.
    pub attributes: Values,
    /// Users: whether it may use the application.
    pub active: bool,
    /// Users: how it came here.
    pub origin: Option<Origin>,
    /// Groups: the ids of its members.
    pub members: BTreeSet<String>,
    /// Grows with every change.
    pub version: u64,
}

impl Default for MemoryRecord {
    fn default() -> Self {
        Self {
            external_ids: Vec::new(),
            attributes: Values::new(),
            active: true,
            origin: None,
            members: BTreeSet::new(),
            version: 1,
        }
    }
}

/// What a [`MemoryStore`] holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryState {
    /// Users by store id.
    pub users: BTreeMap<String, MemoryRecord>,
    /// Groups by store id.
    pub groups: BTreeMap<String, MemoryRecord>,
    next: u64,
}

/// A store in memory: external ids and unique attributes are unique, writes are conditional.
#[derive(Debug)]
pub struct MemoryStore {
    capabilities: StoreCapabilities,
    state: Mutex<MemoryState>,
    page: usize,
}

impl MemoryStore {
    /// An empty store of this name, with the default schema.
    pub fn new(identity: impl Into<String>) -> Self {
        let mut capabilities = StoreCapabilities::named(identity);
        capabilities.concurrency = Concurrency::Conditional;
        Self::with_capabilities(capabilities)
    }

    /// An empty store with these capabilities.
    pub fn with_capabilities(capabilities: StoreCapabilities) -> Self {
        Self { capabilities, state: Mutex::default(), page: 100 }
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
            row.active(record.active);
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

fn not_found() -> StoreError {
    StoreError::new(ErrorKind::NotFound, "no such record")
}

impl MemoryState {
    fn write(&mut self, capabilities: &StoreCapabilities, write: &Write<'_>) -> Result<Written, StoreError> {
        match write {
            Write::CreateUser { external_id, attributes, active, origin } => {
                let record =
                    MemoryRecord { active: *active, origin: Some(*origin), ..MemoryRecord::default() };
                self.create(capabilities, Kind::User, record, external_id, *attributes)
            }
            Write::CreateGroup { external_id, attributes } => {
                self.create(capabilities, Kind::Group, MemoryRecord::default(), external_id, *attributes)
            }
            Write::UpdateUser { id, version, changes, origin } => {
                self.check_changes(capabilities, Kind::User, id, changes)?;
                let record = expect(&mut self.users, id, *version)?;
                set(record, changes);
                record.origin = origin.or(record.origin);
                Ok(changed(record))
            }
            Write::UpdateGroup { id, version, changes } => {
                self.check_changes(capabilities, Kind::Group, id, changes)?;
                let record = expect(&mut self.groups, id, *version)?;
                set(record, changes);
                Ok(changed(record))
            }
            Write::SetActive { id, version, active } => {
                let record = expect(&mut self.users, id, *version)?;
                record.active = *active;
                Ok(changed(record))
            }
            Write::DeleteUser { id, version } => {
                expect(&mut self.users, id, *version)?;
                self.users.remove(id.as_str());
                self.leave_groups(capabilities, id);
                Ok(Written::done())
            }
            Write::DeleteGroup { id, version } => {
                expect(&mut self.groups, id, *version)?;
                self.groups.remove(id.as_str());
                self.leave_groups(capabilities, id);
                Ok(Written::done())
            }
            Write::AddMembers { id, version, members } => {
                if members.iter().any(|member| !self.users.contains_key(member.as_str())) {
                    return Err(not_found());
                }
                let record = expect(&mut self.groups, id, *version)?;
                record.members.extend(members.iter().map(|member| member.as_str().to_owned()));
                Ok(changed(record))
            }
            Write::RemoveMembers { id, version, members } => {
                let record = expect(&mut self.groups, id, *version)?;
                for member in *members {
                    record.members.remove(member.as_str());
                }
                Ok(changed(record))
            }
        }
    }

    /// A store that does not cascade keeps the memberships of whoever is deleted, as a list of ids does.
    fn leave_groups(&mut self, capabilities: &StoreCapabilities, id: &StoreId) {
        if capabilities.memberships_on_delete == MembershipsOnDelete::Cascade {
            for group in self.groups.values_mut() {
                group.members.remove(id.as_str());
            }
        }
    }

    fn create(
        &mut self,
        capabilities: &StoreCapabilities,
        kind: Kind,
        mut record: MemoryRecord,
        external_id: &ExternalId,
        attributes: crate::Attributes<'_>,
    ) -> Result<Written, StoreError> {
        let mut linked =
            self.users.values().chain(self.groups.values()).flat_map(|record| &record.external_ids);
        if linked.any(|link| link == external_id) {
            return Err(StoreError::new(ErrorKind::AlreadyExists, "a record with this external id exists"));
        }
        for (name, value) in attributes.iter() {
            record.attributes.entry(name.to_owned()).or_default().push(value.to_owned());
        }
        self.check(capabilities, kind, None, &record.attributes)?;
        record.external_ids.push(external_id.clone());
        self.next += 1;
        let (prefix, records) = match kind {
            Kind::User => ("user", &mut self.users),
            Kind::Group => ("group", &mut self.groups),
        };
        let id = format!("{prefix}-{}", self.next);
        let version = record.version.to_string();
        records.insert(id.clone(), record);
        Ok(Written::created(id).with_version(version))
    }

    fn check_changes(
        &self,
        capabilities: &StoreCapabilities,
        kind: Kind,
        id: &StoreId,
        changes: &[Change],
    ) -> Result<(), StoreError> {
        let records = match kind {
            Kind::User => &self.users,
            Kind::Group => &self.groups,
        };
        if !records.contains_key(id.as_str()) {
            return Err(not_found());
        }
        // What an update does not touch is not its fault.
        let changed = changes.iter().map(|change| (change.attribute.clone(), change.new.clone())).collect();
        self.check(capabilities, kind, Some(id.as_str()), &changed)
    }

    /// Unique, required and single values.
    fn check(
        &self,
        capabilities: &StoreCapabilities,
        kind: Kind,
        own: Option<&str>,
        attributes: &Values,
    ) -> Result<(), StoreError> {
        let (records, schemas) = match kind {
            Kind::User => (&self.users, &capabilities.users),
            Kind::Group => (&self.groups, &capabilities.groups),
        };
        for (name, values) in attributes {
            if values.len() > 1 && !capabilities.schema(kind, name).multi_valued {
                return Err(StoreError::new(
                    ErrorKind::Invalid,
                    "more than one value for a single-valued attribute",
                ));
            }
        }
        for (name, schema) in schemas {
            let values = match (attributes.get(name), own) {
                (Some(values), _) => values.as_slice(),
                (None, None) => &[],
                (None, Some(_)) => continue,
            };
            if schema.required && values.iter().all(|value| value.trim().is_empty()) {
                return Err(StoreError::new(ErrorKind::Invalid, "a required attribute has no value"));
            }
            if !schema.unique {
                continue;
            }
            let keys: BTreeSet<_> = values.iter().map(|value| schema.matching.key(value)).collect();
            let mut others = records.iter().filter(|(id, _)| Some(id.as_str()) != own);
            let taken = others.any(|(_, other)| {
                let held = other.attributes.get(name);
                held.into_iter().flatten().any(|value| keys.contains(&schema.matching.key(value)))
            });
            if taken {
                return Err(StoreError::new(ErrorKind::AlreadyExists, "a unique value is taken"));
            }
        }
        Ok(())
    }
}

fn expect<'m>(
    records: &'m mut BTreeMap<String, MemoryRecord>,
    id: &StoreId,
    version: Option<&Version>,
) -> Result<&'m mut MemoryRecord, StoreError> {
    let record = records.get_mut(id.as_str()).ok_or_else(not_found)?;
    match version {
        Some(expected) if expected.as_str() != record.version.to_string() => {
            Err(StoreError::new(ErrorKind::Conflict, "the record has another version"))
        }
        _ => Ok(record),
    }
}

fn set(record: &mut MemoryRecord, changes: &[Change]) {
    for change in changes {
        if change.new.is_empty() {
            record.attributes.remove(&change.attribute);
        } else {
            record.attributes.insert(change.attribute.clone(), change.new.clone());
        }
    }
}

fn changed(record: &mut MemoryRecord) -> Written {
    record.version += 1;
    Written::done().with_version(record.version.to_string())
}

/// Assignments in memory.
#[derive(Clone, Debug)]
pub struct MemoryAssignments {
    /// Who was given access.
    pub principals: Vec<Principal>,
    /// How the next read ends.
    pub read: Completeness,
}

impl MemoryAssignments {
    /// These anchors of this issuer were given access.
    pub fn of(issuer: &str, anchors: &[&str]) -> Self {
        let principals = anchors.iter().map(|&anchor| Principal::External(ExternalId::new(issuer, anchor)));
        Self { principals: principals.collect(), read: Completeness::Complete }
    }

    /// Gives access.
    pub fn assign(&mut self, issuer: &str, anchor: impl Into<SourceAnchor>) {
        self.principals.push(Principal::External(ExternalId::new(issuer, anchor)));
    }
}

#[async_trait]
impl AssignmentSet for MemoryAssignments {
    async fn read_assignments(
        &self,
        _at: Option<&PageToken>,
        page: &mut AssignmentPage,
    ) -> Result<PageEnd, AssignmentError> {
        self.principals.iter().for_each(|principal| page.assign(principal.clone()));
        Ok(PageEnd::Last(self.read.clone()))
    }
}
