//! Whole runs: a directory, the assignments of AWS, and a store that already holds what others have put there.

use std::time::Duration;

use identity_sync::memory::{MemoryAssignments, MemoryDirectory};
use identity_sync::{
    AccountState, ApplyOptions, ApplyReport, AssignmentSet, ErrorKind, Guards, Host, Options, Outcome, Plan,
    Run, RunState, Timer, Timestamp, apply, reconcile,
};
use pretty_assertions::assert_eq;
use serde_json::{Value, json};

use crate::bridge::{Bridge, End, Fault, Reply, throttled};
use crate::{assignments, store};

/// Waiting is over at once.
struct Hurried;

#[async_trait::async_trait]
impl Timer for Hurried {
    async fn sleep(&self, _: Duration) {
        tokio::task::yield_now().await;
    }

    fn now(&self) -> Timestamp {
        Timestamp(0)
    }

    fn jitter(&self) -> f64 {
        0.5
    }
}

fn person(directory: &mut MemoryDirectory, anchor: &str) {
    let (name, mail) = (format!("{anchor}@corp.example"), format!("{anchor}.mail@corp.example"));
    let attributes = [
        ("userPrincipalName", name.as_str()),
        ("givenName", anchor),
        ("sn", "Example"),
        ("displayName", anchor),
        ("mail", &mail),
        ("department", "engines"),
        ("telephoneNumber", "+1 555 1"),
        ("title", "engineer"),
    ];
    directory.add_user(anchor, &attributes);
}

fn directory() -> MemoryDirectory {
    let mut directory = MemoryDirectory::new("corp");
    for anchor in ["ada", "bob", "cleo", "dora"] {
        person(&mut directory, anchor);
    }
    directory.add_group("eng", &[("cn", "Engineers"), ("description", "of engines")], &["ada", "bob"]);
    directory.add_group("staff", &[("cn", "Staff")], &["eng", "cleo"]);
    directory
}

/// Later: a name and a mail address change, an attribute goes, one is disabled, one deleted, one new, a group shrinks.
fn changed(mut directory: MemoryDirectory) -> MemoryDirectory {
    person(&mut directory, "eve");
    let ada = directory.users.get_mut("ada").unwrap();
    ada.attributes.insert("userPrincipalName".into(), vec!["countess@corp.example".into()]);
    ada.attributes.insert("mail".into(), vec!["countess@corp.example".into()]);
    ada.attributes.remove("department");
    ada.attributes.remove("title");
    directory.users.get_mut("bob").unwrap().state = AccountState::Disabled;
    directory.remove("cleo");
    directory.add_group("eng", &[("cn", "Engine makers")], &["ada", "eve"]);
    directory
}

/// What others have put into the store: records of the console, of another SCIM client, of a directory of AWS.
fn put_theirs(bridge: &Bridge) {
    let mut state = bridge.state();
    let admin = state.user("admin");
    let okta = state.put(
        true,
        json!({
            "userName": "okta", "displayName": "okta", "externalId": "00u1", "active": true,
            "name": { "givenName": "o", "familyName": "k" },
        }),
    );
    let partner = state.put(
        true,
        json!({
            "userName": "partner", "displayName": "partner", "externalId": "partner:ada", "active": false,
            "name": { "givenName": "o", "familyName": "k" },
        }),
    );
    let ad = state.user("from-ad");
    state.users.get_mut(&ad).unwrap().foreign.push(("https://aws.example/d-1".into(), "corp:ada".into()));
    let group = state.group("AWSAdministrators");
    let empty = state.group("nobody's");
    state.groups.get_mut(&empty).unwrap().foreign.push(("https://aws.example/d-1".into(), "S-1".into()));
    for user in [admin, okta, partner, ad] {
        state.members.insert((group.clone(), user));
    }
}

/// Everything in the store, ours or theirs, without ids and revisions of ours, which differ from run to run.
fn held(bridge: &Bridge, ours: bool) -> Value {
    let state = bridge.state();
    let is_ours = |record: &Value| record["externalId"].as_str().is_some_and(|id| id.starts_with("corp:"));
    let name = |id: &String| state.users[id].scim["userName"].as_str().unwrap().to_owned();
    let mut users: Vec<Value> = Vec::new();
    for user in state.users.values().filter(|user| is_ours(&user.scim) == ours) {
        let mut scim = user.scim.clone();
        if ours {
            scim.as_object_mut().unwrap().remove("id");
            users.push(scim);
        } else {
            users.push(json!([scim, user.revision]));
        }
    }
    let mut groups: Vec<Value> = Vec::new();
    for (id, group) in state.groups.iter().filter(|(_, group)| is_ours(&group.scim) == ours) {
        let mut members: Vec<String> =
            state.members.iter().filter(|(of, _)| of == id).map(|(_, user)| name(user)).collect();
        members.sort_unstable();
        groups.push(json!([group.scim["displayName"], group.scim["externalId"], members]));
    }
    users.sort_by_key(Value::to_string);
    groups.sort_by_key(Value::to_string);
    json!({ "users": users, "groups": groups })
}

