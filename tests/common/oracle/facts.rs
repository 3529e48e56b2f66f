//! What is true of each managed record, and what rules D1, D3, A5, A7, J2 and M8 do to it.

use super::super::world::{
    AccountState, Attributes, Deprovision, Origin, StoreGroup, StoreUser, UnmanagedMembers, World,
};
use super::source::{Kind, View};
use super::values::{canonical, key};
use std::collections::{BTreeMap, BTreeSet};

/// A store record that carries our issuer.
#[derive(Clone, Debug)]
pub struct Managed<'a> {
    pub id: &'a str,
    pub kind: Kind,
    pub anchors: BTreeSet<&'a str>,
    pub attributes: &'a Attributes,
    /// False for groups.
    pub active: bool,
    pub jit: bool,
    pub protected: bool,
    pub ambiguous: bool,
    pub entitled: bool,
    pub gone: bool,
    /// A row of any of its anchors was read.
    pub read: bool,
    pub disabled: bool,
    pub fate: Fate,
    /// Not entitled, and rule D1 keeps it (it may still be deactivated because it is disabled).
    pub kept: bool,
    /// Rule D1 would do more, but for want of proof.
    pub blocked: bool,
}

/// What becomes of a managed record as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Protected, or a JIT user that is not entitled.
    Untouched,
    Entitled,
    /// Not entitled, stays as it is; groups shrink (rule D3).
    Kept,
    /// As `Kept`, but nothing below it can be known any more.
    KeptGone,
    /// A user that is made inactive, or a group that loses its managed members.
    Deactivated,
    Deleted,
}

impl<'a> Managed<'a> {
    /// The one anchor of a record that is not ambiguous.
    pub fn anchor(&self) -> &'a str {
        self.anchors.first().copied().unwrap_or("")
    }
}

/// All managed records with their fates, by store id.
pub fn managed_records<'a>(view: &View<'a>) -> BTreeMap<&'a str, Managed<'a>> {
    let world = view.world;
    let users = world.store.users.iter().filter_map(|user| managed_user(view, user));
    let groups = world.store.groups.iter().filter_map(|group| managed_group(view, group));
    users.chain(groups).map(|record| (record.id, record)).collect()
}

fn managed_user<'a>(view: &View<'a>, user: &'a StoreUser) -> Option<Managed<'a>> {
    let mut record = facts(view, Kind::User, &user.id, &user.external_ids, &user.attributes)?;
    record.active = user.active;
    record.jit = user.origin == Some(Origin::Jit);
    record.fate = user_fate(view, &mut record);
    Some(record)
}

fn managed_group<'a>(view: &View<'a>, group: &'a StoreGroup) -> Option<Managed<'a>> {
    let mut record = facts(view, Kind::Group, &group.id, &group.external_ids, &group.attributes)?;
    record.fate = group_fate(view, &mut record);
    Some(record)
}

fn facts<'a>(
    view: &View<'a>,
    kind: Kind,
    id: &'a str,
    external_ids: &'a [(String, String)],
    attributes: &'a Attributes,
) -> Option<Managed<'a>> {
    let options = &view.world.options;
    let ours = external_ids.iter().filter(|(issuer, _)| *issuer == options.issuer);
    let anchors: BTreeSet<&'a str> = ours.map(|(_, value)| value.as_str()).collect();
    if anchors.is_empty() {
        return None;
    }
    let other_kind = |anchor: &str| match kind {
        Kind::User => view.groups.contains_key(anchor),
        Kind::Group => view.users.contains_key(anchor),
    };
    let ambiguous =
        |anchor: &&str| view.links_of(anchor).len() > 1 || view.ambiguous_rows(anchor) || other_kind(anchor);
    Some(Managed {
        id,
        kind,
        attributes,
        active: false,
        jit: false,
        protected: options.protected_ids.contains(id)
            || anchors.iter().any(|anchor| options.protected_anchors.contains(*anchor)),
        ambiguous: anchors.len() > 1 || anchors.iter().any(ambiguous),
        entitled: anchors.iter().any(|anchor| view.entitled.contains(anchor)),
        gone: anchors.iter().all(|anchor| view.gone(anchor)),
        read: anchors.iter().any(|anchor| view.alive(anchor)),
        disabled: anchors.iter().any(|anchor| state(view, anchor) == AccountState::Disabled),
        fate: Fate::Untouched,
        kept: false,
        blocked: false,
        anchors,
    })
}

