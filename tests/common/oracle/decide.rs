//! Puts the plan together: who is written, what it depends on, what is held.

use super::super::world::{AccountState, Attributes, Deprovision, Mapping, OnTrip, Schema};
use super::facts::{Fate, Managed, Removal, Why, grantable, managed_records, removals, state};
use super::limits::{self, Op};
use super::operation::{Changes, Operation, Reference};
use super::source::{Kind, View};
use super::values::{Holder, Party, Wanted, canonical, keys, map_attributes, quarantined, temporary};
use super::{Decision, Refusal};
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
    pub adopt: bool,
}

pub fn decide(view: &View<'_>) -> Result<Decision, Refusal> {
    let records = managed_records(view);
    refuse(view, &records)?;
    let mut diagnostics = source_diagnostics(view, &records);
    let users = writes(view, &records, Kind::User, &mut diagnostics);
    let groups = writes(view, &records, Kind::Group, &mut diagnostics);
    let (removals, mut incomplete) = removals(view, &records);
    let trips = limits::trips(view, &records, &removals, &users, &groups);
    diagnostics.extend(trips.names.iter().map(|name| format!("tripped {name}")));

    let mut held = trips.held;
    for (kind, written) in [(Kind::User, &users), (Kind::Group, &groups)] {
        hold_dependents(view, &records, kind, written, &mut held);
    }
    let abort = !trips.names.is_empty() && view.world.options.on_trip == OnTrip::Abort;
    let mut sorter = Sorter { held: &held, abort, running: BTreeSet::new(), waiting: BTreeSet::new() };
    sorter.fates(view, &records);
    for (kind, written) in [(Kind::User, &users), (Kind::Group, &groups)] {
        sorter.writes(view, &records, kind, written);
    }
    sorter.removals(&removals);
    sorter.additions(view, &records, &users, &groups);

    if !view.world.store.can_list_members {
        incomplete.extend(records.values().filter(|r| r.kind == Kind::Group && !r.protected).map(|r| r.id));
    }
    let scope = records.values().filter(|record| record.blocked).map(|record| format!("scope {}", record.id));
    let blocked = incomplete.iter().map(|group| format!("members {group}")).chain(scope).collect();
    let kept = records.values().filter(|record| record.kept).map(|record| record.id.to_owned()).collect();
    Ok(Decision { operations: sorter.running, held: sorter.waiting, kept, blocked, diagnostics })
}

/// Rules C4 and C5.
fn refuse(view: &View<'_>, records: &BTreeMap<&str, Managed<'_>>) -> Result<(), Refusal> {
    let world = view.world;
    let holds = |kind| records.values().any(|record| record.kind == kind);
    if !world.store.complete {
        return Err(Refusal::PartialStore);
    }
    let source = &world.source;
    let options = &world.options;
    if source.users_complete && source.users.is_empty() && holds(Kind::User) && !options.allow_empty_users {
        return Err(Refusal::EmptySource(Kind::User));
    }
    if source.groups_complete && source.groups.is_empty() && holds(Kind::Group) && !options.allow_empty_groups
    {
        return Err(Refusal::EmptySource(Kind::Group));
    }
    if world.assignments.complete
        && view.resolved == 0
        && !records.is_empty()
        && !options.allow_empty_assignments
    {
        return Err(Refusal::EmptyAssignments);
    }
    Ok(())
}

fn source_diagnostics(view: &View<'_>, records: &BTreeMap<&str, Managed<'_>>) -> BTreeSet<String> {
    let rows =
        view.users.keys().chain(view.groups.keys()).filter(|anchor| view.ambiguous_rows(anchor)).copied();
    let linked = records.values().filter(|record| record.ambiguous).flat_map(|r| r.anchors.iter().copied());
    let ambiguous = rows.chain(linked).map(|anchor| format!("ambiguous {anchor}"));
    let cycles = view.cycles.iter().map(|cycle| format!("cycle {}", cycle.join(",")));
    let principals = view.unresolved.iter().map(|principal| format!("principal {principal}"));
    ambiguous.chain(cycles).chain(principals).collect()
}

fn schema_and_map<'a>(view: &View<'a>, kind: Kind) -> (&'a Schema, &'a [Mapping]) {
    let world = view.world;
    match kind {
        Kind::User => (&world.store.user_schema, &world.options.user_map),
        Kind::Group => (&world.store.group_schema, &world.options.group_map),
    }
}

