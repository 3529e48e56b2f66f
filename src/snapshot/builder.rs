//! Pages go in, a snapshot of the source comes out.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::source::{GroupEntry, NONE, SourceData, UserEntry, hint_bit};
use super::{Keep, LimitExceeded, SourceSnapshot, copy_row, within};
use crate::attributes::AttributeTable;
use crate::id::SourceAnchor;
use crate::intern::Interner;
use crate::limits::Limits;
use crate::model::{Completeness, Kind, MemberKind};
use crate::page::TextColumn;
use crate::source::{
    Generation, GroupPage, ListState, RowHealth, SourceCapabilities, SourceIdentity, UserPage,
};

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
    pub(super) data: SourceData,
    limits: Limits,
    keep_users: Keep,
    keep_groups: Keep,
    segments: Vec<Segment>,
    /// Further rows of an anchor that has one already: (first row, this row).
    pub(super) twice_users: Vec<(u32, u32)>,
    pub(super) twice_groups: Vec<(u32, u32)>,
    /// The newest row of groups that came more than once: the one that may go on.
    latest: BTreeMap<u32, u32>,
    unidentified_users: usize,
    unidentified_groups: usize,
    /// Only rows of this anchor are taken in.
    only: Option<String>,
}

impl SourceSnapshotBuilder {
    pub(super) fn new(identity: SourceIdentity, capabilities: SourceCapabilities) -> Self {
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
