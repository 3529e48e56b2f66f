//! Which attributes are written: by updates, creates, and the temporary values of a cycle of names.

use super::super::world::{AccountState, Attributes, Deprovision, Extent, Mapping, Schema};
use super::facts::{Fate, Managed, state};
use super::holding::Op;
use super::memory::Memory;
use super::operation::Changes;
use super::release::{Offers, add_releases, offers};
use super::source::{Kind, View};
use super::values::{Holder, Party, Wanted, canonical, keys, map_attributes, quarantined};
use std::collections::{BTreeMap, BTreeSet};

/// Updates by store id, creates by anchor: of one kind.
#[derive(Debug, Default)]
pub struct Writes {
    pub updates: BTreeMap<String, Update>,
    pub creates: BTreeMap<String, Attributes>,
}

/// What one update operation writes.
#[derive(Debug)]
pub struct Update {
    pub anchor: String,
    pub changes: Changes,
    /// The origin becomes `Synced` (rule J2).
    pub adopt: bool,
    /// Only gives up names (rule M4).
    pub release: bool,
}

/// An operation, the values that it writes, and the store id of its record.
pub type Writing<'w> = (Op, Attributes, Option<&'w str>);

impl Writes {
    pub fn planned(&self, kind: Kind) -> Vec<Writing<'_>> {
        let new_values = |changes: &Changes| {
            changes.iter().map(|(name, (_, new))| (name.clone(), new.clone())).collect::<BTreeMap<_, _>>()
        };
        let updates = self
            .updates
            .iter()
            .map(|(id, update)| (Op::Update(id.clone()), new_values(&update.changes), Some(id.as_str())));
        let creates = self
            .creates
            .iter()
            .map(|(anchor, attributes)| (Op::Create(kind, anchor.clone()), attributes.clone(), None));
        updates.chain(creates).collect()
    }
}

pub fn schema_and_map<'a>(view: &View<'a>, kind: Kind) -> (&'a Schema, &'a [Mapping]) {
    let world = view.world;
    match kind {
        Kind::User => (&world.store.user_schema, &world.options.user_map),
        Kind::Group => (&world.store.group_schema, &world.options.group_map),
    }
}

/// Attributes, unreadable ones, and whether it is withdrawn: of the row of this kind.
pub fn row_of<'v>(
    view: &'v View<'_>,
    kind: Kind,
    anchor: &str,
) -> Option<(&'v Attributes, &'v BTreeSet<String>, bool)> {
    match kind {
        Kind::User => view.users.get(anchor).map(|row| (&row.attributes, &row.unreadable, row.withdrawn)),
        Kind::Group => view.groups.get(anchor).map(|row| (&row.attributes, &row.unreadable, row.withdrawn)),
    }
}

/// All records of a kind as holders of unique values, the unmanaged ones too.
pub fn holders<'a>(view: &View<'a>, records: &BTreeMap<&'a str, Managed<'a>>, kind: Kind) -> Vec<Holder<'a>> {
    let store = &view.world.store;
    let users = store.users.iter().map(|user| (Kind::User, user.id.as_str(), &user.attributes));
    let groups = store.groups.iter().map(|group| (Kind::Group, group.id.as_str(), &group.attributes));
    let deleted = |id: &str| records.get(id).is_some_and(|record| record.fate == Fate::Deleted);
    users
        .chain(groups)
        .filter(|(found, _, _)| *found == kind)
        .map(|(_, id, attributes)| Holder { id, attributes, deleted: deleted(id), offers: Offers::new() })
        .collect()
}

/// The entitled, read, unambiguous objects within their bounds.
fn parties(view: &View<'_>, records: &BTreeMap<&str, Managed<'_>>, kind: Kind) -> Vec<Party> {
    let (schema, map) = schema_and_map(view, kind);
    let options = &view.world.options;
    let quick = options.extent == Extent::NewEntitlements;
    let mut result = Vec::new();
    for anchor in &view.entitled {
        let Some((attributes, unreadable, false)) = row_of(view, kind, anchor) else { continue };
        let record = view.links_of(anchor).first().and_then(|(_, id)| records.get(id));
        if view.ambiguous_rows(anchor) || record.is_some_and(|record| record.ambiguous) {
            continue;
        }
        let writable = match record {
            Some(record) => !record.protected && record.fate != Fate::Deleted && !quick,
            None => !options.protected_anchors.contains(*anchor) && creatable(view, kind, anchor),
        };
        result.push(Party {
            anchor: (*anchor).to_owned(),
            record: record.map(|record| record.id.to_owned()),
            writable,
            wanted: map_attributes(map, schema, attributes, unreadable),
            flapping: BTreeSet::new(),
        });
    }
    result
}

