//! The data: a directory of yesterday, the store that a sync of yesterday left, and the directory of today.
//!
//! It is made once per scale, in a process of its own, and laid down in files. The contenders stream it from there, row
//! by row, so that neither holds an input that the other one does not.

mod change;
mod rng;
mod tape;
mod world;
mod write;

use std::io;
use std::path::{Path, PathBuf};

pub(crate) use tape::{GroupTape, UserTape, numbers};
pub(crate) use write::generate;

/// How much there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scale {
    pub(crate) name: &'static str,
    pub(crate) users: usize,
    pub(crate) groups: usize,
}

impl Scale {
    pub(crate) const ALL: [Self; 4] = [
        // Only to see that the benchmark works.
        Self { name: "T", users: 500, groups: 60 },
        Self { name: "S", users: 10_000, groups: 1_000 },
        Self { name: "M", users: 100_000, groups: 10_000 },
        Self { name: "L", users: 1_000_000, groups: 100_000 },
    ];

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scale| scale.name.eq_ignore_ascii_case(name))
    }
}

/// What is compared with what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    /// Today's directory with yesterday's store: about 1 % differs.
    Change,
    /// Today's directory with an empty store: everything is created.
    First,
    /// Yesterday's directory with yesterday's store: nothing is to be done.
    Same,
}

impl Case {
    pub(crate) const ALL: [Self; 3] = [Self::Change, Self::First, Self::Same];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Change => "change",
            Self::First => "first",
            Self::Same => "same",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|case| case.name() == name)
    }

    fn day(self) -> &'static str {
        if self == Self::Same { "yesterday" } else { "today" }
    }

    pub(crate) fn has_store(self) -> bool {
        self != Self::First
    }
}

/// Where the files of a case are.
pub(crate) struct Input<'f> {
    folder: &'f Path,
    case: Case,
}

impl<'f> Input<'f> {
    pub(crate) fn new(folder: &'f Path, case: Case) -> Self {
        Self { folder, case }
    }

    fn of_source(&self, what: &str) -> PathBuf {
        self.folder.join(format!("{what}-{}", self.case.day()))
    }

    pub(crate) fn users(&self) -> io::Result<UserTape> {
        UserTape::open(&self.of_source("users"), USER_ATTRIBUTES.len())
    }

    pub(crate) fn groups(&self) -> io::Result<GroupTape> {
        GroupTape::open(&self.of_source("groups"), GROUP_ATTRIBUTES.len())
    }

    pub(crate) fn assigned(&self) -> io::Result<Vec<u32>> {
        numbers(&self.of_source("assigned"))
    }

    pub(crate) fn stored_users(&self) -> io::Result<UserTape> {
        UserTape::open(&self.folder.join("store-users"), MAPPED)
    }

    pub(crate) fn stored_groups(&self) -> io::Result<GroupTape> {
        GroupTape::open(&self.folder.join("store-groups"), GROUP_ATTRIBUTES.len())
    }
}

/// Attributes of users in the directory, each with its name in the store. Those behind the mapped ones reach no store,
/// as in any directory.
pub(crate) const USER_ATTRIBUTES: [(&str, &str); 10] = [
    ("userPrincipalName", "userName"),
    ("givenName", "name.givenName"),
    ("sn", "name.familyName"),
    ("displayName", "displayName"),
    ("title", "title"),
    ("department", "department"),
    ("employeeID", "employeeNumber"),
    ("telephoneNumber", "phoneNumbers"),
    ("l", ""),
    ("distinguishedName", ""),
];

/// So many of a user's attributes are mapped.
pub(crate) const MAPPED: usize = 8;

/// Attributes of groups in the directory, each with its name in the store.
pub(crate) const GROUP_ATTRIBUTES: [(&str, &str); 2] =
    [("cn", "displayName"), ("description", "description")];

/// Set in a number that stands for a group.
pub(crate) const GROUP: u32 = 1 << 31;

/// An id as text, made from a number where it is needed: a table of them would be an input held in memory.
pub(crate) struct Guid([u8; 36]);

impl Guid {
    /// The id in the directory.
    pub(crate) fn anchor(number: u32) -> Self {
        Self::of(u64::from(number), 0x5A)
    }

    /// The id in the store.
    pub(crate) fn stored(number: u32) -> Self {
        Self::of(u64::from(number), 0xC3)
    }

    fn of(number: u64, salt: u64) -> Self {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let high = rng::mix(number | salt << 40);
        let low = rng::mix(high ^ salt);
        let mut text = [b'-'; 36];
        let mut place = 0;
        for byte in high.to_be_bytes().into_iter().chain(low.to_be_bytes()) {
            if matches!(place, 8 | 13 | 18 | 23) {
                place += 1;
            }
            text[place] = HEX[usize::from(byte >> 4)];
            text[place + 1] = HEX[usize::from(byte & 15)];
            place += 2;
        }
        Self(text)
    }

    pub(crate) fn as_str(&self) -> &str {
        // It is ASCII by its making; the check costs both sides the same.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}
