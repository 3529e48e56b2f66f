//! The directory that is read, and the pages that it fills.

use std::num::NonZeroUsize;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::attributes::{AttributeTable, Attributes};
use crate::error::SourceError;
use crate::id::SourceAnchor;
use crate::limits::Limits;
use crate::model::{AccountState, Existence, MemberKind};
use crate::page::{PageEnd, PageToken, TextColumn};

/// A directory: Active Directory, LDAP, an export, a table of people.
///
/// # Contract
///
/// * A read is a sequence of calls, the first with `at: None`, each next one with the token of the call before,
///   until [`PageEnd::Last`]. The engine hands in an empty page each time and reads it only after `Ok`, so a
///   call may be repeated after an error without doubling a row.
/// * Rows may come in any order, and the same row twice; order never matters (rule P2).
/// * **An error is never an empty page** (rule C1). Return `Err`, or end with usable data as
///   [`Completeness::Partial`](crate::Completeness). Whatever is not shown to be complete removes nobody.
/// * [`Completeness::Complete`](crate::Completeness) promises that every object of the kind, among those asked for, was given.
/// * A member list says for itself that it is complete ([`GroupRow::members_complete`]); one that does not is
///   treated as cut short.
///
/// # Which wrong answers cost what
///
/// A missing object costs nothing under `Partial`; under `Complete` it loses its memberships, and its record as far
/// as the policy for `LeftScope` says. It is deleted only after [`existence`](Self::existence) said `Gone`.
#[async_trait]
pub trait DirectorySource: Send + Sync {
    /// Who the source is: a domain or tenant. It is also the issuer of the anchors where the options name none.
    fn identity(&self) -> SourceIdentity;

    /// What the source can do beyond reading everything.
    fn capabilities(&self) -> SourceCapabilities {
        SourceCapabilities::default()
    }

    /// Reads a page of users.
    ///
    /// # Errors
    ///
    /// Any error ends the read, and there is no plan (rule C1); a transient one is tried again first.
    async fn read_users(&self, read: Read<'_>, page: &mut UserPage) -> Result<PageEnd, SourceError>;

    /// Reads a page of groups with their direct members.
    ///
    /// # Errors
    ///
    /// As [`read_users`](Self::read_users).
    async fn read_groups(&self, read: Read<'_>, page: &mut GroupPage) -> Result<PageEnd, SourceError>;

    /// Answers, for each anchor asked about, whether the object is gone (rule C3). Called only where
    /// [`SourceCapabilities::existence`] is set. Answer `Gone` only for a tombstone that was seen, or where you would have
    /// seen the object or its tombstone if either existed; an empty answer is `Unknown`.
    ///
    /// # Errors
    ///
    /// Any error ends the run without a plan.
    async fn existence(&self, asked: &mut Asked<'_>) -> Result<(), SourceError> {
        let _ = asked;
        Ok(())
    }
}

/// Who a source is: a domain, a tenant, a directory's id.
pub type SourceIdentity = crate::id::Issuer;

/// What a source can do, and which notions it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SourceCapabilities {
    /// Most anchors in one [`Select::Anchors`]; `None`: only full reads. Where it can select, the engine reads only
    /// what is assigned, below that, or linked already.
    pub select: Option<NonZeroUsize>,
    /// Whether [`DirectorySource::existence`] can ever answer anything but `Unknown`.
    pub existence: bool,
    /// Whether accounts can be disabled here at all (rule A5). Where not, every account is enabled.
    pub account_state: bool,
}

impl Default for SourceCapabilities {
    fn default() -> Self {
        Self { select: None, existence: false, account_state: true }
    }
}

impl SourceCapabilities {
    /// Can select up to this many anchors in one read.
    #[must_use]
    pub fn with_select(mut self, most: NonZeroUsize) -> Self {
        self.select = Some(most);
        self
    }

    /// Can prove that an object is gone.
    #[must_use]
    pub fn with_existence(mut self) -> Self {
        self.existence = true;
        self
    }

