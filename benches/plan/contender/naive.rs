//! The way one would write it first: hash maps from ids to objects, a graph of everybody, one depth-first walk per
//! entitled group, sets compared with sets. Correct, short, and quick to write.

#![allow(
    clippy::disallowed_types,
    reason = "this is what the crate is compared with; its lines are compared without their order"
)]

use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::hash::Hash;
use std::io;

use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::Dfs;

use super::{Lines, Meter};
use crate::data::{Case, GROUP_ATTRIBUTES, Guid, Input, MAPPED, USER_ATTRIBUTES};

/// How the flattened members of groups are kept.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sets {
    /// First all of them, each a set of strings, then compare: the desired state as one writes it down.
    OwnedAndKept,
    /// A set of borrowed strings for one group, compared and dropped.
    BorrowedOneByOne,
}

#[derive(Default)]
struct Directory {
    users: HashMap<String, Vec<String>>,
    groups: HashMap<String, Vec<String>>,
    assigned: Vec<String>,
    graph: DiGraph<String, ()>,
    nodes: HashMap<String, NodeIndex>,
}

/// By anchor, as everything else.
#[derive(Default)]
struct Store {
    users: HashMap<String, Vec<String>>,
    groups: HashMap<String, (Vec<String>, HashSet<String>)>,
}

