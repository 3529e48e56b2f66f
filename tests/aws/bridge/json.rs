//! The awsJson side: Identity Store API and IAM Identity Center API, reading only.

use serde_json::{Map, Value, json};

use super::http::{Reply, Request};
use super::{INSTANCE, Record, SCIM_ISSUER, STORE, State, aws_error, folded};

pub fn answer(state: &mut State, request: &Request) -> Reply {
    let authorization = request.headers.get("authorization").map_or("", String::as_str);
    if !authorization.starts_with("AWS4-HMAC-SHA256 ") {
        return aws_error(403, "AccessDeniedException", json!({}));
    }
    let Some((service, operation)) =
        request.headers.get("x-amz-target").and_then(|target| target.split_once('.'))
    else {
        return Reply::new(404, "<html>not found</html>");
    };
    let asked: Value = serde_json::from_slice(&request.body).unwrap();
    let done = match service {
        "AWSIdentityStore" => identity_store(state, operation, &asked),
        "SWBExternalService" => identity_center(state, operation, &asked),
        _ => return aws_error(400, "UnknownOperationException", json!({})),
    };
    match done {
        Ok(body) => Reply::new(200, body.to_string()).header("content-type", "application/x-amz-json-1.1"),
        Err(reply) => reply,
    }
}

type Answer = Result<Value, Reply>;

fn missing() -> Reply {
    aws_error(400, "ResourceNotFoundException", json!({ "ResourceType": "USER" }))
}

fn malformed() -> Reply {
    aws_error(400, "ValidationException", json!({}))
}

fn identity_store(state: &mut State, operation: &str, asked: &Value) -> Answer {
    if asked["IdentityStoreId"] != STORE {
        return Err(missing());
    }
    let enterprise = asked["Extensions"] == json!(["aws:identitystore:enterprise"]);
    match operation {
        "ListUsers" => {
            let rows = state.users.iter().map(|(id, user)| (id.clone(), shown_user(id, user, enterprise)));
            page("Users", rows.collect(), asked, state.page)
        }
        "ListGroups" => {
            let rows = state.groups.iter().map(|(id, group)| (id.clone(), shown_group(id, group)));
            page("Groups", rows.collect(), asked, state.page)
        }
        "ListGroupMemberships" => {
            let group = text(asked, "GroupId")?;
            if !state.groups.contains_key(group) {
                return Err(missing());
            }
            let members = state.members.iter().filter(|(of, _)| of == group);
            let rows = members.map(|(_, user)| {
                let row = json!({
                    "IdentityStoreId": STORE, "MembershipId": format!("m-{user}"), "GroupId": group,
                    "MemberId": { "UserId": user },
                });
                (user.clone(), row)
            });
            page("GroupMemberships", rows.collect(), asked, state.page)
        }
        "DescribeUser" => {
            let id = text(asked, "UserId")?;
            state.users.get(id).map(|user| shown_user(id, user, enterprise)).ok_or_else(missing)
        }
        "DescribeGroup" => {
            let id = text(asked, "GroupId")?;
            state.groups.get(id).map(|group| shown_group(id, group)).ok_or_else(missing)
        }
        "GetUserId" => {
            let id = find(&state.users, &asked["AlternateIdentifier"], &["userName", "emails.value"])?;
            Ok(json!({ "UserId": id, "IdentityStoreId": STORE }))
        }
        "GetGroupId" => {
            let id = find(&state.groups, &asked["AlternateIdentifier"], &["displayName"])?;
            Ok(json!({ "GroupId": id, "IdentityStoreId": STORE }))
        }
        _ => Err(aws_error(400, "UnknownOperationException", json!({}))),
    }
}

fn identity_center(state: &mut State, operation: &str, asked: &Value) -> Answer {
    if operation != "ListApplicationAssignments" && asked["InstanceArn"] != INSTANCE {
        return Err(missing());
    }
    let names = |names: Vec<&String>| names.into_iter().map(|name| (name.clone(), json!(name))).collect();
    match operation {
        "ListPermissionSets" => {
            page("PermissionSets", names(state.assignments.keys().collect()), asked, state.page)
        }
        "ListAccountsForProvisionedPermissionSet" => {
            let accounts = state.assignments.get(text(asked, "PermissionSetArn")?).ok_or_else(missing)?;
            page("AccountIds", names(accounts.keys().collect()), asked, state.page)
        }
        "ListAccountAssignments" => {
            let (set, account) = (text(asked, "PermissionSetArn")?, text(asked, "AccountId")?);
            let principals = state.assignments.get(set).ok_or_else(missing)?.get(account);
            let rows = principals.into_iter().flatten().enumerate().map(|(number, principal)| {
                let row = json!({
                    "AccountId": account, "PermissionSetArn": set, "PrincipalType": "GROUP",
                    "PrincipalId": principal,
                });
                (format!("{number:06}"), row)
            });
            page("AccountAssignments", rows.collect(), asked, state.page)
        }
        "ListApplications" => {
            let rows = state.applications.keys().map(|arn| (arn.clone(), json!({ "ApplicationArn": arn })));
            page("Applications", rows.collect(), asked, state.page)
        }
        "ListApplicationAssignments" => {
            let arn = text(asked, "ApplicationArn")?;
            let principals = state.applications.get(arn).ok_or_else(missing)?;
            let rows = principals.iter().enumerate().map(|(number, principal)| {
                let row = json!({ "ApplicationArn": arn, "PrincipalId": principal, "PrincipalType": "USER" });
                (format!("{number:06}"), row)
            });
            page("ApplicationAssignments", rows.collect(), asked, state.page)
        }
        _ => Err(aws_error(400, "UnknownOperationException", json!({}))),
    }
}

