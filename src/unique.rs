//! Unique values: who gets a name that more than one wants (rule M6).

use std::collections::{BTreeMap, BTreeSet};

use crate::attributes::Attributes;
use crate::correlate::{Fate, Presence};
use crate::intern::Interner;
use crate::links::Links;
use crate::model::Kind;
use crate::object::{Object, Objects};
use crate::snapshot::NONE;
use crate::value::{Desired, Rule};

/// What came out for one unique attribute.
#[derive(Debug, Default)]
pub(crate) struct Settlement {
    /// Objects that do not get their value, with the record that has it, where one has.
    pub(crate) blocked: BTreeMap<u32, Option<u32>>,
    /// (taker, record that frees the value): the second must come first (rule P6).
    pub(crate) frees: Vec<(u32, u32)>,
    /// Records among them that stay, but whose name this is no more: they are given another one (rule M4).
    pub(crate) releases: BTreeMap<u32, Vec<Release>>,
}

/// A value that a record gives up (rule M4).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Release {
    /// The object that takes it.
    pub(crate) taker: u32,
    /// The value's match key.
    pub(crate) key: String,
}

/// What may be done to get values free.
#[derive(Clone, Copy)]
pub(crate) struct Moves<'m> {
    /// Records may be changed at all.
    pub(crate) changes: bool,
    /// Kept records give up names that are theirs no more (rule M4).
    pub(crate) releases: bool,
    /// Objects whose value of this attribute does not stay as it is written: they keep what they have (rule A4).
    pub(crate) frozen: &'m BTreeSet<u32>,
}

/// Someone who wants a value that his record does not have.
#[derive(Debug)]
struct Mover {
    object: u32,
    /// Numbers of the keys that are new to it.
    takes: Vec<u32>,
    /// Whether its record may be written. One that may not still has a claim.
    free: bool,
}

#[derive(Debug, Default)]
struct Contest {
    /// Objects that map to this key.
    claimants: Vec<u32>,
    /// Records that have it.
    holders: Vec<u32>,
    movers: Vec<u32>,
}

/// Settles one attribute. The result is the largest set of changes that can all happen; it is unique, because a claim is
/// decided without regard to the others and blocking only ever spreads.
///
/// Near linear: only keys that somebody newly wants are looked at twice.
///
/// `plain` names the objects that are known to have everything that they shall have.
pub(crate) fn settle(
    objects: &Objects,
    links: &Links<'_>,
    rule: &Rule<'_>,
    plain: &[bool],
    moves: Moves<'_>,
) -> Settlement {
    let kind = objects.kind;
    let mut keys = Interner::default();
    let mut movers: Vec<Mover> = Vec::new();
    // Who claims what his record holds is found again by the record, without a second look at the source.
    let mut settled = plain.to_vec();
    let mut claims: Vec<(u32, u32)> = Vec::new();
    for (number, object) in objects.all.iter().enumerate().filter(|&(number, _)| !plain[number]) {
        let Some(desired) = claim(object, kind, links, rule) else { continue };
        let stored = stored(object, kind, links);
        if rule.is_settled(&desired, stored) {
            settled[number] = true;
            continue;
        }
        let held = rule.keys(rule.held(stored));
        let wanted = rule.keys(desired.values());
        let mut takes = Vec::new();
        for key in &wanted {
            let new = held.binary_search(key).is_err();
            let key = keys.intern(key);
            claims.push((key, number as u32));
            if new {
                takes.push(key);
            }
        }
        let changes = object.record == NONE || moves.changes;
        let free = object.may_change() && changes && !moves.frozen.contains(&(number as u32));
        movers.push(Mover { object: number as u32, takes, free });
    }
    if movers.is_empty() {
        return Settlement::default();
    }
    let mut contests: Vec<Contest> = (0..keys.len()).map(|_| Contest::default()).collect();
    for (key, object) in claims {
        contests[key as usize].claimants.push(object);
    }
    for row in 0..links.store.records(kind).len() {
        for value in rule.held(links.store.attributes(kind, row)) {
            if let Some(key) = keys.find(&rule.schema.matching.fold(value)) {
                let contest = &mut contests[key as usize];
                contest.holders.push(row as u32);
                if let Some(object) = objects.of_record(row as u32).filter(|&object| settled[object as usize])
                {
                    contest.claimants.push(object);
                }
            }
        }
    }
    for (number, mover) in movers.iter().enumerate() {
        for &key in &mover.takes {
            contests[key as usize].movers.push(number as u32);
        }
    }
    // Of several records the one with the least id is named, whatever the order of the input (rule P2).
    let store = links.store;
    for contest in contests.iter_mut().filter(|contest| contest.holders.len() > 1) {
        contest.holders.sort_by_key(|&row| store.id(&store.records(kind)[row as usize]));
    }
    decide(objects, links, rule, moves.releases, &keys, &movers, &contests)
}

