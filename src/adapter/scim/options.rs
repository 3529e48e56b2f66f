//! How a SCIM store is reached, and what is known about it beforehand.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;

use super::ledger::Ledger;
use super::links::ExternalIds;
use super::token::TokenProvider;
use crate::id::MatchRule;
use crate::store::{AttributeSchema, MembershipsOnDelete};

/// Whether a feature of the protocol is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Use {
    /// Where the server's `ServiceProviderConfig` offers it.
    #[default]
    AsAnnounced,
    /// Whatever the server says.
    Always,
    /// Never.
    Never,
}

/// How the members of a group are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum MemberListing {
    /// Each managed group is read on its own: one answer holds the members of one group.
    #[default]
    PerGroup,
    /// The list of groups holds them. Fewer requests, but a page of groups must fit into one answer.
    WithGroups,
    /// The server does not tell. From the ledger, where there is one ([`ScimOptions::ledger`]); without one, memberships are
    /// added only for groups that the host names, and never removed (rule C5).
    NotListed,
}

/// How members are taken out of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum MemberRemoval {
    /// `{"op": "remove", "path": "members[value eq \"…\"]"}` for each, the form of RFC 7644.
    #[default]
    ByPath,
    /// `{"op": "remove", "path": "members", "value": [{"value": "…"}]}`, the form of AWS and Entra. A server that does not know
    /// it may take *all* members out: only for one that is known to take it.
    ByValue,
}

/// How a long list is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Paging {
    /// By cursor (RFC 9865) where the server announces it, else by index.
    #[default]
    AsAnnounced,
    /// `startIndex` and `count`.
    Index,
    /// `cursor` and `count`. A server that gives a first page and no cursor is not believed to have given all.
    Cursor,
}

/// Bounds of what a server may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScimLimits {
    /// Bytes of one answer.
    pub answer_bytes: usize,
    /// Pages of one list.
    pub pages: u32,
}

impl Default for ScimLimits {
    /// 32 MiB an answer, 100,000 pages a list.
    fn default() -> Self {
        Self { answer_bytes: 32 << 20, pages: 100_000 }
    }
}

/// How a SCIM store is reached, and what the server does not say about itself.
///
/// Attributes are declared as everywhere: by the name that attribute maps use (see the [module](super) about names).
#[derive(Clone)]
pub struct ScimOptions {
    pub(super) base_url: String,
    pub(super) tokens: Arc<dyn TokenProvider>,
    pub(super) identity: Option<String>,
    pub(super) external_ids: ExternalIds,
    pub(super) users: IndexMap<String, AttributeSchema>,
    pub(super) groups: IndexMap<String, AttributeSchema>,
    pub(super) members: MemberListing,
    pub(super) ledger: Option<Arc<dyn Ledger>>,
    pub(super) member_removal: MemberRemoval,
    pub(super) member_changes: usize,
    pub(super) member_filter: Option<String>,
    pub(super) memberships_on_delete: MembershipsOnDelete,
    pub(super) paging: Paging,
    pub(super) page_size: u32,
    pub(super) etags: Use,
    pub(super) bulk: Use,
    pub(super) sorting: Use,
    pub(super) read_rate: u32,
    pub(super) write_rate: u32,
    pub(super) limits: ScimLimits,
    pub(super) timeout: Duration,
    pub(super) connect_timeout: Duration,
    pub(super) roots: Option<Vec<u8>>,
    pub(super) plaintext: bool,
    pub(super) strict_queries: bool,
}

