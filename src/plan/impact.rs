//! What a plan means for people: who loses access, which groups run dry, who gains access and by which assignment.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::build::Decided;
use super::naming::{Naming, object_name};
use super::{Op, PlannedAct};
use crate::correlate::{Reason, Situation};
use crate::escape::Escaped;
use crate::model::Kind;
use crate::object::Object;
use crate::snapshot::NONE;

/// A user or a group that a plan affects.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Affected {
    /// A user or a group.
    pub kind: Kind,
    /// Its anchor.
    pub anchor: String,
    /// Its store id; empty where it has none yet.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// Its name, for a person.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
}

impl fmt::Display for Affected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.name.is_empty() { "(no name)" } else { &self.name };
        write!(f, "{} {} [{}]", self.kind, Escaped(name), Escaped(&self.anchor))
    }
}

/// How many users gain access through one assignment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Gain {
    /// Who is assigned: the group at the top of the shortest path, or the user.
    pub assignment: Affected,
    /// How many users are active with a membership, or with a record at all, who were not before.
    pub users: u64,
}

/// What the operations of a plan mean for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct AccessImpact {
    /// Users who are entitled no more and lose by this plan what they have left: their last membership, their active state, or
    /// their record; and whoever left scope since the last run, also where his record is kept.
    pub loses_last_entitlement: Vec<Affected>,
    /// Groups that have members now and none afterwards; deleted groups not among them.
    pub groups_emptied: Vec<Affected>,
    /// Users who are made inactive.
    pub deactivated: Vec<Affected>,
    /// Users who gain access, by assignment: created active, made active again, adopted, or put into their first group.
    pub gains: Vec<Gain>,
}

impl AccessImpact {
    /// Whether nobody's access changes.
    pub fn is_empty(&self) -> bool {
        self.loses_last_entitlement.is_empty()
            && self.groups_emptied.is_empty()
            && self.deactivated.is_empty()
            && self.gains.is_empty()
    }

    /// How many users gain access.
    pub fn users_who_gain(&self) -> u64 {
        self.gains.iter().map(|gain| gain.users).sum()
    }
}

impl fmt::Display for AccessImpact {
    /// A line each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, affected) in [
            ("loses the last entitlement", &self.loses_last_entitlement),
            ("becomes inactive", &self.deactivated),
            ("becomes empty", &self.groups_emptied),
        ] {
            for one in affected {
                writeln!(f, "{what}: {one}")?;
            }
        }
        for gain in &self.gains {
            writeln!(f, "gain access: {} through {}", gain.users, gain.assignment)?;
        }
        Ok(())
    }
}

/// Whether those who left scope in this very run are told, though nothing may be done to them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Newly {
    Told,
    LeftOut,
}

/// What is needed to tell the impact of some of a plan's operations.
pub(super) struct Impacts<'a, 'd> {
    decided: &'a Decided<'d>,
    naming: &'a Naming,
    /// Per node the assigned one over which it is entitled; worked out only where somebody gains.
    roots: std::cell::OnceCell<Vec<u32>>,
}

impl<'a, 'd> Impacts<'a, 'd> {
    pub(super) fn new(decided: &'a Decided<'d>, naming: &'a Naming) -> Self {
        Self { decided, naming, roots: std::cell::OnceCell::new() }
    }

