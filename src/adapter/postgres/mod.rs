//! Identity store and assignment set in a PostgreSQL database (feature `postgres`).
//!
//! ```no_run
//! use identity_sync::adapter::postgres::{NewRecord, PostgresOptions, PostgresStore};
//! use identity_sync::{ExternalId, Principal};
//! use tokio_postgres::{Config, NoTls};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let config: Config = "host=db.example.com user=sync dbname=app connect_timeout=10".parse()?;
//! // `NoTls` for a local server; over a network give the connector of your TLS library, such as
//! // `tokio_postgres_rustls::MakeRustlsConnect`, and `sslmode=require` in the configuration.
//! let store = PostgresStore::connect(config, NoTls, PostgresOptions::new()).await?;
//! store.assign(&Principal::External(ExternalId::new("ad.example.com", "3f2c"))).await?;
//! let robot = store.add_user(&NewRecord::new([("userName", "backup-robot")])).await?;
//! assert!(store.set_active(&robot, false).await?);
//!
//! // One reconcile at a time: this fails where another runner is at work, and never waits for it.
//! let runner = store.exclusive().await?;
//! // … reconcile and apply with `&runner` …
//! runner.close().await?;
//! # Ok(())
//! # }
//! ```
//!
//! All calls need a Tokio runtime around them, with I/O and time enabled.
//!
//! # Guarantees
//!
//! * A batch is one transaction. A client or server that is killed at any moment leaves each batch whole or not at all, and
//!   what was answered is there (rule X4). An item that is refused leaves the others of its batch as they are, and
//!   so does one that waits in vain for what another connection holds (rule X1); after a few of a batch, the others are not waited for.
//!   A fault that ends the transaction, such as a lost connection or a deadlock, takes the whole batch back or
//!   leaves it unknown, and no item is answered.
//! * Answered writes survive a power failure as far as the server is set up for it (`fsync`, `full_page_writes`). Where
//!   `synchronous_commit` is off for the role or the database, this session switches it on; `local` and the stricter
//!   settings stay.
//! * The database itself keeps unique attributes unique by match key (rule M2), and external ids unique over users and
//!   groups together (rule J4): of two creates at once, from whatever process, one is answered
//!   [`AlreadyExists`](crate::ErrorKind::AlreadyExists).
//! * Every write is conditional (rule P7), by the same version column as that of the SQLite store: it starts at 1 and grows
//!   with each write to the record; a group's grows with a change of members only if somebody really joined or left. Deleting
//!   a user leaves the versions of its groups as they are.
//! * Who made a user inactive is remembered (rule A7), a record is adopted only while it has no external id (rule M3), and
//!   a run state is kept as a whole (rule D7), as by the SQLite store. A world that is synchronised into both ends as the same
//!   records with the same versions.
//! * Nothing outside the schema is read but the server's catalogue, and nothing outside it is written but three temporary
//!   tables of the session. Every statement names the schema; the search path does not matter.
//! * No error message and no `Debug` holds a value of a record, a password, or a text of the server's, which quotes values
//!   (rule S2): an error has the SQLSTATE and the name of a constraint. Values travel as parameters and as copied data, never in
//!   the text of a statement.
//! * A policy of row security that would hide rows makes the read fail: an error is never a short list (rule C5).
//!
//! # One runner at a time
//!
//! [`PostgresStore::exclusive`] opens a store over a connection of its own that holds an advisory lock, one for each schema
//! of each database; a second runner is refused at once, as `Transient`. The lock goes with its connection. Every write of a runner goes over the very
//! connection that holds the lock, so that a runner whose connection died cannot write: the server first takes
//! back what the dead session had open, then frees the lock, and only then a successor starts.
//!
//! Beside the lock each runner has a number, which its successor raises. A runner whose connection was lost may
//! connect again on its next call (its writes are answered `Transient` meanwhile, rule X3): it goes on if it gets the lock
//! back *and* the number is still its own, so that nobody has run in between. Else it is answered `Unauthorized`, which
//! stops an apply, on every call from then on. Each transaction of a runner also checks the number, under a lock
//! that a successor waits for: should a pool take the advisory lock away behind our back, no two runners write together.
//!
//! Stores that are no runner's are not kept from writing by it: a sign-in goes on beside a reconcile (rule J4), and
//! versions keep the two apart.
//!
//! # Lost connections
//!
//! A call whose connection is lost is answered `Transient`; what it had under way has happened as a whole or not at
//! all, and which of the two is not known. The next call connects again, where the host gave a way to
//! ([`PostgresStore::connect`]), and first ends the session that was lost, should the server still work for it: what that had not
//! committed by then it never will. It also looks whether the store is still the one that was opened, and of the same version: else
//! every call is answered `Permanent`, until it is. A call that takes longer than [`PostgresOptions::call_timeout`] counts as lost too. A
//! future that is dropped rolls back what it had open, unless the commit was on its way.
//!
//! # Reading
//!
//! Each page is one snapshot: it agrees with itself, and two pages of one read need not agree with each other. Records come in
//! the order of their numbers; one that is made during a read comes later in it or not at all. The attributes of a record come
//! ordered by name; the values of one attribute keep their order. A page has up to [`PostgresOptions::page_size`] records; it
//! ends earlier after the record that brings its values to 64 MiB, or the group that brings it to 100,000 members. The cost of a page is
//! logarithmic in the store and linear in the page.
//!
//! # Writing
//!
//! Many creates, or many members, in one batch are copied into a temporary table (`COPY`, binary) and go from there into the
//! tables by one statement: that is the way of a first load. Where that is refused, since a rival was faster or the role may
//! not make temporary tables, the same items go one after the other, each under a savepoint. All other items go
//! that way too, with four to seven round trips each.
//!
//! # Limits
//!
//! * PostgreSQL holds no text with a null character: such an item is answered `Invalid`, in its slot.
//! * Issuers, the values of external ids, names of attributes, match keys of unique attributes and assigned principals
//!   may have up to 1,200 bytes each; a longer one is `Invalid`. Other values may be as long as PostgreSQL takes them.
//! * One `PostgresStore` has one connection, and its calls go one after the other. Any number of stores, in any number of processes, may
//!   share a schema.
//! * Behind a pool that gives a session to several clients in turn (PgBouncer in transaction mode) neither the lock nor
//!   prepared statements work. Connect to the server, or through a pool in session mode.
//! * The database must have the encoding UTF-8, the server be PostgreSQL 14 or later.
//!
//! # Rights
//!
//! The first time, the role needs `CREATE` on the database, or a schema that is empty and in which it may create tables. From then on
//! `CONNECT` and `TEMPORARY` on the database (without the latter, batches are slower), `USAGE` on the schema, `SELECT`, `INSERT`,
//! `UPDATE` and `DELETE` on its tables and `USAGE` on its sequences. No right to any other schema is needed, nor to be superuser.
//!
//! # Schema
//!
//! The tables are those of the SQLite store, in a schema of their own. They are created in one transaction, under an advisory
//! lock; of several processes that open one at once, one creates it and the others find it. A schema that holds other
//! tables, or has a newer version, is refused and left as it was. There is one version yet. `meta` also has `application`, `version`, and
//! `runner`, the number of the last runner.
//!
//! | Table | Columns | Unique | |
//! |---|---|---|---|
//! | `meta` | `name`, `value` | `name` | `identity` (122 random bits in hexadecimal), `user_schema`, `group_schema` (JSON) |
//! | `users` | `pk`, `id`, `active`, `origin`, `version`, `inactive_by` | `id` | `id`: 122 random bits; `origin`: `synced`, `jit` or null; `inactive_by`: `sync` or `other`, null where active |
//! | `groups` | `pk`, `id`, `version` | `id` | |
//! | `user_attributes` | `user_pk`, `name`, `ordinal`, `value`, `match_key` | (`name`, `match_key`) | one row a value; `match_key` only where the attribute is unique |
//! | `group_attributes` | `group_pk`, `name`, `ordinal`, `value`, `match_key` | (`name`, `match_key`) | the same for groups |
//! | `external_ids` | `issuer`, `value`, `user_pk`, `group_pk` | (`issuer`, `value`) | one of `user_pk` and `group_pk` is null |
//! | `memberships` | `group_pk`, `user_pk` | both together | |
//! | `assignments` | `pk`, `issuer`, `value` | (`issuer`, `value`) | `issuer` is null where `value` is a store id |
//! | `run_states` | `issuer`, `state` | `issuer` | `state`: a [`RunState`] as JSON |
//!
//! Everything that belongs to a record goes with it (`ON DELETE CASCADE`), assignments excepted. Other programs may read the tables; who
//! writes to them must raise `version`, and a user that they make inactive reads as locked by an administrator unless
//! `inactive_by` is `sync`.
//!
//! Tested with PostgreSQL 15 of Debian 12, by `tests/servers/run postgres`.