impl ScimOptions {
    /// A SCIM service below this address (`https://host/scim/v2`), with what RFC 7643 demands: users by a unique `userName`
    /// that is compared by NFKC and full case folding, with any number of `emails` and `phoneNumbers`; groups by a
    /// `displayName` that need not be unique, and without a `description`, which the default map has: that is left out.
    /// Requests are not limited; see [`rates`](Self::rates).
    pub fn new(base_url: impl Into<String>, tokens: impl TokenProvider + 'static) -> Self {
        let name = AttributeSchema::unique(MatchRule::NfkcCasefold).required();
        Self {
            base_url: base_url.into(),
            tokens: Arc::new(tokens),
            identity: None,
            external_ids: ExternalIds::default(),
            users: IndexMap::from([
                ("userName".to_owned(), name),
                ("emails".to_owned(), AttributeSchema::multi_valued()),
                ("phoneNumbers".to_owned(), AttributeSchema::multi_valued()),
            ]),
            groups: IndexMap::from([
                ("displayName".to_owned(), AttributeSchema::default().required()),
                ("description".to_owned(), AttributeSchema::absent()),
            ]),
            members: MemberListing::default(),
            ledger: None,
            member_removal: MemberRemoval::default(),
            member_changes: 100,
            member_filter: None,
            memberships_on_delete: MembershipsOnDelete::RemoveFirst,
            paging: Paging::default(),
            page_size: 100,
            etags: Use::default(),
            bulk: Use::default(),
            sorting: Use::default(),
            read_rate: 0,
            write_rate: 0,
            limits: ScimLimits::default(),
            timeout: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(10),
            roots: None,
            plaintext: false,
            strict_queries: false,
        }
    }

    /// The SCIM endpoint of AWS IAM Identity Center, within its limits as the developer guide tells them: at most 100 changes
    /// of members in a request, removed by value, never all at once; no member lists, so give it a
    /// [`ledger`](Self::ledger); members asked for one by one with a filter; no bulk, no versions, no order, no
    /// `startIndex`; 25 writes and 40 reads a second; `userName`, `displayName`, `name.givenName` and `name.familyName`
    /// required, group names unique, one value for each attribute.
    ///
    /// An endpoint that gives only a first page makes reads partial, so that there is no plan (rule C5): let the `aws` adapter
    /// read then, and this store write.
    pub fn aws_identity_center(base_url: impl Into<String>, tokens: impl TokenProvider + 'static) -> Self {
        let text = AttributeSchema::default();
        let name = AttributeSchema::unique(MatchRule::NfkcCasefold).required();
        Self {
            users: IndexMap::from([
                ("userName".to_owned(), name),
                ("displayName".to_owned(), text.required()),
                ("name.givenName".to_owned(), text.required()),
                ("name.familyName".to_owned(), text.required()),
            ]),
            groups: IndexMap::from([
                ("displayName".to_owned(), name),
                ("description".to_owned(), AttributeSchema::absent()),
            ]),
            members: MemberListing::NotListed,
            member_removal: MemberRemoval::ByValue,
            member_filter: Some("members".to_owned()),
            paging: Paging::Cursor,
            etags: Use::Never,
            bulk: Use::Never,
            sorting: Use::Never,
            read_rate: 40,
            write_rate: 25,
            strict_queries: true,
            ..Self::new(base_url, tokens)
        }
    }

    /// The store's name, which plans carry (rule P7); by default its address.
    #[must_use]
    pub fn identity(mut self, name: impl Into<String>) -> Self {
        self.identity = Some(name.into());
        self
    }

    /// How external ids are written.
    #[must_use]
    pub fn external_ids(mut self, form: ExternalIds) -> Self {
        self.external_ids = form;
        self
    }

    /// What the store demands of the attributes of users.
    #[must_use]
    pub fn users(mut self, attributes: IndexMap<String, AttributeSchema>) -> Self {
        self.users = attributes;
        self
    }

    /// What the store demands of the attributes of groups. SCIM's groups have no `description`, though the default map names
    /// one: it is written only where it stands here, for a server that takes it.
    #[must_use]
    pub fn groups(mut self, attributes: IndexMap<String, AttributeSchema>) -> Self {
        self.groups = attributes;
        self.groups.entry("description".to_owned()).or_insert(AttributeSchema::absent());
        self
    }

