//! Between a domain controller and SQLite files.

use std::fs;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use identity_sync::adapter::sqlite::SqliteStore;
use pollster::block_on;

use super::DEPARTMENTS;
use super::desk::Desk;
use super::tenant::{rows, shown};
use crate::variable;

/// What the store holds, without the ids that it chose.
fn world_of(desk: &Desk) -> String {
    let store = SqliteStore::open(desk.path("identities.db")).unwrap();
    let mut lines = shown(&block_on(rows(&store))).ours;
    lines.sort();
    lines.join("\n")
}

#[test]
#[ignore = "needs a domain controller: tests/servers/run ad"]
fn a_dry_run_writes_nothing_an_apply_what_was_shown_and_a_second_one_nothing() {
    let desk = Desk::new(DEPARTMENTS);
    let before = desk.files();
    let (code, plan, said) = desk.run(&[]);
    assert_eq!(code, 2, "{said}");
    assert!(plan.contains("create user") && plan.contains("dept-engineering"));
    assert!(said.contains("dry run: nothing was written"));
    assert_eq!(desk.files(), before);

    let (code, shown, said) = desk.run(&["--apply"]);
    assert_eq!(code, 2, "{said}");
    assert_eq!(shown, plan);
    let after = desk.files();
    let (code, shown, said) = desk.run(&[]);
    assert_eq!((code, shown.as_str()), (0, "nothing to do\n"), "{said}");
    assert_eq!(desk.files(), after, "a dry run over a store that is there");
    let (code, shown, _) = desk.run(&["--apply", "--format", "html"]);
    assert_eq!(code, 0);
    assert!(shown.starts_with("<!doctype html>") && shown.contains("Nothing to do"));
    let (_, json, _) = desk.run(&["--format", "json"]);
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&json).unwrap()["operations"],
        serde_json::json!([])
    );
}

#[test]
#[ignore = "needs a domain controller: tests/servers/run ad"]
fn killed_at_any_moment_the_next_run_comes_to_the_same_end() {
    // rule X4
    let assignments = "groups = [\"bulkgrp-0\", \"bulkgrp-7\", \"bulkgrp-8\"]";
    // These users have no userPrincipalName.
    let map = "[options.user_map]\nuserName = { template = \"${sAMAccountName}\", required = true }\nemails = \"${mail}\"\n";
    let desk_of = || {
        let desk = Desk::new(assignments);
        desk.configure(assignments, &variable("AD_SYNC_ACCOUNT"), map);
        desk
    };
    let whole = desk_of();
    let (code, _, said) = whole.run(&["--apply"]);
    assert_eq!(code, 2, "{said}");
    let end = world_of(&whole);
    assert!(end.lines().count() > 4000);
    for share in [1, 30, 60, 95] {
        let desk = desk_of();
        let mut child = desk.command(&["--apply", "--out", "plan.txt"]).spawn().unwrap();
        let killed = strike(&desk, &mut child, 4000 * share / 100);
        // Late in its work it may be done before the blow falls.
        assert!(killed || share > 50, "it was done before the blow at {share} percent");
        let (code, _, said) = desk.run(&["--apply"]);
        assert!(code == 2 || share > 50 && code == 0, "{code}: {said}");
        assert_eq!(world_of(&desk), end, "killed at {share} percent");
        assert_eq!(desk.run(&[]).0, 0);
    }
}

