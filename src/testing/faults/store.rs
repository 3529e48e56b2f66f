use std::future::pending;
use std::sync::atomic::Ordering;

use async_trait::async_trait;

use super::{Call, Faulty, ReadFault, WriteFault, ended, is_endless, on_order};
use crate::error::{ErrorKind, StoreError};
use crate::id::StoreId;
use crate::model::Completeness;
use crate::page::{PageEnd, PageToken};
use crate::store::{
    IdentityStore, MemberPage, StoreCapabilities, StoreSelect, StoredGroupPage, StoredUserPage, Write,
    WriteBatch, WriteItem, Written,
};

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<S: IdentityStore> IdentityStore for Faulty<S> {
    fn capabilities(&self) -> StoreCapabilities {
        self.inner.capabilities()
    }

    async fn read_users(
        &self,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
        page: &mut StoredUserPage,
    ) -> Result<PageEnd, StoreError> {
        let fault = self.enter(Call::StoreUsers).await?;
        if is_endless(at) {
            return Ok(ended(Some(ReadFault::Endless), PageEnd::Last(Completeness::Complete)));
        }
        let end = self.inner.read_users(select, at, page).await?;
        match fault {
            Some(ReadFault::Lose) => page.clear(),
            Some(ReadFault::Repeat) => {
                self.inner.read_users(select, at, page).await?;
            }
            _ => {}
        }
        self.step().await;
        Ok(ended(fault, end))
    }

    async fn read_groups(
        &self,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
        page: &mut StoredGroupPage,
    ) -> Result<PageEnd, StoreError> {
        let fault = self.enter(Call::StoreGroups).await?;
        if is_endless(at) {
            return Ok(ended(Some(ReadFault::Endless), PageEnd::Last(Completeness::Complete)));
        }
        let end = self.inner.read_groups(select, at, page).await?;
        match fault {
            Some(ReadFault::Lose) => page.clear(),
            Some(ReadFault::Repeat) => {
                self.inner.read_groups(select, at, page).await?;
            }
            _ => {}
        }
        self.step().await;
        Ok(ended(fault, end))
    }

    async fn read_members(
        &self,
        group: &StoreId,
        at: Option<&PageToken>,
        page: &mut MemberPage,
    ) -> Result<PageEnd, StoreError> {
        let fault = self.enter(Call::StoreMembers).await?;
        if is_endless(at) {
            return Ok(ended(Some(ReadFault::Endless), PageEnd::Last(Completeness::Complete)));
        }
        let end = self.inner.read_members(group, at, page).await?;
        match fault {
            Some(ReadFault::Lose) => page.clear(),
            Some(ReadFault::Repeat) => {
                self.inner.read_members(group, at, page).await?;
            }
            _ => {}
        }
        self.step().await;
        Ok(ended(fault, end))
    }

    async fn write(&self, batch: &mut WriteBatch<'_>) -> Result<(), StoreError> {
        for item in batch.items() {
            self.step().await;
            let number = self.written.fetch_add(1, Ordering::SeqCst);
            let fault = self.fault_of(number);
            self.perform(item, fault).await?;
        }
        self.step().await;
        Ok(())
    }
}

impl<S: IdentityStore> Faulty<S> {
    async fn perform(&self, item: &mut WriteItem<'_>, fault: Option<WriteFault>) -> Result<(), StoreError> {
        match fault {
            Some(WriteFault::Refuse(kind)) => item.answer(Err(on_order(kind))),
            Some(WriteFault::Throttle(wait)) => {
                item.answer(Err(on_order(ErrorKind::Transient).retry_after(wait)));
            }
            Some(WriteFault::Forget) => {}
            Some(WriteFault::Pretend) => item.answer(Ok(Written::done())),
            Some(WriteFault::Break(kind)) => return Err(on_order(kind)),
            Some(WriteFault::Hang) => pending().await,
            #[expect(clippy::panic, reason = "this is what was asked for")]
            Some(WriteFault::Panic) => panic!("a store that panics on order"),
            Some(WriteFault::LoseAnswer(kind)) => {
                self.single(item.write()).await?;
                item.answer(Err(on_order(kind)));
            }
            Some(WriteFault::KeepSilent) => {
                self.single(item.write()).await?;
            }
            Some(WriteFault::BreakAfter(kind)) => {
                self.single(item.write()).await?;
                return Err(on_order(kind));
            }
            Some(WriteFault::HangAfter) => {
                self.single(item.write()).await?;
                pending().await
            }
            #[expect(clippy::panic, reason = "this is what was asked for")]
            Some(WriteFault::PanicAfter) => {
                self.single(item.write()).await?;
                panic!("a store that panics on order");
            }
            Some(WriteFault::AnswerWith(id)) => {
                self.single(item.write()).await?;
                item.answer(Ok(Written::created(id)));
            }
            Some(WriteFault::Twice) => {
                self.single(item.write()).await?;
                self.answer(item).await?;
            }
            None => self.answer(item).await?,
        }
        Ok(())
    }

    async fn answer(&self, item: &mut WriteItem<'_>) -> Result<(), StoreError> {
        if let Some(answer) = self.single(item.write()).await? {
            item.answer(answer);
        }
        Ok(())
    }

    async fn single(&self, write: &Write<'_>) -> Result<Option<Result<Written, StoreError>>, StoreError> {
        let mut single = WriteBatch::new();
        single.push(write.clone());
        let whole = self.inner.write(&mut single).await;
        match (single.into_answers().next().flatten(), whole) {
            (Some(answer), _) => Ok(Some(answer)),
            (None, Ok(())) => Ok(None),
            (None, Err(error)) => Err(error),
        }
    }
}
