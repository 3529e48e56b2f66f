//! What the directory says: merged rows, kinds of unread anchors, closure, entitlement (rules E, M5, C1 to C3).

use super::super::world::{
    AccountState, Attributes, Existence, Extent, GroupRow, KindHint, Member, MemberTarget, Nesting,
    Principal, UserRow, World,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The one user that the rows of an anchor stand for.
#[derive(Clone, Debug)]
pub struct User {
    pub state: AccountState,
    pub attributes: Attributes,
    pub unreadable: BTreeSet<String>,
    pub withdrawn: bool,
    pub ambiguous: bool,
    /// What each of its rows says, where nobody knows which one counts.
    pub rows: Vec<(Attributes, BTreeSet<String>)>,
}

/// The one group that the rows of an anchor stand for.
#[derive(Clone, Debug)]
pub struct Group {
    pub attributes: Attributes,
    pub unreadable: BTreeSet<String>,
    pub withdrawn: bool,
    pub ambiguous: bool,
    pub rows: Vec<(Attributes, BTreeSet<String>)>,
    pub members: BTreeSet<Member>,
    pub members_complete: bool,
}

/// The kind of record or of row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    User,
    Group,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "user",
            Self::Group => "group",
        })
    }
}

/// What an anchor without a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    Gone,
    Leaf,
    User,
    Group,
    Other,
    Foreign,
    Unknown,
}

/// The directory and the assignments, as one run sees them.
#[derive(Debug)]
pub struct View<'a> {
    pub world: &'a World,
    pub users: BTreeMap<&'a str, User>,
    pub groups: BTreeMap<&'a str, Group>,
    /// Anchor to the managed records that carry it.
    pub links: BTreeMap<&'a str, Vec<(Kind, &'a str)>>,
    hints: BTreeMap<String, BTreeSet<KindHint>>,
    /// Group anchor to everything below it that counts (length at least 1).
    pub below: BTreeMap<&'a str, BTreeSet<&'a str>>,
    /// Groups whose flattened list is complete.
    pub complete: BTreeSet<&'a str>,
    pub entitled: BTreeSet<&'a str>,
    /// It can be shown that somebody left the scope (rule C2).
    pub scope_provable: bool,
    /// Principals that resolve to something.
    pub resolved: usize,
    /// Principals of our issuer, or by store id, that resolve to nothing.
    pub unresolved: BTreeSet<String>,
    /// Objects that several records match, or that match a record with others (rule M3).
    pub barred: BTreeSet<&'a str>,
    /// Components with more than one group, or with a self-membership.
    pub cycles: BTreeSet<Vec<&'a str>>,
}

impl<'a> View<'a> {
    pub fn of(world: &'a World) -> Self {
        let users = merge_users(&world.source.users);
        let groups = merge_groups(&world.source.groups);
        let mut view = Self {
            world,
            links: links(world),
            hints: BTreeMap::new(),
            below: BTreeMap::new(),
            complete: BTreeSet::new(),
            entitled: BTreeSet::new(),
            scope_provable: false,
            resolved: 0,
            unresolved: BTreeSet::new(),
            barred: BTreeSet::new(),
            cycles: BTreeSet::new(),
            users,
            groups,
        };
        view.collect_hints();
        view.close();
        view.judge_completeness();
        view.entitle();
        view
    }

    pub fn alive(&self, anchor: &str) -> bool {
        self.users.contains_key(anchor) || self.groups.contains_key(anchor)
    }

    pub fn both_kinds(&self, anchor: &str) -> bool {
        self.users.contains_key(anchor) && self.groups.contains_key(anchor)
    }

    /// Rule M5, as far as the rows of this anchor go.
    pub fn ambiguous_rows(&self, anchor: &str) -> bool {
        self.both_kinds(anchor)
            || self.barred.contains(anchor)
            || self.users.get(anchor).is_some_and(|user| user.ambiguous)
            || self.groups.get(anchor).is_some_and(|group| group.ambiguous)
    }

    /// Proof that neither a user nor a group of this anchor exists any more (rule C3).
    pub fn gone(&self, anchor: &str) -> bool {
        if self.alive(anchor) {
            return false;
        }
        let source = &self.world.source;
        if source.tombstones.iter().any(|tombstone| tombstone == anchor) {
            return true;
        }
        if source.has_existence {
            return source.existence.get(anchor) == Some(&Existence::Gone);
        }
        if !self.world.options.absence_is_proof {
            return false;
        }
        // Every read in which the anchor could have been seen must be complete. What lives elsewhere, or is
        // no principal, would be seen in none.
        let hints = self.hints.get(anchor);
        let hinted = |hint| hints.is_some_and(|hints| hints.contains(&hint));
        let linked = |kind| self.links_of(anchor).iter().any(|(found, _)| *found == kind);
        let user = hinted(KindHint::User) || linked(Kind::User);
        let group = hinted(KindHint::Group) || linked(Kind::Group);
        if !user && !group {
            let elsewhere = hinted(KindHint::Other) || hinted(KindHint::Foreign);
            return !elsewhere && source.users_complete && source.groups_complete;
        }
        (!user || source.users_complete) && (!group || source.groups_complete)
    }

