//! What happened to the people of the directory since.

use super::super::world::*;
use super::directory::{external, member, new_group, new_user, texts};
use super::{ISSUER, Rng, Swarm};
use unicode_normalization::UnicodeNormalization;

/// Indexes of user rows that have a record, mostly: among them changes are interesting.
pub(super) fn linked_rows(world: &World) -> Vec<usize> {
    let linked = |anchor: &String| {
        let mut links = world.store.users.iter().flat_map(|user| &user.external_ids);
        links.any(|(issuer, value)| issuer == ISSUER && value == anchor)
    };
    let rows = world.source.users.iter().enumerate();
    rows.filter(|(_, row)| linked(&row.anchor)).map(|(index, _)| index).collect()
}

/// Another spelling of the same name.
pub(super) fn respell(rng: &mut Rng, text: &str) -> String {
    match rng.below(6) {
        0 => text.to_uppercase(),
        1 => text.chars().map(wide).collect(),
        2 => format!("{text} "),
        3 => text.nfd().collect(),
        4 => text.to_ascii_uppercase(),
        _ => format!(" {text}\u{a0}"),
    }
}

fn wide(letter: char) -> char {
    match letter {
        '!'..='~' => char::from_u32(u32::from(letter) + 0xFEE0).unwrap_or(letter),
        _ => letter,
    }
}

pub(super) fn change_people(rng: &mut Rng, swarm: &Swarm, world: &mut World) {
    if swarm.has("rename") {
        let linked = linked_rows(world);
        for _ in 0..1 + rng.below(2) {
            if linked.is_empty() {
                break;
            }
            let row = &mut world.source.users[rng.pick(&linked)];
            let fresh = rng.pick(&["nina", "olaf", "pia", "ﬂo", "zoë"]);
            let attribute = rng.pick(&["upn", "upn", "mail", "sn", "title"]);
            let value = if attribute == "mail" { format!("{fresh}@example.org") } else { fresh.to_owned() };
            row.attributes.insert(attribute.to_owned(), vec![value]);
        }
        if rng.chance(30) && !world.source.groups.is_empty() {
            let index = rng.below(world.source.groups.len());
            let name = rng.pick(&["crew", "band", "Büro"]);
            world.source.groups[index].attributes.insert("cn".to_owned(), texts(&[name]));
        }
    }
    if swarm.has("swap") {
        rotate_names(rng, world);
    }
    if swarm.has("spelling") {
        for _ in 0..1 + rng.below(2) {
            let index = rng.below(world.source.users.len());
            let attribute = rng.pick(&["upn", "upn", "mail", "proxy", "sn"]);
            if let Some(values) = world.source.users[index].attributes.get_mut(attribute) {
                let count = values.len();
                if count > 0 {
                    let which = rng.below(count);
                    values[which] = respell(rng, &values[which]);
                }
            }
        }
    }
    if swarm.has("clear") {
        for _ in 0..1 + rng.below(3) {
            let linked = linked_rows(world);
            let anyone = rng.below(world.source.users.len());
            let index = if linked.is_empty() { anyone } else { rng.pick(&linked) };
            let attribute = rng.pick(&["mail", "mail", "sn", "givenName", "proxy", "title", "upn"]);
            let attributes = &mut world.source.users[index].attributes;
            match rng.below(3) {
                0 => attributes.insert(attribute.to_owned(), Vec::new()),
                1 => attributes.insert(attribute.to_owned(), texts(&[" ", ""])),
                _ => attributes.remove(attribute),
            };
        }
        if rng.chance(30) && !world.source.groups.is_empty() {
            let index = rng.below(world.source.groups.len());
            let attribute = rng.pick(&["description", "mail", "cn"]);
            world.source.groups[index].attributes.remove(attribute);
        }
    }
    if swarm.has("unreadable") {
        let index = rng.below(world.source.users.len());
        let attribute = rng.pick(&["upn", "mail", "sn", "givenName", "title"]);
        let row = &mut world.source.users[index];
        row.attributes.remove(attribute);
        row.unreadable.insert(attribute.to_owned());
    }
    for (feature, state) in [("disabled", AccountState::Disabled), ("unknown_state", AccountState::Unknown)] {
        if swarm.has(feature) {
            for _ in 0..1 + rng.below(2) {
                let index = rng.below(world.source.users.len());
                world.source.users[index].state = state;
            }
        }
    }
    delete_and_hire(rng, swarm, world);
    if swarm.has("collision") && world.source.users.len() > 1 {
        collide(rng, world);
    }
}

