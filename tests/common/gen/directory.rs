//! The directory as it was when it was last synced.

use super::super::world::*;
use super::{ISSUER, NAMES, Rng, SOURCE, Swarm};
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn directory(rng: &mut Rng, swarm: &Swarm) -> World {
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
            identity: SOURCE.to_owned(),
            generation: None,
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
            remembers_deactivation: false,
            can_adopt: true,
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
                grace: UserGrace::default(),
            },
            groups: GroupPolicy {
                deleted_in_source: Deprovision::Delete,
                left_scope: keep_all,
                grace: GroupGrace::default(),
            },
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
            release_names: false,
            soft_match: SoftMatch::default(),
            reactivate: Reactivate::OwnOnly,
            canaries: Canaries::default(),
            member_removals: MemberRemovals::Planned,
            extent: Extent::Full,
        },
        now: 0,
    }
}

pub(super) fn texts(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

pub fn new_user(rng: &mut Rng, index: usize) -> UserRow {
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

pub(super) fn new_group(rng: &mut Rng, index: usize) -> GroupRow {
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

pub fn member(anchor: &str, hint: KindHint) -> Member {
    Member { target: MemberTarget::Anchor(anchor.to_owned()), hint }
}

pub fn external(anchor: &str) -> Principal {
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
