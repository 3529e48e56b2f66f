//! The engine under test: the honest one, or one that was sabotaged. A sabotaged engine is the honest one that is lied to or
//! that loses something on the way, which is the same as one that decides or writes wrongly; nothing of it is in the library.

use std::sync::Arc;

use identity_sync::memory::MemoryStore;
use identity_sync::{DirectorySource, IdentityStore, MemberRemovals, Nesting, Options, UnmanagedMembers};

use super::crooked::{Applier, Crooked};
use crate::common::live::LiveSource;
use crate::common::world::{AccountState, Existence, KindHint, World};

/// Plans and applies.
#[derive(Clone, Copy, Debug, Default)]
pub struct Engine {
    pub sabotage: Option<Sabotage>,
}

/// One mistake, made always.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    TakesPartialForComplete,
    LosesTheLastPage,
    MissesNesting,
    MissesCycles,
    ClearsWhatIsUnreadable,
    DeletesWithoutProof,
    IgnoresDisabled,
    TakesTheFirstOfTwoRows,
    DropsUnresolvedMembers,
    IgnoresTombstones,
    MergesByName,
    GuardsOffByOne,
    IgnoresProtection,
    NeverRemoves,
    IgnoresGrace,
    RemovesWhoIsNotOurs,
    TakesEmptyForFull,
    IgnoresIssuers,
    IgnoresVersions,
    BelievesSilence,
    ForgetsTheLastMember,
    SkipsDeactivations,
    CreatesBlindly,
    KeepsOnWithoutRights,
}

/// All of them, with the number of worlds after which each was first noticed, as recorded when it was written. A number that
/// grows tenfold says that the generator has become narrow.
pub const SABOTAGES: [(Sabotage, u64); 24] = [
    (Sabotage::TakesPartialForComplete, 6),
    (Sabotage::LosesTheLastPage, 4),
    (Sabotage::MissesNesting, 3),
    (Sabotage::MissesCycles, 3),
    (Sabotage::ClearsWhatIsUnreadable, 138),
    (Sabotage::DeletesWithoutProof, 3),
    (Sabotage::IgnoresDisabled, 6),
    (Sabotage::TakesTheFirstOfTwoRows, 23),
    (Sabotage::DropsUnresolvedMembers, 240),
    (Sabotage::IgnoresTombstones, 14),
    (Sabotage::MergesByName, 2),
    (Sabotage::GuardsOffByOne, 6),
    (Sabotage::IgnoresProtection, 32),
    (Sabotage::NeverRemoves, 3),
    (Sabotage::IgnoresGrace, 4),
    (Sabotage::RemovesWhoIsNotOurs, 2),
    (Sabotage::TakesEmptyForFull, 26),
    (Sabotage::IgnoresIssuers, 2),
    (Sabotage::IgnoresVersions, 1877),
    (Sabotage::BelievesSilence, 182),
    (Sabotage::ForgetsTheLastMember, 4),
    (Sabotage::SkipsDeactivations, 27),
    (Sabotage::CreatesBlindly, 526),
    (Sabotage::KeepsOnWithoutRights, 35),
];

impl Engine {
    pub fn is_sabotaged(self) -> bool {
        self.sabotage.is_some()
    }

    /// What it makes of the directory.
    pub fn source<'w>(self, world: &'w World) -> Arc<dyn DirectorySource + 'w> {
        match self.sabotage {
            None => Arc::new(LiveSource(world)),
            Some(sabotage) => Arc::new(misread(world.clone(), sabotage)),
        }
    }

    /// How it writes, and what it makes of the store.
    pub fn store<'s>(
        self,
        store: Arc<dyn IdentityStore + 's>,
        memory: &'s MemoryStore,
        world: &World,
    ) -> Arc<dyn IdentityStore + 's> {
        let applier = match self.sabotage {
            Some(Sabotage::IgnoresIssuers) => Applier::ReadsLinksAs(world.options.issuer.clone()),
            Some(Sabotage::IgnoresVersions) => Applier::SendsNoVersion,
            Some(Sabotage::BelievesSilence) => Applier::BelievesSilence,
            Some(Sabotage::ForgetsTheLastMember) => Applier::ForgetsTheLastMember,
            Some(Sabotage::SkipsDeactivations) => Applier::SkipsDeactivations,
            Some(Sabotage::CreatesBlindly) => Applier::LooksNothingUp,
            Some(Sabotage::KeepsOnWithoutRights) => Applier::HearsNoRefusal,
            _ => return store,
        };
        Arc::new(Crooked::new(store, memory, applier))
    }

    /// What it makes of the options.
    pub fn options(self, mut options: Options) -> Options {
        match self.sabotage {
            Some(Sabotage::MissesNesting) => options.nesting = Nesting::DirectOnly,
            Some(Sabotage::MergesByName) => {
                options.soft_match.users = ["userName".to_owned()].into();
                options.soft_match.groups = ["displayName".to_owned()].into();
            }
            Some(Sabotage::GuardsOffByOne) => {
                let guards = &mut options.guards;
                for limit in [
                    &mut guards.user_deletes,
                    &mut guards.deactivations,
                    &mut guards.group_deletes,
                    &mut guards.removals_in_all,
                    &mut guards.removals_per_group,
                    &mut guards.clears_per_attribute,
                    &mut guards.adoptions,
                ]
                .into_iter()
                .flatten()
                {
                    limit.floor += 1;
                    limit.count = limit.count.map(|count| count + 1);
                }
            }
            Some(Sabotage::IgnoresProtection) => options.protected = Default::default(),
            Some(Sabotage::NeverRemoves) => options.member_removals = MemberRemovals::Never,
            Some(Sabotage::IgnoresGrace) => options.users.grace = Default::default(),
            Some(Sabotage::RemovesWhoIsNotOurs) => options.unmanaged_members = UnmanagedMembers::Remove,
            Some(Sabotage::TakesEmptyForFull) => {
                options.allow_empty.users = true;
                options.allow_empty.groups = true;
                options.allow_empty.assignments = true;
            }
            _ => {}
        }
        options
    }
}