fn options() -> Options {
    let mut options = Options::for_issuer("corp");
    options.guards = Guards::off();
    options
}

async fn planned(bridge: &Bridge, directory: &MemoryDirectory, assigned: &dyn AssignmentSet) -> Plan {
    let host = Host::new().timer(&Hurried);
    let run = Run::new(RunState::default(), Timestamp(1_000));
    let store = store(bridge).await;
    reconcile(directory, &store, assigned, &options(), &run, &host).await.unwrap().plan
}

async fn applied(bridge: &Bridge, plan: &Plan) -> ApplyReport {
    let host = Host::new().timer(&Hurried);
    apply(plan, &store(bridge).await, &ApplyOptions::default(), &host).await.unwrap()
}

fn by_anchor() -> MemoryAssignments {
    MemoryAssignments::of("corp", &["staff", "dora"])
}

/// Assigns ours in AWS, as an administrator does once they are there.
fn assign_in_aws(bridge: &Bridge) {
    let mut state = bridge.state();
    let id = |records: &std::collections::BTreeMap<String, crate::bridge::Record>, link: &str| {
        let found = records.iter().find(|(_, record)| record.scim["externalId"] == link);
        found.map(|(id, _)| id.clone()).unwrap()
    };
    let (staff, dora) = (id(&state.groups, "corp:staff"), id(&state.users, "corp:dora"));
    let admins = state
        .groups
        .iter()
        .find(|(_, group)| group.scim["displayName"] == "AWSAdministrators")
        .unwrap()
        .0
        .clone();
    state.assign("arn:ps-1", "111122223333", &staff);
    state.assign("arn:ps-1", "444455556666", &staff);
    state.assign("arn:ps-2", "111122223333", &admins);
    state.applications.insert("arn:app".into(), vec![dora, "9067642ac7-of-nobody".into()]);
}

/// A bridge on which the first state has been written without trouble.
async fn settled() -> Bridge {
    let bridge = Bridge::start();
    put_theirs(&bridge);
    let plan = planned(&bridge, &directory(), &by_anchor()).await;
    let report = applied(&bridge, &plan).await;
    assert!(report.is_success(), "{plan}\n{report}");
    assign_in_aws(&bridge);
    bridge
}

/// What the store holds of ours after both states, without trouble.
async fn wanted() -> Value {
    let bridge = settled().await;
    let plan = planned(&bridge, &changed(directory()), &assignments(&bridge)).await;
    assert!(applied(&bridge, &plan).await.is_success());
    held(&bridge, true)
}

