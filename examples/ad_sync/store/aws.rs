//! AWS IAM Identity Center: its own interface lists, SCIM writes.

use std::path::Path;
use std::sync::Arc;

use aws_sdk_identitystore::config::{BehaviorVersion, Credentials, Region};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use identity_sync::adapter::aws::{AwsAssignments, AwsReader, AwsStore};
use identity_sync::adapter::scim::ScimOptions;
use identity_sync::{AssignmentSet, Issuer};
use serde::Deserialize;

use super::scim::ScimTable;
use super::{AnyStore, Memory};
use crate::common::Trouble;

/// Credentials come from the environment: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AwsTable {
    region: String,
    identity_store_id: String,
    /// For `assignments.store`.
    instance_arn: Option<String>,
    /// The address of another service that speaks the same language, for tests.
    endpoint: Option<String>,
    scim: ScimTable,
}

impl AwsTable {
    pub(super) fn lists_assigned(&self) -> bool {
        self.instance_arn.is_some()
    }
}

pub(super) async fn open(table: &AwsTable, folder: &Path, issuer: &Issuer) -> Result<AnyStore, Trouble> {
    let variable = |name: &str| {
        std::env::var(name).map_err(|_| format!("store.aws: the environment variable {name} is not set"))
    };
    let session = std::env::var("AWS_SESSION_TOKEN").ok();
    let (key, secret) = (variable("AWS_ACCESS_KEY_ID")?, variable("AWS_SECRET_ACCESS_KEY")?);
    let credentials = Credentials::new(key, secret, session, None, "environment");
    let region = Region::new(table.region.clone());
    let plain = table.endpoint.as_ref().is_some_and(|address| address.starts_with("http://"));
    let http = || match plain {
        true => Builder::new().build_http(),
        false => Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https(),
    };
    let mut config = aws_sdk_identitystore::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(region.clone())
        .credentials_provider(credentials.clone())
        .http_client(http());
    config.set_endpoint_url(table.endpoint.clone());
    let client = aws_sdk_identitystore::Client::from_conf(config.build());
    let reader =
        AwsReader::new(&client, &table.identity_store_id).external_ids(table.scim.external_ids(issuer));
    let writer =
        super::scim::connect(&table.scim, folder, issuer, "store.aws.scim", ScimOptions::aws_identity_center);
    let assignments = table.instance_arn.as_ref().map(|instance| {
        let mut config = aws_sdk_ssoadmin::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(region)
            .credentials_provider(credentials)
            .http_client(http());
        config.set_endpoint_url(table.endpoint.clone());
        let client = aws_sdk_ssoadmin::Client::from_conf(config.build());
        Arc::new(AwsAssignments::new(&client, instance)) as Arc<dyn AssignmentSet>
    });
    let writer = writer.await?;
    Ok(AnyStore {
        ledger: table.scim.has_ledger().then(|| writer.clone()),
        records: Arc::new(AwsStore::new(reader, writer)),
        assignments,
        label: format!("IAM Identity Center {} in {}", table.identity_store_id, table.region),
        warnings: Vec::new(),
        memory: Memory::Elsewhere,
    })
}
