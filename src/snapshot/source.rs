//! What was read of the directory.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Keep, LimitExceeded, copy_row, within};
use crate::attributes::{AttributeTable, Attributes};
use crate::id::SourceAnchor;
use crate::intern::Interner;
use crate::limits::Limits;
use crate::model::{AccountState, Completeness, Existence, Kind, MemberKind};
use crate::page::TextColumn;
use crate::source::{
    Generation, GroupPage, ListState, RowHealth, SourceCapabilities, SourceIdentity, UserPage,
};

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

fn hint_bit(kind: MemberKind) -> u8 {
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
    fn grow(&mut self) {
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

/// A run of members that belongs to one group row.
#[derive(Clone, Copy, Debug)]
struct Segment {
    group: u32,
    members: usize,
    unresolved: usize,
}

/// Takes pages in and makes a [`SourceSnapshot`] of them.
#[derive(Debug)]
pub struct SourceSnapshotBuilder {
    data: SourceData,
    limits: Limits,
    keep_users: Keep,
    keep_groups: Keep,
    segments: Vec<Segment>,
    /// Further rows of an anchor that has one already: (first row, this row).
    twice_users: Vec<(u32, u32)>,
    twice_groups: Vec<(u32, u32)>,
    /// The newest row of groups that came more than once: the one that may go on.
    latest: BTreeMap<u32, u32>,
    unidentified_users: usize,
    unidentified_groups: usize,
    /// Only rows of this anchor are taken in.
    only: Option<String>,
}

impl SourceSnapshotBuilder {
    fn new(identity: SourceIdentity, capabilities: SourceCapabilities) -> Self {
        let unread = Completeness::partial("not read");
        Self {
            data: SourceData {
                identity,
                generation: None,
                capabilities,
                users_read: unread.clone(),
                groups_read: unread,
                scoped: false,
                anchors: Interner::default(),
                user_of: Vec::new(),
                group_of: Vec::new(),
                users: Vec::new(),
                user_attributes: AttributeTable::default(),
                groups: Vec::new(),
                group_attributes: AttributeTable::default(),
                ambiguous_users: BTreeMap::new(),
                ambiguous_groups: BTreeMap::new(),
                member_starts: Vec::new(),
                members: Vec::new(),
                unresolved_starts: Vec::new(),
                unresolved: TextColumn::default(),
                unresolved_kinds: Vec::new(),
                hints: Vec::new(),
                tombstones: Vec::new(),
                existence: BTreeMap::new(),
            },
            limits: Limits::default(),
            keep_users: Keep::default(),
            keep_groups: Keep::default(),
            segments: Vec::new(),
            twice_users: Vec::new(),
            twice_groups: Vec::new(),
            latest: BTreeMap::new(),
            unidentified_users: 0,
            unidentified_groups: 0,
            only: None,
        }
    }

    /// With these bounds instead of the default ones.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Keeps only the attributes that these options map; the rest is dropped page by page.
    #[must_use]
    pub fn only_mapped(mut self, options: &crate::Options) -> Self {
        self.keep_users = Keep::only(options.user_map.sources().map(str::to_owned));
        self.keep_groups = Keep::only(options.group_map.sources().map(str::to_owned));
        self
    }

    pub(crate) fn scoped(&mut self) {
        self.data.scoped = true;
    }

    /// Takes in this user only, whoever else comes.
    pub(crate) fn only(mut self, anchor: &SourceAnchor) -> Self {
        self.only = Some(anchor.as_str().to_owned());
        self
    }

    /// Takes a page of users in. Pages may come in any order; the same row may come twice (rule M5).
    ///
    /// # Errors
    ///
    /// The number of objects is beyond its bound.
    pub fn users(&mut self, page: &UserPage) -> Result<(), LimitExceeded> {
        let data = &mut self.data;
        let names = self.keep_users.translate(&page.attributes.table, &mut data.user_attributes);
        within(
            data.users.len() + data.groups.len() + page.rows.len(),
            self.limits.objects,
            "objects in the source",
        )?;
        self.unidentified_users += page.unidentified;
        for (i, row) in page.rows.iter().enumerate() {
            let anchor = page.anchors.at(i);
            if anchor.is_empty() || self.only.as_ref().is_some_and(|only| only != anchor) {
                continue;
            }
            let node = data.anchors.intern(anchor);
            data.grow();
            if row.tombstone {
                data.tombstones[node as usize] = true;
                continue;
            }
            let number = data.users.len() as u32;
            match data.user_of[node as usize] {
                NONE => data.user_of[node as usize] = number,
                first => self.twice_users.push((first, number)),
            }
            let attributes = data.user_attributes.rows() as u32;
            copy_bounded(row.health, &page.attributes.table, i, &mut data.user_attributes, &names);
            data.users.push(UserEntry {
                node,
                state: row.state,
                version: row.version,
                quarantined: row.health != RowHealth::Sound,
                ambiguous: false,
                row: attributes,
            });
        }
        Ok(())
    }

    /// Takes a page of groups in. A list that is still open goes on where its group is named again.
    ///
    /// # Errors
    ///
    /// The number of objects or of member entries is beyond its bound.
    pub fn groups(&mut self, page: &GroupPage) -> Result<(), LimitExceeded> {
        let data = &mut self.data;
        let names = self.keep_groups.translate(&page.attributes.table, &mut data.group_attributes);
        within(
            data.users.len() + data.groups.len() + page.rows.len(),
            self.limits.objects,
            "objects in the source",
        )?;
        let edges = data.members.len() + data.unresolved.len() + page.members.len() + page.unresolved.len();
        within(edges, self.limits.edges, "member entries in the source")?;
        self.unidentified_groups += page.unidentified;
        for (i, row) in page.rows.iter().enumerate() {
            let anchor = page.anchors.at(i);
            if anchor.is_empty() {
                continue;
            }
            let node = data.anchors.intern(anchor);
            data.grow();
            if row.tombstone {
                data.tombstones[node as usize] = true;
                continue;
            }
            let first = data.group_of[node as usize];
            let latest = self.latest.get(&node).copied().unwrap_or(first);
            let open = data.groups.get_mut(latest as usize).filter(|group| group.list == ListState::Open);
            let number = if let Some(group) = open {
                group.list = row.list;
                group.quarantined |= row.health != RowHealth::Sound;
                // The object changed while it was read: what its list says is from two moments.
                group.torn |= row.torn || (row.version.is_some() && row.version != group.version);
                latest
            } else {
                let number = data.groups.len() as u32;
                match first {
                    NONE => data.group_of[node as usize] = number,
                    first => {
                        self.twice_groups.push((first, number));
                        self.latest.insert(node, number);
                    }
                }
                let attribute_row = data.group_attributes.rows() as u32;
                copy_bounded(row.health, &page.attributes.table, i, &mut data.group_attributes, &names);
                data.groups.push(GroupEntry {
                    node,
                    version: row.version,
                    quarantined: row.health != RowHealth::Sound,
                    ambiguous: false,
                    row: attribute_row,
                    list: row.list,
                    torn: row.torn,
                });
                number
            };
            let next = page.rows.get(i + 1);
            let members = row.members..next.map_or(page.members.len(), |next| next.members);
            let unresolved = row.unresolved..next.map_or(page.unresolved.len(), |next| next.unresolved);
            self.segments.push(Segment {
                group: number,
                members: data.members.len(),
                unresolved: data.unresolved.len(),
            });
            let start = data.members.len();
            data.anchors.intern_all(members.clone().map(|m| page.members.at(m)), &mut data.members);
            data.hints.resize(data.anchors.len(), 0);
            for (&member, m) in data.members[start..].iter().zip(members) {
                let bit = hint_bit(page.member_kinds[m]);
                if bit != 0 {
                    data.hints[member as usize] |= bit;
                }
            }
            for u in unresolved {
                data.unresolved.push(page.unresolved.at(u));
                data.unresolved_kinds.push(page.unresolved_kinds[u]);
            }
            data.grow();
        }
        Ok(())
    }

    /// For reading level by level: the member entries since `start`, each with what its lists say that it is.
    pub(crate) fn members_since(&self, start: usize) -> impl Iterator<Item = (&str, Option<MemberKind>)> {
        let members = self.data.members.get(start..).unwrap_or(&[]);
        members.iter().map(|&node| (self.data.anchors.text(node), self.data.hint(node as usize)))
    }

    pub(crate) fn members(&self) -> usize {
        self.data.members.len()
    }

    /// Whether an anchor has a row of this kind already.
    pub(crate) fn has_row(&self, kind: Kind, anchor: &str) -> bool {
        let rows = match kind {
            Kind::User => &self.data.user_of,
            Kind::Group => &self.data.group_of,
        };
        let node = self.data.anchors.find(anchor);
        node.and_then(|node| rows.get(node as usize)).is_some_and(|&row| row != NONE)
    }

    /// How far the source had come when the read began (rule C6).
    pub fn generation(&mut self, generation: Option<Generation>) {
        self.data.generation = generation;
    }

    /// Ends the read of users.
    pub fn users_end(&mut self, completeness: Completeness) {
        self.data.users_read = completeness;
    }

    /// Ends the read of groups.
    pub fn groups_end(&mut self, completeness: Completeness) {
        self.data.groups_read = completeness;
    }

    /// Makes the snapshot. A read that was never ended is partial, and so is every list that was left open.
    pub fn finish(mut self) -> SourceSnapshot {
        self.lists_in_order();
        self.unite_users();
        self.unite_groups();
        let data = &mut self.data;
        for group in &mut data.groups {
            if group.list == ListState::Open || group.torn || group.quarantined || group.ambiguous {
                group.list = ListState::Partial;
            }
        }
        if self.unidentified_users > 0 {
            data.users_read = Completeness::partial("a user without an anchor was read");
        }
        if self.unidentified_groups > 0 {
            data.groups_read = Completeness::partial("a group without an anchor was read");
        }
        data.grow();
        SourceSnapshot(Arc::new(self.data))
    }

    /// Brings the member lists into the order of the group rows; nothing moves where they are already.
    fn lists_in_order(&mut self) {
        let data = &mut self.data;
        let groups = data.groups.len();
        // Each row began with a piece of its list: where there are no more pieces than rows, they are in order.
        if self.segments.len() > groups {
            let mut by_group: Vec<usize> = (0..self.segments.len()).collect();
            by_group.sort_by_key(|&i| self.segments[i].group);
            let mut members = Vec::with_capacity(data.members.len());
            let mut unresolved = TextColumn::default();
            let mut kinds = Vec::with_capacity(data.unresolved_kinds.len());
            let mut ordered: Vec<Segment> = Vec::with_capacity(groups);
            for i in by_group {
                let segment = self.segments[i];
                let next = self.segments.get(i + 1);
                let end = next.map_or(data.members.len(), |s| s.members);
                let unresolved_end = next.map_or(data.unresolved.len(), |s| s.unresolved);
                if ordered.last().is_none_or(|last| last.group != segment.group) {
                    ordered.push(Segment {
                        group: segment.group,
                        members: members.len(),
                        unresolved: unresolved.len(),
                    });
                }
                members.extend_from_slice(&data.members[segment.members..end]);
                for u in segment.unresolved..unresolved_end {
                    unresolved.push(data.unresolved.at(u));
                    kinds.push(data.unresolved_kinds[u]);
                }
            }
            data.members = members;
            data.unresolved = unresolved;
            data.unresolved_kinds = kinds;
            self.segments = ordered;
        }
        // Every row pushed a segment, so there is exactly one for each group now.
        data.member_starts = self.segments.iter().map(|s| s.members).chain([data.members.len()]).collect();
        data.unresolved_starts =
            self.segments.iter().map(|s| s.unresolved).chain([data.unresolved.len()]).collect();
    }

    /// Rule M5: equal rows are one, else the higher version counts, else the anchor is ambiguous.
    fn unite_users(&mut self) {
        let data = &mut self.data;
        for (first, rows) in by_first(&self.twice_users) {
            let same = |a: usize, b: usize| {
                let (x, y) = (&data.users[a], &data.users[b]);
                x.state == y.state
                    && x.quarantined == y.quarantined
                    && data.user_row(a).same_as(data.user_row(b))
            };
            let winner = winner(&rows, same, |row| data.users[row].version);
            let states: Vec<AccountState> = rows.iter().map(|&row| data.users[row].state).collect();
            let quarantined = rows.iter().any(|&row| data.users[row].quarantined);
            let entry = match winner {
                Some(row) => data.users[row].clone(),
                None => {
                    data.ambiguous_users.insert(first as u32, rows.iter().map(|&row| row as u32).collect());
                    UserEntry {
                        ambiguous: true,
                        quarantined,
                        state: if states.contains(&AccountState::Disabled) {
                            AccountState::Disabled
                        } else if states.contains(&AccountState::Unknown) {
                            AccountState::Unknown
                        } else {
                            AccountState::Enabled
                        },
                        ..data.users[first].clone()
                    }
                }
            };
            data.users[first] = entry;
        }
    }

    fn unite_groups(&mut self) {
        let twice = by_first(&self.twice_groups);
        if twice.is_empty() {
            return;
        }
        let data = &mut self.data;
        // Where rows are united their lists are, too: collect the new lists first, then lay all out again.
        let mut lists: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (first, rows) in twice {
            let same = |a: usize, b: usize| {
                let (x, y) = (&data.groups[a], &data.groups[b]);
                x.list == y.list
                    && x.torn == y.torn
                    && x.quarantined == y.quarantined
                    && data.group_row(a).same_as(data.group_row(b))
                    && sorted(data.members_of(a)) == sorted(data.members_of(b))
                    && sorted_unresolved(data, a) == sorted_unresolved(data, b)
            };
            match winner(&rows, same, |row| data.groups[row].version) {
                Some(row) => {
                    data.groups[first] = data.groups[row].clone();
                    lists.insert(first, vec![row]);
                }
                None => {
                    let quarantined = rows.iter().any(|&row| data.groups[row].quarantined);
                    let group = &mut data.groups[first];
                    group.ambiguous = true;
                    group.quarantined = quarantined;
                    data.ambiguous_groups.insert(first as u32, rows.iter().map(|&row| row as u32).collect());
                    lists.insert(first, rows);
                }
            }
        }
        let mut members = Vec::with_capacity(data.members.len());
        let mut unresolved = TextColumn::default();
        let mut kinds = Vec::new();
        let (mut starts, mut unresolved_starts) = (vec![0], vec![0]);
        for group in 0..data.groups.len() {
            let own = vec![group];
            for &row in lists.get(&group).unwrap_or(&own) {
                members.extend_from_slice(data.members_of(row));
                for (text, kind) in data.unresolved_of(row) {
                    unresolved.push(text);
                    kinds.push(kind);
                }
            }
            starts.push(members.len());
            unresolved_starts.push(unresolved.len());
        }
        data.members = members;
        data.unresolved = unresolved;
        data.unresolved_kinds = kinds;
        data.member_starts = starts;
        data.unresolved_starts = unresolved_starts;
    }
}

/// Copies what a row says. Of one beyond its bound that would be what happened to come first (rules S1, P2).
fn copy_bounded(
    health: RowHealth,
    from: &AttributeTable,
    row: usize,
    to: &mut AttributeTable,
    names: &[Option<u32>],
) {
    match health {
        RowHealth::Sound | RowHealth::Withdrawn => copy_row(from, row, to, names),
        RowHealth::Oversized => drop(to.open_row()),
    }
}

/// All rows of each anchor that came more than once, under the first one.
fn by_first(twice: &[(u32, u32)]) -> Vec<(usize, Vec<usize>)> {
    let mut rows: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for &(first, row) in twice {
        rows.entry(first as usize).or_insert_with(|| vec![first as usize]).push(row as usize);
    }
    rows.into_iter().collect()
}

/// The row that counts: all are equal, or all have versions and those with the highest are equal.
fn winner(
    rows: &[usize],
    same: impl Fn(usize, usize) -> bool,
    version: impl Fn(usize) -> Option<u64>,
) -> Option<usize> {
    let all_equal = |rows: &[usize]| rows.windows(2).all(|pair| same(pair[0], pair[1]));
    if all_equal(rows) {
        return rows.first().copied();
    }
    let versions: Option<Vec<u64>> = rows.iter().map(|&row| version(row)).collect();
    let highest = versions?.into_iter().max()?;
    let newest: Vec<usize> = rows.iter().copied().filter(|&row| version(row) == Some(highest)).collect();
    all_equal(&newest).then(|| newest[0])
}

fn sorted(members: &[u32]) -> Vec<u32> {
    let mut members = members.to_vec();
    members.sort_unstable();
    members.dedup();
    members
}

fn sorted_unresolved(data: &SourceData, group: usize) -> Vec<(&str, MemberKind)> {
    let mut all: Vec<_> = data.unresolved_of(group).collect();
    all.sort_unstable();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_changed_while_it_was_read_is_never_complete() {
        // rules C1, C2: the last page of three, alone, once won as the newer and complete row
        let mut builder = SourceSnapshot::builder("corp", SourceCapabilities::default());
        for (version, members, end) in [(1, ["a", "b"], false), (2, ["c", "d"], false), (2, ["e", "f"], true)]
        {
            let mut page = GroupPage::default();
            let mut group = page.group("g");
            group.version(version);
            members.iter().for_each(|member| {
                group.member(member);
            });
            if end {
                group.members_complete();
            }
            builder.groups(&page).unwrap();
        }
        let data = builder.finish().0;
        let row = data.group_of[data.anchors.find("g").unwrap() as usize] as usize;
        assert_eq!(data.groups[row].list, ListState::Partial);
        assert_eq!(data.members_of(row).len(), 6);
    }
}
