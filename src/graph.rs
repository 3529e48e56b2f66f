//! Step 2, first half: what each anchor is, and the graph of groups.
//!
//! Architecture invariant: nothing in here knows an assignment or a policy but "is this a leaf".

use indexmap::IndexSet;
use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use crate::id::MatchRule;
use crate::links::Links;
use crate::model::{Existence, Kind, MemberKind};
use crate::options::{Leaves, Nesting, Options};
use crate::snapshot::{LimitExceeded, within};
use crate::source::ListState;

/// What an anchor is in this run (rule E9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Read as a user.
    User,
    /// Read as a group.
    Group,
    /// Read as both (rule M5).
    Both,
    /// Proven deleted (rule C3).
    Gone,
    /// Not read, and concerns only itself: a user, a foreign object, a declared leaf.
    Alone,
    /// Not read, and may hide others: a group, or nobody knows what.
    Opaque,
    /// No principal.
    Other,
}

impl Class {
    /// Whether it can be a member of a group in the store.
    pub(crate) fn is_member(self) -> bool {
        matches!(self, Self::User | Self::Both | Self::Alone | Self::Opaque)
    }

    /// Whether it has a member list that was read.
    pub(crate) fn has_list(self) -> bool {
        matches!(self, Self::Group | Self::Both)
    }
}

/// The members graph: a class for each node, and whether each list is whole.
#[derive(Debug)]
pub(crate) struct Graph<'a> {
    pub(crate) links: &'a Links<'a>,
    pub(crate) classes: Vec<Class>,
    /// Per group row: whether its own list hides nobody (rules C1, E9).
    pub(crate) whole: Vec<bool>,
    /// Per group row: how many of its members may hide others.
    pub(crate) hiding: Vec<u32>,
    pub(crate) nesting: Nesting,
    /// Most members that are taken over from nested groups (rule S1).
    merged_members: usize,
}

impl<'a> Graph<'a> {
    /// Linear in nodes and edges.
    pub(crate) fn new(links: &'a Links<'a>, options: &Options) -> Self {
        let leaves = LeafTest::new(&options.leaves);
        let classes: Vec<Class> =
            (0..links.nodes() as u32).map(|node| classify(links, options, &leaves, node)).collect();
        let source = links.source;
        // Members that may hide others: unread groups, unknown ones, texts that nobody knows (rule E9).
        let hiding: Vec<u32> = (0..source.groups.len())
            .map(|group| {
                let anchored =
                    source.members_of(group).iter().filter(|&&m| classes[m as usize] == Class::Opaque);
                let texts = source.unresolved_of(group).filter(|(text, kind)| {
                    matches!(kind, MemberKind::Group | MemberKind::Unknown) && !leaves.text(text)
                });
                (anchored.count() + texts.count()) as u32
            })
            .collect();
        let whole = (0..source.groups.len())
            .map(|group| {
                let entry = &source.groups[group];
                // Read as a user, too: who knows what its list is worth (rule M5).
                entry.list == ListState::Complete
                    && links.user_row(entry.node).is_none()
                    && hiding[group] == 0
            })
            .collect();
        let merged_members = options.limits.merged_members;
        Self { links, classes, whole, hiding, nesting: options.nesting, merged_members }
    }

    /// Every node reached from these, themselves included; group rows are walked through where nesting counts.
    ///
    /// Breadth first over arrays: any depth, any width (rule E7).
    pub(crate) fn reach(&self, seeds: impl Iterator<Item = u32>) -> Vec<bool> {
        let source = self.links.source;
        let mut reached = vec![false; self.classes.len()];
        let mut queue: Vec<u32> = Vec::new();
        for seed in seeds {
            if !std::mem::replace(&mut reached[seed as usize], true) && self.classes[seed as usize].has_list()
            {
                queue.push(seed);
            }
        }
        while let Some(node) = queue.pop() {
            let Some(group) = self.links.group_row(node) else { continue };
            for &member in source.members_of(group) {
                let class = self.classes[member as usize];
                let counts = match self.nesting {
                    Nesting::Flatten => !matches!(class, Class::Gone | Class::Other),
                    Nesting::DirectOnly => class.is_member(),
                };
                let new = counts && !std::mem::replace(&mut reached[member as usize], true);
                if new && class.has_list() && self.nesting == Nesting::Flatten {
                    queue.push(member);
                }
            }
        }
        reached
    }

