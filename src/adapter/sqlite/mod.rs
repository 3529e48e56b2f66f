//! Identity store and assignment set in one SQLite file; SQLite itself is compiled in (feature `sqlite`).
//!
//! ```
//! use identity_sync::adapter::sqlite::{NewRecord, SqliteStore};
//! use identity_sync::{ExternalId, IdentityStore, Principal, StoreSelect, StoredUserPage};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("identities.db");
//! let store = SqliteStore::open(&path)?;
//! store.assign(&Principal::External(ExternalId::new("ad.example.com", "3f2c")))?;
//! let robot = store.add_user(&NewRecord::new([("userName", "backup-robot")]))?;
//! assert!(store.set_active(&robot, false)?);
//! assert_eq!(store.run_state(&"ad.example.com".into())?, None);
//!
//! let mut page = StoredUserPage::default();
//! pollster::block_on(store.read_users(StoreSelect::All, None, &mut page))?;
//! assert_eq!(page.len(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! # Guarantees
//!
//! * A batch is one transaction. A process that is killed at any moment leaves each batch whole or not at all, and what
//!   was answered is there (rule X4). An item that is refused leaves the others of its batch as they are; a fault
//!   that ends the transaction, such as a full disk, takes the whole batch back, and no item is answered.
//! * Answered writes survive a power failure too, as far as the disk keeps what it has confirmed: the write-ahead log is
//!   synchronised at each commit (`synchronous = FULL`).
//! * The database itself keeps unique attributes unique by match key (rule M2), and external ids unique over users and
//!   groups together (rule J4): of two creates at once, from whatever process, one is answered
//!   [`AlreadyExists`](crate::ErrorKind::AlreadyExists).
//! * Every write is conditional (rule P7). A record's version starts at 1 and grows with each write to it; a group's
//!   grows with a change of members only if somebody really joined or left. Deleting a user leaves the versions of
//!   its groups as they are, since the delete could not answer them.
//! * Who made a user inactive is remembered (rule A7). The engine's writes count as the sync's; [`SqliteStore::set_active`]
//!   and [`NewRecord::inactive`] as an administrator's lock, which a later deactivation by the engine leaves as it is.
//! * A record is adopted (rule M3) only while it has no external id of any issuer: of two adoptions at once, from whatever
//!   process, one is done, and no link is ever re-pointed.
//! * A run state (rule D7) is kept as a whole, in a transaction of its own: a process that is killed leaves the old one or the
//!   new one. Each issuer has its own. [`SqliteStore::keep_run_state`] that was answered survives as answered writes do.
//! * No error message and no `Debug` holds a value of a record (rule S2).
//!
//! # Reading
//!
//! Each call is a transaction of its own: a page agrees with itself, and two pages of one read need not agree with each
//! other. Records come in the order in which they were made, so one that is made during a read comes later in the same
//! read. What changes after it was read is noticed by its version. The attributes of a record come ordered by name; the
//! values of one attribute keep their order. Pages have up to 1,000 records; one of groups ends after the group that
//! brings it to 100,000 members. The cost of a page is logarithmic in the store and linear in the page.
//!
//! # Several connections
//!
//! One `SqliteStore` has one connection behind a lock. Any number of them, in any number of processes of one machine, may
//! share a file; a writer waits for another as long as [`SqliteOptions::busy_timeout`] says. Calls block their thread on
//! the disk and on that lock, also where they are `async`: in an asynchronous program give the store a thread of its own.
//! The file must not lie on a network share, and is copied only together with its `-wal` file, or by
//! `VACUUM INTO`. It holds personal data as plain text; SQLite gives it the permissions of the process.
//!
//! # Schema
//!
//! `PRAGMA application_id` is 0x69647379 (`idsy`), `PRAGMA user_version` is the version of the schema, now 2. A file
//! of another program or with a newer schema is refused and left as it was. All tables are `STRICT`, foreign keys are on.
//!
//! | Table | Columns | Unique | |
//! |---|---|---|---|
//! | `meta` | `name`, `value` | `name` | `identity` (128 random bits in hexadecimal), `user_schema`, `group_schema` (JSON) |
//! | `users` | `pk`, `id`, `active`, `origin`, `version`, `inactive_by` | `id` | `id`: 128 random bits; `origin`: `synced`, `jit` or null; `inactive_by`: `sync` or `other`, null where active |
//! | `groups` | `pk`, `id`, `version` | `id` | |
//! | `user_attributes` | `user_pk`, `name`, `ordinal`, `value`, `match_key` | (`name`, `match_key`) | one row a value; `match_key` only where the attribute is unique |
//! | `group_attributes` | `group_pk`, `name`, `ordinal`, `value`, `match_key` | (`name`, `match_key`) | the same for groups |
//! | `external_ids` | `issuer`, `value`, `user_pk`, `group_pk` | (`issuer`, `value`) | one of `user_pk` and `group_pk` is null |
//! | `memberships` | `group_pk`, `user_pk` | both together | |
//! | `assignments` | `pk`, `issuer`, `value` | (`issuer`, `value`) | `issuer` is null where `value` is a store id |
//! | `run_states` | `issuer`, `state` | `issuer` | `state`: a [`RunState`] as JSON |
//!
//! `pk` is a small number that stands for the record inside the file only: a membership then takes some twenty bytes in
//! place of a hundred and fifty. Everything that belongs to a record goes with it (`ON DELETE CASCADE`), assignments excepted.
//! Other programs may read the tables; who writes to them must raise `version`, and a user that they make inactive reads
//! as locked by an administrator unless `inactive_by` is `sync`.
//!
//! # Files of version 1
//!
//! They are migrated when they are opened, in one transaction: of several processes that open one at once, one migrates
//! it and the others find it done; one that is killed leaves the old file. A file that is refused for its attribute schema is
//! not migrated. Programs that know only version 1 refuse the file from then on; stop them before, since one that has it open
//! goes on writing, and whom it makes inactive reads as locked by an administrator.
//!
//! Version 1 did not say who made a user inactive, and whoever is entitled was made active again. So that a migration
//! changes nothing about that, all users that are inactive in such a file count as made inactive by the sync (rule A7).
//! A host that knows better says so by [`SqliteStore::set_active`], before the next reconcile.

