//! Between a domain controller and SCIM services.

use std::collections::BTreeMap;
use std::fs;

use identity_sync::adapter::scim::{FileLedger, Ledger as _, LedgerEntry};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::DEPARTMENTS;
use super::desk::Desk;
use super::tenant::{Shown, lives_beside_others};
use crate::scim::{fresh, raw};
use crate::variable;

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";

fn request(method: &str, url: &str, body: Option<&Value>) -> Value {
    let token = variable("SCIM_TOKEN");
    let (status, answer) = Runtime::new().unwrap().block_on(raw::request(method, url, &token, body));
    assert!((200..300).contains(&status), "{method} {url}: {status} {answer}");
    answer
}

fn all(url: &str, endpoint: &str) -> Vec<Value> {
    let list = request("GET", &format!("{url}/{endpoint}?count=1000"), None);
    let resources = list["Resources"].as_array().cloned().unwrap_or_default();
    assert_eq!(list["totalResults"], resources.len());
    resources
}

fn shown(url: &str) -> Shown {
    let (users, groups) = (all(url, "Users"), all(url, "Groups"));
    let is_ours =
        |record: &&Value| record["externalId"].as_str().is_some_and(|id| id.starts_with("corp.example.com:"));
    let names: BTreeMap<&str, &Value> =
        users.iter().map(|user| (user["id"].as_str().unwrap(), &user["userName"])).collect();
    let mut ours: Vec<String> = users
        .iter()
        .filter(is_ours)
        .map(|user| format!("user {} {} {}", user["userName"], user["externalId"], user["active"]))
        .collect();
    ours.extend(groups.iter().filter(is_ours).map(|group| {
        let members = group["members"].as_array().cloned().unwrap_or_default();
        let mut members: Vec<String> =
            members.iter().map(|member| names[member["value"].as_str().unwrap()].to_string()).collect();
        members.sort_unstable();
        format!("group {} {} {members:?}", group["displayName"], group["externalId"])
    }));
    ours.sort();
    let others = users.iter().chain(&groups).filter(|record| !is_ours(record));
    let mut theirs: Vec<String> = others.map(Value::to_string).collect();
    theirs.sort();
    Shown { ours, theirs }
}

fn put_theirs(url: &str) {
    let user = |name: &str| json!({"schemas": [USER], "userName": name, "active": true});
    let root = request("POST", &format!("{url}/Users"), Some(&user("root@example.com")));
    let mut partner = user("partner@example.com");
    partner["externalId"] = json!("partner:7");
    request("POST", &format!("{url}/Users"), Some(&partner));
    let members = json!([{"value": root["id"]}]);
    let admins = json!({"schemas": [GROUP], "displayName": "their admins", "members": members});
    request("POST", &format!("{url}/Groups"), Some(&admins));
}

fn beside_others(server: &str) {
    let url = fresh(server);
    put_theirs(&url);
    let mut desk = Desk::empty();
    desk.secrets.push(("AD_SYNC_TESTS_TOKEN", variable("SCIM_TOKEN")));
    let table = format!(
        "[store.scim]\nurl = \"{url}\"\ntoken_env = \"AD_SYNC_TESTS_TOKEN\"\n[run]\nfile = \"state.json\"\n"
    );
    let [first, last] = lives_beside_others(&desk, &table, &|| shown(&url));
    let group = |shown: &Shown, name: &str| {
        let line = shown.ours.iter().find(|line| line.contains(&format!("group \"{name}\"")));
        line.map(|line| line.matches('@').count())
    };
    assert_eq!(group(&first, "dept-engineering"), group(&last, "dept-engineering"));
    assert!(group(&first, "dept-sales") > Some(5));
    assert!(group(&last, "dept-sales").is_none_or(|members| members == 0));
    // Whoever left may not sign in any more, or is gone.
    let active = |shown: &Shown| shown.ours.iter().filter(|line| line.ends_with(" true")).count();
    assert!(active(&last) < active(&first));
}

#[test]
#[ignore = "needs a domain controller and scim2-server: tests/servers/run ad scim"]
fn a_strict_service_keeps_what_is_not_ours() {
    beside_others("SCIM_URL");
}

#[test]
#[ignore = "needs a domain controller and scimmy: tests/servers/run ad scim"]
fn a_lax_service_keeps_what_is_not_ours() {
    beside_others("SCIMMY_URL");
}

#[test]
#[ignore = "needs a domain controller and scim2-server: tests/servers/run ad scim"]
fn a_ledger_is_settled_by_the_next_run_and_asked_for_again_where_it_was_lost() {
    // rule C5
    let url = fresh("SCIM_URL");
    put_theirs(&url);
    let mut desk = Desk::empty();
    desk.secrets.push(("AD_SYNC_TESTS_TOKEN", variable("SCIM_TOKEN")));
    let configure = |more: &str| {
        let table = format!(
            "[store.scim]\nurl = \"{url}\"\ntoken_env = \"AD_SYNC_TESTS_TOKEN\"\nmembers = \"not_listed\"\nledger = \"ledger\"\n\
             {more}[run]\nfile = \"state.json\"\n"
        );
        desk.configure_store(&table, DEPARTMENTS, &variable("AD_SYNC_ACCOUNT"), "");
    };
    configure("");
    assert_eq!(desk.run(&["--apply"]).0, 2);
    let (code, plan, said) = desk.run(&["--apply"]);
    assert_eq!(code, 0, "{plan}\n{said}");
    let end = shown(&url);

    // A removal that was never answered. It cannot be asked about, so it is repeated, and then the member is added as the plan
    // says; a dry run repeats nothing.
    let groups = all(&url, "Groups");
    let sales = groups.iter().find(|group| group["displayName"] == "dept-sales").unwrap();
    let (group, member) = (sales["id"].as_str().unwrap(), sales["members"][0]["value"].as_str().unwrap());
    let begun = LedgerEntry::Removing { group: group.into(), members: vec![member.into()] };
    let ledger = FileLedger::open(desk.path("ledger"), &url).unwrap();
    Runtime::new().unwrap().block_on(ledger.append(&[begun])).unwrap();
    drop(ledger);
    let files = desk.files();
    let (code, _, said) = desk.run(&[]);
    assert!(code == 1 && said.contains("1 memberships of a group are uncertain"), "{said}");
    assert_eq!(desk.files(), files);
    let (code, plan, said) = desk.run(&["--apply"]);
    assert_eq!(code, 2, "{plan}\n{said}");
    assert!(said.contains("ledger: 1 memberships of an earlier run are certain now"), "{said}");
    assert_eq!(shown(&url), end);

    fs::remove_file(desk.path("ledger")).unwrap();
    let (code, _, said) = desk.run(&["--apply"]);
    assert!(code == 1 && said.contains("the ledger does not know who is in a group"), "{said}");
    let (code, _, said) = desk.run(&["--apply", "--rebuild-ledger"]);
    assert!(code == 1 && said.contains("no filter for members"), "{said}");
    configure("member_filter = \"members.value\"\n");
    let (code, plan, said) = desk.run(&["--apply", "--rebuild-ledger"]);
    assert_eq!(code, 0, "{plan}\n{said}");
    assert!(said.contains("ledger: asked who of "), "{said}");
    let (_, plan, said) = desk.run(&[]);
    assert!(plan.starts_with("nothing to do\n"), "{plan}\n{said}");
    assert_eq!(shown(&url), end);
}
