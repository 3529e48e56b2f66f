//! Step 4, for groups: who has to be added and removed (rules E4, C2, D2, D3, D6).

use std::collections::{BTreeMap, BTreeSet};

use crate::correlate::{Fate, Presence};
use crate::diagnostic::Diagnostic;
use crate::diff::{Act, BlockReason, Blocked, Cause, Draft, MemberRef, Step};
use crate::graph::{Class, Component, Graph};
use crate::id::{SourceAnchor, StoreId};
use crate::links::Links;
use crate::model::Kind;
use crate::object::{Object, Objects, ProtectedRecords};
use crate::options::{Extent, MemberRemovals, Options, UnmanagedMembers};
use crate::snapshot::{LimitExceeded, NONE};
use crate::store::{Members, MembershipsOnDelete};

/// Who must not be lost by the delete of a group: such groups are emptied of all others instead (rule M8).
pub(crate) fn spare_protected(
    draft: &mut Draft,
    links: &Links<'_>,
    groups: &mut Objects,
    protected: &ProtectedRecords,
) {
    for (number, group) in groups.all.iter_mut().enumerate() {
        let Fate::Delete(reason) = group.fate else { continue };
        let holds_protected = links.store.members_of(group.record as usize).iter().any(|&id| {
            let is = |kind, row: u32| {
                protected.record(kind, row)
                    || links.nodes_of(kind, row).iter().any(|node| protected.nodes.contains(node))
            };
            protected.id(id)
                || row(&links.store.user_of, id).is_some_and(|user| is(Kind::User, user))
                || row(&links.store.group_of, id).is_some_and(|group| is(Kind::Group, group))
        });
        if holds_protected && !group.protected {
            group.fate = Fate::Deactivate(reason);
            let because = BlockReason::Protected;
            draft.blocked.push(Blocked { member: None, kind: Kind::Group, object: number as u32, because });
        }
    }
}

/// Compares the members of all groups and adds what has to change.
///
/// # Errors
///
/// There are more flattened memberships than the bound allows (rule S1).
pub(crate) fn diff_members(
    draft: &mut Draft,
    graph: &Graph<'_>,
    groups: &Objects,
    users: &Objects,
    protected: &ProtectedRecords,
    options: &Options,
) -> Result<(), LimitExceeded> {
    let plain_nodes = plain_nodes(graph, users);
    let (created_users, created_groups) = (created(&draft.steps, users), created(&draft.steps, groups));
    let mut differ = MemberDiffer {
        draft,
        graph,
        groups,
        users,
        protected,
        options,
        created_users,
        created_groups,
        plain_nodes,
        reached: vec![0; graph.links.nodes()],
        present: vec![0; graph.links.nodes()],
        epoch: 0,
        anyone_leaves: users.all.iter().any(|user| user.leaving),
        several: BTreeMap::new(),
        deepest: None,
    };
    differ.without_list();
    if options.extent == Extent::ProvenRemovals {
        return Ok(());
    }
    let wanted: Vec<bool> = graph
        .links
        .source
        .groups
        .iter()
        .enumerate()
        .map(|(row, entry)| graph.links.group_row(entry.node) == Some(row) && differ.needs_list(entry.node))
        .collect();
    let most = options.limits.memberships;
    graph.flatten(&wanted, most, |component| differ.component(&wanted, &component))?;
    differ.records_with_several_anchors();
    differ.report_depth();
    Ok(())
}

struct MemberDiffer<'a, 'd> {
    draft: &'d mut Draft,
    graph: &'a Graph<'a>,
    groups: &'a Objects,
    users: &'a Objects,
    protected: &'a ProtectedRecords,
    options: &'a Options,
    /// Per object whether this plan creates it: a create may have failed for a required value.
    created_users: Vec<bool>,
    created_groups: Vec<bool>,
    /// Per store id the node of a managed user about whom nothing is special, else `NONE`: almost all memberships need
    /// no more than this and two marks.
    plain_nodes: Vec<u32>,
    /// Per node the component that reached it last, and the group in whose store record it was seen last.
    reached: Vec<u32>,
    present: Vec<u32>,
    epoch: u32,
    /// Whether there is anybody whose memberships end before his record does.
    anyone_leaves: bool,
    /// Group records with several of our anchors: everybody below any of them, and whether all lists are whole.
    several: BTreeMap<u32, (BTreeSet<u32>, bool)>,
    /// The deepest nesting below a wanted group, where it is worth a word.
    deepest: Option<(u32, SourceAnchor)>,
}

