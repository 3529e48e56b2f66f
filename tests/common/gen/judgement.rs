//! What needs judgement or memory: soft match, released names, locks, canaries, grace, windows, the quick pass. It
//! changes a finished world, from a stream of its own, so that the worlds of known seeds stay what they were where
//! none of it is on.

use super::super::world::*;
use super::directory::{external, new_user};
use super::options::keep_names_unique;
use super::people::respell;
use super::synced::{entitled, mapped};
use super::{ISSUER, Rng};
use std::collections::BTreeSet;

/// What may be added, and how often (per cent).
const JUDGEMENT: [(&str, u64); 12] = [
    ("soft_match", 28),
    ("cannot_adopt", 4),
    ("adoption_limit", 30),
    ("release", 25),
    ("locks", 22),
    ("canary", 8),
    ("canary_missing", 5),
    ("grace", 22),
    ("window", 50),
    ("no_removals", 6),
    ("quick", 8),
    ("generation", 20),
];

/// Adds what this stream switches on.
pub(super) fn add(rng: &mut Rng, world: &mut World) {
    // A third of the worlds stays as it is.
    let none = rng.chance(33);
    let drawn = JUDGEMENT.iter().filter(|(_, percent)| rng.chance(*percent) && !none);
    let on: BTreeSet<&str> = drawn.map(|(name, _)| *name).collect();
    if none {
        return;
    }
    let has = |name: &str| on.contains(name);
    world.options.release_names = has("release") || rng.chance(70);
    if has("soft_match") {
        choose_soft_match(rng, world);
        for _ in 0..1 + rng.below(3) {
            soft_match(rng, world);
        }
        world.store.can_adopt = !has("cannot_adopt");
    }
    if has("release") {
        for _ in 0..1 + rng.below(2) {
            hand_on_a_name(rng, world);
        }
    }
    if has("locks") {
        lock(rng, world);
    }
    if has("canary") || has("canary_missing") {
        canaries(rng, world, has("canary_missing"));
    }
    if has("grace") {
        grace(rng, &mut world.options);
    }
    guards(rng, world, has("window"), has("adoption_limit"));
    if has("no_removals") {
        world.options.member_removals = MemberRemovals::Never;
    }
    if has("quick") {
        world.options.extent = Extent::NewEntitlements;
    }
    if has("generation") {
        let replica = rng.pick(&["dc1", "dc2"]).to_owned();
        world.source.generation = Some(Generation { replica, number: 5 + rng.below(3) as u64 });
    }
    keep_names_unique(world);
    growth(&mut Rng(rng.0 ^ GROWTH), world);
}

/// The options of a host that keeps a memory, for histories.
pub(super) fn habits(rng: &mut Rng, world: &mut World) {
    world.now = 1_700_000_000;
    world.options.release_names = rng.chance(75);
    world.store.remembers_deactivation = rng.chance(60);
    if rng.chance(15) {
        world.options.reactivate = Reactivate::Always;
    }
    if rng.chance(35) {
        choose_soft_match(rng, world);
    }
    if rng.chance(55) {
        grace(rng, &mut world.options);
    }
    let adoptions = rng.chance(30);
    guards(rng, world, true, adoptions);
    growth(&mut Rng(rng.0 ^ GROWTH), world);
    if rng.chance(5) {
        world.options.member_removals = MemberRemovals::Never;
    }
    if rng.chance(50) {
        world.source.generation = Some(Generation { replica: "dc1".to_owned(), number: 10 });
    }
}

// ---- Soft match (rule M3) ----------------------------------------------------------------------------------