    /// Has no notion of a disabled account.
    #[must_use]
    pub fn without_account_state(mut self) -> Self {
        self.account_state = false;
        self
    }
}

/// Which objects a read is about.
#[derive(Clone, Copy, Debug)]
pub enum Select<'a> {
    /// All of them.
    All,
    /// Exactly these, sorted and without repetition; only where [`SourceCapabilities::select`] allows so many.
    Anchors(&'a [SourceAnchor]),
}

/// One call of a read.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Read<'a> {
    /// Which objects.
    pub select: Select<'a>,
    /// Where to go on; `None` on the first call.
    pub at: Option<&'a PageToken>,
}

impl<'a> Read<'a> {
    /// A read of everything, from its start.
    pub const ALL: Read<'static> = Read { select: Select::All, at: None };

    /// A call of a read.
    pub fn new(select: Select<'a>, at: Option<&'a PageToken>) -> Self {
        Self { select, at }
    }

    /// Whether this read is about an anchor; logarithmic in the number asked for.
    pub fn wants(&self, anchor: &str) -> bool {
        match self.select {
            Select::All => true,
            Select::Anchors(anchors) => anchors.binary_search_by(|a| a.as_str().cmp(anchor)).is_ok(),
        }
    }
}

/// Questions about the existence of anchors, each answer beside its question, filled with `Unknown` at first.
#[derive(Debug)]
pub struct Asked<'a> {
    anchors: &'a [SourceAnchor],
    answers: Vec<Existence>,
}

impl<'a> Asked<'a> {
    /// Asks about these.
    pub fn new(anchors: &'a [SourceAnchor]) -> Self {
        Self { anchors, answers: vec![Existence::Unknown; anchors.len()] }
    }

    /// Each anchor with the place for its answer.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&'a SourceAnchor, &mut Existence)> {
        self.anchors.iter().zip(&mut self.answers)
    }

    /// Each anchor with its answer.
    pub fn answers(&self) -> impl Iterator<Item = (&'a SourceAnchor, Existence)> {
        self.anchors.iter().zip(self.answers.iter().copied())
    }
}

/// What is set once a row turned out to be unusable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum RowHealth {
    #[default]
    Sound,
    /// The adapter could not make sense of it.
    Withdrawn,
    /// Beyond a bound of [`Limits`].
    Oversized,
}

/// The attributes of a page's rows, kept within the bounds of one object.
#[derive(Clone, Debug, Default)]
pub(crate) struct BoundedTable {
    pub(crate) table: AttributeTable,
    last_name: u32,
    /// Values of the open row so far, by attribute, and the attributes that have some.
    counts: Vec<usize>,
    counted: Vec<u32>,
    bytes: usize,
}

impl BoundedTable {
    pub(crate) fn clear(&mut self) {
        self.table.clear();
        self.reset();
    }

    pub(crate) fn open_row(&mut self) {
        self.table.open_row();
        self.reset();
    }

    fn reset(&mut self) {
        self.last_name = u32::MAX;
        self.bytes = 0;
        for name in self.counted.drain(..) {
            self.counts[name as usize] = 0;
        }
    }

    /// Adds a value, or answers `false` where the object is beyond a bound; nothing is copied then.
    pub(crate) fn push(&mut self, limits: &Limits, name: &str, value: &str) -> bool {
        self.bytes = self.bytes.saturating_add(value.len());
        if value.len() > limits.value_bytes || self.bytes > limits.object_bytes {
            return false;
        }
        match self.count(limits, name) {
            Some(index) => self.table.push(index, value),
            None => false,
        }
    }

    pub(crate) fn push_unreadable(&mut self, limits: &Limits, name: &str) -> bool {
        match self.count(limits, name) {
            Some(index) => {
                self.table.push_unreadable(index);
                true
            }
            None => false,
        }
    }

