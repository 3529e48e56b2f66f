//! What was read of the store, and the assignments.

use super::{Keep, LimitExceeded, NONE, copy_row, within};
use crate::attributes::{AttributeTable, Attributes};
use crate::id::{Issuer, SourceAnchor, StoreId};
use crate::intern::Interner;
use crate::limits::Limits;
use crate::model::{Completeness, DeactivatedBy, Kind, Origin, Principal};
use crate::page::TextColumn;
use crate::store::{MemberPage, StoreCapabilities, StoredGroupPage, StoredRows, StoredUserPage};

/// What was read of the store, compact and immutable.
#[derive(Clone, Debug)]
pub struct StoreSnapshot(pub(crate) StoreData);

#[derive(Clone, Debug)]
pub(crate) struct StoreData {
    pub(crate) capabilities: StoreCapabilities,
    pub(crate) read: Completeness,
    pub(crate) ids: Interner,
    /// Per id its row among users and among groups.
    pub(crate) user_of: Vec<u32>,
    pub(crate) group_of: Vec<u32>,
    pub(crate) users: Vec<StoredRecord>,
    pub(crate) user_attributes: AttributeTable,
    pub(crate) groups: Vec<StoredRecord>,
    pub(crate) group_attributes: AttributeTable,
    pub(crate) member_starts: Vec<usize>,
    pub(crate) members: Vec<u32>,
    /// External ids of all records: who issued them, and what they say.
    pub(crate) link_issuers: Vec<u32>,
    pub(crate) link_anchors: TextColumn,
    pub(crate) issuers: Interner,
    pub(crate) versions: TextColumn,
}

#[derive(Clone, Debug)]
pub(crate) struct StoredRecord {
    pub(crate) id: u32,
    pub(crate) links: (u32, u32),
    /// Index into the versions.
    pub(crate) version: u32,
    pub(crate) active: bool,
    pub(crate) origin: Option<Origin>,
    pub(crate) deactivated_by: DeactivatedBy,
}

impl StoreData {
    pub(crate) fn records(&self, kind: Kind) -> &[StoredRecord] {
        match kind {
            Kind::User => &self.users,
            Kind::Group => &self.groups,
        }
    }

    pub(crate) fn attributes(&self, kind: Kind, row: usize) -> Attributes<'_> {
        match kind {
            Kind::User => self.user_attributes.row(row),
            Kind::Group => self.group_attributes.row(row),
        }
    }

    pub(crate) fn members_of(&self, group: usize) -> &[u32] {
        match (self.member_starts.get(group), self.member_starts.get(group + 1)) {
            (Some(&start), Some(&end)) => &self.members[start..end],
            _ => &[],
        }
    }

    pub(crate) fn links(&self, record: &StoredRecord) -> impl Iterator<Item = (u32, &str)> {
        (record.links.0..record.links.1)
            .map(|i| (self.link_issuers[i as usize], self.link_anchors.at(i as usize)))
    }

    /// The number of our issuer, where any record names it.
    pub(crate) fn issuer(&self, issuer: &Issuer) -> u32 {
        self.issuers.find(issuer.as_str()).unwrap_or(NONE)
    }

    pub(crate) fn version(&self, record: &StoredRecord) -> Option<&str> {
        (record.version != NONE).then(|| self.versions.at(record.version as usize))
    }

    pub(crate) fn id(&self, record: &StoredRecord) -> &str {
        self.ids.text(record.id)
    }

    fn grow(&mut self) {
        self.user_of.resize(self.ids.len(), NONE);
        self.group_of.resize(self.ids.len(), NONE);
    }
}

impl StoreSnapshot {
    /// Starts a snapshot of a store.
    pub fn builder(capabilities: StoreCapabilities) -> StoreSnapshotBuilder {
        StoreSnapshotBuilder {
            data: StoreData {
                capabilities,
                read: Completeness::partial("not read"),
                ids: Interner::default(),
                user_of: Vec::new(),
                group_of: Vec::new(),
                users: Vec::new(),
                user_attributes: AttributeTable::default(),
                groups: Vec::new(),
                group_attributes: AttributeTable::default(),
                member_starts: vec![0],
                members: Vec::new(),
                link_issuers: Vec::new(),
                link_anchors: TextColumn::default(),
                issuers: Interner::default(),
                versions: TextColumn::default(),
            },
            limits: Limits::default(),
            keep_users: Keep::default(),
            keep_groups: Keep::default(),
            fault: None,
            overlapping: false,
        }
    }

    /// Number of users, managed or not.
    pub fn users(&self) -> usize {
        self.0.users.len()
    }

    /// Number of groups, managed or not.
    pub fn groups(&self) -> usize {
        self.0.groups.len()
    }

    /// Number of memberships.
    pub fn memberships(&self) -> usize {
        self.0.members.len()
    }
}

/// Takes pages in and makes a [`StoreSnapshot`] of them.
#[derive(Debug)]
pub struct StoreSnapshotBuilder {
    data: StoreData,
    limits: Limits,
    keep_users: Keep,
    keep_groups: Keep,
    fault: Option<String>,
    overlapping: bool,
}

