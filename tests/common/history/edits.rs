//! The edits of a history, and what they do to a world.

use super::super::world::*;

/// Something that people do, in the directory, in the assignments, in the store, or to the options.
#[derive(Clone, Debug, PartialEq)]
pub enum Edit {
    // The directory.
    SetUserAttribute {
        anchor: String,
        attribute: String,
        values: Vec<String>,
    },
    SetGroupAttribute {
        anchor: String,
        attribute: String,
        values: Vec<String>,
    },
    AddMember {
        group: String,
        member: Member,
    },
    RemoveMember {
        group: String,
        member: String,
    },
    /// A new user, or one that is restored: tombstone and answers to look-ups go.
    AddUser(UserRow),
    AddGroup(GroupRow),
    /// The row goes, and all lists forget it. `proof`: a tombstone, or the answer to a look-up, or neither.
    Delete {
        anchor: String,
        proof: Proof,
    },
    /// The row is not read any more, though it exists; lists keep it.
    Hide {
        anchor: String,
        kind: KindHint,
        answered: bool,
    },
    SetState {
        anchor: String,
        state: AccountState,
    },
    /// Which reads are complete: users, groups.
    Completeness {
        users: bool,
        groups: bool,
    },
    /// Which source answers.
    Source {
        identity: String,
        generation: Option<Generation>,
    },
    // Who is assigned.
    Assign(Principal),
    Unassign(Principal),
    AssignmentsComplete(bool),
    // The store, by the hand of somebody else. Records are named by their anchors.
    StoreAttribute {
        kind: RecordKind,
        anchor: String,
        attribute: String,
        values: Vec<String>,
    },
    /// An administrator makes a user active or inactive.
    StoreActive {
        anchor: String,
        active: bool,
    },
    StoreAddMember {
        group: String,
        member: StoreMember,
    },
    StoreRemoveMember {
        group: String,
        member: String,
    },
    StoreDelete {
        kind: RecordKind,
        anchor: String,
    },
    /// The record loses its link.
    StoreUnlink {
        kind: RecordKind,
        anchor: String,
    },
    /// The user signs in (rule J1): a record of origin `Jit`, where he has none, with these attributes.
    SignIn {
        anchor: String,
        attributes: Attributes,
    },
    // The options.
    Limits(Guards),
    Policies {
        users: UserPolicy,
        groups: GroupPolicy,
    },
    Reactivate(Reactivate),
    MemberRemovals(MemberRemovals),
    Canary {
        user: String,
        on: bool,
    },
}

/// How a deletion shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    Tombstone,
    LookUp,
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    User,
    Group,
}

/// Whom an administrator puts into a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreMember {
    /// The user record of this anchor.
    Managed(String),
    /// An unmanaged user with this id, which is made if it is not there.
    Unmanaged(String),
}

impl Edit {
    /// The store changes, and a live one must be made to follow.
    pub fn touches_store(&self) -> bool {
        matches!(
            self,
            Self::StoreAttribute { .. }
                | Self::StoreActive { .. }
                | Self::StoreAddMember { .. }
                | Self::StoreRemoveMember { .. }
                | Self::StoreDelete { .. }
                | Self::StoreUnlink { .. }
                | Self::SignIn { .. }
        )
    }
}

