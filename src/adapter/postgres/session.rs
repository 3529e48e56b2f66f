//! One session with the server: how it is made, set up, held for a runner, and given up.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use indexmap::IndexMap;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::types::{FromSql, ToSql};
use tokio_postgres::{Client, Config, IsolationLevel, Row, Socket, Statement, Transaction};

use super::fault::Fault;
use super::options::PostgresOptions;
use super::schema::{IDENTITY, LOCK_CLASS, SCHEMA_VERSION};
use super::sql::Schema;
use crate::model::Kind;

type Connected = Result<(Client, AbortHandle), tokio_postgres::Error>;

/// How to make a connection, by the host's configuration and its way of encrypting.
pub(super) type Connect = dyn Fn() -> Pin<Box<dyn Future<Output = Connected> + Send>> + Send + Sync;

pub(super) fn connector<T>(config: Config, tls: T) -> Box<Connect>
where
    T: MakeTlsConnect<Socket> + Clone + Send + Sync + 'static,
    T::Stream: Send + 'static,
    T::TlsConnect: Send,
    <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
{
    Box::new(move || {
        let (config, tls) = (config.clone(), tls.clone());
        Box::pin(async move {
            let (client, connection) = config.connect(tls).await?;
            // Why it ended, the next call on the client learns too.
            let task = tokio::spawn(async move { connection.await.ok() });
            Ok((client, task.abort_handle()))
        })
    })
}

/// Ends what takes too long: a connection that has gone silent would keep its caller for hours.
pub(super) async fn in_time<T>(
    limit: Duration,
    act: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    if Handle::try_current().is_err() {
        return Err(Fault::NoRuntime);
    }
    tokio::time::timeout(limit, act).await.unwrap_or(Err(Fault::TimedOut))
}

/// The value of a column.
pub(super) fn cell<'r, T: FromSql<'r>>(row: &'r Row, column: usize) -> Result<T, Fault> {
    row.try_get(column).map_err(|_| Fault::Cell)
}

/// One process of the server. Numbers are used again; together with the time of its start it is ours and no other.
struct Backend {
    pid: i32,
    started: String,
}

