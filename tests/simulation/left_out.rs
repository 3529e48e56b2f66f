//! What is left out of the simulated worlds, each with its reason.

use std::collections::{BTreeMap, BTreeSet};

use crate::common::world::{self, World};

pub fn leave_out(world: &mut World) {
    only_mapped(world);
    adopted_groups_are_in_no_group(world);
    outdated_rows_name_nobody_unread(world);
    equal_rows_have_one_version(world);
}

/// What is not mapped is not read: two rows that differ in nothing else are one.
fn only_mapped(world: &mut World) {
    let names = |map: &[world::Mapping], name: &String| {
        map.iter().any(|line| line.template.contains(&format!("${{{name}}}")))
    };
    let options = &world.options;
    for user in &mut world.source.users {
        user.attributes.retain(|name, _| names(&options.user_map, name));
        user.unreadable.retain(|name| names(&options.user_map, name));
    }
    for group in &mut world.source.groups {
        group.attributes.retain(|name, _| names(&options.group_map, name));
        group.unreadable.retain(|name| names(&options.group_map, name));
    }
}

/// Rows that are equal but for their version are one row (rule M5); the oracle asks for the version to be equal, too.
fn equal_rows_have_one_version(world: &mut World) {
    let users = &mut world.source.users;
    for at in 1..users.len() {
        let same = |row: &world::UserRow| {
            row.anchor == users[at].anchor
                && world::UserRow { version: users[at].version, ..row.clone() } == users[at]
        };
        if let Some(version) = users[..at].iter().find(|row| same(row)).map(|row| row.version) {
            users[at].version = version;
        }
    }
    let sorted = |row: &world::GroupRow, version| {
        let mut row = world::GroupRow { version, ..row.clone() };
        row.members.sort();
        row
    };
    let groups = &mut world.source.groups;
    for at in 1..groups.len() {
        let wanted = &groups[at].anchor;
        let mut others = groups[..at].iter().filter(|row| row.anchor == *wanted);
        let same = others.find(|row| sorted(row, None) == sorted(&groups[at], None));
        if let Some(version) = same.map(|row| row.version) {
            groups[at].version = version;
        }
    }
}

/// The oracle does not say what becomes of a group that is adopted and is a member of another one: both at once is left out.
fn adopted_groups_are_in_no_group(world: &mut World) {
    if world.options.soft_match.groups.is_empty() {
        return;
    }
    let unlinked = world.store.groups.iter().filter(|group| group.external_ids.is_empty());
    let unlinked: BTreeSet<String> = unlinked.map(|group| group.id.clone()).collect();
    world.store.groups.iter_mut().for_each(|group| group.members.retain(|member| !unlinked.contains(member)));
}

/// What an outdated row of a group says of the kind of somebody who was not read counts for the engine, and not for the
/// oracle; the rules leave it open.
fn outdated_rows_name_nobody_unread(world: &mut World) {
    let read: BTreeSet<String> = world.source.users.iter().map(|user| user.anchor.clone()).collect();
    let groups = world.source.groups.iter().map(|group| (group.anchor.clone(), group.version));
    let mut newest: BTreeMap<String, Option<u64>> = BTreeMap::new();
    for (anchor, version) in groups {
        let known = newest.entry(anchor).or_default();
        *known = version.max(*known);
    }
    for group in world.source.groups.iter_mut().filter(|group| newest[&group.anchor] != group.version) {
        group.members.retain(|member| match &member.target {
            world::MemberTarget::Anchor(anchor) => read.contains(anchor) || newest.contains_key(anchor),
            world::MemberTarget::Unresolved(_) => true,
        });
    }
}
