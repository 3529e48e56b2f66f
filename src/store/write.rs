//! The writes that a store performs, and its answers.

use serde::{Deserialize, Serialize};

use crate::attributes::Attributes;
use crate::error::StoreError;
use crate::id::{ExternalId, StoreId, Version};
use crate::model::{Kind, Origin};

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
    /// Gives our link to a record that has no external id at all, and origin `Synced` to a user (rule M3); only where the
    /// capabilities say [`Adoption::Supported`](super::Adoption::Supported). If a record with this external id exists:
    /// `AlreadyExists`. If the record has an external id by now: `Conflict`.
    Adopt {
        /// A user or a group.
        kind: Kind,
        /// The record.
        id: &'a StoreId,
        /// The version that it must have.
        version: Option<&'a Version>,
        /// The link, never changed afterwards.
        external_id: &'a ExternalId,
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
