//! A directory of the shape that large ones have: a few huge groups and many small ones, groups within groups, cycles.

use std::collections::{BTreeMap, BTreeSet};

use super::Scale;
use super::rng::Rng;

const GIVEN: [&str; 20] = [
    "James",
    "Maria",
    "Wei",
    "Olga",
    "Fatima",
    "Lars",
    "Chloé",
    "Dmitri",
    "Aiko",
    "Pedro",
    "Ingrid",
    "Samuel",
    "Nia",
    "Tomasz",
    "Priya",
    "Bartholomew",
    "Zoë",
    "Mohammed",
    "Guadalupe",
    "Li",
];
const FAMILY: [&str; 16] = [
    "Smith",
    "García",
    "Wang",
    "Ivanova",
    "Hassan",
    "Johansson",
    "Dubois",
    "Tanaka",
    "Silva",
    "Okafor",
    "Kowalski",
    "Patel",
    "Featherstonehaugh",
    "Kim",
    "Müller",
    "O'Brien",
];
const TITLES: [&str; 10] = [
    "Engineer",
    "Senior Software Engineer",
    "Account Manager",
    "Director of Operations",
    "Analyst",
    "HR Business Partner",
    "Technician",
    "Customer Support Specialist",
    "Intern",
    "Legal Counsel",
];

/// Direct memberships per user, before the groups' sizes are cut to what they can be.
const MEMBERSHIPS: f64 = 8.5;
/// How fast the sizes of groups fall.
const POWER: f64 = 1.1;
const NESTED: f64 = 0.3;
const DEPTH: usize = 10;

pub(crate) struct User {
    pub(crate) values: Vec<String>,
    pub(crate) alive: bool,
    pub(crate) assigned: bool,
}

pub(crate) struct Group {
    pub(crate) values: Vec<String>,
    pub(crate) alive: bool,
    pub(crate) assigned: bool,
    /// Numbers of users, each once.
    pub(crate) members: Vec<u32>,
}

/// Users and groups are known by their place.
pub(crate) struct World {
    pub(crate) users: Vec<User>,
    pub(crate) groups: Vec<Group>,
    /// (parent, child), sorted.
    pub(crate) nested: BTreeSet<(u32, u32)>,
}

pub(crate) fn user(rng: &mut Rng, number: usize) -> User {
    let (given, family) = (rng.pick(&GIVEN), rng.pick(&FAMILY));
    let values = vec![
        format!("{}.{}{number}@corp.example.com", given.to_lowercase(), family.to_lowercase()),
        given.to_owned(),
        family.to_owned(),
        format!("{given} {family}"),
        rng.pick(&TITLES).to_owned(),
        format!("Department {:04}", rng.below(2_000)),
        format!("E{number:08}"),
        format!("+1-555-{:03}-{:04}", rng.below(1_000), rng.below(10_000)),
        format!("City {}", rng.below(300)),
        format!("CN={given} {family} {number},OU=Users,DC=corp,DC=example,DC=com"),
    ];
    User { values, alive: true, assigned: rng.chance(0.005) }
}

pub(crate) fn group(rng: &mut Rng, number: usize, members: Vec<u32>) -> Group {
    let values = vec![
        format!("GRP-{}-{number:06}", rng.pick(&TITLES).replace(' ', "-")),
        format!("Access group {number} for {}", rng.pick(&TITLES)),
    ];
    Group { values, alive: true, assigned: rng.chance(0.2), members }
}

impl World {
    pub(crate) fn new(scale: Scale) -> Self {
        let mut rng = Rng::new(42 + scale.users as u64);
        let users: Vec<User> = (0..scale.users).map(|number| user(&mut rng, number)).collect();
        let groups = (0..scale.groups).zip(sizes(&mut rng, scale)).collect::<Vec<_>>();
        let mut drawn = vec![u32::MAX; users.len()];
        let groups = groups
            .into_iter()
            .map(|(number, size)| {
                let members = members(&mut rng, size, number as u32, &mut drawn);
                group(&mut rng, number, members)
            })
            .collect();
        Self { users, groups, nested: nesting(&mut rng, scale.groups) }
    }

    /// Per group the groups directly in it.
    pub(crate) fn children(&self) -> Vec<Vec<u32>> {
        let mut children = vec![Vec::new(); self.groups.len()];
        for &(parent, child) in &self.nested {
            children[parent as usize].push(child);
        }
        children
    }
}

/// Sizes by a power law, given out at random; no group has more than half of all users.
fn sizes(rng: &mut Rng, scale: Scale) -> Vec<usize> {
    let weights: Vec<f64> = (0..scale.groups).map(|rank| (rank as f64 + 2.0).powf(-POWER)).collect();
    let share = scale.users as f64 * MEMBERSHIPS / weights.iter().sum::<f64>();
    let mut sizes: Vec<usize> =
        weights.iter().map(|weight| ((weight * share).round() as usize).clamp(1, scale.users / 2)).collect();
    rng.shuffle(&mut sizes);
    sizes
}

/// Half of the groups draw from a part of the directory (a site, a department), the others from all of it.
fn members(rng: &mut Rng, size: usize, group: u32, drawn: &mut [u32]) -> Vec<u32> {
    let all = drawn.len();
    let window = if rng.chance(0.5) { (size * 4).min(all) } else { all };
    let start = rng.below(all - window + 1);
    let mut members = Vec::with_capacity(size);
    while members.len() < size {
        let user = start + rng.below(window);
        if std::mem::replace(&mut drawn[user], group) != group {
            members.push(user as u32);
        }
    }
    members
}

/// Three in ten groups are in other groups, to a depth of ten, and a few close a cycle.
fn nesting(rng: &mut Rng, groups: usize) -> BTreeSet<(u32, u32)> {
    let mut by_level: Vec<Vec<u32>> = vec![Vec::new(); DEPTH + 1];
    let mut level_of = vec![0; groups];
    for (group, level) in level_of.iter_mut().enumerate() {
        if rng.chance(NESTED) {
            *level = 1;
            while *level < DEPTH && rng.chance(0.55) {
                *level += 1;
            }
        }
        by_level[*level].push(group as u32);
    }
    let mut nested = BTreeSet::new();
    let mut parent_of: BTreeMap<u32, u32> = BTreeMap::new();
    for (group, &level) in level_of.iter().enumerate().filter(|&(_, &level)| level > 0) {
        let group = group as u32;
        for place in 0..if rng.chance(0.15) { 2 } else { 1 } {
            let above = &by_level[if place == 0 { level - 1 } else { rng.below(level) }];
            if above.is_empty() {
                continue;
            }
            // Some parents are much more liked than others.
            let parent = above[(above.len() as f64 * rng.fraction().powi(2)) as usize];
            if parent != group {
                nested.insert((parent, group));
                parent_of.entry(group).or_insert(parent);
            }
        }
    }
    for (group, _) in level_of.iter().enumerate().filter(|&(_, &level)| level > 0) {
        if rng.chance(0.005) {
            let mut above = group as u32;
            for _ in 0..1 + rng.below(3) {
                above = parent_of.get(&above).copied().unwrap_or(above);
            }
            if above != group as u32 {
                nested.insert((group as u32, above));
            }
        }
    }
    nested
}
