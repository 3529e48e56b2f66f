//! Makes small worlds from a seed: a directory, the store that an earlier sync would have left, and then
//! changes to both. Which kinds of change occur is itself drawn from the seed, so that most worlds are mostly
//! healthy and no rule is drowned by another. A few worlds are random throughout.

#![allow(dead_code, reason = "each test binary uses another part of the shared modules")]
#![allow(unreachable_pub, reason = "shared by several test binaries as a private module")]

use super::oracle;
use super::world::*;
use std::collections::{BTreeMap, BTreeSet};
use unicode_normalization::UnicodeNormalization;

const ISSUER: &str = "ad";
/// Names with different match keys under every rule, so that a world starts without collisions.
const NAMES: [&str; 14] = [
    "anna", "bob", "carl", "dora", "eve", "josé", "straße", "fiona", "gül", "hugo", "ida", "jan", "kim",
    "λένα",
];

/// What may be in a world, how often (per cent), and whether it disturbs: partial reads, ambiguity and limits
/// are left out of the healthy third.
const FEATURES: [(&str, u64, bool); 62] = [
    ("rename", 40, false),
    ("swap", 30, false),
    ("spelling", 22, false),
    ("clear", 30, false),
    ("move_members", 60, false),
    ("delete_users", 30, false),
    ("delete_groups", 20, false),
    ("new_users", 35, false),
    ("new_groups", 25, false),
    ("name_reuse", 28, false),
    ("collision", 15, false),
    ("disabled", 25, false),
    ("unknown_state", 10, false),
    ("no_account_state", 5, false),
    ("cycle", 15, false),
    ("self_loop", 8, false),
    ("dangling_user", 12, false),
    ("dangling_group", 11, true),
    ("dangling_unknown", 11, true),
    ("dangling_other", 8, false),
    ("foreign", 9, false),
    ("unresolved", 10, true),
    ("leaf", 8, false),
    ("unreadable", 12, false),
    ("withdrawn", 10, true),
    ("duplicate_equal", 8, false),
    ("duplicate_versioned", 6, false),
    ("duplicate_ambiguous", 10, true),
    ("both_kinds", 8, true),
    ("partial_users", 12, true),
    ("partial_groups", 12, true),
    ("partial_list", 15, true),
    ("partial_assignments", 9, true),
    ("partial_store", 1, true),
    ("empty_read", 2, true),
    ("assign_more", 30, false),
    ("assign_less", 35, false),
    ("assign_stored", 20, false),
    ("assign_dangling", 10, false),
    ("assign_other_issuer", 8, false),
    ("unmanaged_users", 25, false),
    ("unmanaged_holds_name", 12, false),
    ("unmanaged_groups", 12, false),
    ("unmanaged_member", 15, false),
    ("dangling_id", 3, false),
    ("group_in_group", 5, false),
    ("two_links", 8, true),
    ("two_records", 9, true),
    ("mixed_kinds", 4, true),
    ("other_issuer", 12, false),
    ("inactive", 20, false),
    ("jit", 22, false),
    ("drift", 20, false),
    ("member_drift", 25, false),
    ("protected", 15, false),
    ("protected_name", 6, false),
    ("guards", 40, true),
    ("direct_only", 10, false),
    ("no_cascade", 35, false),
    ("no_listing", 5, false),
    ("absence_is_proof", 12, false),
    ("no_lookups", 15, false),
];

/// SplitMix64.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        if bound == 0 { 0 } else { (self.next() % bound as u64) as usize }
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// Up to `count` different indexes below `bound`.
    fn some(&mut self, bound: usize, count: usize) -> Vec<usize> {
        let mut all: Vec<usize> = (0..bound).collect();
        let mut chosen = Vec::new();
        while chosen.len() < count && !all.is_empty() {
            chosen.push(all.swap_remove(self.below(all.len())));
        }
        chosen
    }
}

/// The features that this seed switched on.
struct Swarm {
    on: BTreeSet<&'static str>,
}

