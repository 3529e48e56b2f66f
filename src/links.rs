//! Which store records carry which of our anchors (rules M1, M5, M7).

use std::collections::{BTreeMap, BTreeSet};

use crate::id::Issuer;
use crate::intern::Interner;
use crate::model::{Completeness, Kind};
use crate::snapshot::{NONE, SourceData, StoreData};

/// Both snapshots over one set of nodes: the anchors of the source first, then those that only the store knows.
#[derive(Debug)]
pub(crate) struct Links<'a> {
    pub(crate) source: &'a SourceData,
    pub(crate) store: &'a StoreData,
    /// Anchors that no read mentioned; numbered behind those of the source.
    unseen: Interner,
    /// Per record the node of its first link; `NONE`: unmanaged.
    user_nodes: Vec<u32>,
    group_nodes: Vec<u32>,
    /// Records that carry more than one of our anchors: all of them.
    several: BTreeMap<(Kind, u32), Vec<u32>>,
    /// Per node the first record that carries it.
    user_records: Vec<u32>,
    group_records: Vec<u32>,
    /// Nodes that more than one record carries, of whatever kind.
    crowded: BTreeMap<u32, Vec<(Kind, u32)>>,
    /// Nodes whose links leave open who is meant.
    ambiguous: BTreeSet<u32>,
    /// How much the reads of users and groups may mean, where that is less than they say themselves (rule C6).
    voided: [Option<Completeness>; 2],
}

impl<'a> Links<'a> {
    pub(crate) fn new(source: &'a SourceData, store: &'a StoreData, issuer: &Issuer) -> Self {
        let nodes = source.anchors.len();
        let mut links = Self {
            source,
            store,
            unseen: Interner::default(),
            user_nodes: Vec::with_capacity(store.users.len()),
            group_nodes: Vec::with_capacity(store.groups.len()),
            several: BTreeMap::new(),
            user_records: vec![NONE; nodes],
            group_records: vec![NONE; nodes],
            crowded: BTreeMap::new(),
            ambiguous: BTreeSet::new(),
            voided: [None, None],
        };
        let ours = store.issuer(issuer);
        for kind in [Kind::User, Kind::Group] {
            let (mut texts, mut found) = (Vec::new(), Vec::new());
            for start in (0..store.records(kind).len()).step_by(64) {
                let rows = start..store.records(kind).len().min(start + 64);
                texts.clear();
                for row in rows.clone() {
                    texts.extend(store.links(&store.records(kind)[row]).map(|(_, anchor)| anchor));
                }
                source.anchors.find_all(&texts, &mut found);
                let mut found = found.iter().copied();
                for row in rows {
                    links.link(kind, row as u32, ours, &mut found);
                }
            }
        }
        links.ambiguous.extend(links.crowded.keys());
        // The least anchor stands for a record that carries several, whatever the order of its links (rule P2).
        let mut several = std::mem::take(&mut links.several);
        for nodes in several.values_mut() {
            nodes.sort_by(|&a, &b| links.anchor(a).cmp(links.anchor(b)));
            links.ambiguous.extend(&*nodes);
        }
        links.several = several;
        links
    }

    fn link(&mut self, kind: Kind, row: u32, ours: u32, found: &mut impl Iterator<Item = Option<u32>>) {
        let store = self.store;
        let record = &store.records(kind)[row as usize];
        let mut first = NONE;
        for (issuer, anchor) in store.links(record) {
            let known = found.next().flatten();
            if issuer != ours || ours == NONE {
                continue;
            }
            let node = known.unwrap_or_else(|| self.node(anchor));
            if first == NONE {
                first = node;
            } else if first != node {
                let nodes = self.several.entry((kind, row)).or_insert_with(|| vec![first]);
                if nodes.contains(&node) {
                    continue;
                }
                nodes.push(node);
            } else {
                continue;
            }
            self.claim(node, kind, row);
        }
        match kind {
            Kind::User => self.user_nodes.push(first),
            Kind::Group => self.group_nodes.push(first),
        }
    }

    fn claim(&mut self, node: u32, kind: Kind, row: u32) {
        let known = [
            (Kind::User, self.user_records[node as usize]),
            (Kind::Group, self.group_records[node as usize]),
        ];
        let before = known.into_iter().filter(|&(_, record)| record != NONE);
        if let Some(first) = before.clone().next() {
            self.crowded.entry(node).or_insert_with(|| vec![first]).push((kind, row));
        }
        let slot = match kind {
            Kind::User => &mut self.user_records[node as usize],
            Kind::Group => &mut self.group_records[node as usize],
        };
        if *slot == NONE {
            *slot = row;
        }
    }