fn text<'v>(asked: &'v Value, name: &str) -> Result<&'v str, Reply> {
    asked[name].as_str().filter(|text| !text.is_empty()).ok_or_else(malformed)
}

/// A page after the key that the token names.
fn page(list: &str, rows: Vec<(String, Value)>, asked: &Value, most: usize) -> Answer {
    let after = asked["NextToken"].as_str().unwrap_or("");
    let wanted = asked["MaxResults"].as_u64().map_or(100, |most| most as usize);
    if !(1..=100).contains(&wanted) {
        return Err(malformed());
    }
    let mut rest = rows.into_iter().filter(|(key, _)| key.as_str() > after).peekable();
    let (mut given, mut last) = (Vec::new(), String::new());
    for (key, row) in rest.by_ref().take(wanted.min(most)) {
        given.push(row);
        last = key;
    }
    let mut body = json!({ list: given });
    if rest.peek().is_some() {
        body["NextToken"] = json!(last);
    }
    Ok(body)
}

fn find(
    records: &std::collections::BTreeMap<String, Record>,
    wanted: &Value,
    unique: &[&str],
) -> Result<String, Reply> {
    let is_wanted = |record: &Record| {
        if let Some(link) = wanted["ExternalId"].as_object() {
            return external_ids(record).iter().any(|held| held.as_object() == Some(link));
        }
        let (path, value) = (
            wanted["UniqueAttribute"]["AttributePath"].as_str().unwrap(),
            &wanted["UniqueAttribute"]["AttributeValue"],
        );
        assert!(unique.contains(&path), "{path} is not unique in AWS");
        let is_same =
            |held: &Value| held.as_str().is_some_and(|held| folded(held) == folded(value.as_str().unwrap()));
        match path {
            "emails.value" => {
                record.scim["emails"].as_array().into_iter().flatten().any(|one| is_same(&one["value"]))
            }
            path => is_same(&record.scim[path]),
        }
    };
    let found = records.iter().find(|(_, record)| is_wanted(record));
    found.map(|(id, _)| id.clone()).ok_or_else(missing)
}

fn external_ids(record: &Record) -> Vec<Value> {
    let ours = record.scim["externalId"].as_str().map(|id| json!({ "Issuer": SCIM_ISSUER, "Id": id }));
    let theirs = record.foreign.iter().map(|(issuer, id)| json!({ "Issuer": issuer, "Id": id }));
    ours.into_iter().chain(theirs).collect()
}

fn shown_user(id: &str, user: &Record, enterprise: bool) -> Value {
    let mut shown = Map::new();
    for (name, value) in user.scim.as_object().unwrap() {
        match name.as_str() {
            "id" | "externalId" | "active" | "schemas" | "meta" => {}
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User" if enterprise => {
                shown.insert("Extensions".to_owned(), json!({ "aws:identitystore:enterprise": value }));
            }
            name if name.starts_with("urn:") => {}
            name => {
                shown.insert(pascal(name), pascals(value));
            }
        }
    }
    shown.insert("UserId".to_owned(), json!(id));
    shown.insert("IdentityStoreId".to_owned(), json!(STORE));
    shown.insert("Revision".to_owned(), json!(user.revision.to_string()));
    let status = if user.scim["active"] == json!(false) { "DISABLED" } else { "ENABLED" };
    shown.insert("UserStatus".to_owned(), json!(status));
    let links = external_ids(user);
    if !links.is_empty() {
        shown.insert("ExternalIds".to_owned(), json!(links));
    }
    Value::Object(shown)
}

fn shown_group(id: &str, group: &Record) -> Value {
    let mut shown =
        json!({ "GroupId": id, "IdentityStoreId": STORE, "Revision": group.revision.to_string() });
    for name in ["displayName", "description"] {
        if let Some(value) = group.scim.get(name) {
            shown[pascal(name)] = value.clone();
        }
    }
    let links = external_ids(group);
    if !links.is_empty() {
        shown["ExternalIds"] = json!(links);
    }
    shown
}

/// The names of a value as this protocol has them.
fn pascals(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(name, value)| (pascal(name), pascals(value))).collect())
        }
        Value::Array(list) => list.iter().map(pascals).collect(),
        value => value.clone(),
    }
}

fn pascal(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}
