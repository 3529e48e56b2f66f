//! What happened in the store since.

use super::super::world::*;
use super::directory::{new_user, texts};
use super::people::respell;
use super::synced::mapped;
use super::{ISSUER, Rng, Swarm};

pub(super) fn change_store(rng: &mut Rng, swarm: &Swarm, world: &mut World) {
    let name_of = |rng: &mut Rng, world: &World| {
        let row = &world.source.users[rng.below(world.source.users.len())];
        row.attributes.get("upn").and_then(|values| values.first()).cloned().unwrap_or_default()
    };
    if swarm.has("unmanaged_users") || swarm.has("unmanaged_holds_name") || swarm.has("unmanaged_member") {
        for index in 0..1 + rng.below(2) {
            let holds = swarm.has("unmanaged_holds_name");
            let name = if holds { name_of(rng, world) } else { format!("admin{index}") };
            let name = if rng.chance(30) { respell(rng, &name) } else { name };
            let external_ids = if swarm.has("other_issuer") {
                vec![("hr".to_owned(), format!("u{}", 1 + rng.below(9)))]
            } else {
                Vec::new()
            };
            let attributes = [("userName".to_owned(), vec![name])].into();
            let user = StoreUser {
                id: format!("m{index}"),
                external_ids,
                active: true,
                deactivated_by: None,
                origin: None,
                attributes,
            };
            // First in the list, so that it is the managed record that loses a name held by both.
            world.store.users.insert(0, user);
        }
    }
    if swarm.has("unmanaged_groups") {
        let name = rng.pick(&["staff", "ops", "OPS", "other"]);
        let members = world.store.users.iter().take(2).map(|user| user.id.clone()).collect();
        let attributes = [("displayName".to_owned(), texts(&[name]))].into();
        world.store.groups.push(StoreGroup {
            id: "n0".to_owned(),
            external_ids: Vec::new(),
            attributes,
            members,
        });
    }
    if swarm.has("other_issuer") && !world.store.users.is_empty() {
        let index = rng.below(world.store.users.len());
        world.store.users[index].external_ids.push(("hr".to_owned(), "u1".to_owned()));
    }
    change_members(rng, swarm, world);
    change_records(rng, swarm, world);
    make_ambiguous(rng, swarm, world);
}

fn change_members(rng: &mut Rng, swarm: &Swarm, world: &mut World) {
    let users: Vec<String> = world.store.users.iter().map(|user| user.id.clone()).collect();
    let groups: Vec<String> = world.store.groups.iter().map(|group| group.id.clone()).collect();
    let mut put = |rng: &mut Rng, id: &str| {
        let index = rng.below(world.store.groups.len());
        if let Some(group) = world.store.groups.get_mut(index)
            && !group.members.iter().any(|member| member == id)
        {
            group.members.push(id.to_owned());
        }
    };
    if swarm.has("unmanaged_member") {
        put(rng, "m0");
    }
    if swarm.has("dangling_id") {
        put(rng, "lost1");
    }
    if swarm.has("group_in_group") && !groups.is_empty() {
        let id = groups[rng.below(groups.len())].clone();
        put(rng, &id);
    }
    if swarm.has("member_drift") && !users.is_empty() {
        for _ in 0..1 + rng.below(3) {
            let id = users[rng.below(users.len())].clone();
            put(rng, &id);
        }
        if rng.chance(60) && !world.store.groups.is_empty() {
            let index = rng.below(world.store.groups.len());
            let size = world.store.groups[index].members.len();
            if size > 0 {
                world.store.groups[index].members.remove(rng.below(size));
            }
        }
    }
}

fn change_records(rng: &mut Rng, swarm: &Swarm, world: &mut World) {
    let count = world.store.users.len();
    if count == 0 {
        return;
    }
    if swarm.has("inactive") {
        for _ in 0..1 + rng.below(2) {
            world.store.users[rng.below(count)].active = false;
        }
    }
    if swarm.has("jit") {
        for _ in 0..1 + rng.below(2) {
            world.store.users[rng.below(count)].origin = Some(Origin::Jit);
        }
        // Somebody who signed in and is known to nobody's assignment.
        if rng.chance(40) {
            let row = new_user(rng, 9);
            let attributes = mapped(&world.options.user_map, &world.store.user_schema, &row.attributes);
            let linked =
                world.store.users.iter().any(|user| user.external_ids.iter().any(|(_, v)| *v == row.anchor));
            if !linked {
                world.store.users.push(StoreUser {
                    id: "j0".to_owned(),
                    external_ids: vec![(ISSUER.to_owned(), row.anchor.clone())],
                    active: true,
                    deactivated_by: None,
                    origin: Some(Origin::Jit),
                    attributes,
                });
            }
            let known = world.source.users.iter().any(|user| user.anchor == row.anchor);
            if !known && rng.chance(70) {
                world.source.users.push(row);
            }
        }
    }
    if swarm.has("drift") {
        let user = &mut world.store.users[rng.below(count)];
        let attribute = rng.pick(&["userName", "mail", "displayName", "emails", "title", "note"]);
        match rng.below(3) {
            0 if attribute != "userName" => {
                user.attributes.remove(attribute);
            }
            1 => {
                let anchor = user.external_ids.first().map_or("none", |(_, value)| value.as_str());
                // What a cut cycle of names leaves.
                let hex: String = anchor.bytes().map(|byte| format!("{byte:02x}")).collect();
                user.attributes.insert(attribute.to_owned(), vec![format!("~{hex}")]);
            }
            _ => {
                let value = format!("old {attribute}");
                user.attributes.insert(attribute.to_owned(), vec![value]);
            }
        }
    }
}

fn make_ambiguous(rng: &mut Rng, swarm: &Swarm, world: &mut World) {
    if swarm.has("two_links") && !world.store.users.is_empty() {
        let index = rng.below(world.store.users.len());
        let anchor = format!("u{}", 1 + rng.below(9));
        world.store.users[index].external_ids.push((ISSUER.to_owned(), anchor));
        if rng.chance(30) && !world.store.groups.is_empty() {
            let index = rng.below(world.store.groups.len());
            let anchor = format!("g{}", 1 + rng.below(8));
            world.store.groups[index].external_ids.push((ISSUER.to_owned(), anchor));
        }
    }
    if swarm.has("two_records") && !world.store.users.is_empty() {
        let mut twin = world.store.users[rng.below(world.store.users.len())].clone();
        twin.id.push('b');
        twin.active = rng.chance(70);
        let original = twin.id.trim_end_matches('b').to_owned();
        for group in &mut world.store.groups {
            if group.members.contains(&original) && rng.chance(50) {
                group.members.push(twin.id.clone());
            }
        }
        world.store.users.push(twin);
        if rng.chance(30) && !world.store.groups.is_empty() {
            let mut twin = world.store.groups[rng.below(world.store.groups.len())].clone();
            twin.id.push('b');
            world.store.groups.push(twin);
        }
    }
    if swarm.has("mixed_kinds") && !world.store.groups.is_empty() && !world.source.users.is_empty() {
        let anchor = world.source.users[rng.below(world.source.users.len())].anchor.clone();
        let index = rng.below(world.store.groups.len());
        world.store.groups[index].external_ids = vec![(ISSUER.to_owned(), anchor)];
    }
}
