//! Policies by name.

use serde::{Deserialize, Serialize};

use super::{Deprovision, MemberRemovals, Options};
use crate::model::Period;

/// Sets of policies that go together. Everything that is not named here is as in [`Options::default`].
///
/// | | left scope: users | left scope: groups | deleted in source | disabled in source | members removed |
/// |---|---|---|---|---|---|
/// | [`AwsAdSync`](Self::AwsAdSync), the default | keep | keep | delete | deactivate | yes |
/// | [`AwsConfigurableSync`](Self::AwsConfigurableSync) | deactivate after 28 days | keep | delete | deactivate | yes |
/// | [`StrictOffboarding`](Self::StrictOffboarding) | deactivate | deactivate (emptied) | delete | deactivate | yes |
/// | [`Mirror`](Self::Mirror) | delete | delete | delete | deactivate | yes |
/// | [`Additive`](Self::Additive) | keep | keep | keep | deactivate | never |
///
/// Kept records are updated no more. Even `Additive` makes disabled accounts inactive: no policy stands above rule A5.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Preset {
    /// As the AD sync of AWS IAM Identity Center does.
    #[default]
    AwsAdSync,
    /// As its later, configurable AD sync: who left scope is inactive after 28 days.
    AwsConfigurableSync,
    /// Who left scope is made inactive at once.
    StrictOffboarding,
    /// The store holds who is entitled, and nobody else of ours.
    Mirror,
    /// No record and no membership is taken away; disabled accounts are made inactive, and values are kept in step.
    Additive,
}

impl Preset {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::AwsAdSync, Self::AwsConfigurableSync, Self::StrictOffboarding, Self::Mirror, Self::Additive];

    /// The options of this name.
    pub fn options(self) -> Options {
        let mut options = Options::default();
        match self {
            Self::AwsAdSync => {}
            Self::AwsConfigurableSync => {
                options.users.left_scope = Deprovision::Deactivate;
                options.users.grace.left_scope = Period::of_days(28);
            }
            Self::StrictOffboarding => {
                options.users.left_scope = Deprovision::Deactivate;
                options.groups.left_scope = Deprovision::Deactivate;
            }
            Self::Mirror => {
                options.users.left_scope = Deprovision::Delete;
                options.groups.left_scope = Deprovision::Delete;
            }
            Self::Additive => {
                options.users.deleted_in_source = Deprovision::Keep;
                options.groups.deleted_in_source = Deprovision::Keep;
                options.member_removals = MemberRemovals::Never;
            }
        }
        options
    }
}
