//! An account that may not see everything takes nobody's access away.

use identity_sync::memory::{MemoryAssignments, MemoryStore};
use identity_sync::{
    AccountState, Action, ApplyOptions, Guards, Host, Preset, Run, RunState, apply, reconcile,
};

use super::*;

const PEOPLE: &str = "OU=People,OU=Corp,DC=corp,DC=example,DC=com";
const GROUPS: &str = "OU=Groups,OU=Corp,DC=corp,DC=example,DC=com";
const WHO: &str = "twilk";

fn deny(dn: &str, ace: &str) {
    let output = Command::new(variable("AD_SCRIPT"))
        .args(["deny", WHO, dn, ace, "--dir", &variable("AD_DIR")])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
#[ignore = "needs a domain controller: tests/servers/run ad"]
async fn what_an_account_may_not_read_is_unknown_and_never_gone() {
    // rules A5, C1, C3, E9
    let before = source(options()).await;
    let anchor = |dn: String| anchor_of(&dn);
    let sales = anchor(format!("CN=dept-sales,{GROUPS}"));
    let finance = anchor(format!("CN=dept-finance,{GROUPS}"));
    let nobody = anchor(format!("CN=empty-group,{GROUPS}"));
    let ren = anchor(format!("CN=Ren Tanaka,OU=Finance,{PEOPLE}"));
    let olga = anchor(format!("CN=Olga Santos,OU=Sales,{PEOPLE}"));
    let mei = anchor(format!("CN=Mei Ito,OU=Sales,{PEOPLE}"));

    // What the store was filled with while the account could still read.
    let store = MemoryStore::new("app");
    let assigned = MemoryAssignments::of("corp.example.com", &[&sales, &finance, &nobody]);
    let mut options = Preset::Mirror.options();
    options.guards = Guards::off();
    let run = Run::new(RunState::default(), NOW);
    let found = reconcile(&before, &store, &assigned, &options, &run, &Host::default()).await.unwrap();
    assert!(found.plan.operations().count() > 20, "{}", found.plan);
    assert!(
        apply(&found.plan, &store, &ApplyOptions::default(), &Host::default()).await.unwrap().is_success()
    );

    // The members of one group, a whole unit, two attributes of two people.
    deny(&format!("CN=dept-sales,{GROUPS}"), "RP;bf9679c0-0de6-11d0-a285-00aa003049e2;");
    deny(&format!("OU=Finance,{PEOPLE}"), "RPLCLO;;");
    deny(&format!("CN=Olga Santos,OU=Sales,{PEOPLE}"), "RP;bf967a68-0de6-11d0-a285-00aa003049e2;");
    deny(&format!("CN=Mei Ito,OU=Sales,{PEOPLE}"), "RP;bf967915-0de6-11d0-a285-00aa003049e2;");
    let poor = source(options_of(&format!("{WHO}@corp.example.com"), "Corp-Passw0rd-1")).await;
    let wanted = anchors([&sales, &finance, &nobody, &ren, &olga, &mei]);
    for select in [Select::All, Select::Anchors(&wanted)] {
        let seen = see(&poor, select).await.unwrap();
        assert!(!seen.users.contains_key(&ren));
        assert!(seen.groups[&finance].1.contains(&ren), "his name is in the list, and his id with it");
        assert!(!seen.open.contains(&finance));
        assert!(seen.groups[&sales].1.is_empty() && seen.open.contains(&sales), "hidden, not empty");
        assert!(!seen.open.contains(&nobody), "empty, not hidden");
        assert_eq!(seen.users[&olga].0, AccountState::Unknown);
        assert_eq!(seen.users[&mei].0, AccountState::Unknown);
    }
    let asked_for = anchors([&ren]);
    let mut asked = Asked::new(&asked_for);
    poor.existence(&mut asked).await.unwrap();
    assert!(asked.answers().all(|(_, answer)| answer == Existence::Unknown));

    let found = reconcile(&poor, &store, &assigned, &options, &run, &Host::default()).await.unwrap();
    let takes =
        |action: Action<'_>| matches!(action, Action::Deactivate | Action::Delete | Action::RemoveMembers(_));
    assert!(!found.plan.operations().any(|operation| takes(operation.action())), "{}", found.plan);
    assert!(found.plan.held().next().is_none(), "{}", found.plan);
}
