//! The store that is written to, whichever it is, and where the state of runs is kept.

#[cfg(feature = "aws")]
mod aws;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "scim")]
mod scim;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use identity_sync::adapter::sqlite::SqliteStore;
use identity_sync::{AssignmentSet, IdentityStore, Issuer, Run, RunState, StoreError, Timestamp};
use serde::Deserialize;

use crate::common::Trouble;
use crate::config::Config;
use crate::files;

const NO_LEDGER: &str = "--rebuild-ledger: the configuration names no ledger";

/// Exactly one of these is in the configuration.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StoreTable {
    Sqlite(SqliteTable),
    #[cfg(feature = "postgres")]
    Postgres(postgres::PostgresTable),
    #[cfg(feature = "scim")]
    Scim(scim::ScimTable),
    #[cfg(feature = "aws")]
    Aws(aws::AwsTable),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SqliteTable {
    file: PathBuf,
}

impl StoreTable {
    /// What can be seen to be wrong without opening anything.
    pub(crate) fn check(&self, has_state_file: bool, assigns: bool) -> Result<(), String> {
        let (keeps_state, lists_assigned) = match self {
            Self::Sqlite(_) => (true, true),
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => (true, true),
            #[cfg(feature = "scim")]
            Self::Scim(_) => (false, false),
            #[cfg(feature = "aws")]
            Self::Aws(table) => (false, table.lists_assigned()),
        };
        match () {
            () if !keeps_state && !has_state_file => {
                Err("run.file is needed: this store has no place for what a run leaves for the next".to_owned())
            }
            () if !lists_assigned && assigns => {
                Err("assignments.store: this store does not say who is assigned (AWS does, where instance_arn is given)".to_owned())
            }
            () => Ok(()),
        }
    }
}

/// A store, and what belongs to it.
pub(crate) struct AnyStore {
    pub(crate) records: Arc<dyn IdentityStore>,
    /// Who has access, where the store itself says so.
    pub(crate) assignments: Option<Arc<dyn AssignmentSet>>,
    /// For a person.
    pub(crate) label: String,
    pub(crate) warnings: Vec<String>,
    memory: Memory,
    /// Where memberships are kept in a ledger beside the store.
    #[cfg(feature = "scim")]
    ledger: Option<identity_sync::adapter::scim::ScimStore>,
}

/// Where the state of runs is kept.
enum Memory {
    /// The configuration names a file.
    File(PathBuf),
    /// It has to, and the configuration was checked for that.
    #[cfg(feature = "scim")]
    Elsewhere,
    Sqlite(Arc<SqliteStore>),
    #[cfg(feature = "postgres")]
    Postgres(Arc<identity_sync::adapter::postgres::PostgresStore>),
}

/// Whether something may be made that is not there yet.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Access {
    Look,
    Write,
}

impl AnyStore {
    /// Opens it. To look at a store that is not there makes none.
    pub(crate) async fn open(config: &Config, access: Access) -> Result<Self, Trouble> {
        let mut store = match &config.store {
            StoreTable::Sqlite(table) => Self::sqlite(&config.folder.join(&table.file), access)?,
            #[cfg(feature = "postgres")]
            StoreTable::Postgres(table) => postgres::open(table, &config.folder, access).await?,
            #[cfg(feature = "scim")]
            StoreTable::Scim(table) => scim::open(table, &config.folder, &config.issuer).await?,
            #[cfg(feature = "aws")]
            StoreTable::Aws(table) => aws::open(table, &config.folder, &config.issuer).await?,
        };
        if let Some(file) = &config.state_file {
            store.memory = Memory::File(file.clone());
        }
        Ok(store)
    }

    fn sqlite(file: &Path, access: Access) -> Result<Self, Trouble> {
        if access == Access::Look && !file.exists() {
            return Self::none_yet();
        }
        let store = SqliteStore::open(file).map_err(failed)?;
        Ok(Self::over(store, format!("SQLite file {}", file.display()), Vec::new()))
    }

    /// In place of a store that is not there, and that a dry run does not make.
    fn none_yet() -> Result<Self, Trouble> {
        let warning = "there is no store yet; an empty one is assumed, and the first --apply makes it; until then nothing \
                       that is held can be approved";
        let store = SqliteStore::open_in_memory().map_err(failed)?;
        Ok(Self::over(store, "none yet".to_owned(), vec![warning.to_owned()]))
    }