fn decide(
    objects: &Objects,
    links: &Links<'_>,
    rule: &Rule<'_>,
    releases: bool,
    keys: &Interner,
    movers: &[Mover],
    contests: &[Contest],
) -> Settlement {
    let mut mover_of: BTreeMap<u32, u32> = BTreeMap::new();
    for (number, mover) in movers.iter().enumerate() {
        if mover.free {
            mover_of.insert(objects.all[mover.object as usize].record, number as u32);
        }
    }
    mover_of.remove(&NONE);
    let mut blocked = vec![false; movers.len()];
    // The record that stands in a mover's way, if any does.
    let obstacle = |mover: &Mover, blocked: &[bool]| -> Option<Option<u32>> {
        let own = objects.all[mover.object as usize].record;
        for &key in &mover.takes {
            let contest = &contests[key as usize];
            let mut others = contest.holders.iter().copied().filter(|&holder| holder != own);
            // Claims first: behind this line a key has one mover, so its holders are looked through once.
            if contest.claimants.iter().any(|&other| other != mover.object) {
                return Some(others.next());
            }
            let stays = others.find(|&holder| {
                let deleted = objects.of_record(holder).is_some_and(|o| objects.all[o as usize].is_deleted());
                // A mover that is not blocked gives up what it holds: if it still wanted it, it would be a claimant.
                let moves = mover_of.get(&holder).is_some_and(|&m| !blocked[m as usize]);
                let gives_up = || releases && gives_up(objects, links, rule, holder, keys.text(key));
                !(deleted || moves || gives_up())
            });
            if stays.is_some() {
                return Some(stays);
            }
        }
        None
    };
    let mut settlement = Settlement::default();
    let mut queue: Vec<u32> = (0..movers.len() as u32).collect();
    while let Some(number) = queue.pop() {
        let mover = &movers[number as usize];
        if blocked[number as usize] {
            continue;
        }
        let Some(holder) = obstacle(mover, &blocked) else { continue };
        blocked[number as usize] = true;
        settlement.blocked.insert(mover.object, holder);
        // It keeps what it has, so whoever waits for that has to be looked at again.
        let object = &objects.all[mover.object as usize];
        for key in rule.keys(rule.held(stored(object, objects.kind, links))) {
            // Of several movers for one key none is left: they are claimants of each other.
            if let Some([only]) = keys.find(&key).map(|key| contests[key as usize].movers.as_slice()) {
                queue.push(*only);
            }
        }
    }
    for (number, mover) in movers.iter().enumerate() {
        if blocked[number] || !mover.free {
            continue;
        }
        let own = objects.all[mover.object as usize].record;
        for &key in &mover.takes {
            for &holder in contests[key as usize].holders.iter().filter(|&&holder| holder != own) {
                settlement.frees.push((mover.object, holder));
                let deleted = objects.of_record(holder).is_some_and(|o| objects.all[o as usize].is_deleted());
                if !deleted && !mover_of.contains_key(&holder) {
                    let release = Release { taker: mover.object, key: keys.text(key).to_owned() };
                    settlement.releases.entry(holder).or_default().push(release);
                }
            }
        }
    }
    settlement
}

/// Whether a kept record gives up a value: it stays, is wanted no more, and the value is its own no more, since it is gone from
/// the source or maps to another one now (rule M4). Of whom that is not known the value stays.
fn gives_up(objects: &Objects, links: &Links<'_>, rule: &Rule<'_>, record: u32, key: &str) -> bool {
    let Some(object) = objects.of_record(record).map(|number| &objects.all[number as usize]) else {
        return false;
    };
    let stays = matches!(object.fate, Fate::Keep | Fate::Deactivate(_)) && !object.is_entitled();
    if !stays || object.barred || object.protected {
        return false;
    }
    match object.presence {
        Presence::Gone => true,
        Presence::Read if object.source != NONE => match rule.desired(source(object, objects.kind, links)) {
            Desired::Unchanged => false,
            desired => !rule.keys(desired.values()).iter().any(|wanted| wanted == key),
        },
        _ => false,
    }
}

/// What an object maps to, where it has a claim: entitled, read, and known (rule M6).
fn claim<'s>(object: &Object, kind: Kind, links: &Links<'s>, rule: &Rule<'_>) -> Option<Desired<'s>> {
    let entitled = object.is_entitled() && !object.barred && object.source != NONE;
    if !entitled {
        return None;
    }
    match rule.desired(source(object, kind, links)) {
        Desired::Unchanged => None,
        // A required attribute that comes out empty stays as it is (rule A3): its record gives nothing up.
        Desired::Empty if rule.required => None,
        desired => Some(desired),
    }
}

fn stored<'s>(object: &Object, kind: Kind, links: &Links<'s>) -> Attributes<'s> {
    if object.record == NONE {
        Attributes::EMPTY
    } else {
        links.store.attributes(kind, object.record as usize)
    }
}

fn source<'s>(object: &Object, kind: Kind, links: &Links<'s>) -> Attributes<'s> {
    match kind {
        Kind::User => links.source.user_row(object.source as usize),
        Kind::Group => links.source.group_row(object.source as usize),
    }
}
