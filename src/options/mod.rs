//! What the host decides: policies, guards, exceptions by name. Plain data, readable from a config file.

mod guards;
mod policy;
mod preset;

use indexmap::IndexSet;
use serde::{Deserialize, Serialize};

use crate::id::{Issuer, SourceAnchor, StoreId};
use crate::limits::Limits;
use crate::mapping::AttributeMap;

pub use guards::{Guards, Limit, OnTrip, Window};
pub use policy::{
    Deprovision, Extent, GroupGrace, GroupPolicy, MemberRemovals, Nesting, Reactivate, SoftMatch, UserGrace,
    UserPolicy,
};
pub use preset::Preset;

/// Everything that a host may decide. The defaults of the policies are those of AWS IAM Identity Center's AD sync.
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
    /// Whether members are taken out of groups at all.
    pub member_removals: MemberRemovals,
    /// Who made inactive is made active again (rule A7).
    pub reactivate: Reactivate,
    /// Records without a link that may become ours (rule M3); off by default.
    pub soft_match: SoftMatch,
    /// Whether a kept record gives up a name that is its own no more, once somebody else is entitled to it (rule M4). On by
    /// default.
    pub release_names: bool,
    /// Whether absence from a complete read proves deletion where the source cannot be asked (rule C3).
    pub absence_is_proof: bool,
    /// Which empty reads are meant to be empty (rule C4).
    pub allow_empty: AllowEmpty,
    /// Objects that must be visible: a read without them counts as partial (rule C6).
    pub canaries: Canaries,
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
            member_removals: MemberRemovals::default(),
            reactivate: Reactivate::default(),
            soft_match: SoftMatch::default(),
            release_names: true,
            absence_is_proof: false,
            allow_empty: AllowEmpty::default(),
            canaries: Canaries::default(),
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

/// Objects that must be visible, by anchor (rule C6). Name some that nobody will delete, in several places: where one of them
/// is not read, perhaps because the reading account lost a right, that read counts as partial, and absence from it proves
/// nothing. A member list that says for itself that it is complete is followed all the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Canaries {
    /// Users.
    pub users: IndexSet<SourceAnchor>,
    /// Groups.
    pub groups: IndexSet<SourceAnchor>,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_from_a_file_with_defaults_for_the_rest() {
        let options: Options = toml::from_str(
            "issuer = 'corp'\n[users]\nleft_scope = 'deactivate'\n[guards]\nuser_deletes = { percent = 1 }\n[users.grace]\nleft_scope = '28days'\n",
        )
        .unwrap();
        assert_eq!(options.users.deleted_in_source, Deprovision::Delete);
        assert_eq!(options.users.grace.left_scope, crate::Period::of_days(28));
        assert_eq!(options.guards.user_deletes, Some(Limit::new(None, 1, 0)));
        assert!(toml::from_str::<Options>("left_scope = 'keep'").is_err());
    }
}