/// Rule A5: nobody is created while his state is unknown, or only to be deleted.
pub fn creatable(view: &View<'_>, kind: Kind, anchor: &str) -> bool {
    kind == Kind::Group
        || match state(view, anchor) {
            AccountState::Enabled => true,
            AccountState::Disabled => view.world.options.users.disabled_in_source != Deprovision::Delete,
            AccountState::Unknown => false,
        }
}

/// Everything that is written to records of one kind.
pub fn writes(
    view: &View<'_>,
    records: &BTreeMap<&str, Managed<'_>>,
    kind: Kind,
    memory: &mut Memory,
    diagnostics: &mut BTreeSet<String>,
) -> Writes {
    let (schema, map) = schema_and_map(view, kind);
    let mut parties = parties(view, records, kind);
    if view.world.options.extent == Extent::Full {
        leave_out_flapping(kind, memory, &mut parties, records, schema, diagnostics);
    }
    let mut offered = offers(view, records, kind, &parties);
    let mut holders = holders(view, records, kind);
    for holder in &mut holders {
        holder.offers = offered.remove(holder.id).unwrap_or_default();
    }
    let blocked = quarantined(&parties, &holders, schema);
    let mut writes = Writes::default();
    for party in &parties {
        diagnose(view, party, &blocked, diagnostics);
        let is_blocked = |name: &String| blocked.contains(&(party.anchor.clone(), name.clone()));
        if let Some(record) = party.record.as_deref().and_then(|id| records.get(id)) {
            let changes =
                if party.writable { changes(party, record, schema, is_blocked) } else { Changes::new() };
            let adopt = record.jit && !record.protected && record.fate != Fate::Deleted;
            if !changes.is_empty() || adopt {
                let update = Update { anchor: party.anchor.clone(), changes, adopt, release: false };
                writes.updates.insert(record.id.to_owned(), update);
            }
            continue;
        }
        if !party.writable {
            continue;
        }
        let required = |name: &String| {
            schema.get(name).is_some_and(|rule| rule.required)
                || map.iter().any(|mapping| mapping.target == *name && mapping.required)
        };
        let mut possible = true;
        let mut attributes = Attributes::new();
        for (name, wanted) in &party.wanted {
            match wanted {
                Wanted::Values(values) if !is_blocked(name) => {
                    attributes.insert(name.clone(), values.clone());
                }
                _ => possible &= !required(name),
            }
        }
        if possible {
            writes.creates.insert(party.anchor.clone(), attributes);
        }
    }
    add_releases(view, records, kind, &parties, &holders, &mut writes);
    writes
}

/// Rule A4: these attributes keep what they hold.
fn leave_out_flapping(
    kind: Kind,
    memory: &mut Memory,
    parties: &mut [Party],
    records: &BTreeMap<&str, Managed<'_>>,
    schema: &Schema,
    diagnostics: &mut BTreeSet<String>,
) {
    let flapping = memory.flapping(kind, parties, records, schema);
    diagnostics.extend(flapping.iter().map(|(anchor, attribute)| format!("flapping {anchor} {attribute}")));
    for party in parties {
        let own = flapping.iter().filter(|(anchor, _)| *anchor == party.anchor);
        party.flapping = own.map(|(_, attribute)| attribute.clone()).collect();
    }
}

/// What is left out for lack of a name or of a value.
fn diagnose(
    view: &View<'_>,
    party: &Party,
    blocked: &BTreeSet<(String, String)>,
    diagnostics: &mut BTreeSet<String>,
) {
    if party.record.is_some() && view.world.options.extent == Extent::NewEntitlements {
        return;
    }
    for (attribute, wanted) in &party.wanted {
        if *wanted == Wanted::RequiredEmpty {
            diagnostics.insert(format!("required {} {attribute}", party.anchor));
        }
        let blocked = blocked.contains(&(party.anchor.clone(), attribute.clone()));
        if blocked && !party.flapping.contains(attribute) {
            diagnostics.insert(format!("conflict {} {attribute}", party.anchor));
        }
    }
}