mod assignments;
mod fault;
mod options;
mod read;
mod runs;
mod schema;
mod statements;
#[cfg(test)]
mod tests;
mod write;

use std::fmt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;
use rusqlite::{Connection, TransactionBehavior};

use self::fault::Fault;
pub use self::options::SqliteOptions;
use self::write::Fresh;
pub use crate::adapter::sql::{Counts, NewRecord};
use crate::assignment::{AssignmentPage, AssignmentSet};
use crate::error::{AssignmentError, StoreError};
use crate::id::{Issuer, StoreId};
use crate::model::{DeactivatedBy, Kind, Principal};
use crate::page::{PageEnd, PageToken};
use crate::run::RunState;
use crate::store::{
    IdentityStore, StoreCapabilities, StoreSelect, StoredGroupPage, StoredUserPage, WriteBatch,
};

/// An [`IdentityStore`] and an [`AssignmentSet`] in one SQLite file.
///
/// Its methods, also the `async` ones, block the thread; see the [module](self) for guarantees and schema.
pub struct SqliteStore {
    connection: Mutex<Connection>,
    capabilities: StoreCapabilities,
}

impl SqliteStore {
    /// Opens a file, or creates it, with [`SqliteOptions::default`].
    ///
    /// # Errors
    ///
    /// `Invalid` for a file of another program, `Unsupported` for one with a newer schema; both are left as they were.
    /// `Unsupported` as well where no write-ahead log can be kept, `Transient` where another connection holds the
    /// file for too long.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::open_with(path, SqliteOptions::default())
    }

    /// Opens a file, or creates it, as the options say.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), and `Invalid` where the file was created with another attribute schema than the
    /// one named here.
    pub fn open_with(path: impl AsRef<Path>, options: SqliteOptions) -> Result<Self, StoreError> {
        Ok(Self::new(schema::open(path.as_ref(), &options)?))
    }

    /// A new store that lives in memory and ends with this value.
    ///
    /// # Errors
    ///
    /// Only what SQLite itself meets, such as no memory.
    pub fn open_in_memory() -> Result<Self, StoreError> {
        Self::open_in_memory_with(SqliteOptions::default())
    }

    /// A new store in memory, as the options say.
    ///
    /// # Errors
    ///
    /// As [`open_in_memory`](Self::open_in_memory).
    pub fn open_in_memory_with(options: SqliteOptions) -> Result<Self, StoreError> {
        Ok(Self::new(schema::open_in_memory(&options)?))
    }

    fn new((connection, capabilities): (Connection, StoreCapabilities)) -> Self {
        Self { connection: Mutex::new(connection), capabilities }
    }

    /// Gives access to a principal and to whoever is below; `false` where it had it already.
    ///
    /// # Errors
    ///
    /// `Transient` where another connection writes for too long; else what SQLite meets.
    pub fn assign(&self, principal: &Principal) -> Result<bool, AssignmentError> {
        Ok(self.assign_all([principal])? > 0)
    }

    /// Gives access to all of these or, with an error, to none; answers how many did not have it yet.
    ///
    /// # Errors
    ///
    /// As [`assign`](Self::assign).
    pub fn assign_all<'p>(
        &self,
        principals: impl IntoIterator<Item = &'p Principal>,
    ) -> Result<usize, AssignmentError> {
        // Collected before the lock is taken: the iterator is the host's code, and may call this store.
        let principals: Vec<_> = principals.into_iter().collect();
        Ok(assignments::assign(&mut self.connection(), &principals)?)
    }

    /// Takes an assignment back; `false` where there was none. Records and memberships change with the next reconcile.
    ///
    /// # Errors
    ///
    /// As [`assign`](Self::assign).
    pub fn unassign(&self, principal: &Principal) -> Result<bool, AssignmentError> {
        Ok(assignments::unassign(&mut self.connection(), &[principal])? > 0)
    }

    /// All assignments, in the order in which they were given.
    ///
    /// # Errors
    ///
    /// What SQLite meets.
    pub fn assignments(&self) -> Result<Vec<Principal>, AssignmentError> {
        Ok(assignments::all(&self.connection())?)
    }

    /// Adds a user of the host's own, or one that signed in; answers its id.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` where another user holds a unique value or any record an external id, `Invalid` where the schema
    /// forbids it, `Transient` where another connection writes for too long. Nothing is added then.
    pub fn add_user(&self, record: &NewRecord) -> Result<StoreId, StoreError> {
        self.add(Kind::User, record)
    }

    /// Adds a group of the host's own, without members; answers its id.
    ///
    /// # Errors
    ///
    /// As [`add_user`](Self::add_user).
    pub fn add_group(&self, record: &NewRecord) -> Result<StoreId, StoreError> {
        self.add(Kind::Group, record)
    }

    fn add(&self, kind: Kind, record: &NewRecord) -> Result<StoreId, StoreError> {
        let mut connection = self.connection();
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(Fault::from)?;
        let inactive_by = (!record.active).then_some(DeactivatedBy::Other);
        let fresh = Fresh { kind, links: &record.external_ids, inactive_by, origin: record.origin };
        let attributes = record.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let id = write::create(&transaction, &self.capabilities, &fresh, attributes)?;
        transaction.commit().map_err(Fault::from)?;
        Ok(id)
    }

    /// Makes a user active or inactive, as an administrator does; answers whether anything changed.
    ///
    /// Where the user is inactive by the sync already, `false` makes it the administrator's lock, which stays until it
    /// is taken back here or the sync is told to [always](crate::Reactivate::Always) make active (rule A7). Taking it back
    /// leaves a user active, also one that the sync would have made inactive; the next reconcile sees to that.
    /// A change raises the record's version, so that no plan made before writes over it (rule P7).
    ///
    /// # Errors
    ///
    /// `NotFound` where there is no such user, `Transient` where another connection writes for too long.
    pub fn set_active(&self, id: &StoreId, active: bool) -> Result<bool, StoreError> {
        Ok(write::set_active(&mut self.connection(), id, active)?)
    }

    /// What the last run of this issuer left (rule D7); `None` where nothing is kept.
    ///
    /// # Errors
    ///
    /// `Invalid` where what is kept cannot be read by this program; [`forget_run_state`](Self::forget_run_state) starts afresh. Else
    /// what SQLite meets.
    pub fn run_state(&self, issuer: &Issuer) -> Result<Option<RunState>, StoreError> {
        Ok(runs::read(&self.connection(), issuer)?)
    }

    /// Keeps what a run of this issuer left, in the place of what was kept before.
    ///
    /// It is a transaction of its own, not one with the writes of a batch; whoever is killed between the two has the
    /// state before, and loses by it at most what that run would have remembered.
    ///
    /// # Errors
    ///
    /// `Transient` where another connection writes for too long; else what SQLite meets. What was kept before stays then.
    pub fn keep_run_state(&self, issuer: &Issuer, state: &RunState) -> Result<(), StoreError> {
        Ok(runs::keep(&self.connection(), issuer, state)?)
    }

    /// Forgets what is kept for this issuer; `false` where nothing was. Its periods and budgets start again (rule D7).
    ///
    /// # Errors
    ///
    /// As [`keep_run_state`](Self::keep_run_state).
    pub fn forget_run_state(&self, issuer: &Issuer) -> Result<bool, StoreError> {
        Ok(runs::forget(&self.connection(), issuer)?)
    }

    /// How much the store holds; linear in it.
    ///
    /// # Errors
    ///
    /// What SQLite meets.
    pub fn counts(&self) -> Result<Counts, StoreError> {
        let sql = "SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM groups),
                          (SELECT count(*) FROM memberships), (SELECT count(*) FROM assignments)";
        let counts = self.connection().query_row(sql, [], |row| {
            Ok(Counts {
                users: row.get(0)?,
                groups: row.get(1)?,
                memberships: row.get(2)?,
                assignments: row.get(3)?,
            })
        });
        Ok(counts.map_err(Fault::from)?)
    }

    /// The connection, without an open transaction.
    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(|poisoned| {
            self.connection.clear_poison();
            let connection = poisoned.into_inner();
            if !connection.is_autocommit() {
                // Should it fail, the next BEGIN fails and says so.
                connection.execute_batch("ROLLBACK").ok();
            }
            connection
        })
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("identity", &self.capabilities.identity).finish_non_exhaustive()
    }
}

#[async_trait]
impl IdentityStore for SqliteStore {
    fn capabilities(&self) -> StoreCapabilities {
        self.capabilities.clone()
    }

    async fn read_users(
        &self,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
        page: &mut StoredUserPage,
    ) -> Result<PageEnd, StoreError> {
        Ok(read::read(&mut self.connection(), &self.capabilities, select, at, page)?)
    }

    async fn read_groups(
        &self,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
        page: &mut StoredGroupPage,
    ) -> Result<PageEnd, StoreError> {
        Ok(read::read(&mut self.connection(), &self.capabilities, select, at, page)?)
    }

    async fn write(&self, batch: &mut WriteBatch<'_>) -> Result<(), StoreError> {
        write::write(&mut self.connection(), &self.capabilities, batch)
    }
}

#[async_trait]
impl AssignmentSet for SqliteStore {
    async fn read_assignments(
        &self,
        at: Option<&PageToken>,
        page: &mut AssignmentPage,
    ) -> Result<PageEnd, AssignmentError> {
        Ok(assignments::read(&self.connection(), at, page)?)
    }
}
