//! The store that an earlier sync left.

use super::super::world::*;
use super::{ISSUER, NAMES, Rng};
use std::collections::BTreeSet;

/// Everything below a group, by walking.
pub(super) fn below(source: &Source, nesting: Nesting, group: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![group.to_owned()];
    while let Some(next) = open.pop() {
        for row in source.groups.iter().filter(|row| row.anchor == next) {
            for member in &row.members {
                let MemberTarget::Anchor(anchor) = &member.target else { continue };
                if found.insert(anchor.clone()) && nesting == Nesting::Flatten {
                    open.push(anchor.clone());
                }
            }
        }
    }
    found
}

/// Anchors that the assignments by external id reach.
pub(super) fn entitled(world: &World) -> BTreeSet<String> {
    let mut result = BTreeSet::new();
    for principal in &world.assignments.principals {
        if let Principal::External(_, anchor) = principal {
            result.extend(below(&world.source, world.options.nesting, anchor));
            result.insert(anchor.clone());
        }
    }
    result
}

/// What a map writes for a row: a short version without the finer rules.
pub fn mapped(map: &[Mapping], schema: &Schema, source: &Attributes) -> Attributes {
    let values_of = |name: &str| -> Vec<String> {
        let values = source.get(name).into_iter().flatten().map(|value| value.trim().to_owned());
        values.filter(|value| !value.is_empty()).collect::<BTreeSet<_>>().into_iter().collect()
    };
    let mut result = Attributes::new();
    for mapping in map {
        let multi = schema.get(&mapping.target).is_some_and(|rule| rule.multi_valued);
        let mut text = mapping.template.clone();
        let mut filled = !text.contains("${");
        let mut all = Vec::new();
        while let Some((start, end)) = text.find("${").zip(text.find('}')) {
            all = values_of(&text[start + 2..end]);
            filled |= !all.is_empty();
            text.replace_range(start..=end, all.first().map_or("", String::as_str));
        }
        if filled {
            let one = vec![text.trim().to_owned()];
            let whole = multi && mapping.template.starts_with("${");
            result.insert(mapping.target.clone(), if whole { all } else { one });
        }
    }
    result
}

pub(super) fn synced(rng: &mut Rng, world: &mut World) {
    let entitled = entitled(world);
    // Store ids in another order than the anchors.
    let offset = rng.below(9);
    let id = |letter: char, index: usize| format!("{letter}{}", (index * 7 + offset) % 19 + 10);
    for (index, row) in world.source.users.iter().enumerate() {
        if entitled.contains(&row.anchor) || rng.chance(8) {
            world.store.users.push(StoreUser {
                id: id('p', index),
                external_ids: vec![(ISSUER.to_owned(), row.anchor.clone())],
                active: true,
                deactivated_by: None,
                origin: rng.pick(&[Some(Origin::Synced), Some(Origin::Synced), None]),
                attributes: mapped(&world.options.user_map, &world.store.user_schema, &row.attributes),
            });
        }
    }
    for (index, row) in world.source.groups.iter().enumerate() {
        if !entitled.contains(&row.anchor) && !rng.chance(8) {
            continue;
        }
        let below = below(&world.source, world.options.nesting, &row.anchor);
        let listed = world.store.users.iter().filter(|user| below.contains(&user.external_ids[0].1));
        world.store.groups.push(StoreGroup {
            id: id('t', index),
            external_ids: vec![(ISSUER.to_owned(), row.anchor.clone())],
            attributes: mapped(&world.options.group_map, &world.store.group_schema, &row.attributes),
            members: listed.map(|user| user.id.clone()).collect(),
        });
    }
}

/// A store that has nothing to do with the directory but the pool of anchors.
pub(super) fn random_links(rng: &mut Rng, world: &mut World) {
    let anchor = |rng: &mut Rng, letter: char| format!("{letter}{}", 1 + rng.below(9));
    for index in 0..rng.below(7) {
        let name = NAMES[rng.below(NAMES.len())].to_owned();
        world.store.users.push(StoreUser {
            id: format!("p{index}"),
            external_ids: vec![(rng.pick(&[ISSUER, ISSUER, ISSUER, "hr"]).to_owned(), anchor(rng, 'u'))],
            active: rng.chance(70),
            deactivated_by: None,
            origin: rng.pick(&[Some(Origin::Synced), Some(Origin::Jit), None]),
            attributes: [("userName".to_owned(), vec![name])].into(),
        });
    }
    let ids: Vec<String> = world.store.users.iter().map(|user| user.id.clone()).collect();
    for index in 0..rng.below(5) {
        let size = rng.below(4);
        let members = rng.some(ids.len(), size).into_iter().map(|i| ids[i].clone()).collect();
        world.store.groups.push(StoreGroup {
            id: format!("t{index}"),
            external_ids: vec![(ISSUER.to_owned(), anchor(rng, 'g'))],
            attributes: [("displayName".to_owned(), vec![format!("team{index}")])].into(),
            members,
        });
    }
}