type Changes = Vec<(&'static str, String, String)>;

enum Operation {
    CreateUser(String, Vec<String>),
    UpdateUser(String, Changes),
    DeleteUser(String),
    CreateGroup(String, Vec<String>),
    UpdateGroup(String, Changes),
    DeleteGroup(String),
    Add(String, Vec<String>),
    Remove(String, Vec<String>),
}

pub(crate) fn run(
    input: &Input<'_>,
    case: Case,
    sets: Sets,
    meter: &mut Meter,
    lines: &mut Lines,
) -> Result<(), Box<dyn Error>> {
    let directory = Directory::read(input)?;
    meter.step("directory: load")?;
    let store = if case.has_store() { Store::read(input)? } else { Store::default() };
    meter.step("store: load")?;
    let operations = directory.compare(&store, sets);
    meter.step("work")?;
    operations.iter().try_for_each(|operation| operation.write(lines))?;
    Ok(())
}

impl Directory {
    fn read(input: &Input<'_>) -> io::Result<Self> {
        let mut directory = Self::default();
        let mut users = input.users()?;
        while users.advance()? {
            let anchor = Guid::anchor(users.number);
            directory.node(anchor.as_str());
            directory.users.insert(anchor.as_str().to_owned(), users.values[..MAPPED].to_vec());
        }
        let mut groups = input.groups()?;
        while groups.advance()? {
            let anchor = Guid::anchor(groups.number);
            let group = directory.node(anchor.as_str());
            for &member in &groups.members {
                let member = directory.node(Guid::anchor(member).as_str());
                directory.graph.add_edge(group, member, ());
            }
            directory.groups.insert(anchor.as_str().to_owned(), groups.values.clone());
        }
        directory.assigned =
            input.assigned()?.into_iter().map(|number| Guid::anchor(number).as_str().to_owned()).collect();
        Ok(directory)
    }

    fn node(&mut self, anchor: &str) -> NodeIndex {
        if let Some(&node) = self.nodes.get(anchor) {
            return node;
        }
        let node = self.graph.add_node(anchor.to_owned());
        self.nodes.insert(anchor.to_owned(), node);
        node
    }

    /// Everybody assigned, or below an assigned group.
    fn entitled(&self) -> HashSet<&str> {
        let mut entitled = HashSet::new();
        let mut walk = Dfs::empty(&self.graph);
        for &node in self.assigned.iter().filter_map(|anchor| self.nodes.get(anchor)) {
            walk.move_to(node);
            while let Some(below) = walk.next(&self.graph) {
                entitled.insert(self.graph[below].as_str());
            }
        }
        entitled
    }

    /// All users below a group.
    fn flatten<'d, T: From<&'d str> + Eq + Hash>(&'d self, group: &str) -> HashSet<T> {
        let mut members = HashSet::new();
        let Some(&node) = self.nodes.get(group) else { return members };
        let mut walk = Dfs::new(&self.graph, node);
        while let Some(below) = walk.next(&self.graph) {
            let anchor = &self.graph[below];
            if self.users.contains_key(anchor) {
                members.insert(T::from(anchor.as_str()));
            }
        }
        members
    }

    fn compare(&self, store: &Store, sets: Sets) -> Vec<Operation> {
        let entitled = self.entitled();
        let mut found = Vec::new();
        for (anchor, values) in self.users.iter().filter(|(anchor, _)| entitled.contains(anchor.as_str())) {
            match store.users.get(anchor) {
                None => found.push(Operation::CreateUser(anchor.clone(), values.clone())),
                Some(stored) => {
                    let changes = changes(&USER_ATTRIBUTES[..MAPPED], stored, values);
                    if !changes.is_empty() {
                        found.push(Operation::UpdateUser(anchor.clone(), changes));
                    }
                }
            }
        }
        let wanted = |anchor: &str, known: &HashMap<String, Vec<String>>| {
            entitled.contains(anchor) && known.contains_key(anchor)
        };
        for anchor in store.users.keys().filter(|anchor| !wanted(anchor, &self.users)) {
            found.push(Operation::DeleteUser(anchor.clone()));
        }
        for anchor in store.groups.keys().filter(|anchor| !wanted(anchor, &self.groups)) {
            found.push(Operation::DeleteGroup(anchor.clone()));
        }
        let groups = || self.groups.keys().filter(|anchor| entitled.contains(anchor.as_str()));
        match sets {
            Sets::OwnedAndKept => {
                let desired: HashMap<String, HashSet<String>> =
                    groups().map(|group| (group.clone(), self.flatten(group))).collect();
                for (group, members) in &desired {
                    self.compare_group(store, group, members, &entitled, &mut found);
                }
            }
            Sets::BorrowedOneByOne => {
                for group in groups() {
                    self.compare_group(store, group, &self.flatten::<&str>(group), &entitled, &mut found);
                }
            }
        }
        found
    }

    fn compare_group<T: Borrow<str> + Eq + Hash>(
        &self,
        store: &Store,
        group: &str,
        members: &HashSet<T>,
        entitled: &HashSet<&str>,
        found: &mut Vec<Operation>,
    ) {
        let (values, nobody) = (&self.groups[group], HashSet::new());
        let stored = match store.groups.get(group) {
            None => {
                found.push(Operation::CreateGroup(group.to_owned(), values.clone()));
                &nobody
            }
            Some((stored, members)) => {
                let changes = changes(&GROUP_ATTRIBUTES, stored, values);
                if !changes.is_empty() {
                    found.push(Operation::UpdateGroup(group.to_owned(), changes));
                }
                members
            }
        };
        let added = members.iter().map(Borrow::borrow).filter(|&member: &&str| !stored.contains(member));
        let added: Vec<String> = added.map(str::to_owned).collect();
        // Whoever is deleted leaves with his record.
        let stays = |member: &str| self.users.contains_key(member) && entitled.contains(member);
        let removed = stored.iter().filter(|member| !members.contains(member.as_str()) && stays(member));
        let removed: Vec<String> = removed.cloned().collect();
        if !added.is_empty() {
            found.push(Operation::Add(group.to_owned(), added));
        }
        if !removed.is_empty() {
            found.push(Operation::Remove(group.to_owned(), removed));
        }
    }
}

impl Store {
    fn read(input: &Input<'_>) -> io::Result<Self> {
        let mut store = Self::default();
        // Only while reading: the store lists members by its own ids.
        let mut anchors: HashMap<String, String> = HashMap::new();
        let mut users = input.stored_users()?;
        while users.advance()? {
            let anchor = Guid::anchor(users.number).as_str().to_owned();
            anchors.insert(Guid::stored(users.number).as_str().to_owned(), anchor.clone());
            store.users.insert(anchor, users.values.clone());
        }
        let mut groups = input.stored_groups()?;
        while groups.advance()? {
            let members = groups.members.iter();
            let members =
                members.filter_map(|&member| anchors.get(Guid::stored(member).as_str()).cloned()).collect();
            let anchor = Guid::anchor(groups.number).as_str().to_owned();
            store.groups.insert(anchor, (groups.values.clone(), members));
        }
        Ok(store)
    }
}

fn changes(names: &[(&str, &'static str)], old: &[String], new: &[String]) -> Changes {
    let both = names.iter().zip(old.iter().zip(new));
    both.filter(|(_, (old, new))| old != new)
        .map(|((_, name), (old, new))| (*name, old.clone(), new.clone()))
        .collect()
}

impl Operation {
    fn write(&self, lines: &mut Lines) -> io::Result<()> {
        match self {
            Self::CreateUser(anchor, values) => create(lines, "user", anchor, &USER_ATTRIBUTES, values),
            Self::CreateGroup(anchor, values) => create(lines, "group", anchor, &GROUP_ATTRIBUTES, values),
            Self::UpdateUser(anchor, changes) => update(lines, "user", anchor, changes),
            Self::UpdateGroup(anchor, changes) => update(lines, "group", anchor, changes),
            Self::DeleteUser(anchor) => lines.push(["delete", "user", anchor]),
            Self::DeleteGroup(anchor) => lines.push(["delete", "group", anchor]),
            Self::Add(group, members) => {
                members.iter().try_for_each(|member| lines.push(["add", group, member]))
            }
            Self::Remove(group, members) => {
                members.iter().try_for_each(|member| lines.push(["remove", group, member]))
            }
        }
    }
}

fn create(
    lines: &mut Lines,
    kind: &str,
    anchor: &str,
    names: &[(&str, &str)],
    values: &[String],
) -> io::Result<()> {
    lines.create(kind, anchor, names.iter().zip(values).map(|((_, name), value)| (*name, value.as_str())))
}

fn update(lines: &mut Lines, kind: &str, anchor: &str, changes: &Changes) -> io::Result<()> {
    changes.iter().try_for_each(|(name, old, new)| lines.push(["update", kind, anchor, name, old, new]))
}