fn changes(
    party: &Party,
    record: &Managed<'_>,
    schema: &Schema,
    is_blocked: impl Fn(&String) -> bool,
) -> Changes {
    let mut changes = Changes::new();
    for (name, wanted) in &party.wanted {
        let old = canonical(record.attributes.get(name));
        let new = match wanted {
            Wanted::Values(values) => values.clone(),
            Wanted::Clear => Vec::new(),
            Wanted::Leave | Wanted::RequiredEmpty => continue,
        };
        let left_out = party.flapping.contains(name) || is_blocked(name);
        if !left_out && keys(&old, name, schema) != keys(&new, name, schema) {
            changes.insert(name.clone(), (old, new));
        }
    }
    changes
}

/// The records whose values `new` takes, with the attribute and the keys: it must wait until they give them up.
pub fn takes<'a>(
    holders: &[Holder<'a>],
    schema: &Schema,
    own: Option<&str>,
    new: &BTreeMap<String, Vec<String>>,
) -> Vec<(&'a str, String, BTreeSet<String>)> {
    let mut result = Vec::new();
    for (name, values) in new {
        if !schema.get(name).is_some_and(|rule| rule.unique) {
            continue;
        }
        let wanted = keys(values, name, schema);
        for holder in holders.iter().filter(|holder| own != Some(holder.id)) {
            let held = keys(&canonical(holder.attributes.get(name)), name, schema);
            if !held.is_disjoint(&wanted) {
                result.push((holder.id, name.clone(), held.intersection(&wanted).cloned().collect()));
            }
        }
    }
    result
}

/// The attributes that each record must first set to a temporary value: in every cycle of updates that wait
/// for each other the least anchor steps aside, until no cycle is left (rule P6).
pub fn temporaries(
    holders: &[Holder<'_>],
    schema: &Schema,
    updates: &BTreeMap<String, Update>,
) -> BTreeMap<String, BTreeSet<String>> {
    let mut edges: BTreeSet<(&str, &str, String)> = BTreeSet::new();
    for (id, update) in updates {
        let new = update.changes.iter().map(|(name, (_, new))| (name.clone(), new.clone())).collect();
        for (holder, attribute, _) in takes(holders, schema, Some(id), &new) {
            if updates.contains_key(holder) {
                edges.insert((id, holder, attribute));
            }
        }
    }
    let mut result: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    loop {
        let reach = closure(&edges);
        let in_cycle: Vec<&str> =
            reach.iter().filter(|(from, to)| from == to).map(|(node, _)| *node).collect();
        if in_cycle.is_empty() {
            return result;
        }
        let least_of = |node: &str| {
            let same = in_cycle
                .iter()
                .filter(|other| reach.contains(&(node, **other)) && reach.contains(&(**other, node)));
            same.copied().min_by_key(|id| &updates[*id].anchor)
        };
        let aside: BTreeSet<&str> = in_cycle.iter().filter_map(|node| least_of(node)).collect();
        let freed: BTreeSet<(&str, String)> = edges
            .iter()
            .filter(|(from, to, _)| aside.contains(to) && reach.contains(&(*to, *from)))
            .map(|(_, to, attribute)| (*to, attribute.clone()))
            .collect();
        for (id, attribute) in &freed {
            result.entry((*id).to_owned()).or_default().insert(attribute.clone());
        }
        edges.retain(|(_, to, attribute)| !freed.contains(&(*to, attribute.clone())));
    }
}

fn closure<'a>(edges: &BTreeSet<(&'a str, &'a str, String)>) -> BTreeSet<(&'a str, &'a str)> {
    let mut reach: BTreeSet<(&str, &str)> = edges.iter().map(|(from, to, _)| (*from, *to)).collect();
    let nodes: BTreeSet<&str> = reach.iter().flat_map(|(from, to)| [*from, *to]).collect();
    for middle in &nodes {
        for from in &nodes {
            for to in &nodes {
                if reach.contains(&(from, middle)) && reach.contains(&(middle, to)) {
                    reach.insert((from, to));
                }
            }
        }
    }
    reach
}