impl MemberDiffer<'_, '_> {
    /// Whether the flattened list of a group says anything about a record: entitled, or kept and read.
    fn needs_list(&self, node: u32) -> bool {
        let wanted = |object: &Object| match object.fate {
            Fate::Compare | Fate::Create => true,
            Fate::Keep => object.presence == Presence::Read,
            _ => false,
        };
        match self.groups.of_node(node) {
            Some(object) => {
                wanted(&self.groups.all[object as usize]) || self.graph.links.crowd(node).is_some()
            }
            None => false,
        }
    }

    /// The group objects of a node: one, but where several records carry the anchor.
    fn objects_of(&self, node: u32) -> Vec<u32> {
        let links = self.graph.links;
        match links.crowd(node) {
            Some(records) => records
                .iter()
                .filter(|(kind, _)| *kind == Kind::Group)
                .filter_map(|&(_, record)| self.groups.of_record(record))
                .collect(),
            None => self.groups.of_node(node).into_iter().collect(),
        }
    }

    fn component(&mut self, wanted: &[bool], component: &Component<'_>) {
        self.epoch += 1;
        let epoch = self.epoch;
        for &member in component.members {
            self.reached[member as usize] = epoch;
        }
        if component.cyclic {
            let mut groups: Vec<SourceAnchor> = component
                .groups
                .iter()
                .map(|&group| {
                    SourceAnchor::from(self.graph.links.anchor(self.graph.links.source.groups[group].node))
                })
                .collect();
            groups.sort_unstable();
            self.draft.diagnostics.push(Diagnostic::Cycle { groups });
        }
        for &group in component.groups {
            self.report_opaque(group);
            if !wanted[group] {
                continue;
            }
            let node = self.graph.links.source.groups[group].node;
            self.measure(node, component.depth);
            for number in self.objects_of(node) {
                let object = &self.groups.all[number as usize];
                if object.record != NONE && self.graph.links.nodes_of(Kind::Group, object.record).len() > 1 {
                    let (members, whole) =
                        self.several.entry(number).or_insert_with(|| (BTreeSet::new(), true));
                    members.extend(component.members);
                    *whole &= component.whole;
                    continue;
                }
                self.compare(number, component.whole, |differ, node| differ.reached[node as usize] == epoch);
                self.add(number, component.members);
            }
        }
    }

    /// Rule E7: depth is reported, never cut.
    fn measure(&mut self, node: u32, depth: u32) {
        if depth as usize <= self.options.limits.depth_reported {
            return;
        }
        let anchor = || SourceAnchor::from(self.graph.links.anchor(node));
        match &self.deepest {
            Some((known, _)) if *known > depth => {}
            Some((known, least)) if *known == depth && least.as_str() <= self.graph.links.anchor(node) => {}
            _ => self.deepest = Some((depth, anchor())),
        }
    }

    fn report_depth(&mut self) {
        if let Some((depth, group)) = self.deepest.take() {
            self.draft.diagnostics.push(Diagnostic::DeepNesting { group, depth });
        }
    }

    fn report_opaque(&mut self, group: usize) {
        let source = self.graph.links.source;
        let count = u64::from(self.graph.hiding[group]);
        if count > 0 {
            let group = SourceAnchor::from(self.graph.links.anchor(source.groups[group].node));
            self.draft.diagnostics.push(Diagnostic::OpaqueMembers { group, count });
        }
    }

    fn step(&mut self, group: u32, act: Act, cause: Cause) {
        self.draft.steps.push(Step { kind: Kind::Group, object: group, act, cause });
    }

