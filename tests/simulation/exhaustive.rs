//! All small worlds: two users and two groups (or three), every membership graph, assignment set, store state and completeness.

use std::collections::{BTreeMap, BTreeSet};

use crate::common::world::{
    AccountState, Assignments, AttributeRule, Canaries, Deprovision, Existence, Extent, GroupGrace,
    GroupPolicy, GroupRow, Guards, KindHint, Mapping, Matching, Member, MemberRemovals, MemberTarget,
    Missing, Nesting, OnTrip, Options, Origin, Principal, Reactivate, SoftMatch, Source, Store, StoreGroup,
    StoreUser, UnmanagedMembers, UserGrace, UserPolicy, UserRow, World,
};

const ISSUER: &str = "ad";
const USERS: [&str; 2] = ["u1", "u2"];
const GROUPS: [&str; 3] = ["g1", "g2", "g3"];

/// What is known of an object of the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Presence {
    Read,
    Gone,
    /// Not read, and nobody knows why.
    Hidden,
}

/// One small world, in few bits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Small {
    /// Per group: which users, then which groups, are direct members.
    edges: Vec<(Vec<bool>, Vec<bool>)>,
    assigned_users: Vec<bool>,
    assigned_groups: Vec<bool>,
    stored_users: Vec<bool>,
    /// Per group: its stored members, where it is stored at all.
    stored_groups: Vec<Option<Vec<bool>>>,
    users_complete: bool,
    groups_complete: bool,
    lists_complete: Vec<bool>,
    assignments_complete: bool,
    users: Vec<Presence>,
    groups: Vec<Presence>,
}

/// Takes a number apart, digit by digit.
struct Digits(u64);

impl Digits {
    fn take(&mut self, radix: u64) -> u64 {
        let digit = self.0 % radix;
        self.0 /= radix;
        digit
    }

    fn bit(&mut self) -> bool {
        self.take(2) == 1
    }

    fn bits(&mut self, count: usize) -> Vec<bool> {
        (0..count).map(|_| self.bit()).collect()
    }
}

/// How many worlds there are of this many groups.
pub fn count(groups: u32) -> u64 {
    let graphs = 1 << (groups * (2 + groups));
    let assigned = 1 << (2 + groups);
    let completeness = 1 << (3 + groups);
    let presence = 1 + 2 * (2 + u64::from(groups));
    // Either something was not read whole, or one object was not read; not both.
    graphs * assigned * stores(groups) * (completeness + presence - 1)
}

fn stores(groups: u32) -> u64 {
    [0_u32, 1, 1, 2].iter().map(|present| (1 + (1_u64 << present)).pow(groups)).sum()
}

impl Small {
    /// The world of a number below `count`.
    pub fn of(number: u64, groups: usize) -> Self {
        let mut digits = Digits(number);
        let edges = (0..groups).map(|_| (digits.bits(2), digits.bits(groups))).collect();
        let (assigned_users, assigned_groups) = (digits.bits(2), digits.bits(groups));
        let mut store = digits.take(stores(groups as u32));
        let mut stored_users = Vec::new();
        let mut stored_groups = Vec::new();
        for present in [[false, false], [true, false], [false, true], [true, true]] {
            let each = 1 + (1_u64 << present.iter().filter(|p| **p).count());
            let states = each.pow(groups as u32);
            if store >= states {
                store -= states;
                continue;
            }
            stored_users = present.to_vec();
            for _ in 0..groups {
                let state = store % each;
                store /= each;
                stored_groups.push(state.checked_sub(1).map(|mut members| {
                    let member = |present: &bool| {
                        let is = *present && members % 2 == 1;
                        members /= if *present { 2 } else { 1 };
                        is
                    };
                    present.iter().map(member).collect()
                }));
            }
            break;
        }
        let completeness = 1 << (3 + groups);
        let rest = digits.0;
        let whole = rest >= completeness;
        let bit = |at: u64| whole || rest >> at & 1 == 0;
        let mut small = Self {
            edges,
            assigned_users,
            assigned_groups,
            stored_users,
            stored_groups,
            users_complete: bit(0),
            groups_complete: bit(1),
            assignments_complete: bit(2),
            lists_complete: (0..groups as u64).map(|group| bit(3 + group)).collect(),
            users: vec![Presence::Read; 2],
            groups: vec![Presence::Read; groups],
        };
        if whole {
            let which = rest - completeness;
            let presence = if which % 2 == 0 { Presence::Gone } else { Presence::Hidden };
            match (which / 2) as usize {
                user @ 0..2 => small.users[user] = presence,
                group => small.groups[group - 2] = presence,
            }
        }
        small
    }