    pub fn links_of(&self, anchor: &str) -> &[(Kind, &'a str)] {
        self.links.get(anchor).map_or(&[], Vec::as_slice)
    }

    /// What an anchor without a row is: `Gone` beats all, then the host's word, then what the lists, the
    /// look-up and our link say, in this order.
    pub fn unread(&self, anchor: &str) -> Unread {
        if self.gone(anchor) {
            return Unread::Gone;
        }
        if self.world.options.leaf_anchors.contains(anchor) {
            return Unread::Leaf;
        }
        self.unread_kind(anchor)
    }

    fn unread_kind(&self, anchor: &str) -> Unread {
        let of_hint = |hint: KindHint| match hint {
            KindHint::User => Some(Unread::User),
            KindHint::Group => Some(Unread::Group),
            KindHint::Other => Some(Unread::Other),
            KindHint::Foreign => Some(Unread::Foreign),
            KindHint::Unknown => None,
        };
        let hinted: Vec<Unread> =
            self.hints.get(anchor).into_iter().flatten().filter_map(|hint| of_hint(*hint)).collect();
        if let [only] = hinted[..] {
            return only;
        }
        let source = &self.world.source;
        if source.has_existence
            && let Some(Existence::Exists(hint)) = source.existence.get(anchor)
            && let Some(kind) = of_hint(*hint)
        {
            return kind;
        }
        let linked: BTreeSet<Kind> = self.links_of(anchor).iter().map(|(kind, _)| *kind).collect();
        match (linked.contains(&Kind::User), linked.contains(&Kind::Group)) {
            (true, false) => Unread::User,
            (false, true) => Unread::Group,
            _ => Unread::Unknown,
        }
    }

    /// Only lists that count may speak: a losing duplicate is not among them.
    fn collect_hints(&mut self) {
        for member in self.groups.values().flat_map(|group| &group.members) {
            if let MemberTarget::Anchor(anchor) = &member.target {
                self.hints.entry(anchor.clone()).or_default().insert(member.hint);
            }
        }
    }

    /// Warshall's closure over a boolean matrix of all anchors.
    fn close(&mut self) {
        let world = self.world;
        let mut anchors: BTreeSet<&'a str> = self.users.keys().chain(self.groups.keys()).copied().collect();
        for member in world.source.groups.iter().flat_map(|row| &row.members) {
            if let MemberTarget::Anchor(anchor) = &member.target {
                anchors.insert(anchor);
            }
        }
        let anchors: Vec<&'a str> = anchors.into_iter().collect();
        let counts =
            |anchor: &str| self.alive(anchor) || !matches!(self.unread(anchor), Unread::Gone | Unread::Other);
        let counting: Vec<bool> = anchors.iter().map(|anchor| counts(anchor)).collect();
        let size = anchors.len();
        let mut reach = vec![vec![false; size]; size];
        for (from, anchor) in anchors.iter().enumerate() {
            let Some(group) = self.groups.get(anchor) else { continue };
            for member in &group.members {
                let MemberTarget::Anchor(target) = &member.target else { continue };
                if let Ok(to) = anchors.binary_search(&target.as_str()) {
                    reach[from][to] = counting[to];
                }
            }
        }
        if world.options.nesting == Nesting::Flatten {
            for middle in 0..size {
                let through = reach[middle].clone();
                for row in reach.iter_mut().filter(|row| row[middle]) {
                    row.iter_mut().zip(&through).for_each(|(cell, further)| *cell |= further);
                }
            }
            for node in (0..size).filter(|node| reach[*node][*node]) {
                let component =
                    (0..size).filter(|other| reach[node][*other] && reach[*other][node]).map(|i| anchors[i]);
                self.cycles.insert(component.collect());
            }
        }
        for (from, anchor) in anchors.iter().enumerate() {
            if self.groups.contains_key(anchor) {
                let below = (0..size).filter(|to| reach[from][*to]).map(|to| anchors[to]).collect();
                self.below.insert(anchor, below);
            }
        }
    }

    /// Rules C1, E9: a list is complete if nothing in it may hide others.
    fn own_list_complete(&self, anchor: &str, group: &Group) -> bool {
        let hides = |member: &Member| match &member.target {
            MemberTarget::Unresolved(text) => {
                matches!(member.hint, KindHint::Group | KindHint::Unknown)
                    && !self.world.options.leaf_texts.contains(text)
            }
            MemberTarget::Anchor(target) => {
                !self.alive(target) && matches!(self.unread(target), Unread::Group | Unread::Unknown)
            }
        };
        group.members_complete
            && !group.withdrawn
            && !group.ambiguous
            && !self.both_kinds(anchor)
            && !group.members.iter().any(hides)
    }

    fn judge_completeness(&mut self) {
        let own: BTreeSet<&'a str> = self
            .groups
            .iter()
            .filter(|(anchor, group)| self.own_list_complete(anchor, group))
            .map(|(anchor, _)| *anchor)
            .collect();
        let nested_matter = self.world.options.nesting == Nesting::Flatten;
        self.complete = own
            .iter()
            .filter(|anchor| {
                let mut nested = self.below[*anchor].iter().filter(|below| self.groups.contains_key(*below));
                !nested_matter || nested.all(|below| own.contains(below))
            })
            .copied()
            .collect();
    }

    /// Rules E1, E8, E11 and, for principals without a row, E9.
    fn entitle(&mut self) {
        let world = self.world;
        let mut assigned: BTreeSet<&'a str> = BTreeSet::new();
        for principal in &world.assignments.principals {
            match principal {
                Principal::External(issuer, value) if *issuer == world.options.issuer => {
                    assigned.insert(value);
                }
                Principal::External(..) => {}
                Principal::Stored(id) => {
                    let mut anchors =
                        self.links.iter().filter(|(_, records)| records.iter().any(|(_, r)| r == id));
                    if anchors.clone().next().is_none() {
                        self.unresolved.insert(id.clone());
                    }
                    assigned.extend(anchors.by_ref().map(|(anchor, _)| *anchor));
                }
            }
        }
        self.scope_provable = world.assignments.complete;
        for anchor in assigned {
            if self.alive(anchor) {
                self.resolved += 1;
                self.entitle_with_members(anchor);
                continue;
            }
            match self.unread(anchor) {
                Unread::Gone | Unread::Other => {
                    self.unresolved.insert(anchor.to_owned());
                }
                // A look-up says that it is there, and not what it is: perhaps a group.
                Unread::Unknown
                    if world.source.has_existence
                        && world.options.extent == Extent::Full
                        && matches!(world.source.existence.get(anchor), Some(Existence::Exists(_))) =>
                {
                    self.resolved += 1;
                    self.entitled.insert(anchor);
                    self.scope_provable = false;
                }
                // Linked to a user and to a group: it resolves through either link (E11), and its kind is unknown (E9).
                Unread::Unknown if !self.links_of(anchor).is_empty() => {
                    self.resolved += 1;
                    self.entitled.insert(anchor);
                    self.scope_provable = false;
                }
                Unread::Unknown => {
                    self.unresolved.insert(anchor.to_owned());
                    // It may be a group that was not read.
                    self.scope_provable &= world.source.groups_complete;
                }
                Unread::User | Unread::Foreign => {
                    self.resolved += 1;
                    self.entitled.insert(anchor);
                }
                Unread::Group => {
                    self.resolved += 1;
                    self.entitled.insert(anchor);
                    self.scope_provable = false;
                }
                Unread::Leaf => {
                    let linked = !self.links_of(anchor).is_empty();
                    self.resolved += usize::from(linked || self.unread_kind(anchor) != Unread::Unknown);
                    self.entitled.insert(anchor);
                }
            }
        }
    }

    fn entitle_with_members(&mut self, anchor: &'a str) {
        self.entitled.insert(anchor);
        let Some(below) = self.below.get(anchor) else { return };
        self.scope_provable &= self.complete.contains(anchor);
        let direct_only = self.world.options.nesting == Nesting::DirectOnly;
        let below: Vec<&'a str> =
            below.iter().copied().filter(|x| !direct_only || !self.is_group(x)).collect();
        self.entitled.extend(below);
    }

    /// A group and nothing else, by its rows and by its links; under `DirectOnly` membership entitles no group.
    fn is_group(&self, anchor: &str) -> bool {
        if self.alive(anchor) {
            let user = self.links_of(anchor).iter().any(|(kind, _)| *kind == Kind::User);
            return !user && !self.users.contains_key(anchor);
        }
        self.unread(anchor) == Unread::Group
    }
}

fn links(world: &World) -> BTreeMap<&str, Vec<(Kind, &str)>> {
    let mut links: BTreeMap<&str, BTreeSet<(Kind, &str)>> = BTreeMap::new();
    let users = world.store.users.iter().map(|user| (Kind::User, &user.id, &user.external_ids));
    let groups = world.store.groups.iter().map(|group| (Kind::Group, &group.id, &group.external_ids));
    for (kind, id, external_ids) in users.chain(groups) {
        for (issuer, value) in external_ids {
            if *issuer == world.options.issuer {
                links.entry(value).or_default().insert((kind, id));
            }
        }
    }
    links.into_iter().map(|(anchor, records)| (anchor, records.into_iter().collect())).collect()
}

/// Values as sets, so that rows which differ in order only are equal.
fn sorted(attributes: &Attributes) -> Attributes {
    let sort = |values: &Vec<String>| values.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect();
    attributes.iter().map(|(name, values)| (name.clone(), sort(values))).collect()
}

/// Rule M5: equal rows are one, else the higher version counts. `None`: no row can be chosen.
fn choose<T: Clone + PartialEq>(rows: &[T], version: impl Fn(&T) -> Option<u64>) -> Option<T> {
    let mut distinct: Vec<&T> = Vec::new();
    for row in rows {
        if !distinct.contains(&row) {
            distinct.push(row);
        }
    }
    if distinct.len() > 1 {
        if distinct.iter().any(|row| version(row).is_none()) {
            return None;
        }
        let highest = distinct.iter().filter_map(|row| version(row)).max();
        distinct.retain(|row| version(row) == highest);
    }
    match distinct[..] {
        [only] => Some(only.clone()),
        _ => None,
    }
}

fn merge_users(rows: &[UserRow]) -> BTreeMap<&str, User> {
    let mut by_anchor: BTreeMap<&str, Vec<UserRow>> = BTreeMap::new();
    for row in rows {
        let row_as_set = UserRow { attributes: sorted(&row.attributes), ..row.clone() };
        by_anchor.entry(&row.anchor).or_default().push(row_as_set);
    }
    by_anchor.into_iter().map(|(anchor, rows)| (anchor, merge_user(&rows))).collect()
}

fn merge_user(rows: &[UserRow]) -> User {
    let chosen = choose(rows, |row| row.version);
    let ambiguous = chosen.is_none();
    let states: BTreeSet<AccountState> = rows.iter().map(|row| row.state).collect();
    let worst = [AccountState::Disabled, AccountState::Unknown, AccountState::Enabled];
    let united = worst.into_iter().find(|state| states.contains(state)).unwrap_or(AccountState::Unknown);
    let row = chosen.unwrap_or_else(|| UserRow {
        state: united,
        withdrawn: rows.iter().any(|row| row.withdrawn),
        ..rows[0].clone()
    });
    let said = |row: &UserRow| (row.attributes.clone(), row.unreadable.clone());
    User {
        rows: if ambiguous { rows.iter().map(said).collect() } else { vec![said(&row)] },
        state: row.state,
        attributes: row.attributes,
        unreadable: row.unreadable,
        withdrawn: row.withdrawn,
        ambiguous,
    }
}

fn merge_groups(rows: &[GroupRow]) -> BTreeMap<&str, Group> {
    let mut by_anchor: BTreeMap<&str, Vec<GroupRow>> = BTreeMap::new();
    for row in rows {
        let members: BTreeSet<Member> = row.members.iter().cloned().collect();
        let row_as_set = GroupRow {
            attributes: sorted(&row.attributes),
            members: members.into_iter().collect(),
            ..row.clone()
        };
        by_anchor.entry(&row.anchor).or_default().push(row_as_set);
    }
    by_anchor.into_iter().map(|(anchor, rows)| (anchor, merge_group(&rows))).collect()
}

fn merge_group(rows: &[GroupRow]) -> Group {
    let chosen = choose(rows, |row| row.version);
    let ambiguous = chosen.is_none();
    let row = chosen.unwrap_or_else(|| GroupRow {
        members: rows.iter().flat_map(|row| row.members.iter().cloned()).collect(),
        members_complete: false,
        withdrawn: rows.iter().any(|row| row.withdrawn),
        ..rows[0].clone()
    });
    let said = |row: &GroupRow| (row.attributes.clone(), row.unreadable.clone());
    Group {
        rows: if ambiguous { rows.iter().map(said).collect() } else { vec![said(&row)] },
        attributes: row.attributes,
        unreadable: row.unreadable,
        withdrawn: row.withdrawn,
        ambiguous,
        members: row.members.into_iter().collect(),
        members_complete: row.members_complete,
    }
}
