//! Connections that end at random moments, servers that are killed, a proxy that delays and cuts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use identity_sync::{ErrorKind, IdentityStore, RunState, StoreSelect, StoredUserPage};
use pretty_assertions::assert_eq;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::world::{content, directory, sync};
use super::*;

const DAYS: usize = 4;

/// What a life without trouble leaves.
async fn straight(seed: usize) -> Vec<String> {
    let database = Database::new().await;
    let store = database.store().await;
    for day in 0..DAYS {
        let (_, report) = sync(&store, &directory(seed, day), RunState::default()).await.unwrap();
        assert!(report.is_success(), "{report}");
    }
    ended(&database).await
}

/// The content without the versions: how many writes it took depends on where they were cut.
async fn ended(database: &Database) -> Vec<String> {
    let lines = content(&database.client().await, "identity_sync").await;
    let without = |line: String| {
        let mut cells: Vec<&str> = line.split('|').collect();
        match cells[0] {
            "user" => cells[5] = "",
            "group" => cells[3] = "",
            _ => {}
        }
        cells.join("|")
    };
    lines.into_iter().map(without).collect()
}

/// Runs each day until nothing is left to do; answers how many runs that took.
async fn stubborn(store: &PostgresStore, seed: usize) -> usize {
    let mut runs = 0;
    for day in 0..DAYS {
        for attempt in 0.. {
            assert!(attempt < 60, "day {day} does not come to rest");
            runs += 1;
            let Some((count, report)) = sync(store, &directory(seed, day), RunState::default()).await else {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            };
            assert!(count == 0 || attempt < 59, "day {day}: {report}");
            if count == 0 {
                break;
            }
        }
    }
    runs
}

/// Does something again and again, beside a run: ever more seldom, so that a slow machine comes to the end too.
struct Beside(Arc<AtomicBool>, tokio::task::JoinHandle<usize>);

impl Beside {
    fn start<F>(act: impl Fn(usize) -> F + Send + 'static) -> Self
    where
        F: Future<Output = bool> + Send + 'static,
    {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = stop.clone();
        let task = tokio::spawn(async move {
            let mut done = 0;
            for turn in 0.. {
                if seen.load(Ordering::SeqCst) {
                    break;
                }
                done += usize::from(act(turn).await);
            }
            done
        });
        Self(stop, task)
    }

    /// How often it did something.
    async fn end(self) -> usize {
        self.0.store(true, Ordering::SeqCst);
        self.1.await.unwrap()
    }
}

#[test]
#[ignore = "needs postgres: tests/servers/run postgres"]
fn sessions_that_are_terminated_at_random_moments_change_nothing_about_the_end() {
    // rules X3, X4, P4
    run(async {
        let (mut killed, mut runs) = (0, 0);
        for seed in 0..3 {
            let expected = straight(seed).await;
            let database = Database::new().await;
            let store = database.store().await;
            let killer = Arc::new(database.client().await);
            let beside = Beside::start(move |turn| {
                let killer = killer.clone();
                async move {
                    tokio::time::sleep(Duration::from_millis(5 + (turn as u64 * 37) % 60 + turn as u64))
                        .await;
                    let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                        WHERE datname = current_database() AND pid <> pg_backend_pid()";
                    killer.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) > 0
                }
            });
            runs += stubborn(&store, seed).await;
            killed += beside.end().await;
            assert_eq!(ended(&database).await, expected, "seed {seed}");
        }
        assert!(killed >= 10, "only {killed} sessions were killed in {runs} runs");
    });
}

#[test]
#[ignore = "needs postgres: tests/servers/run postgres"]
fn a_runner_survives_the_end_of_its_session_and_stays_the_only_one() {
    // rules X3, X4
    run(async {
        let expected = straight(7).await;
        let database = Database::new().await;
        let store = database.store().await;
        let runner = store.exclusive().await.unwrap();
        let killer = Arc::new(database.client().await);
        let beside = Beside::start(move |turn| {
            let killer = killer.clone();
            async move {
                tokio::time::sleep(Duration::from_millis(10 + (turn as u64 * 29) % 50 + turn as u64)).await;
                let sql =
                    "SELECT count(pg_terminate_backend(l.pid)) FROM pg_locks l WHERE l.locktype = 'advisory'
                    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())";
                killer.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) > 0
            }
        });
        stubborn(&runner, 7).await;
        assert!(beside.end().await >= 3);
        assert_eq!(ended(&database).await, expected);
        // Its session may be the last one that was ended.
        runner.close().await.ok();
    });
}

