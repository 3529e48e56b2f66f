//! A directory in memory.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;

use super::{Values, after, values};
use crate::error::SourceError;
use crate::model::{AccountState, Completeness, Existence, MemberKind};
use crate::page::{PageEnd, PageToken};
use crate::source::{
    Asked, DirectorySource, Generation, GroupPage, Read, Select, SourceCapabilities, SourceIdentity, UserPage,
};

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
    /// How far it has come, where it says so.
    pub generation: Option<Generation>,
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
            generation: None,
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

    async fn generation(&self) -> Result<Option<Generation>, SourceError> {
        Ok(self.generation.clone())
    }
}