/// Does an edit. What it names and the world does not have, it leaves alone.
pub fn apply_edit(world: &mut World, edit: &Edit) {
    match edit {
        Edit::SetUserAttribute { anchor, attribute, values } => {
            let rows = world.source.users.iter_mut().filter(|row| row.anchor == *anchor);
            rows.for_each(|row| set(&mut row.attributes, attribute, values));
        }
        Edit::SetGroupAttribute { anchor, attribute, values } => {
            let rows = world.source.groups.iter_mut().filter(|row| row.anchor == *anchor);
            rows.for_each(|row| set(&mut row.attributes, attribute, values));
        }
        Edit::AddMember { group, member } => {
            let rows = world.source.groups.iter_mut().filter(|row| row.anchor == *group);
            rows.filter(|row| !row.members.contains(member)).for_each(|row| row.members.push(member.clone()));
        }
        Edit::RemoveMember { group, member } => {
            let target = MemberTarget::Anchor(member.clone());
            let rows = world.source.groups.iter_mut().filter(|row| row.anchor == *group);
            rows.for_each(|row| row.members.retain(|listed| listed.target != target));
        }
        Edit::AddUser(row) => {
            unbury(&mut world.source, &row.anchor);
            world.source.users.retain(|old| old.anchor != row.anchor);
            world.source.users.push(row.clone());
        }
        Edit::AddGroup(row) => {
            unbury(&mut world.source, &row.anchor);
            world.source.groups.retain(|old| old.anchor != row.anchor);
            world.source.groups.push(row.clone());
        }
        Edit::Delete { anchor, proof } => delete(&mut world.source, anchor, *proof),
        Edit::Hide { anchor, kind, answered } => {
            drop_rows(&mut world.source, anchor);
            world.source.existence.remove(anchor);
            if *answered {
                world.source.existence.insert(anchor.clone(), Existence::Exists(*kind));
            }
        }
        Edit::SetState { anchor, state } => {
            let rows = world.source.users.iter_mut().filter(|row| row.anchor == *anchor);
            rows.for_each(|row| row.state = *state);
        }
        Edit::Completeness { users, groups } => {
            world.source.users_complete = *users;
            world.source.groups_complete = *groups;
        }
        Edit::Source { identity, generation } => {
            world.source.identity.clone_from(identity);
            world.source.generation.clone_from(generation);
        }
        Edit::Assign(principal) => {
            if !world.assignments.principals.contains(principal) {
                world.assignments.principals.push(principal.clone());
            }
        }
        Edit::Unassign(principal) => world.assignments.principals.retain(|other| other != principal),
        Edit::AssignmentsComplete(complete) => world.assignments.complete = *complete,
        Edit::Limits(guards) => world.options.guards = guards.clone(),
        Edit::Policies { users, groups } => {
            world.options.users = *users;
            world.options.groups = *groups;
        }
        Edit::Reactivate(reactivate) => world.options.reactivate = *reactivate,
        Edit::MemberRemovals(removals) => world.options.member_removals = *removals,
        Edit::Canary { user, on } => {
            world.options.canaries.users.remove(user);
            world.options.canaries.users.extend(on.then(|| user.clone()));
        }
        _ => edit_store(world, edit),
    }
}

fn edit_store(world: &mut World, edit: &Edit) {
    let issuer = world.options.issuer.clone();
    let store = &mut world.store;
    match edit {
        Edit::StoreAttribute { kind, anchor, attribute, values } => {
            if holds(store, *kind, attribute, values, anchor, &issuer) {
                return;
            }
            match kind {
                RecordKind::User => users(store, &issuer, anchor)
                    .for_each(|user| set(&mut user.attributes, attribute, values)),
                RecordKind::Group => groups(store, &issuer, anchor)
                    .for_each(|group| set(&mut group.attributes, attribute, values)),
            }
        }
        Edit::StoreActive { anchor, active } => users(store, &issuer, anchor).for_each(|user| {
            user.active = *active;
            user.deactivated_by = (!active).then_some(DeactivatedBy::Other);
        }),
        Edit::StoreAddMember { group, member } => {
            let Some(id) = member_id(store, &issuer, member) else { return };
            let groups = groups(store, &issuer, group).filter(|group| !group.members.contains(&id));
            groups.for_each(|group| group.members.push(id.clone()));
        }
        Edit::StoreRemoveMember { group, member } => {
            let ids: Vec<String> = users(store, &issuer, member).map(|user| user.id.clone()).collect();
            groups(store, &issuer, group).for_each(|group| group.members.retain(|id| !ids.contains(id)));
        }
        Edit::StoreDelete { kind, anchor } => {
            let ids: Vec<String> = match kind {
                RecordKind::User => users(store, &issuer, anchor).map(|user| user.id.clone()).collect(),
                RecordKind::Group => groups(store, &issuer, anchor).map(|group| group.id.clone()).collect(),
            };
            store.users.retain(|user| !ids.contains(&user.id));
            store.groups.retain(|group| !ids.contains(&group.id));
            for group in &mut store.groups {
                group.members.retain(|id| !ids.contains(id));
            }
        }
        Edit::StoreUnlink { kind, anchor } => match kind {
            RecordKind::User => users(store, &issuer, anchor).for_each(|user| user.external_ids.clear()),
            RecordKind::Group => groups(store, &issuer, anchor).for_each(|group| group.external_ids.clear()),
        },
        Edit::SignIn { anchor, attributes } => sign_in(store, &issuer, anchor, attributes),
        _ => {}
    }
}

