//! Directories made from a seed.

use std::collections::BTreeMap;

use super::super::random::Random;
use super::vocabulary::ODD;
use super::{Directory, DirectoryMember, Vocabulary};
use crate::model::{AccountState, Kind};

/// What a generated directory has. All counts may be 0.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Knobs {
    /// Living users.
    pub users: usize,
    /// Living groups.
    pub groups: usize,
    /// Levels of groups under groups: 1 is no nesting. A chain of this length is always there, where there are groups
    /// enough.
    pub depth: usize,
    /// Most users that are direct members of one group.
    pub most_members: usize,
    /// Of a hundred groups, how many share a list with another group.
    pub shared: u32,
    /// Pairs of groups over which one group is reached on two ways (rule E6).
    pub diamonds: usize,
    /// Cycles of groups; the first of them is a group that is its own member (rule E5).
    pub cycles: usize,
    /// Of a hundred users, how many are disabled.
    pub disabled: u32,
    /// Of a hundred users and groups, how many have names that are hard to handle.
    pub odd_names: u32,
    /// Member entries that lead to nobody (rule E9).
    pub dangling: usize,
    /// Member entries that lead to another directory (rule E9).
    pub foreign: usize,
    /// Deleted users and groups, by turns.
    pub tombstones: usize,
    /// Which attributes and anchors there are. Without nesting there are no chains, diamonds and cycles.
    pub vocabulary: Vocabulary,
}

impl Default for Knobs {
    /// A small directory that has something of everything.
    fn default() -> Self {
        Self {
            users: 40,
            groups: 12,
            depth: 4,
            most_members: 8,
            shared: 20,
            diamonds: 1,
            cycles: 2,
            disabled: 10,
            odd_names: 25,
            dangling: 2,
            foreign: 2,
            tombstones: 4,
            vocabulary: Vocabulary::default(),
        }
    }
}

impl Directory {
    /// The directory of this seed: the same seed and knobs always give the same directory.
    ///
    /// Linear in users, groups and members.
    pub fn generate(seed: u64, knobs: &Knobs) -> Self {
        let mut work = Work { random: Random::new(seed), knobs, directory: Self::new(), next: 0 };
        work.users();
        work.groups();
        if knobs.vocabulary.nesting {
            work.chains();
            work.diamonds();
            work.cycles();
        }
        work.strangers();
        work.tombstones();
        for group in &mut work.directory.groups {
            group.members.sort_unstable();
            group.members.dedup();
            work.random.shuffle(&mut group.members);
        }
        work.directory
    }
}

struct Work<'k> {
    random: Random,
    knobs: &'k Knobs,
    directory: Directory,
    /// Number of the next anchor.
    next: usize,
}