mod assignments;
mod bulk;
mod fault;
mod options;
mod read;
mod runs;
mod schema;
mod session;
mod sql;
mod write;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Mutex;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{Client, Config, Socket};

use self::fault::Fault;
pub use self::options::PostgresOptions;
use self::session::{Connect, Hold, Link, Session, cell, in_time};
use self::sql::Schema;
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

/// An [`IdentityStore`] and an [`AssignmentSet`] in one schema of a PostgreSQL database.
///
/// See the [module](self) for guarantees, limits and schema.
pub struct PostgresStore {
    link: Mutex<Link>,
    connect: Option<Arc<Connect>>,
    schema: Schema,
    options: PostgresOptions,
    capabilities: StoreCapabilities,
}

/// Performs one call over the session, in the time that it has, and gives up a session that cannot go on.
macro_rules! call {
    ($store:expr, $session:ident => $act:expr) => {{
        let store = $store;
        let mut link = store.link.lock().await;
        let ended = in_time(store.options.call_timeout, async {
            let (connect, store_name) = (store.connect.as_deref(), &store.capabilities.identity);
            let $session = link.session(connect, &store.schema, &store.options, store_name).await?;
            $act.await
        });
        let ended = ended.await;
        link.settle(ended)
    }};
}

impl PostgresStore {
    /// Connects, and finds the store in its schema or creates it. A connection that is lost later is made again.
    ///
    /// How the connection is encrypted is the host's choice: `tls` is [`NoTls`](tokio_postgres::NoTls) or the connector of a TLS
    /// library. Passwords stay in `config`; set its `connect_timeout`, and a host may also set `keepalives` and
    /// `target_session_attrs`.
    ///
    /// # Errors
    ///
    /// `Invalid` for a schema that holds other tables, or was created with other attributes than those named here;
    /// `Unsupported` for one with a newer version, a database that has not the encoding UTF-8, and where there is no
    /// Tokio runtime. They are left as they were. `Unauthorized` where the server does not let the role in or a right is
    /// missing, `Transient` where it cannot be reached.
    pub async fn connect<T>(config: Config, tls: T, options: PostgresOptions) -> Result<Self, StoreError>
    where
        T: MakeTlsConnect<Socket> + Clone + Send + Sync + 'static,
        T::Stream: Send + 'static,
        T::TlsConnect: Send,
        <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
    {
        let connect = Arc::from(session::connector(config, tls));
        Self::open(Opening::Connect(connect), options, Hold::Free).await
    }

