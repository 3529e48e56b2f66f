//! Step 4: what has to change, object by object. Nothing here knows limits or order.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::attributes::{AttributeTable, Attributes};
use crate::correlate::{Fate, Presence, Reason, Situation};
use crate::diagnostic::{Ambiguity, Diagnostic};
use crate::fingerprint::Fingerprint;
use crate::flapping::frozen;
use crate::graph::Graph;
use crate::id::{SourceAnchor, StoreId};
use crate::model::{DeactivatedBy, Kind, Origin};
use crate::object::{Object, Objects, reason};
use crate::options::{Deprovision, Extent, Options, Reactivate};
use crate::release::release;
use crate::run::{Memory, WrittenValues};
use crate::snapshot::NONE;
use crate::store::{Activation, Change, DeactivationMemory};
use crate::unique::{Moves, Settlement, settle};
use crate::value::{Desired, Rules};

/// Why an operation is planned (rule P5). A grant can be explained by its path; a removal says that no path is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Cause {
    /// Entitled, and not there yet.
    Entitled,
    /// An entitled object without a record matches this one, which has no link (rule M3).
    Matched,
    /// Mapped attributes differ.
    Changed,
    /// A user who came by sign-in is entitled now (rule J2).
    Adopted,
    /// Entitled and enabled in the source again (rule A7).
    Enabled,
    /// Proven deleted in the source.
    DeletedInSource,
    /// Not entitled any more.
    LeftScope,
    /// Disabled in the source.
    DisabledInSource,
    /// No path leads from the group to this member any more.
    NoPath,
    /// The member will be deleted after a grace period; memberships end at once (rule D1).
    MemberLeaving,
    /// Somebody else put the member in (rule D6).
    Unmanaged,
    /// The member is deleted, and the store wants memberships removed first (rule D2).
    MemberDeleted,
    /// The group is deleted, and the store wants memberships removed first (rule D2).
    GroupDeleted,
    /// The group is taken out of use and keeps no managed member (rule D1).
    GroupRetired,
    /// Gives a unique value free for another one of a cycle (rule P6).
    Swap,
    /// Gives up a name that is its own no more, for somebody who is entitled to it (rule M4).
    NameReleased,
    /// A sign-in (rule J1).
    SignIn,
}

impl From<Reason> for Cause {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::DeletedInSource => Self::DeletedInSource,
            Reason::LeftScope => Self::LeftScope,
            Reason::DisabledInSource => Self::DisabledInSource,
        }
    }
}

/// A member: an object of ours, or a record that is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum MemberRef {
    /// A user object.
    Object(u32),
    /// A store id that is no managed user.
    Stored(u32),
}

/// What a step does.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Values are a row of the draft's table.
    Create {
        row: u32,
        active: bool,
    },
    Update {
        changes: Vec<Change>,
        adopt: bool,
    },
    /// Gives the record its link.
    Adopt,
    Deactivate,
    Reactivate,
    Delete,
    Add(Vec<MemberRef>),
    Remove(Vec<MemberRef>),
}

/// One change to one object, before order and limits.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) kind: Kind,
    /// Number among the objects of its kind.
    pub(crate) object: u32,
    pub(crate) act: Act,
    pub(crate) cause: Cause,
}

/// A removal that a rule of completeness or protection does not allow (rule C7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Blocked {
    pub(crate) member: Option<MemberRef>,
    pub(crate) kind: Kind,
    /// The record itself, or the group of the membership.
    pub(crate) object: u32,
    pub(crate) because: BlockReason,
}

/// What stands against a removal (rule C7). Each can be cleared: read the whole, answer the look-up, declare the leaf,
/// lift the protection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BlockReason {
    /// It was not read, and nothing proves that it was deleted (rule C3).
    DeletionUnproven,
    /// Not everything that could entitle it was read (rule C2).
    ScopeUnproven,
    /// Not seen in this run, so it is made inactive, not deleted (rule D1).
    NotSeen,
    /// The member list of the group, or of one below, is incomplete (rule C2).
    ListIncomplete,
    /// The store cannot list its members (rule C5).
    MembersUnlisted,
    /// A protected record is concerned (rule M8).
    Protected,
    /// The options take nobody out of a group.
    RemovalsOff,
}

/// Everything that has to change.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    pub(crate) steps: Vec<Step>,
    pub(crate) values: AttributeTable,
    pub(crate) blocked: Vec<Blocked>,
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// (kind, taking object, record that frees the value, attribute).
    pub(crate) frees: Vec<(Kind, u32, u32, String)>,
    /// Managed records that are wanted no more and stay.
    pub(crate) kept: Vec<(Kind, u32)>,
    /// Updates that only give a name up, with the objects that take it.
    pub(crate) released: Vec<(Kind, u32, BTreeSet<u32>)>,
    /// Values that differ although they were written, and those that this run does not look at (rule A4).
    pub(crate) written: BTreeMap<Fingerprint, WrittenValues>,
    pub(crate) created: BTreeMap<Fingerprint, Fingerprint>,
}

