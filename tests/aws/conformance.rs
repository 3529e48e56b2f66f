//! Both halves together keep the contract of a store.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use identity_sync::adapter::aws::AwsStore;
use identity_sync::adapter::scim::ScimStore;
use identity_sync::testing::conformance::{self, BuildError, StoreBuilder, Unmanaged};
use identity_sync::{IdentityStore, Kind, StoreId};
use serde_json::{Value, json};

use crate::bridge::Bridge;
use crate::store;

/// Each store is on a bridge of its own.
#[derive(Default)]
struct OnBridges(Mutex<BTreeMap<String, Bridge>>);

impl OnBridges {
    /// The bridge of a store, by the address that its writer is named after.
    fn bridge(&self, store: &AwsStore<ScimStore>) -> Bridge {
        self.0.lock().unwrap()[&store.writer().capabilities().identity].clone()
    }
}

#[async_trait]
impl StoreBuilder for OnBridges {
    type Store = AwsStore<ScimStore>;

    async fn empty(&self) -> Result<Self::Store, BuildError> {
        let bridge = Bridge::start();
        bridge.state().page = 20;
        let store = store(&bridge).await;
        self.0.lock().unwrap().insert(store.writer().capabilities().identity, bridge);
        Ok(store)
    }

    fn attributes(&self, kind: Kind) -> Vec<String> {
        let names: &[&str] = match kind {
            Kind::User => &["title", "nickName", "department"],
            // AWS takes a name, and nothing else.
            Kind::Group => &[],
        };
        names.iter().map(|&name| name.to_owned()).collect()
    }

    /// A page of these bridges has 20.
    fn many(&self) -> usize {
        50
    }

    async fn put_unmanaged(&self, store: &Self::Store, record: &Unmanaged) -> Result<StoreId, BuildError> {
        let bridge = self.bridge(store);
        let mut scim = json!({});
        for (name, values) in &record.attributes {
            let value: Value = match name.as_str() {
                "emails" | "phoneNumbers" => values.iter().map(|value| json!({ "value": value })).collect(),
                _ => json!(values[0]),
            };
            match name.split_once('.') {
                Some((outer, inner)) => scim[outer][inner] = value,
                None => scim[name] = value,
            }
        }
        if record.kind == Kind::User {
            scim["active"] = json!(record.active);
        }
        let id = bridge.state().put(record.kind == Kind::User, scim);
        Ok(id.into())
    }

    async fn reopen(&self, store: Self::Store) -> Result<Self::Store, BuildError> {
        let bridge = self.bridge(&store);
        Ok(crate::store(&bridge).await)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_halves_together_conform() {
    let report = conformance::store(&OnBridges::default()).await;
    println!("{report}");
    report.assert_conforming();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_halves_show_every_record_alike() {
    // rule A4: what SCIM wrote reads back by the same names, or each run would write it again
    use identity_sync::{StoreSelect, StoredUserPage};
    let bridge = Bridge::start();
    bridge.state().put(true, crate::reading::everything());
    let scim = crate::writer(&bridge).await;
    let shown = |page: &StoredUserPage| {
        let mut all: Vec<String> = page
            .attributes()
            .flat_map(|row| row.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>())
            .collect();
        all.sort_unstable();
        all
    };
    let (mut one, mut other) = (StoredUserPage::default(), StoredUserPage::default());
    store(&bridge).await.read_users(StoreSelect::All, None, &mut one).await.unwrap();
    scim.read_users(StoreSelect::All, None, &mut other).await.unwrap();
    pretty_assertions::assert_eq!(shown(&one), shown(&other));
    assert!(shown(&one).len() > 20);
}
