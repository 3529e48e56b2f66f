//! What must hold of every plan and of every store, whatever the oracle says: computed from the world alone, in the plainest way.

use std::collections::{BTreeMap, BTreeSet};

use identity_sync::memory::{MemoryRecord, MemoryStore};
use identity_sync::{Action, Cause, Kind, Operation, Plan, Subject};

use super::run::Verdict;
use crate::common::r#gen::Rng;
use crate::common::lines;
use crate::common::live::held;
use crate::common::oracle::Decision;
use crate::common::world::{
    Existence, GroupRow, KindHint, Member, MemberTarget, Nesting, Principal, Store, UserGrace, World,
};

/// The plan has the operations that the oracle expects, and holds those that it holds.
pub fn plan_is(plan: &Plan, decision: &Decision) -> Verdict {
    for (what, ours, expected) in
        [("", lines::operations(plan), decision.lines()), ("held ", lines::held(plan), decision.held_lines())]
    {
        let more = ours.difference(&expected).map(|line| format!("only planned: {what}{line}"));
        let less = expected.difference(&ours).map(|line| format!("only expected: {what}{line}"));
        let all: Vec<String> = more.chain(less).collect();
        if !all.is_empty() {
            return Err(format!("the plan is not the oracle's: {}", all.join("; ")));
        }
    }
    Ok(())
}

pub fn same(what: &str, ours: &[String], expected: &[String]) -> Verdict {
    let (a, b): (BTreeSet<_>, BTreeSet<_>) = (ours.iter().collect(), expected.iter().collect());
    if ours == expected {
        return Ok(());
    }
    let more = a.difference(&b).map(|line| format!("\n   is: {line}"));
    let less = b.difference(&a).map(|line| format!("\n   should be: {line}"));
    Err(format!("{what}:{}", more.chain(less).collect::<String>()))
}

/// What a store holds, without the ids that it chose itself.
pub fn canonical(store: &MemoryStore, world: &World) -> Vec<String> {
    canonical_store(&held(store, &world.store))
}

pub fn canonical_store(store: &Store) -> Vec<String> {
    let named = |id: &String, links: &[(String, String)]| match links {
        [(issuer, value)] => format!("{issuer}:{value}"),
        _ => id.clone(),
    };
    let users = store.users.iter().map(|user| (&user.id, &user.external_ids));
    let groups = store.groups.iter().map(|group| (&group.id, &group.external_ids));
    let names: BTreeMap<&String, String> =
        users.chain(groups).map(|(id, links)| (id, named(id, links))).collect();
    let values = |attributes: &crate::common::world::Attributes| {
        let sorted = attributes.iter().map(|(name, values)| {
            let mut values = values.clone();
            values.sort_unstable();
            format!("{name}={}", values.join("|"))
        });
        sorted.collect::<Vec<_>>().join(";")
    };
    let mut lines: Vec<String> = Vec::new();
    for user in &store.users {
        let (name, origin) = (&names[&user.id], user.origin);
        let links = &user.external_ids;
        lines.push(format!(
            "user {name} {links:?} active={} {origin:?} {}",
            user.active,
            values(&user.attributes)
        ));
    }
    for group in &store.groups {
        let members =
            group.members.iter().map(|member| names.get(member).map_or(member.as_str(), String::as_str));
        let members: BTreeSet<&str> = members.collect();
        let (name, links) = (&names[&group.id], &group.external_ids);
        lines.push(format!("group {name} {links:?} {} {members:?}", values(&group.attributes)));
    }
    lines.sort_unstable();
    lines
}

