//! What was read of the directory.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::SourceSnapshotBuilder;
use crate::attributes::{AttributeTable, Attributes};
use crate::id::SourceAnchor;
use crate::intern::Interner;
use crate::model::{AccountState, Completeness, Existence, Kind, MemberKind};
use crate::page::TextColumn;
use crate::source::{Generation, ListState, SourceCapabilities, SourceIdentity};

/// Stands for "no row" in arrays of row numbers.
pub(crate) const NONE: u32 = u32::MAX;

/// What was read of the directory, compact and immutable; a clone shares it.
///
/// Build it page by page ([`SourceSnapshot::builder`]), or read it from JSON (format: `examples/README.md`).
#[derive(Clone, Debug)]
pub struct SourceSnapshot(pub(crate) Arc<SourceData>);

#[derive(Clone, Debug)]
pub(crate) struct UserEntry {
    pub(crate) node: u32,
    pub(crate) state: AccountState,
    pub(crate) version: Option<u64>,
    /// Row beyond use: seen, and counts for nothing but against adoptions (rules S1, M3).
    pub(crate) quarantined: bool,
    /// Two different rows claim this anchor (rule M5).
    pub(crate) ambiguous: bool,
    /// Its row in the attribute table.
    pub(crate) row: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct GroupEntry {
    pub(crate) node: u32,
    pub(crate) version: Option<u64>,
    pub(crate) quarantined: bool,
    pub(crate) ambiguous: bool,
    pub(crate) row: u32,
    pub(crate) list: ListState,
    /// Its rows are from several moments, or a member was left out: incomplete, though it goes on.
    pub(crate) torn: bool,
}

/// Every anchor is a *node*, numbered densely; users and groups are rows beside it.
#[derive(Debug)]
pub(crate) struct SourceData {
    pub(crate) identity: SourceIdentity,
    pub(crate) generation: Option<Generation>,
    pub(crate) capabilities: SourceCapabilities,
    pub(crate) users_read: Completeness,
    pub(crate) groups_read: Completeness,
    /// Whether only asked-for anchors were read.
    pub(crate) scoped: bool,
    pub(crate) anchors: Interner,
    pub(crate) user_of: Vec<u32>,
    pub(crate) group_of: Vec<u32>,
    pub(crate) users: Vec<UserEntry>,
    pub(crate) user_attributes: AttributeTable,
    pub(crate) groups: Vec<GroupEntry>,
    pub(crate) group_attributes: AttributeTable,
    /// All rows of an anchor of which none counts more than the others, under the first one (rule M5).
    pub(crate) ambiguous_users: BTreeMap<u32, Vec<u32>>,
    pub(crate) ambiguous_groups: BTreeMap<u32, Vec<u32>>,
    /// Direct members of each group: nodes, one list behind the other.
    pub(crate) member_starts: Vec<usize>,
    pub(crate) members: Vec<u32>,
    pub(crate) unresolved_starts: Vec<usize>,
    pub(crate) unresolved: TextColumn,
    pub(crate) unresolved_kinds: Vec<MemberKind>,
    /// What the lists say that a node is: one bit per kind.
    pub(crate) hints: Vec<u8>,
    pub(crate) tombstones: Vec<bool>,
    pub(crate) existence: BTreeMap<u32, Existence>,
}

impl SourceData {
    pub(crate) fn members_of(&self, group: usize) -> &[u32] {
        match (self.member_starts.get(group), self.member_starts.get(group + 1)) {
            (Some(&start), Some(&end)) => &self.members[start..end],
            _ => &[],
        }
    }

    pub(crate) fn unresolved_of(&self, group: usize) -> impl Iterator<Item = (&str, MemberKind)> {
        let start = self.unresolved_starts.get(group).copied().unwrap_or(0);
        let end = self.unresolved_starts.get(group + 1).copied().unwrap_or(start);
        (start..end).map(|i| (self.unresolved.at(i), self.unresolved_kinds[i]))
    }

    pub(crate) fn user_row(&self, user: usize) -> Attributes<'_> {
        self.user_attributes.row(self.users[user].row as usize)
    }