impl Swarm {
    fn draw(rng: &mut Rng) -> Self {
        let healthy = rng.chance(30);
        // Some seeds try few things and some try many.
        let factor = rng.pick(&[60, 100, 100, 140]);
        let drawn = FEATURES.iter().filter(|(_, percent, disturbing)| {
            let hit = rng.chance(percent * factor / 100);
            hit && !(healthy && *disturbing)
        });
        Self { on: drawn.map(|(name, _, _)| *name).collect() }
    }

    fn has(&self, name: &str) -> bool {
        self.on.contains(name)
    }
}

/// The world of a seed.
pub fn world(seed: u64) -> World {
    let mut rng = Rng(seed);
    let throughout = rng.chance(4);
    let swarm = Swarm::draw(&mut rng);
    let mut world = directory(&mut rng, &swarm);
    if throughout {
        random_links(&mut rng, &mut world);
    } else {
        synced(&mut rng, &mut world);
    }
    change_people(&mut rng, &swarm, &mut world);
    change_membership(&mut rng, &swarm, &mut world);
    change_store(&mut rng, &swarm, &mut world);
    change_assignments(&mut rng, &swarm, &mut world);
    spoil_reads(&mut rng, &swarm, &mut world);
    choose_options(&mut rng, &swarm, &mut world);
    keep_names_unique(&mut world);
    world
}

// ---- The directory as it was -------------------------------------------------------------------------------

fn directory(rng: &mut Rng, swarm: &Swarm) -> World {
    let users: Vec<UserRow> = (0..2 + rng.below(7)).map(|i| new_user(rng, i)).collect();
    let mut groups: Vec<GroupRow> = (0..1 + rng.below(6)).map(|i| new_group(rng, i)).collect();
    let count = groups.len();
    for (index, group) in groups.iter_mut().enumerate() {
        let size = rng.below(4);
        for user in rng.some(users.len(), size) {
            group.members.push(member(&users[user].anchor, KindHint::User));
        }
        // Mostly trees and diamonds: an edge leads to a later group.
        let nested = rng.below(3).min(count - index - 1);
        for step in rng.some(count - index - 1, nested) {
            group.members.push(member(&format!("g{}", index + step + 2), KindHint::Group));
        }
    }
    let mut principals = Vec::new();
    for (index, group) in groups.iter().enumerate() {
        if rng.chance(40) || (index == 0 && rng.chance(80)) {
            principals.push(external(&group.anchor));
        }
    }
    for user in &users {
        if rng.chance(12) || principals.is_empty() {
            principals.push(external(&user.anchor));
        }
    }
    let (user_schema, user_map) = user_attributes(rng);
    let (group_schema, group_map) = group_attributes(rng);
    let keep_all = Deprovision::Keep;
    World {
        source: Source {
            users_complete: true,
            groups_complete: true,
            has_existence: !swarm.has("no_lookups"),
            account_state: !swarm.has("no_account_state"),
            users,
            groups,
            tombstones: Vec::new(),
            existence: BTreeMap::new(),
        },
        store: Store {
            complete: true,
            users: Vec::new(),
            groups: Vec::new(),
            user_schema,
            group_schema,
            cascades: !swarm.has("no_cascade"),
            can_list_members: !swarm.has("no_listing"),
        },
        assignments: Assignments { complete: true, principals },
        options: Options {
            issuer: ISSUER.to_owned(),
            user_map,
            group_map,
            nesting: if swarm.has("direct_only") { Nesting::DirectOnly } else { Nesting::Flatten },
            users: UserPolicy {
                deleted_in_source: Deprovision::Delete,
                left_scope: keep_all,
                disabled_in_source: Deprovision::Deactivate,
            },
            groups: GroupPolicy { deleted_in_source: Deprovision::Delete, left_scope: keep_all },
            unmanaged_members: UnmanagedMembers::Keep,
            absence_is_proof: false,
            allow_empty_users: false,
            allow_empty_groups: false,
            allow_empty_assignments: false,
            protected_ids: BTreeSet::new(),
            protected_anchors: BTreeSet::new(),
            protected_names: BTreeSet::new(),
            leaf_anchors: BTreeSet::new(),
            leaf_texts: BTreeSet::new(),
            guards: Guards::default(),
            on_trip: OnTrip::Hold,
            add_members_to: BTreeSet::new(),
        },
    }
}