/// Links are written once (rules M1, X4): no record loses or changes one, no anchor gets a second record, and what
/// is not ours stays as it was (rule M7).
pub fn links(now: &World, before: &World, edited: bool) -> Verdict {
    let issuer = &before.options.issuer;
    let held = |world: &World| {
        let mut held: BTreeMap<String, usize> = BTreeMap::new();
        let links = world.store.users.iter().map(|user| &user.external_ids);
        for (by, anchor) in links.chain(world.store.groups.iter().map(|group| &group.external_ids)).flatten()
        {
            if by == issuer {
                *held.entry(anchor.clone()).or_default() += 1;
            }
        }
        held
    };
    let had = held(before);
    if let Some((anchor, _)) =
        held(now).iter().find(|(anchor, count)| **count > had.get(*anchor).copied().unwrap_or(1))
    {
        return Err(format!("anchor {anchor} has one more record"));
    }
    let foreign = |links: &[(String, String)]| !links.iter().any(|(by, _)| by == issuer);
    for old in &before.store.users {
        let new = now.store.users.iter().find(|user| user.id == old.id);
        if let Some(new) = new.filter(|new| !new.external_ids.starts_with(&old.external_ids)) {
            return Err(format!("the links of {} are now {:?}", old.id, new.external_ids));
        }
        let touched = new.is_none_or(|new| foreign(&new.external_ids) && new.attributes != old.attributes);
        if foreign(&old.external_ids) && touched && !edited {
            return Err(format!("record {} is not ours, and is not as it was", old.id));
        }
    }
    for old in &before.store.groups {
        let new = now.store.groups.iter().find(|group| group.id == old.id);
        if let Some(new) = new.filter(|new| !new.external_ids.starts_with(&old.external_ids)) {
            return Err(format!("the links of {} are now {:?}", old.id, new.external_ids));
        }
        let touched = new.is_none_or(|new| foreign(&new.external_ids) && new.attributes != old.attributes);
        if foreign(&old.external_ids) && touched && !edited {
            return Err(format!("record {} is not ours, and is not as it was", old.id));
        }
    }
    Ok(())
}

/// The directory as a graph of anchors, and who is in which store record.
struct Facts<'w> {
    world: &'w World,
    below: BTreeMap<&'w str, BTreeSet<&'w str>>,
    entitled: BTreeSet<&'w str>,
}

impl<'w> Facts<'w> {
    fn of(world: &'w World) -> Self {
        let mut below: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        // Of several different rows the newest counts, where each has a version of its own (rule M5).
        let newer = |group: &&GroupRow| {
            let mut others: Vec<&GroupRow> = Vec::new();
            for other in world.source.groups.iter().filter(|other| other.anchor == group.anchor) {
                if !others.contains(&other) {
                    others.push(other);
                }
            }
            let highest = others.iter().map(|other| other.version).max().flatten();
            let newest = others.iter().filter(|other| other.version == highest).count();
            let told = newest == 1 && others.iter().all(|other| other.version.is_some());
            !told || highest == group.version
        };
        for group in world.source.groups.iter().filter(newer) {
            let members = below.entry(&group.anchor).or_default();
            members.extend(group.members.iter().filter_map(|member| match &member.target {
                MemberTarget::Anchor(anchor) => Some(anchor.as_str()),
                MemberTarget::Unresolved(_) => None,
            }));
        }
        let mut facts = Self { world, below, entitled: BTreeSet::new() };
        let mut assigned: BTreeSet<&str> = BTreeSet::new();
        for principal in &world.assignments.principals {
            match principal {
                Principal::External(issuer, anchor) if *issuer == world.options.issuer => {
                    assigned.insert(anchor);
                }
                Principal::External(..) => {}
                Principal::Stored(id) => assigned.extend(facts.anchors(id)),
            }
        }
        facts.entitled =
            assigned.iter().flat_map(|anchor| facts.reached(anchor)).chain(assigned.clone()).collect();
        facts
    }

