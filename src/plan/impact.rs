//! What a plan means for people: who loses access, which groups run dry, who gains access and by which assignment.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::build::Decided;
use super::naming::{Naming, object_name};
use super::{Op, PlannedAct};
use crate::correlate::{Reason, Situation};
use crate::escape::Escaped;
use crate::evidence::Root;
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
    /// How many groups the longest of their shortest paths leads through, that of the assignment among them. A far way down is
    /// worth a look: whoever may nest groups somewhere below may let people in.
    #[serde(default, skip_serializing_if = "is_near")]
    pub groups_on_the_way: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_near(groups: &u32) -> bool {
    *groups == 0
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
        self.gains.iter().map(|gain| gain.users).fold(0, u64::saturating_add)
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
            write!(f, "gain access: {} through {}", gain.users, gain.assignment)?;
            match gain.groups_on_the_way {
                0 | 1 => writeln!(f)?,
                many => writeln!(f, ", over up to {many} nested groups")?,
            }
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
    /// Per node the assigned one over which it is entitled, and how far away that is; worked out only where somebody gains.
    roots: std::cell::OnceCell<Vec<Root>>,
}

impl<'a, 'd> Impacts<'a, 'd> {
    pub(super) fn new(decided: &'a Decided<'d>, naming: &'a Naming) -> Self {
        Self { decided, naming, roots: std::cell::OnceCell::new() }
    }

