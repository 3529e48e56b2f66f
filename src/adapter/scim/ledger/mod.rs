//! Memberships that the server does not list, kept beside it (rule C5).

mod file;
mod state;
mod tracked;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub use self::file::FileLedger;
pub(super) use self::tracked::{Tracked, Uncertain};
use crate::error::StoreError;
use crate::id::StoreId;

/// A log of what this adapter does to memberships, kept by the host: a [`FileLedger`], or a table of a database.
///
/// # Contract
///
/// * [`append`](Self::append) has written all entries durably, behind all earlier ones, when it answers `Ok`. One that
///   fails, or whose process ends, has written a beginning of them, perhaps an empty one.
/// * [`read`](Self::read) gives all entries in their order. One that is lost in the middle is an error.
/// * One ledger is for one store, and one store is written by one process at a time: from the first [`append`](Self::append) that
///   succeeded, even of nothing, nobody else appends for as long as this value lives.
///
/// The adapter writes down what it is about to do before it does it, and what came of it afterwards. So what the ledger
/// says is never more and never less than what the store may hold: a membership whose outcome nobody saw counts as
/// uncertain, until the server is asked or the write is repeated.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// All entries, in the order in which they were appended.
    ///
    /// # Errors
    ///
    /// They cannot be read whole. There is no store then.
    async fn read(&self) -> Result<Vec<LedgerEntry>, StoreError>;

    /// Adds entries behind the others, durably. Of none it says whether any could be added.
    ///
    /// # Errors
    ///
    /// They are not all written. Nothing is sent to the server then.
    async fn append(&self, entries: &[LedgerEntry]) -> Result<(), StoreError>;
}

/// What is done to memberships, or was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum LedgerEntry {
    /// A group is about to be made with this `externalId`. Wherever it is found later, it has nobody but whom we added.
    Making {
        /// As it is written.
        external_id: String,
    },
    /// It was not made.
    NotMade {
        /// As it is written.
        external_id: String,
    },
    /// It was made, and has nobody.
    Made {
        /// As it is written.
        external_id: String,
        /// The group.
        group: StoreId,
    },
    /// Members are about to be added.
    Adding {
        /// To this group.
        group: StoreId,
        /// Whom.
        members: Vec<StoreId>,
    },
    /// They are in the group.
    Added {
        /// The group.
        group: StoreId,
        /// Who.
        members: Vec<StoreId>,
    },
    /// Members are about to be removed.
    Removing {
        /// From this group.
        group: StoreId,
        /// Whom.
        members: Vec<StoreId>,
    },
    /// They are not in the group.
    Removed {
        /// The group.
        group: StoreId,
        /// Who.
        members: Vec<StoreId>,
    },
    /// Exactly these are in the group: somebody has asked.
    Listed {
        /// The group.
        group: StoreId,
        /// Who.
        members: Vec<StoreId>,
    },
    /// The group is deleted.
    GroupGone {
        /// The group.
        group: StoreId,
    },
    /// The user is deleted, and out of every group.
    UserGone {
        /// Who.
        user: StoreId,
    },
}