    /// Whether no renaming of its users and groups comes earlier in order: the others are the same world under other names.
    pub fn is_first_of_its_kind(&self) -> bool {
        let groups = self.groups.len();
        let orders: &[&[usize]] = match groups {
            2 => &[&[0, 1], &[1, 0]],
            _ => &[&[0, 1, 2], &[0, 2, 1], &[1, 0, 2], &[1, 2, 0], &[2, 0, 1], &[2, 1, 0]],
        };
        let users: [&[usize]; 2] = [&[0, 1], &[1, 0]];
        users.iter().all(|users| orders.iter().all(|groups| *self <= self.renamed(users, groups)))
    }

    fn renamed(&self, users: &[usize], groups: &[usize]) -> Self {
        fn pick<T: Clone>(of: &[T], order: &[usize]) -> Vec<T> {
            order.iter().map(|&at| of[at].clone()).collect()
        }
        let edges = pick(&self.edges, groups);
        let stored = pick(&self.stored_groups, groups);
        Self {
            edges: edges.iter().map(|(u, g)| (pick(u, users), pick(g, groups))).collect(),
            assigned_users: pick(&self.assigned_users, users),
            assigned_groups: pick(&self.assigned_groups, groups),
            stored_users: pick(&self.stored_users, users),
            stored_groups: stored.iter().map(|members| members.as_ref().map(|m| pick(m, users))).collect(),
            lists_complete: pick(&self.lists_complete, groups),
            users: pick(&self.users, users),
            groups: pick(&self.groups, groups),
            ..self.clone()
        }
    }

    pub fn is_complete(&self) -> bool {
        self.users_complete
            && self.groups_complete
            && self.assignments_complete
            && self.lists_complete.iter().all(|complete| *complete)
    }

    pub fn world(&self) -> World {
        let mut world = base();
        let groups = &GROUPS[..self.groups.len()];
        let source = &mut world.source;
        source.users_complete = self.users_complete;
        source.groups_complete = self.groups_complete;
        for (anchor, presence) in USERS.iter().zip(&self.users) {
            if *presence == Presence::Read {
                source.users.push(UserRow {
                    anchor: (*anchor).to_owned(),
                    state: AccountState::Enabled,
                    version: None,
                    attributes: BTreeMap::from([("uid".to_owned(), vec![(*anchor).to_owned()])]),
                    unreadable: BTreeSet::new(),
                    withdrawn: false,
                });
            }
        }
        for (at, (anchor, presence)) in groups.iter().zip(&self.groups).enumerate() {
            if *presence == Presence::Read {
                let (users, nested) = &self.edges[at];
                let users = USERS.iter().zip(users).map(|(anchor, is)| (anchor, is, KindHint::User));
                let nested = groups.iter().zip(nested).map(|(anchor, is)| (anchor, is, KindHint::Group));
                let member = |(anchor, _, hint): (&&str, &bool, KindHint)| Member {
                    target: MemberTarget::Anchor((*anchor).to_owned()),
                    hint,
                };
                source.groups.push(GroupRow {
                    anchor: (*anchor).to_owned(),
                    version: None,
                    attributes: BTreeMap::from([("cn".to_owned(), vec![(*anchor).to_owned()])]),
                    unreadable: BTreeSet::new(),
                    withdrawn: false,
                    members: users.chain(nested).filter(|(_, is, _)| **is).map(member).collect(),
                    members_complete: self.lists_complete[at],
                });
            }
        }
        let known = USERS.iter().zip(&self.users).chain(groups.iter().zip(&self.groups));
        let gone = known.filter(|(_, presence)| **presence == Presence::Gone);
        source.existence = gone.map(|(anchor, _)| ((*anchor).to_owned(), Existence::Gone)).collect();
        let assigned = USERS.iter().zip(&self.assigned_users).chain(groups.iter().zip(&self.assigned_groups));
        let assigned = assigned.filter(|(_, is)| **is);
        world.assignments.principals = assigned
            .map(|(anchor, _)| Principal::External(ISSUER.to_owned(), (*anchor).to_owned()))
            .collect();
        world.assignments.complete = self.assignments_complete;
        self.fill(&mut world.store);
        world
    }

