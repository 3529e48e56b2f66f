//! Kept records that give up a name which is theirs no more, because somebody is entitled to it (rule M4).

use std::collections::{BTreeMap, BTreeSet};

use crate::diff::{Act, Cause, Draft, Step};
use crate::links::Links;
use crate::model::Kind;
use crate::object::{Object, Objects};
use crate::snapshot::NONE;
use crate::store::Change;
use crate::unique::{Release, Settlement};
use crate::value::{Desired, Rule, Rules};

/// Characters of the anchor that tell the old holder of a name from the new one, as many as are needed.
const PREFIXES: [usize; 4] = [8, 16, 32, usize::MAX];

/// Adds an update for every record whose value is really taken by this plan. Linear in records where there is any.
pub(crate) fn release(
    draft: &mut Draft,
    links: &Links<'_>,
    objects: &Objects,
    rules: &Rules<'_>,
    settlements: &BTreeMap<usize, Settlement>,
) {
    if settlements.values().all(|settlement| settlement.releases.is_empty()) {
        return;
    }
    let takers = takers(draft, objects.kind);
    let mut waits = Waits::new(draft, objects);
    let mut updates: BTreeMap<u32, (Vec<Change>, BTreeSet<u32>)> = BTreeMap::new();
    for (&number, settlement) in settlements {
        let rule = &rules.rules[number];
        let really = |release: &Release| takers.contains(&(release.taker, rule.target.to_owned()));
        let mut wanted: Vec<(&str, u32, BTreeSet<&Release>)> = settlement
            .releases
            .iter()
            .filter_map(|(&record, releases)| {
                let object = objects.of_record(record)?;
                let releases: BTreeSet<&Release> =
                    releases.iter().filter(|&release| really(release)).collect();
                let anchor = links.anchor(objects.all[object as usize].node);
                (!releases.is_empty()).then_some((anchor, object, releases))
            })
            .collect();
        wanted.sort_unstable();
        if wanted.is_empty() {
            continue;
        }
        let after = after(draft, objects, rule.target);
        let releasing = wanted.iter().map(|(_, object, _)| *object);
        let mut names = Names::new(objects, links, rule, &after, releasing);
        for (_, object, releases) in wanted {
            let (change, from) = names.change(object, &releases, &mut waits);
            from.iter().for_each(|&record| waits.add(objects, object, record));
            let frees = from.into_iter().map(|record| (objects.kind, object, record, rule.target.to_owned()));
            draft.frees.extend(frees);
            let (changes, by) = updates.entry(object).or_default();
            changes.push(change);
            by.extend(releases.iter().map(|release| release.taker));
        }
    }
    for (object, (changes, takers)) in updates {
        draft.released.push((objects.kind, object, takers));
        let act = Act::Update { changes, adopt: false };
        draft.steps.push(Step { kind: objects.kind, object, act, cause: Cause::NameReleased });
    }
}

/// Which objects take which attribute in this plan: an object whose create fails for another value takes nothing.
fn takers(draft: &Draft, kind: Kind) -> BTreeSet<(u32, String)> {
    let mut takers = BTreeSet::new();
    for step in draft.steps.iter().filter(|step| step.kind == kind) {
        match &step.act {
            Act::Create { row, .. } => {
                let names = draft.values.row(*row as usize).iter().map(|(name, _)| name);
                takers.extend(names.map(|name| (step.object, name.to_owned())));
            }
            Act::Update { changes, .. } => {
                takers.extend(changes.iter().map(|change| (step.object, change.attribute.clone())));
            }
            _ => {}
        }
    }
    takers
}

/// Which updates wait for which: a record that takes the name of one that waits for it would wait for itself.
struct Waits {
    /// Per object those whose updates free a value for it. A delete waits for no name.
    on: BTreeMap<u32, Vec<u32>>,
    /// Steps that may still be taken through them, so that no tangle of names takes for ever.
    left: usize,
}

impl Waits {
    fn new(draft: &Draft, objects: &Objects) -> Self {
        let mut waits = Self { on: BTreeMap::new(), left: 1_000_000 };
        for (_, taker, holder, _) in draft.frees.iter().filter(|(kind, ..)| *kind == objects.kind) {
            waits.add(objects, *taker, *holder);
        }
        waits
    }

    fn add(&mut self, objects: &Objects, taker: u32, holder: u32) {
        let Some(holder) = objects.of_record(holder) else { return };
        if !objects.all[holder as usize].is_deleted() {
            self.on.entry(taker).or_default().push(holder);
        }
    }

    /// Whether any of these records waits for an object, through whatever others. Where that takes too long to tell: yes.
    fn leads_back(&mut self, objects: &Objects, records: &[u32], to: u32) -> bool {
        let mut stack: Vec<u32> = records.iter().filter_map(|&record| objects.of_record(record)).collect();
        let mut seen: BTreeSet<u32> = stack.iter().copied().collect();
        while let Some(object) = stack.pop() {
            if object == to || self.left == 0 {
                return true;
            }
            self.left -= 1;
            let next = self.on.get(&object).into_iter().flatten();
            stack.extend(next.copied().filter(|&next| seen.insert(next)));
        }
        false
    }
}

/// What each record that this plan changes has of one attribute afterwards.
fn after(draft: &Draft, objects: &Objects, attribute: &str) -> BTreeMap<u32, Vec<String>> {
    let mut after = BTreeMap::new();
    for step in draft.steps.iter().filter(|step| step.kind == objects.kind) {
        let record = objects.all[step.object as usize].record;
        match &step.act {
            Act::Delete => {
                after.insert(record, Vec::new());
            }
            Act::Update { changes, .. } => {
                let change = changes.iter().find(|change| change.attribute == attribute);
                after.extend(change.map(|change| (record, change.new.clone())));
            }
            _ => {}
        }
    }
    after
}