/// All records of a kind as holders of unique values, the unmanaged ones too.
fn holders<'a>(view: &View<'a>, records: &BTreeMap<&'a str, Managed<'a>>, kind: Kind) -> Vec<Holder<'a>> {
    let store = &view.world.store;
    let users = store.users.iter().map(|user| (Kind::User, user.id.as_str(), &user.attributes));
    let groups = store.groups.iter().map(|group| (Kind::Group, group.id.as_str(), &group.attributes));
    let deleted = |id: &str| records.get(id).is_some_and(|record| record.fate == Fate::Deleted);
    users
        .chain(groups)
        .filter(|(found, _, _)| *found == kind)
        .map(|(_, id, attributes)| Holder { id, attributes, deleted: deleted(id) })
        .collect()
}

/// The entitled, read, unambiguous objects within their bounds (interpretation 8).
fn parties(view: &View<'_>, records: &BTreeMap<&str, Managed<'_>>, kind: Kind) -> Vec<Party> {
    let (schema, map) = schema_and_map(view, kind);
    let options = &view.world.options;
    let mut result = Vec::new();
    for anchor in &view.entitled {
        let row = match kind {
            Kind::User => view.users.get(anchor).map(|row| (&row.attributes, &row.unreadable, row.withdrawn)),
            Kind::Group => {
                view.groups.get(anchor).map(|row| (&row.attributes, &row.unreadable, row.withdrawn))
            }
        };
        let Some((attributes, unreadable, false)) = row else { continue };
        let record = view.links_of(anchor).first().and_then(|(_, id)| records.get(id));
        if view.ambiguous_rows(anchor) || record.is_some_and(|record| record.ambiguous) {
            continue;
        }
        let writable = match record {
            Some(record) => !record.protected && record.fate != Fate::Deleted,
            None => !options.protected_anchors.contains(*anchor) && creatable(view, kind, anchor),
        };
        result.push(Party {
            anchor: (*anchor).to_owned(),
            record: record.map(|record| record.id.to_owned()),
            writable,
            wanted: map_attributes(map, schema, attributes, unreadable),
        });
    }
    result
}

/// Rule A5: nobody is created while his state is unknown, or only to be deleted.
fn creatable(view: &View<'_>, kind: Kind, anchor: &str) -> bool {
    kind == Kind::Group
        || match state(view, anchor) {
            AccountState::Enabled => true,
            AccountState::Disabled => view.world.options.users.disabled_in_source != Deprovision::Delete,
            AccountState::Unknown => false,
        }
}

