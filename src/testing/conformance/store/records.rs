//! What a store gave, in a form that can be compared.

use std::collections::BTreeSet;

use async_trait::async_trait;

use super::super::finding::some;
use super::super::paging::{Reading, Row};
use super::super::source::values;
use super::Values;
use crate::error::StoreError;
use crate::id::{ExternalId, StoreId, Version};
use crate::model::{DeactivatedBy, Kind, Origin};
use crate::page::{PageEnd, PageToken};
use crate::store::{IdentityStore, MemberPage, StoreSelect, StoredGroupPage, StoredRows, StoredUserPage};

/// A record as it was read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Record {
    pub(super) id: String,
    pub(super) links: Vec<ExternalId>,
    pub(super) values: Values,
    pub(super) active: bool,
    pub(super) origin: Option<Origin>,
    pub(super) deactivated_by: Option<DeactivatedBy>,
    pub(super) version: Option<String>,
    /// Only where the store lists members with its groups; sorted, each once.
    pub(super) members: Vec<String>,
}

impl Record {
    pub(super) fn store_id(&self) -> StoreId {
        StoreId::from(self.id.as_str())
    }

    pub(super) fn version(&self) -> Option<Version> {
        self.version.as_deref().map(Version::from)
    }

    /// The same but for its version, and without regard to the order of values.
    pub(super) fn unversioned(&self) -> Self {
        let mut values = self.values.clone();
        values.values_mut().for_each(|values| values.sort_unstable());
        Self { version: None, values, ..self.clone() }
    }

    /// For messages: what this record has, and what it had, wherever they differ.
    pub(super) fn since(&self, before: &Self) -> String {
        let names: BTreeSet<&String> = self.values.keys().chain(before.values.keys()).collect();
        let values = |record: &Self, name: &str| some(record.values.get(name).into_iter().flatten());
        let mut pairs: Vec<(&str, String, String)> =
            names.into_iter().map(|name| (name.as_str(), values(self, name), values(before, name))).collect();
        let facts = |record: &Self| {
            [
                ("external ids", some(&record.links)),
                ("members", some(&record.members)),
                ("active", record.active.to_string()),
                ("origin", format!("{:?}", record.origin)),
                ("made inactive by", format!("{:?}", record.deactivated_by)),
                ("version", some(&record.version)),
            ]
        };
        pairs.extend(
            facts(self).into_iter().zip(facts(before)).map(|((name, now), (_, was))| (name, now, was)),
        );
        let differ = pairs.into_iter().filter(|(_, now, was)| now != was);
        let texts: Vec<String> =
            differ.map(|(name, now, was)| format!("{name}: {now} in place of {was}")).collect();
        if texts.is_empty() { "the same, in another order".to_owned() } else { texts.join("; ") }
    }
}

impl Row for Record {
    fn key(&self) -> &str {
        &self.id
    }
}

/// The records of a kind, or some of them.
pub(super) struct Records<'s, S> {
    pub(super) store: &'s S,
    pub(super) kind: Kind,
    pub(super) select: StoreSelect<'s>,
}

#[async_trait]
impl<S: IdentityStore> Reading for Records<'_, S> {
    type Row = Record;

    fn what(&self) -> &'static str {
        match (self.kind, self.select) {
            (Kind::User, StoreSelect::All) => "the users of the store",
            (Kind::Group, StoreSelect::All) => "the groups of the store",
            (Kind::User, StoreSelect::Ids(_)) => "the users with some ids",
            (Kind::Group, StoreSelect::Ids(_)) => "the groups with some ids",
            (Kind::User, StoreSelect::ExternalIds(_)) => "the users with some external ids",
            (Kind::Group, StoreSelect::ExternalIds(_)) => "the groups with some external ids",
            (Kind::User, StoreSelect::UniqueValue { .. }) => "the user with a unique value",
            (Kind::Group, StoreSelect::UniqueValue { .. }) => "the group with a unique value",
        }
    }

    async fn page(&self, at: Option<&PageToken>) -> Result<(Vec<Record>, PageEnd), StoreError> {
        match self.kind {
            Kind::User => {
                let mut page = StoredUserPage::default();
                let end = self.store.read_users(self.select, at, &mut page).await?;
                Ok((rows(&page.0), end))
            }
            Kind::Group => {
                let mut page = StoredGroupPage::default();
                let end = self.store.read_groups(self.select, at, &mut page).await?;
                Ok((rows(&page.0), end))
            }
        }
    }
}

fn rows(page: &StoredRows) -> Vec<Record> {
    let rows = page.rows.iter().enumerate().map(|(place, row)| {
        let next = page.rows.get(place + 1);
        let links = row.links..next.map_or(page.anchors.len(), |next| next.links);
        let members = row.members..next.map_or(page.members.len(), |next| next.members);
        let link = |at| ExternalId::new(page.issuers.at(at), page.anchors.at(at));
        let mut links: Vec<ExternalId> = links.map(link).collect();
        let mut members: Vec<String> = members.map(|at| page.members.at(at).to_owned()).collect();
        links.sort_unstable();
        members.sort_unstable();
        members.dedup();
        let mut values = values(page.attributes.row(place));
        // Empty is as good as not there (rule A4).
        values.retain(|_, values| values.iter().any(|value| !value.trim().is_empty()));
        Record {
            id: page.ids.at(place).to_owned(),
            links,
            values,
            active: row.active,
            origin: row.origin,
            deactivated_by: (!row.active).then_some(row.deactivated_by),
            version: row.version.as_deref().map(str::to_owned),
            members,
        }
    });
    rows.collect()
}

/// The members of one group, where the store lists them so.
pub(super) struct MembersOf<'s, S> {
    pub(super) store: &'s S,
    pub(super) group: &'s StoreId,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Member(pub(super) String);

impl Row for Member {
    fn key(&self) -> &str {
        &self.0
    }
}

#[async_trait]
impl<S: IdentityStore> Reading for MembersOf<'_, S> {
    type Row = Member;

    fn what(&self) -> &'static str {
        "the members of a group"
    }

    async fn page(&self, at: Option<&PageToken>) -> Result<(Vec<Member>, PageEnd), StoreError> {
        let mut page = MemberPage::default();
        let end = self.store.read_members(self.group, at, &mut page).await?;
        Ok((page.iter().map(|id| Member(id.to_owned())).collect(), end))
    }
}