impl Work<'_> {
    fn anchor(&mut self) -> String {
        self.next += 1;
        self.knobs.vocabulary.anchors.anchor(self.next)
    }

    /// Every attribute gets a value now and then, so that rows differ in what they lack.
    fn attributes(&mut self, values: &[String], lists: &[String]) -> BTreeMap<String, Vec<String>> {
        let mut attributes = BTreeMap::new();
        for (place, name) in values.iter().enumerate() {
            // The first is the name, and always there.
            if place == 0 || !self.random.chance(30) {
                let value = self.value(name);
                attributes.insert(name.clone(), vec![value]);
            }
        }
        for name in lists {
            let count = self.random.below(4);
            let list: Vec<String> = (0..count).map(|place| format!("{}-{place}", self.value(name))).collect();
            if !list.is_empty() {
                attributes.insert(name.clone(), list);
            }
        }
        attributes
    }

    fn value(&mut self, name: &str) -> String {
        let plain = format!("{name} {}", self.next);
        let odd = self.random.chance(self.knobs.odd_names).then(|| self.random.pick(ODD)).flatten();
        odd.map_or(plain, |odd| format!("{odd} {}", self.next))
    }

    fn users(&mut self) {
        for _ in 0..self.knobs.users {
            let anchor = self.anchor();
            let words = &self.knobs.vocabulary;
            let attributes = self.attributes(&words.user_values, &words.user_lists);
            self.directory.add_user(anchor, attributes);
            if self.random.chance(self.knobs.disabled) {
                if let Some(user) = self.directory.users.last_mut() {
                    user.state = AccountState::Disabled;
                }
            }
        }
    }

    fn groups(&mut self) {
        let mut lists: Vec<Vec<DirectoryMember>> = Vec::new();
        for _ in 0..self.knobs.groups {
            let anchor = self.anchor();
            let words = &self.knobs.vocabulary;
            let attributes = self.attributes(&words.group_values, &words.group_lists);
            let shared = self.random.chance(self.knobs.shared).then(|| self.random.pick(&lists)).flatten();
            let members = match shared.cloned() {
                Some(list) => list,
                None => self.some_users(),
            };
            lists.push(members.clone());
            self.directory.add_group(anchor, attributes, members);
        }
    }

    fn some_users(&mut self) -> Vec<DirectoryMember> {
        let most = self.knobs.most_members.min(self.directory.users.len());
        let count = self.random.below(most + 1);
        let mut members = Vec::new();
        for _ in 0..count {
            if let Some(user) = self.random.pick(&self.directory.users) {
                members.push(DirectoryMember::Object(user.anchor.clone()));
            }
        }
        members
    }

    /// Group number `group` has level `group % depth`; each below the first is in one of the level above.
    fn chains(&mut self) {
        let depth = self.knobs.depth.max(1);
        for group in 0..self.directory.groups.len() {
            if group % depth > 0 {
                // The one just before is one level above: that makes a whole chain.
                self.nest(group - 1, group);
            }
        }
    }

    fn diamonds(&mut self) {
        for _ in 0..self.knobs.diamonds {
            let Some([top, left, right, bottom]) = self.some_groups() else { return };
            for (above, below) in [(top, left), (top, right), (left, bottom), (right, bottom)] {
                self.nest(above, below);
            }
        }
    }

    /// Four groups in the order in which they were made, so that a diamond alone closes no cycle.
    fn some_groups(&mut self) -> Option<[usize; 4]> {
        let first = self.random.below(self.directory.groups.len().checked_sub(3)?);
        Some([first, first + 1, first + 2, first + 3])
    }

    fn cycles(&mut self) {
        let groups = self.directory.groups.len();
        for cycle in 0..self.knobs.cycles.min(groups) {
            let first = self.random.below(groups);
            let length = if cycle == 0 { 1 } else { 2 + self.random.below(3) };
            let ring: Vec<usize> = (0..length).map(|step| (first + step) % groups).collect();
            for (place, &above) in ring.iter().enumerate() {
                let below = ring.get(place + 1).or(ring.first()).copied().unwrap_or(above);
                self.nest(above, below);
            }
        }
    }

    fn nest(&mut self, above: usize, below: usize) {
        let Some(below) = self.directory.groups.get(below).map(|group| group.anchor.clone()) else { return };
        if let Some(above) = self.directory.groups.get_mut(above) {
            above.members.push(DirectoryMember::Object(below));
        }
    }

    fn strangers(&mut self) {
        let groups = self.directory.groups.len();
        if groups == 0 {
            return;
        }
        for number in 0..self.knobs.dangling + self.knobs.foreign {
            let anchor = self.anchor();
            let group = self.random.below(groups);
            if let Some(group) = self.directory.groups.get_mut(group) {
                let dangling = number < self.knobs.dangling;
                let member = if dangling { DirectoryMember::Dangling } else { DirectoryMember::Foreign };
                group.members.push(member(anchor));
            }
        }
    }

    fn tombstones(&mut self) {
        for number in 0..self.knobs.tombstones {
            let anchor = self.anchor();
            let kind = if number % 2 == 0 { Kind::User } else { Kind::Group };
            self.directory.delete(kind, &anchor);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn one_seed_gives_one_directory() {
        let knobs = Knobs::default();
        assert_eq!(Directory::generate(5, &knobs), Directory::generate(5, &knobs));
        assert_ne!(Directory::generate(5, &knobs), Directory::generate(6, &knobs));
    }

    #[test]
    fn knobs_at_nothing_give_nothing() {
        let knobs = Knobs { users: 0, groups: 0, tombstones: 0, ..Knobs::default() };
        assert_eq!(Directory::generate(1, &knobs), Directory::new());
    }

    #[test]
    fn a_directory_of_defaults_has_something_of_everything() {
        let mut seen = BTreeSet::new();
        for seed in 0..20 {
            let directory = Directory::generate(seed, &Knobs::default());
            assert_eq!((directory.users.len(), directory.groups.len()), (40, 12));
            assert_eq!(directory.tombstones.len(), 4);
            for group in &directory.groups {
                for member in &group.members {
                    seen.insert(match member {
                        DirectoryMember::Object(anchor) if *anchor == group.anchor => "itself",
                        DirectoryMember::Object(anchor) if directory.kind_of(anchor) == Some(Kind::Group) => {
                            "group"
                        }
                        DirectoryMember::Object(_) => "user",
                        DirectoryMember::Dangling(_) => "dangling",
                        DirectoryMember::Foreign(_) => "foreign",
                    });
                }
            }
            seen.extend(
                directory.users.iter().any(|u| u.state == AccountState::Disabled).then_some("disabled"),
            );
        }
        let all = BTreeSet::from(["itself", "group", "user", "dangling", "foreign", "disabled"]);
        assert_eq!(seen, all);
    }
}