    /// A store over a connection that the host has made, and whose `Connection` it drives.
    ///
    /// The session is the store's from now on: its settings are changed, and nobody else should use the client. Once it is lost
    /// every call fails as `Transient`; make another store then.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn over(client: Client, options: PostgresOptions) -> Result<Self, StoreError> {
        Self::open(Opening::Over(client), options, Hold::Free).await
    }

    /// As [`over`](Self::over), and takes the runner's lock, as [`exclusive`](Self::exclusive) does.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect), and `Transient` where another runner holds the store.
    pub async fn exclusive_over(client: Client, options: PostgresOptions) -> Result<Self, StoreError> {
        Self::open(Opening::Over(client), options, Hold::Wanted).await
    }

    /// The same store over a connection of its own, which holds the lock of runners until it is [closed](Self::close),
    /// dropped or lost. See [one runner at a time](self#one-runner-at-a-time).
    ///
    /// # Errors
    ///
    /// `Transient` where another runner holds the store: it never waits for that one. `Unsupported` where this store was made
    /// [`over`](Self::over) a connection, and cannot make another. Else as [`connect`](Self::connect).
    pub async fn exclusive(&self) -> Result<Self, StoreError> {
        let Some(connect) = &self.connect else {
            let message = "a store over a given connection cannot make another: use exclusive_over";
            return Err(StoreError::new(crate::ErrorKind::Unsupported, message));
        };
        Self::open(Opening::Connect(connect.clone()), self.options.clone(), Hold::Wanted).await
    }

    async fn open(opening: Opening, options: PostgresOptions, hold: Hold) -> Result<Self, StoreError> {
        let schema = Schema::new(&options.schema)?;
        let mut link = Link::new(hold);
        let opened = in_time(options.call_timeout, async {
            let (mut session, connect) = match opening {
                Opening::Over(client) => (Session::over(client, None, &schema, &options).await?, None),
                Opening::Connect(connect) => {
                    (Session::start(&*connect, &schema, &options).await?, Some(connect))
                }
            };
            let capabilities = schema::open(&mut session, &schema, &options).await?;
            link.adopt(session).await?;
            link.hold().await?;
            Ok((capabilities, connect))
        });
        let (capabilities, connect) = opened.await?;
        Ok(Self { link: Mutex::new(link), connect, schema, options, capabilities })
    }

    /// Ends the connection, after the runner's lock was let go: when this has answered, the next runner can start.
    /// A store that is dropped ends its connection too, but a little later.
    ///
    /// # Errors
    ///
    /// As [`assign`](Self::assign); the connection is ended all the same, and the lock goes with it.
    pub async fn close(self) -> Result<(), StoreError> {
        let Some(mut session) = self.link.into_inner().take() else { return Ok(()) };
        Ok(in_time(self.options.call_timeout, session.release()).await?)
    }

    /// Gives access to a principal and to whoever is below; `false` where it had it already.
    ///
    /// # Errors
    ///
    /// `Invalid` where PostgreSQL cannot hold it, `Transient` where the connection was lost or another one writes for too long; `Unauthorized` where
    /// another runner has taken the store over.
    pub async fn assign(&self, principal: &Principal) -> Result<bool, AssignmentError> {
        Ok(self.assign_all([principal]).await? > 0)
    }

    /// Gives access to all of these or, with an error, to none; answers how many did not have it yet.
    ///
    /// # Errors
    ///
    /// As [`assign`](Self::assign).
    pub async fn assign_all<'p>(
        &self,
        principals: impl IntoIterator<Item = &'p Principal>,
    ) -> Result<usize, AssignmentError> {
        let principals: Vec<_> = principals.into_iter().collect();
        Ok(call!(self, session => assignments::assign(session, &principals))?)
    }

    /// Takes an assignment back; `false` where there was none. Records and memberships change with the next reconcile.
    ///
    /// # Errors
    ///
    /// As [`assign`](Self::assign).
    pub async fn unassign(&self, principal: &Principal) -> Result<bool, AssignmentError> {
        Ok(call!(self, session => assignments::unassign(session, principal))?)
    }

    /// All assignments, in the order in which they were given.
    ///
    /// # Errors
    ///
    /// As [`assign`](Self::assign).
    pub async fn assignments(&self) -> Result<Vec<Principal>, AssignmentError> {
        Ok(call!(self, session => assignments::all(session))?)
    }

    /// Adds a user of the host's own, or one that signed in; answers its id.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` where another user holds a unique value or any record an external id, `Invalid` where the schema
    /// forbids it or PostgreSQL cannot hold it: nothing is added then. Else as [`assign`](Self::assign).
    pub async fn add_user(&self, record: &NewRecord) -> Result<StoreId, StoreError> {
        Ok(call!(self, session => self.add(session, Kind::User, record))?)
    }

    /// Adds a group of the host's own, without members; answers its id.
    ///
    /// # Errors
    ///
    /// As [`add_user`](Self::add_user).
    pub async fn add_group(&self, record: &NewRecord) -> Result<StoreId, StoreError> {
        Ok(call!(self, session => self.add(session, Kind::Group, record))?)
    }

    async fn add(&self, session: &mut Session, kind: Kind, record: &NewRecord) -> Result<StoreId, Fault> {
        let mut work = session.begin().await?;
        let inactive_by = (!record.active).then_some(DeactivatedBy::Other);
        let fresh = Fresh { kind, links: &record.external_ids, inactive_by, origin: record.origin };
        let attributes = record.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let id = write::create(&mut work, &self.capabilities, &fresh, attributes).await?;
        work.commit().await?;
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
    /// `NotFound` where there is no such user; else as [`assign`](Self::assign).
    pub async fn set_active(&self, id: &StoreId, active: bool) -> Result<bool, StoreError> {
        Ok(call!(self, session => write::set_active(session, id, active))?)
    }

    /// What the last run of this issuer left (rule D7); `None` where nothing is kept.
    ///
    /// # Errors
    ///
    /// `Invalid` where what is kept cannot be read by this program; [`forget_run_state`](Self::forget_run_state) starts afresh. Else
    /// as [`assign`](Self::assign).
    pub async fn run_state(&self, issuer: &Issuer) -> Result<Option<RunState>, StoreError> {
        Ok(call!(self, session => runs::read(session, issuer))?)
    }

    /// Keeps what a run of this issuer left, in the place of what was kept before.
    ///
    /// It is a transaction of its own, not one with the writes of a batch; whoever is killed between the two has the
    /// state before, and loses by it at most what that run would have remembered.
    ///
    /// # Errors
    ///
    /// As [`assign`](Self::assign). What was kept before stays, unless the connection was lost: then it is the old one or
    /// the new one.
    pub async fn keep_run_state(&self, issuer: &Issuer, state: &RunState) -> Result<(), StoreError> {
        Ok(call!(self, session => runs::keep(session, issuer, state))?)
    }

    /// Forgets what is kept for this issuer; `false` where nothing was. Its periods and budgets start again (rule D7).
    ///
    /// # Errors
    ///
    /// As [`keep_run_state`](Self::keep_run_state).
    pub async fn forget_run_state(&self, issuer: &Issuer) -> Result<bool, StoreError> {
        Ok(call!(self, session => runs::forget(session, issuer))?)
    }

    /// How much the store holds; linear in it.
    ///
    /// # Errors
    ///
    /// As [`assign`](Self::assign).
    pub async fn counts(&self) -> Result<Counts, StoreError> {
        let rows = call!(self, session => session.query(Kind::User, COUNTS, &[]))?;
        let count = |column| -> Result<u64, Fault> {
            let count: i64 = cell(rows.first().ok_or(Fault::Cell)?, column)?;
            u64::try_from(count).map_err(|_| Fault::Cell)
        };
        Ok(Counts { users: count(0)?, groups: count(1)?, memberships: count(2)?, assignments: count(3)? })
    }
}

