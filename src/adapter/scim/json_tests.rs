//! Names and places.

use pretty_assertions::assert_eq;
use proptest::prelude::*;

use super::*;
use crate::attributes::AttributeTable;

fn capabilities() -> StoreCapabilities {
    StoreCapabilities::named("scim")
}

fn table(values: &[(&str, &str)]) -> AttributeTable {
    let mut table = AttributeTable::default();
    table.open_row();
    for (name, value) in values {
        let name = table.name_index(name);
        assert!(table.push(name, value));
    }
    table
}

const WORK: &str = "emails[type eq \"work\"].value";

fn declared(names: &[&str]) -> Declared {
    names.iter().map(|&name| (name.to_owned(), AttributeSchema::default())).collect()
}

fn made(values: &[(&str, &str)]) -> Result<Value, Fault> {
    let table = table(values);
    new_record(Kind::User, "corp:1", table.row(0), &capabilities()).map(Value::Object)
}

fn patched(changes: &[(&str, &[&str])], record: &Value) -> Vec<Value> {
    let change = |(name, new): &(&str, &[&str])| Change {
        attribute: (*name).to_owned(),
        old: Vec::new(),
        new: new.iter().map(|&value| value.to_owned()).collect(),
    };
    let changes: Vec<Change> = changes.iter().map(change).collect();
    Changes::of(Kind::User, &changes, &capabilities()).unwrap().operations(record.as_object().unwrap())
}

#[test]
fn every_name_of_the_default_map_has_its_place() {
    let record = made(&[
        ("userName", "ada"),
        ("name.givenName", "Ada"),
        ("name.familyName", "Lovelace"),
        ("emails", "ada@example.com"),
        ("emails", "al@example.com"),
        ("phoneNumbers", "1"),
        ("department", "engines"),
        ("urn:example:2.0:User:badge", "7"),
        ("addresses[type eq \"work\"].locality", "London"),
        ("addresses[type eq \"work\"].country", "UK"),
    ]);
    let enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
    let expected = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", enterprise, "urn:example:2.0:User"],
        "externalId": "corp:1",
        "userName": "ada",
        "name": {"givenName": "Ada", "familyName": "Lovelace"},
        "emails": [
            {"value": "ada@example.com", "type": "work", "primary": true},
            {"value": "al@example.com", "type": "work"},
        ],
        "phoneNumbers": [{"value": "1", "type": "work", "primary": true}],
        enterprise: {"department": "engines"},
        "urn:example:2.0:User": {"badge": "7"},
        "addresses": [{"type": "work", "locality": "London", "country": "UK"}],
    });
    assert_eq!(record.unwrap(), expected);
}

#[test]
fn what_is_no_attribute_is_never_written_as_one() {
    // rules A1, M1: the link, the state and the members have writes of their own
    for name in ["externalId", "EXTERNALID", "active", "members", "id", "meta", "password", "members.value"] {
        assert!(matches!(made(&[("userName", "ada"), (name, "x")]), Err(Fault::Invalid(_))), "{name}");
    }
    for name in
        ["", "a b", "a.b.c", "a[type eq work].x", "a[x]", "emails[type eq \"w\"]", "x:y", "urn:x:", "$ref"]
    {
        assert!(matches!(made(&[("userName", "ada"), (name, "x")]), Err(Fault::Invalid(_))), "{name}");
    }
}

#[test]
fn a_record_without_what_it_must_have_is_not_made() {
    // rule A3
    assert!(matches!(made(&[("displayName", "Ada")]), Err(Fault::Invalid(_))));
    assert!(matches!(made(&[("userName", "ada"), ("title", "a"), ("title", "b")]), Err(Fault::Invalid(_))));
}

