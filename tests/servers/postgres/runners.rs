//! One runner at a time, and none beside its successor.

use identity_sync::{ErrorKind, ExternalId, IdentityStore, Principal, StoreError, Write, WriteBatch};
use pretty_assertions::assert_eq;

use super::*;

async fn locks(client: &Client) -> i64 {
    let sql = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    client.query_one(sql, &[]).await.unwrap().get(0)
}

/// Ends the session that holds the lock, and waits until it has gone.
async fn kill_holder(client: &Client) {
    let sql = "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE locktype = 'advisory'
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    assert_eq!(client.query(sql, &[]).await.unwrap().len(), 1);
    assert_eq!(locks(client).await, 0);
}

async fn deactivate(store: &PostgresStore, id: &identity_sync::StoreId) -> Result<(), StoreError> {
    let mut batch = WriteBatch::new();
    batch.push(Write::SetActive { id, version: None, active: false });
    store.write(&mut batch).await?;
    batch.into_answers().next().unwrap().unwrap().map(|_| ())
}

#[test]
#[ignore = "needs postgres: tests/servers/run postgres"]
fn a_second_runner_is_refused_at_once_until_the_first_has_closed() {
    run(async {
        let database = Database::new().await;
        let store = database.store().await;
        let first = store.exclusive().await.unwrap();
        let error = store.exclusive().await.unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (ErrorKind::Transient, "another runner holds the store")
        );
        // Who is no runner goes on, and so does another schema of the same database.
        store.assign(&Principal::Stored("x".into())).await.unwrap();
        let elsewhere = database.store_with(PostgresOptions::new().schema("elsewhere")).await;
        let third = elsewhere.exclusive().await.unwrap();
        first.close().await.unwrap();
        let second = store.exclusive().await.unwrap();
        assert_eq!(locks(&database.client().await).await, 2);
        drop((second, third));
        // A dropped one lets go too, a little later.
        for _ in 0..1_000 {
            if locks(&database.client().await).await == 0 {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        panic!("a dropped runner still holds the store");
    });
}

#[test]
#[ignore = "needs postgres: tests/servers/run postgres"]
fn a_runner_whose_session_died_goes_on_if_nobody_ran_in_between() {
    // rule X3
    run(async {
        let database = Database::new().await;
        let runner = database.store().await.exclusive().await.unwrap();
        let id = runner.add_user(&named("ada")).await.unwrap();
        kill_holder(&database.client().await).await;
        let error = deactivate(&runner, &id).await.err();
        // The client may have noticed already, and then this very call has made a new connection.
        assert!(error.is_none_or(|error| error.is_transient()));
        deactivate(&runner, &id).await.unwrap();
        assert_eq!(locks(&database.client().await).await, 1);
        assert!(database.store().await.exclusive().await.unwrap_err().is_transient());
    });
}

#[test]
#[ignore = "needs postgres: tests/servers/run postgres"]
fn a_runner_that_was_succeeded_can_never_write_again() {
    run(async {
        let database = Database::new().await;
        let store = database.store().await;
        let runner = store.exclusive().await.unwrap();
        let id = runner.add_user(&named("ada")).await.unwrap();
        kill_holder(&database.client().await).await;
        let successor = store.exclusive().await.unwrap();
        for ended in [false, true] {
            for _ in 0..3 {
                let error = deactivate(&runner, &id).await.unwrap_err();
                assert!(matches!(error.kind(), ErrorKind::Unauthorized | ErrorKind::Transient), "{error:?}");
            }
            let error = deactivate(&runner, &id).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unauthorized, "after {ended}");
            let error = runner.assign(&Principal::Stored("x".into())).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unauthorized);
            if !ended {
                deactivate(&successor, &id).await.unwrap();
                assert!(store.set_active(&id, true).await.unwrap());
            }
        }
        successor.close().await.unwrap();
        // Not even when the successor has gone.
        assert_eq!(deactivate(&runner, &id).await.unwrap_err().kind(), ErrorKind::Unauthorized);
        assert_eq!(store.counts().await.unwrap().assignments, 0);
    });
}