const COUNTS: &str = "SELECT (SELECT count(*) FROM {s}.users), (SELECT count(*) FROM {s}.groups),
    (SELECT count(*) FROM {s}.memberships), (SELECT count(*) FROM {s}.assignments)";

/// Where the first connection of a store comes from.
enum Opening {
    Over(Client),
    Connect(Arc<Connect>),
}

impl fmt::Debug for PostgresStore {
    /// Neither where it is connected to nor as whom.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").field("identity", &self.capabilities.identity).finish_non_exhaustive()
    }
}

#[async_trait]
impl IdentityStore for PostgresStore {
    fn capabilities(&self) -> StoreCapabilities {
        self.capabilities.clone()
    }

    async fn read_users(
        &self,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
        page: &mut StoredUserPage,
    ) -> Result<PageEnd, StoreError> {
        let (can, size) = (&self.capabilities, self.options.page_size);
        Ok(call!(self, session => read::users(session, can, (select, at), size, page))?)
    }

    async fn read_groups(
        &self,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
        page: &mut StoredGroupPage,
    ) -> Result<PageEnd, StoreError> {
        let (can, size) = (&self.capabilities, self.options.page_size);
        Ok(call!(self, session => read::groups(session, can, (select, at), size, page))?)
    }

    async fn write(&self, batch: &mut WriteBatch<'_>) -> Result<(), StoreError> {
        Ok(call!(self, session => write::write(session, &self.capabilities, batch))?)
    }
}

#[async_trait]
impl AssignmentSet for PostgresStore {
    async fn read_assignments(
        &self,
        at: Option<&PageToken>,
        page: &mut AssignmentPage,
    ) -> Result<PageEnd, AssignmentError> {
        let size = self.options.page_size;
        Ok(call!(self, session => assignments::read(session, at, size, page))?)
    }
}
