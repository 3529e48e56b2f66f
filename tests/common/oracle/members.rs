//! Who leaves which group, and who is added to which (rules E4, D1 to D3, D6, C2).

use super::super::world::{AccountState, Extent, MemberRemovals, UnmanagedMembers};
use super::facts::{Fate, Managed, listed_members, protected_member, state};
use super::operation::Reference;
use super::source::{Kind, Unread, View};
use super::writes::Writes;
use std::collections::{BTreeMap, BTreeSet};

/// Why a member leaves a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// Not below the group any more, unmanaged under `Remove`, or about to be deleted after a grace period.
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

/// All removals of members, and the groups that keep somebody because a list is incomplete, or because nobody is
/// to be removed at all.
pub fn removals<'a>(
    view: &View<'a>,
    records: &BTreeMap<&'a str, Managed<'a>>,
) -> (Vec<Removal<'a>>, BTreeSet<&'a str>) {
    let mut result = Vec::new();
    let mut blocked = BTreeSet::new();
    let options = &view.world.options;
    if options.extent == Extent::NewEntitlements {
        return (result, blocked);
    }
    let groups = records.values().filter(|record| record.kind == Kind::Group && !record.protected);
    for group in groups {
        for member in listed_members(view.world, group.id) {
            let mut why = why_removed(view, records, group, member, &mut blocked);
            if options.member_removals == MemberRemovals::Never
                && (why.remove(&Why::Ordinary) | why.remove(&Why::Emptied))
            {
                blocked.insert(group.id);
            }
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
    let leaving = record.is_some_and(|member| member.leaving);
    let ordinary = match (group.fate, record) {
        (Fate::Deactivated, Some(_)) => {
            why.insert(Why::Emptied);
            false
        }
        (Fate::Entitled | Fate::Kept | Fate::KeptGone, Some(_)) if leaving => true,
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

/// The flattened list of the record is known: each anchor of it was read with a complete one, or is gone; beside one that
/// was read it may be no principal, too.
fn list_complete(view: &View<'_>, group: &Managed<'_>) -> bool {
    let any_read = group.anchors.iter().any(|anchor| view.complete.contains(anchor));
    let no_principal =
        |anchor: &&str| any_read && !view.alive(anchor) && view.unread(anchor) == Unread::Other;
    let known = |anchor: &&str| view.complete.contains(anchor) || view.gone(anchor) || no_principal(anchor);
    group.anchors.iter().all(known)
}

/// Some anchor of the member is below some anchor of the group.
fn reached(view: &View<'_>, group: &Managed<'_>, member: &Managed<'_>) -> bool {
    let mut below = group.anchors.iter().filter_map(|anchor| view.below.get(anchor));
    below.any(|below| member.anchors.iter().any(|anchor| below.contains(anchor)))
}

/// Rule E4, the other direction: anchors of the users that a group (by its one anchor) shall gain, if they
/// have a record or get one.
fn grantable<'a>(
    view: &View<'a>,
    records: &BTreeMap<&'a str, Managed<'a>>,
    group: &str,
) -> BTreeSet<&'a str> {
    let options = &view.world.options;
    let may = |anchor: &&&'a str| {
        let readable = view.users.get(**anchor).is_some_and(|user| !user.withdrawn);
        let linked = view.links_of(anchor);
        let sound = linked.iter().all(|(_, id)| {
            let takes_part = |r: &Managed<'_>| !r.ambiguous && !r.protected && !r.leaving;
            records.get(id).is_some_and(|r| takes_part(r) && r.fate != Fate::Deleted)
        });
        // The quick pass grants nothing to a disabled account, which it does not make inactive.
        let quick = options.extent == Extent::NewEntitlements;
        let disabled = quick && state(view, anchor) == AccountState::Disabled;
        !disabled
            && readable
            && sound
            && !view.ambiguous_rows(anchor)
            && !options.protected_anchors.contains(**anchor)
    };
    view.below.get(group).into_iter().flatten().filter(may).copied().collect()
}

/// Whom this plan adds to which group.
pub fn additions(
    view: &View<'_>,
    records: &BTreeMap<&str, Managed<'_>>,
    users: &Writes,
    groups: &Writes,
) -> BTreeSet<(Reference, Reference)> {
    let options = &view.world.options;
    let mut result = BTreeSet::new();
    for anchor in view.groups.keys().filter(|anchor| view.entitled.contains(*anchor)) {
        if !view.world.store.can_list_members && !options.add_members_to.contains(*anchor) {
            continue;
        }
        let record = view.links_of(anchor).first().and_then(|(_, id)| records.get(id));
        let group = match record {
            Some(record) if !record.protected && !record.ambiguous && !view.groups[anchor].withdrawn => {
                Reference::Stored(record.id.to_owned())
            }
            None if groups.creates.contains_key(*anchor) => Reference::Created((*anchor).to_owned()),
            _ => continue,
        };
        let present = record.map(|record| listed_members(view.world, record.id));
        for user in grantable(view, records, anchor) {
            let member = match view.links_of(user).first() {
                Some((_, id)) if present.as_ref().is_some_and(|present| present.contains(id)) => continue,
                Some((_, id)) => Reference::Stored((*id).to_owned()),
                None if users.creates.contains_key(user) => Reference::Created(user.to_owned()),
                None => continue,
            };
            result.insert((group.clone(), member));
        }
    }
    result
}