/// Statements that stay prepared, by their text before it is filled in.
type Prepared = IndexMap<(&'static str, Kind), Statement>;

/// A connection that is set up.
pub(super) struct Session {
    client: Client,
    /// Ends the task of a connection that we have made.
    task: Option<AbortHandle>,
    backend: Backend,
    schema: Schema,
    prepared: Prepared,
    /// The number of the runner whose lock this session holds.
    runner: Option<i64>,
    /// The role may not make temporary tables, so that batches go the slow way.
    pub(super) no_staging: bool,
}

/// Hash and merge joins and whole scans are off: batches join a staging table, of which the planner knows nothing, to tables of any size, and all
/// have their index; and a plan that was made while a table was empty stays good when it has grown. Row security is off so that a policy which hides rows is an error, not a short read (rule C5).
fn settings(options: &PostgresOptions) -> String {
    let (lock, statement) = (milliseconds(options.lock_timeout), milliseconds(options.statement_timeout));
    let call = milliseconds(options.call_timeout);
    format!(
        "SET search_path = pg_catalog; SET row_security = off; SET client_min_messages = warning; SET jit = off;
         SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_seqscan = off; SET lock_timeout = {lock};
         SET statement_timeout = {statement}; SET idle_in_transaction_session_timeout = {call};
         SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
    )
}

/// Zero would mean "for ever", and the server counts in 31 bits.
fn milliseconds(wait: Duration) -> i32 {
    i32::try_from(wait.as_millis()).unwrap_or(i32::MAX).max(1)
}

const WHO_AM_I: &str =
    "SELECT current_setting('server_encoding'), current_setting('server_version_num')::int, pid,
    extract(epoch FROM backend_start)::text FROM pg_stat_activity WHERE pid = pg_backend_pid()";

/// The oldest server: it can wait for the end of a session that it terminates.
const OLDEST_SERVER: i32 = 140_000;

impl Session {
    /// Connects, and sets the session up.
    pub(super) async fn start(
        connect: &Connect,
        schema: &Schema,
        options: &PostgresOptions,
    ) -> Result<Self, Fault> {
        let (client, task) = connect().await.map_err(|error| Fault::connecting(&error))?;
        Self::over(client, Some(task), schema, options).await
    }

    /// Sets up a session over a connection that is there.
    pub(super) async fn over(
        client: Client,
        task: Option<AbortHandle>,
        schema: &Schema,
        options: &PostgresOptions,
    ) -> Result<Self, Fault> {
        client.batch_execute(&settings(options)).await?;
        let row = client.query_one(WHO_AM_I, &[]).await?;
        if cell::<&str>(&row, 0)? != "UTF8" {
            return Err(Fault::Encoding);
        }
        if cell::<i32>(&row, 1)? < OLDEST_SERVER {
            return Err(Fault::OldServer);
        }
        let backend = Backend { pid: cell(&row, 2)?, started: cell(&row, 3)? };
        let prepared = IndexMap::new();
        Ok(Self { client, task, backend, schema: schema.clone(), prepared, runner: None, no_staging: false })
    }

    /// One statement outside any transaction: its own snapshot, and its own commit.
    pub(super) async fn query(
        &mut self,
        kind: Kind,
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Fault> {
        let statement = prepared(&mut self.prepared, (sql, kind), &self.schema, &self.client).await?;
        Ok(self.client.query(&statement, parameters).await?)
    }

    /// A transaction that writes. Where this session holds the store for a runner, it makes sure that it still does: the
    /// runner's number stays as it is until the transaction ends, so that no successor starts in between.
    pub(super) async fn begin(&mut self) -> Result<Work<'_>, Fault> {
        let start = self.client.build_transaction().isolation_level(IsolationLevel::ReadCommitted);
        let transaction = start.read_only(false).start().await?;
        let mut work = Work {
            transaction,
            prepared: &mut self.prepared,
            schema: &self.schema,
            no_staging: &mut self.no_staging,
        };
        if let Some(runner) = self.runner {
            let held = work.query(Kind::User, FENCE, &[&runner.to_string()]).await?;
            if held.is_empty() {
                return Err(Fault::TakenOver);
            }
        }
        Ok(work)
    }

    /// A transaction that reads: all of it sees the same moment.
    pub(super) async fn begin_read(&mut self) -> Result<Work<'_>, Fault> {
        let start = self.client.build_transaction().isolation_level(IsolationLevel::RepeatableRead);
        let transaction = start.read_only(true).start().await?;
        Ok(Work {
            transaction,
            prepared: &mut self.prepared,
            schema: &self.schema,
            no_staging: &mut self.no_staging,
        })
    }

    /// Makes sure that a new connection leads to the store that was opened: another server may answer under the name of the old
    /// one, and another program may have migrated the tables.
    async fn recognise(&mut self, store: &str) -> Result<(), Fault> {
        let identity = store.strip_prefix(IDENTITY).unwrap_or(store);
        let version = SCHEMA_VERSION.to_string();
        let rows = self.query(Kind::User, RECOGNISE, &[&identity, &version]).await?;
        if rows.is_empty() { Err(Fault::Replaced) } else { Ok(()) }
    }

    /// Takes the runner's lock, without waiting, and a new number.
    async fn hold(&mut self) -> Result<i64, Fault> {
        if !self.try_lock().await? {
            return Err(Fault::Busy);
        }
        let rows = self.query(Kind::User, NEXT_RUNNER, &[]).await?;
        let runner = cell(rows.first().ok_or(Fault::Foreign)?, 0)?;
        self.runner = Some(runner);
        Ok(runner)
    }

    /// Takes the lock again after the connection that had it was lost; refused where anybody held it in between.
    async fn hold_again(&mut self, runner: i64) -> Result<(), Fault> {
        let locked = self.try_lock().await?;
        let rows = self.query(Kind::User, THIS_RUNNER, &[]).await?;
        if cell::<i64>(rows.first().ok_or(Fault::Foreign)?, 0)? != runner {
            return Err(Fault::TakenOver);
        }
        // Not locked, and nobody has a newer number: it is our own lost session, or a successor that is about to start.
        if !locked {
            return Err(Fault::NotBack);
        }
        self.runner = Some(runner);
        Ok(())
    }

    async fn try_lock(&mut self) -> Result<bool, Fault> {
        let key = format!("runner {}", self.schema.name);
        let rows = self.query(Kind::User, TRY_LOCK, &[&LOCK_CLASS, &key]).await?;
        cell(rows.first().ok_or(Fault::Cell)?, 0)
    }

    /// Ends a session of ours that the server may still be working for: what it has not committed by now, it never will.
    async fn end(&mut self, old: &Backend) -> Result<(), Fault> {
        match self.query(Kind::User, TERMINATE, &[&old.pid, &old.started]).await {
            Err(fault) if !fault.is_denied() => Err(fault),
            _ => Ok(()),
        }
    }

    /// Lets the runner's lock go, before the connection does.
    pub(super) async fn release(&mut self) -> Result<(), Fault> {
        if self.runner.take().is_some() {
            self.query(Kind::User, "SELECT pg_advisory_unlock_all()", &[]).await?;
        }
        Ok(())
    }
}

/// `FOR SHARE`: who wants the next number waits for us.
const FENCE: &str = "SELECT 1 FROM {s}.meta WHERE name = 'runner' AND value = $1 FOR SHARE";
const RECOGNISE: &str = "SELECT 1 FROM {s}.meta i, {s}.meta v
    WHERE i.name = 'identity' AND i.value = $1 AND v.name = 'version' AND v.value = $2";
