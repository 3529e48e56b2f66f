//! The words that both sides share: kinds, states, completeness, principals.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::escape::Escaped;
use crate::id::{ExternalId, StoreId};

/// A user or a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A person or service account.
    User,
    /// A group of users and groups.
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

/// What a member entry is known to be (rule E9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MemberKind {
    /// A user of this source.
    User,
    /// A group of this source.
    Group,
    /// No principal: a contact, a computer. It counts for nothing.
    Other,
    /// An object that lives outside this source (AD: under `CN=ForeignSecurityPrincipals`).
    Foreign,
    /// The source did not say.
    #[default]
    Unknown,
}

/// Whether the source lets this account sign in (rule A5). It is no attribute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountState {
    /// May sign in.
    Enabled,
    /// May not: AD `ACCOUNTDISABLE`, or `accountExpires` has passed.
    Disabled,
    /// The source has the notion and could not read it for this account.
    #[default]
    Unknown,
}

/// How a user came into the store (rule J2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Written by a reconcile.
    Synced,
    /// Written by a sign-in, and not entitled since.
    Jit,
}

/// Whether a read saw everything that it asked for (rule C1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Completeness {
    /// All of it: absence may mean something.
    Complete,
    /// Some of it: what was read is true, what was not read is unknown.
    Partial {
        /// Why, in words for a person.
        reason: String,
    },
}

impl Completeness {
    /// Partial, for this reason.
    pub fn partial(reason: impl Into<String>) -> Self {
        Self::Partial { reason: reason.into() }
    }

    /// Whether absence from this read may mean something.
    pub fn is_complete(&self) -> bool {
        matches!(self, Self::Complete)
    }
}

impl fmt::Display for Completeness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Complete => f.write_str("complete"),
            Self::Partial { reason } => write!(f, "partial: {}", Escaped(reason)),
        }
    }
}

/// What the source answers when it is asked about one anchor (rule C3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Existence {
    /// Proven deleted: a tombstone was seen, or the source has shown that it would see the object or its tombstone.
    Gone,
    /// No answer, or an empty one. Proves nothing.
    #[default]
    Unknown,
    /// It is there, though a read did not give it.
    Exists {
        /// What it is.
        kind: MemberKind,
    },
}

/// Whom an assignment names (rule E11).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Principal {
    /// By the id in a directory.
    External(ExternalId),
    /// By the id in the store; resolved through our link.
    Stored(StoreId),
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::External(id) => id.fmt(f),
            Self::Stored(id) => write!(f, "store id {id}"),
        }
    }
}

/// A moment, in seconds since 1970-01-01T00:00:00Z. It always comes from the host: the core reads no clock (rule S3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// This moment and so much more; never beyond what can be told.
    #[must_use]
    pub fn after(self, period: Period) -> Self {
        Self(self.0.saturating_add_unsigned(period.seconds()))
    }

    /// Seconds since an earlier moment; 0 where that lies ahead.
    pub fn since(self, earlier: Self) -> u64 {
        if self > earlier { self.0.abs_diff(earlier.0) } else { 0 }
    }
}

/// A length of time in whole seconds. In a file it is a number of seconds, or a text such as `28days` or `2h 30min`; it is
/// written as a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Period(u64);

impl Period {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// So many seconds.
    pub const fn of_seconds(seconds: u64) -> Self {
        Self(seconds)
    }

    /// So many hours.
    pub const fn of_hours(hours: u64) -> Self {
        Self(hours.saturating_mul(3_600))
    }

    /// So many days of 24 hours.
    pub const fn of_days(days: u64) -> Self {
        Self(days.saturating_mul(86_400))
    }

    /// In seconds.
    pub const fn seconds(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(std::time::Duration::from_secs(self.0)).fmt(f)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Seconds(u64),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Seconds(seconds) => Ok(Self(seconds)),
            Written::Text(text) => {
                let parsed = humantime::parse_duration(&text).map_err(serde::de::Error::custom)?;
                Ok(Self(parsed.as_secs()))
            }
        }
    }
}

/// Who made a record inactive, where the store remembers it (rule A7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeactivatedBy {
    /// A write of this engine.
    Sync,
    /// Somebody else: an administrator's lock.
    Other,
}
