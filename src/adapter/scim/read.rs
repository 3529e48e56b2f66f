//! Reads of users, groups and members.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::ScimStore;
use super::ahead::Ahead;
use super::error::Fault;
use super::filter;
use super::json::{self, Record};
use super::list::{Page, Wanted};
use super::options::MemberListing;
use crate::id::{ExternalId, StoreId};
use crate::model::Kind;
use crate::page::{PageEnd, PageToken};
use crate::store::{StoreSelect, StoredGroupPage, StoredUserPage};

/// Records that a selection looks up for one page.
const LOOK_UPS: usize = 50;

/// Of those, so many under way at once.
const AT_ONCE: usize = 8;

impl ScimStore {
    pub(super) async fn page(
        &self,
        kind: Kind,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
    ) -> Result<Page, Fault> {
        let with_members = self.client.options.members == MemberListing::WithGroups;
        if let Some(ledger) = self.ledger.as_ref().filter(|_| kind == Kind::Group && at.is_none()) {
            ledger.catch_up().await?;
        }
        let page = match select {
            StoreSelect::All => self.client.list(Wanted { kind, filter: None, with_members }, at).await?,
            StoreSelect::Ids(ids) => {
                let (some, end) = some_of(ids, at)?;
                let ids: Vec<StoreId> = distinct(some).cloned().collect();
                let look = |id: StoreId| {
                    let client = Arc::clone(&self.client);
                    async move { client.get(kind, id.as_str(), with_members).await }
                };
                let found = Ahead::new(AT_ONCE, ids.into_iter().map(look)).all().await?;
                Page { records: found.into_iter().flatten().collect(), end }
            }
            StoreSelect::ExternalIds(links) => {
                let (some, end) = some_of(links, at)?;
                let links: Vec<ExternalId> = distinct(some).cloned().collect();
                let look = |link: ExternalId| {
                    let store = self.clone();
                    async move { store.linked(kind, &link, with_members).await }
                };
                let found = Ahead::new(AT_ONCE, links.into_iter().map(look)).all().await?;
                Page { records: found.into_iter().flatten().collect(), end }
            }
            StoreSelect::UniqueValue { attribute, value } => {
                let rule = self.client.capabilities.schema(kind, attribute).matching;
                let key = rule.key(value);
                let has = |record: &Record| {
                    let mut values = record.attributes.iter().filter(|(name, _)| name == attribute);
                    values.any(|(_, held)| rule.key(held) == key)
                };
                let filter = filter::eq(&json::path(attribute)?, value);
                let records = self.client.find(kind, &filter, with_members, has).await?;
                Page { records, end: PageEnd::COMPLETE }
            }
        };
        if let Some(ledger) = self.ledger.as_ref().filter(|_| kind == Kind::Group) {
            ledger.found(&page.records, &self.client.options.external_ids).await?;
        }
        Ok(page)
    }

    /// The records of a kind that carry an external id, byte for byte.
    pub(super) async fn linked(
        &self,
        kind: Kind,
        link: &ExternalId,
        with_members: bool,
    ) -> Result<Vec<Record>, Fault> {
        let Some(text) = self.client.options.external_ids.write(link) else { return Ok(Vec::new()) };
        let carries = |record: &Record| record.external_id.as_ref() == Some(link);
        self.client.find(kind, &filter::eq("externalId", &text), with_members, carries).await
    }

    pub(super) async fn members_of(&self, group: &StoreId) -> Result<(Vec<String>, PageEnd), Fault> {
        if let Some(ledger) = &self.ledger {
            return ledger.members(&self.client, group).await;
        }
        match self.client.get_object(Kind::Group, group.as_str(), true).await? {
            Some(object) => Ok((json::members(&object)?, PageEnd::COMPLETE)),
            None => Err(Fault::NotFound),
        }
    }
}

/// Those of a selection that come on this page, and how it ends.
fn some_of<'s, T>(all: &'s [T], at: Option<&PageToken>) -> Result<(&'s [T], PageEnd), Fault> {
    let foreign = || Fault::Invalid("this page token is not from this store".into());
    let start = match at {
        None => 0,
        Some(token) => {
            let number = token.as_text().and_then(|text| text.strip_prefix("s ")).ok_or_else(foreign)?;
            number.parse().map_err(|_| foreign())?
        }
    };
    let end = all.len().min(usize::saturating_add(start, LOOK_UPS));
    let some = all.get(start..end).ok_or_else(foreign)?;
    let next = || PageEnd::More(PageToken::new(format!("s {end}").into_bytes()));
    Ok((some, if end < all.len() { next() } else { PageEnd::COMPLETE }))
}

/// Each once: what is asked for twice is one record.
fn distinct<T: Ord>(some: &[T]) -> impl Iterator<Item = &T> {
    let mut seen = BTreeSet::new();
    some.iter().filter(move |one| seen.insert(*one))
}

pub(super) fn fill_users(records: &[Record], page: &mut StoredUserPage) {
    for record in records {
        let mut row = page.user(&record.id);
        row.active(record.active);
        if let Some(link) = &record.external_id {
            row.external_id(link.issuer.as_str(), link.value.as_str());
        }
        if let Some(version) = &record.version {
            row.version(version);
        }
        for (name, value) in &record.attributes {
            row.attribute(name, value);
        }
    }
}

pub(super) fn fill_groups(records: &[Record], page: &mut StoredGroupPage) {
    for record in records {
        let mut row = page.group(&record.id);
        if let Some(link) = &record.external_id {
            row.external_id(link.issuer.as_str(), link.value.as_str());
        }
        if let Some(version) = &record.version {
            row.version(version);
        }
        for (name, value) in &record.attributes {
            row.attribute(name, value);
        }
        for member in &record.members {
            row.member(member);
        }
    }
}
