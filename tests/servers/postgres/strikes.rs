//! The session is ended before or after each write of a run, and the answer is lost with it.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use identity_sync::{
    ApplyOptions, ErrorKind, Host, IdentityStore, PageEnd, PageToken, Run, RunState, StoreCapabilities,
    StoreError, StoreSelect, StoredGroupPage, StoredUserPage, Timestamp, WriteBatch, apply, reconcile,
};
use pretty_assertions::assert_eq;

use super::world::{assignments, content, directory, options, sync};
use super::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// Nothing of the batch arrives.
    Before,
    /// All of the batch is done, and nobody is told.
    After,
    /// The batch is under way.
    Within,
}

/// Ends the session of a store at one of its writes.
struct Struck<'s> {
    store: &'s PostgresStore,
    killer: &'s Client,
    at: Option<(usize, When)>,
    writes: AtomicUsize,
}

impl Struck<'_> {
    async fn strike(&self) {
        let sql = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()";
        self.killer.query(sql, &[]).await.unwrap();
    }
}

#[async_trait]
impl IdentityStore for Struck<'_> {
    fn capabilities(&self) -> StoreCapabilities {
        // Small batches make many moments.
        let mut capabilities = self.store.capabilities();
        capabilities.batch = 18;
        capabilities
    }

    async fn read_users(
        &self,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
        page: &mut StoredUserPage,
    ) -> Result<PageEnd, StoreError> {
        self.store.read_users(select, at, page).await
    }

    async fn read_groups(
        &self,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
        page: &mut StoredGroupPage,
    ) -> Result<PageEnd, StoreError> {
        self.store.read_groups(select, at, page).await
    }

    async fn write(&self, batch: &mut WriteBatch<'_>) -> Result<(), StoreError> {
        let number = self.writes.fetch_add(1, Ordering::SeqCst);
        match self.at.filter(|(at, _)| *at == number) {
            None => self.store.write(batch).await,
            Some((_, When::Before)) => {
                self.strike().await;
                self.store.write(batch).await
            }
            Some((_, When::After)) => {
                let mut unheard = WriteBatch::new();
                batch.items().for_each(|item| unheard.push(item.write().clone()));
                self.store.write(&mut unheard).await.unwrap();
                self.strike().await;
                Err(StoreError::new(ErrorKind::Transient, "the answer was lost"))
            }
            Some((_, When::Within)) => {
                let strike = async {
                    tokio::time::sleep(std::time::Duration::from_millis(3)).await;
                    self.strike().await;
                };
                tokio::join!(self.store.write(batch), strike).0
            }
        }
    }
}

/// Lives two days, with a strike on the first or second; answers how many writes there were, and what is left.
async fn life(at: Option<(usize, When)>) -> (usize, Vec<String>) {
    let database = Database::new().await;
    let (store, killer) = (database.store().await, database.client().await);
    let struck = Struck { store: &store, killer: &killer, at, writes: AtomicUsize::new(0) };
    for day in 0..2 {
        let directory = directory(3, day);
        // Without a timer: what is lost is not tried again in the same run.
        let run = Run::new(RunState::default(), Timestamp(1_000));
        let host = Host::default();
        let found = reconcile(&directory, &struck, &assignments(), &options(), &run, &host).await.unwrap();
        let report = apply(&found.plan, &struck, &ApplyOptions::default(), &host).await.unwrap();
        assert!(at.is_some() || report.is_success(), "{report}");
        let mut turns = 0;
        while sync(&store, &directory, RunState::default()).await.is_none_or(|(count, _)| count > 0) {
            turns += 1;
            assert!(turns < 5, "{at:?}, day {day}: does not come to rest");
        }
    }
    let lines = content(&killer, "identity_sync").await;
    // How many writes it took depends on the strike.
    let links = lines.into_iter().filter(|line| !line.starts_with("group|")).map(|line| {
        let mut cells: Vec<&str> = line.split('|').collect();
        if cells[0] == "user" {
            cells[5] = "";
        }
        cells.join("|")
    });
    (struck.writes.into_inner(), links.collect())
}

#[test]
#[ignore = "needs postgres: tests/servers/run postgres"]
fn a_session_that_ends_at_any_write_changes_nothing_about_the_end() {
    // rules X1, X4, P4
    run(async {
        let (writes, expected) = life(None).await;
        assert!(writes > 9, "{writes} writes are too few");
        for write in 0..writes {
            for when in [When::Before, When::After, When::Within] {
                let (_, content) = life(Some((write, when))).await;
                assert_eq!(content, expected, "write {write}, {when:?}");
            }
        }
    });
}