fn set(attributes: &mut Attributes, attribute: &str, values: &[String]) {
    if values.is_empty() {
        attributes.remove(attribute);
    } else {
        attributes.insert(attribute.to_owned(), values.to_vec());
    }
}

fn unbury(source: &mut Source, anchor: &str) {
    source.tombstones.retain(|other| other != anchor);
    source.existence.remove(anchor);
}

fn drop_rows(source: &mut Source, anchor: &str) {
    source.users.retain(|row| row.anchor != anchor);
    source.groups.retain(|row| row.anchor != anchor);
}

fn delete(source: &mut Source, anchor: &str, proof: Proof) {
    unbury(source, anchor);
    drop_rows(source, anchor);
    match proof {
        Proof::Tombstone => source.tombstones.push(anchor.to_owned()),
        Proof::LookUp => {
            source.existence.insert(anchor.to_owned(), Existence::Gone);
        }
        Proof::None => {}
    }
    for group in &mut source.groups {
        group.members.retain(|member| member.target != MemberTarget::Anchor(anchor.to_owned()));
    }
}

fn linked(external_ids: &[(String, String)], issuer: &str, anchor: &str) -> bool {
    external_ids.iter().any(|(found, value)| found == issuer && value == anchor)
}

fn users<'s>(
    store: &'s mut Store,
    issuer: &'s str,
    anchor: &'s str,
) -> impl Iterator<Item = &'s mut StoreUser> {
    store.users.iter_mut().filter(move |user| linked(&user.external_ids, issuer, anchor))
}

fn groups<'s>(
    store: &'s mut Store,
    issuer: &'s str,
    anchor: &'s str,
) -> impl Iterator<Item = &'s mut StoreGroup> {
    store.groups.iter_mut().filter(move |group| linked(&group.external_ids, issuer, anchor))
}

/// Another record holds one of these values of a unique attribute, so the store would refuse it. Compared without
/// regard to case, which is stricter than any store.
fn holds(
    store: &Store,
    kind: RecordKind,
    attribute: &str,
    values: &[String],
    anchor: &str,
    issuer: &str,
) -> bool {
    let mine = |external_ids: &[(String, String)]| linked(external_ids, issuer, anchor);
    let users = store.users.iter().filter(|user| !mine(&user.external_ids)).map(|user| &user.attributes);
    let groups =
        store.groups.iter().filter(|group| !mine(&group.external_ids)).map(|group| &group.attributes);
    let (schema, others): (_, Vec<&Attributes>) = match kind {
        RecordKind::User => (&store.user_schema, users.collect()),
        RecordKind::Group => (&store.group_schema, groups.collect()),
    };
    let plain = |value: &String| value.trim().to_lowercase();
    let wanted: Vec<String> = values.iter().map(plain).collect();
    schema.get(attribute).is_some_and(|rule| rule.unique)
        && others.iter().any(|attributes| {
            let mut held = attributes.get(attribute).into_iter().flatten().map(plain);
            held.any(|value| wanted.contains(&value))
        })
}

fn member_id(store: &mut Store, issuer: &str, member: &StoreMember) -> Option<String> {
    match member {
        StoreMember::Managed(anchor) => users(store, issuer, anchor).map(|user| user.id.clone()).next(),
        StoreMember::Unmanaged(id) => {
            if store.users.iter().all(|user| user.id != *id) {
                store.users.push(StoreUser {
                    id: id.clone(),
                    external_ids: Vec::new(),
                    active: true,
                    deactivated_by: None,
                    origin: None,
                    attributes: [("userName".to_owned(), vec![format!("{id} by hand")])].into(),
                });
            }
            Some(id.clone())
        }
    }
}

fn sign_in(store: &mut Store, issuer: &str, anchor: &str, attributes: &Attributes) {
    let known = users(store, issuer, anchor).next().is_some();
    let taken =
        attributes.iter().any(|(name, values)| holds(store, RecordKind::User, name, values, anchor, issuer));
    if known || taken {
        return;
    }
    let mut id = format!("jit-{anchor}");
    while store.users.iter().any(|user| user.id == id) {
        id.push('\'');
    }
    store.users.push(StoreUser {
        id,
        external_ids: vec![(issuer.to_owned(), anchor.to_owned())],
        active: true,
        deactivated_by: None,
        origin: Some(Origin::Jit),
        attributes: attributes.clone(),
    });
}
