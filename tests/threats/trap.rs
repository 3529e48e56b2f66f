//! A world behind adapters of which one call goes wrong.

use std::sync::Mutex;

use identity_sync::{
    Asked, AssignmentError, AssignmentPage, AssignmentSet, DirectorySource, Generation, GroupPage,
    IdentityStore, MemberPage, PageEnd, PageToken, Read, SourceCapabilities, SourceError, SourceIdentity,
    StoreCapabilities, StoreError, StoreId, StoreSelect, StoredGroupPage, StoredUserPage, UserPage,
    WriteBatch,
};

use crate::world::World;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// The call never answers.
    Hangs,
    /// The call panics before it does anything.
    PanicsBefore,
    /// The call does what it shall, and panics then.
    PanicsAfter,
}

/// All three adapters of a world.
pub(crate) struct Trap<'w> {
    world: &'w World,
    /// Which call, counted over all adapters, and what happens to it.
    wrong: Option<(usize, Wrong)>,
    calls: Mutex<Vec<&'static str>>,
}

impl<'w> Trap<'w> {
    pub(crate) fn new(world: &'w World, wrong: Option<(usize, Wrong)>) -> Self {
        Self { world, wrong, calls: Mutex::default() }
    }

    /// The calls that arrived, by name.
    pub(crate) fn calls(&self) -> Vec<&'static str> {
        self.calls.lock().unwrap().clone()
    }

    /// The number of a call that begins, unless it panics.
    fn begin(&self, name: &'static str) -> usize {
        let number = {
            let mut calls = self.calls.lock().unwrap();
            calls.push(name);
            calls.len() - 1
        };
        assert!(self.wrong != Some((number, Wrong::PanicsBefore)), "the adapter panics");
        number
    }

    fn end(&self, number: usize) {
        assert!(self.wrong != Some((number, Wrong::PanicsAfter)), "the adapter panics");
    }

    async fn wait(&self, number: usize) {
        if self.wrong == Some((number, Wrong::Hangs)) {
            std::future::pending::<()>().await;
        }
    }

    /// A call that answers at once.
    fn at_once<T>(&self, name: &'static str, answer: impl FnOnce() -> T) -> T {
        let number = self.begin(name);
        let answer = answer();
        self.end(number);
        answer
    }

    async fn call<T>(&self, name: &'static str, answer: impl Future<Output = T>) -> T {
        let number = self.begin(name);
        self.wait(number).await;
        let answer = answer.await;
        self.end(number);
        answer
    }
}

#[async_trait::async_trait]
impl DirectorySource for Trap<'_> {
    fn identity(&self) -> SourceIdentity {
        self.at_once("identity", || self.world.source.identity())
    }

    fn capabilities(&self) -> SourceCapabilities {
        self.at_once("capabilities", || DirectorySource::capabilities(&self.world.source))
    }

    async fn read_users(&self, read: Read<'_>, page: &mut UserPage) -> Result<PageEnd, SourceError> {
        self.call("source users", self.world.source.read_users(read, page)).await
    }

    async fn read_groups(&self, read: Read<'_>, page: &mut GroupPage) -> Result<PageEnd, SourceError> {
        self.call("source groups", self.world.source.read_groups(read, page)).await
    }

    async fn existence(&self, asked: &mut Asked<'_>) -> Result<(), SourceError> {
        self.call("look-ups", self.world.source.existence(asked)).await
    }

    async fn generation(&self) -> Result<Option<Generation>, SourceError> {
        self.call("source generation", self.world.source.generation()).await
    }
}

#[async_trait::async_trait]
impl AssignmentSet for Trap<'_> {
    async fn read_assignments(
        &self,
        at: Option<&PageToken>,
        page: &mut AssignmentPage,
    ) -> Result<PageEnd, AssignmentError> {
        self.call("assignments", self.world.assigned.read_assignments(at, page)).await
    }
}

#[async_trait::async_trait]
impl IdentityStore for Trap<'_> {
    fn capabilities(&self) -> StoreCapabilities {
        self.at_once("capabilities", || self.world.store.capabilities())
    }

    async fn read_users(
        &self,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
        page: &mut StoredUserPage,
    ) -> Result<PageEnd, StoreError> {
        let name = if matches!(select, StoreSelect::All) { "store users" } else { "store records" };
        self.call(name, self.world.store.read_users(select, at, page)).await
    }

    async fn read_groups(
        &self,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
        page: &mut StoredGroupPage,
    ) -> Result<PageEnd, StoreError> {
        self.call("store groups", self.world.store.read_groups(select, at, page)).await
    }

    async fn read_members(
        &self,
        group: &StoreId,
        at: Option<&PageToken>,
        page: &mut MemberPage,
    ) -> Result<PageEnd, StoreError> {
        self.call("store members", self.world.store.read_members(group, at, page)).await
    }

    async fn write(&self, batch: &mut WriteBatch<'_>) -> Result<(), StoreError> {
        self.call("write", self.world.store.write(batch)).await
    }
}
