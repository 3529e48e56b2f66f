//! Every record and every missing record of one kind, with what follows for it.

use std::collections::BTreeSet;

use crate::correlate::{Entitled, Facts, Fate, Grace, Presence, Reason, Record, Situation, Standing, state};
use crate::graph::Graph;
use crate::id::{MatchRule, SourceAnchor};
use crate::links::Links;
use crate::model::{AccountState, Kind, Period, Timestamp};
use crate::options::{Deprovision, Extent, Options};
use crate::run::{Memory, Pending};
use crate::scope::Scope;
use crate::snapshot::NONE;

/// One managed record, or one entitled object that has none.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    /// Its anchor; the first one where its record carries several.
    pub(crate) node: u32,
    /// Its row in the source, or `NONE`.
    pub(crate) source: u32,
    /// Its row in the store, or `NONE`.
    pub(crate) record: u32,
    pub(crate) situation: Situation,
    pub(crate) presence: Presence,
    pub(crate) fate: Fate,
    /// Disabled in the source.
    pub(crate) disabled: bool,
    /// The account state could not be read.
    pub(crate) unknown: bool,
    pub(crate) is_group: bool,
    /// Nobody can tell who is meant (rule M5), or the row cannot be used (rule S1): no create, change or grant.
    pub(crate) barred: bool,
    /// Barred because nobody can tell which record without a link is meant (rule M3).
    pub(crate) unclear: bool,
    /// Appears in no operation (rule M8).
    pub(crate) protected: bool,
    /// The source says that it exists, though it was not read.
    pub(crate) exists: bool,
    /// Its record has no link yet, and is given one in this plan (rule M3).
    pub(crate) adopting: bool,
    /// Its record will be deleted once the cause has lasted long enough: memberships end at once (rule D1).
    pub(crate) leaving: bool,
}

impl Object {
    pub(crate) fn is_entitled(&self) -> bool {
        matches!(self.situation, Situation::Missing | Situation::Confirmed)
    }

    /// Whether its attributes may be changed, or a record made.
    pub(crate) fn may_change(&self) -> bool {
        !self.barred
            && !self.protected
            && self.is_entitled()
            && match self.fate {
                Fate::Create => !self.unknown,
                Fate::Compare | Fate::Deactivate(_) => true,
                _ => false,
            }
    }

    /// Whether it has a record that is ours already.
    pub(crate) fn is_managed(&self) -> bool {
        self.record != NONE && !self.adopting
    }

    pub(crate) fn is_deleted(&self) -> bool {
        !self.protected && self.record != NONE && matches!(self.fate, Fate::Delete(_))
    }
}

/// All objects of one kind: the managed records in the order of the store, then what is missing.
#[derive(Debug)]
pub(crate) struct Objects {
    pub(crate) kind: Kind,
    pub(crate) all: Vec<Object>,
    /// Per record its object, `NONE` where it is unmanaged.
    pub(crate) of_record: Vec<u32>,
    /// Per node its first object.
    pub(crate) of_node: Vec<u32>,
    /// Causes that hold for a record, or that nothing has contradicted since they were seen: what is to be remembered.
    pub(crate) pending: Vec<Pending>,
    /// What follows for an object once a cause has lasted long enough, and when that will be.
    pub(crate) waiting: Vec<Waiting>,
}

/// A delete or deactivation that waits for its grace period to end (rule D1).
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    pub(crate) object: u32,
    pub(crate) reason: Reason,
    pub(crate) deprovision: Deprovision,
    pub(crate) since: Timestamp,
    pub(crate) due: Timestamp,
}

impl Objects {
    /// Linear in records and nodes.
    pub(crate) fn new(
        kind: Kind,
        graph: &Graph<'_>,
        scope: &Scope,
        options: &Options,
        protected: &ProtectedRecords,
        memory: &Memory,
    ) -> Self {
        let links = graph.links;
        let mut objects = Self {
            kind,
            all: Vec::with_capacity(links.store.records(kind).len()),
            of_record: vec![NONE; links.store.records(kind).len()],
            of_node: vec![NONE; links.nodes()],
            pending: Vec::new(),
            waiting: Vec::new(),
        };
        for row in 0..links.store.records(kind).len() as u32 {
            let nodes = links.nodes_of(kind, row);
            let Some(&node) = nodes.first() else { continue };
            let facts = Facts::of_record(graph, scope, kind, row);
            // Of a record with several anchors each is ambiguous: the first one says so for all.
            let mut object = objects.object(graph, options, memory, (objects.all.len() as u32, node), facts);
            objects.remember(links, memory, node, &facts);
            object.record = row;
            object.protected =
                protected.record(kind, row) || nodes.iter().any(|&n| protected.nodes.contains(&n));
            objects.of_record[row as usize] = objects.all.len() as u32;
            for &node in nodes {
                if objects.of_node[node as usize] == NONE {
                    objects.of_node[node as usize] = objects.all.len() as u32;
                }
            }
            objects.all.push(object);
        }
        let rows = match kind {
            Kind::User => &links.source.user_of,
            Kind::Group => &links.source.group_of,
        };
        for (node, _) in rows.iter().enumerate().filter(|&(_, &row)| row != NONE) {
            let node = node as u32;
            if !scope.entitled[node as usize] || links.is_linked(node) {
                continue;
            }
            let facts = Facts {
                presence: Presence::Read,
                entitled: Entitled::Yes,
                record: Record::None,
                disabled: state(links, node) == Some(AccountState::Disabled),
                enabled: state(links, node) == Some(AccountState::Enabled),
                exists: false,
            };
            let mut object = objects.object(graph, options, memory, (objects.all.len() as u32, node), facts);
            object.protected = protected.nodes.contains(&node);
            objects.of_node[node as usize] = objects.all.len() as u32;
            objects.all.push(object);
        }
        objects
    }