/// Which attributes must agree; only what is mapped can be named.
pub(super) fn choose_soft_match(rng: &mut Rng, world: &mut World) {
    let options = &mut world.options;
    let choose = |rng: &mut Rng, map: &[Mapping], likely: &[&str]| -> Vec<String> {
        let mut mapped = likely.iter().filter(|name| map.iter().any(|line| line.target == **name));
        let first = mapped.clone().nth(rng.below(2)).or(mapped.next());
        let second = mapped.next_back().filter(|other| Some(*other) != first && rng.chance(20));
        first.into_iter().chain(second).map(|name| (*name).to_owned()).collect()
    };
    let users = choose(rng, &options.user_map, &["mail", "userName", "displayName", "emails"]);
    let groups = choose(rng, &options.group_map, &["displayName", "mail"]);
    let both = rng.below(4);
    if both != 0 {
        options.soft_match.users = users;
    }
    if both < 3 {
        options.soft_match.groups = groups;
    }
}

/// Makes one record that an entitled object without a record may match: alone or not, adoptable or not.
fn soft_match(rng: &mut Rng, world: &mut World) {
    if rng.chance(25) && !world.options.soft_match.groups.is_empty() {
        unlink_group(rng, world);
        return;
    }
    let Some(index) = unlinked_user(rng, world) else { return };
    let mut user = world.store.users[index].clone();
    match rng.below(10) {
        0 => user.active = false,
        1 => {
            world.options.protected_ids.insert(user.id.clone());
        }
        2 => {
            let name = user.attributes.get("userName").and_then(|values| values.first()).cloned();
            world.options.protected_names.extend(name);
        }
        3 | 4 => {
            // Another record with the same values: unlinked as well, or with a link.
            let mut twin = user.clone();
            twin.id = format!("twin-{}", user.id);
            if rng.chance(50) {
                let issuer = rng.pick(&[ISSUER, "hr"]);
                twin.external_ids = vec![(issuer.to_owned(), "s9".to_owned())];
            }
            world.store.users.push(twin);
        }
        5 => {
            // Another object that maps to the same.
            let rows = &world.source.users;
            let row = rows.iter().find(|row| {
                mapped(&world.options.user_map, &world.store.user_schema, &row.attributes) == user.attributes
            });
            if let Some(mut row) = row.cloned() {
                row.anchor = format!("rival{index}");
                world.assignments.principals.push(external(&row.anchor));
                world.source.users.push(row);
            }
        }
        6 => {
            let named = world.options.soft_match.users.first().cloned().unwrap_or_default();
            for value in user.attributes.get_mut(&named).into_iter().flatten() {
                *value = respell(rng, value);
            }
        }
        7 => user.external_ids = vec![("hr".to_owned(), "s8".to_owned())],
        _ => {}
    }
    world.store.users[index] = user;
}

/// A record that carries the values of an entitled object without a record: one that lost its link, mostly.
fn unlinked_user(rng: &mut Rng, world: &mut World) -> Option<usize> {
    let entitled = entitled(world);
    let ours = |user: &StoreUser| user.external_ids.first().is_some_and(|(_, v)| entitled.contains(v));
    let indexes: Vec<usize> = (0..world.store.users.len()).filter(|i| ours(&world.store.users[*i])).collect();
    if !indexes.is_empty() && rng.chance(75) {
        let index = rng.pick(&indexes);
        world.store.users[index].external_ids.clear();
        return Some(index);
    }
    let linked = |anchor: &String| {
        world.store.users.iter().any(|user| user.external_ids.iter().any(|(_, value)| value == anchor))
    };
    let missing: Vec<&UserRow> = world
        .source
        .users
        .iter()
        .filter(|row| entitled.contains(&row.anchor) && !linked(&row.anchor))
        .collect();
    let row = *missing.get(rng.below(missing.len()))?;
    let attributes = mapped(&world.options.user_map, &world.store.user_schema, &row.attributes);
    let id = format!("q{}", world.store.users.len());
    let deactivated_by = None;
    let user =
        StoreUser { id, external_ids: Vec::new(), active: true, deactivated_by, origin: None, attributes };
    world.store.users.push(user);
    Some(world.store.users.len() - 1)
}

