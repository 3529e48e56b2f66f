//! Why somebody is entitled, or is not (rule E12). Found on demand, in linear time, never by listing paths.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use crate::graph::{Class, Graph};
use crate::id::SourceAnchor;
use crate::options::Nesting;
use crate::scope::Scope;
use crate::snapshot::{NONE, SourceData};

/// What a plan rests on: who was assigned, and the graph below. Keeps the source snapshot alive.
#[derive(Clone, Debug)]
pub struct Evidence {
    source: Arc<SourceData>,
    classes: Vec<Class>,
    assigned: Vec<u32>,
    nesting: Nesting,
}

/// The assigned object over which somebody is entitled, and how many steps down he is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Root {
    pub(crate) node: u32,
    pub(crate) steps: u32,
}

/// Why there is no explanation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ExplainError {
    /// No read mentions this anchor.
    #[error("the anchor was not read")]
    NotRead,
}

/// Why somebody is entitled, or what would entitle him.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Explanation {
    /// Entitled over this path: the assigned object first, he himself last. Shortest; of several the least by the bytes of
    /// its anchors.
    Entitled {
        /// From the assignment down.
        path: Vec<SourceAnchor>,
    },
    /// Not entitled.
    NotEntitled {
        /// From the nearest group whose assignment would entitle him down to him; none where no group has him. Where only
        /// assigned parts of the directory were read, groups above may not be known.
        nearest: Option<Vec<SourceAnchor>>,
    },
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = |f: &mut fmt::Formatter<'_>, path: &[SourceAnchor]| {
            for (i, anchor) in path.iter().enumerate() {
                write!(f, "{}{anchor}", if i == 0 { "" } else { " → " })?;
            }
            Ok(())
        };
        match self {
            Self::Entitled { path: anchors } if anchors.len() == 1 => {
                f.write_str("entitled: assigned directly")
            }
            Self::Entitled { path: anchors } => {
                f.write_str("entitled: ")?;
                path(f, anchors)
            }
            Self::NotEntitled { nearest: None } => f.write_str("not entitled: no group has this member"),
            Self::NotEntitled { nearest: Some(anchors) } => {
                f.write_str("not entitled; would be by an assignment of the first of: ")?;
                path(f, anchors)
            }
        }
    }
}

impl Evidence {
    pub(crate) fn new(source: Arc<SourceData>, graph: &Graph<'_>, scope: &Scope, nesting: Nesting) -> Self {
        let nodes = source.anchors.len();
        let assigned = scope.assigned.iter().copied().filter(|&node| (node as usize) < nodes).collect();
        let mut classes = graph.classes.clone();
        classes.truncate(nodes);
        Self { source, classes, assigned, nesting }
    }

    /// Why an identity is entitled, or what would entitle it.
    ///
    /// # Errors
    ///
    /// No read mentions the anchor.
    pub fn explain(&self, anchor: &SourceAnchor) -> Result<Explanation, ExplainError> {
        let target = self.node(anchor)?;
        if let Some(path) = self.search(&self.assigned, target) {
            return Ok(Explanation::Entitled { path });
        }
        Ok(Explanation::NotEntitled { nearest: self.nearest(target) })
    }

    /// A shortest path from a group to a user, or `None` where he is not below it.
    ///
    /// # Errors
    ///
    /// No read mentions one of the anchors.
    pub fn explain_membership(
        &self,
        group: &SourceAnchor,
        user: &SourceAnchor,
    ) -> Result<Option<Vec<SourceAnchor>>, ExplainError> {
        let (group, user) = (self.node(group)?, self.node(user)?);
        if group != user {
            return Ok(self.search(&[group], user));
        }
        // A membership has at least one edge: from itself to itself only over a cycle.
        let children = self.children(group);
        Ok(self.search(&children, user).map(|mut path| {
            path.insert(0, self.anchor(group));
            path
        }))
    }

    /// The direct groups of everybody in the part of the graph that decides over an identity, as a Graphviz document.
    ///
    /// # Errors
    ///
    /// No read mentions the anchor.
    pub fn dot(&self, anchor: &SourceAnchor) -> Result<String, ExplainError> {
        let target = self.node(anchor)?;
        let parents = self.parents();
        let mut seen = vec![false; self.classes.len()];
        let mut queue = VecDeque::from([target]);
        let mut lines = Vec::new();
        let quoted = |node: u32| {
            let text = crate::Escaped(self.source.anchors.text(node)).to_string();
            format!("\"{}\"", text.replace('"', "\\\""))
        };
        if let Some(seen) = seen.get_mut(target as usize) {
            *seen = true;
        }
        while let Some(node) = queue.pop_front() {
            if self.assigned.binary_search(&node).is_ok() {
                lines.push(format!("  {} [style=filled];", quoted(node)));
            }
            for &parent in parents.get(node as usize).into_iter().flatten() {
                lines.push(format!("  {} -> {};", quoted(parent), quoted(node)));
                if !std::mem::replace(&mut seen[parent as usize], true) {
                    queue.push_back(parent);
                }
            }
        }
        lines.sort_unstable();
        lines.dedup();
        Ok(format!("digraph membership {{\n{}\n}}\n", lines.join("\n")))
    }

