//! Which interesting situations a world holds.

use super::super::oracle;
use super::super::world::*;
use super::synced::{below, entitled};
use std::collections::{BTreeMap, BTreeSet};

/// Every name that `features` may give.
pub const ALL_FEATURES: [&str; 103] = [
    "aborted",
    "absence_is_proof",
    "absent_unproven",
    "add_members",
    "adopt_group",
    "adopt_user",
    "adoption_held",
    "ambiguous",
    "assigned_by_store_id",
    "blocked",
    "both_kinds",
    "canary",
    "canary_missing",
    "cannot_adopt",
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
    "grace",
    "grant_limit",
    "grants_held",
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
    "locked",
    "name_handed_on",
    "name_reuse",
    "nested",
    "no_account_state",
    "no_cascade",
    "no_listing",
    "no_lookups",
    "no_removals",
    "not_adopted",
    "other_issuer",
    "partial_assignments",
    "partial_groups",
    "partial_list",
    "partial_users",
    "pending",
    "principal_unresolved",
    "protected",
    "protected_name",
    "quick",
    "quick_grant",
    "quiet",
    "reactivate",
    "reactivate_always",
    "refused",
    "release_names",
    "released",
    "remove_before_delete",
    "remove_members",
    "remove_unmanaged",
    "rename",
    "required_missing",
    "self_loop",
    "soft_match",
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
    "window",
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
    note(found, "release_names", options.release_names);
    note(found, "soft_match", options.soft_match != SoftMatch::default());
    note(found, "reactivate_always", options.reactivate == Reactivate::Always);
    note(found, "canary", options.canaries != Canaries::default());
    note(found, "window", options.guards.window.is_some());
    note(found, "grant_limit", options.guards.grants.is_some());
    note(found, "no_removals", options.member_removals == MemberRemovals::Never);
    note(found, "quick", options.extent == Extent::NewEntitlements);
    let grace = options.users.grace != UserGrace::default() || options.groups.grace != GroupGrace::default();
    note(found, "grace", grace);
    note(found, "assigned_by_store_id", world.assignments.principals.iter().any(stored));
}

fn plan_features(world: &World, found: &mut BTreeSet<&'static str>) {
    let plan = match oracle::decide(world) {
        Ok(plan) => plan,
        Err(refusal) => {
            found.insert("refused");
            note(found, "cannot_adopt", refusal == oracle::Refusal::CannotAdopt);
            return;
        }
    };
    note(found, "held", !plan.held.is_empty());
    note(found, "aborted", !plan.held.is_empty() && world.options.on_trip == OnTrip::Abort);
    note(found, "quiet", plan.held.is_empty() && plan.operations.is_empty());
    note(found, "kept", !plan.kept.is_empty());
    note(found, "blocked", !plan.blocked.is_empty());
    for diagnostic in &plan.diagnostics {
        note(found, "grants_held", diagnostic == "tripped grants");
        note(found, "not_adopted", diagnostic.starts_with("not_adopted "));
        note(found, "locked", diagnostic.starts_with("locked "));
        note(found, "canary_missing", diagnostic.starts_with("canary "));
        note(found, "collision", diagnostic.starts_with("conflict "));
        note(found, "ambiguous", diagnostic.starts_with("ambiguous "));
        note(found, "required_missing", diagnostic.starts_with("required "));
        note(found, "principal_unresolved", diagnostic.starts_with("principal "));
    }
    note(found, "pending", !plan.pending.is_empty());
    let adoption = |operation: &oracle::Operation| operation.to_string().starts_with("adopt_");
    note(found, "adoption_held", plan.held.iter().any(adoption));
    let quick = world.options.extent == Extent::NewEntitlements;
    note(found, "quick_grant", quick && !plan.operations.is_empty());
    let freed: BTreeSet<&String> =
        world.store.users.iter().filter_map(|u| first_name(&u.attributes)).collect();
    for operation in plan.operations.iter().chain(&plan.held) {
        note(found, "released", plan.notes.get(operation).is_some_and(|note| note.release));
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
            oracle::Operation::AdoptUser { .. } => "adopt_user",
            oracle::Operation::AdoptGroup { .. } => "adopt_group",
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