#[test]
#[ignore = "needs postgres: tests/servers/run postgres"]
fn a_server_that_is_killed_in_the_middle_of_writing_keeps_what_it_answered() {
    // rules X1, X3, X4
    run(async {
        let expected = straight(11).await;
        let database = Database::new().await;
        let store = database.store().await;
        let restart = variable("POSTGRES_RESTART");
        let beside = Beside::start(move |turn| {
            let restart = restart.clone();
            async move {
                tokio::time::sleep(Duration::from_millis(150 + turn as u64 * 50)).await;
                let act = move || std::process::Command::new("sh").args(["-c", &restart]).status();
                tokio::task::spawn_blocking(act).await.unwrap().unwrap().success()
            }
        });
        stubborn(&store, 11).await;
        let restarts = beside.end().await;
        assert!(restarts >= 1, "the server was never restarted");
        assert_eq!(ended(&database).await, expected);
    });
}

/// Stands between a store and the server: waits before it passes something on, and cuts each connection after so many bytes from
/// the server.
async fn proxy(to: u16, delay: Duration, bytes: impl Fn(usize) -> usize + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        for turn in 0.. {
            let (near, _) = listener.accept().await.unwrap();
            let limit = bytes(turn);
            tokio::spawn(async move {
                let Ok(far) = TcpStream::connect(("127.0.0.1", to)).await else { return };
                let (mut near_in, mut near_out) = near.into_split();
                let (mut far_in, mut far_out) = far.into_split();
                let up = tokio::spawn(async move { tokio::io::copy(&mut near_in, &mut far_out).await });
                let (mut passed, mut buffer) = (0, vec![0; 4_096]);
                while passed < limit {
                    let Ok(count @ 1..) = far_in.read(&mut buffer).await else { break };
                    tokio::time::sleep(delay).await;
                    let count = count.min(limit - passed);
                    passed += count;
                    if near_out.write_all(&buffer[..count]).await.is_err() {
                        break;
                    }
                }
                up.abort();
            });
        }
    });
    port
}

#[test]
#[ignore = "needs postgres: tests/servers/run postgres"]
fn a_proxy_that_delays_and_cuts_anywhere_changes_nothing_about_the_end() {
    // rules X3, X4
    run(async {
        let expected = straight(5).await;
        let database = Database::new().await;
        drop(database.store().await);
        let through =
            proxy(server().get_ports()[0], Duration::from_micros(300), |turn| 6_000 + turn * 9_770 % 400_000);
        let mut config = server();
        config.dbname(&database.name);
        let ports = through.await;
        let text = variable("POSTGRES_URL")
            .replace(&format!("port={}", config.get_ports()[0]), &format!("port={ports}"));
        let mut config: Config = text.parse().unwrap();
        config.dbname(&database.name);
        let mut opened = None;
        for _ in 0..50 {
            match PostgresStore::connect(config.clone(), NoTls, PostgresOptions::new()).await {
                Ok(store) => opened = Some(store),
                Err(error) => assert!(error.is_transient(), "{error:?}"),
            }
        }
        let store = opened.unwrap();
        stubborn(&store, 5).await;
        assert_eq!(ended(&database).await, expected);
    });
}

#[test]
#[ignore = "needs postgres: tests/servers/run postgres"]
fn a_connection_that_goes_silent_is_given_up_in_time_and_its_session_is_ended() {
    // rule X3
    run(async {
        let database = Database::new().await;
        let options = PostgresOptions::new().call_timeout(Duration::from_millis(700));
        let store = database.store_with(options).await;
        let other = database.client().await;
        // A lock that nobody lets go, and that this store would wait for longer than it may.
        other.batch_execute("BEGIN; LOCK TABLE identity_sync.users IN ACCESS EXCLUSIVE MODE").await.unwrap();
        let mut page = StoredUserPage::default();
        let error = store.read_users(StoreSelect::All, None, &mut page).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Transient);
        assert!(page.is_empty());
        other.batch_execute("COMMIT").await.unwrap();
        let end = store.read_users(StoreSelect::All, None, &mut page).await.unwrap();
        assert_eq!(end, identity_sync::PageEnd::COMPLETE);
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
        assert_eq!(
            other.query_one(sql, &[]).await.unwrap().get::<_, i64>(0),
            1,
            "the lost session still lives"
        );
    });
}