    /// For each node the assigned one over which it is entitled, as [`explain`](Self::explain) says; `NONE`: not entitled.
    /// Linear.
    pub(crate) fn roots(&self) -> Vec<Root> {
        let mut roots = vec![Root { node: NONE, steps: 0 }; self.classes.len()];
        let mut queue: VecDeque<u32> = VecDeque::new();
        let mut starts = self.assigned.clone();
        starts.sort_unstable_by(|&a, &b| self.source.anchors.text(a).cmp(self.source.anchors.text(b)));
        for start in starts {
            if roots[start as usize].node == NONE
                && !matches!(self.classes[start as usize], Class::Gone | Class::Other)
            {
                roots[start as usize].node = start;
                queue.push_back(start);
            }
        }
        while let Some(node) = queue.pop_front() {
            let Root { node: root, steps } = roots[node as usize];
            for child in self.children(node) {
                if roots[child as usize].node == NONE {
                    roots[child as usize] = Root { node: root, steps: steps + 1 };
                    queue.push_back(child);
                }
            }
        }
        roots
    }

    fn node(&self, anchor: &SourceAnchor) -> Result<u32, ExplainError> {
        self.source.anchors.find(anchor.as_str()).ok_or(ExplainError::NotRead)
    }

    fn anchor(&self, node: u32) -> SourceAnchor {
        SourceAnchor::from(self.source.anchors.text(node))
    }

    /// Members that count, in the order of their anchors.
    fn children(&self, node: u32) -> Vec<u32> {
        let group = self.source.group_of.get(node as usize).copied().filter(|&row| row != NONE);
        let members = group.map_or(&[][..], |row| self.source.members_of(row as usize));
        let counts = |&&member: &&u32| match self.nesting {
            Nesting::Flatten => !matches!(self.classes[member as usize], Class::Gone | Class::Other),
            Nesting::DirectOnly => self.classes[member as usize].is_member(),
        };
        let mut children: Vec<u32> = members.iter().filter(counts).copied().collect();
        children.sort_unstable_by(|&a, &b| self.source.anchors.text(a).cmp(self.source.anchors.text(b)));
        children.dedup();
        children
    }

    /// Breadth first, in the order of the anchors: the first way found is shortest, and the least of its length.
    fn search(&self, from: &[u32], target: u32) -> Option<Vec<SourceAnchor>> {
        const UNSEEN: u32 = NONE;
        let mut parent = vec![UNSEEN; self.classes.len()];
        let mut queue: VecDeque<u32> = VecDeque::new();
        let mut starts = from.to_vec();
        starts.sort_unstable_by(|&a, &b| self.source.anchors.text(a).cmp(self.source.anchors.text(b)));
        for start in starts {
            if parent[start as usize] == UNSEEN
                && !matches!(self.classes[start as usize], Class::Gone | Class::Other)
            {
                parent[start as usize] = start;
                queue.push_back(start);
            }
        }
        while let Some(node) = queue.pop_front() {
            if node == target {
                let mut path = vec![self.anchor(node)];
                let mut at = node;
                while parent[at as usize] != at {
                    at = parent[at as usize];
                    path.push(self.anchor(at));
                }
                path.reverse();
                return Some(path);
            }
            // Under `DirectOnly` the graph has no groups within groups: children lists hold none.
            for child in self.children(node) {
                if parent[child as usize] == UNSEEN {
                    parent[child as usize] = node;
                    queue.push_back(child);
                }
            }
        }
        None
    }

    fn parents(&self) -> Vec<Vec<u32>> {
        let mut parents: Vec<Vec<u32>> = vec![Vec::new(); self.classes.len()];
        for (row, group) in self.source.groups.iter().enumerate() {
            for &member in self.source.members_of(row) {
                parents[member as usize].push(group.node);
            }
        }
        parents
    }

    /// The least direct group: its assignment would entitle the target.
    fn nearest(&self, target: u32) -> Option<Vec<SourceAnchor>> {
        if !matches!(self.classes.get(target as usize), Some(class) if !matches!(class, Class::Gone | Class::Other))
        {
            return None;
        }
        let groups = self.source.groups.iter().enumerate().filter(|(row, group)| {
            let counts = self.nesting == Nesting::Flatten || self.classes[target as usize].is_member();
            counts && group.node != target && self.source.members_of(*row).contains(&target)
        });
        let least = groups.map(|(_, group)| self.anchor(group.node)).min()?;
        Some(vec![least, self.anchor(target)])
    }
}