    /// How the members of groups are known.
    #[must_use]
    pub fn members(mut self, listing: MemberListing) -> Self {
        self.members = listing;
        self
    }

    /// Keeps memberships that the server does not list; sets [`MemberListing::NotListed`].
    #[must_use]
    pub fn ledger(mut self, ledger: impl Ledger + 'static) -> Self {
        self.ledger = Some(Arc::new(ledger));
        self.members = MemberListing::NotListed;
        self
    }

    /// How members are taken out of a group.
    #[must_use]
    pub fn member_removal(mut self, form: MemberRemoval) -> Self {
        self.member_removal = form;
        self
    }

    /// Most members that one request adds or removes; 100 by default, at least 1.
    #[must_use]
    pub fn member_changes(mut self, most: usize) -> Self {
        self.member_changes = most.max(1);
        self
    }

    /// The attribute by which a server that does not list members finds the groups of one: it answers
    /// `id eq "…" and ATTRIBUTE eq "…"` truly (`members` at AWS). With a ledger, memberships whose
    /// write was never answered are settled by that. None by default.
    #[must_use]
    pub fn member_filter(mut self, attribute: impl Into<String>) -> Self {
        self.member_filter = Some(attribute.into());
        self
    }

    /// What a delete does to memberships (rule D2). [`MembershipsOnDelete::RemoveFirst`] by default, since SCIM promises nothing.
    #[must_use]
    pub fn memberships_on_delete(mut self, what: MembershipsOnDelete) -> Self {
        self.memberships_on_delete = what;
        self
    }

    /// How long lists are read.
    #[must_use]
    pub fn paging(mut self, paging: Paging) -> Self {
        self.paging = paging;
        self
    }

    /// Records asked for in a page, at least 2; 100 by default. A server may give fewer.
    #[must_use]
    pub fn page_size(mut self, most: u32) -> Self {
        // With one record a page would hold nothing but the one that it shares with the page before.
        self.page_size = most.max(2);
        self
    }

    /// Whether writes are conditional on versions (ETag and `If-Match`, rule P7). Not for a server that ignores `If-Match`.
    #[must_use]
    pub fn etags(mut self, when: Use) -> Self {
        self.etags = when;
        self
    }

    /// Whether several writes go out in one `/Bulk` request.
    #[must_use]
    pub fn bulk(mut self, when: Use) -> Self {
        self.bulk = when;
        self
    }

    /// Whether lists that are read by index are asked for in the order of ids.
    #[must_use]
    pub fn sorting(mut self, when: Use) -> Self {
        self.sorting = when;
        self
    }

    /// Most reads and writes a second, each evenly spaced; 0 means without limit.
    #[must_use]
    pub fn rates(mut self, reads: u32, writes: u32) -> Self {
        (self.read_rate, self.write_rate) = (reads, writes);
        self
    }

    /// Bounds of what the server may send.
    #[must_use]
    pub fn limits(mut self, limits: ScimLimits) -> Self {
        self.limits = limits;
        self
    }

    /// How long a request may take from its first byte to the last one of its answer; one minute by default.
    #[must_use]
    pub fn timeout(mut self, most: Duration) -> Self {
        self.timeout = most;
        self
    }

    /// How long connecting may take; ten seconds by default.
    #[must_use]
    pub fn connect_timeout(mut self, most: Duration) -> Self {
        self.connect_timeout = most;
        self
    }

    /// The only certificate authorities to trust, as PEM; by default those of the system. Certificates are always checked.
    #[must_use]
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.roots = Some(pem.into());
        self
    }

    /// Lets the token and everybody's data travel unencrypted to whatever host the address names. Without this, `http://` is
    /// refused for all but loopback addresses.
    #[must_use]
    pub fn dangerously_send_token_without_encryption(mut self) -> Self {
        self.plaintext = true;
        self
    }
}

impl fmt::Debug for ScimOptions {
    /// Where the store is; nothing of the token (rule S2).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScimOptions").field("members", &self.members).finish_non_exhaustive()
    }
}