#[test]
#[ignore = "needs postgres: tests/servers/run postgres"]
fn a_runner_whose_lock_was_taken_away_behind_its_back_is_fenced_by_its_number() {
    run(async {
        let database = Database::new().await;
        let client = database.client().await;
        let runner = PostgresStore::exclusive_over(client, PostgresOptions::new()).await.unwrap();
        let id = runner.add_user(&named("ada")).await.unwrap();
        // As if somebody had unlocked it: the number says that another one is at work.
        let admin = database.client().await;
        let sql = "UPDATE identity_sync.meta SET value = '2' WHERE name = 'runner'";
        assert_eq!(admin.execute(sql, &[]).await.unwrap(), 1);
        assert_eq!(deactivate(&runner, &id).await.unwrap_err().kind(), ErrorKind::Unauthorized);
        let active = admin.query_one("SELECT active, version FROM identity_sync.users", &[]).await.unwrap();
        assert_eq!((active.get::<_, bool>(0), active.get::<_, i64>(1)), (true, 1));
    });
}

#[test]
#[ignore = "needs postgres: tests/servers/run postgres"]
fn a_successor_waits_for_the_write_that_is_under_way() {
    run(async {
        let database = Database::new().await;
        let store = database
            .store_with(PostgresOptions::new().lock_timeout(std::time::Duration::from_millis(200)))
            .await;
        let admin = database.client().await;
        // A runner in the middle of a transaction, whose advisory lock is gone.
        admin
            .batch_execute("BEGIN; SELECT 1 FROM identity_sync.meta WHERE name = 'runner' FOR SHARE")
            .await
            .unwrap();
        assert!(store.exclusive().await.unwrap_err().is_transient());
        admin.batch_execute("COMMIT").await.unwrap();
        store.exclusive().await.unwrap().close().await.unwrap();
    });
}

#[test]
#[ignore = "needs postgres: tests/servers/run postgres"]
fn a_new_connection_goes_on_only_with_the_store_that_was_opened() {
    // rule P7
    run(async {
        let database = Database::new().await;
        let store = database.store().await;
        let admin = database.client().await;
        let kill = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()";
        let meta = "UPDATE identity_sync.meta SET value = $2 WHERE name = $1";
        let identity: String = admin
            .query_one("SELECT value FROM identity_sync.meta WHERE name = 'identity'", &[])
            .await
            .unwrap()
            .get(0);
        for (name, other, back) in [("identity", "another", identity.as_str()), ("version", "2", "1")] {
            admin.execute(meta, &[&name, &other]).await.unwrap();
            admin.query(kill, &[]).await.unwrap();
            let mut kinds = Vec::new();
            for _ in 0..3 {
                kinds.push(store.add_user(&named("ada")).await.unwrap_err().kind());
            }
            assert_eq!(kinds[1..], [ErrorKind::Permanent; 2], "{name}: {kinds:?}");
            admin.execute(meta, &[&name, &back]).await.unwrap();
            assert_eq!(store.counts().await.unwrap().users, 0);
        }
    });
}

#[test]
#[ignore = "needs postgres: tests/servers/run postgres"]
fn a_store_over_a_given_client_does_not_connect_by_itself() {
    run(async {
        let database = Database::new().await;
        let store = PostgresStore::over(database.client().await, PostgresOptions::new()).await.unwrap();
        assert_eq!(store.exclusive().await.unwrap_err().kind(), ErrorKind::Unsupported);
        let link = ExternalId::new("ad", "1");
        store.add_user(&named("ada").external_id(link)).await.unwrap();
        let sql = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()";
        database.client().await.query(sql, &[]).await.unwrap();
        for _ in 0..3 {
            assert!(store.counts().await.unwrap_err().is_transient());
        }
        assert_eq!(database.store().await.counts().await.unwrap().users, 1);
    });
}
