//! Rule M4: a record that stays, but no longer maps to a name, gives the name up to whoever is entitled to it.

use super::super::world::{Attributes, Extent, Missing, Schema};
use super::facts::{Fate, Managed};
use super::operation::Changes;
use super::source::{Kind, View};
use super::values::{Holder, Party, Wanted, canonical, keys, map_attributes, placeholders};
use super::writes::{Update, Writes, row_of, schema_and_map, takes};
use std::collections::{BTreeMap, BTreeSet};

/// What a record can give up, by unique attribute.
pub type Offers = BTreeMap<String, Offer>;

#[derive(Clone, Debug)]
pub struct Offer {
    /// The keys that the record still maps to: these it keeps.
    still: BTreeSet<String>,
    /// What the source gives it now; empty: nothing.
    current: Vec<String>,
}

impl Offer {
    pub fn includes(&self, key: &str) -> bool {
        !self.still.contains(key)
    }
}

/// What is taken by others, by attribute: a released record gets none of it.
type Occupied = BTreeSet<(String, String)>;

/// What each record of the kind can give up.
pub fn offers(
    view: &View<'_>,
    records: &BTreeMap<&str, Managed<'_>>,
    kind: Kind,
    parties: &[Party],
) -> BTreeMap<String, Offers> {
    let options = &view.world.options;
    let mut result = BTreeMap::new();
    if !options.release_names || options.extent == Extent::NewEntitlements {
        return result;
    }
    for record in records.values().filter(|record| record.kind == kind && may_release(record)) {
        let mut offers = offers_of(view, record);
        let (schema, _) = schema_and_map(view, kind);
        let occupied = occupied(records, view, kind, record.id, parties);
        offers.retain(|attribute, offer| {
            replacement(record, attribute, offer, None, schema, &occupied, None).is_some()
        });
        result.insert(record.id.to_owned(), offers);
    }
    result
}

/// Stays in this plan, is not entitled, and is ours to change.
fn may_release(record: &Managed<'_>) -> bool {
    matches!(record.fate, Fate::Kept | Fate::KeptGone | Fate::Deactivated)
        && !record.entitled
        && !record.ambiguous
}

fn offers_of(view: &View<'_>, record: &Managed<'_>) -> Offers {
    let (schema, map) = schema_and_map(view, record.kind);
    let unique = schema.iter().filter(|(_, rule)| rule.unique).map(|(name, _)| name.clone());
    if record.gone {
        let nothing = Offer { still: BTreeSet::new(), current: Vec::new() };
        return unique.map(|name| (name, nothing.clone())).collect();
    }
    let Some((attributes, unreadable, false)) = row_of(view, record.kind, record.anchor()) else {
        return Offers::new();
    };
    let wanted = map_attributes(map, schema, attributes, unreadable);
    let mut offers = Offers::new();
    for name in unique {
        let Some(mapping) = map.iter().rfind(|mapping| mapping.target == name) else { continue };
        let unread = placeholders(&mapping.template).iter().any(|name| unreadable.contains(name));
        let current = match wanted.get(&name) {
            Some(Wanted::Values(values)) => values.clone(),
            _ if unread || mapping.missing == Missing::Keep => continue,
            _ => Vec::new(),
        };
        offers.insert(name.clone(), Offer { still: keys(&current, &name, schema), current });
    }
    offers
}

/// All values that other records hold or that entitled objects claim, by attribute and key.
fn occupied(
    records: &BTreeMap<&str, Managed<'_>>,
    view: &View<'_>,
    kind: Kind,
    own: &str,
    parties: &[Party],
) -> Occupied {
    let (schema, _) = schema_and_map(view, kind);
    let holders = super::writes::holders(view, records, kind);
    let held = holders.iter().filter(|holder| holder.id != own).flat_map(|holder| {
        holder.attributes.keys().map(|name| (name.clone(), canonical(holder.attributes.get(name))))
    });
    let claimed = parties.iter().flat_map(|party| &party.wanted).filter_map(|(name, wanted)| match wanted {
        Wanted::Values(values) => Some((name.clone(), values.clone())),
        _ => None,
    });
    let of = |(name, values): (String, Vec<String>)| {
        keys(&values, &name, schema).into_iter().map(move |key| (name.clone(), key)).collect::<Vec<_>>()
    };
    held.chain(claimed).flat_map(of).collect()
}

/// What the record gets instead of the taken keys (`None`: of all that it holds and no longer maps to).
fn replacement(
    record: &Managed<'_>,
    attribute: &str,
    offer: &Offer,
    taken: Option<&BTreeSet<String>>,
    schema: &Schema,
    occupied: &Occupied,
    current_is_free: Option<bool>,
) -> Option<Vec<String>> {
    let free = |values: &Vec<String>| {
        let keys = keys(values, attribute, schema);
        keys.into_iter().all(|key| !occupied.contains(&(attribute.to_owned(), key)))
    };
    if !offer.current.is_empty() && current_is_free.unwrap_or_else(|| free(&offer.current)) {
        return Some(offer.current.clone());
    }
    let mut values = Vec::new();
    for value in canonical(record.attributes.get(attribute)) {
        let key = keys(std::slice::from_ref(&value), attribute, schema);
        if taken.is_some_and(|taken| taken.is_disjoint(&key)) {
            values.push(value);
            continue;
        }
        let lengths = [8, 16, 32, usize::MAX];
        let new = lengths.iter().map(|length| suffixed(&value, record.anchor(), *length, attribute));
        values.push(new.into_iter().find(|new| free(&vec![new.clone()]))?);
    }
    Some(canonical(Some(&values)))
}

