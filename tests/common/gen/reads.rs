//! Who is assigned now, and what spoils the reads.

use super::super::world::*;
use super::directory::{external, member, new_group, new_user, texts};
use super::{Rng, Swarm};

pub(super) fn change_assignments(rng: &mut Rng, swarm: &Swarm, world: &mut World) {
    let principals = &mut world.assignments.principals;
    if swarm.has("assign_less") && principals.len() > 1 {
        principals.remove(rng.below(principals.len()));
    }
    if swarm.has("assign_more") {
        let index = rng.below(world.source.groups.len() + world.source.users.len());
        let groups = world.source.groups.iter().map(|row| &row.anchor);
        let mut anchors = groups.chain(world.source.users.iter().map(|row| &row.anchor));
        principals.extend(anchors.nth(index).map(|anchor| external(anchor)));
    }
    if swarm.has("assign_stored") {
        let users = world.store.users.iter().map(|user| &user.id);
        let ids: Vec<&String> = users.chain(world.store.groups.iter().map(|group| &group.id)).collect();
        if !ids.is_empty() {
            principals.push(Principal::Stored(ids[rng.below(ids.len())].clone()));
        }
    }
    if swarm.has("assign_dangling") {
        let anchor = rng.pick(&["x0", "x1", "u8", "g7", "none"]);
        principals.push(match rng.below(4) {
            0 => Principal::Stored(anchor.to_owned()),
            _ => external(anchor),
        });
        if rng.chance(40) {
            let kind = rng.pick(&[KindHint::User, KindHint::Group, KindHint::Other]);
            world.source.existence.entry(anchor.to_owned()).or_insert(Existence::Exists(kind));
        }
    }
    if swarm.has("assign_other_issuer") {
        principals.push(Principal::External("hr".to_owned(), "u1".to_owned()));
    }
    if swarm.has("partial_assignments") {
        world.assignments.complete = false;
        if world.assignments.principals.len() > 1 {
            world.assignments.principals.pop();
        }
    }
}

pub(super) fn spoil_reads(rng: &mut Rng, swarm: &Swarm, world: &mut World) {
    let source = &mut world.source;
    if swarm.has("partial_users") {
        source.users_complete = false;
        let keep = rng.below(source.users.len() + 1);
        source.users.truncate(keep);
    }
    if swarm.has("partial_groups") {
        source.groups_complete = false;
        let keep = rng.below(source.groups.len() + 1);
        source.groups.truncate(keep);
    }
    if swarm.has("partial_list") && !source.groups.is_empty() {
        let index = rng.below(source.groups.len());
        source.groups[index].members_complete = false;
        if rng.chance(70) {
            source.groups[index].members.pop();
        }
    }
    if swarm.has("withdrawn") {
        let groups = source.groups.len();
        if rng.chance(50) && groups > 0 {
            source.groups[rng.below(groups)].withdrawn = true;
        } else if !source.users.is_empty() {
            let index = rng.below(source.users.len());
            source.users[index].withdrawn = true;
        }
    }
    for feature in ["duplicate_equal", "duplicate_versioned", "duplicate_ambiguous"] {
        if swarm.has(feature) {
            duplicate(rng, source, feature);
        }
    }
    if swarm.has("both_kinds") && !source.users.is_empty() && !source.groups.is_empty() {
        if rng.chance(50) {
            let mut row = new_user(rng, 10);
            row.anchor = source.groups[rng.below(source.groups.len())].anchor.clone();
            source.users.push(row);
        } else {
            let mut row = new_group(rng, 9);
            row.anchor = source.users[rng.below(source.users.len())].anchor.clone();
            row.members.push(member(&source.users[0].anchor, KindHint::User));
            source.groups.push(row);
        }
    }
    if rng.chance(4) && !source.users.is_empty() {
        // A stale tombstone: alive beats it.
        source.tombstones.push(source.users[0].anchor.clone());
    }
    if swarm.has("empty_read") {
        match rng.below(3) {
            0 => source.users.clear(),
            1 => source.groups.clear(),
            _ => world.assignments.principals.clear(),
        }
        let allow = rng.chance(30);
        world.options.allow_empty_users = allow;
        world.options.allow_empty_groups = allow;
        world.options.allow_empty_assignments = allow;
    }
    world.store.complete = !swarm.has("partial_store");
}

fn duplicate(rng: &mut Rng, source: &mut Source, feature: &str) {
    if rng.chance(60) && !source.users.is_empty() {
        let index = rng.below(source.users.len());
        let mut copy = source.users[index].clone();
        if feature != "duplicate_equal" {
            copy.attributes.insert("upn".to_owned(), texts(&[rng.pick(&["torn", "anna", "eve"])]));
            copy.state = rng.pick(&[AccountState::Enabled, AccountState::Enabled, AccountState::Disabled]);
        }
        if feature == "duplicate_versioned" {
            let (old, new) = rng.pick(&[(1, 2), (2, 1), (1, 2), (2, 2)]);
            source.users[index].version = Some(old);
            copy.version = Some(new);
        }
        source.users.push(copy);
    } else if !source.groups.is_empty() {
        let index = rng.below(source.groups.len());
        let mut copy = source.groups[index].clone();
        copy.members.reverse();
        if feature != "duplicate_equal" {
            copy.members.pop();
            copy.attributes.insert("cn".to_owned(), texts(&[rng.pick(&["torn", "ops"])]));
        }
        if feature == "duplicate_versioned" {
            source.groups[index].version = Some(1);
            copy.version = Some(rng.pick(&[0, 2]));
        }
        source.groups.push(copy);
    }
}