/// Which values of one attribute are free once this plan has been applied. What is free only then is handed on in the order of
/// rule P6, but never in a cycle: so a run that was cut comes to the same end (rule X4).
struct Names<'a> {
    objects: &'a Objects,
    links: &'a Links<'a>,
    rule: &'a Rule<'a>,
    /// Keys among those looked at that somebody still holds then, or claims.
    taken: BTreeSet<String>,
    /// Records that have a key now, and not then.
    freed: BTreeMap<String, Vec<u32>>,
}

impl<'a> Names<'a> {
    fn new(
        objects: &'a Objects,
        links: &'a Links<'a>,
        rule: &'a Rule<'a>,
        after: &BTreeMap<u32, Vec<String>>,
        releasing: impl Iterator<Item = u32>,
    ) -> Self {
        let mut names = Self { objects, links, rule, taken: BTreeSet::new(), freed: BTreeMap::new() };
        let mut looked_at = BTreeSet::new();
        for object in releasing.map(|object| &objects.all[object as usize]) {
            looked_at.extend(rule.owned_keys(&names.current(object)));
            for value in names.held(object) {
                let longer = PREFIXES.iter().map(|&characters| names.longer(object, value, characters));
                looked_at.extend(longer.map(|name| rule.schema.matching.fold(&name).into_owned()));
            }
        }
        let kind = objects.kind;
        for row in 0..links.store.records(kind).len() {
            let keys = rule.keys(rule.held(links.store.attributes(kind, row)));
            let then = after.get(&(row as u32)).map(|new| rule.keys(new.iter().map(String::as_str)));
            for key in keys.into_iter().filter(|key| looked_at.contains(&**key)) {
                match &then {
                    Some(then) if !then.contains(&key) => {
                        names.freed.entry(key.into_owned()).or_default().push(row as u32);
                    }
                    _ => {
                        names.taken.insert(key.into_owned());
                    }
                }
            }
        }
        let claims = |object: &&Object| object.is_entitled() && !object.barred && object.source != NONE;
        for object in objects.all.iter().filter(claims) {
            let keys = rule.owned_keys(&names.current(object));
            names.taken.extend(keys.into_iter().filter(|key| looked_at.contains(key)));
        }
        names
    }

    /// What the object maps to now; nothing where it is gone.
    fn current(&self, object: &Object) -> Desired<'a> {
        match (self.objects.kind, object.source) {
            (_, NONE) => Desired::Empty,
            (Kind::User, row) => self.rule.desired(self.links.source.user_row(row as usize)),
            (Kind::Group, row) => self.rule.desired(self.links.source.group_row(row as usize)),
        }
    }

    fn held(&self, object: &Object) -> impl Iterator<Item = &'a str> + use<'a> {
        let stored = self.links.store.attributes(self.objects.kind, object.record as usize);
        self.rule.held(stored)
    }

    /// Its current name where that is free, with the records that have it now; else the old one with the beginning of its
    /// anchor.
    fn change(
        &mut self,
        number: u32,
        releases: &BTreeSet<&Release>,
        waits: &mut Waits,
    ) -> (Change, Vec<u32>) {
        let object = &self.objects.all[number as usize];
        let stored = self.links.store.attributes(self.objects.kind, object.record as usize);
        let old = self.rule.held_sorted(stored);
        let gives_up = |value: &str| {
            let key = self.rule.schema.matching.fold(value);
            releases.iter().any(|release| release.key == key)
        };
        let current = self.current(object);
        let own = self.rule.owned_keys(&Desired::Many(old.iter().map(String::as_str).collect()));
        let free = |key: &String| own.contains(key) || !self.taken.contains(key);
        let keys = self.rule.owned_keys(&current);
        let freed = keys.iter().filter_map(|key| self.freed.get(key)).flatten();
        let mut from: Vec<u32> = freed.copied().filter(|&record| record != object.record).collect();
        let can_be_had = !keys.is_empty() && keys.iter().all(free);
        let new = if can_be_had && !waits.leads_back(self.objects, &from, number) {
            self.taken.extend(keys);
            current.to_vec()
        } else {
            from.clear();
            let mut new = Vec::with_capacity(old.len());
            for value in &old {
                new.push(if gives_up(value) { self.invent(object, value) } else { value.clone() });
            }
            new.sort_unstable();
            new
        };
        (Change { attribute: self.rule.target.to_owned(), old, new }, from)
    }

    fn invent(&mut self, object: &Object, value: &str) -> String {
        let mut name = String::new();
        for characters in PREFIXES {
            name = self.longer(object, value, characters);
            // The whole anchor is nobody else's: where even that is taken, the store will say so.
            let key = self.rule.schema.matching.fold(&name).into_owned();
            if !self.freed.contains_key(&key) && self.taken.insert(key) {
                break;
            }
        }
        name
    }

    /// `{name}~{anchor prefix}`, for mail within the local part.
    fn longer(&self, object: &Object, value: &str, characters: usize) -> String {
        let anchor = self.links.anchor(object.node);
        let prefix: String = anchor.chars().take(characters).collect();
        match value.rsplit_once('@').filter(|_| self.rule.is_mail()) {
            Some((local, domain)) => format!("{local}~{prefix}@{domain}"),
            None => format!("{value}~{prefix}"),
        }
    }
}