    /// Our anchors on a record.
    fn anchors(&self, id: &str) -> Vec<&'w str> {
        let store = &self.world.store;
        let users = store.users.iter().filter(|user| user.id == id).map(|user| &user.external_ids);
        let groups = store.groups.iter().filter(|group| group.id == id).map(|group| &group.external_ids);
        let ours = users.chain(groups).flatten().filter(|(issuer, _)| *issuer == self.world.options.issuer);
        ours.map(|(_, anchor)| anchor.as_str()).collect()
    }

    fn reached(&self, from: &'w str) -> BTreeSet<&'w str> {
        let mut reached = BTreeSet::new();
        let mut open = vec![from];
        while let Some(group) = open.pop() {
            for &member in self.below.get(group).into_iter().flatten() {
                if reached.insert(member) && self.world.options.nesting == Nesting::Flatten {
                    open.push(member);
                }
            }
        }
        reached
    }

    fn anchors_of(&self, subject: Subject<'_>) -> Vec<String> {
        match subject.id() {
            Some(id) => {
                let anchors: Vec<String> = self.anchors(id).into_iter().map(str::to_owned).collect();
                // Adopted in this plan.
                if anchors.is_empty() {
                    subject.anchor().map(str::to_owned).into_iter().collect()
                } else {
                    anchors
                }
            }
            None => subject.anchor().map(str::to_owned).into_iter().collect(),
        }
    }

    fn is_read(&self, anchor: &str) -> bool {
        let source = &self.world.source;
        source.users.iter().any(|row| row.anchor == anchor)
            || source.groups.iter().any(|row| row.anchor == anchor)
    }

    fn is_gone(&self, kind: Kind, anchor: &str) -> bool {
        let source = &self.world.source;
        let said = source.has_existence && source.existence.get(anchor) == Some(&Existence::Gone);
        let absent = !source.has_existence
            && self.world.options.absence_is_proof
            && if kind == Kind::User { source.users_complete } else { source.groups_complete };
        !self.is_read(anchor) && (said || absent || source.tombstones.iter().any(|gone| gone == anchor))
    }

    /// Whether an anchor that is listed may stand for a user: not one that is gone, nor what no principal is (rule E9).
    fn may_be_a_member(&self, anchor: &str) -> bool {
        let lists = self.world.source.groups.iter().flat_map(|group| &group.members);
        let other = |member: &&Member| {
            member.hint == KindHint::Other && member.target == MemberTarget::Anchor(anchor.to_owned())
        };
        let said = self.world.source.existence.get(anchor) == Some(&Existence::Exists(KindHint::Other));
        let hidden = || !said && !self.is_gone(Kind::User, anchor) && lists.filter(other).count() == 0;
        self.is_read(anchor) || hidden()
    }

    fn is_protected(&self, subject: Subject<'_>) -> bool {
        let options = &self.world.options;
        subject.id().is_some_and(|id| options.protected_ids.contains(id))
            || self.anchors_of(subject).iter().any(|anchor| options.protected_anchors.contains(anchor))
    }
}

/// The invariants of one plan.
pub fn invariants(plan: &Plan, world: &World) -> Verdict {
    let facts = Facts::of(world);
    let mut granted: Option<String> = None;
    let mut deleted: BTreeSet<String> = BTreeSet::new();
    for operation in plan.operations() {
        let wrong = |what: &str| Err(format!("{what}: {}", lines::line(operation)));
        let subject = operation.subject();
        if facts.is_protected(subject) || members(operation).any(|member| facts.is_protected(member)) {
            return wrong("a protected record is touched");
        }
        let named = members(operation).chain([subject]).filter_map(|subject| subject.id());
        if named.into_iter().any(|id| deleted.contains(id)) {
            return wrong("a deleted record is named");
        }
        let adopts = matches!(operation.action(), Action::Adopt);
        let ours = subject.id().is_none_or(|id| !facts.anchors(id).is_empty());
        let adopted = plan
            .operations()
            .any(|other| matches!(other.action(), Action::Adopt) && other.subject().id() == subject.id());
        if !ours && !adopts && !adopted {
            return wrong("a record that is not ours is touched");
        }
        match revokes(operation) {
            true if granted.is_some() => return wrong("something is taken away after something was given"),
            true => {}
            false if gives(operation) => granted = Some(lines::line(operation)),
            false => {}
        }
        permitted(operation, &facts)?;
        if let (Action::Delete, Some(id)) = (operation.action(), subject.id()) {
            deleted.insert(id.to_owned());
        }
    }
    Ok(())
}

fn members<'p>(operation: Operation<'p>) -> impl Iterator<Item = Subject<'p>> {
    let members = match operation.action() {
        Action::AddMembers(members) | Action::RemoveMembers(members) => Some(members),
        _ => None,
    };
    members.into_iter().flat_map(|members| members.iter())
}

