//! How long a read of a whole directory takes, beside `ldapsearch` for the same attributes over the same kind of connection.
//!
//! ```text
//! tests/servers/run --keep ad -- no_test   # prints the variables, and leaves the controller running
//! cargo bench --bench ldap --features ldap -- --pairs 5
//! ```
//!
//! Each pair is one read by each, in turn, so that what else the machine does meets both. The server does most of the
//! work in either case, one request at a time.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::panic,
    reason = "a measurement that fails shall say so"
)]
#![allow(clippy::disallowed_methods, reason = "it measures time")]

use std::process::{Command, Stdio};
use std::time::Instant;

use identity_sync::adapter::ldap::{LdapOptions, LdapSource};
use identity_sync::memory::{MemoryAssignments, MemoryStore};
use identity_sync::{
    DirectorySource, GroupPage, Host, Options, PageEnd, Read, Run, Select, Timestamp, UserPage, reconcile,
};

const USERS: &str = "(&(objectClass=user)(!(objectClass=computer)))";
const NEEDED: [&str; 8] = [
    "memberOf",
    "objectClass",
    "objectGUID",
    "objectSid",
    "userAccountControl",
    "accountExpires",
    "primaryGroupID",
    "uSNChanged",
];

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: see the head of this file"))
}

/// The groups that the test directory is filled up with, by their anchors.
async fn group_anchors(source: &LdapSource) -> Vec<String> {
    let (mut page, mut at, mut anchors) = (GroupPage::default(), None, Vec::new());
    loop {
        page.clear();
        let end = source.read_groups(Read::new(Select::All, at.as_ref()), &mut page).await.unwrap();
        let bulk = |name: Option<&str>| name.is_some_and(|name| name.starts_with("bulkgrp-"));
        let named = page.groups().filter(|(_, attributes, _)| bulk(attributes.get("cn")));
        anchors.extend(named.map(|(anchor, ..)| anchor.to_owned()));
        match end {
            PageEnd::More(token) => at = Some(token),
            PageEnd::Last(_) => return anchors,
        }
    }
}

/// A run to which these groups are assigned, and so all 10,000 users: it reads by anchor, and plans a first load. Answers how many operations.
async fn first_run(source: &LdapSource, assigned: &[String], options: &Options) -> usize {
    let assigned: Vec<&str> = assigned.iter().map(String::as_str).collect();
    let assigned = MemoryAssignments::of(source.identity().as_str(), &assigned);
    let (store, run) = (MemoryStore::new("app"), Run::at(Timestamp(1_795_413_600)));
    let found = reconcile(source, &store, &assigned, options, &run, &Host::default()).await.unwrap();
    found.plan.operations().len()
}

/// One search, its answer thrown away.
fn ldapsearch(filter: &str, attributes: &[String]) {
    let status = Command::new("ldapsearch")
        .env("LDAPTLS_CACERT", variable("AD_CA_FILE"))
        .args(["-LLL", "-x", "-H", &variable("AD_LDAPS_URL"), "-D", &variable("AD_SYNC_ACCOUNT")])
        .args(["-w", &variable("AD_SYNC_PASSWORD"), "-b", &variable("AD_BASE_DN"), "-E", "pr=1000/noprompt"])
        .arg(filter)
        .args(attributes)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
}

async fn read(source: &LdapSource) -> (usize, usize, usize) {
    let (mut users, mut groups, mut members) = (0, 0, 0);
    let (mut page, mut at) = (UserPage::default(), None);
    loop {
        page.clear();
        let end = source.read_users(Read::new(Select::All, at.as_ref()), &mut page).await.unwrap();
        users += page.len();
        match end {
            PageEnd::More(token) => at = Some(token),
            PageEnd::Last(_) => break,
        }
    }
    let (mut page, mut at) = (GroupPage::default(), None);
    loop {
        page.clear();
        let end = source.read_groups(Read::new(Select::All, at.as_ref()), &mut page).await.unwrap();
        for (_, attributes, list) in page.groups() {
            groups += usize::from(attributes.get("cn").is_some());
            members += list.count();
        }
        match end {
            PageEnd::More(token) => at = Some(token),
            PageEnd::Last(_) => return (users, groups, members),
        }
    }
}

fn main() {
    let mut words = std::env::args().skip(1);
    let mut pairs = 3;
    while let Some(word) = words.next() {
        if word == "--pairs" {
            pairs = words.next().and_then(|text| text.parse().ok()).unwrap_or(pairs);
        }
    }
    let options = Options::default();
    let ca = std::fs::read(variable("AD_CA_FILE")).unwrap();
    let account =
        LdapOptions::new(variable("AD_LDAPS_URL"), variable("AD_SYNC_ACCOUNT"), variable("AD_SYNC_PASSWORD"))
            .trust_pem(ca)
            .for_run(&options);
    let mut user_attributes = NEEDED.map(str::to_owned).to_vec();
    user_attributes.extend(options.user_map.sources().chain(options.group_map.sources()).map(str::to_owned));
    let mut group_attributes = user_attributes.clone();
    group_attributes.push("member".to_owned());

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let assigned = runtime.block_on(async {
        let source = LdapSource::connect(account.clone()).await.unwrap();
        group_anchors(&source).await
    });
    let (mut ratios, mut run_ratios) = (Vec::new(), Vec::new());
    for pair in 1..=pairs {
        let begun = Instant::now();
        ldapsearch(USERS, &user_attributes);
        ldapsearch("(objectClass=group)", &group_attributes);
        let theirs = begun.elapsed();
        let begun = Instant::now();
        let (users, groups, members) = runtime.block_on(async {
            let source = LdapSource::connect(account.clone()).await.unwrap();
            read(&source).await
        });
        let ours = begun.elapsed();
        let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
        ratios.push(ratio);
        let begun = Instant::now();
        let operations = runtime.block_on(async {
            let source = LdapSource::connect(account.clone()).await.unwrap();
            first_run(&source, &assigned, &options).await
        });
        let run = begun.elapsed();
        let run_ratio = run.as_secs_f64() / theirs.as_secs_f64();
        run_ratios.push(run_ratio);
        println!(
            "pair {pair}: {users} users, {groups} groups, {members} members: ldapsearch {:.2} s, this crate {:.2} s, ratio {ratio:.2}; \
             a first run by anchor, {operations} operations: {:.2} s, ratio {run_ratio:.2}",
            theirs.as_secs_f64(),
            ours.as_secs_f64(),
            run.as_secs_f64()
        );
    }
    for (what, mut ratios) in [("read of all", ratios), ("first run", run_ratios)] {
        ratios.sort_by(f64::total_cmp);
        println!("{what}: median ratio {:.2}", ratios.get(ratios.len() / 2).copied().unwrap_or_default());
    }
}