#[test]
fn a_record_is_read_as_flat_attributes() {
    let resource = json!({
        "schemas": ["x"], "id": "7", "externalId": "corp:1", "active": "False", "meta": {"version": "W/\"3\""},
        "USERNAME": "ada", "name": {"givenName": "Ada", "$ref": "x"},
        "emails": [{"value": "a@x", "type": "work", "primary": true}, {"value": "b@x"}],
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"department": "d", "manager": {"value": "9"}},
        "urn:example:2.0:User": {"badge": 7, "tags": ["p", "q"]},
        "groups": [{"value": "g"}], "members": [{"value": "m"}, {"value": "m"}, "k"], "locale": null,
    });
    let record = Record::read(&resource, &ExternalIds::WithIssuer, &declared(&[WORK])).unwrap();
    assert_eq!((record.id.as_str(), record.active), ("7", false));
    assert_eq!(record.external_id, Some(ExternalId::new("corp", "1")));
    assert_eq!(record.version.as_deref(), Some("W/\"3\""));
    assert_eq!(record.members, ["k", "m"]);
    let mut attributes = record.attributes;
    attributes.sort();
    let expected = [
        ("department", "d"),
        ("emails", "a@x"),
        ("emails", "b@x"),
        ("emails[type eq \"work\"].value", "a@x"),
        ("name.givenName", "Ada"),
        ("urn:example:2.0:User:badge", "7"),
        ("urn:example:2.0:User:tags", "p"),
        ("urn:example:2.0:User:tags", "q"),
        ("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value", "9"),
        ("userName", "ada"),
    ];
    assert_eq!(attributes, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[test]
fn what_cannot_be_understood_is_an_error_and_never_left_out() {
    // rules C1, C5
    for resource in [
        json!("x"),
        json!({"userName": "ada"}),
        json!({"id": 7}),
        json!({"id": ""}),
        json!({"id": "7", "active": 1}),
        json!({"id": "7", "members": [{"display": "Ada"}]}),
        json!({"id": "7", "members": "all"}),
    ] {
        assert!(Record::read(&resource, &ExternalIds::WithIssuer, &declared(&[])).is_err(), "{resource}");
    }
}

#[test]
fn a_change_touches_what_it_names_and_no_more() {
    // rule A1
    let record = json!({"emails": [{"type": "home", "value": "h"}, {"type": "work", "value": "w"}]});
    let work = "emails[type eq \"work\"].value";
    assert_eq!(patched(&[(work, &["x"])], &record), [json!({"op": "replace", "path": work, "value": "x"})]);
    assert_eq!(
        patched(&[(work, &[])], &record),
        [json!({"op": "remove", "path": "emails[type eq \"work\"]"})]
    );
    let other = "emails[type eq \"other\"].value";
    let added = json!({"op": "add", "path": "emails", "value": [{"type": "other", "value": "x"}]});
    assert_eq!(patched(&[(other, &["x"])], &record), [added]);
    assert_eq!(patched(&[(other, &[])], &record), [] as [Value; 0]);
    let department = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department";
    assert_eq!(
        patched(&[("name.givenName", &["A"]), ("title", &[]), ("department", &["d"])], &json!({})),
        [
            json!({"op": "replace", "path": "name.givenName", "value": "A"}),
            json!({"op": "remove", "path": "title"}),
            json!({"op": "replace", "path": department, "value": "d"}),
        ]
    );
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(value in "\\PC*", kind in "\\PC+") {
        // rule A4
        let by_type = format!("emails[type eq {}].value", filter::quote(&kind));
        for name in ["userName", "name.givenName", "title", "department", "urn:example:2.0:User:badge", &by_type] {
            let written: Vec<(&str, &str)> = [("userName", "ada"), (name, value.as_str())]
                .into_iter().filter(|pair| name != "userName" || pair.1 == value).collect();
            let Value::Object(mut record) = made(written.get(written.len() - 1..).unwrap()).or_else(|_| made(&written)).unwrap()
                else { unreachable!() };
            record.insert("id".to_owned(), json!("7"));
            let read = Record::read(&Value::Object(record), &ExternalIds::WithIssuer, &declared(&[&by_type])).unwrap();
            prop_assert!(read.attributes.contains(&(name.to_owned(), value.clone())), "{name}");
        }
    }

    #[test]
    fn no_name_makes_a_panic(name in "\\PC*|[a-z\\[\\]\" .:]*", multi in any::<bool>()) {
        // rule S1
        let _ = Place::of(&name, multi);
    }
}