    /// The number of an attribute of which the open row may have one more value.
    fn count(&mut self, limits: &Limits, name: &str) -> Option<u32> {
        if name.len() > limits.id_bytes {
            return None;
        }
        let index = self.table.name_index_after(self.last_name, name, limits.attribute_names)?;
        self.last_name = index;
        if self.counts.len() <= index as usize {
            self.counts.resize(index as usize + 1, 0);
        }
        let count = &mut self.counts[index as usize];
        *count += 1;
        if *count == 1 {
            self.counted.push(index);
        }
        (*count <= limits.values_per_attribute && self.counted.len() <= limits.attributes_per_object)
            .then_some(index)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct UserRowData {
    pub(crate) state: AccountState,
    pub(crate) version: Option<u64>,
    pub(crate) health: RowHealth,
    pub(crate) tombstone: bool,
}

/// A page of users that a source fills. It belongs to the caller and is used again for the next page.
#[derive(Clone, Debug, Default)]
pub struct UserPage {
    pub(crate) limits: Limits,
    pub(crate) anchors: TextColumn,
    pub(crate) rows: Vec<UserRowData>,
    pub(crate) attributes: BoundedTable,
    pub(crate) unidentified: usize,
}

impl UserPage {
    /// An empty page with these bounds.
    pub fn with_limits(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Takes everything out; the memory stays.
    pub fn clear(&mut self) {
        self.anchors.clear();
        self.rows.clear();
        self.attributes.clear();
        self.unidentified = 0;
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Adds a user. Its state is `Unknown` until [`UserRow::active`] or [`UserRow::state`] says otherwise.
    pub fn user(&mut self, anchor: &str) -> UserRow<'_> {
        self.row(anchor, false);
        UserRow { page: self }
    }

    /// Adds the mark of a deleted object: proof on its own that this anchor is gone (rule C3).
    pub fn tombstone(&mut self, anchor: &str) {
        self.row(anchor, true);
    }

    /// A row whose anchor could not be read: nobody knows who is missing, so the whole read is partial.
    pub fn unidentified(&mut self) {
        self.unidentified += 1;
    }

    fn row(&mut self, anchor: &str, tombstone: bool) {
        if anchor.is_empty() || anchor.len() > self.limits.id_bytes {
            // An anchor cut short would be another anchor. Values meant for it must not land in the row before.
            self.unidentified += 1;
            self.anchors.push("");
        } else {
            self.anchors.push(anchor);
        }
        self.attributes.open_row();
        let health = RowHealth::Sound;
        self.rows.push(UserRowData { state: AccountState::Unknown, version: None, health, tombstone });
    }
}

/// The newest user of a page, to be filled.
#[derive(Debug)]
pub struct UserRow<'p> {
    page: &'p mut UserPage,
}

impl UserRow<'_> {
    fn data(&mut self, change: impl FnOnce(&mut UserRowData)) -> &mut Self {
        if let Some(row) = self.page.rows.last_mut() {
            change(row);
        }
        self
    }

    /// May sign in, or may not (rule A5).
    pub fn active(&mut self, active: bool) -> &mut Self {
        self.state(if active { AccountState::Enabled } else { AccountState::Disabled })
    }

    /// The account state.
    pub fn state(&mut self, state: AccountState) -> &mut Self {
        self.data(|row| row.state = state)
    }

    /// A number that grows with each change of the object (AD `uSNChanged`); it decides which of two different rows
    /// for one anchor counts (rule M5).
    pub fn version(&mut self, version: u64) -> &mut Self {
        self.data(|row| row.version = Some(version))
    }

    /// Adds one value of an attribute.
    pub fn attribute(&mut self, name: &str, value: &str) -> &mut Self {
        let limits = self.page.limits;
        // Whatever follows in a row that is beyond use is not looked at.
        let sound = self.page.rows.last().is_some_and(|row| row.health == RowHealth::Sound);
        if !sound || self.page.attributes.push(&limits, name, value) {
            return self;
        }
        self.data(|row| row.health = RowHealth::Oversized)
    }

    /// Adds an attribute that has one value or none.
    pub fn optional(&mut self, name: &str, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.attribute(name, value),
            None => self,
        }
    }

    /// Says that an attribute could not be read: it changes nothing (rule A2).
    pub fn unreadable(&mut self, name: &str) -> &mut Self {
        let limits = self.page.limits;
        // Whatever follows in a row that is beyond use is not looked at.
        let sound = self.page.rows.last().is_some_and(|row| row.health == RowHealth::Sound);
        if !sound || self.page.attributes.push_unreadable(&limits, name) {
            return self;
        }
        self.data(|row| row.health = RowHealth::Oversized)
    }

    /// The row is bad: the object counts as seen, and nothing of it is used (rule S1).
    pub fn withdraw(&mut self) {
        self.data(|row| row.health = RowHealth::Withdrawn);
    }
}

