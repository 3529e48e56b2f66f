//! The half of a store that reads.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_identitystore::Client;
use aws_sdk_identitystore::config::retry::RetryConfig;

use super::call::{Caller, Timeout};
use super::fault;
use super::link::Links;
use super::operations::Operations;
use super::pace::AwsPace;
use super::record::{Group, Record, Shown, User};
use super::wire::Bounded;
use crate::adapter::scim::{self, ExternalIds};
use crate::error::{ErrorKind, StoreError};
use crate::id::{ExternalId, MatchRule, StoreId};
use crate::model::Kind;
use crate::page::{PageEnd, PageToken};
use crate::store::{
    AttributeSchema, IdentityStore, MemberPage, Members, MembershipsOnDelete, StoreCapabilities, StoreSelect,
    StoredGroupPage, StoredUserPage, WriteBatch,
};

/// Records that are looked up one by one for a page; each takes a request or two.
const LOOKED_UP: usize = 25;

/// How names compare, as for the SCIM endpoint: AWS does not say; two that are one by the widest rule are taken for one.
pub(super) const NAMES: MatchRule = MatchRule::NfkcCasefold;

/// Longest page token, in bytes; the API allows 65,535.
const LONGEST_TOKEN: usize = 65_535;

/// Reads users, groups and memberships of an identity store. It writes nothing: enough for a plan, and one half of an
/// [`AwsStore`](super::AwsStore). See the [module](super#reading).
#[derive(Clone, Debug)]
pub struct AwsReader {
    operations: Operations,
    shown: Shown,
}

impl AwsReader {
    /// Reads the identity store with this id (`d-` and ten digits). External ids that were written through the SCIM endpoint of the
    /// store are read as [`ExternalIds::WithIssuer`]. The client's retries are switched off; this adapter tries again by itself.
    pub fn new(client: &Client, identity_store_id: impl Into<String>) -> Self {
        let config =
            client.config().to_builder().retry_config(RetryConfig::disabled()).interceptor(Bounded).build();
        let operations = Operations {
            client: Client::from_conf(config),
            store: identity_store_id.into(),
            caller: Caller::default(),
        };
        let links = Arc::new(Links::new(ExternalIds::default(), Vec::new()));
        Self { operations, shown: Shown { links, declared: scim::Declared::new() } }
    }

    /// How external ids are written through the SCIM endpoint: as the store that writes there is told.
    #[must_use]
    pub fn external_ids(mut self, form: ExternalIds) -> Self {
        self.shown.links = Arc::new(self.shown.links.with_form(form));
        self
    }

    /// Says how AWS names the issuer of what is written through the SCIM endpoint (`https://scim.aws.com/…`). Without this it is
    /// learned from the first record that shows it; until then a look-up by external id reads everything.
    #[must_use]
    pub fn scim_issuer(mut self, name: impl Into<String>) -> Self {
        self.shown.links = Arc::new(self.shown.links.with_tenant(name.into()));
        self
    }

    /// Asks at this pace, in place of 20 requests a second of its own.
    #[must_use]
    pub fn pace(mut self, pace: AwsPace) -> Self {
        self.operations.caller.pace = pace;
        self
    }

