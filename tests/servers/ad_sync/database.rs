//! Between a domain controller and PostgreSQL.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use identity_sync::adapter::postgres::{NewRecord, PostgresOptions, PostgresStore};
use tokio::runtime::Runtime;
use tokio_postgres::NoTls;

use super::DEPARTMENTS;
use super::desk::Desk;
use super::tenant::{lives_beside_others, rows, shown};
use crate::variable;

const SCHEMA: &str = "ad_sync_tests";

async fn store() -> PostgresStore {
    let config = variable("POSTGRES_URL").parse().unwrap();
    PostgresStore::connect(config, NoTls, PostgresOptions::new().schema(SCHEMA)).await.unwrap()
}

/// Begins anew, beside what others have put there.
async fn put_theirs() {
    let config: tokio_postgres::Config = variable("POSTGRES_URL").parse().unwrap();
    let (client, connection) = config.connect(NoTls).await.unwrap();
    let driven = tokio::spawn(connection);
    client.batch_execute(&format!("DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")).await.unwrap();
    drop(client);
    driven.await.unwrap().unwrap();
    let store = store().await;
    for name in ["backup-robot", "break-glass"] {
        store.add_user(&NewRecord::new([("userName", name)])).await.unwrap();
    }
    store.add_group(&NewRecord::new([("displayName", "their admins")])).await.unwrap();
}

#[test]
#[ignore = "needs a domain controller and PostgreSQL: tests/servers/run ad postgres"]
fn a_database_keeps_what_is_not_ours() {
    let runtime = Runtime::new().unwrap();
    runtime.block_on(put_theirs());
    let mut desk = Desk::empty();
    desk.secrets.push(("AD_SYNC_TESTS_URL", variable("POSTGRES_URL")));
    let table = format!("[store.postgres]\nurl_env = \"AD_SYNC_TESTS_URL\"\nschema = \"{SCHEMA}\"\n");
    let look = || runtime.block_on(async { shown(&rows(&store().await).await) });
    let [_, last] = lives_beside_others(&desk, &table, &look);
    assert!(last.ours.iter().any(|line| line.starts_with("group") && line.contains("dept-engineering")));
}

/// An authority, and a certificate of it for `localhost` alone, with its key.
fn certificates(folder: &Path) {
    let openssl = |arguments: &str| {
        let output = Command::new("openssl").current_dir(folder).args(arguments.split(' ')).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let new = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj";
    openssl(&format!(
        "req -x509 {new} /CN=authority -keyout ca.key -out ca.pem -days 30 -addext basicConstraints=critical,CA:TRUE"
    ));
    openssl(&format!("req {new} /CN=localhost -keyout server.key -out server.csr"));
    fs::write(folder.join("ext"), "basicConstraints=CA:FALSE\nsubjectAltName=DNS:localhost\n").unwrap();
    openssl(
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile ext -out server.crt",
    );
}

/// Carries statements out one by one, as the administrator: some of them may stand in no transaction. Ends when the server
/// has read its configuration anew, and says so of TLS.
fn administer(runtime: &Runtime, statements: &[String], ssl: &str) {
    runtime.block_on(async {
        let config: tokio_postgres::Config = variable("POSTGRES_URL").parse().unwrap();
        let (client, connection) = config.connect(NoTls).await.unwrap();
        tokio::spawn(connection);
        for statement in statements {
            client.batch_execute(statement).await.unwrap();
        }
        for _ in 0..1_000 {
            // A session of before may not have heard of it yet, or be ahead of those who come.
            let (client, connection) = config.connect(NoTls).await.unwrap();
            tokio::spawn(connection);
            let said: String = client.query_one("SHOW ssl", &[]).await.unwrap().get(0);
            if said == ssl {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the server does not switch TLS {ssl}");
    });
}

#[test]
#[ignore = "needs a domain controller and PostgreSQL: tests/servers/run ad postgres"]
fn with_an_authority_a_database_is_spoken_to_through_tls_or_not_at_all() {
    // rule S2
    let runtime = Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let put = |name: &str| {
        let lines = fs::read_to_string(folder.path().join(name)).unwrap();
        // By the server itself, since the key has to be its own.
        format!(
            "COPY (SELECT unnest(string_to_array('{}', E'\\n'))) TO PROGRAM 'umask 077; cat >{name}'",
            lines.trim_end()
        )
    };
    let text = |text: &str| text.to_owned();
    let schema = text("DROP SCHEMA IF EXISTS ad_sync_tls CASCADE");
    let (on, off) = (text("ALTER SYSTEM SET ssl = on"), text("ALTER SYSTEM RESET ssl"));
    let reload = text("SELECT pg_reload_conf()");
    administer(&runtime, &[schema, put("server.crt"), put("server.key"), on, reload.clone()], "on");

    let url = variable("POSTGRES_URL");
    assert!(url.contains("host=127.0.0.1"));
    let ca = folder.path().join("ca.pem");
    let desk_of = |host: &str, ca: &str| {
        let mut desk = Desk::empty();
        desk.secrets
            .push(("AD_SYNC_TESTS_URL", format!("{} sslmode=disable", url.replace("host=127.0.0.1", host))));
        let table = format!(
            "[store.postgres]\nurl_env = \"AD_SYNC_TESTS_URL\"\nschema = \"ad_sync_tls\"\nca_file = \"{ca}\"\n"
        );
        desk.configure_store(&table, DEPARTMENTS, &variable("AD_SYNC_ACCOUNT"), "");
        desk
    };
    let ca = ca.to_str().unwrap();
    let good = desk_of("host=localhost", ca);
    let first = good.run(&["--apply"]);
    let looked = good.run(&[]);
    let named_otherwise = desk_of("host=127.0.0.1", ca).run(&["--apply"]);
    let signed_otherwise = desk_of("host=localhost", &variable("AD_CA_FILE")).run(&[]);
    administer(&runtime, &[off, reload], "off");
    let without = good.run(&["--apply"]);

    assert_eq!(first.0, 2, "{}", first.2);
    assert_eq!((looked.0, looked.1.as_str()), (0, "nothing to do\n"), "{}", looked.2);
    for (code, plan, said) in [named_otherwise, signed_otherwise, without] {
        assert_eq!((code, plan.as_str(), said.lines().count()), (1, "", 1), "{said}");
    }
}