    fn over(store: SqliteStore, label: String, warnings: Vec<String>) -> Self {
        let store = Arc::new(store);
        Self {
            records: store.clone(),
            assignments: Some(store.clone()),
            label,
            warnings,
            memory: Memory::Sqlite(store),
            #[cfg(feature = "scim")]
            ledger: None,
        }
    }

    /// Finishes what an earlier run began with memberships that cannot be read; answers how many are certain now.
    #[cfg(feature = "scim")]
    pub(crate) async fn settle(&self) -> Result<usize, Trouble> {
        match &self.ledger {
            Some(store) => store.settle_memberships().await.map_err(failed),
            None => Ok(0),
        }
    }

    /// Asks the store about all memberships that the ledger should hold; answers of how many groups and users.
    #[cfg(feature = "scim")]
    pub(crate) async fn rebuild_ledger(&self, issuer: &Issuer) -> Result<(usize, usize), Trouble> {
        match &self.ledger {
            Some(store) => scim::rebuild(store, issuer).await,
            None => Err(NO_LEDGER.into()),
        }
    }

    #[cfg(not(feature = "scim"))]
    pub(crate) async fn settle(&self) -> Result<usize, Trouble> {
        Ok(0)
    }

    #[cfg(not(feature = "scim"))]
    pub(crate) async fn rebuild_ledger(&self, _: &Issuer) -> Result<(usize, usize), Trouble> {
        Err(NO_LEDGER.into())
    }

    /// What earlier runs left; nothing, before the first.
    pub(crate) async fn recall(&self, issuer: &Issuer) -> Result<RunState, Trouble> {
        let state = match &self.memory {
            Memory::Sqlite(store) => store.run_state(issuer).map_err(lost)?,
            #[cfg(feature = "postgres")]
            Memory::Postgres(store) => store.run_state(issuer).await.map_err(lost)?,
            Memory::File(file) => from_file(file)?,
            #[cfg(feature = "scim")]
            Memory::Elsewhere => return Err("run.file is needed".into()),
        };
        Ok(state.unwrap_or_default())
    }

    /// Keeps what a run left. Somebody may have paused or resumed while it ran: that stands.
    pub(crate) async fn keep(
        &self,
        issuer: &Issuer,
        run: &Run,
        mut after: RunState,
        now: Timestamp,
    ) -> Result<(), Trouble> {
        let paused = self.recall(issuer).await?.is_paused();
        if paused != run.state.is_paused() {
            if paused { after.pause(now) } else { after.resume(now) }
        }
        match &self.memory {
            Memory::Sqlite(store) => store.keep_run_state(issuer, &after).map_err(lost),
            #[cfg(feature = "postgres")]
            Memory::Postgres(store) => store.keep_run_state(issuer, &after).await.map_err(lost),
            #[cfg(feature = "scim")]
            Memory::Elsewhere => Err("run.file is needed".into()),
            Memory::File(file) => {
                let text = serde_json::to_string(&after)? + "\n";
                files::replace(file, &text).map_err(|error| format!("run.file: {error}").into())
            }
        }
    }
}

/// What earlier runs left, for a loop that rests: where a file holds it, the store is not asked.
pub(crate) async fn kept(config: &Config) -> Result<RunState, Trouble> {
    match &config.state_file {
        Some(file) => Ok(from_file(file)?.unwrap_or_default()),
        None => AnyStore::open(config, Access::Look).await?.recall(&config.issuer).await,
    }
}

/// Which side it was; the error says the rest.
fn failed(error: StoreError) -> Trouble {
    format!("store: {}", crate::common::line(&error.into())).into()
}

fn lost(error: StoreError) -> Trouble {
    format!("what earlier runs left: {}", crate::common::line(&error.into())).into()
}

/// A file that cannot be understood is an error: without what it holds, all periods and limits over time would start anew.
fn from_file(file: &Path) -> Result<Option<RunState>, Trouble> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(Some(serde_json::from_str(&text).map_err(|error| format!("run.file: {error}"))?)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("run.file: {error}").into()),
    }
}
