//! The SQLite store, in memory and in a file, and its assignments.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;

use async_trait::async_trait;
use identity_sync::adapter::sqlite::{NewRecord, SqliteOptions, SqliteStore};
use identity_sync::testing::conformance::{self, AssignmentBuilder, BuildError, StoreBuilder, Unmanaged};
use identity_sync::{IdentityStore, Kind, MatchRule, Principal, StoreCapabilities, StoreId};
use pollster::block_on;
use tempfile::TempDir;

use crate::open;

/// Builds stores in files of one folder, which goes with the builder.
struct InFiles {
    folder: TempDir,
    /// The file of each store, by the store's name.
    files: Mutex<BTreeMap<String, PathBuf>>,
}

impl InFiles {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), files: Mutex::default() }
    }
}

#[async_trait]
impl StoreBuilder for InFiles {
    type Store = SqliteStore;

    async fn empty(&self) -> Result<SqliteStore, BuildError> {
        let mut files = self.files.lock().unwrap();
        let path = self.folder.path().join(format!("{}.db", files.len()));
        let store = SqliteStore::open(&path)?;
        files.insert(store.capabilities().identity, path);
        Ok(store)
    }

    /// A page has 1,000 records.
    fn many(&self) -> usize {
        1_050
    }

    async fn put_unmanaged(&self, store: &SqliteStore, record: &Unmanaged) -> Result<StoreId, BuildError> {
        put(store, record)
    }

    async fn reopen(&self, store: SqliteStore) -> Result<SqliteStore, BuildError> {
        let path = self.files.lock().unwrap()[&store.capabilities().identity].clone();
        drop(store);
        Ok(SqliteStore::open(path)?)
    }
}

fn put(store: &SqliteStore, record: &Unmanaged) -> Result<StoreId, BuildError> {
    let values = record.attributes.iter();
    let values = values.flat_map(|(name, values)| values.iter().map(|value| (name.clone(), value.clone())));
    let new = NewRecord::new(values);
    let new = if record.active { new } else { new.inactive() };
    Ok(match record.kind {
        Kind::User => store.add_user(&new)?,
        Kind::Group => store.add_group(&new)?,
    })
}

#[test]
fn a_store_in_a_file_conforms() {
    let report = block_on(conformance::store(&InFiles::new()));
    report.assert_conforming();
    assert_eq!(open(&report), ["what_cannot_be_seen_is_not_called_complete"], "{report}");
}

#[test]
fn a_store_conforms_by_whatever_rule_its_names_compare() {
    for rule in [MatchRule::Exact, MatchRule::AsciiCaseFold] {
        let StoreCapabilities { mut users, mut groups, .. } = StoreCapabilities::default();
        users.values_mut().chain(groups.values_mut()).for_each(|schema| schema.matching = rule);
        let options = SqliteOptions::new().users(users).groups(groups);
        let report = block_on(conformance::store(&|| Ok(SqliteStore::open_in_memory_with(options.clone())?)));
        report.assert_conforming();
    }
}

struct Assignments;

#[async_trait]
impl AssignmentBuilder for Assignments {
    type Set = SqliteStore;

    async fn holding(&self, principals: &[Principal]) -> Result<SqliteStore, BuildError> {
        let store = SqliteStore::open_in_memory()?;
        store.assign_all(principals)?;
        Ok(store)
    }

    async fn changed(&self, set: SqliteStore, principals: &[Principal]) -> Result<SqliteStore, BuildError> {
        for old in set.assignments()?.iter().filter(|old| !principals.contains(old)) {
            set.unassign(old)?;
        }
        set.assign_all(principals)?;
        Ok(set)
    }
}

#[test]
fn assignments_conform() {
    let report = block_on(conformance::assignments(&Assignments));
    report.assert_conforming();
    assert_eq!(open(&report), ["what_cannot_be_seen_is_not_called_complete"], "{report}");
}