fn revokes(operation: Operation<'_>) -> bool {
    matches!(operation.action(), Action::Deactivate | Action::RemoveMembers(_) | Action::Delete)
}

fn gives(operation: Operation<'_>) -> bool {
    matches!(operation.action(), Action::AddMembers(_) | Action::Reactivate)
}

/// Whether the world allows an operation at all.
fn permitted(operation: Operation<'_>, facts: &Facts<'_>) -> Verdict {
    let wrong = |what: &str| Err(format!("{what}: {}", lines::line(operation)));
    let anchors = facts.anchors_of(operation.subject());
    let entitled = |anchors: &[String]| anchors.iter().any(|anchor| facts.entitled.contains(anchor.as_str()));
    let one = match anchors.as_slice() {
        [one] => Some(one.as_str()),
        _ => None,
    };
    let options = &facts.world.options;
    let mapped = |attribute: &str| {
        let map =
            if operation.subject().kind() == Kind::User { &options.user_map } else { &options.group_map };
        map.iter().any(|line| line.target == attribute)
    };
    match operation.action() {
        Action::CreateUser { attributes, .. } | Action::CreateGroup { attributes } => {
            if !entitled(&anchors) {
                return wrong("somebody is created who is not entitled");
            }
            if attributes.iter().any(|(name, _)| !mapped(name)) {
                return wrong("an unmapped attribute is written");
            }
        }
        Action::Update { changes, .. } if changes.iter().any(|change| !mapped(&change.attribute)) => {
            return wrong("an unmapped attribute is written");
        }
        Action::Delete => match (operation.cause(), one) {
            (Cause::DeletedInSource, Some(anchor)) if !facts.is_gone(operation.subject().kind(), anchor) => {
                return wrong("somebody is deleted without proof");
            }
            (Cause::LeftScope | Cause::DisabledInSource, Some(anchor)) if !facts.is_read(anchor) => {
                return wrong("somebody is deleted who was not seen");
            }
            _ => {}
        },
        Action::AddMembers(list) => {
            if !entitled(&anchors) {
                return wrong("a group gains somebody without being entitled");
            }
            let below = reached(facts, &anchors);
            if list
                .iter()
                .any(|member| !facts.anchors_of(member).iter().any(|anchor| below.contains(anchor.as_str())))
            {
                return wrong("somebody is added who is not below");
            }
        }
        // Whoever waits for a delete loses all memberships at once (rule D1), in the one list of his group.
        Action::RemoveMembers(list)
            if operation.cause() == Cause::NoPath && options.users.grace == UserGrace::default() =>
        {
            let mut below = reached(facts, &anchors);
            below.retain(|anchor| facts.may_be_a_member(anchor));
            let users = list.iter().filter(|member| member.kind() == Kind::User);
            if users.into_iter().any(|user| facts.anchors_of(user).iter().any(|a| below.contains(a.as_str())))
            {
                return wrong("somebody is removed who is below");
            }
            let whole = facts.world.source.groups.iter().filter(|row| anchors.contains(&row.anchor));
            if whole.into_iter().any(|row| !row.members_complete) {
                return wrong("somebody is removed because of a list that was not read whole");
            }
        }
        Action::Deactivate if operation.cause() == Cause::LeftScope => {
            let one_left =
                one.is_some_and(|anchor| facts.entitled.contains(anchor) && facts.may_be_a_member(anchor));
            if one_left || !facts.world.assignments.complete {
                return wrong("somebody is made inactive who may still be entitled");
            }
        }
        _ => {}
    }
    Ok(())
}

fn reached<'w>(facts: &Facts<'w>, anchors: &[String]) -> BTreeSet<&'w str> {
    let known = facts.below.keys().filter(|group| anchors.iter().any(|anchor| anchor == *group));
    known.flat_map(|group| facts.reached(group)).collect()
}

/// Somebody is given access, or loses it, between plan and apply.
pub fn reassign(world: &mut World, seed: u64) {
    let mut rng = Rng(seed);
    let principals = &mut world.assignments.principals;
    if !principals.is_empty() && rng.chance(50) {
        let gone = rng.below(principals.len());
        principals.remove(gone);
        return;
    }
    let users = world.source.users.iter().map(|user| &user.anchor);
    let anchors: Vec<&String> = users.chain(world.source.groups.iter().map(|group| &group.anchor)).collect();
    if let Some(anchor) = anchors.get(rng.below(anchors.len())) {
        principals.push(Principal::External(world.options.issuer.clone(), (*anchor).clone()));
    }
}

