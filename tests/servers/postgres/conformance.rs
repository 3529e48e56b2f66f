//! The contracts of both traits, on a fresh schema for each check.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use identity_sync::testing::conformance::{
    self, AssignmentBuilder, BuildError, Report, StoreBuilder, Unmanaged,
};
use identity_sync::{IdentityStore, Kind, MatchRule, Principal, StoreCapabilities, StoreId};
use pretty_assertions::assert_eq;

use super::*;

/// Builds stores in schemas of one database.
struct InSchemas {
    database: Database,
    options: PostgresOptions,
    /// More than a page.
    many: usize,
    /// The schema of each store, by the store's name.
    schemas: Mutex<BTreeMap<String, String>>,
}

impl InSchemas {
    async fn new(options: PostgresOptions, many: usize) -> Self {
        Self { database: Database::new().await, options, many, schemas: Mutex::default() }
    }

    async fn open(&self, schema: &str) -> Result<PostgresStore, BuildError> {
        let options = self.options.clone().schema(schema);
        Ok(PostgresStore::connect(self.database.config.clone(), NoTls, options).await?)
    }

    async fn fresh(&self) -> Result<PostgresStore, BuildError> {
        let schema = format!("store {}", self.schemas.lock().unwrap().len());
        let store = self.open(&schema).await?;
        self.schemas.lock().unwrap().insert(store.capabilities().identity, schema);
        Ok(store)
    }
}

#[async_trait]
impl StoreBuilder for InSchemas {
    type Store = PostgresStore;

    async fn empty(&self) -> Result<PostgresStore, BuildError> {
        self.fresh().await
    }

    fn many(&self) -> usize {
        self.many
    }

    async fn put_unmanaged(&self, store: &PostgresStore, record: &Unmanaged) -> Result<StoreId, BuildError> {
        let values = record.attributes.iter();
        let values = values.flat_map(|(name, all)| all.iter().map(|value| (name.clone(), value.clone())));
        let new = NewRecord::new(values);
        let new = if record.active { new } else { new.inactive() };
        Ok(match record.kind {
            Kind::User => store.add_user(&new).await?,
            Kind::Group => store.add_group(&new).await?,
        })
    }

    async fn reopen(&self, store: PostgresStore) -> Result<PostgresStore, BuildError> {
        let schema = self.schemas.lock().unwrap()[&store.capabilities().identity].clone();
        drop(store);
        self.open(&schema).await
    }
}

/// What nobody has looked at.
fn open(report: &Report) -> Vec<String> {
    report.not_applicable().map(|(check, _)| check.to_string()).collect()
}

#[test]
#[ignore = "needs postgres: tests/servers/run postgres"]
fn a_store_in_postgres_conforms() {
    run(async {
        let builder = InSchemas::new(PostgresOptions::new(), 1_050).await;
        let report = conformance::store(&builder).await;
        report.assert_conforming();
        assert_eq!(open(&report), ["what_cannot_be_seen_is_not_called_complete"], "{report}");
    });
}

#[test]
#[ignore = "needs postgres: tests/servers/run postgres"]
fn a_store_with_other_match_rules_and_small_pages_conforms() {
    for (rule, size) in [(MatchRule::Exact, 7), (MatchRule::AsciiCaseFold, 1)] {
        let StoreCapabilities { mut users, mut groups, .. } = StoreCapabilities::default();
        users.values_mut().chain(groups.values_mut()).for_each(|schema| schema.matching = rule);
        let options = PostgresOptions::new().users(users).groups(groups).page_size(size);
        run(async {
            conformance::store(&InSchemas::new(options, 3 * size + 2).await).await.assert_conforming()
        });
    }
}

struct Assignments(InSchemas);

#[async_trait]
impl AssignmentBuilder for Assignments {
    type Set = PostgresStore;

    async fn holding(&self, principals: &[Principal]) -> Result<PostgresStore, BuildError> {
        let store = self.0.fresh().await?;
        store.assign_all(principals).await?;
        Ok(store)
    }

    async fn changed(
        &self,
        set: PostgresStore,
        principals: &[Principal],
    ) -> Result<PostgresStore, BuildError> {
        for old in set.assignments().await?.iter().filter(|old| !principals.contains(old)) {
            set.unassign(old).await?;
        }
        set.assign_all(principals).await?;
        Ok(set)
    }
}

#[test]
#[ignore = "needs postgres: tests/servers/run postgres"]
fn assignments_in_postgres_conform() {
    run(async {
        let report =
            conformance::assignments(&Assignments(InSchemas::new(PostgresOptions::new(), 1_050).await)).await;
        report.assert_conforming();
        assert_eq!(open(&report), ["what_cannot_be_seen_is_not_called_complete"], "{report}");
    });
}