/// How much of a member list has been given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ListState {
    /// More may follow on a later page.
    #[default]
    Open,
    Complete,
    Partial,
}

#[derive(Clone, Debug)]
pub(crate) struct GroupRowData {
    pub(crate) version: Option<u64>,
    pub(crate) health: RowHealth,
    pub(crate) tombstone: bool,
    pub(crate) list: ListState,
    /// A member had to be left out: the list may go on, and is incomplete all the same.
    pub(crate) torn: bool,
    /// Where this row's members start in the page's columns.
    pub(crate) members: usize,
    pub(crate) unresolved: usize,
}

/// A page of groups that a source fills.
///
/// A group of many members may go on over pages: name it again with [`group`](Self::group) on the next page and add the
/// rest, then say [`GroupRow::members_complete`]. A list that nobody declares complete is partial at the end of the
/// read.
#[derive(Clone, Debug, Default)]
pub struct GroupPage {
    pub(crate) limits: Limits,
    pub(crate) anchors: TextColumn,
    pub(crate) rows: Vec<GroupRowData>,
    pub(crate) attributes: BoundedTable,
    pub(crate) members: TextColumn,
    pub(crate) member_kinds: Vec<MemberKind>,
    pub(crate) unresolved: TextColumn,
    pub(crate) unresolved_kinds: Vec<MemberKind>,
    pub(crate) unidentified: usize,
}

impl GroupPage {
    /// An empty page with these bounds.
    pub fn with_limits(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Takes everything out; the memory stays.
    pub fn clear(&mut self) {
        self.anchors.clear();
        self.rows.clear();
        self.attributes.clear();
        self.members.clear();
        self.member_kinds.clear();
        self.unresolved.clear();
        self.unresolved_kinds.clear();
        self.unidentified = 0;
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Adds a group, or goes on with one whose list is open.
    pub fn group(&mut self, anchor: &str) -> GroupRow<'_> {
        self.row(anchor, false);
        GroupRow { page: self }
    }

    /// Adds the mark of a deleted object: proof on its own that this anchor is gone (rule C3).
    pub fn tombstone(&mut self, anchor: &str) {
        self.row(anchor, true);
    }

    /// A row whose anchor could not be read: nobody knows which group is missing, so the whole read is partial.
    pub fn unidentified(&mut self) {
        self.unidentified += 1;
    }

    fn row(&mut self, anchor: &str, tombstone: bool) {
        if anchor.is_empty() || anchor.len() > self.limits.id_bytes {
            self.unidentified += 1;
            self.anchors.push("");
        } else {
            self.anchors.push(anchor);
        }
        self.attributes.open_row();
        self.rows.push(GroupRowData {
            version: None,
            health: RowHealth::Sound,
            tombstone,
            list: ListState::Open,
            torn: false,
            members: self.members.len(),
            unresolved: self.unresolved.len(),
        });
    }
}

/// The newest group of a page, to be filled.
#[derive(Debug)]
pub struct GroupRow<'p> {
    page: &'p mut GroupPage,
}