fn unlink_group(rng: &mut Rng, world: &mut World) {
    let count = world.store.groups.len();
    if count == 0 {
        return;
    }
    let group = &mut world.store.groups[rng.below(count)];
    if group.external_ids.is_empty() {
        return;
    }
    group.external_ids.clear();
    if rng.chance(20) {
        let mut twin = group.clone();
        twin.id = format!("twin-{}", twin.id);
        world.store.groups.push(twin);
    } else if rng.chance(15) {
        world.options.protected_ids.insert(group.id.clone());
    }
}

// ---- Released names (rule M4) ------------------------------------------------------------------------------

/// A leaver whose record stays, and somebody new with his name.
fn hand_on_a_name(rng: &mut Rng, world: &mut World) {
    let linked = |world: &World, row: &UserRow| {
        world.store.users.iter().any(|user| user.external_ids.iter().any(|(_, v)| *v == row.anchor))
    };
    let rows: Vec<usize> =
        (0..world.source.users.len()).filter(|i| linked(world, &world.source.users[*i])).collect();
    if rows.is_empty() || world.source.users.len() < 2 {
        return;
    }
    let index = rng.pick(&rows);
    let taken = rng.chance(10);
    if taken || rng.chance(40) {
        lengthen_anchor(world, index);
    }
    let leaver = world.source.users[index].clone();
    leave_everything(world, &leaver.anchor);
    if rng.chance(50) {
        world.source.users.retain(|row| row.anchor != leaver.anchor);
        world.source.tombstones.push(leaver.anchor.clone());
        world.options.users.deleted_in_source = rng.pick(&[Deprovision::Keep, Deprovision::Deactivate]);
    } else {
        let row = &mut world.source.users[index];
        match rng.below(8) {
            0 => {
                row.attributes.remove("upn");
                row.unreadable.insert("upn".to_owned());
            }
            1 => {
                row.attributes.remove("upn");
            }
            2 => {}
            _ => {
                let name = rng.pick(&["vera", "walt", "bob", "xaver"]);
                row.attributes.insert("upn".to_owned(), vec![name.to_owned()]);
                row.attributes.insert("mail".to_owned(), vec![format!("{name}@example.org")]);
            }
        }
        if world.options.users.left_scope == Deprovision::Delete && rng.chance(70) {
            world.options.users.left_scope = Deprovision::Keep;
        }
    }
    let heirs: Vec<usize> =
        (0..world.source.users.len()).filter(|i| world.source.users[*i].anchor != leaver.anchor).collect();
    let upn_and_mail = |row: &mut UserRow| {
        for name in ["upn", "mail"] {
            if let Some(values) = leaver.attributes.get(name) {
                row.attributes.insert(name.to_owned(), values.clone());
            }
        }
    };
    if rng.chance(60) || heirs.is_empty() {
        let mut heir = new_user(rng, 11);
        heir.anchor = format!("heir-of-{}", leaver.anchor);
        upn_and_mail(&mut heir);
        if world.source.users.iter().all(|row| row.anchor != heir.anchor) {
            world.assignments.principals.push(external(&heir.anchor));
            world.source.users.push(heir);
        }
    } else {
        upn_and_mail(&mut world.source.users[rng.pick(&heirs)]);
    }
    if taken {
        // What he would be called then is taken as well.
        for user in &mut world.store.users {
            if user.external_ids.is_empty()
                && let Some(name) = leaver.attributes.get("upn").and_then(|values| values.first())
            {
                let prefix: String = leaver.anchor.chars().take(8).collect();
                user.attributes.insert("userName".to_owned(), vec![format!("{name}~{prefix}")]);
            }
        }
    }
}

/// Real anchors are longer than the first part that a released name gets.
fn lengthen_anchor(world: &mut World, index: usize) {
    let old = world.source.users[index].anchor.clone();
    let new = format!("{old}-0123456789abcdef0123456789abcdef");
    let change = |anchor: &mut String| {
        if *anchor == old {
            anchor.clone_from(&new);
        }
    };
    let source = &mut world.source;
    source.users.iter_mut().for_each(|row| change(&mut row.anchor));
    source.tombstones.iter_mut().for_each(change);
    for member in source.groups.iter_mut().flat_map(|group| &mut group.members) {
        if let MemberTarget::Anchor(anchor) = &mut member.target {
            change(anchor);
        }
    }
    let store = &mut world.store;
    let users = store.users.iter_mut().flat_map(|user| &mut user.external_ids);
    users.filter(|(issuer, _)| issuer == ISSUER).for_each(|(_, anchor)| change(anchor));
    for principal in &mut world.assignments.principals {
        if let Principal::External(_, anchor) = principal {
            change(anchor);
        }
    }
}

