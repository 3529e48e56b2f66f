//! A directory as an LDIF export: content records (RFC 2849), as `ldapsearch` and `ldifde` write them.
//!
//! ```
//! use identity_sync::adapter::ldif::{LdifOptions, LdifSource};
//! use identity_sync::{DirectorySource, PageEnd, Read, UserPage};
//!
//! let export = "\
//! dn: CN=Ada Vogel,OU=People,DC=corp,DC=example,DC=com
//! objectClass: user
//! objectGUID:: AXwP1uIjKEqP2wQAtqs/Qg==
//! userAccountControl: 512
//! mail: ada@corp.example.com
//!
//! dn: CN=staff,OU=Groups,DC=corp,DC=example,DC=com
//! objectClass: group
//! objectGUID:: AtywBsDK/U66BX/eZBJ3gQ==
//! member: cn=ada vogel, ou=people, dc=corp, dc=example, dc=com
//! ";
//! let source = LdifSource::parse(export, &LdifOptions::new())?;
//! assert_eq!(source.identity().as_str(), "corp.example.com");
//! assert_eq!((source.summary().users, source.summary().groups), (1, 1));
//!
//! let mut page = UserPage::default();
//! assert_eq!(pollster::block_on(source.read_users(Read::ALL, &mut page))?, PageEnd::COMPLETE);
//! let (anchor, _, attributes) = page.users().next().ok_or("no user")?;
//! assert_eq!(anchor, "d60f7c01-23e2-4a28-8fdb-0400b6ab3f42");
//! assert_eq!(attributes.get("mail"), Some("ada@corp.example.com"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What becomes of an entry
//!
//! * **User**: `user`, `person`, `inetOrgPerson`, `posixAccount`. **Group**: `group`, `groupOfNames`,
//!   `groupOfUniqueNames`, `groupOfMembers`, `posixGroup`. Computers, managed service accounts and contacts are neither,
//!   whatever else their classes say. What is neither is skipped and counted in [`LdifSummary`]; as a member it is of
//!   kind *other* (rule E9).
//! * **Anchor**: `objectGUID` as lower-case text in the byte order of AD, or `entryUUID`, or what
//!   [`LdifOptions::anchor`] names. A user or group without one makes its read partial.
//! * **State**: `userAccountControl` and `accountExpires` (rule A5). An export without `userAccountControl` and
//!   `objectGUID` comes from a directory without that notion; the ways in which other servers lock accounts
//!   (`nsAccountLock`, `pwdAccountLockedTime`, `shadowExpire`) are not understood.
//! * **Tombstone**: `isDeleted: TRUE`. It proves that the object is gone (rule C3); nothing else in an export does.
//! * **Version**: `uSNChanged`. It compares only within one domain controller: do not join exports of several.
//! * **Attributes**: everything that is text, spelled as AD spells it (`givenName`), options such as `;lang-en` kept.
//!   Left out: member lists and their back links, `objectClass`, photos, certificates, passwords. A value that is no
//!   UTF-8, or an attribute cut short by `;range=`, makes the attribute unreadable (rule A2).
//!
//! # Members
//!
//! `member` and `uniqueMember` are compared with the entries by the rules of RFC 4514, not as strings; `memberUid` by
//! `uid`. One that leads to no entry is unresolved, and foreign where it is below the domain's
//! `CN=ForeignSecurityPrincipals`. Two entries with one DN make members of that name unresolved.
//!
//! The user's `primaryGroupID` adds it to the group with that RID in the domain of its `objectSid` (rule E10). Where
//! the export shows the attribute for some users and not for others, the lists of all primary groups count as cut
//! short. Where the primary group itself is not in the export there is nothing to add to: see
//! [`LdifSummary::primary_groups_missing`].
//!
//! # What makes a read or a list partial (rule C1)
//!
//! The whole: [`LdifOptions::partial`]; a search that ended with a code other than 0, or whose result or last page is
//! missing; text without a line end at its end (the entry it ends in is not used); an entry without `objectClass`; no
//! entry at all. A list: `;range=` without the rest; a member that is no text; no member in any group
//! ([`LdifOptions::empty_groups`]).
//!
//! Text cut exactly between two lines of an entry cannot be told from a whole one: export to a temporary file and
//! rename it.
//!
//! # Errors
//!
//! Text that is no LDIF, change records other than `add` (which `ldifde` writes) and values from a URL are refused with
//! the line number. Reading never fails after that.