    /// Flattens: for each component of the groups below `wanted` its members, children before parents (rules E4, E5).
    ///
    /// Each component's set is made once and kept only as long as a parent still needs it. The sum of all flattened
    /// memberships is bounded before the memory for it is taken, and so is the work: many parents over the same many groups
    /// take far more steps than the result has members (rule S1).
    pub(crate) fn flatten(
        &self,
        wanted: &[bool],
        most: usize,
        mut visit: impl FnMut(Component<'_>),
    ) -> Result<(), LimitExceeded> {
        let found = self.components(wanted);
        // Where a bound could be passed at all, it is counted out first: what is refused leaves nothing behind.
        let (memberships, merged) = self.at_most(&found, wanted);
        if memberships > most || merged > self.merged_members {
            self.run(&found, wanted, most, |_| ())?;
        }
        self.run(&found, wanted, most, &mut visit)
    }

    /// Numbers that the sum of all flattened memberships and that of all members taken over from nested groups do not
    /// exceed; linear in the edges.
    fn at_most(&self, found: &Components, wanted: &[bool]) -> (usize, usize) {
        let mut bounds: Vec<usize> = Vec::with_capacity(found.groups.len());
        let (mut total, mut merged) = (0usize, 0usize);
        for (number, groups) in found.groups.iter().enumerate() {
            let direct = groups.iter().map(|&group| self.links.source.members_of(group).len());
            let nested = found.children(number).iter().map(|&child| bounds[child as usize]);
            let nested = nested.fold(0, usize::saturating_add);
            let bound = direct.fold(nested, usize::saturating_add).min(self.classes.len());
            let shared_by = groups.iter().filter(|&&group| wanted[group]).count();
            total = total.saturating_add(bound.saturating_mul(shared_by.max(1)));
            merged = merged.saturating_add(nested);
            bounds.push(bound);
        }
        (total, merged)
    }

    fn run(
        &self,
        found: &Components,
        wanted: &[bool],
        most: usize,
        mut visit: impl FnMut(Component<'_>),
    ) -> Result<(), LimitExceeded> {
        let source = self.links.source;
        let mut pending = vec![0u32; found.groups.len()];
        found.children.iter().for_each(|&child| pending[child as usize] += 1);
        let mut lists: Vec<Flat> = Vec::with_capacity(found.groups.len());
        let mut stamps = vec![u32::MAX; self.classes.len()];
        let mut members: Vec<u32> = Vec::new();
        let (mut total, mut merged) = (0usize, 0usize);
        for (number, groups) in found.groups.iter().enumerate() {
            let stamp = number as u32;
            members.clear();
            let mut add = |node: u32, members: &mut Vec<u32>| {
                if std::mem::replace(&mut stamps[node as usize], stamp) != stamp {
                    members.push(node);
                }
            };
            let (mut whole, mut depth) = (true, 0);
            for &group in groups {
                whole &= self.whole[group];
                for &member in source.members_of(group) {
                    if self.classes[member as usize].is_member() {
                        add(member, &mut members);
                    }
                }
            }
            for &child in found.children(number) {
                let list = &mut lists[child as usize];
                merged = merged.saturating_add(list.members.len());
                within(merged, self.merged_members, "merged members of nested groups")?;
                whole &= list.whole;
                depth = depth.max(list.depth + 1);
                for &node in &*list.members {
                    add(node, &mut members);
                }
                pending[child as usize] -= 1;
                if pending[child as usize] == 0 {
                    list.members = Box::default();
                }
            }
            let shared_by = groups.iter().filter(|&&group| wanted[group]).count();
            total = total.saturating_add(members.len().saturating_mul(shared_by.max(1)));
            within(total, most, "flattened memberships")?;
            visit(Component { groups, members: &members, whole, cyclic: found.cyclic[number], depth });
            let members = if pending[number] > 0 { members.as_slice().into() } else { Box::default() };
            lists.push(Flat { members, whole, depth });
        }
        Ok(())
    }

    /// Group rows directly below a group row, where nesting counts.
    fn nested(&self, group: usize) -> impl Iterator<Item = usize> {
        let flatten = self.nesting == Nesting::Flatten;
        let members = if flatten { self.links.source.members_of(group) } else { &[] };
        members
            .iter()
            .filter(|&&member| self.classes[member as usize].has_list())
            .filter_map(|&member| self.links.group_row(member))
    }

    /// The strongly connected components of the groups at and below `wanted`.
    fn components(&self, wanted: &[bool]) -> Components {
        let groups = self.links.source.groups.len();
        let mut below = wanted.to_vec();
        let mut queue: Vec<usize> = (0..groups).filter(|&group| wanted[group]).collect();
        let mut graph: DiGraph<usize, (), u32> = DiGraph::new();
        let mut index: Vec<Option<NodeIndex<u32>>> = vec![None; groups];
        let mut node = |graph: &mut DiGraph<usize, (), u32>, group: usize| {
            *index[group].get_or_insert_with(|| graph.add_node(group))
        };
        while let Some(group) = queue.pop() {
            let from = node(&mut graph, group);
            for child in self.nested(group) {
                let to = node(&mut graph, child);
                graph.add_edge(from, to, ());
                if !std::mem::replace(&mut below[child], true) {
                    queue.push(child);
                }
            }
        }
        // Kosaraju, not Tarjan: petgraph's Tarjan recurses, and a long chain of groups would overflow the stack.
        let components: Vec<Vec<usize>> = kosaraju_scc(&graph)
            .into_iter()
            .map(|nodes| nodes.into_iter().filter_map(|n| graph.node_weight(n).copied()).collect())
            .collect();
        let mut component_of = vec![u32::MAX; groups];
        for (number, groups) in components.iter().enumerate() {
            for &group in groups {
                component_of[group] = number as u32;
            }
        }
        drop(graph);
        let mut found = Components::with_capacity(components.len());
        // Per component the one that was last seen to hold it: several edges between two components are one.
        let mut held_by = vec![u32::MAX; components.len()];
        for (number, groups) in components.into_iter().enumerate() {
            let mut cyclic = groups.len() > 1;
            for child in groups.iter().flat_map(|&group| self.nested(group)) {
                let child = component_of[child];
                cyclic |= child == number as u32;
                let new = std::mem::replace(&mut held_by[child as usize], number as u32) != number as u32;
                if new && child != number as u32 {
                    found.children.push(child);
                }
            }
            found.starts.push(found.children.len());
            found.cyclic.push(cyclic);
            found.groups.push(groups);
        }
        found
    }
}

/// Groups that reach each other are one component; children come before parents.
struct Components {
    /// Group rows.
    groups: Vec<Vec<usize>>,
    cyclic: Vec<bool>,
    /// The components nested in each, each once, one list after the other.
    children: Vec<u32>,
    starts: Vec<usize>,
}

impl Components {
    fn with_capacity(count: usize) -> Self {
        let (groups, cyclic) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let mut starts = Vec::with_capacity(count + 1);
        starts.push(0);
        Self { groups, cyclic, children: Vec::new(), starts }
    }

    fn children(&self, number: usize) -> &[u32] {
        &self.children[self.starts[number]..self.starts[number + 1]]
    }
}

struct Flat {
    members: Box<[u32]>,
    whole: bool,
    depth: u32,
}

/// Groups that reach each other, and everybody below them.
pub(crate) struct Component<'c> {
    /// Group rows.
    pub(crate) groups: &'c [usize],
    /// Nodes, each once, in no order that means anything.
    pub(crate) members: &'c [u32],
    /// Whether the list hides nobody, here and below.
    pub(crate) whole: bool,
    pub(crate) cyclic: bool,
    /// Levels of groups below; a cycle is one level.
    pub(crate) depth: u32,
}

fn classify(links: &Links<'_>, options: &Options, leaves: &LeafTest<'_>, node: u32) -> Class {
    match (links.user_row(node).is_some(), links.group_row(node).is_some()) {
        (true, true) => return Class::Both,
        (true, false) => return Class::User,
        // A user record carries the anchor of a group: whoever is meant, its memberships stay (rule M5).
        (false, true) if links.record(Kind::User, node).is_some() => return Class::Both,
        (false, true) => return Class::Group,
        (false, false) => {}
    }
    let source = links.source;
    let tombstone = source.tombstones.get(node as usize).copied().unwrap_or(false);
    let answer = source.existence.get(&node).copied().unwrap_or_default();
    if tombstone || answer == Existence::Gone {
        return Class::Gone;
    }
    let linked = match (links.record(Kind::User, node), links.record(Kind::Group, node)) {
        (Some(_), None) => Some(MemberKind::User),
        (None, Some(_)) => Some(MemberKind::Group),
        _ => None,
    };
    let looked_up = match answer {
        Existence::Exists { kind: MemberKind::Unknown } | Existence::Unknown | Existence::Gone => None,
        Existence::Exists { kind } => Some(kind),
    };
    let kind = source.hint(node as usize).or(looked_up).or(linked).unwrap_or_default();
    if options.absence_is_proof && !source.capabilities.existence && is_proven_absent(links, node) {
        return Class::Gone;
    }
    if leaves.anchor(links.anchor(node)) {
        return Class::Alone;
    }
    match kind {
        MemberKind::User | MemberKind::Foreign => Class::Alone,
        MemberKind::Other => Class::Other,
        MemberKind::Group | MemberKind::Unknown => Class::Opaque,
    }
}

/// Whether every read was complete that could have shown an anchor: of users where a list or a link says user, of groups
/// likewise, of both where nothing is known (rule C3).
fn is_proven_absent(links: &Links<'_>, node: u32) -> bool {
    let source = links.source;
    let user = source.is_hinted(node, MemberKind::User) || links.record(Kind::User, node).is_some();
    let group = source.is_hinted(node, MemberKind::Group) || links.record(Kind::Group, node).is_some();
    let elsewhere = source.is_hinted(node, MemberKind::Other) || source.is_hinted(node, MemberKind::Foreign);
    let (users, groups) = (links.read(Kind::User).is_complete(), links.read(Kind::Group).is_complete());
    match (user, group) {
        (false, false) if elsewhere => false,
        (false, false) => users && groups,
        (user, group) => (users || !user) && (groups || !group),
    }
}

/// Which members the host declared to hide nobody.
pub(crate) struct LeafTest<'a> {
    anchors: IndexSet<&'a str>,
    texts: &'a IndexSet<String>,
    suffixes: Vec<Vec<String>>,
}

