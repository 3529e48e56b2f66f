//! Rule M3: which records without any link are adopted by which objects without a record.

use super::super::world::{AccountState, Attributes, Extent, Origin, World};
use super::facts::{Managed, protected_member, state};
use super::source::{Kind, View};
use super::values::{Wanted, canonical, keys, map_attributes};
use super::writes::{creatable, row_of, schema_and_map};
use std::collections::{BTreeMap, BTreeSet};

/// What soft match decides.
#[derive(Debug, Default)]
pub struct Adoptions {
    /// Store id to the object that adopts the record.
    pub adopted: BTreeMap<String, (Kind, String)>,
    /// Anchors with several candidates, or whose candidate is that of others too.
    pub barred: BTreeSet<String>,
    /// Anchors with one candidate that must not be adopted.
    pub refused: BTreeSet<String>,
}

struct Record<'a> {
    id: &'a str,
    linked: bool,
    active: bool,
    attributes: &'a Attributes,
}

pub fn adoptions(view: &View<'_>) -> Adoptions {
    let mut result = Adoptions::default();
    for kind in [Kind::User, Kind::Group] {
        let named = match kind {
            Kind::User => &view.world.options.soft_match.users,
            Kind::Group => &view.world.options.soft_match.groups,
        };
        if !named.is_empty() {
            of_kind(view, kind, named, &mut result);
        }
    }
    result
}

fn of_kind(view: &View<'_>, kind: Kind, named: &[String], result: &mut Adoptions) {
    let (schema, map) = schema_and_map(view, kind);
    let records = records(view.world, kind);
    let mut candidates: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut doubtful: BTreeSet<&str> = BTreeSet::new();
    // Whoever else may be the right one, whatever becomes of him in this plan.
    let mut rivals: BTreeSet<(&str, &str)> = BTreeSet::new();
    let missing = missing_objects(view, kind);
    for anchor in contenders(view, kind) {
        let rows = match kind {
            Kind::User => view.users.get(anchor).map(|user| &user.rows),
            Kind::Group => view.groups.get(anchor).map(|group| &group.rows),
        };
        let wanted: Vec<_> = rows
            .into_iter()
            .flatten()
            .map(|(attributes, unreadable)| map_attributes(map, schema, attributes, unreadable))
            .collect();
        // A row as a whole, whichever it is.
        let shares = |record: &&Record<'_>| {
            wanted.iter().any(|wanted| {
                named.iter().all(|attribute| {
                    let Some(Wanted::Values(values)) = wanted.get(attribute) else { return false };
                    let held = keys(&canonical(record.attributes.get(attribute)), attribute, schema);
                    !held.is_disjoint(&keys(values, attribute, schema))
                })
            })
        };
        let matching: Vec<&Record<'_>> = records.iter().filter(shares).collect();
        if !missing.contains(&anchor) {
            rivals.extend(matching.iter().map(|record| (record.id, anchor)));
            continue;
        }
        let free = matching.iter().filter(|record| !record.linked).map(|record| record.id).collect();
        candidates.insert(anchor, free);
        if matching.iter().any(|record| record.linked) {
            doubtful.insert(anchor);
        }
    }
    for (anchor, ids) in &candidates {
        let wanted_by = |id: &&str| candidates.values().filter(|others| others.contains(*id)).count();
        let Some(id) = ids.first() else { continue };
        let active = records.iter().any(|record| record.id == *id && record.active);
        if ids.len() > 1 || wanted_by(id) > 1 || rivals.iter().any(|(record, _)| record == id) {
            result.barred.insert((*anchor).to_owned());
        } else if view.world.options.extent == Extent::NewEntitlements
            && kind == Kind::User
            && state(view, anchor) == AccountState::Disabled
        {
            // The quick pass links nobody whom a full run would make inactive, and makes none beside his record.
            result.barred.insert((*anchor).to_owned());
        } else if !active || protected_member(view, id) || doubtful.contains(anchor) {
            result.refused.insert((*anchor).to_owned());
        } else {
            result.adopted.insert((*id).to_owned(), (kind, (*anchor).to_owned()));
        }
    }
}

/// All objects of the kind that were read and are linked to a record of it, or entitled without a link.
fn contenders<'a>(view: &View<'a>, kind: Kind) -> BTreeSet<&'a str> {
    let world = view.world;
    let ours = |ids: &'a [(String, String)]| {
        ids.iter()
            .filter(|(issuer, _)| *issuer == world.options.issuer)
            .map(|(_, value)| value.as_str())
            .min()
    };
    let linked: Vec<&str> = match kind {
        Kind::User => world.store.users.iter().filter_map(|user| ours(&user.external_ids)).collect(),
        Kind::Group => world.store.groups.iter().filter_map(|group| ours(&group.external_ids)).collect(),
    };
    let entitled = view.entitled.iter().copied().filter(|anchor| view.links_of(anchor).is_empty());
    entitled.chain(linked).filter(|anchor| row_of(view, kind, anchor).is_some()).collect()
}

/// Entitled objects that were read, have no record, and would get one.
fn missing_objects<'a>(view: &View<'a>, kind: Kind) -> Vec<&'a str> {
    let protected = &view.world.options.protected_anchors;
    let missing = |anchor: &&str| {
        row_of(view, kind, anchor).is_some_and(|(_, _, withdrawn)| !withdrawn)
            && view.links_of(anchor).is_empty()
            && !view.ambiguous_rows(anchor)
            && !protected.contains(*anchor)
            && creatable(view, kind, anchor)
    };
    view.entitled.iter().copied().filter(missing).collect()
}

fn records(world: &World, kind: Kind) -> Vec<Record<'_>> {
    let users = world.store.users.iter().map(|user| Record {
        id: &user.id,
        linked: !user.external_ids.is_empty(),
        active: user.active,
        attributes: &user.attributes,
    });
    let groups = world.store.groups.iter().map(|group| Record {
        id: &group.id,
        linked: !group.external_ids.is_empty(),
        active: true,
        attributes: &group.attributes,
    });
    match kind {
        Kind::User => users.collect(),
        Kind::Group => groups.collect(),
    }
}

impl Adoptions {
    /// The world as the rest of the plan sees it: what is adopted is linked.
    pub fn linked(&self, world: &World) -> World {
        let mut world = world.clone();
        let link = |anchor: &String| (world.options.issuer.clone(), anchor.clone());
        for (id, (_, anchor)) in &self.adopted {
            let link = link(anchor);
            for user in world.store.users.iter_mut().filter(|user| user.id == *id) {
                user.external_ids.push(link.clone());
                user.origin = Some(Origin::Synced);
            }
            for group in world.store.groups.iter_mut().filter(|group| group.id == *id) {
                group.external_ids.push(link.clone());
            }
        }
        world
    }

    pub fn mark(&self, records: &mut BTreeMap<&str, Managed<'_>>) {
        for record in records.values_mut() {
            record.adopted = self.adopted.contains_key(record.id);
        }
    }
}