mod build;
mod directory;
mod encoding;
mod error;
mod link;
mod options;
mod parse;
#[cfg(test)]
mod tests;

use std::fmt;
use std::num::NonZeroUsize;
use std::path::Path;

use async_trait::async_trait;

use self::directory::{Directory, Group, Member};
pub use self::error::LdifError;
pub use self::options::{LdifOptions, LdifSkipped, LdifSummary};
use crate::error::{ErrorKind, SourceError};
use crate::id::Issuer;
use crate::model::{Existence, MemberKind};
use crate::page::{PageEnd, PageToken};
use crate::source::{
    Asked, DirectorySource, GroupPage, Read, Select, SourceCapabilities, SourceIdentity, UserPage,
};

/// Rows on a page.
const ROWS: usize = 1_000;
/// Members on a page; a longer list goes on over pages.
const MEMBERS: usize = 10_000;
/// Bytes of attributes after which a page is full.
const BYTES: usize = 4 << 20;
/// Most anchors in one read; each costs a binary search.
const SELECT: NonZeroUsize = NonZeroUsize::MIN.saturating_add(9_999);

/// An LDIF export, read and linked. All of it is in memory; reading pages from it never fails.
///
/// See the [module](self) for what it understands.
pub struct LdifSource {
    identity: SourceIdentity,
    directory: Directory,
}

impl LdifSource {
    /// Reads an export from its text: UTF-8, or UTF-16 with a byte order mark.
    ///
    /// Time is linear in the length of the text, but for sorting the entries by anchor.
    ///
    /// # Errors
    ///
    /// Text that is no LDIF of content records, with the line number.
    pub fn parse(text: impl AsRef<[u8]>, options: &LdifOptions) -> Result<Self, LdifError> {
        let directory = Directory::read(text.as_ref(), options)?;
        let identity = options.identity.clone().unwrap_or_else(|| identity_of(&directory.domain));
        Ok(Self { identity, directory })
    }

    /// Reads an export from a file.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, and what [`parse`](Self::parse) refuses.
    pub fn open(path: impl AsRef<Path>, options: &LdifOptions) -> Result<Self, LdifError> {
        let text = std::fs::read(path).map_err(LdifError::file)?;
        Self::parse(text, options)
    }

    /// What was found, and what was skipped.
    pub fn summary(&self) -> &LdifSummary {
        &self.directory.summary
    }

    fn last(&self) -> PageEnd {
        self.directory.partial.as_ref().map_or(PageEnd::COMPLETE, PageEnd::partial)
    }

    /// The number of the next wanted row at or after `row`, in rows sorted by anchor.
    fn next_wanted(&self, select: Select<'_>, rows: &impl Rows, mut row: usize) -> Option<usize> {
        let anchor = |row| rows.entry(row).map(|entry| self.directory.anchor(entry));
        let Select::Anchors(wanted) = select else { return anchor(row).map(|_| row) };
        let mut wanted = {
            let here = anchor(row)?;
            wanted.get(wanted.partition_point(|w| w.as_str() < here)..)?.iter()
        };
        // Each turn takes one wanted anchor.
        loop {
            let want = wanted.next()?.as_str();
            row = rows.first_at_or_after(row, |entry| self.directory.anchor(entry) < want);
            if anchor(row)? == want {
                return Some(row);
            }
        }
    }