/// Runs until nothing is left to do.
async fn converge(bridge: &Bridge, directory: &MemoryDirectory, assigned: &dyn AssignmentSet) {
    for _ in 0..5 {
        let plan = planned(bridge, directory, assigned).await;
        if plan.is_empty() {
            return;
        }
        applied(bridge, &plan).await;
    }
    panic!("there is always something left: {}", planned(bridge, directory, assigned).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn people_come_change_and_go_and_what_others_put_there_stays() {
    // rules E4, A5, D1, M7, P3, P4
    let bridge = Bridge::start();
    put_theirs(&bridge);
    let theirs = held(&bridge, false);
    let plan = planned(&bridge, &directory(), &by_anchor()).await;
    let report = applied(&bridge, &plan).await;
    assert!(report.is_success(), "{plan}\n{report}");
    let ours = held(&bridge, true);
    assert_eq!(ours["users"].as_array().unwrap().len(), 4);
    let members = |group: &str, of: &Value| {
        let groups = of["groups"].as_array().unwrap();
        groups.iter().find(|row| row[1] == group).map(|row| row[2].clone()).unwrap()
    };
    assert_eq!(members("corp:eng", &ours), json!(["ada@corp.example", "bob@corp.example"]));
    assert_eq!(
        members("corp:staff", &ours),
        json!(["ada@corp.example", "bob@corp.example", "cleo@corp.example"])
    );
    // By the assignments of AWS, which name store ids, the same people are entitled.
    assign_in_aws(&bridge);
    let in_aws = assignments(&bridge);
    bridge.log();
    assert!(planned(&bridge, &directory(), &in_aws).await.is_empty());
    let reads_only = |log: Vec<String>| {
        log.iter().all(|operation| !operation.contains('/') || operation.starts_with("GET"))
    };
    assert!(reads_only(bridge.log()));
    // Then things change.
    let later = changed(directory());
    let plan = planned(&bridge, &later, &in_aws).await;
    let report = applied(&bridge, &plan).await;
    assert!(report.is_success(), "{plan}\n{report}");
    let ours = held(&bridge, true);
    let user = |name: &str| {
        let users = ours["users"].as_array().unwrap();
        users.iter().find(|user| user["externalId"] == name).cloned().unwrap_or(Value::Null)
    };
    assert_eq!(user("corp:ada")["userName"], "countess@corp.example");
    assert_eq!(user("corp:ada")["emails"][0]["value"], "countess@corp.example");
    assert_eq!(user("corp:ada")["title"], Value::Null);
    assert_eq!(user("corp:bob")["active"], false);
    assert_eq!(user("corp:cleo"), Value::Null);
    assert_eq!(members("corp:eng", &ours), json!(["countess@corp.example", "eve@corp.example"]));
    assert_eq!(members("corp:staff", &ours), members("corp:eng", &ours));
    assert_eq!(held(&bridge, false), theirs);
    let left = planned(&bridge, &later, &in_aws).await;
    assert!(left.is_empty(), "{left}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_write_loses_its_answer_nothing_is_there_twice_and_nothing_is_lost() {
    // rules X2, X4
    let wanted = wanted().await;
    let mut cases = Vec::new();
    for operation in ["POST /Users", "POST /Groups", "PATCH /Users", "PATCH /Groups", "DELETE /Users"] {
        for fault in [
            Fault::After(End::Lost),
            Fault::After(End::Cut),
            Fault::Before,
            Fault::Answer(Reply::new(500, "")),
            Fault::Answer(Reply::new(503, "").header("retry-after", "1")),
            Fault::Answer(Reply::new(429, "").header("retry-after", "1")),
        ] {
            for times in [1, 3] {
                let (wanted, fault) = (wanted.clone(), fault.clone());
                cases.push(tokio::spawn(async move {
                    let bridge = Bridge::start();
                    put_theirs(&bridge);
                    let theirs = held(&bridge, false);
                    bridge.fail_times(operation, 0, times, fault.clone());
                    converge(&bridge, &directory(), &by_anchor()).await;
                    assign_in_aws(&bridge);
                    bridge.clear();
                    bridge.fail_times(operation, 0, times, fault.clone());
                    let set = assignments(&bridge);
                    converge(&bridge, &changed(directory()), &set).await;
                    assert_eq!(held(&bridge, true), wanted, "{operation} {fault:?}");
                    assert_eq!(held(&bridge, false), theirs);
                }));
            }
        }
    }
    for case in cases {
        case.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_cut_at_any_request_is_finished_by_the_next() {
    // rules C1, X4
    let wanted = wanted().await;
    let bridge = settled().await;
    bridge.log();
    let plan = planned(&bridge, &changed(directory()), &assignments(&bridge)).await;
    applied(&bridge, &plan).await;
    let requests = bridge.log().len();
    assert!(requests > 20, "{requests}");
    let mut cases = Vec::new();
    for cut in 0..requests {
        let wanted = wanted.clone();
        cases.push(tokio::spawn(async move {
            let bridge = settled().await;
            let theirs = held(&bridge, false);
            // From here on, the server refuses everything; the engine gives up.
            let gone = Fault::Answer(Reply::new(401, ""));
            bridge.fail_times("", cut, usize::MAX, gone);
            let set = assignments(&bridge);
            let host = Host::new().timer(&Hurried);
            let run = Run::new(RunState::default(), Timestamp(1_000));
            if let Ok(store) = try_store(&bridge).await {
                let found = reconcile(&changed(directory()), &store, &set, &options(), &run, &host).await;
                if let Ok(found) = found {
                    apply(&found.plan, &store, &ApplyOptions::default(), &host).await.unwrap();
                }
            }
            bridge.clear();
            converge(&bridge, &changed(directory()), &set).await;
            assert_eq!(held(&bridge, true), wanted, "cut at {cut}");
            assert_eq!(held(&bridge, false), theirs);
        }));
    }
    for case in cases {
        case.await.unwrap();
    }
}

async fn try_store(
    bridge: &Bridge,
) -> Result<
    identity_sync::adapter::aws::AwsStore<identity_sync::adapter::scim::ScimStore>,
    identity_sync::StoreError,
> {
    use identity_sync::adapter::scim::{ScimOptions, ScimStore, Token};
    let options =
        ScimOptions::aws_identity_center(bridge.scim_url(), Token::new(crate::bridge::TOKEN)).rates(0, 0);
    let writer = ScimStore::connect(options.timeout(Duration::from_secs(5))).await?;
    Ok(identity_sync::adapter::aws::AwsStore::new(crate::reader(bridge), writer))
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_full_store_nobody_is_created_and_every_revocation_happens() {
    // rules X1, P6
    let bridge = settled().await;
    {
        // Full even when one has been deleted: the store was filled by others.
        let mut state = bridge.state();
        state.quota = Some(state.users.len() + state.groups.len() - 1);
    }
    let mut later = changed(directory());
    person(&mut later, "finn");
    later.add_group("eng", &[("cn", "Engine makers")], &["ada", "eve", "finn"]);
    let plan = planned(&bridge, &later, &assignments(&bridge)).await;
    bridge.log();
    let report = applied(&bridge, &plan).await;
    let posts = bridge.log().iter().filter(|operation| *operation == "POST /Users").count();
    assert!(posts <= 2, "{posts}");
    let full = |outcome: &&Outcome| matches!(outcome, Outcome::Failed(error) if error.kind() == ErrorKind::QuotaExceeded);
    assert!(report.outcomes.iter().filter(full).count() >= 1, "{report}");
    let ours = held(&bridge, true);
    let links: Vec<&str> =
        ours["users"].as_array().unwrap().iter().map(|user| user["externalId"].as_str().unwrap()).collect();
    assert_eq!(links.len(), 3, "{links:?}");
    assert!(!links.contains(&"corp:cleo"));
    let bob = ours["users"].as_array().unwrap().iter().find(|user| user["externalId"] == "corp:bob").unwrap();
    assert_eq!(bob["active"], false);
    for group in ours["groups"].as_array().unwrap() {
        assert!(!group[2].as_array().unwrap().contains(&json!("bob@corp.example")), "{group}");
    }
    // With room again, the rest follows.
    bridge.state().quota = None;
    converge(&bridge, &later, &assignments(&bridge)).await;
    assert_eq!(held(&bridge, true)["users"].as_array().unwrap().len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn throttling_on_both_sides_only_takes_time() {
    // rule X3
    let wanted = wanted().await;
    let bridge = settled().await;
    let busy = Fault::Answer(Reply::new(429, ""));
    for skip in 0..4 {
        bridge.fail_times("List", skip * 2, 1, throttled(0));
        bridge.fail_times("Describe", skip, 1, throttled(0));
        bridge.fail_times("PATCH", skip, 1, busy.clone());
        bridge.fail_times("GET /Users", skip, 1, busy.clone());
    }
    let set = assignments(&bridge);
    converge(&bridge, &changed(directory()), &set).await;
    assert_eq!(held(&bridge, true), wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_somebody_changed_since_the_plan_is_left_to_the_next_run() {
    // rule P7
    let bridge = settled().await;
    let later = changed(directory());
    let plan = planned(&bridge, &later, &assignments(&bridge)).await;
    {
        let mut state = bridge.state();
        let ada = state.users.values_mut().find(|user| user.scim["externalId"] == "corp:ada").unwrap();
        ada.scim["title"] = json!("by hand");
        ada.revision += 1;
    }
    let report = applied(&bridge, &plan).await;
    let conflicts = report
        .outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Outcome::Failed(error) if error.kind() == ErrorKind::Conflict));
    assert_eq!(conflicts.count(), 1, "{report}");
    let users = held(&bridge, true);
    let ada =
        users["users"].as_array().unwrap().iter().find(|user| user["externalId"] == "corp:ada").unwrap();
    assert_eq!((&ada["userName"], &ada["title"]), (&json!("ada@corp.example"), &json!("by hand")));
    converge(&bridge, &later, &assignments(&bridge)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_alone_is_enough_for_a_plan() {
    let bridge = settled().await;
    let (host, run) = (Host::new(), Run::new(RunState::default(), Timestamp(1_000)));
    let set = assignments(&bridge);
    let whole = planned(&bridge, &changed(directory()), &set).await;
    let found =
        reconcile(&changed(directory()), &crate::reader(&bridge), &set, &options(), &run, &host).await;
    let alone = found.unwrap().plan;
    assert_eq!(alone.len(), whole.len(), "{alone}\n{whole}");
}