/// Kills it (SIGKILL) once the store holds so many users; answers whether it was still at work.
fn strike(desk: &Desk, child: &mut Child, users: u64) -> bool {
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed() < Duration::from_secs(120), "nothing is written");
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        // Perhaps this makes the file, and perhaps the program does, at the same time.
        let counts = SqliteStore::open(desk.path("identities.db")).and_then(|store| store.counts()).unwrap();
        if counts.users >= users {
            child.kill().unwrap();
            child.wait().unwrap();
            return true;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
#[ignore = "needs a domain controller: tests/servers/run ad"]
fn of_a_held_set_runs_what_a_person_left_in_it() {
    // rule D5
    let desk = Desk::new(DEPARTMENTS);
    assert_eq!(desk.run(&["--apply"]).0, 2);
    let account = variable("AD_SYNC_ACCOUNT");
    desk.configure("groups = [\"dept-engineering\"]\nusers = [\"aek\"]", &account, "");
    let before = world_of(&desk);
    let (code, _, said) = desk.run(&["--apply", "--held-out", "held.json"]);
    assert_eq!(code, 3, "{said}");
    assert_eq!(world_of(&desk), before, "what is held does not run");

    let mut held: serde_json::Value =
        serde_json::from_slice(&fs::read(desk.path("held.json")).unwrap()).unwrap();
    let operations = held["operations"].as_array_mut().unwrap();
    assert!(operations.len() > 10);
    operations.retain(|operation| operation["action"] == "deactivate");
    operations.truncate(1);
    let whom = operations[0]["subject"]["name"].as_str().unwrap().to_owned();
    fs::write(desk.path("held.json"), held.to_string()).unwrap();
    let (code, plan, said) = desk.run(&["--apply", "--approve", "held.json"]);
    assert_eq!(code, 3, "{said}");
    assert!(plan.contains(&format!("- deactivate user {whom}")), "{plan}");
    let world = world_of(&desk);
    let (was, is): (Vec<&str>, Vec<&str>) = (before.lines().collect(), world.lines().collect());
    let changed: Vec<&&str> = is.iter().filter(|line| !was.contains(line)).collect();
    assert_eq!(changed.len(), 1, "{changed:?}");
    assert!(changed[0].contains(&whom) && changed[0].contains(" false "));
}

#[test]
#[ignore = "needs a domain controller: tests/servers/run ad"]
fn trouble_with_the_directory_is_one_line_and_tells_no_password() {
    // rule S2
    let mut desk = Desk::new(DEPARTMENTS);
    assert_eq!(desk.run(&["--apply"]).0, 2);
    let world = world_of(&desk);
    let account = variable("AD_SYNC_ACCOUNT");
    // A name that means nobody takes nobody's access away.
    for wrong in ["groups = [\"dept-enginering\"]", "groups = [\"dept-*\"]", "users = [\"jsmith)(cn=*\"]"] {
        desk.configure(wrong, &account, "");
        let (code, _, said) = desk.run(&["--apply"]);
        assert_eq!(code, 1);
        assert!(said.contains("nobody in the directory is called"), "{said}");
    }
    desk.configure("users = [\"Smith, John\"]", &account, "");
    let (code, _, said) = desk.run(&["--apply"]);
    assert!(code == 1 && said.contains("several are called"), "{said}");
    assert_eq!(world_of(&desk), world);
    // One among others holds back what would follow from its absence, and nothing else.
    desk.configure("groups = [\"dept-sales\", \"dept-enginering\"]", &account, "");
    let (code, plan, said) = desk.run(&["--apply", "--format", "html"]);
    assert!(
        code == 0 && said.contains("nobody in the directory is called dept-enginering"),
        "{code}: {said}"
    );
    assert!(plan.contains("nobody in the directory is called dept-enginering"), "{plan}");
    assert_eq!(world_of(&desk), world);
    // An account that may not see deletions.
    desk.password = variable("AD_PLAIN_PASSWORD");
    desk.configure(DEPARTMENTS, &variable("AD_PLAIN_ACCOUNT"), "");
    let (_, _, said) = desk.run(&[]);
    assert!(said.contains("may not read deleted objects"), "{said}");
    // The wrong password.
    desk.password = "Wr0ng-Tr0ub4dor-3".to_owned();
    desk.configure(DEPARTMENTS, &account, "");
    let (code, out, said) = desk.run(&["--apply"]);
    assert_eq!((code, out.as_str(), said.lines().count()), (1, "", 1), "{said}");
    assert_eq!(world_of(&desk), world);
}

/// Changes the directory, as the administrator.
fn change(ldif: &str) {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), ldif).unwrap();
    let output = Command::new("ldapmodify")
        .env("LDAPTLS_CACERT", variable("AD_CA_FILE"))
        .args(["-x", "-a", "-H", &variable("AD_LDAPS_URL"), "-D", &variable("AD_BIND_UPN")])
        .args(["-w", &variable("AD_BIND_PASSWORD"), "-f"])
        .arg(file.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Changes the directory while no server runs over it.
fn change_offline(ldif: &str) {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), ldif).unwrap();
    let folder = variable("AD_DIR");
    let output = Command::new("ldbmodify")
        .arg(format!("--configfile={folder}/etc/run.conf"))
        .args(["-H", &format!("{folder}/private/sam.ldb")])
        .arg(file.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Stops the controller, or starts it again with what it holds.
fn controller(verb: &str) {
    let mut command = Command::new(variable("AD_SCRIPT"));
    command.args([verb, "--dir", &variable("AD_DIR")]);
    if verb == "up" {
        command.args(["--ip", &variable("AD_IP")]);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
#[ignore = "needs a domain controller: tests/servers/run ad"]
fn a_loop_follows_the_directory_and_stops_when_it_is_asked_to() {
    let dn = "CN=ad-sync-loop,OU=Groups,OU=Corp,DC=corp,DC=example,DC=com";
    let member = "CN=Alva Ek,OU=IT,OU=People,OU=Corp,DC=corp,DC=example,DC=com";
    change(&format!("dn: {dn}\nchangetype: add\nobjectClass: group\nsAMAccountName: ad-sync-loop\n"));
    let desk = Desk::new("groups = [\"ad-sync-loop\"]");
    let account = variable("AD_SYNC_ACCOUNT");
    desk.configure("groups = [\"ad-sync-loop\"]", &account, "[schedule]\nwatch = \"1s\"\n");
    let child = desk.command(&["--apply", "--every", "2h"]).spawn().unwrap();
    let wait_for = |what: &dyn Fn() -> bool| {
        let begun = Instant::now();
        while !what() && begun.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(100));
        }
        what()
    };
    let counts = || SqliteStore::open(desk.path("identities.db")).ok()?.counts().ok();
    let first = wait_for(&|| counts().is_some_and(|counts| counts.groups == 1));
    change(&format!("dn: {dn}\nchangetype: modify\nadd: member\nmember: {member}\n"));
    let second = wait_for(&|| counts().is_some_and(|counts| counts.memberships == 1));
    // Gone for a while, and changed before anybody can ask again: what was followed so far is not forgotten.
    controller("down");
    std::thread::sleep(Duration::from_secs(3));
    change_offline(&format!("dn: {dn}\nchangetype: modify\ndelete: member\nmember: {member}\n"));
    controller("up");
    let third = wait_for(&|| counts().is_some_and(|counts| counts.memberships == 0));
    change(&format!("dn: {dn}\nchangetype: delete\n"));
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    let (code, _, said) = desk.heard(&child.wait_with_output().unwrap());
    assert!(first && second && third, "{said}");
    assert_eq!(said.matches("changes cannot be followed, only the schedule").count(), 1, "{said}");
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("the directory changed") && said.trim_end().ends_with("stopped"), "{said}");
}
