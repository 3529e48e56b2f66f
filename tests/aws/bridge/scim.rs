//! The SCIM side, within the limits that the developer guide of AWS tells.

use serde_json::{Map, Value, json};

use super::http::{Reply, Request};
use super::{State, TOKEN, folded};

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

type Answer = Result<Reply, Reply>;

pub fn answer(state: &mut State, request: &Request) -> Reply {
    if request.headers.get("authorization") != Some(&format!("Bearer {TOKEN}")) {
        return refused(401);
    }
    let path = request.path.strip_prefix("/scim/v2/").unwrap_or_default();
    let (resource, id) = path.split_once('/').unwrap_or((path, ""));
    let users = match resource {
        "Users" => true,
        "Groups" => false,
        "ServiceProviderConfig" => return config(),
        _ => return refused(404),
    };
    let done = match (request.method.as_str(), id) {
        ("POST", "") => create(state, users, &request.body),
        ("GET", "") => list(state, users, request),
        ("GET", id) => one(state, users, id),
        ("PATCH", id) => patch(state, users, id, &request.body),
        ("DELETE", id) if state.delete(users, id) => Ok(Reply::new(204, "")),
        ("DELETE", _) => Err(refused(404)),
        _ => Err(refused(405)),
    };
    done.unwrap_or_else(|refusal| refusal)
}

pub(super) fn refused(status: u16) -> Reply {
    let body = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"], "status": status.to_string(),
        "detail": "no personal words",
    });
    told(status, &body)
}

fn told(status: u16, body: &Value) -> Reply {
    Reply::new(status, body.to_string()).header("content-type", "application/scim+json")
}

fn config() -> Reply {
    let no = json!({ "supported": false });
    let body = json!({
        "patch": { "supported": true }, "bulk": { "supported": false, "maxOperations": 0, "maxPayloadSize": 0 },
        "filter": { "supported": true, "maxResults": 100 }, "changePassword": no, "sort": no, "etag": no,
    });
    told(200, &body)
}

fn shown(users: bool, record: &Value) -> Value {
    let mut shown = record.clone();
    shown["meta"] = json!({ "resourceType": if users { "User" } else { "Group" } });
    // Members are told by no answer.
    shown.as_object_mut().unwrap().remove("members");
    shown
}

fn one(state: &mut State, users: bool, id: &str) -> Answer {
    let record = state.records(users).get(id).ok_or_else(|| refused(404))?;
    Ok(told(200, &shown(users, &record.scim)))
}

fn create(state: &mut State, users: bool, body: &[u8]) -> Answer {
    let mut record: Value = serde_json::from_slice(body).map_err(|_| refused(400))?;
    if record.get("id").is_some() || record.get("members").is_some_and(|list| list != &json!([])) {
        return Err(refused(400));
    }
    let of_groups = ["schemas", "displayName", "externalId", "members"];
    if !users
        && record.as_object().is_some_and(|map| map.keys().any(|key| !of_groups.contains(&key.as_str())))
    {
        return Err(refused(400));
    }
    if users && record.get("active").is_none() {
        record["active"] = json!(true);
    }
    check(state, users, "", &record)?;
    let held = state.users.len() + state.groups.len();
    if state.quota.is_some_and(|quota| held >= quota) {
        return Err(refused(402));
    }
    let id = state.put(users, record);
    Ok(told(201, &shown(users, &state.records(users)[&id].scim)))
}

/// What every record must have, and no two may share.
fn check(state: &mut State, users: bool, id: &str, record: &Value) -> Result<(), Reply> {
    // Names and addresses by the widest rule, external ids byte for byte.
    let text = |record: &Value, pointer: &str| {
        let text = record.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty())?;
        Some(if pointer == "/externalId" { text.to_owned() } else { folded(text) })
    };
    let required: &[&str] = if users {
        &["/userName", "/displayName", "/name/givenName", "/name/familyName"]
    } else {
        &["/displayName"]
    };
    if required.iter().any(|pointer| text(record, pointer).is_none()) {
        return Err(refused(400));
    }
    for list in ["emails", "phoneNumbers", "addresses"] {
        if record.get(list).and_then(Value::as_array).is_some_and(|list| list.len() > 1) {
            return Err(refused(400));
        }
    }
    let unique: &[&str] = if users {
        &["/userName", "/emails/0/value", "/externalId"]
    } else {
        &["/displayName", "/externalId"]
    };
    let others: Vec<&Value> =
        state.records(users).iter().filter(|(other, _)| *other != id).map(|(_, other)| &other.scim).collect();
    let is_taken = |pointer: &str| {
        let value = text(record, pointer);
        value.is_some() && others.iter().any(|other| text(other, pointer) == value)
    };
    if unique.iter().any(|pointer| is_taken(pointer)) { Err(refused(409)) } else { Ok(()) }
}

