//! What a store can do and demands.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::id::MatchRule;

/// How the store tells who is in a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Members {
    /// In the rows of `read_groups`.
    #[default]
    WithGroups,
    /// By `read_members`, group by group.
    PerGroup,
    /// Not at all, and the adapter keeps no ledger (rule C5).
    Unlisted,
}

/// Whether a write can be made conditional on a record's version (rule P7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Concurrency {
    /// The store compares the version and answers `Conflict`. Each write to a record answers its new version. Who is in a group
    /// need not be part of the group's version: members are added and removed, never replaced.
    Conditional,
    /// The engine reads each record again just before it writes; between the two lies a window.
    #[default]
    ReadAgain,
}

/// What a store does with the memberships of a record that is deleted (rule D2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MembershipsOnDelete {
    /// They go with it.
    #[default]
    Cascade,
    /// They have to be removed first.
    RemoveFirst,
}

/// Whether a user can be made inactive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// It can.
    #[default]
    Supported,
    /// Every user is active; policies that deactivate are refused (rule X5).
    AlwaysActive,
}

/// Whether the store remembers who made a user inactive (rule A7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeactivationMemory {
    /// It does not: an entitled, enabled account is made active again, whoever made it inactive.
    #[default]
    Forgotten,
    /// It does, and says so in its rows; an administrator's lock stays. A write of this engine that makes a user inactive, or
    /// creates it inactive, is remembered as ours.
    Remembered,
}

/// Whether a record without a link can be given one (rule M3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Adoption {
    /// It cannot; options that ask for it are refused (rule X5).
    #[default]
    Unsupported,
    /// The store performs [`Write::Adopt`](super::Write::Adopt).
    Supported,
}

/// What the store demands of one attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct AttributeSchema {
    /// How two values compare (rules M2, A4). A store that folds or trims what it is given declares so here.
    pub matching: MatchRule,
    /// No two records of the kind may have the same value.
    pub unique: bool,
    /// Every record must have a value.
    pub required: bool,
    /// May have several values.
    pub multi_valued: bool,
    /// The store has no place for it. A map that names it does so for other stores: here it is neither compared nor written,
    /// and a plan says so ([`Diagnostic::NoPlace`](crate::Diagnostic::NoPlace)).
    pub absent: bool,
}

impl Default for AttributeSchema {
    fn default() -> Self {
        Self {
            matching: MatchRule::Exact,
            unique: false,
            required: false,
            multi_valued: false,
            absent: false,
        }
    }
}

impl AttributeSchema {
    /// Unique by this rule.
    pub fn unique(matching: MatchRule) -> Self {
        Self { matching, unique: true, ..Self::default() }
    }

    /// May have several values.
    pub fn multi_valued() -> Self {
        Self { multi_valued: true, ..Self::default() }
    }

    /// The store has no place for it.
    pub fn absent() -> Self {
        Self { absent: true, ..Self::default() }
    }

    /// Every record must have a value.
    #[must_use]
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// Compared by this rule.
    #[must_use]
    pub fn matching(mut self, matching: MatchRule) -> Self {
        self.matching = matching;
        self
    }
}

/// What a store can do and demands. Attributes that it does not name are single-valued, optional and compared exactly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct StoreCapabilities {
    /// Which store this is; a plan made for one is refused by another (rule P7).
    pub identity: String,
    /// Attributes of users.
    pub users: IndexMap<String, AttributeSchema>,
    /// Attributes of groups.
    pub groups: IndexMap<String, AttributeSchema>,
    /// How members are listed.
    pub members: Members,
    /// Whether writes are conditional.
    pub concurrency: Concurrency,
    /// What a delete does to memberships.
    pub memberships_on_delete: MembershipsOnDelete,
    /// Whether users can be made inactive.
    pub activation: Activation,
    /// Whether it is remembered who made a user inactive.
    pub deactivation: DeactivationMemory,
    /// Whether a record without a link can be given one.
    pub adoption: Adoption,
    /// Most items in one batch; at least 1.
    pub batch: usize,
    /// Most members in one item that adds or removes members; at least 1.
    pub members_per_write: usize,
}

impl Default for StoreCapabilities {
    /// `userName` (users) and `displayName` (groups) unique and required, `emails` multi-valued; batches of 100.
    fn default() -> Self {
        let name = AttributeSchema::unique(MatchRule::NfkcCasefold).required();
        Self {
            identity: String::new(),
            users: IndexMap::from([
                ("userName".to_owned(), name),
                ("emails".to_owned(), AttributeSchema::multi_valued()),
            ]),
            groups: IndexMap::from([("displayName".to_owned(), name)]),
            members: Members::default(),
            concurrency: Concurrency::default(),
            memberships_on_delete: MembershipsOnDelete::default(),
            activation: Activation::default(),
            deactivation: DeactivationMemory::default(),
            adoption: Adoption::default(),
            batch: 100,
            members_per_write: 100,
        }
    }
}

impl StoreCapabilities {
    /// The defaults, for the store of this name.
    pub fn named(identity: impl Into<String>) -> Self {
        Self { identity: identity.into(), ..Self::default() }
    }

    /// What the store demands of an attribute.
    pub fn schema(&self, kind: crate::Kind, attribute: &str) -> AttributeSchema {
        let known = match kind {
            crate::Kind::User => &self.users,
            crate::Kind::Group => &self.groups,
        };
        known.get(attribute).copied().unwrap_or_default()
    }
}
