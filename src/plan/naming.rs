//! Who is mentioned in a plan, numbered and named.

use std::collections::{BTreeMap, BTreeSet};

use super::Subjects;
use super::build::Decided;
use crate::diff::{Act, Blocked, MemberRef};
use crate::model::Kind;
use crate::snapshot::NONE;
use crate::value::{Rule, Rules};
use crate::version::version_of;

/// Somebody the plan mentions: an object, or a store id of nobody we manage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Who {
    Object(Kind, u32),
    Stored(u32),
}

pub(super) fn who(member: MemberRef) -> Who {
    match member {
        MemberRef::Object(object) => Who::Object(Kind::User, object),
        MemberRef::Stored(id) => Who::Stored(id),
    }
}

/// Everybody whom the plan mentions, numbered in the order of kind, anchor, store id.
pub(super) struct Naming {
    pub(super) subjects: Subjects,
    users: Vec<u32>,
    groups: Vec<u32>,
    stored: BTreeMap<u32, u32>,
    /// Per subject its object, `NONE` where it is nobody of ours.
    pub(super) objects: Vec<u32>,
}

impl Naming {
    pub(super) fn new(decided: &Decided<'_>) -> Self {
        let mut mentioned = Mentioned {
            users: vec![false; decided.users.all.len()],
            groups: vec![false; decided.groups.all.len()],
            stored: BTreeSet::new(),
        };
        for step in &decided.draft.steps {
            mentioned.add(Who::Object(step.kind, step.object));
            if let Act::Add(members) | Act::Remove(members) = &step.act {
                members.iter().for_each(|&member| mentioned.add(who(member)));
            }
        }
        for &(kind, object) in &decided.draft.kept {
            mentioned.add(Who::Object(kind, object));
        }
        for (kind, objects) in [(Kind::User, decided.users), (Kind::Group, decided.groups)] {
            objects.waiting.iter().for_each(|waiting| mentioned.add(Who::Object(kind, waiting.object)));
        }
        for Blocked { member, kind, object, .. } in &decided.draft.blocked {
            mentioned.add(Who::Object(*kind, *object));
            member.iter().for_each(|&member| mentioned.add(who(member)));
        }
        let mut all: Vec<(Kind, &str, &str, Who)> = Vec::new();
        for (kind, flags, objects) in
            [(Kind::User, &mentioned.users, decided.users), (Kind::Group, &mentioned.groups, decided.groups)]
        {
            for (number, _) in flags.iter().enumerate().filter(|&(_, &flag)| flag) {
                let object = &objects.all[number];
                let anchor = decided.links.anchor(object.node);
                all.push((
                    kind,
                    anchor,
                    record_id(decided, kind, object.record),
                    Who::Object(kind, number as u32),
                ));
            }
        }
        for &id in &mentioned.stored {
            let store = decided.links.store;
            let group = store.group_of.get(id as usize).is_some_and(|&row| row != NONE)
                && store.user_of.get(id as usize).is_none_or(|&row| row == NONE);
            let kind = if group { Kind::Group } else { Kind::User };
            all.push((kind, "", store.ids.text(id), Who::Stored(id)));
        }
        all.sort_unstable();
        let mut naming = Self {
            subjects: Subjects::default(),
            users: vec![NONE; mentioned.users.len()],
            groups: vec![NONE; mentioned.groups.len()],
            stored: BTreeMap::new(),
            objects: Vec::with_capacity(all.len()),
        };
        let user_name = name_rule(decided.user_rules);
        let group_name = name_rule(decided.group_rules);
        for (number, (kind, anchor, id, who)) in all.into_iter().enumerate() {
            let rule = if kind == Kind::User { user_name } else { group_name };
            let subjects = &mut naming.subjects;
            subjects.kinds.push(kind);
            subjects.anchors.push(anchor);
            subjects.ids.push(id);
            subjects.names.push(&name(decided, kind, who, rule));
            let record = record_row(decided, kind, who);
            match record.filter(|_| matches!(who, Who::Object(..))) {
                Some(row) => subjects.versions.push(&version_of(decided.links.store, kind, row as usize)),
                None => subjects.versions.push(""),
            };
            let number = number as u32;
            naming.objects.push(match who {
                Who::Object(_, object) => object,
                Who::Stored(_) => NONE,
            });
            match who {
                Who::Object(Kind::User, object) => naming.users[object as usize] = number,
                Who::Object(Kind::Group, object) => naming.groups[object as usize] = number,
                Who::Stored(id) => {
                    naming.stored.insert(id, number);
                }
            }
        }
        naming
    }