/// The account state that counts (rule A5). An anchor without a user row is not known to be disabled.
pub fn state(view: &View<'_>, anchor: &str) -> AccountState {
    if !view.world.source.account_state {
        return AccountState::Enabled;
    }
    view.users.get(anchor).map_or(AccountState::Unknown, |user| user.state)
}

/// What leaving the scope does to a record that is neither entitled nor gone, and whether more was blocked.
fn left_scope(view: &View<'_>, record: &Managed<'_>, policy: Deprovision) -> (Deprovision, bool) {
    let complete = match record.kind {
        Kind::User => view.world.source.users_complete,
        Kind::Group => view.world.source.groups_complete,
    };
    if !view.scope_provable || !(record.read || complete) {
        return (Deprovision::Keep, policy != Deprovision::Keep);
    }
    if !record.read && policy == Deprovision::Delete {
        return (Deprovision::Deactivate, true);
    }
    (policy, false)
}

fn user_fate(view: &View<'_>, record: &mut Managed<'_>) -> Fate {
    let policy = view.world.options.users;
    if record.protected || (record.jit && !record.entitled && !record.gone) {
        return Fate::Untouched;
    }
    if record.gone {
        record.kept = policy.deleted_in_source == Deprovision::Keep;
        return fate_of(policy.deleted_in_source, Fate::KeptGone);
    }
    let mut action = Deprovision::Keep;
    if !record.entitled {
        (action, record.blocked) = left_scope(view, record, policy.left_scope);
        record.kept = action == Deprovision::Keep;
    }
    if record.disabled {
        action = action.max(policy.disabled_in_source);
    }
    record.kept &= action != Deprovision::Delete;
    fate_of(action, if record.entitled { Fate::Entitled } else { Fate::Kept })
}

fn group_fate(view: &View<'_>, record: &mut Managed<'_>) -> Fate {
    let policy = view.world.options.groups;
    if record.protected {
        return Fate::Untouched;
    }
    if record.entitled {
        return Fate::Entitled;
    }
    let fate = if record.gone {
        fate_of(policy.deleted_in_source, Fate::KeptGone)
    } else {
        let (action, blocked) = left_scope(view, record, policy.left_scope);
        record.blocked = blocked;
        fate_of(action, Fate::Kept)
    };
    record.kept = matches!(fate, Fate::Kept | Fate::KeptGone);
    // Rule M8: the delete would strip a protected member, so only the others go.
    if fate == Fate::Deleted
        && listed_members(view.world, record.id).iter().any(|m| protected_member(view, m))
    {
        record.blocked = true;
        return Fate::Deactivated;
    }
    fate
}

fn fate_of(action: Deprovision, stays: Fate) -> Fate {
    match action {
        Deprovision::Keep => stays,
        Deprovision::Deactivate => Fate::Deactivated,
        Deprovision::Delete => Fate::Deleted,
    }
}

/// The members of a group as the store lists them: nobody where it cannot list any.
pub fn listed_members<'a>(world: &'a World, group: &str) -> BTreeSet<&'a str> {
    if !world.store.can_list_members {
        return BTreeSet::new();
    }
    let group = world.store.groups.iter().find(|candidate| candidate.id == group);
    group.into_iter().flat_map(|group| group.members.iter().map(String::as_str)).collect()
}

/// Rule M8: managed records are protected by id or anchor, unmanaged ones by id or name.
pub fn protected_member(view: &View<'_>, id: &str) -> bool {
    let options = &view.world.options;
    if options.protected_ids.contains(id) {
        return true;
    }
    let anchors: Vec<&str> = view
        .links
        .iter()
        .filter(|(_, records)| records.iter().any(|(_, r)| *r == id))
        .map(|(a, _)| *a)
        .collect();
    if !anchors.is_empty() {
        return anchors.iter().any(|anchor| options.protected_anchors.contains(*anchor));
    }
    let store = &view.world.store;
    let users = store.users.iter().map(|user| (&user.id, &user.attributes, &store.user_schema));
    let groups = store.groups.iter().map(|group| (&group.id, &group.attributes, &store.group_schema));
    users.chain(groups).filter(|(found, _, _)| *found == id).any(|(_, attributes, schema)| {
        schema.iter().filter(|(_, rule)| rule.unique).any(|(name, rule)| {
            let values = canonical(attributes.get(name));
            let named = |value: &String| {
                options
                    .protected_names
                    .iter()
                    .any(|name| key(name, rule.matching) == key(value, rule.matching))
            };
            values.iter().any(named)
        })
    })
}