fn writes<'a>(
    view: &View<'a>,
    records: &BTreeMap<&'a str, Managed<'a>>,
    kind: Kind,
    diagnostics: &mut BTreeSet<String>,
) -> Writes {
    let (schema, map) = schema_and_map(view, kind);
    let parties = parties(view, records, kind);
    let blocked = quarantined(&parties, &holders(view, records, kind), schema);
    diagnostics.extend(blocked.iter().map(|(anchor, attribute)| format!("conflict {anchor} {attribute}")));
    let mut writes = Writes::default();
    for party in parties {
        let empty = party.wanted.iter().filter(|(_, wanted)| **wanted == Wanted::RequiredEmpty);
        diagnostics.extend(empty.map(|(attribute, _)| format!("required {} {attribute}", party.anchor)));
        if !party.writable {
            continue;
        }
        let is_blocked = |name: &String| blocked.contains(&(party.anchor.clone(), name.clone()));
        if let Some(record) = party.record.as_deref().and_then(|id| records.get(id)) {
            let mut changes = Changes::new();
            for (name, wanted) in party.wanted.iter().filter(|(name, _)| !is_blocked(name)) {
                let old = canonical(record.attributes.get(name));
                let new = match wanted {
                    Wanted::Values(values) => values.clone(),
                    Wanted::Clear => Vec::new(),
                    Wanted::Leave | Wanted::RequiredEmpty => continue,
                };
                if keys(&old, name, schema) != keys(&new, name, schema) {
                    changes.insert(name.clone(), (old, new));
                }
            }
            if !changes.is_empty() || record.jit {
                let update = Update { anchor: party.anchor.clone(), changes, adopt: record.jit };
                writes.updates.insert(record.id.to_owned(), update);
            }
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
    writes
}

/// The records whose values `new` takes, with the attribute: it must wait until they give them up.
fn waits_for<'a>(
    holders: &[Holder<'a>],
    schema: &Schema,
    own: Option<&str>,
    new: &BTreeMap<&String, &Vec<String>>,
) -> BTreeSet<(&'a str, String)> {
    let mut result = BTreeSet::new();
    for (name, values) in new {
        if !schema.get(*name).is_some_and(|rule| rule.unique) {
            continue;
        }
        let wanted = keys(values, name, schema);
        for holder in holders.iter().filter(|holder| own != Some(holder.id)) {
            let held = keys(&canonical(holder.attributes.get(*name)), name, schema);
            if !held.is_disjoint(&wanted) {
                result.insert((holder.id, (*name).clone()));
            }
        }
    }
    result
}

fn new_values(changes: &Changes) -> BTreeMap<&String, &Vec<String>> {
    changes.iter().map(|(name, (_, new))| (name, new)).collect()
}

/// Rule D5: what takes a value that a held operation would have freed is held too.
fn hold_dependents<'a>(
    view: &View<'a>,
    records: &BTreeMap<&'a str, Managed<'a>>,
    kind: Kind,
    writes: &Writes,
    held: &mut BTreeSet<Op>,
) {
    let (schema, _) = schema_and_map(view, kind);
    let holders = holders(view, records, kind);
    let mut edges: Vec<(Op, Op)> = Vec::new();
    let frees = |id: &str| {
        let deleted = records.get(id).is_some_and(|record| record.fate == Fate::Deleted);
        if deleted { Op::Delete(id.to_owned()) } else { Op::Update(id.to_owned()) }
    };
    for (id, update) in &writes.updates {
        for (holder, _) in waits_for(&holders, schema, Some(id), &new_values(&update.changes)) {
            edges.push((Op::Update(id.clone()), frees(holder)));
        }
    }
    for (anchor, attributes) in &writes.creates {
        for (holder, _) in waits_for(&holders, schema, None, &attributes.iter().collect()) {
            edges.push((Op::Create(kind, anchor.clone()), frees(holder)));
        }
    }
    loop {
        let before = held.len();
        for (waiting, first) in &edges {
            if held.contains(first) {
                held.insert(waiting.clone());
            }
        }
        if held.len() == before {
            return;
        }
    }
}

/// The attributes that each record must first set to a temporary value: in every cycle of updates that wait
/// for each other the least anchor steps aside, until no cycle is left (rule P6).
fn temporaries(
    holders: &[Holder<'_>],
    schema: &Schema,
    updates: &BTreeMap<String, Update>,
) -> BTreeMap<String, BTreeSet<String>> {
    let mut edges: BTreeSet<(&str, &str, String)> = BTreeSet::new();
    for (id, update) in updates {
        for (holder, attribute) in waits_for(holders, schema, Some(id), &new_values(&update.changes)) {
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

/// Sorts operations into those that run and those that are held.
struct Sorter<'h> {
    held: &'h BTreeSet<Op>,
    /// Rule D5: a limit tripped, and nothing runs.
    abort: bool,
    running: BTreeSet<Operation>,
    waiting: BTreeSet<Operation>,
}

impl Sorter<'_> {
    fn put(&mut self, operation: Operation, holds: bool) {
        if holds || self.abort {
            self.waiting.insert(operation);
        } else {
            self.running.insert(operation);
        }
    }

    fn holds(&self, op: &Op) -> bool {
        self.held.contains(op)
    }

    /// Deactivations, reactivations and deletes.
    fn fates(&mut self, view: &View<'_>, records: &BTreeMap<&str, Managed<'_>>) {
        for record in records.values() {
            let id = record.id.to_owned();
            let delete = self.holds(&Op::Delete(id.clone()));
            match (record.fate, record.kind) {
                (Fate::Deleted, Kind::User) => self.put(Operation::DeleteUser(id), delete),
                (Fate::Deleted, Kind::Group) => self.put(Operation::DeleteGroup(id), delete),
                (Fate::Deactivated, Kind::User) if record.active => {
                    let holds = self.holds(&Op::Deactivate(id.clone()));
                    self.put(Operation::Deactivate(id), holds);
                }
                (Fate::Entitled, Kind::User) if reactivated(view, record) => {
                    self.put(Operation::Reactivate(id), false);
                }
                _ => {}
            }
        }
    }

    fn writes(
        &mut self,
        view: &View<'_>,
        records: &BTreeMap<&str, Managed<'_>>,
        kind: Kind,
        writes: &Writes,
    ) {
        let (schema, _) = schema_and_map(view, kind);
        let temporaries = temporaries(&holders(view, records, kind), schema, &writes.updates);
        for (id, update) in &writes.updates {
            let holds = self.holds(&Op::Update(id.clone()));
            let mut changes = update.changes.clone();
            let mut first = Changes::new();
            for attribute in temporaries.get(id).into_iter().flatten() {
                // Only what changes is waited for, so the attribute is there.
                let Some((old, new)) = changes.get_mut(attribute) else { continue };
                let value = vec![temporary(&update.anchor, attribute, new)];
                first.insert(attribute.clone(), (std::mem::replace(old, value.clone()), value));
            }
            if !first.is_empty() {
                self.put(Operation::TempUpdate { id: id.clone(), changes: first }, holds);
            }
            let id = id.clone();
            let operation = match kind {
                Kind::User => Operation::UpdateUser { id, changes, adopt: update.adopt },
                Kind::Group => Operation::UpdateGroup { id, changes },
            };
            self.put(operation, holds);
        }
        for (anchor, attributes) in &writes.creates {
            let holds = self.holds(&Op::Create(kind, anchor.clone()));
            let (anchor, attributes) = (anchor.clone(), attributes.clone());
            let operation = match kind {
                Kind::User => {
                    let active = state(view, &anchor) == AccountState::Enabled;
                    Operation::CreateUser { anchor, active, attributes }
                }
                Kind::Group => Operation::CreateGroup { anchor, attributes },
            };
            self.put(operation, holds);
        }
    }

    fn removals(&mut self, removals: &[Removal<'_>]) {
        let mut lists: BTreeMap<(&str, bool, bool), BTreeSet<String>> = BTreeMap::new();
        for removal in removals {
            let (group, member) = (removal.group.to_owned(), removal.member.to_owned());
            let holds = removal.why.iter().all(|why| match why {
                Why::Ordinary | Why::Emptied => self.holds(&Op::Remove(group.clone(), member.clone())),
                Why::UserDeleted => self.holds(&Op::Delete(member.clone())),
                Why::GroupDeleted => self.holds(&Op::Delete(group.clone())),
            });
            let precedes =
                removal.why.contains(&Why::UserDeleted) || removal.why.contains(&Why::GroupDeleted);
            lists.entry((removal.group, precedes, holds || self.abort)).or_default().insert(member);
        }
        for ((group, precedes, holds), members) in lists {
            let group = group.to_owned();
            let operation = if precedes {
                Operation::RemoveMembersBeforeDelete { group, members }
            } else {
                Operation::RemoveMembers { group, members }
            };
            self.put(operation, holds);
        }
    }

    fn additions(
        &mut self,
        view: &View<'_>,
        records: &BTreeMap<&str, Managed<'_>>,
        users: &Writes,
        groups: &Writes,
    ) {
        let options = &view.world.options;
        let lists = view.world.store.can_list_members;
        for anchor in view.groups.keys().filter(|anchor| view.entitled.contains(*anchor)) {
            if !lists && !options.add_members_to.contains(*anchor) {
                continue;
            }
            let record = view.links_of(anchor).first().and_then(|(_, id)| records.get(id));
            let (group, group_held) = match record {
                Some(record) if !record.protected && !record.ambiguous && !view.groups[anchor].withdrawn => {
                    (Reference::Stored(record.id.to_owned()), false)
                }
                None if groups.creates.contains_key(*anchor) => {
                    let holds = self.holds(&Op::Create(Kind::Group, (*anchor).to_owned()));
                    (Reference::Created((*anchor).to_owned()), holds)
                }
                _ => continue,
            };
            let present = record.map(|record| super::facts::listed_members(view.world, record.id));
            let mut added: BTreeMap<bool, BTreeSet<Reference>> = BTreeMap::new();
            for user in grantable(view, records, anchor) {
                match view.links_of(user).first() {
                    Some((_, id)) if present.as_ref().is_some_and(|present| present.contains(id)) => {}
                    Some((_, id)) => {
                        let holds = group_held || self.abort;
                        added.entry(holds).or_default().insert(Reference::Stored((*id).to_owned()));
                    }
                    None if users.creates.contains_key(user) => {
                        let create = self.holds(&Op::Create(Kind::User, user.to_owned()));
                        let holds = group_held || create || self.abort;
                        added.entry(holds).or_default().insert(Reference::Created(user.to_owned()));
                    }
                    None => {}
                }
            }
            for (holds, members) in added {
                self.put(Operation::AddMembers { group: group.clone(), members }, holds);
            }
        }
    }
}

/// Rule A7, without an administrator's lock: whoever is entitled and enabled is active.
fn reactivated(view: &View<'_>, record: &Managed<'_>) -> bool {
    let withdrawn = view.users.get(record.anchor()).is_some_and(|user| user.withdrawn);
    !record.active
        && record.read
        && !record.ambiguous
        && !withdrawn
        && state(view, record.anchor()) == AccountState::Enabled
}