fn texts(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

fn new_user(rng: &mut Rng, index: usize) -> UserRow {
    let name = NAMES[index % NAMES.len()];
    let mut attributes = Attributes::new();
    attributes.insert("upn".to_owned(), texts(&[name]));
    attributes.insert("mail".to_owned(), vec![format!("{name}@example.org")]);
    attributes.insert("givenName".to_owned(), texts(&[rng.pick(&["Ann", "Bo", "Chloé", " Dee "])]));
    if rng.chance(80) {
        attributes.insert("sn".to_owned(), texts(&[rng.pick(&["Lee", "Kim", "Ōta", ""])]));
    }
    if rng.chance(60) {
        let proxies = ["x@example.org", "y@example.org", "z@例え.jp", " ", "w@example.org "];
        let count = 1 + rng.below(3);
        let chosen: Vec<&str> = rng.some(proxies.len(), count).into_iter().map(|i| proxies[i]).collect();
        attributes.insert("proxy".to_owned(), texts(&chosen));
    }
    if rng.chance(50) {
        attributes.insert(
            "title".to_owned(),
            texts(&[rng.pick(&["Dr", "Prof ", ""]), "Extra"][..1 + rng.below(2)]),
        );
    }
    UserRow {
        anchor: format!("u{}", index + 1),
        state: AccountState::Enabled,
        version: None,
        attributes,
        unreadable: BTreeSet::new(),
        withdrawn: false,
    }
}

fn new_group(rng: &mut Rng, index: usize) -> GroupRow {
    let names = ["staff", "ops", "größe", "dev", "audit", "sales", "legal", "web", "lab", "hr"];
    let name = names[index % names.len()];
    let mut attributes = Attributes::new();
    attributes.insert("cn".to_owned(), texts(&[name]));
    attributes.insert("mail".to_owned(), vec![format!("{name}@lists.example.org")]);
    if rng.chance(60) {
        attributes.insert("description".to_owned(), texts(&[rng.pick(&["All of us", "Team ", "", "日本"])]));
    }
    GroupRow {
        anchor: format!("g{}", index + 1),
        version: None,
        attributes,
        unreadable: BTreeSet::new(),
        withdrawn: false,
        members: Vec::new(),
        members_complete: true,
    }
}

fn member(anchor: &str, hint: KindHint) -> Member {
    Member { target: MemberTarget::Anchor(anchor.to_owned()), hint }
}

fn external(anchor: &str) -> Principal {
    Principal::External(ISSUER.to_owned(), anchor.to_owned())
}

fn rule(rng: &mut Rng, unique: bool, required: bool, multi_valued: bool) -> AttributeRule {
    let common = Matching::NfkcCasefold;
    let matching = rng.pick(&[common, common, common, Matching::AsciiCaseFold, Matching::Exact]);
    AttributeRule { matching, unique, required, multi_valued }
}

fn mapping(rng: &mut Rng, target: &str, template: &str, required: bool) -> Mapping {
    let missing = if rng.chance(30) { Missing::Keep } else { Missing::Clear };
    Mapping { target: target.to_owned(), template: template.to_owned(), missing, required }
}

fn user_attributes(rng: &mut Rng) -> (Schema, Vec<Mapping>) {
    let mut schema = Schema::new();
    let mut map = Vec::new();
    let required_by_store = rng.chance(60);
    schema.insert("userName".to_owned(), rule(rng, true, required_by_store, false));
    let required = !required_by_store || rng.chance(50);
    map.push(mapping(rng, "userName", "${upn}", required));
    if rng.chance(60) {
        let unique = rng.chance(50);
        schema.insert("mail".to_owned(), rule(rng, unique, false, false));
        let required = rng.chance(10);
        map.push(mapping(rng, "mail", "${mail}", required));
    }
    if rng.chance(60) {
        if rng.chance(70) {
            let mut display = rule(rng, false, false, false);
            display.matching = Matching::Exact;
            schema.insert("displayName".to_owned(), display);
        }
        let template = rng.pick(&["${givenName} ${sn}", "${sn}", "Mx ${givenName} (${upn})"]);
        map.push(mapping(rng, "displayName", template, false));
    }
    if rng.chance(40) {
        // Values of one list differ in their keys, so exact comparison tells no less.
        let multi = rng.chance(80);
        let unique = multi && rng.chance(4);
        schema.insert("emails".to_owned(), rule(rng, unique, false, multi));
        map.push(mapping(rng, "emails", "${proxy}", false));
    }
    if rng.chance(40) {
        map.push(mapping(rng, "title", "${title}", false));
    }
    if rng.chance(10) {
        map.push(mapping(rng, "company", " Acme", false));
    }
    (schema, map)
}

fn group_attributes(rng: &mut Rng) -> (Schema, Vec<Mapping>) {
    let mut schema = Schema::new();
    let mut map = Vec::new();
    schema.insert("displayName".to_owned(), rule(rng, true, true, false));
    map.push(mapping(rng, "displayName", "${cn}", true));
    if rng.chance(50) {
        map.push(mapping(rng, "description", "${description}", false));
    }
    if rng.chance(25) {
        schema.insert("mail".to_owned(), rule(rng, true, false, false));
        map.push(mapping(rng, "mail", "${mail}", false));
    }
    (schema, map)
}

// ---- The store that an earlier sync left -------------------------------------------------------------------

/// Everything below a group, by walking.
fn below(source: &Source, nesting: Nesting, group: &str) -> BTreeSet<String> {
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
fn entitled(world: &World) -> BTreeSet<String> {
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
fn mapped(map: &[Mapping], schema: &Schema, source: &Attributes) -> Attributes {
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

fn synced(rng: &mut Rng, world: &mut World) {
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
fn random_links(rng: &mut Rng, world: &mut World) {
    let anchor = |rng: &mut Rng, letter: char| format!("{letter}{}", 1 + rng.below(9));
    for index in 0..rng.below(7) {
        let name = NAMES[rng.below(NAMES.len())].to_owned();
        world.store.users.push(StoreUser {
            id: format!("p{index}"),
            external_ids: vec![(rng.pick(&[ISSUER, ISSUER, ISSUER, "hr"]).to_owned(), anchor(rng, 'u'))],
            active: rng.chance(70),
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

// ---- What happened in the directory since ------------------------------------------------------------------

/// Indexes of user rows that have a record, mostly: among them changes are interesting.
fn linked_rows(world: &World) -> Vec<usize> {
    let linked = |anchor: &String| {
        let mut links = world.store.users.iter().flat_map(|user| &user.external_ids);
        links.any(|(issuer, value)| issuer == ISSUER && value == anchor)
    };
    let rows = world.source.users.iter().enumerate();
    rows.filter(|(_, row)| linked(&row.anchor)).map(|(index, _)| index).collect()
}

/// Another spelling of the same name.
fn respell(rng: &mut Rng, text: &str) -> String {
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

fn change_people(rng: &mut Rng, swarm: &Swarm, world: &mut World) {
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

fn some_group<'a>(rng: &mut Rng, world: &'a mut World) -> Option<&'a mut GroupRow> {
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

fn change_membership(rng: &mut Rng, swarm: &Swarm, world: &mut World) {
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

// ---- What happened in the store since ----------------------------------------------------------------------

fn change_store(rng: &mut Rng, swarm: &Swarm, world: &mut World) {
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
            let user =
                StoreUser { id: format!("m{index}"), external_ids, active: true, origin: None, attributes };
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

// ---- Assignments, reads, options ---------------------------------------------------------------------------

fn change_assignments(rng: &mut Rng, swarm: &Swarm, world: &mut World) {
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

fn spoil_reads(rng: &mut Rng, swarm: &Swarm, world: &mut World) {
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

fn choose_options(rng: &mut Rng, swarm: &Swarm, world: &mut World) {
    let (keep, deactivate, delete) = (Deprovision::Keep, Deprovision::Deactivate, Deprovision::Delete);
    let options = &mut world.options;
    options.users = UserPolicy {
        deleted_in_source: rng.pick(&[delete, delete, delete, deactivate, keep]),
        left_scope: rng.pick(&[keep, keep, deactivate, delete]),
        disabled_in_source: rng.pick(&[deactivate, deactivate, deactivate, delete]),
    };
    options.groups = GroupPolicy {
        deleted_in_source: rng.pick(&[delete, delete, delete, deactivate, keep]),
        left_scope: rng.pick(&[keep, keep, deactivate, delete]),
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
fn keep_names_unique(world: &mut World) {
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

fn folded(value: &str, matching: Matching) -> String {
    match matching {
        Matching::Exact => value.trim().to_owned(),
        Matching::AsciiCaseFold => value.trim().to_ascii_lowercase(),
        Matching::NfkcCasefold => {
            let folded = caseless::default_case_fold_str(&value.nfkc().collect::<String>());
            folded.nfkc().collect::<String>().trim().to_owned()
        }
    }
}

// ---- What is in a world ------------------------------------------------------------------------------------

/// Every name that `features` may give.
pub const ALL_FEATURES: [&str; 83] = [
    "aborted",
    "absence_is_proof",
    "absent_unproven",
    "add_members",
    "ambiguous",
    "assigned_by_store_id",
    "blocked",
    "both_kinds",
    "clear",
    "collision",
    "create_group",
    "create_user",
    "cycle",
    "dangling_gone",
    "dangling_group",
    "dangling_looked_up",
    "dangling_other",
    "dangling_unknown",
    "dangling_user",
    "deactivate",
    "delete_group",
    "delete_user",
    "diamond",
    "direct_only",
    "disabled",
    "disabled_delete",
    "duplicate_ambiguous",
    "duplicate_equal",
    "duplicate_versioned",
    "empty_read",
    "foreign",
    "gone",
    "group_in_group",
    "group_left_scope_deactivate",
    "group_left_scope_delete",
    "guards",
    "held",
    "inactive",
    "jit_entitled",
    "jit_unentitled",
    "kept",
    "kept_group",
    "leaf",
    "left_scope",
    "left_scope_deactivate",
    "left_scope_delete",
    "name_handed_on",
    "name_reuse",
    "nested",
    "no_account_state",
    "no_cascade",
    "no_listing",
    "no_lookups",
    "other_issuer",
    "partial_assignments",
    "partial_groups",
    "partial_list",
    "partial_users",
    "principal_unresolved",
    "protected",
    "protected_name",
    "quiet",
    "reactivate",
    "refused",
    "remove_before_delete",
    "remove_members",
    "remove_unmanaged",
    "rename",
    "required_missing",
    "self_loop",
    "swap",
    "tombstone",
    "tombstone_of_the_living",
    "two_links",
    "two_records",
    "unknown_state",
    "unmanaged",
    "unmanaged_member",
    "unreadable",
    "unresolved",
    "update_group",
    "update_user",
    "withdrawn",
];

/// The interesting situations that a world holds, for tests that count how often each is seen. What depends on
/// the plan (`held`, `conflict`, `cycle_of_names`, ...) is asked of the oracle, the rest is read off the world.
pub fn features(world: &World) -> Vec<&'static str> {
    let mut found = BTreeSet::new();
    source_features(world, &mut found);
    member_features(world, &mut found);
    graph_features(world, &mut found);
    store_features(world, &mut found);
    option_features(world, &mut found);
    plan_features(world, &mut found);
    found.into_iter().collect()
}

fn note(found: &mut BTreeSet<&'static str>, name: &'static str, present: bool) {
    if present {
        found.insert(name);
    }
}

fn source_features(world: &World, found: &mut BTreeSet<&'static str>) {
    let source = &world.source;
    note(found, "partial_users", !source.users_complete);
    note(found, "partial_groups", !source.groups_complete);
    note(found, "partial_list", source.groups.iter().any(|group| !group.members_complete));
    note(found, "partial_assignments", !world.assignments.complete);
    note(found, "no_lookups", !source.has_existence);
    note(found, "no_account_state", !source.account_state);
    note(found, "empty_read", source.users.is_empty() || source.groups.is_empty());
    let state = |state| source.account_state && source.users.iter().any(|user| user.state == state);
    note(found, "disabled", state(AccountState::Disabled));
    note(found, "unknown_state", state(AccountState::Unknown));
    note(found, "unreadable", source.users.iter().any(|user| !user.unreadable.is_empty()));
    let withdrawn_group = source.groups.iter().any(|group| group.withdrawn);
    note(found, "withdrawn", withdrawn_group || source.users.iter().any(|user| user.withdrawn));
    let users: BTreeSet<&str> = source.users.iter().map(|user| user.anchor.as_str()).collect();
    let groups: BTreeSet<&str> = source.groups.iter().map(|group| group.anchor.as_str()).collect();
    note(found, "both_kinds", !users.is_disjoint(&groups));
    let tombstone = |anchor: &String| users.contains(anchor.as_str()) || groups.contains(anchor.as_str());
    note(found, "tombstone", source.tombstones.iter().any(|anchor| !tombstone(anchor)));
    note(found, "tombstone_of_the_living", source.tombstones.iter().any(tombstone));
    for anchor in &users {
        let rows: Vec<&UserRow> = source.users.iter().filter(|user| user.anchor == *anchor).collect();
        let versions = rows.iter().all(|row| row.version.is_some());
        note_duplicates(found, rows.len(), rows.iter().all(|row| *row == rows[0]), versions);
    }
    for anchor in &groups {
        let rows: Vec<&GroupRow> = source.groups.iter().filter(|group| group.anchor == *anchor).collect();
        let versions = rows.iter().all(|row| row.version.is_some());
        note_duplicates(found, rows.len(), rows.iter().all(|row| *row == rows[0]), versions);
    }
}

fn note_duplicates(found: &mut BTreeSet<&'static str>, rows: usize, equal: bool, versions: bool) {
    note(found, "duplicate_equal", rows > 1 && equal);
    note(found, "duplicate_versioned", rows > 1 && !equal && versions);
    note(found, "duplicate_ambiguous", rows > 1 && !equal && !versions);
}

fn has_row(world: &World, anchor: &str) -> bool {
    world.source.users.iter().any(|user| user.anchor == anchor)
        || world.source.groups.iter().any(|group| group.anchor == anchor)
}

fn member_features(world: &World, found: &mut BTreeSet<&'static str>) {
    for member in world.source.groups.iter().flat_map(|group| &group.members) {
        let anchor = match &member.target {
            MemberTarget::Anchor(anchor) if has_row(world, anchor) => continue,
            MemberTarget::Anchor(anchor) => anchor,
            MemberTarget::Unresolved(text) => {
                found.insert("unresolved");
                note(found, "leaf", world.options.leaf_texts.contains(text));
                continue;
            }
        };
        note(found, "leaf", world.options.leaf_anchors.contains(anchor));
        let answer = world.source.existence.get(anchor).filter(|_| world.source.has_existence);
        note(
            found,
            "dangling_gone",
            answer == Some(&Existence::Gone) || world.source.tombstones.contains(anchor),
        );
        note(found, "dangling_looked_up", matches!(answer, Some(Existence::Exists(_))));
        found.insert(match member.hint {
            KindHint::User => "dangling_user",
            KindHint::Group => "dangling_group",
            KindHint::Other => "dangling_other",
            KindHint::Foreign => "foreign",
            KindHint::Unknown => "dangling_unknown",
        });
    }
}

fn graph_features(world: &World, found: &mut BTreeSet<&'static str>) {
    let walks = |anchor: &str| below(&world.source, Nesting::Flatten, anchor);
    for group in &world.source.groups {
        let direct: BTreeSet<&String> = group
            .members
            .iter()
            .filter_map(|member| match &member.target {
                MemberTarget::Anchor(anchor) => Some(anchor),
                MemberTarget::Unresolved(_) => None,
            })
            .collect();
        note(found, "self_loop", direct.contains(&group.anchor));
        note(found, "cycle", !direct.contains(&group.anchor) && walks(&group.anchor).contains(&group.anchor));
        let mut seen = BTreeSet::new();
        for anchor in direct.into_iter().filter(|anchor| **anchor != group.anchor) {
            let reached = walks(anchor);
            let mut all = reached.iter().chain([anchor]).filter(|anchor| **anchor != group.anchor);
            let twice = !all.all(|anchor| seen.insert(anchor.clone()));
            note(found, "diamond", twice);
            note(found, "nested", !reached.is_empty());
        }
    }
}

fn ours<'a>(world: &'a World, external_ids: &'a [(String, String)]) -> BTreeSet<&'a str> {
    let ours = external_ids.iter().filter(|(issuer, _)| *issuer == world.options.issuer);
    ours.map(|(_, value)| value.as_str()).collect()
}

fn store_features(world: &World, found: &mut BTreeSet<&'static str>) {
    let store = &world.store;
    note(found, "no_cascade", !store.cascades);
    note(found, "no_listing", !store.can_list_members);
    let entitled = entitled(world);
    let is_entitled =
        |ids: &[(String, String)]| ours(world, ids).iter().any(|anchor| entitled.contains(*anchor));
    let mut links: BTreeMap<&str, usize> = BTreeMap::new();
    let users = store.users.iter().map(|user| &user.external_ids);
    for external_ids in users.chain(store.groups.iter().map(|group| &group.external_ids)) {
        let anchors = ours(world, external_ids);
        note(found, "two_links", anchors.len() > 1);
        note(found, "unmanaged", anchors.is_empty());
        note(found, "other_issuer", external_ids.iter().any(|(issuer, _)| *issuer != world.options.issuer));
        for anchor in anchors {
            *links.entry(anchor).or_default() += 1;
        }
    }
    note(found, "two_records", links.values().any(|count| *count > 1));
    note(found, "gone", links.keys().any(|anchor| is_buried(world, anchor)));
    note(found, "absent_unproven", links.keys().any(|a| !has_row(world, a) && !is_buried(world, a)));
    for user in store.users.iter().filter(|user| !ours(world, &user.external_ids).is_empty()) {
        let jit = user.origin == Some(Origin::Jit);
        note(found, "jit_entitled", jit && is_entitled(&user.external_ids));
        note(found, "jit_unentitled", jit && !is_entitled(&user.external_ids));
        note(found, "inactive", !user.active);
        note(found, "left_scope", !jit && !is_entitled(&user.external_ids));
    }
    let managed = |id: &String| {
        let mut users = store.users.iter().filter(|user| user.id == *id);
        let mut groups = store.groups.iter().filter(|group| group.id == *id);
        users.any(|user| !ours(world, &user.external_ids).is_empty())
            || groups.any(|group| !ours(world, &group.external_ids).is_empty())
    };
    for group in store.groups.iter().filter(|group| !ours(world, &group.external_ids).is_empty()) {
        note(found, "kept_group", !is_entitled(&group.external_ids));
        note(found, "unmanaged_member", group.members.iter().any(|member| !managed(member)));
        let groups = store.groups.iter().map(|group| &group.id);
        note(found, "group_in_group", groups.into_iter().any(|id| group.members.contains(id)));
    }
    let renamed = world.source.users.iter().any(|row| {
        let record =
            store.users.iter().find(|user| ours(world, &user.external_ids).contains(row.anchor.as_str()));
        record.is_some_and(|record| record.attributes.get("userName") != row.attributes.get("upn"))
    });
    note(found, "rename", renamed);
}

fn is_buried(world: &World, anchor: &str) -> bool {
    let source = &world.source;
    let looked_up = source.has_existence && source.existence.get(anchor) == Some(&Existence::Gone);
    !has_row(world, anchor) && (looked_up || source.tombstones.iter().any(|tombstone| tombstone == anchor))
}

fn option_features(world: &World, found: &mut BTreeSet<&'static str>) {
    let options = &world.options;
    note(found, "direct_only", options.nesting == Nesting::DirectOnly);
    note(found, "protected", !options.protected_ids.is_empty() || !options.protected_anchors.is_empty());
    note(found, "protected_name", !options.protected_names.is_empty());
    note(found, "guards", options.guards != Guards::default());
    note(found, "absence_is_proof", options.absence_is_proof && !world.source.has_existence);
    note(found, "remove_unmanaged", options.unmanaged_members == UnmanagedMembers::Remove);
    note(found, "left_scope_delete", options.users.left_scope == Deprovision::Delete);
    note(found, "left_scope_deactivate", options.users.left_scope == Deprovision::Deactivate);
    note(found, "group_left_scope_delete", options.groups.left_scope == Deprovision::Delete);
    note(found, "group_left_scope_deactivate", options.groups.left_scope == Deprovision::Deactivate);
    note(found, "disabled_delete", options.users.disabled_in_source == Deprovision::Delete);
    let stored = |principal: &Principal| matches!(principal, Principal::Stored(_));
    note(found, "assigned_by_store_id", world.assignments.principals.iter().any(stored));
}

fn plan_features(world: &World, found: &mut BTreeSet<&'static str>) {
    let plan = match oracle::decide(world) {
        Ok(plan) => plan,
        Err(_) => {
            found.insert("refused");
            return;
        }
    };
    note(found, "held", !plan.held.is_empty());
    note(found, "aborted", !plan.held.is_empty() && world.options.on_trip == OnTrip::Abort);
    note(found, "quiet", plan.held.is_empty() && plan.operations.is_empty());
    note(found, "kept", !plan.kept.is_empty());
    note(found, "blocked", !plan.blocked.is_empty());
    for diagnostic in &plan.diagnostics {
        note(found, "collision", diagnostic.starts_with("conflict "));
        note(found, "ambiguous", diagnostic.starts_with("ambiguous "));
        note(found, "required_missing", diagnostic.starts_with("required "));
        note(found, "principal_unresolved", diagnostic.starts_with("principal "));
    }
    let freed: BTreeSet<&String> =
        world.store.users.iter().filter_map(|u| first_name(&u.attributes)).collect();
    for operation in plan.operations.iter().chain(&plan.held) {
        let name = match operation {
            oracle::Operation::CreateUser { attributes, .. } => {
                note(found, "name_reuse", first_name(attributes).is_some_and(|name| freed.contains(name)));
                "create_user"
            }
            oracle::Operation::CreateGroup { .. } => "create_group",
            oracle::Operation::UpdateUser { changes, .. } => {
                let taken = changes.get("userName").and_then(|(_, new)| new.first());
                note(found, "name_handed_on", taken.is_some_and(|name| freed.contains(name)));
                note(found, "clear", changes.values().any(|(_, new)| new.is_empty()));
                "update_user"
            }
            oracle::Operation::UpdateGroup { .. } => "update_group",
            oracle::Operation::TempUpdate { .. } => "swap",
            oracle::Operation::Deactivate(_) => "deactivate",
            oracle::Operation::Reactivate(_) => "reactivate",
            oracle::Operation::DeleteUser(_) => "delete_user",
            oracle::Operation::DeleteGroup(_) => "delete_group",
            oracle::Operation::AddMembers { .. } => "add_members",
            oracle::Operation::RemoveMembers { .. } => "remove_members",
            oracle::Operation::RemoveMembersBeforeDelete { .. } => "remove_before_delete",
        };
        found.insert(name);
    }
}

fn first_name(attributes: &Attributes) -> Option<&String> {
    attributes.get("userName").and_then(|values| values.first())
}
