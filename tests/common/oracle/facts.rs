//! What is true of each managed record (rules M5, M8, A5, J2).

use super::super::world::{
    AccountState, Attributes, DeactivatedBy, Existence, Origin, StoreGroup, StoreUser, World,
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
    /// An administrator made it inactive, and the store remembers (rule A7).
    pub locked: bool,
    pub protected: bool,
    pub ambiguous: bool,
    pub entitled: bool,
    pub gone: bool,
    /// A row of any of its anchors was read.
    pub read: bool,
    /// A look-up says that one of its anchors exists.
    pub looked_up: bool,
    pub disabled: bool,
    /// Read, and not disabled.
    pub enabled: bool,
    /// This plan adopts it (rule M3).
    pub adopted: bool,
    pub fate: Fate,
    /// A cause that is not due yet would delete him: he loses all memberships at once (rule D1).
    pub leaving: bool,
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

/// All managed records by store id; their fates are settled later.
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
    let by_other = user.deactivated_by != Some(DeactivatedBy::Sync);
    record.locked = view.world.store.remembers_deactivation && !user.active && by_other;
    Some(record)
}

fn managed_group<'a>(view: &View<'a>, group: &'a StoreGroup) -> Option<Managed<'a>> {
    facts(view, Kind::Group, &group.id, &group.external_ids, &group.attributes)
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
    let source = &view.world.source;
    let exists = |anchor: &&str| matches!(source.existence.get(*anchor), Some(Existence::Exists(_)));
    let enabled =
        |anchor: &&str| view.users.contains_key(*anchor) && state(view, anchor) == AccountState::Enabled;
    let disabled = anchors.iter().any(|anchor| state(view, anchor) == AccountState::Disabled);
    Some(Managed {
        id,
        kind,
        attributes,
        active: false,
        jit: false,
        locked: false,
        protected: options.protected_ids.contains(id)
            || anchors.iter().any(|anchor| options.protected_anchors.contains(*anchor)),
        ambiguous: anchors.len() > 1 || anchors.iter().any(ambiguous),
        entitled: anchors.iter().any(|anchor| view.entitled.contains(anchor)),
        gone: anchors.iter().all(|anchor| view.gone(anchor)),
        read: anchors.iter().any(|anchor| view.alive(anchor)),
        looked_up: source.has_existence && anchors.iter().any(exists),
        disabled,
        enabled: !disabled && anchors.iter().any(enabled),
        adopted: false,
        fate: Fate::Untouched,
        leaving: false,
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