    /// Linear in the operations, and in stored memberships where any operation changes some.
    pub(super) fn of<'o>(&self, operations: impl Iterator<Item = &'o Op>, newly: Newly) -> AccessImpact {
        let mut impact = AccessImpact::default();
        if self.decided.evidence.is_none() {
            return impact;
        }
        let mut tally = Tally::default();
        for op in operations {
            self.count(op, &mut tally);
        }
        if !tally.groups.is_empty() || !tally.deleted_groups.is_empty() {
            self.count_memberships(&mut tally);
        }
        if newly == Newly::Told {
            self.leavers(&mut tally);
        }
        let users = &self.decided.users.all;
        for &user in &tally.ends {
            impact.loses_last_entitlement.push(self.affected(Kind::User, user));
        }
        for &user in &tally.deactivated {
            impact.deactivated.push(self.affected(Kind::User, user));
        }
        for (&group, change) in &tally.groups {
            if change.before > 0 && change.before + change.joins == change.leaves {
                impact.groups_emptied.push(self.affected(Kind::Group, group));
            }
        }
        let mut gains: BTreeMap<Affected, u64> = BTreeMap::new();
        for &user in &tally.gains {
            *gains.entry(self.root(&users[user as usize])).or_default() += 1;
        }
        impact.gains = gains.into_iter().map(|(assignment, users)| Gain { assignment, users }).collect();
        impact.loses_last_entitlement.sort_unstable();
        impact.groups_emptied.sort_unstable();
        impact.deactivated.sort_unstable();
        impact
    }

    fn object(&self, subject: u32) -> Option<u32> {
        self.naming.objects.get(subject as usize).copied().filter(|&object| object != NONE)
    }

    fn count(&self, op: &Op, tally: &mut Tally) {
        let Some(object) = self.object(op.subject) else { return };
        let kind = self.naming.subjects.kinds.get(op.subject as usize);
        let user = kind == Some(&Kind::User);
        match &op.act {
            PlannedAct::AddMembers(members) => {
                tally.groups.entry(object).or_default().joins += members.len();
                tally.joins.extend(members.iter().filter_map(|&member| self.object(member)));
            }
            PlannedAct::RemoveMembers(members) => {
                tally.groups.entry(object).or_default().leaves += members.len();
                for user in members.iter().filter_map(|&member| self.object(member)) {
                    *tally.leaves.entry(user).or_default() += 1;
                }
            }
            PlannedAct::Create { active: true, .. } if user => {
                tally.gains.insert(object);
            }
            PlannedAct::Update { origin: Some(_), .. } | PlannedAct::Reactivate => {
                tally.gains.insert(object);
            }
            PlannedAct::Adopt if user => {
                tally.gains.insert(object);
            }
            PlannedAct::Deactivate => {
                tally.deactivated.insert(object);
                if !self.decided.users.all[object as usize].is_entitled() {
                    tally.ends.insert(object);
                }
            }
            PlannedAct::Delete if user => {
                tally.ends.insert(object);
            }
            PlannedAct::Delete => {
                tally.deleted_groups.insert(object);
            }
            PlannedAct::Create { .. } | PlannedAct::Update { .. } | PlannedAct::Adopt => {}
        }
    }

    /// How many memberships somebody has now of whom some change, and how many members a group has.
    fn count_memberships(&self, tally: &mut Tally) {
        let (users, groups) = (self.decided.users, self.decided.groups);
        let store = self.decided.links.store;
        let user = |&id: &u32| {
            let row = store.user_of.get(id as usize).copied().filter(|&row| row != NONE)?;
            users.of_record(row)
        };
        let members = |group: &Object| match group.record {
            NONE => &[][..],
            record => store.members_of(record as usize),
        };
        // Members of a deleted group leave it without an operation of their own, where the store cascades.
        for &group in &tally.deleted_groups {
            for user in members(&groups.all[group as usize]).iter().filter_map(user) {
                *tally.leaves.entry(user).or_default() += 1;
            }
        }
        let mut before: BTreeMap<u32, usize> = BTreeMap::new();
        for (number, group) in (0..).zip(&groups.all) {
            if let Some(change) = tally.groups.get_mut(&number) {
                change.before = members(group).len();
            }
            for user in members(group).iter().filter_map(user) {
                if tally.leaves.contains_key(&user) || tally.joins.contains(&user) {
                    *before.entry(user).or_default() += 1;
                }
            }
        }
        tally.groups.retain(|group, _| !tally.deleted_groups.contains(group));
        for (&user, &leaves) in &tally.leaves {
            let has = before.get(&user).copied().unwrap_or(0);
            let object = &users.all[user as usize];
            let entitled = object.is_entitled() || object.situation == Situation::Unread;
            if leaves >= has && !tally.joins.contains(&user) && !entitled && object.is_managed() {
                tally.ends.insert(user);
            }
        }
        for &user in &tally.joins {
            let object = &users.all[user as usize];
            if before.get(&user).is_none_or(|&before| before == 0) && !object.disabled {
                tally.gains.insert(user);
            }
        }
    }

    /// Whoever left scope in this very run, as far as earlier runs are remembered.
    fn leavers(&self, tally: &mut Tally) {
        if !self.decided.memory.remembers() {
            return;
        }
        let new = self.decided.users.pending.iter().filter(|pending| {
            pending.cause != Reason::DisabledInSource && self.decided.memory.is_new(pending)
        });
        for pending in new {
            if let Some(node) = self.decided.links.find(pending.anchor.as_str()) {
                tally.ends.extend(self.objects(Kind::User, node));
            }
        }
    }

    /// The objects of a node: one, but where several records carry it; then in the order of their ids.
    fn objects(&self, kind: Kind, node: u32) -> Vec<u32> {
        let objects = if kind == Kind::User { self.decided.users } else { self.decided.groups };
        let links = self.decided.links;
        let Some(crowd) = links.crowd(node) else { return objects.of_node(node).into_iter().collect() };
        let mut records: Vec<u32> =
            crowd.iter().filter(|(of, _)| *of == kind).map(|&(_, record)| record).collect();
        records.sort_by_key(|&record| links.store.id(&links.store.records(kind)[record as usize]));
        records.into_iter().filter_map(|record| objects.of_record(record)).collect()
    }

    fn affected(&self, kind: Kind, object: u32) -> Affected {
        let objects = if kind == Kind::User { self.decided.users } else { self.decided.groups };
        let one = &objects.all[object as usize];
        let store = self.decided.links.store;
        let id = store.records(kind).get(one.record as usize).map_or("", |record| store.id(record));
        Affected {
            kind,
            anchor: self.decided.links.anchor(one.node).to_owned(),
            id: id.to_owned(),
            name: object_name(self.decided, kind, object),
        }
    }

    /// The assignment over which a user is entitled, as the evidence explains it.
    fn root(&self, user: &Object) -> Affected {
        let roots = self.roots.get_or_init(|| self.decided.evidence.map_or_else(Vec::new, |e| e.roots()));
        let root = roots.get(user.node as usize).copied().unwrap_or(NONE);
        let first = |kind| Some((kind, *self.objects(kind, root).first()?));
        match [Kind::Group, Kind::User].into_iter().find_map(first) {
            Some((kind, object)) => self.affected(kind, object),
            None => {
                let node = if root == NONE { user.node } else { root };
                let anchor = self.decided.links.anchor(node).to_owned();
                Affected { kind: Kind::User, anchor, id: String::new(), name: String::new() }
            }
        }
    }
}

/// What operations do to objects, by number.
#[derive(Default)]
struct Tally {
    groups: BTreeMap<u32, Change>,
    joins: BTreeSet<u32>,
    /// How many groups a user leaves.
    leaves: BTreeMap<u32, usize>,
    deleted_groups: BTreeSet<u32>,
    deactivated: BTreeSet<u32>,
    gains: BTreeSet<u32>,
    /// Whoever loses the last that he has.
    ends: BTreeSet<u32>,
}

#[derive(Default)]
struct Change {
    before: usize,
    joins: usize,
    leaves: usize,
}
