//! The operations of an expected plan, the one-line form in which tests compare them, and a simple `perform`.

use super::super::world::{Attributes, Origin, Store, StoreGroup, StoreUser, World};
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
            Self::UpdateUser { id, changes, adopt } => {
                let mut parts = change_parts(changes);
                if *adopt {
                    parts.push("origin:jit->synced".to_owned());
                }
                write!(f, "update_user {id} {}", parts.join(";"))
            }
            Self::UpdateGroup { id, changes } => {
                write!(f, "update_group {id} {}", change_parts(changes).join(";"))
            }
            Self::TempUpdate { id, changes } => {
                write!(f, "temp_update {id} {}", change_parts(changes).join(";"))
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

fn attribute_text(attributes: &Attributes) -> String {
    let parts: Vec<String> =
        attributes.iter().map(|(name, values)| format!("{name}=[{}]", values.join("|"))).collect();
    parts.join(";")
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

/// The world after these operations: the source and the options stay, the store changes. Operations run in
/// the order of rule P6, whatever their order in the set.
pub fn perform(world: &World, operations: &BTreeSet<Operation>) -> World {
    let mut world = world.clone();
    let issuer = world.options.issuer.clone();
    let mut created = BTreeMap::new();
    for step in 0..8 {
        for operation in operations.iter().filter(|operation| step_of(operation) == step) {
            perform_one(&mut world.store, operation, &issuer, &mut created);
        }
    }
    world
}

fn step_of(operation: &Operation) -> u8 {
    match operation {
        Operation::Deactivate(_) => 0,
        Operation::RemoveMembers { .. } | Operation::RemoveMembersBeforeDelete { .. } => 1,
        Operation::DeleteUser(_) | Operation::DeleteGroup(_) => 2,
        Operation::TempUpdate { .. } => 3,
        Operation::UpdateUser { .. } | Operation::UpdateGroup { .. } => 4,
        Operation::CreateUser { .. } | Operation::CreateGroup { .. } => 5,
        Operation::AddMembers { .. } => 6,
        Operation::Reactivate(_) => 7,
    }
}

fn perform_one(
    store: &mut Store,
    operation: &Operation,
    issuer: &str,
    created: &mut BTreeMap<String, String>,
) {
    match operation {
        Operation::CreateUser { anchor, active, attributes } => {
            let id = fresh_id(store, anchor);
            created.insert(anchor.clone(), id.clone());
            store.users.push(StoreUser {
                id,
                external_ids: vec![(issuer.to_owned(), anchor.clone())],
                active: *active,
                origin: Some(Origin::Synced),
                attributes: attributes.clone(),
            });
        }
        Operation::CreateGroup { anchor, attributes } => {
            let id = fresh_id(store, anchor);
            created.insert(anchor.clone(), id.clone());
            store.groups.push(StoreGroup {
                id,
                external_ids: vec![(issuer.to_owned(), anchor.clone())],
                attributes: attributes.clone(),
                members: Vec::new(),
            });
        }
        Operation::UpdateUser { id, changes, adopt } => {
            for user in store.users.iter_mut().filter(|user| user.id == *id) {
                write_changes(&mut user.attributes, changes);
                if *adopt {
                    user.origin = Some(Origin::Synced);
                }
            }
        }
        Operation::UpdateGroup { id, changes } => {
            for group in store.groups.iter_mut().filter(|group| group.id == *id) {
                write_changes(&mut group.attributes, changes);
            }
        }
        Operation::TempUpdate { id, changes } => {
            for user in store.users.iter_mut().filter(|user| user.id == *id) {
                write_changes(&mut user.attributes, changes);
            }
            for group in store.groups.iter_mut().filter(|group| group.id == *id) {
                write_changes(&mut group.attributes, changes);
            }
        }
        Operation::Deactivate(id) | Operation::Reactivate(id) => {
            let active = matches!(operation, Operation::Reactivate(_));
            for user in store.users.iter_mut().filter(|user| user.id == *id) {
                user.active = active;
            }
        }
        Operation::DeleteUser(id) => {
            store.users.retain(|user| user.id != *id);
            forget_member(store, id);
        }
        Operation::DeleteGroup(id) => {
            store.groups.retain(|group| group.id != *id);
            forget_member(store, id);
        }
        Operation::AddMembers { group, members } => {
            let group = id_of(group, created);
            let members: BTreeSet<String> = members.iter().map(|member| id_of(member, created)).collect();
            for target in store.groups.iter_mut().filter(|target| target.id == group) {
                for member in &members {
                    if !target.members.contains(member) {
                        target.members.push(member.clone());
                    }
                }
            }
        }
        Operation::RemoveMembers { group, members }
        | Operation::RemoveMembersBeforeDelete { group, members } => {
            for target in store.groups.iter_mut().filter(|target| target.id == *group) {
                target.members.retain(|member| !members.contains(member));
            }
        }
    }
}

/// A store that does not cascade keeps what nobody removed.
fn forget_member(store: &mut Store, id: &str) {
    if store.cascades {
        for group in &mut store.groups {
            group.members.retain(|member| member != id);
        }
    }
}

fn write_changes(attributes: &mut Attributes, changes: &Changes) {
    for (name, (_, new)) in changes {
        if new.is_empty() {
            attributes.remove(name);
        } else {
            attributes.insert(name.clone(), new.clone());
        }
    }
}

fn id_of(reference: &Reference, created: &BTreeMap<String, String>) -> String {
    match reference {
        Reference::Stored(id) => id.clone(),
        Reference::Created(anchor) => {
            created.get(anchor).cloned().unwrap_or_else(|| format!("lost-{anchor}"))
        }
    }
}

/// An id that no record has and no list mentions.
fn fresh_id(store: &Store, anchor: &str) -> String {
    let mut id = format!("new-{anchor}");
    while store.users.iter().any(|user| user.id == id)
        || store.groups.iter().any(|group| group.id == id || group.members.contains(&id))
    {
        id.push('\'');
    }
    id
}
