//! The identity store that is written to, the pages that it fills, and the writes that it answers.

use std::sync::Arc;

use async_trait::async_trait;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::attributes::{AttributeTable, Attributes};
use crate::error::StoreError;
use crate::id::{ExternalId, MatchRule, StoreId, Version};
use crate::model::Origin;
use crate::page::{PageEnd, PageToken, TextColumn};

/// An application's users, groups and memberships.
///
/// # Contract
///
/// * Reads page as those of a [`DirectorySource`](crate::DirectorySource) do. A read that is not complete makes no
///   plan (rule C5): what looks missing would be created twice.
/// * `read_users` and `read_groups` give *all* records, also those that others wrote: their names are conflicts.
/// * An external id, once written, is never changed by the engine (rule M1). Where the store can, it keeps
///   {issuer, value} unique over all records; then two creates at once leave one record (rule J4). Where it cannot, the host
///   must see to it that no sign-in runs beside a reconcile.
/// * [`write`](Self::write) performs the items of a batch in their order and answers each in its slot. An item
///   without an answer counts as *unknown*, never as failed.
#[async_trait]
pub trait IdentityStore: Send + Sync {
    /// What the store can do and demands.
    fn capabilities(&self) -> StoreCapabilities;

    /// Reads a page of users.
    ///
    /// # Errors
    ///
    /// Any error ends the read, and there is no plan.
    async fn read_users(
        &self,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
        page: &mut StoredUserPage,
    ) -> Result<PageEnd, StoreError>;

    /// Reads a page of groups; with their members where the capabilities say [`Members::WithGroups`].
    ///
    /// # Errors
    ///
    /// As [`read_users`](Self::read_users).
    async fn read_groups(
        &self,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
        page: &mut StoredGroupPage,
    ) -> Result<PageEnd, StoreError>;

    /// Reads a page of the members of one group; called where the capabilities say [`Members::PerGroup`].
    ///
    /// # Errors
    ///
    /// As [`read_users`](Self::read_users).
    async fn read_members(
        &self,
        group: &StoreId,
        at: Option<&PageToken>,
        page: &mut MemberPage,
    ) -> Result<PageEnd, StoreError> {
        let _ = (group, at, page);
        Err(StoreError::new(crate::ErrorKind::Unsupported, "this store does not list members per group"))
    }

    /// Performs a batch: each item in its order, each answer into its slot.
    ///
    /// # Errors
    ///
    /// `Err` stands for every item that has no answer yet; answers already given keep their meaning.
    async fn write(&self, batch: &mut WriteBatch<'_>) -> Result<(), StoreError>;
}

/// Which records a store read is about.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum StoreSelect<'a> {
    /// All of them.
    All,
    /// Those with these ids.
    Ids(&'a [StoreId]),
    /// Those that carry one of these external ids.
    ExternalIds(&'a [ExternalId]),
    /// Those whose unique attribute has this value, by the attribute's match rule.
    UniqueValue {
        /// The attribute.
        attribute: &'a str,
        /// The value, not yet folded.
        value: &'a str,
    },
}

/// How the store tells who is in a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Members {
    /// In the rows of `read_groups`.
    #[default]
    WithGroups,
    /// By `read_members`, group by group.
    PerGroup,
    /// Not at all, and the adapter keeps no ledger (rule C5).
    Unlisted,
}

/// Whether a write can be made conditional on a record's version (rule P7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Concurrency {
    /// The store compares the version and answers `Conflict`. Each write to a record answers its new version.
    Conditional,
    /// The engine reads each record again just before it writes; between the two lies a window.
    #[default]
    ReadAgain,
}

/// What a store does with the memberships of a record that is deleted (rule D2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MembershipsOnDelete {
    /// They go with it.
    #[default]
    Cascade,
    /// They have to be removed first.
    RemoveFirst,
}

/// Whether a user can be made inactive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// It can.
    #[default]
    Supported,
    /// Every user is active; policies that deactivate are refused (rule X5).
    AlwaysActive,
}

/// What the store demands of one attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct AttributeSchema {
    /// How two values compare (rules M2, A4). A store that folds or trims what it is given declares so here.
    pub matching: MatchRule,
    /// No two records of the kind may have the same value.
    pub unique: bool,
    /// Every record must have a value.
    pub required: bool,
    /// May have several values.
    pub multi_valued: bool,
}

impl Default for AttributeSchema {
    fn default() -> Self {
        Self { matching: MatchRule::Exact, unique: false, required: false, multi_valued: false }
    }
}

impl AttributeSchema {
    /// Unique by this rule.
    pub fn unique(matching: MatchRule) -> Self {
        Self { matching, unique: true, ..Self::default() }
    }

    /// May have several values.
    pub fn multi_valued() -> Self {
        Self { multi_valued: true, ..Self::default() }
    }