    /// Who has to go from a record whose list was read; marks who is there.
    fn compare(&mut self, number: u32, whole: bool, is_below: impl Fn(&Self, u32) -> bool) {
        let object = &self.groups.all[number as usize];
        if object.record == NONE || !matches!(object.fate, Fate::Compare | Fate::Keep) {
            return;
        }
        let links = self.graph.links;
        if links.store.capabilities.members == Members::Unlisted {
            if self.options.extent == Extent::Full {
                let because = BlockReason::MembersUnlisted;
                self.draft.blocked.push(Blocked { member: None, kind: Kind::Group, object: number, because });
            }
            return;
        }
        self.epoch += 1;
        let (mut gone, mut leaving, mut strangers) = (Vec::new(), Vec::new(), Vec::new());
        for &id in links.store.members_of(object.record as usize) {
            let plain = self.plain_nodes[id as usize];
            if plain != NONE {
                self.present[plain as usize] = self.epoch;
                if is_below(self, plain) {
                    continue;
                }
            }
            let (unwanted, stranger) = match self.who(id) {
                Who::Protected => {
                    self.spared(number, id, whole, &is_below);
                    continue;
                }
                Who::User(user) => {
                    let member = &self.users.all[user as usize];
                    let nodes = self.users.nodes_of(links, member);
                    for &node in nodes {
                        self.present[node as usize] = self.epoch;
                    }
                    // Whoever is deleted leaves with his record, or just before (rule D2).
                    let stays = nodes.iter().any(|&node| is_below(self, node));
                    if member.leaving && (stays || !whole) {
                        leaving.push(MemberRef::Object(user));
                        continue;
                    }
                    if stays || member.is_deleted() {
                        continue;
                    }
                    (MemberRef::Object(user), false)
                }
                Who::Group => (MemberRef::Stored(id), false),
                Who::Stranger
                    if object.is_entitled() && self.options.unmanaged_members == UnmanagedMembers::Remove =>
                {
                    (MemberRef::Stored(id), true)
                }
                Who::Stranger => continue,
            };
            if object.protected {
                self.report_protected(Kind::Group, number);
            } else if whole {
                if stranger { strangers.push(unwanted) } else { gone.push(unwanted) }
            } else if self.options.extent == Extent::Full {
                let because = BlockReason::ListIncomplete;
                let member = Some(unwanted);
                self.draft.blocked.push(Blocked { member, kind: Kind::Group, object: number, because });
            }
        }
        // One list per group, so that there is one operation and one judgement (rules P3, D4).
        let cause = match (gone.is_empty(), leaving.is_empty()) {
            (false, _) => Cause::NoPath,
            (true, false) => Cause::MemberLeaving,
            (true, true) => Cause::Unmanaged,
        };
        if object.protected && !leaving.is_empty() {
            self.report_protected(Kind::Group, number);
            leaving.clear();
        }
        gone.append(&mut leaving);
        gone.append(&mut strangers);
        self.remove(number, gone, cause);
    }

    /// Takes members out for their own sake, where the options do that at all.
    fn remove(&mut self, group: u32, members: Vec<MemberRef>, cause: Cause) {
        if members.is_empty() || self.options.extent == Extent::NewEntitlements {
            return;
        }
        match self.options.member_removals {
            MemberRemovals::Planned => self.step(group, Act::Remove(members), cause),
            MemberRemovals::Never => {
                let because = BlockReason::RemovalsOff;
                self.draft.blocked.push(Blocked { member: None, kind: Kind::Group, object: group, because });
            }
        }
    }

    /// Who has to come in: whoever is below, may be granted something, and is not there (rule E4).
    fn add(&mut self, number: u32, below: &[u32]) {
        let object = &self.groups.all[number as usize];
        let created = object.record == NONE;
        if created && !self.created_groups[number as usize] {
            return;
        }
        if object.fate == Fate::Keep || object.barred || !object.is_entitled() {
            return;
        }
        let listed = self.graph.links.store.capabilities.members != Members::Unlisted;
        let named = || {
            let anchor = SourceAnchor::from(self.graph.links.anchor(object.node));
            self.options.add_members_to.contains(&anchor)
        };
        if !listed && !named() {
            return;
        }
        let here = self.epoch;
        let mut added = Vec::new();
        for &node in below {
            if !created && listed && self.present[node as usize] == here {
                continue;
            }
            let Some(user) = self.users.of_node(node) else { continue };
            let candidate = &self.users.all[user as usize];
            let grantable = !candidate.barred
                && candidate.is_entitled()
                && !candidate.is_deleted()
                && !candidate.leaving
                && (candidate.record != NONE || self.created_users[user as usize]);
            if grantable && object.protected {
                self.report_protected(Kind::Group, number);
            } else if grantable && candidate.protected {
                self.report_protected(Kind::User, user);
            } else if grantable {
                added.push(MemberRef::Object(user));
            }
        }
        if !added.is_empty() {
            self.step(number, Act::Add(added), Cause::Entitled);
        }
    }