    /// Waits so long for one answer, in place of 30 seconds.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.operations.caller.timeout = Timeout(timeout);
        self
    }

    /// The id of the identity store.
    pub fn identity_store_id(&self) -> &str {
        &self.operations.store
    }

    /// Shows users as a store does that declares these attributes.
    pub(super) fn declaring(mut self, users: scim::Declared) -> Self {
        self.shown.declared = users;
        self
    }

    async fn read<R: Record>(
        &self,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
        page: &mut R::Page,
    ) -> Result<PageEnd, StoreError> {
        match select {
            StoreSelect::All => {
                let (records, end) = self.listed::<R>(at).await?;
                records.iter().for_each(|record| record.put(&self.shown, page));
                Ok(end)
            }
            StoreSelect::Ids(ids) => {
                let from = offset(at)?;
                for id in ids.iter().skip(from).take(LOOKED_UP) {
                    if let Some(record) = self.described::<R>(id.as_str()).await? {
                        record.put(&self.shown, page);
                    }
                }
                Ok(after(from, ids.len()))
            }
            StoreSelect::ExternalIds(links) => self.read_linked::<R>(links, at, page).await,
            StoreSelect::UniqueValue { attribute, value } => {
                if let Some(record) = self.holder::<R>(attribute, value).await? {
                    record.put(&self.shown, page);
                }
                Ok(PageEnd::COMPLETE)
            }
        }
    }

    /// One page of all records, and where it goes on.
    async fn listed<R: Record>(&self, at: Option<&PageToken>) -> Result<(Vec<R>, PageEnd), StoreError> {
        let token = at.map(token_text).transpose()?;
        let listed: R::Listed = self.operations.list(R::KIND, token).await?;
        let (records, next) = R::listed(listed);
        if records.iter().any(|record| record.id().is_empty()) {
            return Err(fault::incomplete("listing records", "id"));
        }
        Ok((records, end("listing records", token, next)?))
    }

    /// The record with this id. One that is answered under another id is none.
    async fn described<R: Record>(&self, id: &str) -> Result<Option<R>, StoreError> {
        // No record has an empty id, and the API would call the request malformed.
        if id.is_empty() {
            return Ok(None);
        }
        let record: Option<R> = self.operations.describe(R::KIND, id).await?;
        match record {
            Some(record) if record.id() != id => {
                Err(fault::incomplete("reading a record", "record of this id"))
            }
            record => Ok(record),
        }
    }

    /// Records by external id: by a look-up each or, while it is not known how AWS names our issuer, from all records.
    async fn read_linked<R: Record>(
        &self,
        links: &[ExternalId],
        at: Option<&PageToken>,
        page: &mut R::Page,
    ) -> Result<PageEnd, StoreError> {
        let scanning = at.and_then(|token| token.as_bytes().strip_prefix(SCAN.as_bytes()));
        let is_unknown = links.iter().any(|link| self.shown.links.in_aws(link).is_err());
        if scanning.is_some() || (is_unknown && at.is_none()) {
            return self.scan::<R>(links, scanning, page).await;
        }
        let from = offset(at)?;
        for link in links.iter().skip(from).take(LOOKED_UP) {
            for (issuer, id) in self.shown.links.in_aws(link).unwrap_or_default() {
                if let Some(record) = self.linked::<R>(&issuer, &id, link).await? {
                    record.put(&self.shown, page);
                }
            }
        }
        Ok(after(from, links.len()))
    }

    async fn linked<R: Record>(
        &self,
        issuer: &str,
        id: &str,
        link: &ExternalId,
    ) -> Result<Option<R>, StoreError> {
        let Some(found) = self.operations.id_by_link(R::KIND, issuer, id).await? else { return Ok(None) };
        let record = self.described::<R>(&found).await?;
        // Whatever the look-up says: only who carries the link is answered.
        Ok(record.filter(|record| self.shown.links.carries(record.external_ids(), link)))
    }

    /// A page of all records, of which only the wanted ones are kept.
    async fn scan<R: Record>(
        &self,
        links: &[ExternalId],
        at: Option<&[u8]>,
        page: &mut R::Page,
    ) -> Result<PageEnd, StoreError> {
        let at = at.map(PageToken::new);
        let (records, end) = self.listed::<R>(at.as_ref()).await?;
        let is_wanted =
            |record: &&R| links.iter().any(|link| self.shown.links.carries(record.external_ids(), link));
        records.iter().filter(is_wanted).for_each(|record| record.put(&self.shown, page));
        Ok(match end {
            PageEnd::More(token) => {
                PageEnd::More(PageToken::new([SCAN.as_bytes(), token.as_bytes()].concat()))
            }
            end => end,
        })
    }

    /// Who holds a value that may be there only once.
    async fn holder<R: Record>(&self, attribute: &str, value: &str) -> Result<Option<R>, StoreError> {
        let path = match (R::KIND, attribute) {
            (Kind::User, "userName") => "userName",
            (Kind::User, "emails") => "emails.value",
            (Kind::Group, "displayName") => "displayName",
            _ => {
                let message = "aws looks nobody up by this attribute";
                return Err(StoreError::new(ErrorKind::Unsupported, message));
            }
        };
        if value.trim().is_empty() {
            return Ok(None);
        }
        // As it is, and, should AWS compare byte by byte, as most names are written.
        let folded = NAMES.key(value);
        let mut found = self.operations.id_by_value(R::KIND, path, value).await?;
        if found.is_none() && folded.as_str() != value {
            found = self.operations.id_by_value(R::KIND, path, folded.as_str()).await?;
        }
        let Some(id) = found else { return Ok(None) };
        let record = self.described::<R>(&id).await?;
        Ok(record.filter(|record| record.unique(attribute).iter().any(|held| NAMES.key(held) == folded)))
    }
}

