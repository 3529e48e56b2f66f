//! From a test world to what the library takes.

use identity_sync::{
    AccountState, Adoption, Assignments, AttributeSchema, Completeness, DeactivatedBy, DeactivationMemory,
    Deprovision, Existence, Extent, ExternalId, Generation, GroupPage, Limit, MatchRule, MemberKind,
    MemberRemovals, Members, MembershipsOnDelete, Missing, Nesting, OnTrip, Options, Origin, Period,
    Principal, Reactivate, SourceAnchor, SourceCapabilities, SourceSnapshot, StoreCapabilities,
    StoreSnapshot, StoredGroupPage, StoredUserPage, UnmanagedMembers, UserPage, Window,
};

use super::world::{self, World};

pub fn completeness(complete: bool) -> Completeness {
    if complete { Completeness::Complete } else { Completeness::partial("test") }
}

fn kind(hint: world::KindHint) -> MemberKind {
    match hint {
        world::KindHint::User => MemberKind::User,
        world::KindHint::Group => MemberKind::Group,
        world::KindHint::Other => MemberKind::Other,
        world::KindHint::Foreign => MemberKind::Foreign,
        world::KindHint::Unknown => MemberKind::Unknown,
    }
}

pub fn state(state: world::AccountState) -> AccountState {
    match state {
        world::AccountState::Enabled => AccountState::Enabled,
        world::AccountState::Disabled => AccountState::Disabled,
        world::AccountState::Unknown => AccountState::Unknown,
    }
}

pub fn existence(answer: world::Existence) -> Existence {
    match answer {
        world::Existence::Gone => Existence::Gone,
        world::Existence::Unknown => Existence::Unknown,
        world::Existence::Exists(hint) => Existence::Exists { kind: kind(hint) },
    }
}

pub fn capabilities(source: &world::Source) -> SourceCapabilities {
    let mut capabilities = SourceCapabilities::default();
    if source.has_existence {
        capabilities = capabilities.with_existence();
    }
    if !source.account_state {
        capabilities = capabilities.without_account_state();
    }
    capabilities
}

pub fn user_row(page: &mut UserPage, user: &world::UserRow) {
    let mut row = page.user(&user.anchor);
    row.state(state(user.state));
    if let Some(version) = user.version {
        row.version(version);
    }
    for (name, values) in &user.attributes {
        for value in values {
            row.attribute(name, value);
        }
    }
    for name in &user.unreadable {
        row.unreadable(name);
    }
    if user.withdrawn {
        row.withdraw();
    }
}

pub fn group_row(page: &mut GroupPage, group: &world::GroupRow) {
    let mut row = page.group(&group.anchor);
    if let Some(version) = group.version {
        row.version(version);
    }
    for (name, values) in &group.attributes {
        for value in values {
            row.attribute(name, value);
        }
    }
    for name in &group.unreadable {
        row.unreadable(name);
    }
    for member in &group.members {
        match &member.target {
            world::MemberTarget::Anchor(anchor) => row.member_of_kind(anchor, kind(member.hint)),
            world::MemberTarget::Unresolved(text) => row.unresolved(text, kind(member.hint)),
        };
    }
    if group.members_complete {
        row.members_complete();
    } else {
        row.members_partial();
    }
    if group.withdrawn {
        row.withdraw();
    }
}

pub fn generation(source: &world::Source) -> Option<Generation> {
    let generation = source.generation.as_ref()?;
    Some(Generation::new(generation.replica.as_str(), generation.number))
}

/// `rows` rows to a page.
pub fn source(source: &world::Source, rows: usize, asks: bool) -> SourceSnapshot {
    let mut builder = SourceSnapshot::builder(source.identity.as_str(), capabilities(source));
    builder.generation(generation(source));
    let mut page = UserPage::default();
    for users in source.users.chunks(rows.max(1)) {
        page.clear();
        users.iter().for_each(|user| user_row(&mut page, user));
        builder.users(&page).unwrap();
    }
    page.clear();
    source.tombstones.iter().for_each(|anchor| page.tombstone(anchor));
    builder.users(&page).unwrap();
    let mut page = GroupPage::default();
    for groups in source.groups.chunks(rows.max(1)) {
        page.clear();
        groups.iter().for_each(|group| group_row(&mut page, group));
        builder.groups(&page).unwrap();
    }
    builder.users_end(completeness(source.users_complete));
    builder.groups_end(completeness(source.groups_complete));
    let snapshot = builder.finish();
    // A quick pass asks no questions (rule I3).
    if !source.has_existence || !asks {
        return snapshot;
    }
    let answers: Vec<(SourceAnchor, Existence)> = source
        .existence
        .iter()
        .map(|(anchor, answer)| (anchor.as_str().into(), existence(*answer)))
        .collect();
    snapshot.with_existence(answers.iter().map(|(anchor, answer)| (anchor, *answer)))
}