    pub(crate) fn group_row(&self, group: usize) -> Attributes<'_> {
        self.group_attributes.row(self.groups[group].row as usize)
    }

    /// What a row says; all that is said of its anchor, where nobody knows which row counts (rule M5).
    pub(crate) fn every_row(&self, kind: Kind, row: u32) -> Vec<Attributes<'_>> {
        let (ambiguous, view): (_, fn(&Self, usize) -> Attributes<'_>) = match kind {
            Kind::User => (&self.ambiguous_users, Self::user_row),
            Kind::Group => (&self.ambiguous_groups, Self::group_row),
        };
        match ambiguous.get(&row) {
            Some(rows) => rows.iter().map(|&row| view(self, row as usize)).collect(),
            None => vec![view(self, row as usize)],
        }
    }

    /// Whether some list says that a node is of this kind.
    pub(crate) fn is_hinted(&self, node: u32, kind: MemberKind) -> bool {
        self.hints.get(node as usize).is_some_and(|hints| hints & hint_bit(kind) != 0)
    }

    /// The one kind that the lists name for a node, where they agree (rule E9).
    pub(crate) fn hint(&self, node: usize) -> Option<MemberKind> {
        match self.hints.get(node).copied().unwrap_or(0) {
            1 => Some(MemberKind::User),
            2 => Some(MemberKind::Group),
            4 => Some(MemberKind::Other),
            8 => Some(MemberKind::Foreign),
            _ => None,
        }
    }
}

pub(super) fn hint_bit(kind: MemberKind) -> u8 {
    match kind {
        MemberKind::User => 1,
        MemberKind::Group => 2,
        MemberKind::Other => 4,
        MemberKind::Foreign => 8,
        MemberKind::Unknown => 0,
    }
}

impl SourceSnapshot {
    /// Starts a snapshot of a source.
    pub fn builder(
        identity: impl Into<SourceIdentity>,
        capabilities: SourceCapabilities,
    ) -> SourceSnapshotBuilder {
        SourceSnapshotBuilder::new(identity.into(), capabilities)
    }

    /// The same snapshot, with answers to look-ups by anchor (rule C3).
    #[must_use]
    pub fn with_existence<'a>(
        self,
        answers: impl IntoIterator<Item = (&'a SourceAnchor, Existence)>,
    ) -> Self {
        let mut data = match Arc::try_unwrap(self.0) {
            Ok(data) => data,
            Err(shared) => shared.copy(),
        };
        for (anchor, existence) in answers {
            let node = data.anchors.intern(anchor.as_str());
            data.grow();
            data.existence.insert(node, existence);
        }
        Self(Arc::new(data))
    }

    /// Number of users read.
    pub fn users(&self) -> usize {
        self.0.users.len()
    }

    /// Number of groups read.
    pub fn groups(&self) -> usize {
        self.0.groups.len()
    }

    /// Number of direct member entries read.
    pub fn edges(&self) -> usize {
        self.0.members.len()
    }
}

impl SourceData {
    /// Makes room for nodes that came after the rows.
    pub(super) fn grow(&mut self) {
        let nodes = self.anchors.len();
        self.user_of.resize(nodes, NONE);
        self.group_of.resize(nodes, NONE);
        self.hints.resize(nodes, 0);
        self.tombstones.resize(nodes, false);
    }

    fn copy(&self) -> Self {
        Self {
            identity: self.identity.clone(),
            generation: self.generation.clone(),
            capabilities: self.capabilities.clone(),
            users_read: self.users_read.clone(),
            groups_read: self.groups_read.clone(),
            scoped: self.scoped,
            anchors: self.anchors.clone(),
            user_of: self.user_of.clone(),
            group_of: self.group_of.clone(),
            users: self.users.clone(),
            user_attributes: self.user_attributes.clone(),
            groups: self.groups.clone(),
            group_attributes: self.group_attributes.clone(),
            ambiguous_users: self.ambiguous_users.clone(),
            ambiguous_groups: self.ambiguous_groups.clone(),
            member_starts: self.member_starts.clone(),
            members: self.members.clone(),
            unresolved_starts: self.unresolved_starts.clone(),
            unresolved: self.unresolved.clone(),
            unresolved_kinds: self.unresolved_kinds.clone(),
            hints: self.hints.clone(),
            tombstones: self.tombstones.clone(),
            existence: self.existence.clone(),
        }
    }
}
