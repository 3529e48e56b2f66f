//! The pages that a source fills.

use crate::attributes::{AttributeTable, Attributes};
use crate::limits::Limits;
use crate::model::{AccountState, MemberKind};
use crate::page::TextColumn;

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

impl RowHealth {
    /// What is beyond its bound stays so: what came before the bound counts for nothing at all.
    fn withdraw(&mut self) {
        if *self == Self::Sound {
            *self = Self::Withdrawn;
        }
    }
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

    /// Rows, and bytes of text.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.rows.len(), self.anchors.text_bytes() + self.attributes.table.text_bytes())
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

    /// The row is bad: the object counts as seen (rule S1). What was said of it serves for nothing but to forbid that
    /// somebody else adopts the record that may be its own (rule M3).
    pub fn withdraw(&mut self) {
        self.data(|row| row.health.withdraw());
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

    /// Rows, and bytes of text.
    pub(crate) fn size(&self) -> (usize, usize) {
        let lists = self.members.text_bytes() + self.unresolved.text_bytes();
        (self.rows.len(), self.anchors.text_bytes() + self.attributes.table.text_bytes() + lists)
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

    /// The row is bad: the object counts as seen (rule S1). What was said of it serves for nothing but to forbid that
    /// somebody else adopts the record that may be its own (rule M3).
    pub fn withdraw(&mut self) {
        self.data(|row| row.health.withdraw());
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