pub fn store_capabilities(store: &world::Store) -> StoreCapabilities {
    let schema = |schema: &world::Schema| {
        schema
            .iter()
            .map(|(name, rule)| {
                let matching = match rule.matching {
                    world::Matching::Exact => MatchRule::Exact,
                    world::Matching::AsciiCaseFold => MatchRule::AsciiCaseFold,
                    world::Matching::NfkcCasefold => MatchRule::NfkcCasefold,
                };
                let mut schema = AttributeSchema::default().matching(matching);
                schema.unique = rule.unique;
                schema.required = rule.required;
                schema.multi_valued = rule.multi_valued;
                (name.clone(), schema)
            })
            .collect()
    };
    let mut capabilities = StoreCapabilities::named("test-store");
    capabilities.users = schema(&store.user_schema);
    capabilities.groups = schema(&store.group_schema);
    if !store.cascades {
        capabilities.memberships_on_delete = MembershipsOnDelete::RemoveFirst;
    }
    if !store.can_list_members {
        capabilities.members = Members::Unlisted;
    }
    if store.remembers_deactivation {
        capabilities.deactivation = DeactivationMemory::Remembered;
    }
    if store.can_adopt {
        capabilities.adoption = Adoption::Supported;
    }
    capabilities
}

/// Nobody known made it so: not we, then.
pub fn deactivated_by(user: &world::StoreUser) -> DeactivatedBy {
    match user.deactivated_by {
        Some(world::DeactivatedBy::Sync) => DeactivatedBy::Sync,
        Some(world::DeactivatedBy::Other) | None => DeactivatedBy::Other,
    }
}

pub fn store(store: &world::Store) -> StoreSnapshot {
    let mut builder = StoreSnapshot::builder(store_capabilities(store));
    let mut page = StoredUserPage::default();
    for user in &store.users {
        let mut row = page.user(&user.id);
        row.active(user.active).deactivated_by(deactivated_by(user));
        match user.origin {
            Some(world::Origin::Synced) => {
                row.origin(Origin::Synced);
            }
            Some(world::Origin::Jit) => {
                row.origin(Origin::Jit);
            }
            None => {}
        }
        for (issuer, value) in &user.external_ids {
            row.external_id(issuer, value);
        }
        for (name, values) in &user.attributes {
            for value in values {
                row.attribute(name, value);
            }
        }
    }
    builder.users(&page).unwrap();
    let mut page = StoredGroupPage::default();
    for group in &store.groups {
        let mut row = page.group(&group.id);
        for (issuer, value) in &group.external_ids {
            row.external_id(issuer, value);
        }
        for (name, values) in &group.attributes {
            for value in values {
                row.attribute(name, value);
            }
        }
        if store.can_list_members {
            for member in &group.members {
                row.member(member);
            }
        }
    }
    builder.groups(&page).unwrap();
    builder.finish(completeness(store.complete))
}

pub fn assignments(assignments: &world::Assignments) -> Assignments {
    let principals = assignments.principals.iter().map(|principal| match principal {
        world::Principal::External(issuer, value) => {
            Principal::External(ExternalId::new(issuer.as_str(), value.as_str()))
        }
        world::Principal::Stored(id) => Principal::Stored(id.as_str().into()),
    });
    Assignments { read: completeness(assignments.complete), principals: principals.collect() }
}

fn deprovision(policy: world::Deprovision) -> Deprovision {
    match policy {
        world::Deprovision::Keep => Deprovision::Keep,
        world::Deprovision::Deactivate => Deprovision::Deactivate,
        world::Deprovision::Delete => Deprovision::Delete,
    }
}