/// The directory as a sabotaged engine takes it.
fn misread(mut world: World, sabotage: Sabotage) -> OwnedSource {
    let source = &mut world.source;
    match sabotage {
        Sabotage::TakesPartialForComplete => {
            source.users_complete = true;
            source.groups_complete = true;
            source.groups.iter_mut().for_each(|group| group.members_complete = true);
        }
        Sabotage::LosesTheLastPage => {
            let last = source.users.len().saturating_sub(1) / 3 * 3;
            if last > 0 {
                source.users.truncate(last);
            }
        }
        Sabotage::MissesCycles => {
            // Follows no edge back to a group that it has seen before.
            let order: Vec<String> = source.groups.iter().map(|group| group.anchor.clone()).collect();
            for (at, group) in source.groups.iter_mut().enumerate() {
                group.members.retain(|member| match &member.target {
                    crate::common::world::MemberTarget::Anchor(anchor) => {
                        !order[..=at].contains(anchor) || member.hint == KindHint::User
                    }
                    crate::common::world::MemberTarget::Unresolved(_) => true,
                });
            }
        }
        Sabotage::ClearsWhatIsUnreadable => {
            source.users.iter_mut().for_each(|user| user.unreadable.clear());
            source.groups.iter_mut().for_each(|group| group.unreadable.clear());
        }
        Sabotage::DeletesWithoutProof => {
            source.has_existence = true;
            let links = world.store.users.iter().flat_map(|user| &user.external_ids);
            let links = links.chain(world.store.groups.iter().flat_map(|group| &group.external_ids));
            for (_, anchor) in links {
                let answer = source.existence.entry(anchor.clone()).or_insert(Existence::Gone);
                if *answer == Existence::Unknown {
                    *answer = Existence::Gone;
                }
            }
        }
        Sabotage::IgnoresDisabled => {
            source.users.iter_mut().for_each(|user| user.state = AccountState::Enabled);
        }
        Sabotage::TakesTheFirstOfTwoRows => {
            let mut seen = std::collections::BTreeSet::new();
            source.users.retain(|user| seen.insert(user.anchor.clone()));
            source.groups.retain(|group| seen.insert(group.anchor.clone()));
        }
        Sabotage::DropsUnresolvedMembers => {
            for group in &mut source.groups {
                group.members.retain(|member| {
                    !matches!(member.target, crate::common::world::MemberTarget::Unresolved(_))
                });
            }
        }
        Sabotage::IgnoresTombstones => source.tombstones.clear(),
        _ => {}
    }
    OwnedSource(world)
}

/// A directory that has its world to itself.
struct OwnedSource(World);

#[async_trait::async_trait]
impl DirectorySource for OwnedSource {
    fn identity(&self) -> identity_sync::SourceIdentity {
        LiveSource(&self.0).identity()
    }

    async fn generation(&self) -> Result<Option<identity_sync::Generation>, identity_sync::SourceError> {
        LiveSource(&self.0).generation().await
    }

    fn capabilities(&self) -> identity_sync::SourceCapabilities {
        LiveSource(&self.0).capabilities()
    }

    async fn read_users(
        &self,
        read: identity_sync::Read<'_>,
        page: &mut identity_sync::UserPage,
    ) -> Result<identity_sync::PageEnd, identity_sync::SourceError> {
        LiveSource(&self.0).read_users(read, page).await
    }

    async fn read_groups(
        &self,
        read: identity_sync::Read<'_>,
        page: &mut identity_sync::GroupPage,
    ) -> Result<identity_sync::PageEnd, identity_sync::SourceError> {
        LiveSource(&self.0).read_groups(read, page).await
    }

    async fn existence(
        &self,
        asked: &mut identity_sync::Asked<'_>,
    ) -> Result<(), identity_sync::SourceError> {
        LiveSource(&self.0).existence(asked).await
    }
}