/// Who it is cannot be told, so the list is not whole (rule C5).
const NAMELESS_MEMBER: &str = "a member without an id was read";

impl StoreSnapshotBuilder {
    /// With these bounds instead of the default ones.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Keeps only the attributes that these options write or that the store declares; the rest is dropped.
    ///
    /// Without conditional writes, and of records without a version, all are kept: the content is what tells two versions
    /// of a record apart (rule P7).
    #[must_use]
    pub fn only_mapped(mut self, options: &crate::Options) -> Self {
        let capabilities = &self.data.capabilities;
        if capabilities.concurrency == crate::Concurrency::Conditional {
            let targets = |map: &crate::AttributeMap, schema: &indexmap::IndexMap<String, _>| {
                let mapped: Vec<String> = map.iter().map(|(target, _)| target.to_owned()).collect();
                Keep::only(mapped.into_iter().chain(schema.keys().cloned()))
            };
            self.keep_users = targets(&options.user_map, &capabilities.users);
            self.keep_groups = targets(&options.group_map, &capabilities.groups);
        }
        self
    }

    /// Takes a page of users in.
    ///
    /// # Errors
    ///
    /// The number of records is beyond its bound.
    pub fn users(&mut self, page: &StoredUserPage) -> Result<(), LimitExceeded> {
        self.rows(Kind::User, &page.0)
    }

    /// Takes a page of groups in, with the members that it holds.
    ///
    /// # Errors
    ///
    /// The number of records or of memberships is beyond its bound.
    pub fn groups(&mut self, page: &StoredGroupPage) -> Result<(), LimitExceeded> {
        self.rows(Kind::Group, &page.0)
    }

    fn rows(&mut self, kind: Kind, page: &StoredRows) -> Result<(), LimitExceeded> {
        let data = &mut self.data;
        within(
            data.users.len() + data.groups.len() + page.rows.len(),
            self.limits.objects,
            "records in the store",
        )?;
        within(data.members.len() + page.members.len(), self.limits.edges, "memberships in the store")?;
        if page.oversized {
            self.fault = Some("a record is too large".to_owned());
        }
        let (keep, table) = match kind {
            Kind::User => (&self.keep_users, &mut data.user_attributes),
            Kind::Group => (&self.keep_groups, &mut data.group_attributes),
        };
        let names = keep.translate(&page.attributes, table);
        // A record without a version is told apart by its content: all of it has to stay (rule P7).
        let unversioned = page.rows.iter().any(|row| row.version.is_none());
        let all = if unversioned { Keep::default().translate(&page.attributes, table) } else { Vec::new() };
        for (i, row) in page.rows.iter().enumerate() {
            let id = data.ids.intern(page.ids.at(i));
            data.grow();
            let next = page.rows.get(i + 1);
            let (records, of, table) = match kind {
                Kind::User => (&mut data.users, &mut data.user_of, &mut data.user_attributes),
                Kind::Group => (&mut data.groups, &mut data.group_of, &mut data.group_attributes),
            };
            if page.ids.at(i).is_empty() {
                self.fault = Some("a record without an id was read".to_owned());
            }
            // The same id twice: the listing shifted while it was read, so something else may be missing.
            if of[id as usize] != NONE {
                if self.overlapping {
                    continue;
                }
                self.fault = Some("the same record came twice".to_owned());
                continue;
            }
            of[id as usize] = records.len() as u32;
            let kept = if row.version.is_none() { &all } else { &names };
            copy_row(&page.attributes, i, table, kept);
            let first = data.link_issuers.len() as u32;
            for link in row.links..next.map_or(page.anchors.len(), |next| next.links) {
                // Empty is missing: whoever has no anchor is not ours, and nothing could be said of whom a plan is about (M7).
                if page.anchors.at(link).is_empty() {
                    continue;
                }
                data.link_issuers.push(data.issuers.intern(page.issuers.at(link)));
                data.link_anchors.push(page.anchors.at(link));
            }
            records.push(StoredRecord {
                id,
                links: (first, data.link_issuers.len() as u32),
                version: row.version.as_ref().map_or(NONE, |version| data.versions.push(version) as u32),
                active: row.active,
                origin: row.origin,
                deactivated_by: row.deactivated_by,
            });
            if kind == Kind::Group {
                let members = row.members..next.map_or(page.members.len(), |next| next.members);
                if members.clone().any(|member| page.members.at(member).is_empty()) {
                    self.fault = Some(NAMELESS_MEMBER.to_owned());
                }
                let start = data.members.len();
                data.ids.intern_all(members.map(|member| page.members.at(member)), &mut data.members);
                dedup_from(&mut data.members, start);
                data.member_starts.push(data.members.len());
            }
        }
        data.grow();
        Ok(())
    }

