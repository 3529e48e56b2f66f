//! The half that reads.

use identity_sync::adapter::scim::ExternalIds;
use identity_sync::{ErrorKind, ExternalId, IdentityStore, Kind, StoreId, StoreSelect, WriteBatch};
use pretty_assertions::assert_eq;
use serde_json::json;

use crate::bridge::{Bridge, Fault, Reply, SCIM_ISSUER};
use crate::{ids, members, read, reader};

pub fn everything() -> serde_json::Value {
    json!({
        "userName": "ada@example.com", "displayName": "Ada Lovelace", "nickName": "ada", "active": false,
        "externalId": "corp:3f2c-01", "profileUrl": "https://example.com/ada", "title": "Countess",
        "userType": "staff", "preferredLanguage": "en", "locale": "en-GB", "timezone": "Europe/London",
        "website": "https://ada.example.com", "birthdate": "1815-12-10",
        "name": {
            "formatted": "Ada King", "familyName": "Lovelace", "givenName": "Ada", "middleName": "Augusta",
            "honorificPrefix": "Lady", "honorificSuffix": "I",
        },
        "emails": [{ "value": "ada@example.com", "type": "work", "primary": true }],
        "phoneNumbers": [{ "value": "+44 20 1", "type": "work" }],
        "addresses": [{
            "type": "work", "formatted": "1 Square, London", "streetAddress": "1 Square", "locality": "London",
            "postalCode": "SW1", "country": "UK",
        }],
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {
            "employeeNumber": "7", "costCenter": "c", "organization": "o", "division": "v", "department": "d",
            "manager": { "value": "m-1" },
        },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_store_reads_as_complete_and_empty() {
    // rule C1
    let bridge = Bridge::start();
    let reader = reader(&bridge);
    for kind in [Kind::User, Kind::Group] {
        assert_eq!(read(&reader, kind, StoreSelect::All).await.unwrap(), (Vec::new(), 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_attribute_state_link_and_revision_is_read() {
    // rules A5, M1, P7
    let bridge = Bridge::start();
    let ada = bridge.state().put(true, everything());
    bridge.state().users.get_mut(&ada).unwrap().revision = 17;
    let wanted = json!([{
        "id": ada, "active": false, "version": "17",
        "external_ids": [{ "issuer": "corp", "value": "3f2c-01" }],
        "attributes": {
            "userName": "ada@example.com", "displayName": "Ada Lovelace", "nickName": "ada",
            "profileUrl": "https://example.com/ada", "title": "Countess", "userType": "staff",
            "preferredLanguage": "en", "locale": "en-GB", "timezone": "Europe/London",
            "website": "https://ada.example.com", "birthdate": "1815-12-10",
            "name.formatted": "Ada King", "name.familyName": "Lovelace", "name.givenName": "Ada",
            "name.middleName": "Augusta", "name.honorificPrefix": "Lady", "name.honorificSuffix": "I",
            "emails": "ada@example.com", "phoneNumbers": "+44 20 1",
            "employeeNumber": "7", "costCenter": "c", "organization": "o", "division": "v", "department": "d",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value": "m-1",
        },
    }]);
    let reader = reader(&bridge);
    let (rows, _) = read(&reader, Kind::User, StoreSelect::All).await.unwrap();
    assert_eq!(json!(rows), wanted);
    let (rows, _) = read(&reader, Kind::User, StoreSelect::Ids(&[ada.into()])).await.unwrap();
    assert_eq!(json!(rows), wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_record_is_read_once_in_pages_of_any_size() {
    // rule C1
    let bridge = Bridge::start();
    let (mut users, mut groups) = (Vec::new(), Vec::new());
    for number in 0..230 {
        users.push(bridge.state().user(&format!("user-{number}")));
    }
    for number in 0..30 {
        groups.push(bridge.state().group(&format!("group-{number}")));
    }
    bridge.state().members.extend(users.iter().map(|user| (groups[4].clone(), user.clone())));
    let reader = reader(&bridge);
    for (most, pages) in [(100, 3), (30, 8), (230, 3)] {
        bridge.state().page = most;
        let (rows, read_in) = read(&reader, Kind::User, StoreSelect::All).await.unwrap();
        assert_eq!((ids(&rows).len(), read_in), (230, pages));
        let mut found = members(&reader, &groups[4]).await.unwrap();
        found.0.sort_unstable();
        let mut wanted = users.clone();
        wanted.sort_unstable();
        assert_eq!(found, (wanted, pages));
    }
    assert_eq!(members(&reader, &groups[5]).await.unwrap().0, Vec::<String>::new());
    let (rows, _) = read(&reader, Kind::Group, StoreSelect::All).await.unwrap();
    assert_eq!(rows.len(), 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_asked_for_by_id_reads_as_among_all() {
    // rule P7
    let bridge = Bridge::start();
    let users: Vec<String> = (0..60).map(|number| bridge.state().user(&format!("u-{number}"))).collect();
    let group = bridge.state().group("g");
    let reader = reader(&bridge);
    let (all, _) = read(&reader, Kind::User, StoreSelect::All).await.unwrap();
    let mut asked: Vec<StoreId> = users.iter().map(|id| StoreId::from(id.as_str())).collect();
    asked.extend(["9067642ac7-gone".into(), group.as_str().into(), "".into()]);
    let (by_id, pages) = read(&reader, Kind::User, StoreSelect::Ids(&asked)).await.unwrap();
    assert_eq!(by_id, all);
    assert_eq!(pages, 3);
    let (rows, _) = read(&reader, Kind::Group, StoreSelect::Ids(&asked)).await.unwrap();
    assert_eq!(ids(&rows), [group]);
}

#[tokio::test(flavor = "multi_thread")]
async fn external_ids_of_other_systems_are_theirs() {
    // rule M7
    let bridge = Bridge::start();
    let put = |external_id: &str| {
        bridge.state().put(true, json!({ "userName": external_id, "externalId": external_id }))
    };
    let (ours, okta, partner) = (put("corp:1"), put("00u1ab"), put("partner:1"));
    let ad = bridge.state().user("ad");
    let directory = ("https://identitystore.amazonaws.com/d-9".to_owned(), "S-1-5-21".to_owned());
    bridge.state().users.get_mut(&ad).unwrap().foreign.push(directory);
    let links = |rows: &[serde_json::Value]| {
        let rows =
            rows.iter().map(|row| (row["id"].as_str().unwrap().to_owned(), row["external_ids"].clone()));
        rows.collect::<std::collections::BTreeMap<_, _>>()
    };
    let (rows, _) = read(&reader(&bridge), Kind::User, StoreSelect::All).await.unwrap();
    let found = links(&rows);
    assert_eq!(found[&ours], json!([{ "issuer": "corp", "value": "1" }]));
    assert_eq!(found[&okta], json!([{ "issuer": "", "value": "00u1ab" }]));
    assert_eq!(found[&partner], json!([{ "issuer": "partner", "value": "1" }]));
    assert_eq!(
        found[&ad],
        json!([{ "issuer": "https://identitystore.amazonaws.com/d-9", "value": "S-1-5-21" }])
    );
    // Where the host says that nobody else provisions, the anchor stands alone.
    let alone = reader(&bridge).external_ids(ExternalIds::AnchorOnly { issuer: "corp".into() });
    let (rows, _) = read(&alone, Kind::User, StoreSelect::All).await.unwrap();
    assert_eq!(links(&rows)[&okta], json!([{ "issuer": "corp", "value": "00u1ab" }]));
    assert_eq!(links(&rows)[&ad], found[&ad]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_found_by_its_external_id() {
    // rules M1, X2
    let bridge = Bridge::start();
    for number in 0..40 {
        bridge.state().user(&format!("somebody-{number}"));
    }
    let ada = bridge.state().put(true, everything());
    let group = bridge.state().put(false, json!({ "displayName": "g", "externalId": "corp:3f2c-02" }));
    bridge.state().page = 10;
    let wanted = [
        ExternalId::new("corp", "3f2c-01"),
        ExternalId::new("corp", "3f2c-02"),
        ExternalId::new("corp", "x"),
    ];
    let reader = reader(&bridge);
    // How AWS names the issuer is not known yet: everything is read.
    let (rows, pages) = read(&reader, Kind::User, StoreSelect::ExternalIds(&wanted)).await.unwrap();
    assert_eq!((ids(&rows), pages), (vec![ada.as_str()], 5));
    // Now it is.
    bridge.log();
    let (rows, pages) = read(&reader, Kind::User, StoreSelect::ExternalIds(&wanted)).await.unwrap();
    assert_eq!((ids(&rows), pages), (vec![ada.as_str()], 1));
    assert_eq!(bridge.log(), ["GetUserId", "DescribeUser", "GetUserId", "GetUserId"]);
    let (rows, _) = read(&reader, Kind::Group, StoreSelect::ExternalIds(&wanted)).await.unwrap();
    assert_eq!(ids(&rows), [group]);
    // Or the host has said it.
    let told = crate::reader(&bridge).scim_issuer(SCIM_ISSUER);
    let (rows, pages) = read(&told, Kind::User, StoreSelect::ExternalIds(&wanted)).await.unwrap();
    assert_eq!((ids(&rows), pages), (vec![ada.as_str()], 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_found_by_its_unique_value() {
    // rule M2
    let bridge = Bridge::start();
    let ada = bridge.state().put(true, everything());
    let group = bridge.state().group("Engineers");
    let reader = reader(&bridge);
    for (kind, attribute, value, wanted) in [
        (Kind::User, "userName", "ADA@example.com", vec![ada.as_str()]),
        (Kind::User, "emails", "ada@example.com", vec![ada.as_str()]),
        (Kind::User, "userName", "bob", vec![]),
        (Kind::User, "userName", " ", vec![]),
        (Kind::Group, "displayName", "engineers", vec![group.as_str()]),
    ] {
        let select = StoreSelect::UniqueValue { attribute, value };
        let (rows, _) = read(&reader, kind, select).await.unwrap();
        assert_eq!(ids(&rows), wanted, "{attribute} {value}");
    }
    let select = StoreSelect::UniqueValue { attribute: "title", value: "x" };
    assert_eq!(read(&reader, Kind::User, select).await.unwrap_err().kind(), ErrorKind::Unsupported);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_up_that_answers_somebody_else_is_not_believed() {
    // rules M1, M7
    let bridge = Bridge::start();
    let ada = bridge.state().put(true, everything());
    let bob = bridge.state().user("bob");
    let reader = reader(&bridge).scim_issuer(SCIM_ISSUER);
    let lie = |id: &str| {
        Fault::Answer(Reply::new(200, json!({ "UserId": id, "IdentityStoreId": "d" }).to_string()))
    };
    bridge.fail("GetUserId", lie(&bob));
    let wanted = [ExternalId::new("corp", "3f2c-01")];
    assert_eq!(read(&reader, Kind::User, StoreSelect::ExternalIds(&wanted)).await.unwrap().0.len(), 0);
    bridge.fail("GetUserId", lie(&bob));
    let select = StoreSelect::UniqueValue { attribute: "userName", value: "ada@example.com" };
    assert_eq!(read(&reader, Kind::User, select).await.unwrap().0.len(), 0);
    // A record under another id than the one that was asked for.
    bridge.fail("DescribeUser", lie(&bob));
    let error = read(&reader, Kind::User, StoreSelect::Ids(&[ada.into()])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Permanent);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reading_half_writes_nothing() {
    let bridge = Bridge::start();
    let reader = reader(&bridge);
    let mut batch = WriteBatch::new();
    let id = StoreId::from("u");
    batch.push(identity_sync::Write::DeleteUser { id: &id, version: None });
    assert_eq!(reader.write(&mut batch).await.unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(bridge.log(), Vec::<String>::new());
}
