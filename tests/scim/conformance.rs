//! The contract, over both dialects.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use identity_sync::adapter::scim::{FileLedger, MemberListing, ScimOptions, ScimStore, Token};
use identity_sync::testing::conformance::{self, BuildError, StoreBuilder, Unmanaged};
use identity_sync::{AttributeSchema, IdentityStore as _, Kind, MatchRule, StoreId};
use indexmap::IndexMap;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::fake::{Dialect, Fake, TOKEN, Trouble};

/// Servers of one dialect, by the address of each.
struct Servers {
    dialect: Dialect,
    listing: MemberListing,
    folder: TempDir,
    running: Mutex<BTreeMap<String, Fake>>,
}

impl Servers {
    fn new(dialect: Dialect, listing: MemberListing) -> Self {
        Self { dialect, listing, folder: tempfile::tempdir().unwrap(), running: Mutex::default() }
    }

    async fn connect(&self, url: &str) -> Result<ScimStore, BuildError> {
        let token = Token::new(TOKEN);
        let name = AttributeSchema::unique(MatchRule::NfkcCasefold).required();
        let options = match self.dialect {
            Dialect::Plain => ScimOptions::new(url, token)
                .groups(IndexMap::from([("displayName".to_owned(), name)]))
                .members(self.listing),
            _ => {
                let ledger = self.folder.path().join(format!("{}.ledger", url.replace(['/', ':'], "_")));
                ScimOptions::aws_identity_center(url, token)
                    .rates(0, 0)
                    .ledger(FileLedger::open(ledger, url)?)
            }
        };
        Ok(ScimStore::connect(options).await?)
    }
}

#[async_trait]
impl StoreBuilder for Servers {
    type Store = ScimStore;

    async fn empty(&self) -> Result<ScimStore, BuildError> {
        let fake = Fake::start(self.dialect).await;
        let url = fake.url.clone();
        self.running.lock().unwrap().insert(url.clone(), fake);
        self.connect(&url).await
    }

    fn attributes(&self, kind: Kind) -> Vec<String> {
        let names: &[&str] = if kind == Kind::User { &["nickName", "title"] } else { &[] };
        names.iter().map(|&name| name.to_owned()).collect()
    }

    /// A page has 100 records.
    fn many(&self) -> usize {
        105
    }

    async fn put_unmanaged(&self, store: &ScimStore, record: &Unmanaged) -> Result<StoreId, BuildError> {
        let running = self.running.lock().unwrap();
        let mut state = running[&store.capabilities().identity].state();
        let id = format!("theirs-{}", state.users.len() + state.groups.len());
        let mut made = Map::from_iter([("id".to_owned(), json!(id))]);
        for (name, values) in &record.attributes {
            match name.split_once('.') {
                Some((name, part)) => made.entry(name).or_insert_with(|| json!({}))[part] = json!(values[0]),
                None if ["emails", "phoneNumbers"].contains(&name.as_str()) => {
                    let list: Vec<Value> = values.iter().map(|value| json!({"value": value})).collect();
                    made.insert(name.clone(), json!(list));
                }
                None => {
                    made.insert(name.clone(), json!(values[0]));
                }
            }
        }
        match record.kind {
            Kind::User => {
                made.insert("active".to_owned(), json!(record.active));
                state.users.push(made);
            }
            Kind::Group => {
                state.members.insert(id.clone(), Default::default());
                state.groups.push(made);
            }
        }
        Ok(StoreId::from(id))
    }

    async fn reopen(&self, store: ScimStore) -> Result<ScimStore, BuildError> {
        let url = store.capabilities().identity;
        drop(store);
        self.connect(&url).await
    }

    /// The server announces more than it gives.
    async fn partial(&self, store: ScimStore) -> Result<ScimStore, BuildError> {
        let running = self.running.lock().unwrap();
        let fake = &running[&store.capabilities().identity];
        if self.dialect != Dialect::Plain {
            return Err(BuildError::cannot("this server announces nothing"));
        }
        fake.trouble("GET", "/Users", 100, Trouble::Total(3));
        drop(running);
        Ok(store)
    }
}

/// What a report has not looked at, beside what no SCIM store can do.
fn open(report: &conformance::Report) -> Vec<&str> {
    const NEVER: [&str; 3] = [
        "the_origin_is_kept_or_unknown",
        "who_made_a_user_inactive_is_remembered",
        "an_administrators_lock_stays_his",
    ];
    report.not_applicable().map(|(check, _)| check).filter(|check| !NEVER.contains(check)).collect()
}

/// Without versions, and with memberships that have to be removed first.
const UNVERSIONED: [&str; 5] = [
    "every_record_has_a_version",
    "a_stale_version_is_refused_and_nothing_is_written",
    "every_change_gives_another_version",
    "the_answered_version_is_the_one_read_next",
    "a_deleted_user_leaves_all_groups",
];

#[tokio::test]
async fn a_store_that_lists_members_conforms() {
    let report = conformance::store(&Servers::new(Dialect::Plain, MemberListing::PerGroup)).await;
    report.assert_conforming();
    assert_eq!(open(&report), UNVERSIONED);
}

#[tokio::test]
async fn a_store_that_lists_members_with_its_groups_conforms() {
    let report = conformance::store(&Servers::new(Dialect::Plain, MemberListing::WithGroups)).await;
    report.assert_conforming();
    assert_eq!(open(&report), UNVERSIONED);
}

#[tokio::test]
async fn a_store_with_the_limits_of_aws_conforms_with_a_ledger() {
    // rules C5, X5
    let report = conformance::store(&Servers::new(Dialect::Aws, MemberListing::NotListed)).await;
    report.assert_conforming();
    let mut open = open(&report);
    open.retain(|check| !UNVERSIONED.contains(check));
    // AWS keeps one value of each attribute.
    let one_value = ["several_values_all_come_back", "several_values_are_replaced_as_a_whole"];
    open.retain(|check| !one_value.contains(check));
    assert_eq!(open, ["what_cannot_be_seen_is_not_called_complete"]);
}
