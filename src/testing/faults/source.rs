use async_trait::async_trait;

use super::{Call, Faulty, ReadFault, ended, is_endless};
use crate::error::SourceError;
use crate::model::Completeness;
use crate::page::PageEnd;
use crate::source::{
    Asked, DirectorySource, Generation, GroupPage, Read, SourceCapabilities, SourceIdentity, UserPage,
};

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<D: DirectorySource> DirectorySource for Faulty<D> {
    fn identity(&self) -> SourceIdentity {
        self.inner.identity()
    }

    fn capabilities(&self) -> SourceCapabilities {
        self.inner.capabilities()
    }

    async fn read_users(&self, read: Read<'_>, page: &mut UserPage) -> Result<PageEnd, SourceError> {
        let fault = self.enter(Call::SourceUsers).await?;
        if is_endless(read.at) {
            return Ok(ended(Some(ReadFault::Endless), PageEnd::Last(Completeness::Complete)));
        }
        let end = self.inner.read_users(read, page).await?;
        match fault {
            Some(ReadFault::Lose) => page.clear(),
            Some(ReadFault::Repeat) => {
                self.inner.read_users(read, page).await?;
            }
            _ => {}
        }
        self.step().await;
        Ok(ended(fault, end))
    }

    async fn read_groups(&self, read: Read<'_>, page: &mut GroupPage) -> Result<PageEnd, SourceError> {
        let fault = self.enter(Call::SourceGroups).await?;
        if is_endless(read.at) {
            return Ok(ended(Some(ReadFault::Endless), PageEnd::Last(Completeness::Complete)));
        }
        let end = self.inner.read_groups(read, page).await?;
        match fault {
            Some(ReadFault::Lose) => page.clear(),
            Some(ReadFault::Repeat) => {
                self.inner.read_groups(read, page).await?;
            }
            _ => {}
        }
        self.step().await;
        Ok(ended(fault, end))
    }

    /// `Lose` forgets all answers: each is `Unknown` then.
    async fn existence(&self, asked: &mut Asked<'_>) -> Result<(), SourceError> {
        let fault = self.enter(Call::Existence).await?;
        if fault != Some(ReadFault::Lose) {
            self.inner.existence(asked).await?;
        }
        self.step().await;
        Ok(())
    }

    /// `Lose` says that the source cannot tell.
    async fn generation(&self) -> Result<Option<Generation>, SourceError> {
        let fault = self.enter(Call::Generation).await?;
        let generation = self.inner.generation().await?;
        self.step().await;
        Ok(generation.filter(|_| fault != Some(ReadFault::Lose)))
    }
}
