//! What the host says about an export, and what was found in it.

use crate::adapter::directory::entry::Reading;
use crate::id::Issuer;
use crate::model::Timestamp;

/// What the host knows about an export that its text does not say.
///
/// ```
/// use identity_sync::Timestamp;
/// use identity_sync::adapter::ldif::LdifOptions;
///
/// let options = LdifOptions::new().identity("corp.example.com").now(Timestamp(1_795_000_000));
/// # let _ = options;
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct LdifOptions {
    pub(super) identity: Option<Issuer>,
    pub(super) now: Option<Timestamp>,
    pub(super) partial: Option<String>,
    pub(super) anchor: Option<String>,
    pub(super) empty_groups: bool,
}

impl LdifOptions {
    /// Everything at its default.
    pub fn new() -> Self {
        Self::default()
    }

    /// Who the directory is. Default: the domain components that all users and groups share (`corp.example.com`), or
    /// `ldif` where they share none; name it yourself where one export spans several domains, so that it stays the
    /// same.
    #[must_use]
    pub fn identity(mut self, identity: impl Into<Issuer>) -> Self {
        self.identity = Some(identity.into());
        self
    }

    /// The time at which `accountExpires` is judged (rule A5). Default: none; then the state of an account that will
    /// expire some day is unknown.
    #[must_use]
    pub fn now(mut self, now: Timestamp) -> Self {
        self.now = Some(now);
        self
    }

    /// The export does not hold everything that the sync is about, for this reason: absence from it proves nothing
    /// (rule C2).
    #[must_use]
    pub fn partial(mut self, reason: impl Into<String>) -> Self {
        self.partial = Some(reason.into());
        self
    }

    /// The attribute that holds the immutable id. Default: `objectGUID`, or `entryUUID` in an export without any
    /// `objectGUID`. One of another name must hold text; it is taken as it is, a UUID in lower case.
    #[must_use]
    pub fn anchor(mut self, attribute: impl Into<String>) -> Self {
        self.anchor = Some(attribute.into());
        self
    }

    /// The export was made with the member attributes, and its groups are empty where it shows no member.
    ///
    /// Without this, an export in which no group at all has a member counts every list as cut short: it cannot be told
    /// from one that was made without the attribute (rule C1).
    #[must_use]
    pub fn empty_groups(mut self) -> Self {
        self.empty_groups = true;
        self
    }

    pub(super) fn reading(&self) -> Reading<'_> {
        Reading { anchor: self.anchor.as_deref(), now: self.now, ends: false }
    }
}

/// What an export holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LdifSummary {
    /// Users with an anchor, deleted ones left out.
    pub users: usize,
    /// Groups with an anchor, deleted ones left out.
    pub groups: usize,
    /// Entries marked as deleted, of any kind.
    pub tombstones: usize,
    /// Users without a usable anchor. One is enough to make the read of the users partial.
    pub unidentified_users: usize,
    /// Groups without a usable anchor. One is enough to make the read of the groups partial.
    pub unidentified_groups: usize,
    /// Entries that are neither user nor group.
    pub skipped: LdifSkipped,
    /// Member values, over all groups, that lead to no entry with an anchor.
    pub unresolved_members: usize,
    /// Users whose primary group is not in the export: there is nothing to add the membership to (rule E10).
    pub primary_groups_missing: usize,
    /// Users without a readable `primaryGroupID`, in an export that has it for others. The groups that are primary
    /// groups count as cut short then.
    pub primary_groups_unknown: usize,
    /// References to other servers, which are not followed.
    pub references: usize,
}

/// Living entries that are neither user nor group, by what they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LdifSkipped {
    /// Contacts: people without an account.
    pub contacts: usize,
    /// Computers and managed service accounts.
    pub computers: usize,
    /// Stand-ins for objects of other domains.
    pub foreign: usize,
    /// Organizational units, containers, domains.
    pub containers: usize,
    /// Anything else.
    pub others: usize,
    /// Entries that name no `objectClass`: any of them may be a user or a group, so that one makes both reads partial.
    pub unclassified: usize,
}