    /// Sets the member lists of groups that were read one by one; `lists` in the order of the groups.
    ///
    /// # Errors
    ///
    /// The number of memberships is beyond its bound.
    pub(crate) fn member_lists(&mut self, lists: &[MemberPages]) -> Result<(), LimitExceeded> {
        let data = &mut self.data;
        let total: usize = lists.iter().map(|list| list.0.len()).sum();
        within(total, self.limits.edges, "memberships in the store")?;
        data.members.clear();
        data.member_starts = vec![0];
        for list in lists {
            let start = data.members.len();
            for member in list.0.iter() {
                if member.is_empty() {
                    self.fault = Some(NAMELESS_MEMBER.to_owned());
                }
                data.members.push(data.ids.intern(member));
            }
            dedup_from(&mut data.members, start);
            data.member_starts.push(data.members.len());
        }
        data.grow();
        Ok(())
    }

    /// Each group's id where the group is ours, or where it might become so, in the order of the groups.
    pub(crate) fn listed_groups(&self, issuer: &Issuer, also_unlinked: bool) -> Vec<Option<StoreId>> {
        let ours = self.data.issuer(issuer);
        let groups = self.data.groups.iter();
        let managed = |group: &&StoredRecord| {
            let mut links = self.data.links(group).peekable();
            (also_unlinked && links.peek().is_none()) || (ours != NONE && links.any(|(by, _)| by == ours))
        };
        groups
            .map(|group| Some(group).filter(managed).map(|group| StoreId::from(self.data.id(group))))
            .collect()
    }

    /// The anchors of ours that records carry, with the records' kind.
    pub(crate) fn linked_anchors(&self, issuer: &Issuer) -> Vec<(SourceAnchor, Kind)> {
        let ours = self.data.issuer(issuer);
        let mut linked = Vec::new();
        for kind in [Kind::User, Kind::Group] {
            for record in self.data.records(kind) {
                let links = self.data.links(record).filter(|&(by, _)| ours != NONE && by == ours);
                linked.extend(links.map(|(_, anchor)| (SourceAnchor::from(anchor), kind)));
            }
        }
        linked
    }

    /// Several selections may give the same record.
    pub(crate) fn overlapping(mut self) -> Self {
        self.overlapping = true;
        self
    }

    /// Makes the snapshot; `read` says whether users, groups and members were all read whole (rule C5).
    pub fn finish(mut self, read: Completeness) -> StoreSnapshot {
        self.data.read = match self.fault {
            Some(reason) => Completeness::Partial { reason },
            None => read,
        };
        StoreSnapshot(self.data)
    }
}

/// A member that a store lists twice is one member, for the plan and for its limits (rules P3, D4).
fn dedup_from(members: &mut Vec<u32>, start: usize) {
    let own = &mut members[start..];
    own.sort_unstable();
    let mut kept = start;
    for i in start..members.len() {
        if i == start || members[i] != members[kept - 1] {
            members[kept] = members[i];
            kept += 1;
        }
    }
    members.truncate(kept);
}

/// The members of one group over all its pages.
#[derive(Debug, Default)]
pub(crate) struct MemberPages(TextColumn);

impl MemberPages {
    pub(crate) fn extend(&mut self, page: &MemberPage) {
        for member in page.iter() {
            self.0.push(member);
        }
    }
}

/// Who was given access, as it was read.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assignments {
    /// Whether all were read (rule C2).
    pub read: Completeness,
    /// The principals; order and repetition mean nothing.
    pub principals: Vec<Principal>,
}

impl Assignments {
    /// A complete set of assignments.
    pub fn complete(principals: impl IntoIterator<Item = Principal>) -> Self {
        Self { read: Completeness::Complete, principals: principals.into_iter().collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_without_a_version_is_known_by_all_of_its_content() {
        // rule P7: its hash at planning once left out what the map does not name, and no write of it ever went through
        let concurrency = crate::Concurrency::Conditional;
        let capabilities = StoreCapabilities { concurrency, ..StoreCapabilities::default() };
        let mut page = StoredUserPage::default();
        page.user("1").attribute("userName", "ada").attribute("nickName", "countess");
        page.user("2").version("7").attribute("userName", "bob").attribute("nickName", "bobby");
        let mut planned =
            StoreSnapshot::builder(capabilities.clone()).only_mapped(&crate::Options::default());
        let mut read_again = StoreSnapshot::builder(capabilities);
        for builder in [&mut planned, &mut read_again] {
            builder.users(&page).unwrap();
        }
        let (planned, again) =
            (planned.finish(Completeness::Complete).0, read_again.finish(Completeness::Complete).0);
        for row in 0..2 {
            let version = |data| crate::version::version_of(data, Kind::User, row);
            assert_eq!(version(&planned), version(&again));
        }
        assert_eq!(planned.attributes(Kind::User, 1).get("nickName"), None);
    }

    #[test]
    fn a_member_that_is_listed_twice_is_one_member() {
        // rules P3, D4
        let mut members = vec![9, 9, 3, 1, 3, 3, 2];
        dedup_from(&mut members, 2);
        assert_eq!(members, [9, 9, 1, 2, 3]);
        dedup_from(&mut members, 5);
        assert_eq!(members.len(), 5);
    }
}