impl<'a> LeafTest<'a> {
    pub(crate) fn new(leaves: &'a Leaves) -> Self {
        Self {
            anchors: leaves.anchors.iter().map(|anchor| anchor.as_str()).collect(),
            texts: &leaves.texts,
            suffixes: leaves.dn_suffixes.iter().map(|suffix| dn_parts(suffix)).collect(),
        }
    }

    pub(crate) fn anchor(&self, anchor: &str) -> bool {
        !self.anchors.is_empty() && self.anchors.contains(anchor)
    }

    fn text(&self, text: &str) -> bool {
        if self.texts.contains(text) {
            return true;
        }
        if self.suffixes.is_empty() {
            return false;
        }
        let parts = dn_parts(text);
        self.suffixes.iter().any(|suffix| !suffix.is_empty() && parts.ends_with(suffix))
    }
}

/// The parts of a DN in a form that compares: split at commas that are not escaped, folded, without outer spaces.
fn dn_parts(dn: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut escaped = false;
    for c in dn.chars() {
        match c {
            ',' | ';' if !escaped => parts.push(String::new()),
            c => {
                if let Some(part) = parts.last_mut() {
                    part.push(c);
                }
            }
        }
        escaped = c == '\\' && !escaped;
    }
    let tidy = |part: &String| match part.split_once('=') {
        Some((name, value)) => {
            format!("{}={}", name.trim().to_ascii_lowercase(), MatchRule::NfkcCasefold.fold(value))
        }
        None => part.trim().to_owned(),
    };
    parts.iter().map(tidy).filter(|part| !part.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dn_suffix_matches_whole_parts_only() {
        // rule E9
        let leaves = Leaves { dn_suffixes: ["ou=a, dc=x".to_owned()].into(), ..Leaves::default() };
        let test = LeafTest::new(&leaves);
        assert!(test.text("CN=Some\\, One,OU=A,DC=x"));
        assert!(!test.text("CN=One,OU=AB,DC=x"));
        assert!(!test.text("CN=One\\,OU=A,DC=y"));
        assert!(!test.text("CN=x\\,ou=a, dc=x"));
        assert!(!test.text("CN=One,OU=A,DC=y"));
        assert!(!test.text("CN=One,OU=A,DC=x,DC=y"));
        assert!(test.text("ou=a;dc=X"));
    }

    #[test]
    fn a_dn_suffix_compares_values_without_regard_to_case_also_where_they_hold_an_equals_sign() {
        // rules E9, M2
        let leaves = Leaves { dn_suffixes: ["OU=Ä=b,DC=x".to_owned()].into(), ..Leaves::default() };
        let test = LeafTest::new(&leaves);
        assert!(test.text("CN=One,ou=ä=B,dc=X"));
        assert!(!test.text("CN=One,ou=ä=c,dc=X"));
    }
}