    fn object(
        &mut self,
        graph: &Graph<'_>,
        options: &Options,
        memory: &Memory,
        (number, node): (u32, u32),
        facts: Facts,
    ) -> Object {
        let links = graph.links;
        let is_due = |cause| {
            let period = grace_of(self.kind, cause, options);
            period == Period::ZERO || memory.waited(self.kind, links.anchor(node), cause) >= period.seconds()
        };
        let mut grace = Grace::new(&is_due);
        let (source, quarantined, fate) = match self.kind {
            Kind::User => {
                let row = links.user_row(node);
                let quarantined = row.is_some_and(|row| links.source.users[row].quarantined);
                (row, quarantined, facts.user_fate(options, &mut grace))
            }
            Kind::Group => {
                let row = links.group_row(node);
                let quarantined = row.is_some_and(|row| links.source.groups[row].quarantined);
                (row, quarantined, facts.group_fate(options, &mut grace))
            }
        };
        let waiting = grace.into_waiting();
        // A quick pass makes and adds; all else is left for a full one, and nobody is given anything whom that would take out of
        // use (rule I3).
        let quick = options.extent == Extent::NewEntitlements;
        let retired = matches!(fate, Fate::Delete(_)) || facts.disabled;
        let leaving = self.kind == Kind::User
            && !matches!(fate, Fate::Delete(_))
            && waiting.iter().any(|(_, policy)| *policy == Deprovision::Delete);
        // Whom a cause would delete stays cut off while nothing contradicts it, also where his state could not be read today.
        let leaving = leaving
            || (self.kind == Kind::User
                && facts.record != Record::None
                && options.users.disabled_in_source == Deprovision::Delete
                && facts.presence == Presence::Read
                && facts.standing(Reason::DisabledInSource) == Standing::Open
                && memory.is_pending(self.kind, links.anchor(node), Reason::DisabledInSource)
                && !matches!(fate, Fate::Delete(_) | Fate::LeaveAlone | Fate::Ignore));
        for (reason, deprovision) in waiting {
            let anchor = links.anchor(node);
            let left = grace_of(self.kind, reason, options)
                .seconds()
                .saturating_sub(memory.waited(self.kind, anchor, reason));
            self.waiting.push(Waiting {
                object: number,
                reason,
                deprovision,
                since: memory.since(self.kind, anchor, reason),
                due: memory.clock().after(Period::of_seconds(left)),
            });
        }
        let fate = match fate {
            Fate::Create | Fate::Ignore => fate,
            _ if quick && facts.situation() == Situation::Confirmed => Fate::Compare,
            _ if quick => Fate::LeaveAlone,
            _ => fate,
        };
        let unknown = self.kind == Kind::User && state(links, node) == Some(AccountState::Unknown);
        Object {
            node,
            source: source.map_or(NONE, |row| row as u32),
            record: NONE,
            situation: facts.situation(),
            presence: facts.presence,
            fate,
            disabled: facts.disabled && self.kind == Kind::User,
            unknown,
            is_group: self.kind == Kind::Group,
            barred: quarantined || links.is_ambiguous(node),
            unclear: false,
            protected: false,
            exists: facts.exists,
            adopting: false,
            leaving: leaving || (quick && retired),
        }
    }

    /// Gives an object that has none a record without a link: from now on it is the object's, compared, changed, taken in and
    /// out of groups, all of it after the adoption (rule M3).
    pub(crate) fn give(
        &mut self,
        graph: &Graph<'_>,
        options: &Options,
        memory: &Memory,
        number: u32,
        record: u32,
    ) {
        let object = &self.all[number as usize];
        let facts = Facts {
            presence: Presence::Read,
            entitled: Entitled::Yes,
            record: Record::Synced,
            disabled: object.disabled,
            enabled: !object.disabled,
            exists: false,
        };
        let node = object.node;
        let given = self.object(graph, options, memory, (number, node), facts);
        self.remember(graph.links, memory, node, &facts);
        self.of_record[record as usize] = number;
        self.all[number as usize] = Object { record, adopting: true, ..given };
    }