pub fn options(options: &world::Options) -> Options {
    let mut converted = Options::for_issuer(options.issuer.as_str());
    for (map, lines) in
        [(&mut converted.user_map, &options.user_map), (&mut converted.group_map, &options.group_map)]
    {
        *map = identity_sync::AttributeMap::new();
        for line in lines {
            let mapping = map.set(&line.target, &line.template).unwrap();
            mapping.missing = match line.missing {
                world::Missing::Clear => Missing::Clear,
                world::Missing::Keep => Missing::Keep,
            };
            mapping.required = line.required;
        }
    }
    converted.nesting = match options.nesting {
        world::Nesting::Flatten => Nesting::Flatten,
        world::Nesting::DirectOnly => Nesting::DirectOnly,
    };
    converted.users.deleted_in_source = deprovision(options.users.deleted_in_source);
    converted.users.left_scope = deprovision(options.users.left_scope);
    converted.users.disabled_in_source = deprovision(options.users.disabled_in_source);
    converted.groups.deleted_in_source = deprovision(options.groups.deleted_in_source);
    converted.groups.left_scope = deprovision(options.groups.left_scope);
    converted.unmanaged_members = match options.unmanaged_members {
        world::UnmanagedMembers::Keep => UnmanagedMembers::Keep,
        world::UnmanagedMembers::Remove => UnmanagedMembers::Remove,
    };
    converted.absence_is_proof = options.absence_is_proof;
    converted.allow_empty.users = options.allow_empty_users;
    converted.allow_empty.groups = options.allow_empty_groups;
    converted.allow_empty.assignments = options.allow_empty_assignments;
    converted.protected.ids = options.protected_ids.iter().map(|id| id.as_str().into()).collect();
    converted.protected.anchors = options.protected_anchors.iter().map(|id| id.as_str().into()).collect();
    converted.protected.names = options.protected_names.iter().cloned().collect();
    converted.leaves.anchors = options.leaf_anchors.iter().map(|id| id.as_str().into()).collect();
    converted.leaves.texts = options.leaf_texts.iter().cloned().collect();
    let limit = |limit: Option<world::Limit>| limit.map(|l| Limit::new(l.count, l.percent, l.floor));
    let guards = &options.guards;
    converted.guards.user_deletes = limit(guards.user_deletes);
    converted.guards.deactivations = limit(guards.deactivations);
    converted.guards.group_deletes = limit(guards.group_deletes);
    converted.guards.removals_in_all = limit(guards.removals_in_all);
    converted.guards.removals_per_group = limit(guards.removals_per_group);
    converted.guards.clears_per_attribute = limit(guards.clears_per_attribute);
    converted.guards.on_trip = match options.on_trip {
        world::OnTrip::Hold => OnTrip::Hold,
        world::OnTrip::Abort => OnTrip::Abort,
    };
    converted.guards.adoptions = limit(guards.adoptions);
    converted.guards.grants = limit(guards.grants);
    converted.guards.window = guards
        .window
        .map(|window| Window { period: Period::of_seconds(window.period), percent: window.percent });
    let grace = &options.users.grace;
    converted.users.grace.deleted_in_source = Period::of_seconds(grace.deleted_in_source);
    converted.users.grace.left_scope = Period::of_seconds(grace.left_scope);
    converted.users.grace.disabled_in_source = Period::of_seconds(grace.disabled_in_source);
    let grace = &options.groups.grace;
    converted.groups.grace.deleted_in_source = Period::of_seconds(grace.deleted_in_source);
    converted.groups.grace.left_scope = Period::of_seconds(grace.left_scope);
    converted.release_names = options.release_names;
    converted.soft_match.users = options.soft_match.users.iter().cloned().collect();
    converted.soft_match.groups = options.soft_match.groups.iter().cloned().collect();
    converted.reactivate = match options.reactivate {
        world::Reactivate::OwnOnly => Reactivate::OwnOnly,
        world::Reactivate::Always => Reactivate::Always,
    };
    converted.canaries.users = options.canaries.users.iter().map(|id| id.as_str().into()).collect();
    converted.canaries.groups = options.canaries.groups.iter().map(|id| id.as_str().into()).collect();
    converted.member_removals = match options.member_removals {
        world::MemberRemovals::Planned => MemberRemovals::Planned,
        world::MemberRemovals::Never => MemberRemovals::Never,
    };
    converted.extent = match options.extent {
        world::Extent::Full => Extent::Full,
        world::Extent::NewEntitlements => Extent::NewEntitlements,
    };
    converted.add_members_to = options.add_members_to.iter().map(|id| id.as_str().into()).collect();
    converted
}

/// A whole world in the library's terms.
pub struct Converted {
    pub source: SourceSnapshot,
    pub store: StoreSnapshot,
    pub assignments: Assignments,
    pub options: Options,
}

pub fn convert(world: &World) -> Converted {
    Converted {
        source: source(&world.source, 3, world.options.extent == world::Extent::Full),
        store: store(&world.store),
        assignments: assignments(&world.assignments),
        options: options(&world.options),
    }
}