    pub(super) fn number(&self, who: Who) -> u32 {
        match who {
            Who::Object(Kind::User, object) => self.users.get(object as usize).copied().unwrap_or(NONE),
            Who::Object(Kind::Group, object) => self.groups.get(object as usize).copied().unwrap_or(NONE),
            Who::Stored(id) => self.stored.get(&id).copied().unwrap_or(NONE),
        }
    }
}

struct Mentioned {
    users: Vec<bool>,
    groups: Vec<bool>,
    stored: BTreeSet<u32>,
}

impl Mentioned {
    fn add(&mut self, who: Who) {
        match who {
            Who::Object(Kind::User, object) => self.users[object as usize] = true,
            Who::Object(Kind::Group, object) => self.groups[object as usize] = true,
            Who::Stored(id) => {
                self.stored.insert(id);
            }
        }
    }
}

/// The attribute that a person knows an object by: the first unique one, unless it is sensitive.
fn name_rule<'r, 'a>(rules: &'r Rules<'a>) -> Option<&'r Rule<'a>> {
    let unique = rules.rules.iter().find(|rule| rule.schema.unique);
    unique.or(rules.rules.first()).filter(|rule| !rule.sensitive)
}

fn record_row(decided: &Decided<'_>, kind: Kind, who: Who) -> Option<u32> {
    let row = match (who, kind) {
        (Who::Object(Kind::User, object), _) => decided.users.all[object as usize].record,
        (Who::Object(Kind::Group, object), _) => decided.groups.all[object as usize].record,
        (Who::Stored(id), Kind::User) => {
            decided.links.store.user_of.get(id as usize).copied().unwrap_or(NONE)
        }
        (Who::Stored(id), Kind::Group) => {
            decided.links.store.group_of.get(id as usize).copied().unwrap_or(NONE)
        }
    };
    (row != NONE).then_some(row)
}

fn record_id<'a>(decided: &Decided<'a>, kind: Kind, record: u32) -> &'a str {
    let store = decided.links.store;
    store.records(kind).get(record as usize).map_or("", |record| store.id(record))
}

pub(super) fn object_name(decided: &Decided<'_>, kind: Kind, object: u32) -> String {
    name(decided, kind, Who::Object(kind, object), name_rule(decided.rules(kind)))
}

fn name(decided: &Decided<'_>, kind: Kind, who: Who, rule: Option<&Rule<'_>>) -> String {
    let Some(rule) = rule else { return String::new() };
    if let Some(row) = record_row(decided, kind, who) {
        let stored = decided.links.store.attributes(kind, row as usize);
        return rule.held(stored).min().unwrap_or_default().to_owned();
    }
    let source = match who {
        Who::Object(Kind::User, object) => decided.users.all[object as usize].source,
        Who::Object(Kind::Group, object) => decided.groups.all[object as usize].source,
        Who::Stored(_) => NONE,
    };
    let read = decided.links.source;
    let (ambiguous, attributes) = match kind {
        _ if source == NONE => return String::new(),
        Kind::User => (read.users[source as usize].ambiguous, read.user_row(source as usize)),
        Kind::Group => (read.groups[source as usize].ambiguous, read.group_row(source as usize)),
    };
    if ambiguous {
        // Which of several rows was kept depends on the order of the read (rules M5, P2).
        return String::new();
    }
    rule.desired(attributes).values().next().unwrap_or_default().to_owned()
}