    fn fill(&self, store: &mut Store) {
        let link = |anchor: &str| vec![(ISSUER.to_owned(), anchor.to_owned())];
        for (anchor, _) in USERS.iter().zip(&self.stored_users).filter(|(_, is)| **is) {
            store.users.push(StoreUser {
                id: format!("record-{anchor}"),
                external_ids: link(anchor),
                active: true,
                deactivated_by: None,
                origin: Some(Origin::Synced),
                attributes: BTreeMap::from([("userName".to_owned(), vec![(*anchor).to_owned()])]),
            });
        }
        for (anchor, members) in GROUPS.iter().zip(&self.stored_groups) {
            let Some(members) = members else { continue };
            let members = USERS.iter().zip(members).filter(|(_, is)| **is);
            store.groups.push(StoreGroup {
                id: format!("record-{anchor}"),
                external_ids: link(anchor),
                attributes: BTreeMap::from([("displayName".to_owned(), vec![(*anchor).to_owned()])]),
                members: members.map(|(anchor, _)| format!("record-{anchor}")).collect(),
            });
        }
    }
}

/// A world without anybody: leavers are deactivated and their groups deleted, so that every kind of removal can come up.
pub fn base() -> World {
    let name =
        AttributeRule { matching: Matching::NfkcCasefold, unique: true, required: true, multi_valued: false };
    let map = |target: &str, from: &str| Mapping {
        target: target.to_owned(),
        template: format!("${{{from}}}"),
        missing: Missing::Clear,
        required: false,
    };
    World {
        source: Source {
            identity: "directory".to_owned(),
            generation: None,
            users_complete: true,
            groups_complete: true,
            has_existence: true,
            account_state: true,
            users: Vec::new(),
            groups: Vec::new(),
            tombstones: Vec::new(),
            existence: BTreeMap::new(),
        },
        store: Store {
            complete: true,
            users: Vec::new(),
            groups: Vec::new(),
            user_schema: BTreeMap::from([("userName".to_owned(), name.clone())]),
            group_schema: BTreeMap::from([("displayName".to_owned(), name)]),
            cascades: true,
            can_list_members: true,
            remembers_deactivation: true,
            can_adopt: false,
        },
        assignments: Assignments { complete: true, principals: Vec::new() },
        options: Options {
            issuer: ISSUER.to_owned(),
            user_map: vec![map("userName", "uid")],
            group_map: vec![map("displayName", "cn")],
            nesting: Nesting::Flatten,
            users: UserPolicy {
                deleted_in_source: Deprovision::Delete,
                left_scope: Deprovision::Deactivate,
                disabled_in_source: Deprovision::Deactivate,
                grace: UserGrace::default(),
            },
            groups: GroupPolicy {
                deleted_in_source: Deprovision::Delete,
                left_scope: Deprovision::Delete,
                grace: GroupGrace::default(),
            },
            unmanaged_members: UnmanagedMembers::Keep,
            absence_is_proof: false,
            allow_empty_users: false,
            allow_empty_groups: false,
            allow_empty_assignments: true,
            protected_ids: BTreeSet::new(),
            protected_anchors: BTreeSet::new(),
            protected_names: BTreeSet::new(),
            leaf_anchors: BTreeSet::new(),
            leaf_texts: BTreeSet::new(),
            guards: Guards::default(),
            on_trip: OnTrip::Hold,
            add_members_to: BTreeSet::new(),
            release_names: true,
            soft_match: SoftMatch::default(),
            reactivate: Reactivate::OwnOnly,
            canaries: Canaries::default(),
            member_removals: MemberRemovals::Planned,
            extent: Extent::Full,
        },
        now: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_another_world_and_each_kind_has_one_first() {
        assert_eq!(stores(2), 47);
        let all: BTreeSet<Small> = (0..count(2)).step_by(997).map(|number| Small::of(number, 2)).collect();
        assert_eq!(all.len() as u64, count(2).div_ceil(997));
        for small in all.into_iter().take(2_000) {
            let renamed = [[0, 1], [1, 0]]
                .iter()
                .flat_map(|users| [[0, 1], [1, 0]].map(|groups| small.renamed(users, &groups)));
            let kinds: BTreeSet<Small> = renamed.collect();
            assert_eq!(kinds.iter().filter(|small| small.is_first_of_its_kind()).count(), 1);
        }
    }
}
