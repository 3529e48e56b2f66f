//! The pages that a store fills.

use crate::attributes::{AttributeTable, Attributes};
use crate::model::{DeactivatedBy, Origin};
use crate::page::TextColumn;

#[derive(Clone, Debug)]
pub(crate) struct StoredRowData {
    /// First of this row's external ids in the page's columns.
    pub(crate) links: usize,
    pub(crate) active: bool,
    pub(crate) origin: Option<Origin>,
    pub(crate) deactivated_by: DeactivatedBy,
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
            deactivated_by: DeactivatedBy::Other,
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

    fn text_bytes(&self) -> usize {
        let columns = [&self.ids, &self.issuers, &self.anchors, &self.members];
        columns.map(TextColumn::text_bytes).iter().sum::<usize>() + self.attributes.text_bytes()
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

            /// Rows, and bytes of text.
            pub(crate) fn size(&self) -> (usize, usize) {
                (self.0.rows.len(), self.0.text_bytes())
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
            /// Adds a link to an object of a directory. Give those of all issuers, not only ours (rule M7). One with
            /// an empty value is none.
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

    /// Who made the user inactive; somebody else until told otherwise. Looked at only where the capabilities say
    /// [`DeactivationMemory::Remembered`](super::DeactivationMemory::Remembered) (rule A7).
    pub fn deactivated_by(&mut self, by: DeactivatedBy) -> &mut Self {
        self.0.last(|row| row.deactivated_by = by);
        self
    }

    /// How the user came here, where the store keeps that (rule J2).
    pub fn origin(&mut self, origin: Origin) -> &mut Self {
        self.0.last(|row| row.origin = Some(origin));
        self
    }
}

impl StoredGroupRow<'_> {
    /// Adds a member by its store id; only where the capabilities say [`Members::WithGroups`](super::Members::WithGroups).
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