impl GroupRow<'_> {
    fn data(&mut self, change: impl FnOnce(&mut GroupRowData)) -> &mut Self {
        if let Some(row) = self.page.rows.last_mut() {
            change(row);
        }
        self
    }

    /// A number that grows with each change of the object (rule M5).
    pub fn version(&mut self, version: u64) -> &mut Self {
        self.data(|row| row.version = Some(version))
    }

    /// Adds one value of an attribute. Member lists are no attribute.
    pub fn attribute(&mut self, name: &str, value: &str) -> &mut Self {
        let limits = self.page.limits;
        // Whatever follows in a row that is beyond use is not looked at.
        let sound = self.page.rows.last().is_some_and(|row| row.health == RowHealth::Sound);
        if !sound || self.page.attributes.push(&limits, name, value) {
            return self;
        }
        self.data(|row| row.health = RowHealth::Oversized)
    }

    /// Adds an attribute that has one value or none.
    pub fn optional(&mut self, name: &str, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.attribute(name, value),
            None => self,
        }
    }

    /// Says that an attribute could not be read: it changes nothing (rule A2).
    pub fn unreadable(&mut self, name: &str) -> &mut Self {
        let limits = self.page.limits;
        // Whatever follows in a row that is beyond use is not looked at.
        let sound = self.page.rows.last().is_some_and(|row| row.health == RowHealth::Sound);
        if !sound || self.page.attributes.push_unreadable(&limits, name) {
            return self;
        }
        self.data(|row| row.health = RowHealth::Oversized)
    }

    /// Adds a direct member by its anchor; what it is, the reads will tell.
    pub fn member(&mut self, anchor: &str) -> &mut Self {
        self.member_of_kind(anchor, MemberKind::Unknown)
    }

    /// Adds a direct member of which the source says what it is (rule E9).
    pub fn member_of_kind(&mut self, anchor: &str, kind: MemberKind) -> &mut Self {
        if anchor.is_empty() || anchor.len() > self.page.limits.id_bytes {
            return self.data(|row| row.torn = true);
        }
        self.page.members.push(anchor);
        self.page.member_kinds.push(kind);
        self
    }

    /// Adds a direct member that has no anchor: a DN without an entry (rule E9).
    pub fn unresolved(&mut self, text: &str, kind: MemberKind) -> &mut Self {
        if text.len() > self.page.limits.id_bytes {
            return self.data(|row| row.torn = true);
        }
        self.page.unresolved.push(text);
        self.page.unresolved_kinds.push(kind);
        self
    }

    /// The list is whole.
    pub fn members_complete(&mut self) -> &mut Self {
        self.data(|row| {
            if row.list == ListState::Open {
                row.list = ListState::Complete;
            }
        })
    }

    /// The list is cut short and will not be continued (rule C2). Stronger than [`members_complete`](Self::members_complete).
    pub fn members_partial(&mut self) -> &mut Self {
        self.data(|row| row.list = ListState::Partial)
    }

    /// The row is bad: the object counts as seen, and nothing of it is used (rule S1).
    pub fn withdraw(&mut self) {
        self.data(|row| row.health = RowHealth::Withdrawn);
    }
}

impl GroupPage {
    /// Each row, as (anchor, attributes, members); tombstones left out. For adapters' tests and wrappers.
    pub fn groups(&self) -> impl Iterator<Item = (&str, Attributes<'_>, impl Iterator<Item = &str>)> {
        self.rows.iter().enumerate().filter(|(_, row)| !row.tombstone).map(|(i, row)| {
            let end = self.rows.get(i + 1).map_or(self.members.len(), |next| next.members);
            (self.anchors.at(i), self.attributes.table.row(i), (row.members..end).map(|m| self.members.at(m)))
        })
    }
}

impl UserPage {
    /// Each row, as (anchor, state, attributes); tombstones left out. For adapters' tests and wrappers.
    pub fn users(&self) -> impl Iterator<Item = (&str, AccountState, Attributes<'_>)> {
        self.rows
            .iter()
            .enumerate()
            .filter(|(_, row)| !row.tombstone)
            .map(|(i, row)| (self.anchors.at(i), row.state, self.attributes.table.row(i)))
    }
}

macro_rules! forward_source {
    ($generic:ident, $target:ty) => {
        // A forwarding impl that lacks a method would silently answer with its default.
        #[deny(clippy::missing_trait_methods)]
        #[async_trait]
        impl<$generic: DirectorySource + ?Sized> DirectorySource for $target {
            fn identity(&self) -> SourceIdentity {
                (**self).identity()
            }
            fn capabilities(&self) -> SourceCapabilities {
                (**self).capabilities()
            }
            async fn read_users(&self, read: Read<'_>, page: &mut UserPage) -> Result<PageEnd, SourceError> {
                (**self).read_users(read, page).await
            }
            async fn read_groups(
                &self,
                read: Read<'_>,
                page: &mut GroupPage,
            ) -> Result<PageEnd, SourceError> {
                (**self).read_groups(read, page).await
            }
            async fn existence(&self, asked: &mut Asked<'_>) -> Result<(), SourceError> {
                (**self).existence(asked).await
            }
        }
    };
}
forward_source!(T, &T);
forward_source!(T, Box<T>);
forward_source!(T, Arc<T>);
