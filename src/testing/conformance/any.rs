//! Builders and adapters of any type behind one, so that a suite is compiled once and not for each of a host's builders.

use std::ops::Deref;

use async_trait::async_trait;

use super::super::directory::{Directory, Vocabulary};
use super::builder::{AssignmentBuilder, BuildError, SourceBuilder, StoreBuilder, Unmanaged};
use crate::assignment::{AssignmentPage, AssignmentSet, forward_assignments};
use crate::error::{AssignmentError, SourceError, StoreError};
use crate::id::StoreId;
use crate::model::{Kind, Principal};
use crate::page::{PageEnd, PageToken};
use crate::source::{
    Asked, DirectorySource, Generation, GroupPage, Read, SourceCapabilities, SourceIdentity, UserPage,
    forward_source,
};
use crate::store::{
    IdentityStore, MemberPage, StoreCapabilities, StoreSelect, StoredGroupPage, StoredUserPage, WriteBatch,
    forward_store,
};

/// Who makes the stores of a suite.
pub(super) type Stores<'b> = &'b (dyn StoreBuilder<Store = AnyStore<'b>> + 'b);
/// Who makes the sources of a suite.
pub(super) type Sources<'b> = &'b (dyn SourceBuilder<Source = AnySource<'b>> + 'b);
/// Who makes the assignment sets of a suite.
pub(super) type Sets<'b> = &'b (dyn AssignmentBuilder<Set = AnySet<'b>> + 'b);

/// A store of any type, with the builder that knows more of it than its trait says.
pub(super) type AnyStore<'b> = Box<dyn BuiltStore<'b> + 'b>;
/// A source of any type, with its builder.
pub(super) type AnySource<'b> = Box<dyn BuiltSource<'b> + 'b>;
/// An assignment set of any type, with its builder.
pub(super) type AnySet<'b> = Box<dyn BuiltSet<'b> + 'b>;

/// A builder whose adapters come out as [`AnyStore`], [`AnySource`] or [`AnySet`].
pub(super) struct Any<'b, B>(pub(super) &'b B);

/// An adapter, and who built it.
struct Built<'b, B, A> {
    builder: &'b B,
    adapter: A,
}

impl<B, A> Deref for Built<'_, B, A> {
    type Target = A;

    fn deref(&self) -> &A {
        &self.adapter
    }
}

