//! What the host decides: policies, guards, exceptions by name. Plain data, readable from a config file.

use indexmap::IndexSet;
use serde::{Deserialize, Serialize};

use crate::id::{Issuer, SourceAnchor, StoreId};
use crate::limits::Limits;
use crate::mapping::AttributeMap;

/// Everything that a host may decide. The defaults are those of AWS IAM Identity Center's AD sync.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Options {
    /// The issuer of our external ids (rule M7); `None`: the source's identity. Choose it once and never change it.
    pub issuer: Option<Issuer>,
    /// Attributes of users (rule A1).
    pub user_map: AttributeMap,
    /// Attributes of groups (rule A1).
    pub group_map: AttributeMap,
    /// Whether nested groups count (rule E8).
    pub nesting: Nesting,
    /// What happens to users that are not wanted any more (rule D1).
    pub users: UserPolicy,
    /// What happens to groups that are not wanted any more (rule D1).
    pub groups: GroupPolicy,
    /// Members that somebody else put into our groups (rule D6).
    pub unmanaged_members: UnmanagedMembers,
    /// Whether absence from a complete read proves deletion where the source cannot be asked (rule C3).
    pub absence_is_proof: bool,
    /// Which empty reads are meant to be empty (rule C4).
    pub allow_empty: AllowEmpty,
    /// Records that appear in no operation (rule M8).
    pub protected: Protected,
    /// Members that hide nobody (rule E9).
    pub leaves: Leaves,
    /// How much may be taken away in one run (rule D4).
    pub guards: Guards,
    /// Groups that may gain members although the store cannot list any, by anchor; for this run (rule C5).
    pub add_members_to: IndexSet<SourceAnchor>,
    /// Bounds on what is taken in (rule S1).
    pub limits: Limits,
    /// How much is planned at all.
    pub extent: Extent,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            issuer: None,
            user_map: AttributeMap::active_directory_users(),
            group_map: AttributeMap::active_directory_groups(),
            nesting: Nesting::default(),
            users: UserPolicy::default(),
            groups: GroupPolicy::default(),
            unmanaged_members: UnmanagedMembers::default(),
            absence_is_proof: false,
            allow_empty: AllowEmpty::default(),
            protected: Protected::default(),
            leaves: Leaves::default(),
            guards: Guards::default(),
            add_members_to: IndexSet::new(),
            limits: Limits::default(),
            extent: Extent::default(),
        }
    }
}

impl Options {
    /// The defaults, with this issuer.
    pub fn for_issuer(issuer: impl Into<Issuer>) -> Self {
        Self { issuer: Some(issuer.into()), ..Self::default() }
    }
}

/// Whether groups within groups count (rule E8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Nesting {
    /// All of them, at any depth; each nested group is entitled too.
    #[default]
    Flatten,
    /// Only direct members count, and a group is entitled only if it is assigned itself.
    DirectOnly,
}

/// How much is planned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Extent {
    /// Everything.
    #[default]
    Full,
    /// Only removals that need no flattening: deactivations of disabled or deleted accounts and proven deletions. It
    /// can be had where a full plan is refused for its size or for an empty read (rules C4, S1).
    ProvenRemovals,
}

/// What happens to a record that is not wanted any more, from the mildest to the strictest (rule D1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deprovision {
    /// It stays, and is updated no more.
    Keep,
    /// It stays and is made inactive; a group loses its managed members.
    Deactivate,
    /// It is deleted.
    Delete,
}

/// Rule D1 for users, by cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UserPolicy {
    /// Proven deleted in the source. Default: delete.
    pub deleted_in_source: Deprovision,
    /// Not entitled any more. Default: keep.
    pub left_scope: Deprovision,
    /// The source account is disabled. Default: deactivate; `keep` is not possible (rule A5).
    pub disabled_in_source: Deprovision,
}

impl Default for UserPolicy {
    fn default() -> Self {
        Self {
            deleted_in_source: Deprovision::Delete,
            left_scope: Deprovision::Keep,
            disabled_in_source: Deprovision::Deactivate,
        }
    }
}

/// Rule D1 for groups, by cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GroupPolicy {
    /// Proven deleted in the source. Default: delete.
    pub deleted_in_source: Deprovision,
    /// Not entitled any more. Default: keep.
    pub left_scope: Deprovision,
}

impl Default for GroupPolicy {
    fn default() -> Self {
        Self { deleted_in_source: Deprovision::Delete, left_scope: Deprovision::Keep }
    }
}

/// Members of our groups that are no records of ours (rule D6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnmanagedMembers {
    /// They are left alone.
    #[default]
    Keep,
    /// They are removed from entitled groups whose member list is complete.
    Remove,
}

/// Which reads may be empty although the store holds records of ours (rule C4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AllowEmpty {
    /// A directory without users.
    pub users: bool,
    /// A directory without groups.
    pub groups: bool,
    /// No assignment, or none that resolves.
    pub assignments: bool,
}