/// Nobody assigns him any more, and no list names him.
fn leave_everything(world: &mut World, anchor: &str) {
    let target = MemberTarget::Anchor(anchor.to_owned());
    for group in &mut world.source.groups {
        group.members.retain(|member| member.target != target);
    }
    let own = external(anchor);
    if world.assignments.principals.len() > 1 {
        world.assignments.principals.retain(|principal| *principal != own);
    }
}

// ---- Locks, canaries, grace, guards ------------------------------------------------------------------------

fn lock(rng: &mut Rng, world: &mut World) {
    world.store.remembers_deactivation = rng.chance(85);
    if rng.chance(25) {
        world.options.reactivate = Reactivate::Always;
    }
    for user in &mut world.store.users {
        if rng.chance(25) {
            user.active = false;
        }
        if !user.active {
            let by =
                [Some(DeactivatedBy::Sync), Some(DeactivatedBy::Other), Some(DeactivatedBy::Other), None];
            user.deactivated_by = rng.pick(&by);
        }
    }
}

fn canaries(rng: &mut Rng, world: &mut World, missing: bool) {
    let pick = |rng: &mut Rng, anchors: Vec<&String>| -> Vec<String> {
        let index = rng.below(anchors.len().max(1));
        anchors.get(index).map(|anchor| (*anchor).clone()).into_iter().collect()
    };
    let users = pick(rng, world.source.users.iter().map(|row| &row.anchor).collect());
    let groups = pick(rng, world.source.groups.iter().map(|row| &row.anchor).collect());
    let canaries = &mut world.options.canaries;
    canaries.users.extend(users.into_iter().filter(|_| rng.chance(70)));
    canaries.groups.extend(groups.into_iter().filter(|_| rng.chance(50)));
    if missing {
        let missing = rng.pick(&["canary", "u1", "g1"]).to_owned();
        if rng.chance(60) {
            canaries.users.insert(missing)
        } else {
            canaries.groups.insert(missing)
        };
    }
}

pub(super) fn grace(rng: &mut Rng, options: &mut Options) {
    let mut seconds = || if rng.chance(50) { rng.pick(&[3_600, 86_400, 604_800]) } else { 0 };
    options.users.grace =
        UserGrace { deleted_in_source: seconds(), left_scope: seconds(), disabled_in_source: seconds() };
    options.groups.grace = GroupGrace { deleted_in_source: seconds(), left_scope: seconds() };
}

fn guards(rng: &mut Rng, world: &mut World, window: bool, adoptions: bool) {
    let guards = &mut world.options.guards;
    if window {
        let percent = rng.pick(&[150, 150, 100, 60]);
        guards.window = Some(Window { period: rng.pick(&[86_400, 86_400, 3_600]), percent });
    }
    if adoptions {
        let count = rng.pick(&[None, Some(0), Some(1)]);
        guards.adoptions =
            Some(Limit { count, percent: rng.pick(&[0, 20, 100]), floor: rng.pick(&[0, 0, 1]) });
    }
}

/// Its stream is one of its own, too.
const GROWTH: u64 = 0x6772_6F77_7468;

/// Sets the limit on growth now and then.
fn growth(rng: &mut Rng, world: &mut World) {
    if rng.chance(20) {
        let limit = Limit {
            count: rng.pick(&[None, Some(0), Some(2), Some(4)]),
            percent: rng.pick(&[20, 50, 100, 200]),
            floor: rng.pick(&[0, 0, 1, 3]),
        };
        world.options.guards.grants = Some(limit);
    }
}