/// Compares all objects of one kind and adds what has to change. Near linear.
pub(crate) fn diff(
    draft: &mut Draft,
    graph: &Graph<'_>,
    objects: &Objects,
    options: &Options,
    rules: &Rules<'_>,
    memory: &Memory,
) {
    let links = graph.links;
    let makes = options.extent != Extent::ProvenRemovals;
    let plain = if makes { plainly_settled(graph, objects, rules) } else { vec![false; objects.all.len()] };
    let frozen = frozen(draft, links, objects, rules, &plain, memory);
    let nobody = BTreeSet::new();
    let changes = options.extent == Extent::Full;
    let settlements: BTreeMap<usize, Settlement> = rules
        .rules
        .iter()
        .enumerate()
        .filter(|(_, rule)| makes && rule.schema.unique)
        .map(|(number, rule)| {
            let frozen = frozen.get(&number).unwrap_or(&nobody);
            let moves = Moves { changes, releases: changes && options.release_names, frozen };
            (number, settle(objects, links, rule, &plain, moves))
        })
        .collect();
    for (&number, settlement) in &settlements {
        let target = rules.rules[number].target;
        let frees =
            settlement.frees.iter().map(|&(taker, holder)| (objects.kind, taker, holder, target.to_owned()));
        draft.frees.extend(frees);
    }
    let mut differ = Differ {
        draft,
        graph,
        objects,
        options,
        rules,
        settlements: &settlements,
        plain: &plain,
        frozen: &frozen,
    };
    for (number, object) in objects.all.iter().enumerate() {
        differ.object(number as u32, object);
    }
    release(draft, links, objects, rules, &settlements);
}

struct Differ<'a, 'd> {
    draft: &'d mut Draft,
    graph: &'a Graph<'a>,
    objects: &'a Objects,
    options: &'a Options,
    rules: &'a Rules<'a>,
    settlements: &'a BTreeMap<usize, Settlement>,
    plain: &'a [bool],
    frozen: &'a BTreeMap<usize, BTreeSet<u32>>,
}

/// Which objects have everything that they shall have. Most have, in most runs: this is the one look at their attributes.
fn plainly_settled(graph: &Graph<'_>, objects: &Objects, rules: &Rules<'_>) -> Vec<bool> {
    let (source, store) = (graph.links.source, graph.links.store);
    let is_plain = |object: &Object| {
        let comparable =
            object.is_entitled() && !object.barred && object.record != NONE && object.source != NONE;
        comparable && {
            let wanted = match objects.kind {
                Kind::User => source.user_row(object.source as usize),
                Kind::Group => source.group_row(object.source as usize),
            };
            rules.is_plainly_settled(wanted, store.attributes(objects.kind, object.record as usize))
        }
    };
    objects.all.iter().map(is_plain).collect()
}