    /// Linear in the operations and objects, and in stored memberships where any operation changes some.
    pub(super) fn of<'o>(&self, operations: impl Iterator<Item = &'o Op>, newly: Newly) -> AccessImpact {
        let mut impact = AccessImpact::default();
        let (users, groups) = (self.decided.users, self.decided.groups);
        let mut operations = operations.peekable();
        let told = newly == Newly::Told && self.decided.memory.remembers();
        if self.decided.evidence.is_none() || (operations.peek().is_none() && !told) {
            return impact;
        }
        let mut tally = Tally::new(users.all.len(), groups.all.len());
        for op in operations {
            self.count(op, &mut tally);
        }
        if tally.groups.iter().any(|change| change.is_touched()) {
            self.count_memberships(&mut tally);
        }
        if told {
            self.leavers(&mut tally);
        }
        let mut gains: BTreeMap<u32, (u64, u32)> = BTreeMap::new();
        for (number, user) in (0..).zip(&tally.users) {
            if user.ends {
                impact.loses_last_entitlement.push(self.affected(Kind::User, number));
            }
            if user.deactivated {
                impact.deactivated.push(self.affected(Kind::User, number));
            }
            if user.gains {
                let Root { node, steps } = self.root(&users.all[number as usize]);
                let (count, furthest) = gains.entry(node).or_default();
                *count += 1;
                *furthest = steps.max(*furthest);
            }
        }
        for (number, change) in (0..).zip(&tally.groups) {
            if change.before > 0 && !change.deleted && change.before + change.joins == change.leaves {
                impact.groups_emptied.push(self.affected(Kind::Group, number));
            }
        }
        let gains = gains.into_iter().map(|(root, (users, groups_on_the_way))| Gain {
            assignment: self.assignment(root),
            users,
            groups_on_the_way,
        });
        impact.gains = gains.collect();
        impact.gains.sort_unstable();
        impact.loses_last_entitlement.sort_unstable();
        impact.groups_emptied.sort_unstable();
        impact.deactivated.sort_unstable();
        impact
    }

    fn object(&self, subject: u32) -> Option<usize> {
        let object = self.naming.objects.get(subject as usize).copied().filter(|&object| object != NONE)?;
        Some(object as usize)
    }

    fn is_user(&self, subject: u32) -> bool {
        self.naming.subjects.kinds.get(subject as usize) == Some(&Kind::User)
    }

    fn count(&self, op: &Op, tally: &mut Tally) {
        let Some(object) = self.object(op.subject) else { return };
        match &op.act {
            PlannedAct::AddMembers(members) => {
                tally.groups[object].joins += members.len();
                for user in members.iter().filter_map(|&member| self.object(member)) {
                    tally.users[user].joins = true;
                }
            }
            PlannedAct::RemoveMembers(members) => {
                tally.groups[object].leaves += members.len();
                for &member in members.iter().filter(|&&member| self.is_user(member)) {
                    if let Some(user) = self.object(member) {
                        tally.users[user].leaves += 1;
                    }
                }
            }
            PlannedAct::Delete if !self.is_user(op.subject) => tally.groups[object].deleted = true,
            _ if !self.is_user(op.subject) => {}
            PlannedAct::Create { active, .. } => tally.users[object].gains |= active,
            PlannedAct::Update { origin, .. } => tally.users[object].gains |= origin.is_some(),
            PlannedAct::Reactivate | PlannedAct::Adopt => tally.users[object].gains = true,
            PlannedAct::Deactivate => {
                tally.users[object].deactivated = true;
                tally.users[object].ends |= !self.decided.users.all[object].is_entitled();
            }
            PlannedAct::Delete => tally.users[object].ends = true,
        }
    }

    /// How many memberships those have of whom some change, and how many members those groups have.
    fn count_memberships(&self, tally: &mut Tally) {
        let (users, groups) = (self.decided.users, self.decided.groups);
        let store = self.decided.links.store;
        let members = |group: &Object| match group.record {
            NONE => &[][..],
            record => store.members_of(record as usize),
        };
        // By store id, so that a membership takes one look.
        let mut of_id = vec![NONE; store.ids.len()];
        for (number, user) in (0..).zip(&users.all).filter(|(_, user)| user.record != NONE) {
            if let Some(slot) = of_id.get_mut(store.users[user.record as usize].id as usize) {
                *slot = number;
            }
        }
        let user = |&id: &u32| of_id.get(id as usize).copied().filter(|&user| user != NONE);
        for (group, change) in groups.all.iter().zip(&mut tally.groups) {
            change.before = members(group).len();
            // Members of a deleted group leave it without an operation of their own, where the store cascades.
            let leave = change.deleted && change.leaves == 0;
            for user in members(group).iter().filter_map(user) {
                tally.users[user as usize].before += 1;
                tally.users[user as usize].leaves += u32::from(leave);
            }
        }
        for (object, user) in users.all.iter().zip(&mut tally.users) {
            let entitled = object.is_entitled() || object.situation == Situation::Unread;
            let leaves = user.leaves > 0 && user.leaves >= user.before && !user.joins;
            user.ends |= leaves && !entitled && object.is_managed();
            user.gains |= user.joins && user.before == 0 && !object.disabled;
        }
    }

    /// Whoever left scope in this very run, as far as earlier runs are remembered.
    fn leavers(&self, tally: &mut Tally) {
        let new = self.decided.users.pending.iter().filter(|pending| {
            pending.cause != Reason::DisabledInSource && self.decided.memory.is_new(pending)
        });
        for pending in new {
            if let Some(node) = self.decided.links.find(pending.anchor.as_str()) {
                for user in self.objects(Kind::User, node) {
                    tally.users[user as usize].ends = true;
                }
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

    /// The node of the assignment over which a user is entitled, as the evidence explains it.
    fn root(&self, user: &Object) -> Root {
        let roots = self.roots.get_or_init(|| self.decided.evidence.map_or_else(Vec::new, |e| e.roots()));
        let root = roots.get(user.node as usize).copied().filter(|root| root.node != NONE);
        root.unwrap_or(Root { node: user.node, steps: 0 })
    }

    fn assignment(&self, root: u32) -> Affected {
        let first = |kind| Some((kind, *self.objects(kind, root).first()?));
        match [Kind::Group, Kind::User].into_iter().find_map(first) {
            Some((kind, object)) => self.affected(kind, object),
            None => {
                let anchor = self.decided.links.anchor(root).to_owned();
                Affected { kind: Kind::User, anchor, id: String::new(), name: String::new() }
            }
        }
    }
}

/// What operations do to objects, by number.
struct Tally {
    users: Vec<UserTally>,
    groups: Vec<GroupTally>,
}

impl Tally {
    fn new(users: usize, groups: usize) -> Self {
        Self { users: vec![UserTally::default(); users], groups: vec![GroupTally::default(); groups] }
    }
}

#[derive(Clone, Copy, Default)]
struct UserTally {
    /// How many groups he is in, and how many of them he leaves.
    before: u32,
    leaves: u32,
    joins: bool,
    deactivated: bool,
    gains: bool,
    /// Loses the last that he has.
    ends: bool,
}

#[derive(Clone, Copy, Default)]
struct GroupTally {
    before: usize,
    joins: usize,
    leaves: usize,
    deleted: bool,
}

impl GroupTally {
    fn is_touched(self) -> bool {
        self.joins > 0 || self.leaves > 0 || self.deleted
    }
}