    fn add_user(&self, entry: u32, page: &mut UserPage) -> usize {
        let anchor = self.directory.anchor(entry);
        let Some(data) = self.directory.entry(entry) else { return 0 };
        if data.deleted {
            page.tombstone(anchor);
            return 0;
        }
        let mut row = page.user(anchor);
        row.state(data.state);
        if let Some(version) = data.version {
            row.version(version);
        }
        let mut bytes = 0;
        for (name, value) in self.directory.cells.iter(data.cells.clone()) {
            let name = self.directory.names.spelling(name);
            match value {
                Some(value) => row.attribute(name, value),
                None => row.unreadable(name),
            };
            bytes += value.map_or(0, str::len);
        }
        if data.cut {
            row.withdraw();
        }
        bytes
    }

    /// Adds a group with as many members as there is room for, from a place in its list. Answers the bytes of its
    /// attributes and the place after the last member given.
    fn add_group(&self, group: &Group, from: usize, room: usize, page: &mut GroupPage) -> (usize, usize) {
        let anchor = self.directory.anchor(group.entry);
        let Some(data) = self.directory.entry(group.entry) else { return (0, group.members.end) };
        if data.deleted {
            page.tombstone(anchor);
            return (0, group.members.end);
        }
        let mut row = page.group(anchor);
        let mut bytes = 0;
        if let Some(version) = data.version {
            row.version(version);
        }
        // A group that goes on from an earlier page has given its attributes there.
        if from == group.members.start {
            for (name, value) in self.directory.cells.iter(data.cells.clone()) {
                let name = self.directory.names.spelling(name);
                match value {
                    Some(value) => row.attribute(name, value),
                    None => row.unreadable(name),
                };
                bytes += value.map_or(0, str::len);
            }
        }
        let end = from.saturating_add(room).min(group.members.end);
        for member in self.directory.members.get(from..end).unwrap_or_default() {
            match *member {
                Member::Entry(entry) => {
                    let kind =
                        self.directory.entry(entry).map_or(MemberKind::Unknown, |e| e.class.member_kind());
                    row.member_of_kind(self.directory.anchor(entry), kind);
                }
                Member::Text(number) => {
                    let kind =
                        self.directory.unresolved_kinds.get(number as usize).copied().unwrap_or_default();
                    row.unresolved(self.directory.unresolved.at(number as usize), kind);
                }
            }
        }
        if end == group.members.end {
            if group.list_cut {
                row.members_partial();
            } else {
                row.members_complete();
            }
        }
        if data.cut {
            row.withdraw();
        }
        (bytes, end)
    }
}

#[async_trait]
impl DirectorySource for LdifSource {
    fn identity(&self) -> SourceIdentity {
        self.identity.clone()
    }

    fn capabilities(&self) -> SourceCapabilities {
        let can = SourceCapabilities::default().with_select(SELECT).with_existence();
        if self.directory.has_state { can } else { can.without_account_state() }
    }

    async fn read_users(&self, read: Read<'_>, page: &mut UserPage) -> Result<PageEnd, SourceError> {
        let rows = &self.directory.users;
        let (mut bytes, mut count) = (0, 0);
        let mut at = Place::of(read.at)?.row;
        while let Some(row) = self.next_wanted(read.select, rows, at) {
            if count >= ROWS || bytes >= BYTES {
                return Ok(PageEnd::More(Place { row, member: 0 }.token()));
            }
            let Some(entry) = rows.entry(row) else { break };
            bytes += self.add_user(entry, page);
            count += 1;
            at = row + 1;
        }
        for _ in 0..self.directory.summary.unidentified_users {
            page.unidentified();
        }
        Ok(self.last())
    }