    /// Keeps what holds now, and what nothing has contradicted since (rule D1).
    fn remember(&mut self, links: &Links<'_>, memory: &Memory, node: u32, facts: &Facts) {
        for cause in [Reason::DeletedInSource, Reason::LeftScope, Reason::DisabledInSource] {
            if cause == Reason::DisabledInSource && self.kind == Kind::Group {
                continue;
            }
            let stays = match facts.standing(cause) {
                Standing::Over => false,
                Standing::Holds => true,
                Standing::Open => memory.is_pending(self.kind, links.anchor(node), cause),
            };
            if stays {
                let anchor = SourceAnchor::from(links.anchor(node));
                self.pending.push(memory.pending(self.kind, anchor, cause));
            }
        }
    }

    /// The nodes of an object: those that its record carries, or the one that it is given.
    pub(crate) fn nodes_of<'o>(&'o self, links: &'o Links<'_>, object: &'o Object) -> &'o [u32] {
        match object.is_managed() {
            true => links.nodes_of(self.kind, object.record),
            false => std::slice::from_ref(&object.node),
        }
    }

    pub(crate) fn of_node(&self, node: u32) -> Option<u32> {
        self.of_node.get(node as usize).copied().filter(|&object| object != NONE)
    }

    pub(crate) fn of_record(&self, row: u32) -> Option<u32> {
        self.of_record.get(row as usize).copied().filter(|&object| object != NONE)
    }
}

/// How long a cause must have lasted (rule D1).
fn grace_of(kind: Kind, cause: Reason, options: &Options) -> Period {
    match (kind, cause) {
        (Kind::User, Reason::DeletedInSource) => options.users.grace.deleted_in_source,
        (Kind::User, Reason::LeftScope) => options.users.grace.left_scope,
        (Kind::User, Reason::DisabledInSource) => options.users.grace.disabled_in_source,
        (Kind::Group, Reason::DeletedInSource) => options.groups.grace.deleted_in_source,
        (Kind::Group, Reason::LeftScope) => options.groups.grace.left_scope,
        (Kind::Group, Reason::DisabledInSource) => Period::ZERO,
    }
}

/// The rows and nodes that rule M8 protects.
#[derive(Debug, Default)]
pub(crate) struct ProtectedRecords {
    rows: BTreeSet<(Kind, u32)>,
    /// Numbers of the store ids: a member list may name one whose record the store did not show.
    ids: BTreeSet<u32>,
    pub(crate) nodes: BTreeSet<u32>,
}

impl ProtectedRecords {
    pub(crate) fn new(graph: &Graph<'_>, options: &Options) -> Self {
        let links = graph.links;
        let store = links.store;
        let mut protected = Self::default();
        for id in &options.protected.ids {
            let Some(number) = store.ids.find(id.as_str()) else { continue };
            protected.ids.insert(number);
            for (kind, of) in [(Kind::User, &store.user_of), (Kind::Group, &store.group_of)] {
                if let Some(&row) = of.get(number as usize).filter(|&&row| row != NONE) {
                    protected.rows.insert((kind, row));
                }
            }
        }
        protected
            .nodes
            .extend(options.protected.anchors.iter().filter_map(|anchor| links.find(anchor.as_str())));
        if !options.protected.names.is_empty() {
            protected.add_names(graph, options);
        }
        protected
    }

    /// A name protects unmanaged records only: it must not save a leaver.
    fn add_names(&mut self, graph: &Graph<'_>, options: &Options) {
        let store = graph.links.store;
        for (kind, schema, table) in [
            (Kind::User, &store.capabilities.users, &store.user_attributes),
            (Kind::Group, &store.capabilities.groups, &store.group_attributes),
        ] {
            let unique = schema.iter().filter(|(_, schema)| schema.unique);
            let unique: Vec<(Option<u32>, MatchRule)> =
                unique.map(|(name, schema)| (table.find_name(name), schema.matching)).collect();
            for (name, rule) in unique {
                let keys: BTreeSet<_> = options.protected.names.iter().map(|name| rule.key(name)).collect();
                for row in 0..store.records(kind).len() as u32 {
                    let held = store.attributes(kind, row as usize).cells();
                    let named = held
                        .filter(|(found, _)| Some(*found) == name)
                        .any(|(_, v)| keys.contains(&rule.key(v)));
                    if named && !graph.links.is_managed(kind, row) {
                        self.rows.insert((kind, row));
                    }
                }
            }
        }
    }

    /// Whether a member, by the number of its store id, is protected by that id.
    pub(crate) fn id(&self, id: u32) -> bool {
        !self.ids.is_empty() && self.ids.contains(&id)
    }

    pub(crate) fn record(&self, kind: Kind, row: u32) -> bool {
        !self.rows.is_empty() && self.rows.contains(&(kind, row))
    }
}

/// Why a record is deactivated or deleted, where it is.
pub(crate) fn reason(fate: Fate) -> Option<Reason> {
    match fate {
        Fate::Deactivate(reason) | Fate::Delete(reason) => Some(reason),
        _ => None,
    }
}
