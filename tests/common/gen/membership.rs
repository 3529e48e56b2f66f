//! What happened to the member lists since.

use super::super::world::*;
use super::directory::member;
use super::people::some_group;
use super::{Rng, Swarm};

pub(super) fn change_membership(rng: &mut Rng, swarm: &Swarm, world: &mut World) {
    if world.source.groups.is_empty() {
        return;
    }
    if swarm.has("move_members") {
        for _ in 0..1 + rng.below(3) {
            let index = rng.below(world.source.groups.len());
            let user =
                member(&world.source.users[rng.below(world.source.users.len())].anchor, KindHint::User);
            let size = world.source.groups[index].members.len();
            if size > 0 && rng.chance(50) {
                world.source.groups[index].members.remove(rng.below(size));
            }
            if !world.source.groups[index].members.contains(&user) && rng.chance(70) {
                world.source.groups[index].members.push(user);
            }
        }
    }
    if swarm.has("cycle") {
        let size = 2 + rng.below(2);
        let ring = rng.some(world.source.groups.len(), size);
        for (position, index) in ring.iter().enumerate() {
            let next = world.source.groups[ring[(position + 1) % ring.len()]].anchor.clone();
            world.source.groups[*index].members.push(member(&next, KindHint::Group));
        }
    }
    if swarm.has("self_loop")
        && let Some(group) = some_group(rng, world)
    {
        let own = member(&group.anchor, KindHint::Group);
        group.members.push(own);
    }
    let dangling = [
        ("dangling_user", KindHint::User),
        ("dangling_group", KindHint::Group),
        ("dangling_other", KindHint::Other),
        ("foreign", KindHint::Foreign),
        ("dangling_unknown", KindHint::Unknown),
    ];
    for (feature, kind) in dangling {
        if swarm.has(feature) {
            dangle(rng, world, feature, kind);
        }
    }
    if swarm.has("unresolved") {
        let kinds =
            [KindHint::User, KindHint::Group, KindHint::Unknown, KindHint::Unknown, KindHint::Foreign];
        let target = MemberTarget::Unresolved(format!("CN=lost{}", rng.below(2)));
        let hint = rng.pick(&kinds);
        if let Some(group) = some_group(rng, world) {
            group.members.push(Member { target, hint });
        }
    }
    if swarm.has("leaf") {
        for group in &world.source.groups {
            for member in &group.members {
                match &member.target {
                    MemberTarget::Unresolved(text) => world.options.leaf_texts.insert(text.clone()),
                    MemberTarget::Anchor(anchor) => world.options.leaf_anchors.insert(anchor.clone()),
                };
            }
        }
        let keep = rng.chance(50);
        world.options.leaf_anchors.retain(|anchor| keep || anchor.starts_with('x'));
    }
}

/// A member without a row. Sometimes it is one of our records that the read missed.
fn dangle(rng: &mut Rng, world: &mut World, feature: &str, kind: KindHint) {
    let mut anchor = format!("x{}", rng.below(3));
    if rng.chance(50) && matches!(kind, KindHint::User | KindHint::Foreign) && world.source.users.len() > 2 {
        // The row vanishes while the lists still name it.
        anchor = world.source.users.remove(rng.below(world.source.users.len())).anchor;
    }
    let hint = if rng.chance(60) || feature == "foreign" { kind } else { KindHint::Unknown };
    for group in &mut world.source.groups {
        for listed in &mut group.members {
            if listed.target == MemberTarget::Anchor(anchor.clone()) {
                listed.hint = hint;
            }
        }
    }
    if let Some(group) = some_group(rng, world) {
        let new = member(&anchor, hint);
        if !group.members.contains(&new) {
            group.members.push(new);
        }
    }
    if rng.chance(50) {
        let answers = [Existence::Exists(kind), Existence::Exists(kind), Existence::Unknown, Existence::Gone];
        world.source.existence.insert(anchor, rng.pick(&answers));
    }
}