    /// Records whose list says nothing: retired, deleted, not read. They lose members only to deletes.
    fn without_list(&mut self) {
        let links = self.graph.links;
        let remove_first = links.store.capabilities.memberships_on_delete == MembershipsOnDelete::RemoveFirst;
        let listed = links.store.capabilities.members != Members::Unlisted;
        for number in 0..self.groups.all.len() as u32 {
            let object = &self.groups.all[number as usize];
            if object.record == NONE || object.protected {
                continue;
            }
            let members = links.store.members_of(object.record as usize);
            match object.fate {
                Fate::Delete(_) if remove_first => {
                    let all = members.iter().map(|&id| self.member(id)).collect::<Vec<_>>();
                    if !all.is_empty() {
                        self.step(number, Act::Remove(all), Cause::GroupDeleted);
                    }
                }
                Fate::Delete(_) => {}
                Fate::Deactivate(_) if !listed => {
                    let because = BlockReason::MembersUnlisted;
                    self.draft.blocked.push(Blocked {
                        member: None,
                        kind: Kind::Group,
                        object: number,
                        because,
                    });
                }
                Fate::Deactivate(_) => {
                    let managed = members.iter().filter(|&&id| match self.who(id) {
                        Who::User(user) => !self.users.all[user as usize].is_deleted(),
                        Who::Group => true,
                        Who::Protected | Who::Stranger => false,
                    });
                    let managed: Vec<MemberRef> = managed.map(|&id| self.member(id)).collect();
                    self.remove(number, managed, Cause::GroupRetired);
                    self.before_deletes(number, remove_first);
                }
                _ => {
                    if listed && !self.is_compared(object) {
                        self.leavers(number);
                    }
                    self.before_deletes(number, remove_first);
                }
            }
        }
    }

    /// Whether `compare` looks at a record, because its list was read.
    fn is_compared(&self, object: &Object) -> bool {
        let links = self.graph.links;
        let read = |&node: &u32| links.group_row(node).is_some() && self.needs_list(node);
        self.options.extent == Extent::Full
            && matches!(object.fate, Fate::Compare | Fate::Keep)
            && self.groups.nodes_of(links, object).iter().any(read)
    }

    /// Whoever will be deleted leaves at once, also where no list tells (rule D1).
    fn leavers(&mut self, number: u32) {
        if !self.anyone_leaves {
            return;
        }
        let record = self.groups.all[number as usize].record;
        let members = self.graph.links.store.members_of(record as usize).iter();
        let leaving = members.filter_map(|&id| match self.who(id) {
            Who::User(user) if self.users.all[user as usize].leaving => Some(MemberRef::Object(user)),
            _ => None,
        });
        let leaving: Vec<MemberRef> = leaving.collect();
        self.remove(number, leaving, Cause::MemberLeaving);
    }

    fn before_deletes(&mut self, number: u32, remove_first: bool) {
        if !remove_first {
            return;
        }
        let record = self.groups.all[number as usize].record;
        let deleted = self.graph.links.store.members_of(record as usize).iter().filter_map(|&id| match self
            .who(id)
        {
            Who::User(user) if self.users.all[user as usize].is_deleted() => Some(MemberRef::Object(user)),
            _ => None,
        });
        let deleted: Vec<MemberRef> = deleted.collect();
        if !deleted.is_empty() {
            self.step(number, Act::Remove(deleted), Cause::MemberDeleted);
        }
    }

    fn records_with_several_anchors(&mut self) {
        for (number, (members, mut whole)) in std::mem::take(&mut self.several) {
            let object = &self.groups.all[number as usize];
            // An anchor that was not read may hide anybody.
            let nodes = self.graph.links.nodes_of(Kind::Group, object.record);
            let hides = |&node: &u32| {
                !matches!(self.graph.classes[node as usize], Class::Group | Class::Gone | Class::Other)
            };
            whole &= !nodes.iter().any(hides);
            self.compare(number, whole, |_, node| members.contains(&node));
        }
    }

