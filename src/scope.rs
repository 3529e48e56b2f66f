//! Step 2, second half: who is entitled, and whether leaving scope can be proven.

use crate::diagnostic::Diagnostic;
use crate::graph::{Class, Graph};
use crate::id::{Issuer, SourceAnchor};
use crate::links::Links;
use crate::model::{Existence, Kind, Principal};
use crate::options::{Leaves, Nesting};
use crate::snapshot::Assignments;

/// Who is entitled (rule E1).
#[derive(Debug)]
pub(crate) struct Scope {
    /// Per node: assigned, or below an assigned group.
    pub(crate) entitled: Vec<bool>,
    /// The assigned nodes, each once.
    pub(crate) assigned: Vec<u32>,
    /// Whether "not reached" proves "left scope" (rule C2).
    pub(crate) provable: bool,
    /// Whether at least one assignment resolves (rule C4).
    pub(crate) resolves: bool,
    /// A sign-in looks after records that came by sign-in (rule J1); a reconcile does not (rule J2).
    pub(crate) by_sign_in: bool,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

impl Scope {
    /// Linear in assignments, nodes and edges.
    pub(crate) fn new(
        graph: &Graph<'_>,
        assignments: &Assignments,
        issuer: &Issuer,
        leaves: &Leaves,
    ) -> Self {
        let mut assigned = Vec::new();
        let mut diagnostics = Vec::new();
        let mut foreign = 0;
        let mut hidden = false;
        for principal in &assignments.principals {
            match resolve(graph, principal, issuer) {
                Resolved::Foreign => foreign += 1,
                Resolved::Nothing => {
                    // A group that a partial read left out may entitle anybody, unless it is declared a leaf (rule E9).
                    let leaf = match principal {
                        Principal::External(id) => leaves.anchors.contains(&id.value),
                        Principal::Stored(_) => false,
                    };
                    hidden |= !leaf && !graph.links.read(Kind::Group).is_complete();
                    diagnostics.push(Diagnostic::UnresolvedAssignment { principal: principal.clone() });
                }
                Resolved::Nobody => {
                    diagnostics.push(Diagnostic::UnresolvedAssignment { principal: principal.clone() });
                }
                Resolved::Nodes(nodes) => assigned.extend_from_slice(nodes),
                Resolved::Node(node) => assigned.push(node),
            }
        }
        if foreign > 0 {
            diagnostics.push(Diagnostic::ForeignAssignments { count: foreign });
        }
        assigned.sort_unstable();
        assigned.dedup();
        hidden |= assigned.iter().any(|&node| graph.classes[node as usize] == Class::Opaque);
        let entitled = graph.reach(assigned.iter().copied());
        // Every list that could entitle somebody: under `DirectOnly` those of the assigned groups alone.
        let whole = |node: u32| graph.links.group_row(node).is_none_or(|group| graph.whole[group]);
        let lists_whole = match graph.nesting {
            Nesting::DirectOnly => assigned.iter().all(|&node| whole(node)),
            Nesting::Flatten => {
                let groups = graph.links.source.groups.iter().map(|group| group.node);
                groups.into_iter().all(|node| !entitled[node as usize] || whole(node))
            }
        };
        Self {
            resolves: !assigned.is_empty(),
            provable: assignments.read.is_complete() && !hidden && lists_whole,
            entitled,
            assigned,
            by_sign_in: false,
            diagnostics,
        }
    }
}

enum Resolved<'a> {
    Node(u32),
    Nodes(&'a [u32]),
    /// Neither read nor linked nor known by a look-up.
    Nothing,
    /// Proven deleted, no principal, or no record of ours.
    Nobody,
    /// Of another issuer.
    Foreign,
}

/// Rule E11. An anchor that was not read still counts where a look-up or our own record tells what it is.
fn resolve<'a>(graph: &Graph<'a>, principal: &Principal, issuer: &Issuer) -> Resolved<'a> {
    let links = graph.links;
    match principal {
        Principal::External(id) if id.issuer != *issuer => Resolved::Foreign,
        Principal::External(id) => match links.find(id.value.as_str()) {
            None => Resolved::Nothing,
            Some(node) => match graph.classes[node as usize] {
                Class::Gone | Class::Other => Resolved::Nobody,
                Class::User | Class::Group | Class::Both => Resolved::Node(node),
                Class::Alone | Class::Opaque if is_known(links, node) => Resolved::Node(node),
                Class::Alone | Class::Opaque => Resolved::Nothing,
            },
        },
        Principal::Stored(id) => {
            // The store was read whole: no record, no link, nobody.
            let Some(number) = links.store.ids.find(id.as_str()) else { return Resolved::Nobody };
            let kinds = [(Kind::User, &links.store.user_of), (Kind::Group, &links.store.group_of)];
            let nodes = kinds.into_iter().find_map(|(kind, rows)| {
                let row = rows.get(number as usize).copied().filter(|&row| row != crate::snapshot::NONE)?;
                Some(links.nodes_of(kind, row))
            });
            match nodes {
                None | Some([]) => Resolved::Nobody,
                Some(nodes)
                    if nodes
                        .iter()
                        .all(|&n| matches!(graph.classes[n as usize], Class::Gone | Class::Other)) =>
                {
                    Resolved::Nobody
                }
                Some(nodes) => Resolved::Nodes(nodes),
            }
        }
    }
}

/// Whether anything but the assignment itself (or a list entry of unknown kind) says that an anchor exists.
fn is_known(links: &Links<'_>, node: u32) -> bool {
    links.is_linked(node)
        || links.source.hint(node as usize).is_some()
        || matches!(links.source.existence.get(&node), Some(Existence::Exists { .. }))
}

/// The anchors that the source must be asked about before a plan is made: those that were not read, and that are linked,
/// assigned, or named as a member at or below an assigned or linked group (rules C3, E9, E11). Sorted; none twice.
pub(crate) fn questions(
    graph: &Graph<'_>,
    scope: &Scope,
    assignments: &Assignments,
    issuer: &Issuer,
) -> Vec<SourceAnchor> {
    let links = graph.links;
    let linked_groups = (0..links.nodes() as u32).filter(|&node| links.record(Kind::Group, node).is_some());
    let below = graph.reach(scope.assigned.iter().copied().chain(linked_groups));
    let open = |node: u32| {
        let unread = matches!(graph.classes[node as usize], Class::Alone | Class::Opaque | Class::Other);
        unread && !links.source.existence.contains_key(&node)
    };
    let known = (0..links.nodes() as u32)
        .filter(|&node| open(node) && (links.is_linked(node) || below[node as usize]))
        .map(|node| SourceAnchor::from(links.anchor(node)));
    let assigned = assignments.principals.iter().filter_map(|principal| match principal {
        Principal::External(id) if id.issuer == *issuer => Some(&id.value),
        _ => None,
    });
    let assigned = assigned.filter(|anchor| links.find(anchor.as_str()).is_none_or(open)).cloned();
    let mut asked: Vec<SourceAnchor> = known.chain(assigned).collect();
    asked.sort_unstable();
    asked.dedup();
    asked
}