/// What appears in no operation, as object or as member (rule M8).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Protected {
    /// Records by store id, managed or not.
    pub ids: IndexSet<StoreId>,
    /// Managed records by anchor.
    pub anchors: IndexSet<SourceAnchor>,
    /// *Unmanaged* records by the value of a unique attribute. A name alone saves no managed record.
    pub names: IndexSet<String>,
}

/// Members that are declared to hide nobody: no group, or one whose members may be ignored (rule E9).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Leaves {
    /// By anchor.
    pub anchors: IndexSet<SourceAnchor>,
    /// By the text of an unresolved member.
    pub texts: IndexSet<String>,
    /// By the end of the DN of an unresolved member, in whole parts: `OU=Partners,DC=example,DC=com`. Parts are compared
    /// without regard to case and to spaces around `,` and `=`.
    pub dn_suffixes: IndexSet<String>,
}

/// How much one kind of change may take away in a run: allowed = max(floor, min(count, ⌊percent × base / 100⌋)) (rule D4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// At most so many, whatever the percentage says; none: only the percentage counts.
    #[serde(default)]
    pub count: Option<u64>,
    /// Percent of the base.
    pub percent: u64,
    /// So many are always allowed.
    #[serde(default)]
    pub floor: u64,
}

impl Limit {
    /// A limit.
    pub const fn new(count: Option<u64>, percent: u64, floor: u64) -> Self {
        Self { count, percent, floor }
    }

    /// How many are allowed of this base.
    pub fn allowed(&self, base: u64) -> u64 {
        let share = (u128::from(self.percent) * u128::from(base) / 100).min(u128::from(u64::MAX)) as u64;
        self.floor.max(self.count.map_or(share, |count| count.min(share)))
    }
}

/// What a tripped limit does (rule D5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnTrip {
    /// The operations of its kind are held, with what depends on them; the rest runs.
    #[default]
    Hold,
    /// Nothing runs.
    Abort,
}

/// The limits of rule D4; `None` switches one off. Defaults: the smaller of 500 and 20 % for deletes and
/// deactivations (floor 5), 20 % of all memberships, 50 % of one group's, 20 % cleared values (floor 10 each).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Guards {
    /// Deleted users, of all managed users.
    pub user_deletes: Option<Limit>,
    /// Users made inactive, of all active managed users.
    pub deactivations: Option<Limit>,
    /// Deleted groups, of all managed groups.
    pub group_deletes: Option<Limit>,
    /// Removed members in all, of all managed memberships.
    pub removals_in_all: Option<Limit>,
    /// Members removed from one group, of its managed members.
    pub removals_per_group: Option<Limit>,
    /// Records that lose their value of one attribute, of all managed records that have one.
    pub clears_per_attribute: Option<Limit>,
    /// Growth: created users, added members and reactivations together, of managed users and memberships. Off by default.
    pub grants: Option<Limit>,
    /// What a tripped limit does.
    pub on_trip: OnTrip,
}

impl Default for Guards {
    fn default() -> Self {
        let objects = Some(Limit::new(Some(500), 20, 5));
        Self {
            user_deletes: objects,
            deactivations: objects,
            group_deletes: objects,
            removals_in_all: Some(Limit::new(None, 20, 10)),
            removals_per_group: Some(Limit::new(None, 50, 10)),
            clears_per_attribute: Some(Limit::new(None, 20, 10)),
            grants: None,
            on_trip: OnTrip::Hold,
        }
    }
}

impl Guards {
    /// No limit at all: for tests, and for hosts that judge the plan themselves.
    pub fn off() -> Self {
        Self {
            user_deletes: None,
            deactivations: None,
            group_deletes: None,
            removals_in_all: None,
            removals_per_group: None,
            clears_per_attribute: None,
            grants: None,
            on_trip: OnTrip::Hold,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_allows_the_larger_of_floor_and_the_smaller_of_count_and_share() {
        // rule D4
        let limit = Limit::new(Some(500), 20, 5);
        assert_eq!([0, 25, 29, 30, 1_000, 10_000].map(|base| limit.allowed(base)), [5, 5, 5, 6, 200, 500]);
        assert_eq!(Limit::new(None, 100, 0).allowed(u64::MAX), u64::MAX);
    }

    #[test]
    fn options_are_read_from_a_file_with_defaults_for_the_rest() {
        let options: Options = toml::from_str(
            "issuer = 'corp'\n[users]\nleft_scope = 'deactivate'\n[guards]\nuser_deletes = { percent = 1 }\n",
        )
        .unwrap();
        assert_eq!(options.users.deleted_in_source, Deprovision::Delete);
        assert_eq!(options.guards.user_deletes, Some(Limit::new(None, 1, 0)));
        assert!(toml::from_str::<Options>("left_scope = 'keep'").is_err());
    }
}
