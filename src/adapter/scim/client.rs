//! What reads and writes share: the connection, and what is known about the server.

use serde_json::{Map, Value};

use super::config::{Bulk, Offered};
use super::error::Fault;
use super::http::{Answer, Http, Request};
use super::json::{self, Record, endpoint};
use super::options::{MemberListing, Paging, ScimOptions, Use};
use crate::id::Version;
use crate::model::Kind;
use crate::store::{
    Activation, Adoption, Concurrency, DeactivationMemory, Members, StoreCapabilities, Written,
};

/// Most items that one call of `write` may have: enough for a bulk request, and few enough to be read again at once.
const MOST_ITEMS: usize = 100;

/// A bulk request is kept below this, whatever the server would take.
const MOST_BULK_BYTES: usize = 1 << 20;

pub(super) struct Client {
    pub(super) http: Http,
    pub(super) options: ScimOptions,
    pub(super) capabilities: StoreCapabilities,
    pub(super) filters: bool,
    pub(super) sorted: bool,
    pub(super) by_cursor: bool,
    pub(super) bulk: Option<Bulk>,
}

impl Client {
    /// Asks the server what it can do.
    pub(super) async fn connect(mut options: ScimOptions) -> Result<Self, Fault> {
        let http = Http::new(&options)?;
        let offered = match http.send(&Request::get(&["ServiceProviderConfig"])).await {
            Ok(answer) => Offered::read(&answer.into_object()?),
            // It need not say; then it offers nothing but what RFC 7644 demands.
            Err(fault) if matches!(fault.status(), Some(404 | 405 | 501)) => Offered::default(),
            Err(fault) => return Err(fault),
        };
        if offered.patch == Some(false) {
            return Err(Fault::Unsupported(
                "the server has no PATCH; without it an update would replace whole records",
            ));
        }
        if let Some(most) = offered.most_results.and_then(|most| u32::try_from(most).ok()) {
            options.page_size = options.page_size.min(most).max(2);
        }
        let is_used = |when, offered| when == Use::Always || (when == Use::AsAnnounced && offered);
        let bulk = match options.bulk {
            Use::Always => offered.bulk.or(Some(Bulk { operations: MOST_ITEMS, bytes: 0 })),
            Use::AsAnnounced => offered.bulk,
            Use::Never => None,
        };
        // What is kept beside the server, in the ledger, has to be written around each single request.
        let bulk = bulk.filter(|_| options.ledger.is_none()).map(|bulk| Bulk {
            operations: bulk.operations.min(MOST_ITEMS),
            bytes: if bulk.bytes == 0 { MOST_BULK_BYTES } else { bulk.bytes.min(MOST_BULK_BYTES) },
        });
        Ok(Self {
            capabilities: capabilities(&options, &http, is_used(options.etags, offered.etag)),
            filters: offered.filter != Some(false),
            sorted: is_used(options.sorting, offered.sort),
            by_cursor: match options.paging {
                Paging::AsAnnounced => offered.cursor,
                Paging::Index => false,
                Paging::Cursor => true,
            },
            bulk,
            http,
            options,
        })
    }

    pub(super) fn is_conditional(&self) -> bool {
        self.capabilities.concurrency == Concurrency::Conditional
    }

    /// A record as this store shows it: without its version, where that guards nothing. A hash of the content does then (P7).
    pub(super) fn record(&self, kind: Kind, resource: &Value) -> Result<Record, Fault> {
        let declared = match kind {
            Kind::User => &self.options.users,
            Kind::Group => &self.options.groups,
        };
        let mut record = Record::read(resource, &self.options.external_ids, declared)?;
        if !self.is_conditional() {
            record.version = None;
        }
        Ok(record)
    }

    /// Reads one record; `None` where it is not there.
    pub(super) async fn get(
        &self,
        kind: Kind,
        id: &str,
        with_members: bool,
    ) -> Result<Option<Record>, Fault> {
        let Some(object) = self.get_object(kind, id, with_members).await? else { return Ok(None) };
        let mut record = self.record(kind, &Value::Object(object))?;
        if !with_members {
            record.members = Vec::new();
        }
        Ok(Some(record))
    }

    /// Reads one record as it is written.
    pub(super) async fn get_object(
        &self,
        kind: Kind,
        id: &str,
        with_members: bool,
    ) -> Result<Option<Map<String, Value>>, Fault> {
        let mut request = Request::get(&[endpoint(kind), id]);
        if kind == Kind::Group && !with_members && !self.options.strict_queries {
            request = request.query("excludedAttributes", "members");
        }
        let object = match self.http.send(&request).await {
            Ok(answer) => answer.into_object()?,
            Err(fault) if matches!(fault.status(), Some(404 | 410)) => return Ok(None),
            Err(Fault::NotFound) => return Ok(None),
            Err(fault) => return Err(fault),
        };
        match json::text(&object, "id") {
            Some(found) if found == id => Ok(Some(object)),
            _ => Err(Fault::Malformed("another record came than the one asked for")),
        }
    }

    /// The version that a write may be made conditional on.
    pub(super) fn condition<'v>(&self, version: Option<&'v Version>) -> Option<&'v str> {
        version.filter(|_| self.is_conditional()).map(Version::as_str)
    }

    /// What a write that was done says: the record's version now, asked for where the answer does not tell it.
    pub(super) async fn written(&self, answer: &Answer, kind: Kind, id: &str) -> Result<Written, Fault> {
        if !self.is_conditional() {
            return Ok(Written::done());
        }
        let told = answer.object().and_then(json::version).or(answer.etag.as_deref());
        if let Some(version) = told {
            return Ok(Written::done().with_version(version));
        }
        // It is done, whatever becomes of this: a version that is not known is not worth an error.
        let found = self.get(kind, id, false).await.ok().flatten();
        let version = found.and_then(|record| record.version);
        Ok(version.map_or_else(Written::done, |version| Written::done().with_version(version)))
    }
}

fn capabilities(options: &ScimOptions, http: &Http, conditional: bool) -> StoreCapabilities {
    let mut can =
        StoreCapabilities::named(options.identity.clone().unwrap_or_else(|| http.base().to_string()));
    can.users = options.users.clone();
    can.groups = options.groups.clone();
    can.members = match (options.members, &options.ledger) {
        (MemberListing::WithGroups, _) => Members::WithGroups,
        (MemberListing::PerGroup, _) | (MemberListing::NotListed, Some(_)) => Members::PerGroup,
        (MemberListing::NotListed, None) => Members::Unlisted,
    };
    can.concurrency = if conditional { Concurrency::Conditional } else { Concurrency::ReadAgain };
    can.memberships_on_delete = options.memberships_on_delete;
    can.activation = Activation::Supported;
    can.deactivation = DeactivationMemory::Forgotten;
    can.adoption = Adoption::Supported;
    can.batch = MOST_ITEMS;
    can.members_per_write = options.member_changes;
    can
}