forward_store!(['b, B: Send + Sync, A: IdentityStore] Built<'b, B, A>);
forward_source!(['b, B: Send + Sync, A: DirectorySource] Built<'b, B, A>);
forward_assignments!(['b, B: Send + Sync, A: AssignmentSet] Built<'b, B, A>);

#[async_trait]
pub(super) trait BuiltStore<'b>: IdentityStore {
    async fn put_unmanaged(&self, record: &Unmanaged) -> Result<StoreId, BuildError>;
    async fn reopen(self: Box<Self>) -> Result<AnyStore<'b>, BuildError>;
    async fn partial(self: Box<Self>) -> Result<AnyStore<'b>, BuildError>;
}

#[async_trait]
impl<'b, B: StoreBuilder> BuiltStore<'b> for Built<'b, B, B::Store> {
    async fn put_unmanaged(&self, record: &Unmanaged) -> Result<StoreId, BuildError> {
        self.builder.put_unmanaged(&self.adapter, record).await
    }

    async fn reopen(self: Box<Self>) -> Result<AnyStore<'b>, BuildError> {
        let Built { builder, adapter } = *self;
        Ok(Box::new(Built { builder, adapter: builder.reopen(adapter).await? }))
    }

    async fn partial(self: Box<Self>) -> Result<AnyStore<'b>, BuildError> {
        let Built { builder, adapter } = *self;
        Ok(Box::new(Built { builder, adapter: builder.partial(adapter).await? }))
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<'b, B: StoreBuilder> StoreBuilder for Any<'b, B> {
    type Store = AnyStore<'b>;

    async fn empty(&self) -> Result<AnyStore<'b>, BuildError> {
        Ok(Box::new(Built { builder: self.0, adapter: self.0.empty().await? }))
    }

    fn attributes(&self, kind: Kind) -> Vec<String> {
        self.0.attributes(kind)
    }

    fn value(&self, kind: Kind, attribute: &str, number: usize) -> String {
        self.0.value(kind, attribute, number)
    }

    fn many(&self) -> usize {
        self.0.many()
    }

    async fn put_unmanaged(&self, store: &AnyStore<'b>, record: &Unmanaged) -> Result<StoreId, BuildError> {
        store.put_unmanaged(record).await
    }

    async fn reopen(&self, store: AnyStore<'b>) -> Result<AnyStore<'b>, BuildError> {
        store.reopen().await
    }

    async fn partial(&self, store: AnyStore<'b>) -> Result<AnyStore<'b>, BuildError> {
        store.partial().await
    }
}

#[async_trait]
pub(super) trait BuiltSource<'b>: DirectorySource {
    async fn changed(self: Box<Self>, directory: &Directory) -> Result<AnySource<'b>, BuildError>;
}

#[async_trait]
impl<'b, B: SourceBuilder> BuiltSource<'b> for Built<'b, B, B::Source> {
    async fn changed(self: Box<Self>, directory: &Directory) -> Result<AnySource<'b>, BuildError> {
        let Built { builder, adapter } = *self;
        Ok(Box::new(Built { builder, adapter: builder.changed(adapter, directory).await? }))
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<'b, B: SourceBuilder> SourceBuilder for Any<'b, B> {
    type Source = AnySource<'b>;

    async fn holding(&self, directory: &Directory) -> Result<AnySource<'b>, BuildError> {
        Ok(Box::new(Built { builder: self.0, adapter: self.0.holding(directory).await? }))
    }

    fn vocabulary(&self) -> Vocabulary {
        self.0.vocabulary()
    }

    fn many(&self) -> usize {
        self.0.many()
    }

    fn long_list(&self) -> usize {
        self.0.long_list()
    }

    async fn changed(
        &self,
        source: AnySource<'b>,
        directory: &Directory,
    ) -> Result<AnySource<'b>, BuildError> {
        source.changed(directory).await
    }

    async fn partial(&self, directory: &Directory) -> Result<AnySource<'b>, BuildError> {
        Ok(Box::new(Built { builder: self.0, adapter: self.0.partial(directory).await? }))
    }
}

#[async_trait]
pub(super) trait BuiltSet<'b>: AssignmentSet {
    async fn changed(self: Box<Self>, principals: &[Principal]) -> Result<AnySet<'b>, BuildError>;
}

#[async_trait]
impl<'b, B: AssignmentBuilder> BuiltSet<'b> for Built<'b, B, B::Set> {
    async fn changed(self: Box<Self>, principals: &[Principal]) -> Result<AnySet<'b>, BuildError> {
        let Built { builder, adapter } = *self;
        Ok(Box::new(Built { builder, adapter: builder.changed(adapter, principals).await? }))
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<'b, B: AssignmentBuilder> AssignmentBuilder for Any<'b, B> {
    type Set = AnySet<'b>;

    async fn holding(&self, principals: &[Principal]) -> Result<AnySet<'b>, BuildError> {
        Ok(Box::new(Built { builder: self.0, adapter: self.0.holding(principals).await? }))
    }

    fn many(&self) -> usize {
        self.0.many()
    }

    async fn changed(&self, set: AnySet<'b>, principals: &[Principal]) -> Result<AnySet<'b>, BuildError> {
        set.changed(principals).await
    }

    async fn partial(&self, principals: &[Principal]) -> Result<AnySet<'b>, BuildError> {
        Ok(Box::new(Built { builder: self.0, adapter: self.0.partial(principals).await? }))
    }
}