    /// Every record must have a value.
    #[must_use]
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// Compared by this rule.
    #[must_use]
    pub fn matching(mut self, matching: MatchRule) -> Self {
        self.matching = matching;
        self
    }
}

/// What a store can do and demands. Attributes that it does not name are single-valued, optional and compared exactly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct StoreCapabilities {
    /// Which store this is; a plan made for one is refused by another (rule P7).
    pub identity: String,
    /// Attributes of users.
    pub users: IndexMap<String, AttributeSchema>,
    /// Attributes of groups.
    pub groups: IndexMap<String, AttributeSchema>,
    /// How members are listed.
    pub members: Members,
    /// Whether writes are conditional.
    pub concurrency: Concurrency,
    /// What a delete does to memberships.
    pub memberships_on_delete: MembershipsOnDelete,
    /// Whether users can be made inactive.
    pub activation: Activation,
    /// Most items in one batch; at least 1.
    pub batch: usize,
    /// Most members in one item that adds or removes members; at least 1.
    pub members_per_write: usize,
}

impl Default for StoreCapabilities {
    /// `userName` (users) and `displayName` (groups) unique and required, `emails` multi-valued; batches of 100.
    fn default() -> Self {
        let name = AttributeSchema::unique(MatchRule::NfkcCasefold).required();
        Self {
            identity: String::new(),
            users: IndexMap::from([
                ("userName".to_owned(), name),
                ("emails".to_owned(), AttributeSchema::multi_valued()),
            ]),
            groups: IndexMap::from([("displayName".to_owned(), name)]),
            members: Members::default(),
            concurrency: Concurrency::default(),
            memberships_on_delete: MembershipsOnDelete::default(),
            activation: Activation::default(),
            batch: 100,
            members_per_write: 100,
        }
    }
}

impl StoreCapabilities {
    /// The defaults, for the store of this name.
    pub fn named(identity: impl Into<String>) -> Self {
        Self { identity: identity.into(), ..Self::default() }
    }

    /// What the store demands of an attribute.
    pub fn schema(&self, kind: crate::Kind, attribute: &str) -> AttributeSchema {
        let known = match kind {
            crate::Kind::User => &self.users,
            crate::Kind::Group => &self.groups,
        };
        known.get(attribute).copied().unwrap_or_default()
    }
}

#[derive(Clone, Debug)]
pub(crate) struct StoredRowData {
    /// First of this row's external ids in the page's columns.
    pub(crate) links: usize,
    pub(crate) active: bool,
    pub(crate) origin: Option<Origin>,
    pub(crate) version: Option<Box<str>>,
    /// First of this row's members in the page's column (groups).
    pub(crate) members: usize,
}

/// Attribute names in one store read; a store with more is no store of identities.
const MOST_NAMES: usize = 1_000_000;

/// What the pages of stored users and groups share.
#[derive(Clone, Debug, Default)]
pub(crate) struct StoredRows {
    pub(crate) ids: TextColumn,
    pub(crate) rows: Vec<StoredRowData>,
    pub(crate) issuers: TextColumn,
    pub(crate) anchors: TextColumn,
    pub(crate) attributes: AttributeTable,
    pub(crate) members: TextColumn,
    last_name: u32,
    pub(crate) oversized: bool,
}

impl StoredRows {
    fn clear(&mut self) {
        self.ids.clear();
        self.rows.clear();
        self.issuers.clear();
        self.anchors.clear();
        self.attributes.clear();
        self.members.clear();
        self.oversized = false;
    }

    fn open(&mut self, id: &str) {
        self.ids.push(id);
        self.attributes.open_row();
        self.last_name = u32::MAX;
        self.rows.push(StoredRowData {
            links: self.anchors.len(),
            active: true,
            origin: None,
            version: None,
            members: self.members.len(),
        });
    }

    fn external_id(&mut self, issuer: &str, value: &str) {
        self.issuers.push(issuer);
        self.anchors.push(value);
    }

    fn attribute(&mut self, name: &str, value: &str) {
        // A record of 4 GiB text, or a million attribute names, cannot be compared: the read as a whole is refused then.
        match self.attributes.name_index_after(self.last_name, name, MOST_NAMES) {
            Some(index) => {
                self.last_name = index;
                self.oversized |= !self.attributes.push(index, value);
            }
            None => self.oversized = true,
        }
    }

    fn last(&mut self, change: impl FnOnce(&mut StoredRowData)) {
        if let Some(row) = self.rows.last_mut() {
            change(row);
        }
    }
}

/// A page of users that a store fills.
#[derive(Clone, Debug, Default)]
pub struct StoredUserPage(pub(crate) StoredRows);

/// A page of groups that a store fills.
#[derive(Clone, Debug, Default)]
pub struct StoredGroupPage(pub(crate) StoredRows);

