//! What a source gave, in a form that can be compared.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;

use super::super::paging::{Reading, Row};
use crate::attributes::Attributes;
use crate::error::SourceError;
use crate::model::{AccountState, MemberKind};
use crate::page::{PageEnd, PageToken};
use crate::source::{DirectorySource, GroupPage, ListState, Read, RowHealth, Select, UserPage};

pub(super) type Values = BTreeMap<String, Vec<String>>;

/// A row of a page of users.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct UserSeen {
    pub(super) anchor: String,
    pub(super) tombstone: bool,
    pub(super) sound: bool,
    pub(super) state: AccountState,
    pub(super) version: Option<u64>,
    pub(super) attributes: Values,
    pub(super) unreadable: BTreeSet<String>,
}

/// A row of a page of groups: a group, or the continuation of one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct GroupSeen {
    pub(super) anchor: String,
    pub(super) tombstone: bool,
    pub(super) sound: bool,
    pub(super) version: Option<u64>,
    pub(super) attributes: Values,
    pub(super) members: Vec<(String, MemberKind)>,
    pub(super) unresolved: Vec<(String, MemberKind)>,
    pub(super) list: List,
    /// A member had to be left out.
    pub(super) torn: bool,
}

impl GroupSeen {
    /// Whether the engine takes the list for whole (rule C2).
    pub(super) fn is_whole(&self) -> bool {
        self.list == List::Complete && !self.torn
    }
}

/// How much of a list was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum List {
    Open,
    Complete,
    Partial,
}

impl Row for UserSeen {
    fn key(&self) -> &str {
        &self.anchor
    }
}

impl Row for GroupSeen {
    fn key(&self) -> &str {
        &self.anchor
    }
}

pub(in crate::testing::conformance) fn values(attributes: Attributes<'_>) -> Values {
    let mut values = Values::new();
    for (name, value) in attributes.iter() {
        values.entry(name.to_owned()).or_default().push(value.to_owned());
    }
    values
}

fn unreadable(attributes: Attributes<'_>) -> BTreeSet<String> {
    attributes.unreadable().map(str::to_owned).collect()
}

/// The users of a source, or some of them.
pub(super) struct Users<'s, S> {
    pub(super) source: &'s S,
    pub(super) select: Select<'s>,
}

/// The groups of a source, or some of them.
pub(super) struct Groups<'s, S> {
    pub(super) source: &'s S,
    pub(super) select: Select<'s>,
}

#[async_trait]
impl<S: DirectorySource> Reading for Users<'_, S> {
    type Row = UserSeen;

    fn what(&self) -> &'static str {
        match self.select {
            Select::All => "the users",
            Select::Anchors(_) => "the users of some anchors",
        }
    }

    async fn page(&self, at: Option<&PageToken>) -> Result<(Vec<UserSeen>, PageEnd), SourceError> {
        let mut page = UserPage::default();
        let end = self.source.read_users(Read::new(self.select, at), &mut page).await?;
        Ok((user_rows(&page), end))
    }
}

#[async_trait]
impl<S: DirectorySource> Reading for Groups<'_, S> {
    type Row = GroupSeen;

    fn what(&self) -> &'static str {
        match self.select {
            Select::All => "the groups",
            Select::Anchors(_) => "the groups of some anchors",
        }
    }

    async fn page(&self, at: Option<&PageToken>) -> Result<(Vec<GroupSeen>, PageEnd), SourceError> {
        let mut page = GroupPage::default();
        let end = self.source.read_groups(Read::new(self.select, at), &mut page).await?;
        Ok((group_rows(&page), end))
    }
}

pub(super) fn user_rows(page: &UserPage) -> Vec<UserSeen> {
    let rows = page.rows.iter().enumerate().map(|(place, row)| {
        let attributes = page.attributes.table.row(place);
        UserSeen {
            anchor: page.anchors.at(place).to_owned(),
            tombstone: row.tombstone,
            sound: row.health == RowHealth::Sound,
            state: row.state,
            version: row.version,
            attributes: values(attributes),
            unreadable: unreadable(attributes),
        }
    });
    rows.collect()
}

pub(super) fn group_rows(page: &GroupPage) -> Vec<GroupSeen> {
    let rows = page.rows.iter().enumerate().map(|(place, row)| {
        let attributes = page.attributes.table.row(place);
        let next = page.rows.get(place + 1);
        let members = row.members..next.map_or(page.members.len(), |next| next.members);
        let unresolved = row.unresolved..next.map_or(page.unresolved.len(), |next| next.unresolved);
        let kind = |kinds: &[MemberKind], at: usize| kinds.get(at).copied().unwrap_or_default();
        GroupSeen {
            anchor: page.anchors.at(place).to_owned(),
            tombstone: row.tombstone,
            sound: row.health == RowHealth::Sound,
            version: row.version,
            attributes: values(attributes),
            members: members.map(|m| (page.members.at(m).to_owned(), kind(&page.member_kinds, m))).collect(),
            unresolved: unresolved
                .map(|u| (page.unresolved.at(u).to_owned(), kind(&page.unresolved_kinds, u)))
                .collect(),
            list: match row.list {
                ListState::Partial => List::Partial,
                ListState::Complete => List::Complete,
                ListState::Open => List::Open,
            },
            torn: row.torn,
        }
    });
    rows.collect()
}

/// Puts together what belongs to one group: a list goes on where its group is named again while it is open. A row after the
/// list was closed stays a row of its own.
pub(super) fn joined(rows: Vec<GroupSeen>) -> Vec<GroupSeen> {
    let mut whole: Vec<GroupSeen> = Vec::new();
    let mut open: BTreeMap<String, usize> = BTreeMap::new();
    for row in rows {
        let place = open.get(&row.anchor).copied().filter(|_| !row.tombstone);
        let number = match place.and_then(|place| Some((place, whole.get_mut(place)?))) {
            Some((place, group)) => {
                group.members.extend(row.members);
                group.unresolved.extend(row.unresolved);
                group.sound &= row.sound;
                group.list = row.list;
                // What was left out stays so, whatever the rest of the list says.
                group.torn |= row.torn;
                place
            }
            None => {
                whole.push(row);
                whole.len() - 1
            }
        };
        let Some(group) = whole.get(number) else { continue };
        if group.list == List::Open && !group.tombstone {
            open.insert(group.anchor.clone(), number);
        } else {
            open.remove(&group.anchor);
        }
    }
    whole
}
