//! Policies: what counts, and what happens to records that are wanted no more.

use indexmap::IndexSet;
use serde::{Deserialize, Serialize};

use crate::model::Period;

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
    /// A quick pass between two full ones (rule I3): only adoptions, creates, added members and reactivations. Nothing is
    /// changed, and nothing is taken away.
    NewEntitlements,
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
    /// How long each cause must have lasted before the record is deleted or made inactive. Default: no time.
    pub grace: UserGrace,
}

impl Default for UserPolicy {
    fn default() -> Self {
        Self {
            deleted_in_source: Deprovision::Delete,
            left_scope: Deprovision::Keep,
            disabled_in_source: Deprovision::Deactivate,
            grace: UserGrace::default(),
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
    /// How long each cause must have lasted before the group is deleted or emptied. Default: no time.
    pub grace: GroupGrace,
}

impl Default for GroupPolicy {
    fn default() -> Self {
        Self {
            deleted_in_source: Deprovision::Delete,
            left_scope: Deprovision::Keep,
            grace: GroupGrace::default(),
        }
    }
}

/// Grace periods of users, by cause (rule D1). They delay only the delete or the deactivation of the record: memberships end
/// at once. They count from the run that saw the cause first, over the [`RunState`](crate::RunState) that the host keeps; an
/// identity that comes back within its period keeps its record. A period for deleted objects should be shorter than the
/// directory keeps their tombstones: once it can prove the deletion no more, the record is not deleted (rule C3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UserGrace {
    /// Proven deleted in the source.
    pub deleted_in_source: Period,
    /// Not entitled any more.
    pub left_scope: Period,
    /// The source account is disabled.
    pub disabled_in_source: Period,
}

/// Grace periods of groups, by cause (rule D1). Until then the group counts as kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GroupGrace {
    /// Proven deleted in the source.
    pub deleted_in_source: Period,
    /// Not entitled any more.
    pub left_scope: Period,
}

/// Whether members are taken out of groups at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberRemovals {
    /// They are, as the rules say.
    #[default]
    Planned,
    /// Never, but for those that a delete brings with it. Each group that should lose somebody is listed as blocked.
    Never,
}

/// Whom an entitled, enabled account makes active again (rule A7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reactivate {
    /// Whom this engine made inactive, where the store remembers that; everybody where it cannot.
    #[default]
    OwnOnly,
    /// Everybody, an administrator's lock or not.
    Always,
}

/// Which attributes let a record without any external id become ours (rule M3). A record is adopted only if it shares a value
/// of *every* named attribute with exactly one entitled object that has no record, is the only one that does, is
/// active, and is not protected.
///
/// Whoever may set such an attribute in the directory may take over a record: name only attributes that people cannot set for
/// themselves, and switch this off once the first load is done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SoftMatch {
    /// Target attributes of users; none: users are never adopted.
    pub users: IndexSet<String>,
    /// Target attributes of groups; none: groups are never adopted.
    pub groups: IndexSet<String>,
}

impl SoftMatch {
    /// The attributes for a kind.
    pub(crate) fn of(&self, kind: crate::Kind) -> &IndexSet<String> {
        match kind {
            crate::Kind::User => &self.users,
            crate::Kind::Group => &self.groups,
        }
    }
}