/// A record of the store is protected from now on; its id.
pub fn protect(world: &mut World, seed: u64) -> Option<String> {
    let users = world.store.users.iter().map(|user| &user.id);
    let ids: Vec<&String> = users.chain(world.store.groups.iter().map(|group| &group.id)).collect();
    let id = (*ids.get(seed as usize % ids.len().max(1))?).clone();
    world.options.protected_ids.insert(id.clone());
    Some(id)
}

/// The host wants something else from now on.
pub fn repolicy(world: &mut World, seed: u64) {
    use crate::common::world::{Deprovision, MemberRemovals, Nesting, UnmanagedMembers};
    let mut rng = Rng(seed);
    let policies = [Deprovision::Keep, Deprovision::Deactivate, Deprovision::Delete];
    let options = &mut world.options;
    options.users.left_scope = rng.pick(&policies);
    options.users.deleted_in_source = rng.pick(&policies);
    options.users.disabled_in_source = rng.pick(&policies[1..]);
    options.groups.left_scope = rng.pick(&policies);
    options.nesting = rng.pick(&[Nesting::Flatten, Nesting::DirectOnly]);
    options.unmanaged_members = rng.pick(&[UnmanagedMembers::Keep, UnmanagedMembers::Remove]);
    options.member_removals =
        rng.pick(&[MemberRemovals::Planned, MemberRemovals::Planned, MemberRemovals::Never]);
}

/// A record that must stay as it is, but for members who are deleted and go with that.
#[derive(Debug)]
pub struct Spared {
    id: String,
    record: Option<MemoryRecord>,
}

impl Spared {
    pub fn of(store: &MemoryStore, id: String) -> Self {
        let record = Self::record(store, &id);
        Self { id, record }
    }

    fn record(store: &MemoryStore, id: &str) -> Option<MemoryRecord> {
        let state = store.state();
        state.users.get(id).or_else(|| state.groups.get(id)).cloned()
    }

    pub fn stays(mut self, store: &MemoryStore) -> Verdict {
        let mut now = Self::record(store, &self.id);
        for record in self.record.iter_mut().chain(&mut now) {
            let state = store.state();
            record.members.retain(|id| state.users.contains_key(id) || state.groups.contains_key(id));
        }
        if now == self.record {
            return Ok(());
        }
        Err(format!("protected meanwhile, and yet written: {self:?}\n{now:?}"))
    }
}

/// What an administrator did to a record.
#[derive(Debug)]
pub struct Edited {
    kind: Kind,
    id: String,
    attribute: &'static str,
    value: String,
}

/// An administrator writes into a record.
pub fn edit(store: &MemoryStore, how: u64) -> Option<Edited> {
    let mut rng = Rng(how);
    let kind = if rng.chance(70) { Kind::User } else { Kind::Group };
    let mut state = store.state();
    let records = if kind == Kind::User { &mut state.users } else { &mut state.groups };
    let id = records.keys().nth(rng.below(records.len()))?.clone();
    let record = records.get_mut(&id)?;
    let attribute = rng.pick(&["displayName", "title", "note"]);
    let value = format!("edited {how}");
    record.attributes.insert(attribute.to_owned(), vec![value.clone()]);
    record.version += 1;
    Some(Edited { kind, id, attribute, value })
}

impl Edited {
    /// A store with conditional writes loses no edit to a plan that was made before it (rule P7).
    pub fn survives(&self, store: &MemoryStore) -> Verdict {
        let state = store.state();
        let records = if self.kind == Kind::User { &state.users } else { &state.groups };
        let held = records.get(&self.id).and_then(|record| record.attributes.get(self.attribute));
        if held.is_some_and(|values| values.as_slice() == std::slice::from_ref(&self.value)) {
            return Ok(());
        }
        Err(format!("what an administrator did meanwhile is lost: {self:?}"))
    }
}