/// The newest user of a page, to be filled.
#[derive(Debug)]
pub struct StoredUserRow<'p>(&'p mut StoredRows);

/// The newest group of a page, to be filled.
#[derive(Debug)]
pub struct StoredGroupRow<'p>(&'p mut StoredRows);

macro_rules! stored_page {
    ($page:ident, $row:ident, $method:ident, $what:literal) => {
        impl $page {
            /// Takes everything out; the memory stays.
            pub fn clear(&mut self) {
                self.0.clear();
            }

            /// Number of rows.
            pub fn len(&self) -> usize {
                self.0.rows.len()
            }

            /// Whether there is no row.
            pub fn is_empty(&self) -> bool {
                self.0.rows.is_empty()
            }

            #[doc = concat!("Adds a ", $what, ".")]
            pub fn $method(&mut self, id: &str) -> $row<'_> {
                self.0.open(id);
                $row(&mut self.0)
            }

            /// The attributes of each row.
            pub fn attributes(&self) -> impl Iterator<Item = Attributes<'_>> {
                (0..self.0.rows.len()).map(|row| self.0.attributes.row(row))
            }

            /// The id of each row.
            pub fn ids(&self) -> impl Iterator<Item = &str> {
                self.0.ids.iter()
            }
        }

        impl $row<'_> {
            /// Adds a link to an object of a directory. Give those of all issuers, not only ours (rule M7).
            pub fn external_id(&mut self, issuer: &str, value: &str) -> &mut Self {
                self.0.external_id(issuer, value);
                self
            }

            /// The record's version. Where there is none, the engine compares a hash of the content.
            pub fn version(&mut self, version: &str) -> &mut Self {
                self.0.last(|row| row.version = Some(version.into()));
                self
            }

            /// Adds one value of an attribute.
            pub fn attribute(&mut self, name: &str, value: &str) -> &mut Self {
                self.0.attribute(name, value);
                self
            }
        }
    };
}
stored_page!(
    StoredUserPage,
    StoredUserRow,
    user,
    "user; it is active, and of unknown origin, until told otherwise"
);
stored_page!(StoredGroupPage, StoredGroupRow, group, "group");

impl StoredUserRow<'_> {
    /// Whether the user may use the application.
    pub fn active(&mut self, active: bool) -> &mut Self {
        self.0.last(|row| row.active = active);
        self
    }

    /// How the user came here, where the store keeps that (rule J2).
    pub fn origin(&mut self, origin: Origin) -> &mut Self {
        self.0.last(|row| row.origin = Some(origin));
        self
    }
}

impl StoredGroupRow<'_> {
    /// Adds a member by its store id; only where the capabilities say [`Members::WithGroups`].
    pub fn member(&mut self, id: &str) -> &mut Self {
        self.0.members.push(id);
        self
    }
}

/// A page of the members of one group.
#[derive(Clone, Debug, Default)]
pub struct MemberPage(pub(crate) TextColumn);

impl MemberPage {
    /// Takes everything out; the memory stays.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Adds a member by its store id.
    pub fn member(&mut self, id: &str) {
        self.0.push(id);
    }

    /// The members.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter()
    }
}

/// One attribute's new values in an update; none means that the attribute is cleared (rule A2).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// The attribute.
    pub attribute: String,
    /// What the record had when the plan was made (rule A6).
    pub old: Vec<String>,
    /// What it shall have.
    pub new: Vec<String>,
}

impl std::fmt::Debug for Change {
    /// The attribute, and how many values: which are sensitive is for the attribute map to say (rule S2).
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (name, old, new) = (crate::Escaped(&self.attribute), self.old.len(), self.new.len());
        write!(f, "Change({name}: {old} values → {new} values)")
    }
}