    async fn read_groups(&self, read: Read<'_>, page: &mut GroupPage) -> Result<PageEnd, SourceError> {
        let rows = &self.directory.groups;
        let (mut bytes, mut count, mut members) = (0, 0, 0);
        let mut at = Place::of(read.at)?;
        while let Some(row) = self.next_wanted(read.select, rows, at.row) {
            let Some(group) = rows.get(row) else { break };
            let done = if row == at.row { at.member } else { 0 };
            if count >= ROWS || bytes >= BYTES || members >= MEMBERS {
                return Ok(PageEnd::More(Place { row, member: done }.token()));
            }
            let from = group.members.start.saturating_add(done);
            let (more, end) = self.add_group(group, from, MEMBERS - members, page);
            bytes += more;
            count += 1;
            members += end.saturating_sub(from);
            at = if end < group.members.end {
                Place { row, member: end.saturating_sub(group.members.start) }
            } else {
                Place { row: row + 1, member: 0 }
            };
        }
        for _ in 0..self.directory.summary.unidentified_groups {
            page.unidentified();
        }
        Ok(self.last())
    }

    /// A tombstone is proof; an object that is there exists; about what is not in the export nothing is known
    /// (rule C3).
    async fn existence(&self, asked: &mut Asked<'_>) -> Result<(), SourceError> {
        for (anchor, answer) in asked.iter_mut() {
            for entry in self.directory.with_anchor(anchor.as_str()) {
                *answer = match (*answer, entry.deleted) {
                    // Alive beats its own tombstone (rule M5).
                    (Existence::Unknown, true) => Existence::Gone,
                    (before, true) => before,
                    (Existence::Exists { kind }, false) if kind != entry.class.member_kind() => {
                        Existence::Exists { kind: MemberKind::Unknown }
                    }
                    (_, false) => Existence::Exists { kind: entry.class.member_kind() },
                };
            }
        }
        Ok(())
    }
}

impl fmt::Debug for LdifSource {
    /// Counts only: what stands in an export is not for a log (rule S2).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LdifSource")
            .field("identity", &self.identity)
            .field("summary", self.summary())
            .finish_non_exhaustive()
    }
}

/// `dc=corp,dc=example` to `corp.example`.
fn identity_of(domain: &str) -> Issuer {
    let labels: Vec<&str> = domain.split(',').map(|rdn| rdn.strip_prefix("dc=").unwrap_or(rdn)).collect();
    if domain.is_empty() { Issuer::from("ldif") } else { Issuer::from(labels.join(".")) }
}

/// Rows sorted by anchor.
trait Rows {
    fn entry(&self, row: usize) -> Option<u32>;
    /// The first row from `row` on for which `before` does not hold.
    fn first_at_or_after(&self, row: usize, before: impl Fn(u32) -> bool) -> usize;
}

impl Rows for Vec<u32> {
    fn entry(&self, row: usize) -> Option<u32> {
        self.get(row).copied()
    }

    fn first_at_or_after(&self, row: usize, before: impl Fn(u32) -> bool) -> usize {
        row + self.get(row..).unwrap_or_default().partition_point(|entry| before(*entry))
    }
}

impl Rows for Vec<Group> {
    fn entry(&self, row: usize) -> Option<u32> {
        self.get(row).map(|group| group.entry)
    }

    fn first_at_or_after(&self, row: usize, before: impl Fn(u32) -> bool) -> usize {
        row + self.get(row..).unwrap_or_default().partition_point(|group| before(group.entry))
    }
}

/// Where a read goes on. Rows never change after they were sorted, so that a number stands for "after this anchor".
#[derive(Clone, Copy, Default)]
struct Place {
    row: usize,
    /// Members of that row's group that were given before.
    member: usize,
}

impl Place {
    fn of(token: Option<&PageToken>) -> Result<Self, SourceError> {
        let Some(token) = token else { return Ok(Self::default()) };
        let unknown = || SourceError::new(ErrorKind::Invalid, "the page token is not from this source");
        let (row, member) = token.as_text().and_then(|text| text.split_once(' ')).ok_or_else(unknown)?;
        Ok(Self { row: row.parse().map_err(|_| unknown())?, member: member.parse().map_err(|_| unknown())? })
    }

    fn token(self) -> PageToken {
        PageToken::new(format!("{} {}", self.row, self.member).into_bytes())
    }
}