    /// The node of an anchor, a new one where no read mentioned it.
    fn node(&mut self, anchor: &str) -> u32 {
        if let Some(node) = self.source.anchors.find(anchor) {
            return node;
        }
        let node = (self.source.anchors.len() as u32).saturating_add(self.unseen.intern(anchor));
        self.user_records.resize(self.nodes(), NONE);
        self.group_records.resize(self.nodes(), NONE);
        node
    }

    /// Takes a read for partial, whatever it says itself (rule C6).
    pub(crate) fn void(&mut self, kind: Kind, reason: &str) {
        self.voided[kind as usize].get_or_insert_with(|| Completeness::partial(reason));
    }

    /// How complete the read of a kind is.
    pub(crate) fn read(&self, kind: Kind) -> &Completeness {
        let read = match kind {
            Kind::User => &self.source.users_read,
            Kind::Group => &self.source.groups_read,
        };
        self.voided[kind as usize].as_ref().unwrap_or(read)
    }

    /// The node of an anchor that a read or a link mentions.
    pub(crate) fn find(&self, anchor: &str) -> Option<u32> {
        let source = self.source.anchors.len() as u32;
        self.source.anchors.find(anchor).or_else(|| Some(self.unseen.find(anchor)?.saturating_add(source)))
    }

    pub(crate) fn nodes(&self) -> usize {
        self.source.anchors.len() + self.unseen.len()
    }

    pub(crate) fn anchor(&self, node: u32) -> &str {
        match (node as usize).checked_sub(self.source.anchors.len()) {
            None => self.source.anchors.text(node),
            Some(unseen) => self.unseen.text(unseen as u32),
        }
    }

    /// The anchors of a record that are ours; none where it is unmanaged.
    pub(crate) fn nodes_of(&self, kind: Kind, row: u32) -> &[u32] {
        if !self.several.is_empty() {
            if let Some(nodes) = self.several.get(&(kind, row)) {
                return nodes;
            }
        }
        let nodes = match kind {
            Kind::User => &self.user_nodes,
            Kind::Group => &self.group_nodes,
        };
        match nodes.get(row as usize) {
            Some(node) if *node != NONE => std::slice::from_ref(node),
            _ => &[],
        }
    }

    /// Whether a record is ours (rule M7).
    pub(crate) fn is_managed(&self, kind: Kind, row: u32) -> bool {
        !self.nodes_of(kind, row).is_empty()
    }

    /// The first record of a kind that carries a node.
    pub(crate) fn record(&self, kind: Kind, node: u32) -> Option<u32> {
        let records = match kind {
            Kind::User => &self.user_records,
            Kind::Group => &self.group_records,
        };
        records.get(node as usize).copied().filter(|&row| row != NONE)
    }

    /// Whether any record carries a node.
    pub(crate) fn is_linked(&self, node: u32) -> bool {
        self.record(Kind::User, node).is_some() || self.record(Kind::Group, node).is_some()
    }

    /// All records that carry a node, where several do.
    pub(crate) fn crowd(&self, node: u32) -> Option<&[(Kind, u32)]> {
        if self.crowded.is_empty() { None } else { self.crowded.get(&node).map(Vec::as_slice) }
    }

    /// Whether the links, the rows or their kinds leave open who is meant by an anchor (rule M5).
    pub(crate) fn is_ambiguous(&self, node: u32) -> bool {
        let user = row_of(&self.source.user_of, node).map(|row| self.source.users[row].ambiguous);
        let group = row_of(&self.source.group_of, node).map(|row| self.source.groups[row].ambiguous);
        match (user, group) {
            (Some(_), Some(_)) | (Some(true), _) | (_, Some(true)) => return true,
            // A record of the other kind than the object that was read.
            (Some(false), None) if self.record(Kind::Group, node).is_some() => return true,
            (None, Some(false)) if self.record(Kind::User, node).is_some() => return true,
            _ => {}
        }
        !self.ambiguous.is_empty() && self.ambiguous.contains(&node)
    }

    pub(crate) fn user_row(&self, node: u32) -> Option<usize> {
        row_of(&self.source.user_of, node)
    }

    pub(crate) fn group_row(&self, node: u32) -> Option<usize> {
        row_of(&self.source.group_of, node)
    }
}

fn row_of(rows: &[u32], node: u32) -> Option<usize> {
    rows.get(node as usize).copied().filter(|&row| row != NONE).map(|row| row as usize)
}
