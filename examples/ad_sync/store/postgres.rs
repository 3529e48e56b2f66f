//! A PostgreSQL database.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use identity_sync::adapter::postgres::{PostgresOptions, PostgresStore};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{Config, NoTls, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{Access, AnyStore, Memory, failed};
use crate::common::Trouble;
use crate::secret;

/// How long it may take to see whether there is a store.
const LONGEST_LOOK: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PostgresTable {
    /// A connection string, with the password in it.
    url_file: Option<PathBuf>,
    url_env: Option<String>,
    schema: Option<String>,
    /// The authorities that may have signed the server's certificate. With it nothing is sent but through TLS.
    ca_file: Option<PathBuf>,
}

/// A program that writes holds the store against a second one.
pub(super) async fn open(table: &PostgresTable, folder: &Path, access: Access) -> Result<AnyStore, Trouble> {
    let url =
        secret::read("store.postgres.url", folder, table.url_file.as_deref(), table.url_env.as_deref())?;
    let pem = table.ca_file.as_ref().map(|file| std::fs::read(folder.join(file))).transpose();
    let pem = pem.map_err(|error| format!("store.postgres.ca_file: {error}"))?;
    let config = address(&url, pem.is_some())?;
    let schema = table.schema.as_deref();
    match pem {
        Some(pem) => over(config, tls(&pem)?, schema, access).await,
        None => over(config, NoTls, schema, access).await,
    }
}

/// What a connection string says, where a password may go there.
fn address(url: &str, encrypted: bool) -> Result<Config, Trouble> {
    // The error would quote it.
    let mut config: Config = url.parse().map_err(|_| "store.postgres.url cannot be understood")?;
    let (hosts, addresses) = (config.get_hosts(), config.get_hostaddrs());
    if hosts.is_empty() && addresses.is_empty() {
        return Err("store.postgres.url names no host: there is no default, not even a socket".into());
    }
    if encrypted {
        // Whatever the string says: no encryption, or perhaps some, is none that a password may be sent over.
        config.ssl_mode(SslMode::Require);
        let named = config.get_hosts().iter().all(|host| matches!(host, Host::Tcp(_)));
        if config.get_hosts().is_empty() || !named {
            return Err("store.postgres.url: with ca_file each host needs the name, or the address, that its certificate has; a \
                        socket has none"
                .into());
        }
    } else if !(hosts.iter().all(is_here) && addresses.iter().all(IpAddr::is_loopback)) {
        return Err("store.postgres.url: without ca_file this program speaks to PostgreSQL without encryption, and so only to this \
                    machine: a socket, 127.0.0.1, ::1, or a tunnel that begins there"
            .into());
    }
    Ok(config)
}

fn is_here(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback()),
        #[cfg(unix)]
        Host::Unix(_) => true,
    }
}

/// TLS that trusts these authorities and no others, and checks the server's name; neither can be switched off.
fn tls(pem: &[u8]) -> Result<MakeRustlsConnect, Trouble> {
    let wrong = |what: &str| format!("store.postgres.ca_file {what}");
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|_| wrong("is no PEM text"))?;
        roots.add(certificate).map_err(|error| wrong(&format!("holds what is no authority: {error}")))?;
    }
    if roots.is_empty() {
        return Err(wrong("holds no certificate").into());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(MakeRustlsConnect::new(config.with_root_certificates(roots).with_no_client_auth()))
}

async fn over<T>(config: Config, tls: T, schema: Option<&str>, access: Access) -> Result<AnyStore, Trouble>
where
    T: MakeTlsConnect<Socket> + Clone + Send + Sync + 'static,
    T::Stream: Send + 'static,
    T::TlsConnect: Send,
    <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
{
    if access == Access::Look {
        let looked = tokio::time::timeout(LONGEST_LOOK, is_there(&config, tls.clone(), schema)).await;
        if !looked.map_err(|_| "store: PostgreSQL does not answer")?? {
            return AnyStore::none_yet();
        }
    }
    let mut options = PostgresOptions::new();
    if let Some(schema) = schema {
        options = options.schema(schema);
    }
    let store = PostgresStore::connect(config, tls, options).await.map_err(failed)?;
    let store = if access == Access::Write { store.exclusive().await.map_err(failed)? } else { store };
    let store = Arc::new(store);
    Ok(AnyStore {
        records: store.clone(),
        assignments: Some(store.clone()),
        label: format!("PostgreSQL, schema {}", schema.unwrap_or("identity_sync")),
        warnings: Vec::new(),
        memory: Memory::Postgres(store),
        #[cfg(feature = "scim")]
        ledger: None,
    })
}

/// Whether the schema holds a store: to open one that is not there would make it.
async fn is_there<T>(config: &Config, tls: T, schema: Option<&str>) -> Result<bool, Trouble>
where
    T: MakeTlsConnect<Socket>,
    T::Stream: Send + 'static,
{
    const DEFAULT: &str = "identity_sync";
    // The server's own words may quote values; why there is no TLS is not the server's.
    let failed = |error: tokio_postgres::Error| {
        let why = error.to_string();
        let why = if why.contains("TLS") {
            format!(": {}", crate::common::line(&error.into()))
        } else {
            String::new()
        };
        format!("store: PostgreSQL cannot be reached, or does not let this role in{why}")
    };
    let (client, connection) = config.connect(tls).await.map_err(failed)?;
    let driven = tokio::spawn(connection);
    let tables = "SELECT 1 FROM pg_catalog.pg_tables WHERE schemaname = $1 AND tablename = 'meta'";
    let found = client.query_opt(tables, &[&schema.unwrap_or(DEFAULT)]).await.map_err(failed)?;
    drop(client);
    driven.await.ok();
    Ok(found.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_encryption_only_this_machine_is_spoken_to() {
        let refused = |url: &str| address(url, false).err().map(|error| error.to_string());
        for url in [
            "host=127.0.0.1",
            "host=localhost",
            "host=/run/postgresql",
            "hostaddr=::1",
            "postgresql://u:p@127.0.0.1/db",
        ] {
            assert_eq!(refused(url), None, "{url}");
        }
        // A host that looks near is only a name beside an address.
        for url in [
            "host=db.example.com",
            "hostaddr=192.0.2.7",
            "host=localhost hostaddr=192.0.2.7",
            "host=127.0.0.1,db password=Tr0ub4dor",
        ] {
            let error = refused(url).unwrap();
            assert!(error.contains("without encryption") && !error.contains("Tr0ub4dor"), "{error}");
        }
        assert!(refused("user=me").unwrap().contains("names no host"));
    }

    #[test]
    fn with_an_authority_nothing_is_sent_without_encryption_and_names_are_needed() {
        let config = address("host=db.example.com sslmode=disable", true).unwrap();
        assert_eq!(config.get_ssl_mode(), SslMode::Require);
        for url in ["hostaddr=192.0.2.7", "host=/run/postgresql", "host=db,/run/postgresql", "user=me"] {
            address(url, true).unwrap_err();
        }
        for pem in ["", "no PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert!(tls(pem.as_bytes()).err().unwrap().to_string().contains("ca_file"));
        }
    }
}
