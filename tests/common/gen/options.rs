//! The options of the run, and names that collide with none.

use super::super::world::*;
use super::{Rng, Swarm};
use std::collections::BTreeSet;
use unicode_normalization::UnicodeNormalization;

pub(super) fn choose_options(rng: &mut Rng, swarm: &Swarm, world: &mut World) {
    let (keep, deactivate, delete) = (Deprovision::Keep, Deprovision::Deactivate, Deprovision::Delete);
    let options = &mut world.options;
    options.users = UserPolicy {
        deleted_in_source: rng.pick(&[delete, delete, delete, deactivate, keep]),
        left_scope: rng.pick(&[keep, keep, deactivate, delete]),
        disabled_in_source: rng.pick(&[deactivate, deactivate, deactivate, delete]),
        grace: UserGrace::default(),
    };
    options.groups = GroupPolicy {
        deleted_in_source: rng.pick(&[delete, delete, delete, deactivate, keep]),
        left_scope: rng.pick(&[keep, keep, deactivate, delete]),
        grace: GroupGrace::default(),
    };
    if rng.chance(30) {
        options.unmanaged_members = UnmanagedMembers::Remove;
    }
    options.absence_is_proof = swarm.has("absence_is_proof");
    if options.absence_is_proof && rng.chance(80) {
        world.source.has_existence = false;
    }
    if swarm.has("protected") {
        let users = world.store.users.iter().map(|user| &user.id);
        let ids: Vec<&String> = users.chain(world.store.groups.iter().map(|group| &group.id)).collect();
        if !ids.is_empty() && rng.chance(60) {
            options.protected_ids.insert(ids[rng.below(ids.len())].clone());
        }
        if rng.chance(60) {
            let letter = rng.pick(&['u', 'u', 'g']);
            options.protected_anchors.insert(format!("{letter}{}", 1 + rng.below(6)));
        }
    }
    if swarm.has("protected_name") {
        let name = rng.pick(&["Admin0", "admin1 ", "anna", "ＢＯＢ"]);
        options.protected_names.insert(name.to_owned());
    }
    if swarm.has("guards") {
        let tight = rng.chance(60);
        let mut limit = |percent| {
            let limit = Limit {
                count: rng.pick(&[None, Some(0), Some(1), Some(2)]),
                percent: rng.pick(&[0, 20, 34, 50, 100]),
                floor: rng.pick(&[0, 0, 1, 2]),
            };
            let tightest =
                Limit { count: None, percent: rng.pick(&[0, 0, 20]), floor: rng.pick(&[0, 0, 0, 1]) };
            rng.chance(percent).then_some(if tight { tightest } else { limit })
        };
        options.guards = Guards {
            user_deletes: limit(60),
            deactivations: limit(40),
            group_deletes: limit(60),
            removals_in_all: limit(40),
            removals_per_group: limit(40),
            clears_per_attribute: limit(60),
            adoptions: None,
            grants: None,
            window: None,
        };
        if rng.chance(10) {
            options.on_trip = OnTrip::Abort;
        }
    }
    if !world.store.can_list_members {
        let named = world.source.groups.iter().map(|group| group.anchor.clone());
        options.add_members_to = named.filter(|_| rng.chance(30)).collect();
    }
}

/// A store never holds one unique value twice: whoever comes later gets another.
pub(super) fn keep_names_unique(world: &mut World) {
    let store = &mut world.store;
    for (attribute, rule) in store.user_schema.iter().filter(|(_, rule)| rule.unique) {
        let mut taken = BTreeSet::new();
        for (index, user) in store.users.iter_mut().enumerate() {
            free_value(user.attributes.get_mut(attribute), rule, index, &mut taken);
        }
    }
    for (attribute, rule) in store.group_schema.iter().filter(|(_, rule)| rule.unique) {
        let mut taken = BTreeSet::new();
        for (index, group) in store.groups.iter_mut().enumerate() {
            free_value(group.attributes.get_mut(attribute), rule, index, &mut taken);
        }
    }
}

fn free_value(
    values: Option<&mut Vec<String>>,
    rule: &AttributeRule,
    index: usize,
    taken: &mut BTreeSet<String>,
) {
    for value in values.into_iter().flatten() {
        if !taken.insert(folded(value, rule.matching)) {
            *value = format!("{}{index}", value.trim());
            while !taken.insert(folded(value, rule.matching)) {
                value.push('+');
            }
        }
    }
}

pub(super) fn folded(value: &str, matching: Matching) -> String {
    match matching {
        Matching::Exact => value.trim().to_owned(),
        Matching::AsciiCaseFold => value.trim().to_ascii_lowercase(),
        Matching::NfkcCasefold => {
            let folded = caseless::default_case_fold_str(&value.nfkc().collect::<String>());
            folded.nfkc().collect::<String>().trim().to_owned()
        }
    }
}