/// Filters by equality, joined by `and`; pages by cursor.
fn list(state: &mut State, users: bool, request: &Request) -> Answer {
    if request.query.keys().any(|key| !["filter", "cursor", "count"].contains(&key.as_str())) {
        return Err(refused(400));
    }
    let mut wanted = Vec::new();
    for part in request.query.get("filter").iter().flat_map(|filter| filter.split(" and ")) {
        let (path, value) = part.split_once(" eq ").ok_or_else(|| refused(400))?;
        let value: String = serde_json::from_str(value).map_err(|_| refused(400))?;
        wanted.push((path.to_owned(), value));
    }
    let known: &[&str] = if users {
        &["userName", "externalId", "id"]
    } else {
        &["displayName", "externalId", "id", "members.value"]
    };
    if wanted.iter().any(|(path, _)| !known.contains(&path.as_str())) {
        return Err(refused(400));
    }
    let members = state.members.clone();
    let fits = |(id, record): &(&String, &super::Record)| {
        wanted.iter().all(|(path, value)| match path.as_str() {
            "members.value" => members.contains(&((*id).clone(), value.clone())),
            "id" | "externalId" => record.scim[path] == json!(value),
            path => record.scim[path].as_str().is_some_and(|held| folded(held) == folded(value)),
        })
    };
    let most = state.page;
    let after = request.query.get("cursor").cloned().unwrap_or_default();
    let count = request.query.get("count").map_or(100, |count| count.parse::<usize>().unwrap()).min(most);
    let found: Vec<Value> = {
        let records = state.records(users).iter().filter(fits);
        records.map(|(_, record)| shown(users, &record.scim)).collect()
    };
    let mut rest =
        found.into_iter().filter(|record| record["id"].as_str().unwrap() > after.as_str()).peekable();
    let page: Vec<Value> = rest.by_ref().take(count).collect();
    let mut body = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"], "itemsPerPage": page.len(),
    });
    if rest.peek().is_some() {
        body["nextCursor"] = page.last().unwrap()["id"].clone();
    }
    body["Resources"] = json!(page);
    Ok(told(200, &body))
}

fn patch(state: &mut State, users: bool, id: &str, body: &[u8]) -> Answer {
    let message: Value = serde_json::from_slice(body).map_err(|_| refused(400))?;
    let operations = message["Operations"].as_array().ok_or_else(|| refused(400))?;
    let mut record = state.records(users).get(id).ok_or_else(|| refused(404))?.scim.clone();
    let (mut joins, mut leaves) = (Vec::new(), Vec::new());
    for operation in operations {
        let path = operation["path"].as_str().ok_or_else(|| refused(400))?;
        let op = operation["op"].as_str().unwrap_or_default();
        if path != "members" {
            change(&mut record, users, op, path, &operation["value"])?;
            continue;
        }
        let list = operation["value"]
            .as_array()
            .filter(|list| !users && !list.is_empty())
            .ok_or_else(|| refused(400))?;
        for member in list {
            let member = member["value"].as_str().ok_or_else(|| refused(400))?.to_owned();
            match op {
                // Somebody who is not there cannot join.
                "add" if state.users.contains_key(&member) => joins.push(member),
                "add" => return Err(refused(404)),
                "remove" => leaves.push(member),
                _ => return Err(refused(400)),
            }
        }
    }
    if joins.len() + leaves.len() > 100 {
        return Err(refused(400));
    }
    check(state, users, id, &record)?;
    for member in joins {
        state.members.insert((id.to_owned(), member));
    }
    for member in leaves {
        state.members.remove(&(id.to_owned(), member));
    }
    let held = state.records(users).get_mut(id).unwrap();
    if held.scim != record {
        held.scim = record;
        held.revision += 1;
    }
    let shown = shown(users, &held.scim);
    Ok(if users { told(200, &shown) } else { Reply::new(204, "") })
}

fn change(record: &mut Value, users: bool, op: &str, path: &str, value: &Value) -> Result<(), Reply> {
    if !users && !["displayName", "externalId"].contains(&path) {
        return Err(refused(400));
    }
    if ["id", "meta", "schemas"].contains(&path) || (op == "remove" && ["userName", "active"].contains(&path))
    {
        return Err(refused(400));
    }
    let (object, path) = match path.strip_prefix(ENTERPRISE).and_then(|rest| rest.strip_prefix(':')) {
        Some(rest) => (inner(record, ENTERPRISE), rest),
        None => (record.as_object_mut().unwrap(), path),
    };
    let (object, name) = match path.split_once('.') {
        Some((outer, name)) => {
            let whole = object.entry(outer).or_insert_with(|| json!({}));
            (whole.as_object_mut().ok_or_else(|| refused(400))?, name)
        }
        None => (object, path),
    };
    if name.contains(['[', ':', ' ']) {
        return Err(refused(400));
    }
    match op {
        "add" | "replace" if !value.is_null() => object.insert(name.to_owned(), value.clone()),
        "remove" => object.remove(name),
        _ => return Err(refused(400)),
    };
    Ok(())
}

fn inner<'v>(record: &'v mut Value, name: &str) -> &'v mut Map<String, Value> {
    let whole = record.as_object_mut().unwrap().entry(name).or_insert_with(|| json!({}));
    whole.as_object_mut().unwrap()
}