/// How a token begins that goes on in a read of everything, made to find external ids.
const SCAN: &str = "scan:";

/// How a token begins that goes on in a list of look-ups.
const FROM: &str = "from:";

/// Where a read of records that are looked up one by one goes on.
fn offset(at: Option<&PageToken>) -> Result<usize, StoreError> {
    let Some(at) = at else { return Ok(0) };
    let offset = at.as_text().and_then(|text| text.strip_prefix(FROM)?.parse().ok());
    offset.ok_or_else(foreign_token)
}

fn after(from: usize, all: usize) -> PageEnd {
    let next = from.saturating_add(LOOKED_UP);
    if next < all {
        PageEnd::More(PageToken::new(format!("{FROM}{next}").into_bytes()))
    } else {
        PageEnd::COMPLETE
    }
}

fn token_text(token: &PageToken) -> Result<&str, StoreError> {
    token.as_text().ok_or_else(foreign_token)
}

fn foreign_token() -> StoreError {
    StoreError::new(ErrorKind::Invalid, "the page token is not one of this adapter")
}

/// How a page of AWS ends: each one must lead on.
fn end(what: &str, at: Option<&str>, next: Option<String>) -> Result<PageEnd, StoreError> {
    match next.filter(|token| !token.is_empty()) {
        None => Ok(PageEnd::COMPLETE),
        Some(next) if Some(next.as_str()) == at || next.len() > LONGEST_TOKEN => Err(fault::repeated(what)),
        Some(next) => Ok(PageEnd::More(PageToken::new(next.into_bytes()))),
    }
}

#[async_trait]
impl IdentityStore for AwsReader {
    fn capabilities(&self) -> StoreCapabilities {
        let name = AttributeSchema::unique(NAMES).required();
        let mut capabilities = StoreCapabilities::named(self.identity_store_id());
        capabilities.users.clear();
        for required in ["name.givenName", "name.familyName", "displayName"] {
            capabilities.users.insert(required.to_owned(), AttributeSchema::default().required());
        }
        capabilities.users.insert("userName".to_owned(), name);
        capabilities.users.insert("emails".to_owned(), AttributeSchema::unique(NAMES));
        capabilities.groups.insert("displayName".to_owned(), name);
        // AWS has one, and SCIM no way to write it.
        capabilities.groups.insert("description".to_owned(), AttributeSchema::absent());
        capabilities.members = Members::PerGroup;
        // As for the SCIM endpoint, so that a plan made with the reader alone is the plan of both.
        capabilities.memberships_on_delete = MembershipsOnDelete::RemoveFirst;
        capabilities
    }

    async fn read_users(
        &self,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
        page: &mut StoredUserPage,
    ) -> Result<PageEnd, StoreError> {
        self.read::<User>(select, at, page).await
    }

    async fn read_groups(
        &self,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
        page: &mut StoredGroupPage,
    ) -> Result<PageEnd, StoreError> {
        self.read::<Group>(select, at, page).await
    }

    async fn read_members(
        &self,
        group: &StoreId,
        at: Option<&PageToken>,
        page: &mut MemberPage,
    ) -> Result<PageEnd, StoreError> {
        const WHAT: &str = "listing the members of a group";
        let token = at.map(token_text).transpose()?;
        let found = self.operations.memberships(group.as_str(), token).await?;
        let end = end(WHAT, token, found.next_token)?;
        for membership in &found.group_memberships {
            if membership.member_id.user_id.is_empty() {
                return Err(fault::incomplete(WHAT, "id of a member"));
            }
            page.member(&membership.member_id.user_id);
        }
        Ok(end)
    }

    async fn write(&self, _: &mut WriteBatch<'_>) -> Result<(), StoreError> {
        let message = "the identity store api sets no external ids: write through scim, with an AwsStore";
        Err(StoreError::new(ErrorKind::Unsupported, message))
    }
}
