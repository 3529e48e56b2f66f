//! The identity store that is written to, the pages that it fills, and the writes that it answers.

mod capabilities;
mod page;
mod write;

use std::sync::Arc;

use async_trait::async_trait;

use crate::error::StoreError;
use crate::id::{ExternalId, StoreId};
use crate::page::{PageEnd, PageToken};

pub use capabilities::{
    Activation, Adoption, AttributeSchema, Concurrency, DeactivationMemory, Members, MembershipsOnDelete,
    StoreCapabilities,
};
pub(crate) use page::StoredRows;
pub use page::{MemberPage, StoredGroupPage, StoredGroupRow, StoredUserPage, StoredUserRow};
pub use write::{Change, Write, WriteBatch, WriteItem, Written};

/// An application's users, groups and memberships.
///
/// # Contract
///
/// * Reads page as those of a [`DirectorySource`](crate::DirectorySource) do. A read that is not complete makes no
///   plan (rule C5): what looks missing would be created twice.
/// * `read_users` and `read_groups` give *all* records, also those that others wrote: their names are conflicts.
/// * A record that is asked for by id, external id or unique value reads as it does among all: a write that waits for its
///   version, and a sign-in, go by that.
/// * A create never takes over a record that is there: one whose unique value another record holds is answered `AlreadyExists`.
/// * An external id, once written, is never changed by the engine (rule M1). Where the store can, it keeps
///   {issuer, value} unique over all records; then two creates at once leave one record (rule J4). Where it cannot, the host
///   must see to it that no sign-in runs beside a reconcile.
/// * [`write`](Self::write) performs the items of a batch in their order and answers each in its slot. An item
///   without an answer counts as *unknown*, never as failed.
/// * An item happens as a whole or, where it is answered with an error that is not transient, not at all; one that is refused
///   leaves the others of its batch alone.
/// * A store never gives an id a second time: assignments and memberships of somebody who left would pass to somebody new.
///
/// Whether a store keeps this contract, `testing::conformance::store` checks (feature `testing`).
#[async_trait]
pub trait IdentityStore: Send + Sync {
    /// What the store can do and demands.
    fn capabilities(&self) -> StoreCapabilities;

    /// Reads a page of users.
    ///
    /// # Errors
    ///
    /// Any error ends the read, and there is no plan.
    async fn read_users(
        &self,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
        page: &mut StoredUserPage,
    ) -> Result<PageEnd, StoreError>;

    /// Reads a page of groups; with their members where the capabilities say [`Members::WithGroups`].
    ///
    /// # Errors
    ///
    /// As [`read_users`](Self::read_users).
    async fn read_groups(
        &self,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
        page: &mut StoredGroupPage,
    ) -> Result<PageEnd, StoreError>;

    /// Reads a page of the members of one group; called where the capabilities say [`Members::PerGroup`].
    ///
    /// # Errors
    ///
    /// As [`read_users`](Self::read_users).
    async fn read_members(
        &self,
        group: &StoreId,
        at: Option<&PageToken>,
        page: &mut MemberPage,
    ) -> Result<PageEnd, StoreError> {
        let _ = (group, at, page);
        Err(StoreError::new(crate::ErrorKind::Unsupported, "this store does not list members per group"))
    }

    /// Performs a batch: each item in its order, each answer into its slot. Creates that stand side by side may overlap, as long as the
    /// first one gets what two of them want.
    ///
    /// # Errors
    ///
    /// `Err` stands for every item that has no answer yet; answers already given keep their meaning. That a record is gone
    /// is answered in its slot: `NotFound` for a whole call says nothing about any one record.
    async fn write(&self, batch: &mut WriteBatch<'_>) -> Result<(), StoreError>;
}

/// Which records a store read is about.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum StoreSelect<'a> {
    /// All of them.
    All,
    /// Those with these ids.
    Ids(&'a [StoreId]),
    /// Those that carry one of these external ids.
    ExternalIds(&'a [ExternalId]),
    /// Those whose unique attribute has this value, by the attribute's match rule.
    UniqueValue {
        /// The attribute.
        attribute: &'a str,
        /// The value, not yet folded.
        value: &'a str,
    },
}

macro_rules! forward_store {
    ([$($generics:tt)*] $target:ty) => {
        // A forwarding impl that lacks a method would silently answer with its default.
        #[deny(clippy::missing_trait_methods)]
        #[async_trait]
        impl<$($generics)*> IdentityStore for $target {
            fn capabilities(&self) -> StoreCapabilities {
                (**self).capabilities()
            }
            async fn read_users(
                &self,
                select: StoreSelect<'_>,
                at: Option<&PageToken>,
                page: &mut StoredUserPage,
            ) -> Result<PageEnd, StoreError> {
                (**self).read_users(select, at, page).await
            }
            async fn read_groups(
                &self,
                select: StoreSelect<'_>,
                at: Option<&PageToken>,
                page: &mut StoredGroupPage,
            ) -> Result<PageEnd, StoreError> {
                (**self).read_groups(select, at, page).await
            }
            async fn read_members(
                &self,
                group: &StoreId,
                at: Option<&PageToken>,
                page: &mut MemberPage,
            ) -> Result<PageEnd, StoreError> {
                (**self).read_members(group, at, page).await
            }
            async fn write(&self, batch: &mut WriteBatch<'_>) -> Result<(), StoreError> {
                (**self).write(batch).await
            }
        }
    };
}
forward_store!([T: IdentityStore + ?Sized] &T);
forward_store!([T: IdentityStore + ?Sized] Box<T>);
forward_store!([T: IdentityStore + ?Sized] Arc<T>);
#[cfg(feature = "testing")]
pub(crate) use forward_store;