/// Names go round among two to four people; sometimes mail goes with them, or goes another way.
fn rotate_names(rng: &mut Rng, world: &mut World) {
    let linked = linked_rows(world);
    let count = 2 + rng.below(3);
    let people: Vec<usize> = rng.some(linked.len(), count).into_iter().map(|i| linked[i]).collect();
    let attributes: &[&str] =
        rng.pick(&[&["upn"][..], &["upn"], &["mail"], &["upn", "mail"], &["upn", "mail"]]);
    let against = rng.chance(30);
    for (round, attribute) in attributes.iter().enumerate() {
        let values: Vec<Option<Vec<String>>> =
            people.iter().map(|i| world.source.users[*i].attributes.get(*attribute).cloned()).collect();
        for (position, index) in people.iter().enumerate() {
            let step = if against && round == 1 { people.len() - 1 } else { 1 };
            // Sometimes a chain instead of a cycle: the last one gets a new name.
            let from = (position + step) % people.len();
            if let Some(value) = &values[from] {
                world.source.users[*index].attributes.insert((*attribute).to_owned(), value.clone());
            }
        }
        if rng.chance(25)
            && let Some(index) = people.last()
        {
            let fresh = rng.pick(&["quinn", "rosa"]);
            let text = if *attribute == "mail" { format!("{fresh}@example.org") } else { fresh.to_owned() };
            world.source.users[*index].attributes.insert((*attribute).to_owned(), vec![text]);
        }
    }
    if rng.chance(25) && world.source.groups.len() > 1 {
        let chosen = rng.some(world.source.groups.len(), 2);
        let names: Vec<Option<Vec<String>>> =
            chosen.iter().map(|i| world.source.groups[*i].attributes.get("cn").cloned()).collect();
        for (index, name) in chosen.iter().zip(names.iter().rev()) {
            if let Some(name) = name {
                world.source.groups[*index].attributes.insert("cn".to_owned(), name.clone());
            }
        }
    }
}

fn delete_and_hire(rng: &mut Rng, swarm: &Swarm, world: &mut World) {
    let mut left: Vec<UserRow> = Vec::new();
    if swarm.has("delete_users") || swarm.has("name_reuse") {
        for _ in 0..1 + rng.below(3) {
            if world.source.users.len() > 1 {
                let row = world.source.users.remove(rng.below(world.source.users.len()));
                bury(rng, world, &row.anchor, KindHint::User);
                left.push(row);
            }
        }
    }
    if swarm.has("delete_groups") {
        for _ in 0..1 + rng.below(2) {
            if world.source.groups.len() > 1 {
                let row = world.source.groups.remove(rng.below(world.source.groups.len()));
                bury(rng, world, &row.anchor, KindHint::Group);
            }
        }
    }
    if swarm.has("new_users") || swarm.has("name_reuse") {
        for _ in 0..1 + rng.below(2) {
            let index = 8 + world.source.users.len() % 5;
            let mut row = new_user(rng, index);
            if world.source.users.iter().any(|other| other.anchor == row.anchor) {
                continue;
            }
            if swarm.has("name_reuse") {
                let old = left.first().or_else(|| world.source.users.first());
                if let Some(old) = old {
                    row.attributes = old.attributes.clone();
                }
            }
            if let Some(group) = some_group(rng, world) {
                group.members.push(member(&row.anchor, KindHint::User));
            } else {
                world.assignments.principals.push(external(&row.anchor));
            }
            world.source.users.push(row);
        }
    }
    if swarm.has("new_groups") {
        let index = 7 + rng.below(2);
        let row = new_group(rng, index);
        let anchor = row.anchor.clone();
        world.source.groups.push(row);
        let size = rng.below(3);
        let chosen = rng.some(world.source.users.len(), size);
        let people: Vec<Member> =
            chosen.into_iter().map(|i| member(&world.source.users[i].anchor, KindHint::User)).collect();
        if let Some(group) = world.source.groups.last_mut() {
            group.members = people;
        }
        if rng.chance(50) {
            world.assignments.principals.push(external(&anchor));
        } else if let Some(group) = some_group(rng, world) {
            group.members.push(member(&anchor, KindHint::Group));
        }
    }
}

pub(super) fn some_group<'a>(rng: &mut Rng, world: &'a mut World) -> Option<&'a mut GroupRow> {
    let index = rng.below(world.source.groups.len());
    world.source.groups.get_mut(index)
}

/// A row is gone from the read; whether the lists and the look-ups know it differs.
fn bury(rng: &mut Rng, world: &mut World, anchor: &str, kind: KindHint) {
    match rng.below(6) {
        0 | 1 => world.source.tombstones.push(anchor.to_owned()),
        2 | 3 => {
            world.source.existence.insert(anchor.to_owned(), Existence::Gone);
        }
        4 => {
            world
                .source
                .existence
                .insert(anchor.to_owned(), rng.pick(&[Existence::Unknown, Existence::Exists(kind)]));
        }
        _ => {}
    }
    // A directory takes the dead out of its lists, most of the time.
    if rng.chance(75) {
        for group in &mut world.source.groups {
            group.members.retain(|member| member.target != MemberTarget::Anchor(anchor.to_owned()));
        }
    }
}

fn collide(rng: &mut Rng, world: &mut World) {
    let chosen = rng.some(world.source.users.len(), 2);
    let attribute = rng.pick(&["upn", "upn", "mail"]);
    if let Some(values) = world.source.users[chosen[0]].attributes.get(attribute).cloned() {
        let values =
            values.iter().map(|value| if rng.chance(50) { respell(rng, value) } else { value.clone() });
        let values = values.collect();
        world.source.users[chosen[1]].attributes.insert(attribute.to_owned(), values);
    }
    if rng.chance(25) && world.source.groups.len() > 1 {
        let chosen = rng.some(world.source.groups.len(), 2);
        if let Some(name) = world.source.groups[chosen[0]].attributes.get("cn").cloned() {
            world.source.groups[chosen[1]].attributes.insert("cn".to_owned(), name);
        }
    }
}
