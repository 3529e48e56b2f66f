//! What the program does to a store in which others live, too; whichever store it is.

use std::collections::BTreeMap;
use std::fs;
use std::process::Child;
use std::time::{Duration, Instant};

use identity_sync::{
    Completeness, IdentityStore, PageEnd, StoreSelect, StoreSnapshot, StoredGroupPage, StoredUserPage,
};
use serde_json::Value;

use super::DEPARTMENTS;
use super::desk::Desk;
use crate::variable;

/// What a store holds: ours without the ids that it chose, theirs as it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shown {
    /// A line for each user, which begins with `user`, and for each group with its members, which begins with `group`.
    pub(super) ours: Vec<String>,
    pub(super) theirs: Vec<String>,
}

impl Shown {
    fn users(&self) -> usize {
        self.ours.iter().filter(|line| line.starts_with("user ")).count()
    }
}

/// All that a store with member lists in its groups holds.
pub(super) async fn rows(store: &impl IdentityStore) -> Value {
    let mut snapshot = StoreSnapshot::builder(store.capabilities());
    let (mut page, mut at) = (StoredUserPage::default(), None);
    loop {
        page.clear();
        let end = store.read_users(StoreSelect::All, at.as_ref(), &mut page).await.unwrap();
        snapshot.users(&page).unwrap();
        let PageEnd::More(token) = end else { break };
        at = Some(token);
    }
    let (mut page, mut at) = (StoredGroupPage::default(), None);
    loop {
        page.clear();
        let end = store.read_groups(StoreSelect::All, at.as_ref(), &mut page).await.unwrap();
        snapshot.groups(&page).unwrap();
        let PageEnd::More(token) = end else { break };
        at = Some(token);
    }
    serde_json::to_value(snapshot.finish(Completeness::Complete)).unwrap()
}

/// Rows told apart: those with an external id are ours.
pub(super) fn shown(rows: &Value) -> Shown {
    let list = |name: &str| rows[name].as_array().unwrap().iter();
    let name = |record: &Value| {
        let attributes = &record["attributes"];
        format!("{}{}", attributes["userName"], attributes["displayName"])
    };
    let names: BTreeMap<&str, String> =
        list("users").map(|user| (user["id"].as_str().unwrap(), name(user))).collect();
    let is_ours = |record: &&Value| record["external_ids"].as_array().is_some_and(|ids| !ids.is_empty());
    let user = |user: &Value| {
        format!("user {} {} {} {}", name(user), user["active"], user["external_ids"], user["attributes"])
    };
    let group = |group: &Value| {
        let members = group["members"].as_array().unwrap().iter();
        let mut members: Vec<&str> = members.map(|id| names[id.as_str().unwrap()].as_str()).collect();
        members.sort_unstable();
        format!("group {} {} {members:?}", name(group), group["external_ids"])
    };
    let ours = list("users").filter(is_ours).map(user).chain(list("groups").filter(is_ours).map(group));
    let theirs = list("users").chain(list("groups")).filter(|record| !is_ours(record));
    Shown { ours: ours.collect(), theirs: theirs.map(Value::to_string).collect() }
}

/// A first load that is killed, runs until nothing is left, a department that leaves after a person has looked at it.
/// Answers what was there in between, and in the end.
pub(super) fn lives_beside_others(desk: &Desk, table: &str, shown: &dyn Fn() -> Shown) -> [Shown; 2] {
    // rules M7, X4, D5
    let account = variable("AD_SYNC_ACCOUNT");
    desk.configure_store(table, DEPARTMENTS, &account, "");
    let before = shown();
    assert!(before.ours.is_empty() && !before.theirs.is_empty(), "{before:?}");
    let files = desk.files();
    let (code, plan, said) = desk.run(&[]);
    assert_eq!(code, 2, "{said}");
    assert_eq!(shown(), before, "a dry run writes nothing");
    assert_eq!(desk.files(), files);

    let mut child = desk.command(&["--apply"]).spawn().unwrap();
    strike(&mut child, &|| shown().users() > 0);
    let (code, _, said) = desk.run(&["--apply"]);
    // Where the store takes all in a few requests, the blow may come after the last one.
    assert!(code == 0 || code == 2, "{said}");
    let (code, rest, said) = desk.run(&["--apply"]);
    assert_eq!(code, 0, "{rest}\n{said}");
    let first = shown();
    assert_eq!(first.theirs, before.theirs);
    let created = plan.lines().filter(|line| line.contains("create user")).count();
    assert!(created > 20);
    assert_eq!(first.users(), created, "each once, whoever was made before the blow");

    desk.configure_store(table, "groups = [\"dept-engineering\"]\nusers = [\"aek\"]", &account, "");
    let (code, _, said) = desk.run(&["--apply", "--held-out", "held.json"]);
    assert_eq!(code, 3, "{said}");
    assert!(fs::metadata(desk.path("held.json")).unwrap().len() > 0);
    let (code, _, said) = desk.run(&["--apply", "--approve", "held.json"]);
    assert_eq!(code, 2, "{said}");
    let (code, rest, said) = desk.run(&[]);
    assert_eq!(code, 0, "{rest}\n{said}");
    let last = shown();
    assert_eq!(last.theirs, before.theirs);
    assert_ne!(last.ours, first.ours);
    [first, last]
}

/// Kills it (SIGKILL) once this is so, if it is at work then.
fn strike(child: &mut Child, now: &dyn Fn() -> bool) {
    let begun = Instant::now();
    while !now() {
        assert!(begun.elapsed() < Duration::from_secs(120), "nothing is written");
        if child.try_wait().unwrap().is_some() {
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}
