//! The operations of an expected plan, the one-line form in which tests compare them, and a simple `perform`.

use super::super::world::Attributes;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Old and new values of each changed attribute.
pub type Changes = BTreeMap<String, (Vec<String>, Vec<String>)>;

/// Names a record: by anchor while this plan has still to create it, else by store id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reference {
    Created(String),
    Stored(String),
}

/// One operation of an expected plan; `Display` is its canonical line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    CreateUser {
        anchor: String,
        active: bool,
        attributes: Attributes,
    },
    CreateGroup {
        anchor: String,
        attributes: Attributes,
    },
    /// The record gets our link and counts as synced (rule M3).
    AdoptUser {
        id: String,
        anchor: String,
    },
    AdoptGroup {
        id: String,
        anchor: String,
    },
    UpdateUser {
        id: String,
        changes: Changes,
        adopt: bool,
    },
    UpdateGroup {
        id: String,
        changes: Changes,
    },
    /// Takes the temporary values of a cycle of names (rule P6).
    TempUpdate {
        id: String,
        changes: Changes,
    },
    Deactivate(String),
    Reactivate(String),
    DeleteUser(String),
    DeleteGroup(String),
    AddMembers {
        group: Reference,
        members: BTreeSet<Reference>,
    },
    RemoveMembers {
        group: String,
        members: BTreeSet<String>,
    },
    RemoveMembersBeforeDelete {
        group: String,
        members: BTreeSet<String>,
    },
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Created(anchor) => write!(f, "@{anchor}"),
            Self::Stored(id) => f.write_str(id),
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateUser { anchor, active, attributes } => {
                let state = if *active { "active" } else { "inactive" };
                write!(f, "create_user {anchor} {state} {}", attribute_text(attributes))
            }
            Self::CreateGroup { anchor, attributes } => {
                write!(f, "create_group {anchor} {}", attribute_text(attributes))
            }
            Self::AdoptUser { id, anchor } => write!(f, "adopt_user {id} {anchor}"),
            Self::AdoptGroup { id, anchor } => write!(f, "adopt_group {id} {anchor}"),
            Self::UpdateUser { id, changes, adopt } => {
                let mut parts = change_parts(changes);
                if *adopt {
                    parts.push("origin:jit->synced".to_owned());
                }
                write!(f, "update_user {id} {}", parts.join(";"))
            }
            Self::UpdateGroup { id, changes } => {
                write!(f, "update_group {id} {}", change_text(changes))
            }
            Self::TempUpdate { id, changes } => {
                write!(f, "temp_update {id} {}", change_text(changes))
            }
            Self::Deactivate(id) => write!(f, "deactivate {id}"),
            Self::Reactivate(id) => write!(f, "reactivate {id}"),
            Self::DeleteUser(id) => write!(f, "delete_user {id}"),
            Self::DeleteGroup(id) => write!(f, "delete_group {id}"),
            Self::AddMembers { group, members } => {
                // Sorted as text, so that the line depends on nothing but what it shows.
                let members: BTreeSet<String> = members.iter().map(ToString::to_string).collect();
                write!(f, "add_members {group} : {}", comma(&members))
            }
            Self::RemoveMembers { group, members } => {
                write!(f, "remove_members {group} : {}", comma(members))
            }
            Self::RemoveMembersBeforeDelete { group, members } => {
                write!(f, "remove_members_before_delete {group} : {}", comma(members))
            }
        }
    }
}

pub fn attribute_text(attributes: &Attributes) -> String {
    let parts: Vec<String> =
        attributes.iter().map(|(name, values)| format!("{name}=[{}]", values.join("|"))).collect();
    parts.join(";")
}

pub fn change_text(changes: &Changes) -> String {
    change_parts(changes).join(";")
}

fn change_parts(changes: &Changes) -> Vec<String> {
    changes
        .iter()
        .map(|(name, (old, new))| format!("{name}:[{}]->[{}]", old.join("|"), new.join("|")))
        .collect()
}

fn comma(members: &BTreeSet<String>) -> String {
    members.iter().map(String::as_str).collect::<Vec<_>>().join(",")
}