impl<'a> Differ<'a, '_> {
    fn object(&mut self, number: u32, object: &Object) {
        self.findings(object);
        self.blocked(number, object);
        let (before, kept) = (self.draft.steps.len(), self.draft.kept.len());
        if object.adopting {
            self.step(number, Act::Adopt, Cause::Matched);
        }
        self.lifecycle(number, object);
        if self.options.extent != Extent::ProvenRemovals && object.is_entitled() && !object.barred {
            match object.fate {
                Fate::Create if object.unknown => {}
                Fate::Create => self.create(number, object),
                Fate::Compare | Fate::Deactivate(_) => self.compare(number, object),
                _ => {}
            }
        }
        if object.protected {
            self.draft.kept.truncate(kept);
        }
        // A protected record is compared all the same, so that a person learns what is not done.
        if object.protected && self.draft.steps.len() > before {
            self.draft.steps.truncate(before);
            let id = (object.record != NONE).then(|| self.store_id(object.record));
            let anchor = Some(self.anchor(object));
            self.draft.diagnostics.push(Diagnostic::Protected { kind: self.objects.kind, id, anchor });
        }
    }

    fn step(&mut self, object: u32, act: Act, cause: Cause) {
        self.draft.steps.push(Step { kind: self.objects.kind, object, act, cause });
    }

    /// Deactivate, reactivate, delete, keep.
    fn lifecycle(&mut self, number: u32, object: &Object) {
        let kind = self.objects.kind;
        let record = match object.record {
            NONE => return,
            record => record,
        };
        let active = kind == Kind::User && self.graph.links.store.users[record as usize].active;
        let can_deactivate = self.graph.links.store.capabilities.activation == Activation::Supported;
        match object.fate {
            Fate::Delete(why) => self.step(number, Act::Delete, why.into()),
            Fate::Deactivate(_) if kind == Kind::User && !can_deactivate => {
                self.draft.kept.push((kind, number))
            }
            Fate::Deactivate(why) => {
                if active {
                    self.step(number, Act::Deactivate, why.into());
                }
                if !object.is_entitled() {
                    self.draft.kept.push((kind, number));
                }
            }
            Fate::Keep => self.draft.kept.push((kind, number)),
            Fate::Compare => {
                let enabled = !object.disabled && !object.unknown && !object.barred;
                let inactive = kind == Kind::User && !active && can_deactivate;
                if !inactive || !enabled || self.options.extent == Extent::ProvenRemovals {
                    return;
                }
                if self.is_locked(record) {
                    let anchor = self.anchor(object);
                    self.draft.diagnostics.push(Diagnostic::Locked { anchor });
                } else {
                    self.step(number, Act::Reactivate, Cause::Enabled);
                }
            }
            Fate::Ignore | Fate::Create | Fate::LeaveAlone => {}
        }
    }

    /// Whether somebody else made a record inactive, and the store remembers it (rule A7).
    fn is_locked(&self, record: u32) -> bool {
        let store = self.graph.links.store;
        self.options.reactivate == Reactivate::OwnOnly
            && store.capabilities.deactivation == DeactivationMemory::Remembered
            && store.users[record as usize].deactivated_by == DeactivatedBy::Other
    }

    fn create(&mut self, number: u32, object: &Object) {
        let source = self.source(object);
        let mut complete = true;
        let row = self.draft.values.open_row();
        for (index, rule) in self.rules.rules.iter().enumerate() {
            let desired = rule.desired(source);
            let holder = self.conflict(index, number);
            if let Some(holder) = holder {
                self.report_conflict(object, rule.target, holder);
            }
            let left_out = holder.is_some() || matches!(desired, Desired::Unchanged | Desired::Empty);
            if left_out && rule.required {
                if holder.is_none() {
                    self.report_required(object, rule.target);
                }
                complete = false;
            }
            if !left_out {
                let name = self.draft.values.name_index(rule.target);
                for value in desired.values() {
                    self.draft.values.push(name, value);
                }
            }
        }
        if complete {
            self.step(number, Act::Create { row: row as u32, active: !object.disabled }, Cause::Entitled);
        } else {
            self.draft.values.reset_open_row();
        }
    }

    fn compare(&mut self, number: u32, object: &Object) {
        let source = self.source(object);
        let stored = self.graph.links.store.attributes(self.objects.kind, object.record as usize);
        let mut changes = Vec::new();
        let settled = self.plain[number as usize] || self.options.extent != Extent::Full;
        let rules = if settled { &[] } else { self.rules.rules.as_slice() };
        for (index, rule) in rules.iter().enumerate() {
            let desired = rule.desired(source);
            if desired == Desired::Empty && rule.required {
                self.report_required(object, rule.target);
                continue;
            }
            if rule.is_settled(&desired, stored) {
                continue;
            }
            if self.frozen.get(&index).is_some_and(|objects| objects.contains(&number)) {
                let (kind, anchor) = (self.objects.kind, self.anchor(object));
                let attribute = rule.target.to_owned();
                self.draft.diagnostics.push(Diagnostic::Flapping { kind, anchor, attribute });
                continue;
            }
            if let Some(holder) = self.conflict(index, number) {
                self.report_conflict(object, rule.target, holder);
                if rule.required && rule.held(stored).next().is_none() {
                    self.report_required(object, rule.target);
                }
                continue;
            }
            let attribute = rule.target.to_owned();
            changes.push(Change { attribute, old: rule.held_sorted(stored), new: desired.to_vec() });
        }
        let adopt = self.objects.kind == Kind::User
            && !object.adopting
            && self.graph.links.store.users[object.record as usize].origin == Some(Origin::Jit);
        if adopt || !changes.is_empty() {
            let cause = if adopt { Cause::Adopted } else { Cause::Changed };
            self.step(number, Act::Update { changes, adopt }, cause);
        }
    }

    /// Whether an object does not get its value of a unique attribute, and the record that has it.
    fn conflict(&self, rule: usize, object: u32) -> Option<Option<u32>> {
        self.settlements.get(&rule)?.blocked.get(&object).copied()
    }

    fn source(&self, object: &Object) -> Attributes<'a> {
        let source = self.graph.links.source;
        match (self.objects.kind, object.source) {
            (_, NONE) => Attributes::EMPTY,
            (Kind::User, row) => source.user_row(row as usize),
            (Kind::Group, row) => source.group_row(row as usize),
        }
    }

    fn anchor(&self, object: &Object) -> SourceAnchor {
        SourceAnchor::from(self.graph.links.anchor(object.node))
    }

    fn store_id(&self, record: u32) -> StoreId {
        let store = self.graph.links.store;
        StoreId::from(store.id(&store.records(self.objects.kind)[record as usize]))
    }

    fn report_conflict(&mut self, object: &Object, attribute: &str, holder: Option<u32>) {
        let finding = Diagnostic::UniqueConflict {
            kind: self.objects.kind,
            anchor: self.anchor(object),
            attribute: attribute.to_owned(),
            held_by: holder.map(|record| self.store_id(record)),
        };
        self.draft.diagnostics.push(finding);
    }

    fn report_required(&mut self, object: &Object, attribute: &str) {
        let (kind, anchor) = (self.objects.kind, self.anchor(object));
        self.draft.diagnostics.push(Diagnostic::RequiredMissing {
            kind,
            anchor,
            attribute: attribute.to_owned(),
        });
    }

    fn findings(&mut self, object: &Object) {
        let (kind, links) = (self.objects.kind, self.graph.links);
        let anchor = || SourceAnchor::from(links.anchor(object.node));
        let quarantined = object.source != NONE
            && match kind {
                Kind::User => links.source.users[object.source as usize].quarantined,
                Kind::Group => links.source.groups[object.source as usize].quarantined,
            };
        if quarantined {
            self.draft.diagnostics.push(Diagnostic::Quarantined { kind, anchor: anchor() });
        }
        if object.unclear {
            let reason = Ambiguity::SeveralCandidates;
            self.draft.diagnostics.push(Diagnostic::Ambiguous { anchor: anchor(), reason });
        }
        if object.barred {
            let nodes = match object.record {
                NONE => std::slice::from_ref(&object.node),
                record => links.nodes_of(kind, record),
            };
            for &node in nodes.iter().filter(|&&node| links.is_ambiguous(node)) {
                let anchor = SourceAnchor::from(links.anchor(node));
                let reason = self.ambiguity(node, nodes.len());
                self.draft.diagnostics.push(Diagnostic::Ambiguous { anchor, reason });
            }
        }
        match object.situation {
            Situation::Unread => self.draft.diagnostics.push(Diagnostic::Unread { anchor: anchor() }),
            Situation::Missing | Situation::Confirmed if object.unknown => {
                self.draft.diagnostics.push(Diagnostic::UnknownState { anchor: anchor() });
            }
            Situation::JustInTime if object.disabled && links.store.users[object.record as usize].active => {
                self.draft.diagnostics.push(Diagnostic::DisabledJustInTime { anchor: anchor() });
            }
            _ => {}
        }
    }

    fn ambiguity(&self, node: u32, anchors: usize) -> Ambiguity {
        let links = self.graph.links;
        match (links.user_row(node), links.group_row(node)) {
            (Some(_), Some(_)) => Ambiguity::UserAndGroup,
            (Some(row), _) if links.source.users[row].ambiguous => Ambiguity::DifferentRows,
            (_, Some(row)) if links.source.groups[row].ambiguous => Ambiguity::DifferentRows,
            _ if anchors > 1 => Ambiguity::SeveralAnchors,
            _ if links.crowd(node).is_some() => Ambiguity::SeveralRecords,
            _ => Ambiguity::OtherKind,
        }
    }

    /// Rule C7: what would have happened, had more been known.
    fn blocked(&mut self, number: u32, object: &Object) {
        if object.record == NONE || object.protected || self.options.extent == Extent::NewEntitlements {
            return;
        }
        let (deleted, left_scope) = match self.objects.kind {
            Kind::User => (self.options.users.deleted_in_source, self.options.users.left_scope),
            Kind::Group => (self.options.groups.deleted_in_source, self.options.groups.left_scope),
        };
        let unread = matches!(object.presence, Presence::Absent | Presence::Unread) && !object.exists;
        let because = match object.situation {
            Situation::Vanished if left_scope == Deprovision::Delete => BlockReason::NotSeen,
            _ if unread && deleted != Deprovision::Keep && reason(object.fate).is_none() => {
                BlockReason::DeletionUnproven
            }
            Situation::Unproven if left_scope != Deprovision::Keep => BlockReason::ScopeUnproven,
            _ => return,
        };
        let kind = self.objects.kind;
        self.draft.blocked.push(Blocked { member: None, kind, object: number, because });
    }
}
