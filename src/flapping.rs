//! Values that come back different each time that they were written (rule A4).

use std::collections::{BTreeMap, BTreeSet};

use crate::attributes::Attributes;
use crate::diff::Draft;
use crate::fingerprint::Fingerprint;
use crate::links::Links;
use crate::model::Kind;
use crate::object::{Object, Objects};
use crate::run::{Memory, WrittenValue, WrittenValues};
use crate::snapshot::NONE;
use crate::value::{Desired, Rules};

/// Per rule the objects whose value was written in two runs and never stayed: it is left alone until it changes in the source.
/// Takes into the draft what is to be remembered of values that were written.
///
/// Linear in objects, and only where earlier runs wrote anything that was not looked at since.
pub(crate) fn frozen(
    draft: &mut Draft,
    links: &Links<'_>,
    objects: &Objects,
    rules: &Rules<'_>,
    plain: &[bool],
    memory: &Memory,
) -> BTreeMap<usize, BTreeSet<u32>> {
    let mut frozen: BTreeMap<usize, BTreeSet<u32>> = BTreeMap::new();
    if !memory.has_written() {
        return frozen;
    }
    for (number, object) in objects.all.iter().enumerate().filter(|(_, object)| object.record != NONE) {
        // All of its values are seen to stay.
        if plain[number] {
            continue;
        }
        let record = record_name(objects.kind, links.anchor(object.node));
        let (written, created) = (memory.written(record), memory.created(record));
        if written.is_none() && created.is_none() {
            continue;
        }
        if !object.is_entitled() || object.barred || object.source == NONE {
            draft.written.extend(written.map(|values| (record, values.clone())));
            draft.created.extend(created.map(|values| (record, values)));
            continue;
        }
        let source = source(links, objects.kind, object);
        let stored = links.store.attributes(objects.kind, object.record as usize);
        let as_created = created.is_some_and(|created| created == all_values(rules, source));
        let mut left = WrittenValues::new();
        for (index, rule) in rules.rules.iter().enumerate() {
            let known = written.and_then(|values| values.get(rule.target)).copied();
            let desired = rule.desired(source);
            if desired == Desired::Unchanged {
                left.extend(known.map(|known| (rule.target.to_owned(), known)));
                continue;
            }
            if rule.is_settled(&desired, stored) {
                continue;
            }
            let value = value_name(desired.values());
            let times = known.filter(|known| known.value == value).map_or(0, |known| known.times);
            let now = WrittenValue { value, times: times.saturating_add(u8::from(as_created)) };
            if now.times > 0 {
                left.insert(rule.target.to_owned(), now);
            }
            if now.is_flapping() {
                frozen.entry(index).or_default().insert(number as u32);
            }
        }
        if !left.is_empty() {
            draft.written.insert(record, left);
        }
    }
    frozen
}

/// What stands for a record.
pub(crate) fn record_name(kind: Kind, anchor: &str) -> Fingerprint {
    Fingerprint::of([if kind == Kind::User { "user" } else { "group" }, anchor])
}

/// What stands for the values of one attribute.
pub(crate) fn value_name<'v>(values: impl Iterator<Item = &'v str>) -> Fingerprint {
    Fingerprint::of(values)
}

/// What stands for all values that a create writes, in the order of the attribute map.
pub(crate) fn values_name<'v>(values: impl Iterator<Item = (&'v str, &'v str)>) -> Fingerprint {
    Fingerprint::of(values.flat_map(|(name, value)| [name, value]))
}

fn all_values(rules: &Rules<'_>, source: Attributes<'_>) -> Fingerprint {
    let all: Vec<(&str, Desired<'_>)> =
        rules.rules.iter().map(|rule| (rule.target, rule.desired(source))).collect();
    values_name(all.iter().flat_map(|(name, desired)| desired.values().map(|value| (*name, value))))
}

fn source<'s>(links: &Links<'s>, kind: Kind, object: &Object) -> Attributes<'s> {
    match kind {
        Kind::User => links.source.user_row(object.source as usize),
        Kind::Group => links.source.group_row(object.source as usize),
    }
}
