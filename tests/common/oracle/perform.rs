//! A store that does what a plan says: for tests that look at the world afterwards.

use super::super::world::{Attributes, DeactivatedBy, Origin, Store, StoreGroup, StoreUser, World};
use super::operation::{Changes, Operation, Reference};
use std::collections::{BTreeMap, BTreeSet};

/// The operations in the order of rule P6, roughly: what comes first may not depend on what comes later.
pub fn in_order(operations: &BTreeSet<Operation>) -> Vec<&Operation> {
    let mut ordered: Vec<&Operation> = operations.iter().collect();
    ordered.sort_by_key(|operation| step_of(operation));
    ordered
}

/// The world after these operations: the source and the options stay, the store changes.
pub fn perform(world: &World, operations: &BTreeSet<Operation>) -> World {
    let mut world = world.clone();
    let issuer = world.options.issuer.clone();
    let mut created = BTreeMap::new();
    for operation in in_order(operations) {
        perform_one(&mut world.store, operation, &issuer, &mut created);
    }
    world
}

fn step_of(operation: &Operation) -> u8 {
    match operation {
        Operation::AdoptUser { .. } | Operation::AdoptGroup { .. } => 0,
        Operation::Deactivate(_) => 1,
        Operation::RemoveMembers { .. } | Operation::RemoveMembersBeforeDelete { .. } => 2,
        Operation::DeleteUser(_) | Operation::DeleteGroup(_) => 3,
        Operation::TempUpdate { .. } => 4,
        Operation::UpdateUser { .. } | Operation::UpdateGroup { .. } => 5,
        Operation::CreateUser { .. } | Operation::CreateGroup { .. } => 6,
        Operation::AddMembers { .. } => 7,
        Operation::Reactivate(_) => 8,
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
                deactivated_by: (!*active).then_some(DeactivatedBy::Sync),
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
        Operation::AdoptUser { id, anchor } => {
            for user in store.users.iter_mut().filter(|user| user.id == *id) {
                user.external_ids.push((issuer.to_owned(), anchor.clone()));
                user.origin = Some(Origin::Synced);
            }
        }
        Operation::AdoptGroup { id, anchor } => {
            for group in store.groups.iter_mut().filter(|group| group.id == *id) {
                group.external_ids.push((issuer.to_owned(), anchor.clone()));
            }
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
                user.deactivated_by = (!active).then_some(DeactivatedBy::Sync);
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
