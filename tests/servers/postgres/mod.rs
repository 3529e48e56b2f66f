//! The PostgreSQL store against a real server. Each test has a database of its own, which goes with it.

#![allow(clippy::disallowed_methods, reason = "real servers answer in real time")]

mod conformance;
mod load;
#[cfg(feature = "sqlite")]
mod parity;
mod runners;
mod schemas;
mod strikes;
mod trouble;
mod world;
mod writes;

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};

use identity_sync::adapter::postgres::{NewRecord, PostgresOptions, PostgresStore};
use tokio::runtime::Runtime;
use tokio_postgres::{Client, Config, NoTls};

fn variable(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: start this by tests/servers/run postgres"))
}

/// Where the server is.
fn server() -> Config {
    variable("POSTGRES_URL").parse().unwrap()
}

fn run<T>(test: impl Future<Output = T>) -> T {
    Runtime::new().unwrap().block_on(test)
}

/// A connection of the test's own.
async fn client(config: &Config) -> Client {
    let (client, connection) = config.connect(NoTls).await.unwrap();
    tokio::spawn(async move { connection.await.ok() });
    client
}

/// A database that is dropped in the end, with whatever is connected to it.
struct Database {
    name: String,
    config: Config,
}

impl Database {
    async fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("idsy_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        client(&server()).await.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
        let mut config = server();
        config.dbname(&name);
        Self { name, config }
    }

    async fn store(&self) -> PostgresStore {
        self.store_with(PostgresOptions::new()).await
    }

    async fn store_with(&self, options: PostgresOptions) -> PostgresStore {
        PostgresStore::connect(self.config.clone(), NoTls, options).await.unwrap()
    }

    async fn client(&self) -> Client {
        client(&self.config).await
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let drop = move || run(async move { client(&server()).await.batch_execute(&sql).await });
        let dropped = std::thread::spawn(drop).join();
        if !std::thread::panicking() {
            dropped.unwrap().unwrap();
        }
    }
}

fn named(name: &str) -> NewRecord {
    NewRecord::new([("userName", name)])
}