/// Why a member leaves a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// Not below the group any more, or unmanaged under `Remove`.
    Ordinary,
    /// The group is emptied (rule D1), or would have been deleted but for a protected member.
    Emptied,
    /// Only precedes the delete of the user.
    UserDeleted,
    /// Only precedes the delete of the group.
    GroupDeleted,
}

/// One member leaving one group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Removal<'a> {
    pub group: &'a str,
    pub member: &'a str,
    pub why: BTreeSet<Why>,
}

/// All removals of members, and the groups that keep somebody because a list is incomplete.
pub fn removals<'a>(
    view: &View<'a>,
    records: &BTreeMap<&'a str, Managed<'a>>,
) -> (Vec<Removal<'a>>, BTreeSet<&'a str>) {
    let mut result = Vec::new();
    let mut blocked = BTreeSet::new();
    let groups = records.values().filter(|record| record.kind == Kind::Group && !record.protected);
    for group in groups {
        for member in listed_members(view.world, group.id) {
            let why = why_removed(view, records, group, member, &mut blocked);
            if !why.is_empty() {
                result.push(Removal { group: group.id, member, why });
            }
        }
    }
    (result, blocked)
}

fn why_removed<'a>(
    view: &View<'a>,
    records: &BTreeMap<&'a str, Managed<'a>>,
    group: &Managed<'a>,
    member: &'a str,
    blocked: &mut BTreeSet<&'a str>,
) -> BTreeSet<Why> {
    let cascades = view.world.store.cascades;
    let record = records.get(member);
    let deleted_user = record.is_some_and(|m| m.kind == Kind::User && m.fate == Fate::Deleted);
    let mut why = BTreeSet::new();
    if deleted_user && !cascades {
        why.insert(Why::UserDeleted);
    }
    if group.fate == Fate::Deleted && !cascades {
        why.insert(Why::GroupDeleted);
    }
    if deleted_user || group.fate == Fate::Deleted || protected_member(view, member) {
        return why;
    }
    let ordinary = match (group.fate, record) {
        (Fate::Deactivated, Some(_)) => {
            why.insert(Why::Emptied);
            false
        }
        (Fate::Entitled, None) => {
            view.world.options.unmanaged_members == UnmanagedMembers::Remove && list_complete(view, group)
        }
        (Fate::Entitled | Fate::Kept, Some(member)) => {
            let group_in_group = member.kind == Kind::Group;
            let lost = group_in_group || !reached(view, group, member);
            if lost && !list_complete(view, group) {
                blocked.insert(group.id);
            }
            lost && list_complete(view, group)
        }
        _ => false,
    };
    if ordinary {
        why.insert(Why::Ordinary);
    }
    why
}

/// The flattened list of the record is known: each anchor of it was read with a complete one, or is gone.
fn list_complete(view: &View<'_>, group: &Managed<'_>) -> bool {
    group.anchors.iter().all(|anchor| view.complete.contains(anchor) || view.gone(anchor))
}

/// Some anchor of the member is below some anchor of the group.
fn reached(view: &View<'_>, group: &Managed<'_>, member: &Managed<'_>) -> bool {
    let mut below = group.anchors.iter().filter_map(|anchor| view.below.get(anchor));
    below.any(|below| member.anchors.iter().any(|anchor| below.contains(anchor)))
}

/// Rule E4, the other direction: anchors of the users that a group (by its one anchor) shall gain, if they
/// have a record or get one.
pub fn grantable<'a>(
    view: &View<'a>,
    records: &BTreeMap<&'a str, Managed<'a>>,
    group: &str,
) -> BTreeSet<&'a str> {
    let options = &view.world.options;
    let may = |anchor: &&&'a str| {
        let readable = view.users.get(**anchor).is_some_and(|user| !user.withdrawn);
        let linked = view.links_of(anchor);
        let sound = linked.iter().all(|(_, id)| {
            records.get(id).is_some_and(|r| !r.ambiguous && !r.protected && r.fate != Fate::Deleted)
        });
        readable && sound && !view.ambiguous_rows(anchor) && !options.protected_anchors.contains(**anchor)
    };
    view.below.get(group).into_iter().flatten().filter(may).copied().collect()
}