    /// A protected member stays whatever the list says; where it says that he should go, a person learns it (rule M8).
    fn spared(&mut self, group: u32, id: u32, whole: bool, is_below: &impl Fn(&Self, u32) -> bool) {
        let links = self.graph.links;
        let (kind, record) = match row(&links.store.user_of, id) {
            Some(user) => (Kind::User, Some(user)),
            None => match row(&links.store.group_of, id) {
                Some(group) => (Kind::Group, Some(group)),
                // Protected by its id; the store does not show its record.
                None => (Kind::User, None),
            },
        };
        let nodes = record.map_or(&[][..], |record| links.nodes_of(kind, record));
        // No list says that a group should be there (rule E4).
        let is_user = |node: &u32| kind == Kind::User && is_below(self, *node);
        let managed = !nodes.is_empty() && !nodes.iter().any(is_user);
        let stranger = nodes.is_empty()
            && self.options.unmanaged_members == UnmanagedMembers::Remove
            && self.groups.all[group as usize].is_entitled();
        if kind == Kind::User {
            for &node in nodes {
                self.present[node as usize] = self.epoch;
            }
        }
        if whole && (managed || stranger) {
            let anchor = nodes.first().map(|&node| SourceAnchor::from(links.anchor(node)));
            let id = Some(StoreId::from(links.store.ids.text(id)));
            self.draft.diagnostics.push(Diagnostic::Protected { kind, id, anchor });
        }
    }

    fn report_protected(&mut self, kind: Kind, object: u32) {
        let links = self.graph.links;
        let objects = if kind == Kind::User { self.users } else { self.groups };
        let object = &objects.all[object as usize];
        let record = links.store.records(kind).get(object.record as usize);
        let id = record.map(|record| StoreId::from(links.store.id(record)));
        let anchor = Some(SourceAnchor::from(links.anchor(object.node)));
        self.draft.diagnostics.push(Diagnostic::Protected { kind, id, anchor });
    }

    fn member(&self, id: u32) -> MemberRef {
        match row(&self.graph.links.store.user_of, id).and_then(|row| self.users.of_record(row)) {
            Some(user) => MemberRef::Object(user),
            None => MemberRef::Stored(id),
        }
    }

    fn who(&self, id: u32) -> Who {
        let store = self.graph.links.store;
        if self.protected.id(id) {
            return Who::Protected;
        }
        if let Some(user) = row(&store.user_of, id) {
            return match self.users.of_record(user) {
                Some(object) if self.users.all[object as usize].protected => Who::Protected,
                Some(object) => Who::User(object),
                None if self.protected.record(Kind::User, user) => Who::Protected,
                None => Who::Stranger,
            };
        }
        match row(&store.group_of, id) {
            Some(group) if self.protected.record(Kind::Group, group) => Who::Protected,
            Some(group) => match self.groups.of_record(group) {
                Some(object) if self.groups.all[object as usize].protected => Who::Protected,
                Some(_) => Who::Group,
                None => Who::Stranger,
            },
            None => Who::Stranger,
        }
    }
}

fn plain_nodes(graph: &Graph<'_>, users: &Objects) -> Vec<u32> {
    let store = graph.links.store;
    let plain = |id: u32| {
        let record = row(&store.user_of, id)?;
        let object = &users.all[users.of_record(record)? as usize];
        let [node] = graph.links.nodes_of(Kind::User, record) else { return None };
        // One that is only adopted in this plan has no node yet.
        let special = object.protected || object.is_deleted() || object.leaving;
        (!special).then_some(*node)
    };
    (0..store.ids.len() as u32).map(|id| plain(id).unwrap_or(NONE)).collect()
}

fn created(steps: &[Step], objects: &Objects) -> Vec<bool> {
    let mut created = vec![false; objects.all.len()];
    for step in steps {
        if step.kind == objects.kind && matches!(step.act, Act::Create { .. }) {
            created[step.object as usize] = true;
        }
    }
    created
}

/// Who a member of a stored group is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    /// A managed user: its object.
    User(u32),
    /// A managed group: no group is a member of a group (rule E4).
    Group,
    /// Somebody else's (rules M7, D6).
    Stranger,
    Protected,
}

fn row(rows: &[u32], id: u32) -> Option<u32> {
    rows.get(id as usize).copied().filter(|&row| row != NONE)
}
