//! All entries of an export, linked: members to entries, primary groups to lists, everything sorted by anchor.

use std::ops::Range;

use super::build::Builder;
use super::encoding::decode;
use super::error::LdifError;
use super::options::{LdifOptions, LdifSummary};
use super::parse::Records;
use crate::adapter::directory::entry::Class;
use crate::adapter::directory::names::Names;
use crate::model::{AccountState, MemberKind};
use crate::page::TextColumn;

/// What is kept of an export. Entries are numbered in the order of the text.
#[derive(Debug, Default)]
pub(super) struct Directory {
    pub(super) entries: Vec<Entry>,
    /// By entry; empty where there is none.
    pub(super) anchors: TextColumn,
    pub(super) names: Names,
    pub(super) cells: Cells,
    pub(super) members: Vec<Member>,
    pub(super) unresolved: TextColumn,
    pub(super) unresolved_kinds: Vec<MemberKind>,
    /// Users, groups and all else, tombstones among them, each sorted by anchor and then by the order of the text,
    /// so that a look-up is a binary search and a page can say where it ended.
    pub(super) users: Vec<u32>,
    pub(super) groups: Vec<Group>,
    pub(super) others: Vec<u32>,
    /// The domain components that all users and groups share: `dc=corp,dc=example,dc=com`.
    pub(super) domain: String,
    /// The directory knows disabled accounts.
    pub(super) has_state: bool,
    /// Why this is not everything, where it is not (rule C1).
    pub(super) partial: Option<String>,
    pub(super) summary: LdifSummary,
}

/// An entry that is kept.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) class: Class,
    pub(super) deleted: bool,
    /// The text ends inside this entry: nothing of it is to be trusted.
    pub(super) cut: bool,
    pub(super) state: AccountState,
    pub(super) version: Option<u64>,
    pub(super) cells: Range<usize>,
}

/// A group with its list.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) entry: u32,
    pub(super) members: Range<usize>,
    pub(super) list_cut: bool,
}

/// A member, in eight octets: lists are most of what a large directory holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Member {
    /// An entry with an anchor.
    Entry(u32),
    /// Number of a text without one.
    Text(u32),
}

/// Attribute values, one column for the names and one for the texts.
#[derive(Debug, Default)]
pub(super) struct Cells {
    names: Vec<u32>,
    values: TextColumn,
}

/// Marks the name of an attribute that could not be read; no export has so many names.
const UNREADABLE: u32 = 1 << 31;

impl Cells {
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    pub(super) fn push(&mut self, name: u32, value: &str) {
        self.names.push(name);
        self.values.push(value);
    }

    pub(super) fn push_unreadable(&mut self, name: u32) {
        self.names.push(name | UNREADABLE);
        self.values.push("");
    }

    /// Each name with its value, or `None` where it is unreadable.
    pub(super) fn iter(&self, range: Range<usize>) -> impl Iterator<Item = (u32, Option<&str>)> {
        let names = self.names.get(range.clone()).unwrap_or_default();
        names.iter().zip(range).map(|(&name, i)| {
            let readable = name & UNREADABLE == 0;
            (name & !UNREADABLE, readable.then(|| self.values.at(i)))
        })
    }
}

impl Directory {
    /// Reads a whole export. Linear in its length, but for sorting by anchor.
    pub(super) fn read(octets: &[u8], options: &LdifOptions) -> Result<Self, LdifError> {
        let text = decode(octets)?;
        let mut builder = Builder::new(options);
        let mut records = Records::new(&text);
        while let Some(record) = records.next()? {
            builder.add(&record)?;
        }
        Ok(builder.link(records.marks))
    }

    pub(super) fn anchor(&self, entry: u32) -> &str {
        self.anchors.at(entry as usize)
    }

    pub(super) fn entry(&self, number: u32) -> Option<&Entry> {
        self.entries.get(number as usize)
    }

    /// The entries with this anchor, of any kind.
    pub(super) fn with_anchor<'d>(&'d self, anchor: &'d str) -> impl Iterator<Item = &'d Entry> {
        let from = |at: usize, all: &'d [u32]| all.get(at..).unwrap_or_default().iter().copied();
        let users = self.users.partition_point(|&entry| self.anchor(entry) < anchor);
        let others = self.others.partition_point(|&entry| self.anchor(entry) < anchor);
        let groups = self.groups.partition_point(|group| self.anchor(group.entry) < anchor);
        let groups = self.groups.get(groups..).unwrap_or_default().iter().map(|group| group.entry);
        let same = move |entry: &u32| self.anchor(*entry) == anchor;
        from(users, &self.users)
            .take_while(same)
            .chain(groups.take_while(same))
            .chain(from(others, &self.others).take_while(same))
            .filter_map(|entry| self.entry(entry))
    }
}