const TRY_LOCK: &str = "SELECT pg_try_advisory_lock($1, hashtext($2))";
const NEXT_RUNNER: &str = "UPDATE {s}.meta SET value = (value::bigint + 1)::text WHERE name = 'runner'
    RETURNING value::bigint";
const THIS_RUNNER: &str = "SELECT value::bigint FROM {s}.meta WHERE name = 'runner'";
const TERMINATE: &str = "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity
    WHERE pid = $1 AND extract(epoch FROM backend_start)::text = $2 AND usename = current_user";

async fn prepared(
    prepared: &mut Prepared,
    (sql, kind): (&'static str, Kind),
    schema: &Schema,
    client: &Client,
) -> Result<Statement, Fault> {
    if let Some(statement) = prepared.get(&(sql, kind)) {
        return Ok(statement.clone());
    }
    let statement = client.prepare(&schema.fill(sql, kind)).await?;
    prepared.insert((sql, kind), statement.clone());
    Ok(statement)
}

/// A transaction. It is rolled back where it is dropped.
pub(super) struct Work<'s> {
    pub(super) transaction: Transaction<'s>,
    prepared: &'s mut Prepared,
    pub(super) schema: &'s Schema,
    pub(super) no_staging: &'s mut bool,
}

impl Work<'_> {
    pub(super) async fn statement(&mut self, kind: Kind, sql: &'static str) -> Result<Statement, Fault> {
        prepared(self.prepared, (sql, kind), self.schema, self.transaction.client()).await
    }

    pub(super) async fn query(
        &mut self,
        kind: Kind,
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Fault> {
        let statement = self.statement(kind, sql).await?;
        Ok(self.transaction.query(&statement, parameters).await?)
    }

    /// Answers how many rows were written.
    pub(super) async fn execute(
        &mut self,
        kind: Kind,
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, Fault> {
        let statement = self.statement(kind, sql).await?;
        Ok(self.transaction.execute(&statement, parameters).await?)
    }

    pub(super) async fn commit(self) -> Result<(), Fault> {
        Ok(self.transaction.commit().await?)
    }
}

/// Whether a store is a runner's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// Anybody's.
    Free,
    /// It is to take the runner's lock when it connects.
    Wanted,
    /// It is the runner of this number, and goes on only as that.
    Held(i64),
    /// It was a runner's, and another runner has started since.
    Over,
}

/// What stands behind a store: its session, while there is one.
pub(super) struct Link {
    session: Option<Session>,
    lost: Option<Backend>,
    hold: Hold,
}

impl Link {
    pub(super) fn new(hold: Hold) -> Self {
        Self { session: None, lost: None, hold }
    }

    /// The session; a new one, where there is none or it was closed.
    pub(super) async fn session(
        &mut self,
        connect: Option<&Connect>,
        schema: &Schema,
        options: &PostgresOptions,
        store: &str,
    ) -> Result<&mut Session, Fault> {
        if self.session.as_ref().is_some_and(|session| session.client.is_closed()) {
            self.give_up();
        }
        if self.hold == Hold::Over {
            return Err(Fault::TakenOver);
        }
        if self.session.is_none() {
            let connect = connect.ok_or(Fault::NoWay)?;
            let mut session = Session::start(connect, schema, options).await?;
            session.recognise(store).await?;
            self.adopt(session).await?;
        }
        self.session.as_mut().ok_or(Fault::NoWay)
    }

    /// Goes on with a new session: ends the one before, and takes the runner's lock again.
    pub(super) async fn adopt(&mut self, mut session: Session) -> Result<(), Fault> {
        if let Some(lost) = &self.lost {
            session.end(lost).await?;
            self.lost = None;
        }
        if let Hold::Held(runner) = self.hold {
            session.hold_again(runner).await?;
        }
        self.session = Some(session);
        Ok(())
    }

    /// Takes the runner's lock, where it is wanted; the tables are there by now.
    pub(super) async fn hold(&mut self) -> Result<(), Fault> {
        if let (Hold::Wanted, Some(session)) = (self.hold, &mut self.session) {
            self.hold = Hold::Held(session.hold().await?);
        }
        Ok(())
    }

    /// Looks at how a call ended: a session that cannot go on is given up, and the next call makes a new one.
    pub(super) fn settle<T>(&mut self, ended: Result<T, Fault>) -> Result<T, Fault> {
        if let Err(fault) = &ended {
            if matches!(fault, Fault::TakenOver) {
                self.hold = Hold::Over;
            }
            if fault.ends_session() {
                self.give_up();
            }
        }
        ended
    }

    pub(super) fn take(&mut self) -> Option<Session> {
        self.session.take()
    }

    fn give_up(&mut self) {
        if let Some(session) = self.session.take() {
            if let Some(task) = &session.task {
                task.abort();
            }
            self.lost = Some(session.backend);
        }
    }
}
