//! A directory described as plain data: what a source shall hold, whatever it is made of.

mod generate;
mod vocabulary;

use std::collections::BTreeMap;

use crate::memory::{MemoryDirectory, MemoryUser};
use crate::model::{AccountState, Kind};

pub use generate::Knobs;
pub use vocabulary::{AnchorForm, Vocabulary};
pub(in crate::testing) use vocabulary::{ODD, odd_anchors};

/// What a directory holds, as plain data. A conformance suite hands it to the builder of a source; a test may load it into a
/// [`MemoryDirectory`] with `MemoryDirectory::from(&directory)`.
///
/// ```
/// use identity_sync::memory::MemoryDirectory;
/// use identity_sync::testing::{Directory, Knobs};
///
/// let mut knobs = Knobs::default();
/// knobs.users = 500;
/// let directory = Directory::generate(7, &knobs);
/// assert_eq!(MemoryDirectory::from(&directory).users.len(), 500);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Directory {
    /// The users.
    pub users: Vec<DirectoryUser>,
    /// The groups.
    pub groups: Vec<DirectoryGroup>,
    /// Objects that were there once and have been deleted.
    pub tombstones: Vec<DirectoryTombstone>,
}

/// A user of a [`Directory`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DirectoryUser {
    /// The immutable id.
    pub anchor: String,
    /// Whether it may sign in.
    pub state: AccountState,
    /// Its values, by attribute. An attribute that is not named has none.
    pub attributes: BTreeMap<String, Vec<String>>,
}

/// A group of a [`Directory`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DirectoryGroup {
    /// The immutable id.
    pub anchor: String,
    /// Its values, by attribute.
    pub attributes: BTreeMap<String, Vec<String>>,
    /// Its direct members, each once.
    pub members: Vec<DirectoryMember>,
}

/// A direct member of a [`DirectoryGroup`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum DirectoryMember {
    /// A user or a group of this directory, by its anchor.
    Object(String),
    /// An entry that leads to nobody: a name whose object is not there (rule E9).
    Dangling(String),
    /// An object that lives in another directory (rule E9).
    Foreign(String),
}

impl DirectoryMember {
    /// The anchor, or the text that stands in its place.
    pub fn text(&self) -> &str {
        match self {
            Self::Object(text) | Self::Dangling(text) | Self::Foreign(text) => text,
        }
    }
}

/// A deleted object of a [`Directory`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DirectoryTombstone {
    /// What it was.
    pub kind: Kind,
    /// The anchor that it had.
    pub anchor: String,
}

impl Directory {
    /// A directory without objects.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an enabled user.
    pub fn add_user(
        &mut self,
        anchor: impl Into<String>,
        attributes: BTreeMap<String, Vec<String>>,
    ) -> &mut Self {
        self.users.push(DirectoryUser { anchor: anchor.into(), state: AccountState::Enabled, attributes });
        self
    }

    /// Adds a group.
    pub fn add_group(
        &mut self,
        anchor: impl Into<String>,
        attributes: BTreeMap<String, Vec<String>>,
        members: Vec<DirectoryMember>,
    ) -> &mut Self {
        self.groups.push(DirectoryGroup { anchor: anchor.into(), attributes, members });
        self
    }

    /// Deletes a user or a group: it leaves all groups, and a tombstone stays.
    pub fn delete(&mut self, kind: Kind, anchor: &str) -> &mut Self {
        match kind {
            Kind::User => self.users.retain(|user| user.anchor != anchor),
            Kind::Group => self.groups.retain(|group| group.anchor != anchor),
        }
        for group in &mut self.groups {
            group.members.retain(|member| *member != DirectoryMember::Object(anchor.to_owned()));
        }
        self.tombstones.push(DirectoryTombstone { kind, anchor: anchor.to_owned() });
        self
    }

    /// The kind of a living object.
    pub fn kind_of(&self, anchor: &str) -> Option<Kind> {
        if self.users.iter().any(|user| user.anchor == anchor) {
            return Some(Kind::User);
        }
        self.groups.iter().any(|group| group.anchor == anchor).then_some(Kind::Group)
    }
}

impl From<&Directory> for MemoryDirectory {
    /// A directory of the name `corp`. What leads to nobody, and what is foreign, becomes a member of unknown kind.
    fn from(directory: &Directory) -> Self {
        let mut memory = Self::new("corp");
        for user in &directory.users {
            let known = MemoryUser { state: user.state, attributes: user.attributes.clone() };
            memory.users.insert(user.anchor.clone(), known);
        }
        for group in &directory.groups {
            let members: Vec<&str> = group.members.iter().map(DirectoryMember::text).collect();
            memory.add_group(&group.anchor, &[], &members).attributes = group.attributes.clone();
        }
        memory.tombstones.extend(directory.tombstones.iter().map(|tombstone| tombstone.anchor.clone()));
        memory
    }
}