/// One write to one record. `version`, where given, is the version that the record must still have (rule P7).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Write<'a> {
    /// Makes a user. Answer its id. If a record with this external id exists: `AlreadyExists`.
    CreateUser {
        /// The link, never changed afterwards.
        external_id: &'a ExternalId,
        /// What it shall have.
        attributes: Attributes<'a>,
        /// Whether it may use the application.
        active: bool,
        /// By whom it is made.
        origin: Origin,
    },
    /// Makes a group without members. Answer its id.
    CreateGroup {
        /// The link, never changed afterwards.
        external_id: &'a ExternalId,
        /// What it shall have.
        attributes: Attributes<'a>,
    },
    /// Sets exactly the named attributes of a user; all others stay as they are.
    UpdateUser {
        /// The record.
        id: &'a StoreId,
        /// The version that it must have.
        version: Option<&'a Version>,
        /// The attributes with their new values.
        changes: &'a [Change],
        /// The new origin, where it changes (rule J2).
        origin: Option<Origin>,
    },
    /// Sets exactly the named attributes of a group.
    UpdateGroup {
        /// The record.
        id: &'a StoreId,
        /// The version that it must have.
        version: Option<&'a Version>,
        /// The attributes with their new values.
        changes: &'a [Change],
    },
    /// Makes a user active or inactive.
    SetActive {
        /// The record.
        id: &'a StoreId,
        /// The version that it must have.
        version: Option<&'a Version>,
        /// Whether it may use the application from now on.
        active: bool,
    },
    /// Deletes a user. One that is not there: `NotFound`.
    DeleteUser {
        /// The record.
        id: &'a StoreId,
        /// The version that it must have.
        version: Option<&'a Version>,
    },
    /// Deletes a group. One that is not there: `NotFound`.
    DeleteGroup {
        /// The record.
        id: &'a StoreId,
        /// The version that it must have.
        version: Option<&'a Version>,
    },
    /// Adds members to a group; who is in it already stays.
    AddMembers {
        /// The group.
        id: &'a StoreId,
        /// The version that it must have.
        version: Option<&'a Version>,
        /// The users.
        members: &'a [StoreId],
    },
    /// Removes members from a group; who is not in it stays out.
    RemoveMembers {
        /// The group.
        id: &'a StoreId,
        /// The version that it must have.
        version: Option<&'a Version>,
        /// The users.
        members: &'a [StoreId],
    },
}

/// What a store answers to a write that succeeded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Written {
    /// The record's id; needed for creates.
    pub id: Option<StoreId>,
    /// The record's version after the write.
    pub version: Option<Version>,
}

impl Written {
    /// Nothing to say but that it is done.
    pub fn done() -> Self {
        Self::default()
    }

    /// A record was made.
    pub fn created(id: impl Into<StoreId>) -> Self {
        Self { id: Some(id.into()), version: None }
    }

    /// The record has this version now.
    #[must_use]
    pub fn with_version(mut self, version: impl Into<Version>) -> Self {
        self.version = Some(version.into());
        self
    }
}

/// A write and the place for its answer.
#[derive(Debug)]
pub struct WriteItem<'a> {
    write: Write<'a>,
    answer: Option<Result<Written, StoreError>>,
}

impl<'a> WriteItem<'a> {
    /// What to do.
    pub fn write(&self) -> &Write<'a> {
        &self.write
    }

    /// Answers it. Answer as soon as you know: what was answered survives a dropped future.
    pub fn answer(&mut self, answer: Result<Written, StoreError>) {
        self.answer = Some(answer);
    }

    /// Whether there is an answer already.
    pub fn is_answered(&self) -> bool {
        self.answer.is_some()
    }
}

/// Writes to be performed in their order, each with a slot for its answer.
#[derive(Debug, Default)]
pub struct WriteBatch<'a> {
    items: Vec<WriteItem<'a>>,
}

impl<'a> WriteBatch<'a> {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a write.
    pub fn push(&mut self, write: Write<'a>) {
        self.items.push(WriteItem { write, answer: None });
    }

    /// The items, in the order in which they must be performed.
    pub fn items(&mut self) -> impl Iterator<Item = &mut WriteItem<'a>> {
        self.items.iter_mut()
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The answers, in the order of the items.
    pub fn into_answers(self) -> impl Iterator<Item = Option<Result<Written, StoreError>>> {
        self.items.into_iter().map(|item| item.answer)
    }
}

macro_rules! forward_store {
    ($generic:ident, $target:ty) => {
        // A forwarding impl that lacks a method would silently answer with its default.
        #[deny(clippy::missing_trait_methods)]
        #[async_trait]
        impl<$generic: IdentityStore + ?Sized> IdentityStore for $target {
            fn capabilities(&self) -> StoreCapabilities {
                (**self).capabilities()
            }
            async fn read_users(
                &self,
                select: StoreSelect<'_>,
                at: Option<&PageToken>,
                page: &mut StoredUserPage,
            ) -> Result<PageEnd, StoreError> {
                (**self).read_users(select, at, page).await
            }
            async fn read_groups(
                &self,
                select: StoreSelect<'_>,
                at: Option<&PageToken>,
                page: &mut StoredGroupPage,
            ) -> Result<PageEnd, StoreError> {
                (**self).read_groups(select, at, page).await
            }
            async fn read_members(
                &self,
                group: &StoreId,
                at: Option<&PageToken>,
                page: &mut MemberPage,
            ) -> Result<PageEnd, StoreError> {
                (**self).read_members(group, at, page).await
            }
            async fn write(&self, batch: &mut WriteBatch<'_>) -> Result<(), StoreError> {
                (**self).write(batch).await
            }
        }
    };
}
forward_store!(T, &T);
forward_store!(T, Box<T>);
forward_store!(T, Arc<T>);