/// `{name}~{anchor prefix}`; in a mail address the local part gets it.
fn suffixed(value: &str, anchor: &str, length: usize, attribute: &str) -> String {
    let prefix: String = anchor.chars().take(length).collect();
    match value.rsplit_once('@') {
        Some((local, domain)) if attribute.to_ascii_lowercase().contains("mail") => {
            format!("{local}~{prefix}@{domain}")
        }
        _ => format!("{value}~{prefix}"),
    }
}

/// Adds an update for each record whose name is really taken in this plan.
pub fn add_releases(
    view: &View<'_>,
    records: &BTreeMap<&str, Managed<'_>>,
    kind: Kind,
    parties: &[Party],
    holders: &[Holder<'_>],
    writes: &mut Writes,
) {
    let (schema, _) = schema_and_map(view, kind);
    let mut taken: BTreeMap<&str, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for (_, new, own) in writes.planned(kind) {
        for (id, attribute, keys) in takes(holders, schema, own, &new) {
            let holder = holders.iter().find(|holder| holder.id == id);
            if holder.is_some_and(|holder| holder.offers.contains_key(&attribute)) {
                taken.entry(id).or_default().entry(attribute).or_default().extend(keys);
            }
        }
    }
    let mut ids: Vec<&str> = taken.keys().copied().collect();
    ids.sort_by_key(|id| records[id].anchor());
    let mut given = Occupied::new();
    let mut waits = waits(holders, schema, writes, kind);
    let after = after(holders, writes);
    let (_, map) = schema_and_map(view, kind);
    let mut attributes: Vec<&String> = taken.values().flat_map(|of| of.keys()).collect();
    attributes.sort_by_key(|attribute| map.iter().position(|mapping| mapping.target == **attribute));
    attributes.dedup();
    let mut all_changes: BTreeMap<&str, Changes> = BTreeMap::new();
    for attribute in attributes {
        for id in ids.iter().copied() {
            let Some(keys_taken) = taken[id].get(attribute) else { continue };
            let record = &records[id];
            let mut occupied = occupied(records, view, kind, id, parties);
            occupied.extend(given.iter().cloned());
            let holder = holders.iter().find(|holder| holder.id == id);
            let changes = all_changes.entry(id).or_default();
            let Some(offer) = holder.and_then(|holder| holder.offers.get(attribute)) else { continue };
            let wanted = keys(&offer.current, attribute, schema);
            let claimed = |key: &String| {
                given.contains(&(attribute.clone(), key.clone()))
                    || parties.iter().any(|party| match party.wanted.get(attribute) {
                        Some(Wanted::Values(values)) => keys(values, attribute, schema).contains(key),
                        _ => false,
                    })
            };
            let kept = |key: &String| {
                after.iter().any(|(other, values)| {
                    other != id && keys(&canonical(values.get(attribute)), attribute, schema).contains(key)
                })
            };
            // Those who have it now give it up before: unless one of them waits for this very record.
            let now = holders.iter().filter(|holder| {
                holder.id != id
                    && !keys(&canonical(holder.attributes.get(attribute)), attribute, schema)
                        .is_disjoint(&wanted)
            });
            let now: BTreeSet<String> =
                now.filter(|holder| !holder.deleted).map(|holder| holder.id.to_owned()).collect();
            let free = !wanted.iter().any(|key| claimed(key) || kept(key)) && !reaches(&waits, &now, id);
            let new = replacement(record, attribute, offer, Some(keys_taken), schema, &occupied, Some(free));
            let Some(new) = new else { continue };
            if new == offer.current {
                waits.entry(id.to_owned()).or_default().extend(now);
            }
            given.extend(keys(&new, attribute, schema).into_iter().map(|key| (attribute.clone(), key)));
            changes.insert(attribute.clone(), (canonical(record.attributes.get(attribute)), new));
        }
    }
    for (id, changes) in all_changes {
        let anchor = records[id].anchor().to_owned();
        writes.updates.insert(id.to_owned(), Update { anchor, changes, adopt: false, release: true });
    }
}

/// What every record has once this plan has run, releases left out.
fn after(holders: &[Holder<'_>], writes: &Writes) -> BTreeMap<String, Attributes> {
    let standing = holders.iter().filter(|holder| !holder.deleted);
    standing
        .map(|holder| {
            let mut values = holder.attributes.clone();
            for (name, (_, new)) in
                writes.updates.get(holder.id).into_iter().flat_map(|update| &update.changes)
            {
                values.insert(name.clone(), new.clone());
            }
            (holder.id.to_owned(), values)
        })
        .collect()
}

/// Which records take a value from which others, those that are deleted left out.
fn waits(
    holders: &[Holder<'_>],
    schema: &Schema,
    writes: &Writes,
    kind: Kind,
) -> BTreeMap<String, BTreeSet<String>> {
    let mut waits: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (_, new, own) in writes.planned(kind) {
        let Some(own) = own else { continue };
        for (id, _, _) in takes(holders, schema, Some(own), &new) {
            if holders.iter().any(|holder| holder.id == id && !holder.deleted) {
                waits.entry(own.to_owned()).or_default().insert(id.to_owned());
            }
        }
    }
    waits
}

fn reaches(waits: &BTreeMap<String, BTreeSet<String>>, from: &BTreeSet<String>, to: &str) -> bool {
    let mut seen = from.clone();
    loop {
        let next: BTreeSet<String> = seen.iter().filter_map(|id| waits.get(id)).flatten().cloned().collect();
        let before = seen.len();
        seen.extend(next);
        if seen.len() == before {
            return seen.contains(to);
        }
    }
}
