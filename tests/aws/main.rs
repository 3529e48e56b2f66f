//! The AWS adapter from outside, against one identity store that is seen through both of AWS's protocols.

#![cfg(all(feature = "aws", feature = "testing"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "the helpers of tests are tests too")]
#![allow(unreachable_pub, reason = "the modules of this test are nobody else's")]

mod assignments;
mod bridge;
mod conformance;
mod faults;
mod lifecycle;
mod reading;

use std::time::Duration;

use aws_sdk_identitystore::config::{BehaviorVersion, Credentials, Region};
use identity_sync::adapter::aws::{AwsAssignments, AwsPace, AwsReader, AwsStore};
use identity_sync::adapter::scim::{ScimOptions, ScimStore, Token};
use identity_sync::{
    AssignmentError, AssignmentPage, AssignmentSet, Completeness, IdentityStore, Kind, MemberPage, PageEnd,
    Principal, StoreError, StoreId, StoreSelect, StoreSnapshot, StoredGroupPage, StoredUserPage,
};
use serde_json::Value;

use bridge::{Bridge, INSTANCE, STORE, TOKEN};

/// Fast enough that no test waits for it.
fn at_once() -> AwsPace {
    AwsPace::per_second(1_000_000)
}

fn reader(bridge: &Bridge) -> AwsReader {
    let http = aws_smithy_http_client::Builder::new().build_http();
    let config = aws_sdk_identitystore::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-central-1"))
        .credentials_provider(Credentials::new("key", "secret", None, None, "test"))
        .endpoint_url(&bridge.url)
        .http_client(http)
        .build();
    let client = aws_sdk_identitystore::Client::from_conf(config);
    AwsReader::new(&client, STORE).pace(at_once()).timeout(Duration::from_secs(5))
}

fn assignments(bridge: &Bridge) -> AwsAssignments {
    let http = aws_smithy_http_client::Builder::new().build_http();
    let config = aws_sdk_ssoadmin::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-central-1"))
        .credentials_provider(Credentials::new("key", "secret", None, None, "test"))
        .endpoint_url(&bridge.url)
        .http_client(http)
        .build();
    let client = aws_sdk_ssoadmin::Client::from_conf(config);
    AwsAssignments::new(&client, INSTANCE).pace(at_once()).timeout(Duration::from_secs(5))
}

async fn writer(bridge: &Bridge) -> ScimStore {
    let options = ScimOptions::aws_identity_center(bridge.scim_url(), Token::new(TOKEN)).rates(0, 0);
    ScimStore::connect(options.timeout(Duration::from_secs(5))).await.unwrap()
}

async fn store(bridge: &Bridge) -> AwsStore<ScimStore> {
    AwsStore::new(reader(bridge), writer(bridge).await)
}

/// All assignments, each as often as it comes, and how many pages they were.
async fn assigned(set: &dyn AssignmentSet) -> Result<(Vec<String>, usize), AssignmentError> {
    let (mut all, mut at, mut pages) = (Vec::new(), None, 0);
    loop {
        let mut page = AssignmentPage::default();
        let end = set.read_assignments(at.as_ref(), &mut page).await?;
        pages += 1;
        all.extend(page.principals().iter().map(|principal| match principal {
            Principal::Stored(id) => id.as_str().to_owned(),
            Principal::External(_) => panic!("aws names principals by store id"),
        }));
        match end {
            PageEnd::More(token) => at = Some(token),
            PageEnd::Last(end) => {
                assert!(end.is_complete());
                all.sort_unstable();
                return Ok((all, pages));
            }
        }
        assert!(pages < 1_000, "no end");
    }
}

/// The records of a read as a snapshot tells them, in the order of the read, and how many pages they were.
async fn read(
    store: &dyn IdentityStore,
    kind: Kind,
    select: StoreSelect<'_>,
) -> Result<(Vec<Value>, usize), StoreError> {
    let (mut at, mut pages) = (None, 0);
    let mut snapshot = StoreSnapshot::builder(store.capabilities());
    let mut order = Vec::new();
    loop {
        let (mut users, mut groups) = (StoredUserPage::default(), StoredGroupPage::default());
        let end = match kind {
            Kind::User => store.read_users(select, at.as_ref(), &mut users).await?,
            Kind::Group => store.read_groups(select, at.as_ref(), &mut groups).await?,
        };
        pages += 1;
        order.extend(users.ids().chain(groups.ids()).map(str::to_owned));
        snapshot.users(&users).unwrap();
        snapshot.groups(&groups).unwrap();
        match end {
            PageEnd::More(token) => at = Some(token),
            PageEnd::Last(end) => {
                assert!(end.is_complete());
                break;
            }
        }
        assert!(pages < 1_000, "no end");
    }
    let mut whole = serde_json::to_value(snapshot.finish(Completeness::Complete)).unwrap();
    let list = if kind == Kind::User { "users" } else { "groups" };
    let rows = whole[list].as_array_mut().unwrap();
    assert_eq!(rows.len(), order.len(), "a record came twice");
    rows.sort_by_key(|row| order.iter().position(|id| row["id"] == id.as_str()));
    Ok((std::mem::take(rows), pages))
}

/// The members of a group.
async fn members(store: &dyn IdentityStore, group: &str) -> Result<(Vec<String>, usize), StoreError> {
    let (mut all, mut at, mut pages) = (Vec::new(), None, 0);
    loop {
        let mut page = MemberPage::default();
        let end = store.read_members(&StoreId::from(group), at.as_ref(), &mut page).await?;
        pages += 1;
        all.extend(page.iter().map(str::to_owned));
        match end {
            PageEnd::More(token) => at = Some(token),
            PageEnd::Last(end) => {
                assert!(end.is_complete());
                return Ok((all, pages));
            }
        }
        assert!(pages < 1_000, "no end");
    }
}

fn ids(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["id"].as_str().unwrap()).collect()
}
