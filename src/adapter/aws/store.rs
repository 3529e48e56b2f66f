//! Both halves of a store: AWS's own API reads, SCIM writes.

use async_trait::async_trait;

use super::reader::{AwsReader, NAMES};
use crate::error::StoreError;
use crate::id::StoreId;
use crate::page::{PageEnd, PageToken};
use crate::store::{
    AttributeSchema, Concurrency, IdentityStore, MemberPage, Members, StoreCapabilities, StoreSelect,
    StoredGroupPage, StoredUserPage, WriteBatch,
};

/// An identity store of IAM Identity Center: reads by [`AwsReader`], writes by another store, which is the SCIM endpoint of the
/// same identity store. See the [module](super#writing).
#[derive(Clone, Debug)]
pub struct AwsStore<W> {
    reader: AwsReader,
    writer: W,
}

impl<W: IdentityStore> AwsStore<W> {
    /// Joins the two. They must show the same identity store: the ids that one reads are the ids that the other writes.
    pub fn new(reader: AwsReader, writer: W) -> Self {
        Self { reader: reader.declaring(writer.capabilities().users), writer }
    }

    /// The half that reads.
    pub fn reader(&self) -> &AwsReader {
        &self.reader
    }

    /// The half that writes.
    pub fn writer(&self) -> &W {
        &self.writer
    }
}

#[async_trait]
impl<W: IdentityStore> IdentityStore for AwsStore<W> {
    /// Those of the writer, with the name of the identity store and the members that AWS lists.
    fn capabilities(&self) -> StoreCapabilities {
        let mut capabilities = self.writer.capabilities();
        capabilities.identity = self.reader.identity_store_id().to_owned();
        capabilities.members = Members::PerGroup;
        // Of two users with one primary address the second is refused: better that its address is left out (rule M6).
        let email = AttributeSchema::unique(NAMES);
        capabilities.users.entry("emails".to_owned()).or_insert(email).unique = true;
        // The reader's versions mean nothing to SCIM: each record is read again just before it is written (rule P7).
        capabilities.concurrency = Concurrency::ReadAgain;
        capabilities
    }

    async fn read_users(
        &self,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
        page: &mut StoredUserPage,
    ) -> Result<PageEnd, StoreError> {
        self.reader.read_users(select, at, page).await
    }

    async fn read_groups(
        &self,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
        page: &mut StoredGroupPage,
    ) -> Result<PageEnd, StoreError> {
        self.reader.read_groups(select, at, page).await
    }

    async fn read_members(
        &self,
        group: &StoreId,
        at: Option<&PageToken>,
        page: &mut MemberPage,
    ) -> Result<PageEnd, StoreError> {
        self.reader.read_members(group, at, page).await
    }

    async fn write(&self, batch: &mut WriteBatch<'_>) -> Result<(), StoreError> {
        self.writer.write(batch).await
    }
}
