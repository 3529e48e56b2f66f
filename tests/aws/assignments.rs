//! The assignment set.

use async_trait::async_trait;
use identity_sync::adapter::aws::AwsAssignments;
use identity_sync::testing::conformance::{self, AssignmentBuilder, BuildError};
use identity_sync::{AssignmentPage, AssignmentSet, ErrorKind, PageEnd, PageToken, Principal};
use serde_json::json;

use crate::bridge::{Bridge, End, Fault, Reply, aws_error};
use crate::{assigned, assignments};

/// Five permission sets, in up to 60 accounts, and 30 applications; answers all principals.
fn fill(bridge: &Bridge) -> Vec<String> {
    let mut state = bridge.state();
    let mut all = Vec::new();
    for set in 0..5 {
        for account in 0..(set * 15) {
            for number in 0..3 {
                let principal = format!("p-{set}-{account}-{number}");
                state.assign(&format!("arn:set-{set}"), &format!("{account:012}"), &principal);
                all.push(principal);
            }
        }
    }
    state.assignments.entry("arn:set-without-account".to_owned()).or_default();
    for application in 0..30 {
        let principals: Vec<String> = (0..2).map(|number| format!("a-{application}-{number}")).collect();
        all.extend(principals.iter().cloned());
        state.applications.insert(format!("arn:application-{application}"), principals);
    }
    all.sort_unstable();
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_without_assignments_reads_as_complete_and_empty() {
    // rules C1, C4
    let bridge = Bridge::start();
    assert_eq!(assigned(&assignments(&bridge)).await.unwrap(), (Vec::new(), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_assignment_of_every_account_and_application_is_read() {
    // rules C1, E1, E11
    let bridge = Bridge::start();
    let all = fill(&bridge);
    for page in [100, 7, 2, 1] {
        bridge.state().page = page;
        let (read, pages) = assigned(&assignments(&bridge)).await.unwrap();
        assert_eq!(read, all, "pages of {page}");
        assert!(pages > 5, "{pages}");
    }
    // Users and groups may be assigned many times; each counts once for the engine, and costs nothing but its row.
    bridge.state().assign("arn:set-1", "000000000001", "p-1-1-1");
    assert_eq!(assigned(&assignments(&bridge)).await.unwrap().0.len(), all.len() + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_costs_little_more_than_one_request_for_each_account_of_each_set() {
    let bridge = Bridge::start();
    fill(&bridge);
    assigned(&assignments(&bridge)).await.unwrap();
    let log = bridge.log();
    let of = |name: &str| log.iter().filter(|operation| *operation == name).count();
    assert_eq!((of("ListAccountAssignments"), of("ListApplicationAssignments")), (150, 30));
    assert!(log.len() < 180 + 30, "{} requests", log.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_the_host_names_is_read() {
    let bridge = Bridge::start();
    fill(&bridge);
    let set = assignments(&bridge).accounts_only();
    let (read, _) = assigned(&set).await.unwrap();
    assert_eq!(read.len(), 450);
    assert!(read.iter().all(|principal| principal.starts_with("p-")));
    let set = set.only_accounts(["000000000003", "999999999999"]);
    assert_eq!(assigned(&set).await.unwrap().0.len(), 12);
    bridge.log();
    let set = set.only_permission_sets(["arn:set-2"]);
    assert_eq!(assigned(&set).await.unwrap().0, ["p-2-3-0", "p-2-3-1", "p-2-3-2"]);
    assert!(!bridge.log().contains(&"ListPermissionSets".to_owned()));
    // One that is not there was named by mistake: nobody is entitled by it, and that must not look complete.
    let error = assigned(&assignments(&bridge).only_permission_sets(["arn:set-9"])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_goes_wrong_is_an_error_and_never_a_short_list() {
    // rules C1, C2
    let refused = |code| Fault::Answer(aws_error(400, code, json!({})));
    let faults = [
        (Fault::Answer(Reply::new(500, "<html>no such operation</html>")), ErrorKind::Transient),
        (Fault::Answer(Reply::new(200, "")), ErrorKind::Permanent),
        (Fault::Answer(Reply::new(200, "{}")), ErrorKind::Permanent),
        (Fault::Answer(Reply::new(200, "<html>sign in</html>")), ErrorKind::Transient),
        (Fault::Answer(Reply::new(404, "not here")), ErrorKind::Unsupported),
        (Fault::After(End::Cut), ErrorKind::Transient),
        (Fault::After(End::Lost), ErrorKind::Transient),
        (Fault::Before, ErrorKind::Transient),
        (refused("AccessDeniedException"), ErrorKind::Unauthorized),
        (refused("ExpiredTokenException"), ErrorKind::Unauthorized),
        (refused("ValidationException"), ErrorKind::Invalid),
        (refused("ResourceNotFoundException"), ErrorKind::NotFound),
        (refused("InternalServerException"), ErrorKind::Transient),
        (refused("NewKindOfException"), ErrorKind::Permanent),
    ];
    let operations = [
        "ListPermissionSets",
        "ListAccountsForProvisionedPermissionSet",
        "ListAccountAssignments",
        "ListApplications",
        "ListApplicationAssignments",
    ];
    let mut cases = Vec::new();
    for operation in operations {
        for (fault, kind) in faults.clone() {
            cases.push(tokio::spawn(async move {
                let bridge = Bridge::start();
                fill(&bridge);
                // The first answer comes, the second does not.
                bridge.fail_times(operation, 1, usize::MAX, fault.clone());
                bridge.state().page = 3;
                let error = assigned(&assignments(&bridge)).await.unwrap_err();
                assert_eq!(error.kind(), kind, "{operation} {fault:?}: {error}");
            }));
        }
    }
    for case in cases {
        case.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_in_five_may_fail_and_all_is_read() {
    // rule X3
    let bridge = Bridge::start();
    let all = fill(&bridge);
    for (number, fault) in [
        Fault::Answer(aws_error(400, "ThrottlingException", json!({}))),
        Fault::After(End::Cut),
        Fault::Before,
        Fault::Answer(aws_error(500, "InternalServerException", json!({}))),
    ]
    .into_iter()
    .enumerate()
    {
        for round in 0..10 {
            bridge.fail_times("", number + round * 5, 1, fault.clone());
        }
    }
    assert_eq!(assigned(&assignments(&bridge)).await.unwrap().0, all);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_token_that_comes_again_is_refused() {
    // rule S1
    let accounts = json!({ "AccountIds": ["000000000001"], "NextToken": "again" });
    let assignments_page = json!({
        "AccountAssignments": [{ "PrincipalId": "p", "PrincipalType": "USER" }], "NextToken": "again",
    });
    for (operation, body) in [
        ("ListPermissionSets", json!({ "PermissionSets": [], "NextToken": "again" })),
        ("ListAccountsForProvisionedPermissionSet", accounts),
        ("ListAccountAssignments", assignments_page),
        ("ListApplications", json!({ "Applications": [], "NextToken": "again" })),
        ("ListApplicationAssignments", json!({ "ApplicationAssignments": [], "NextToken": "again" })),
    ] {
        let bridge = Bridge::start();
        fill(&bridge);
        bridge.fail_times(operation, 0, usize::MAX, Fault::Answer(Reply::new(200, body.to_string())));
        let error = assigned(&assignments(&bridge)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Permanent, "{operation}: {error}");
        assert!(error.to_string().contains("came again"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_assignment_without_a_principal_is_an_error() {
    // rule C1
    for body in [
        json!({ "AccountAssignments": [{ "PrincipalType": "USER" }] }),
        json!({ "AccountAssignments": [{ "PrincipalType": "USER", "PrincipalId": "" }] }),
        json!({ "AccountAssignments": [{ "PrincipalType": "USER", "PrincipalId": "x".repeat(1_000) }] }),
    ] {
        let bridge = Bridge::start();
        fill(&bridge);
        bridge.fail("ListAccountAssignments", Fault::Answer(Reply::new(200, body.to_string())));
        assert_eq!(assigned(&assignments(&bridge)).await.unwrap_err().kind(), ErrorKind::Permanent);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_end_is_not_read_to_its_end() {
    // rule S1
    let bridge = Bridge::start();
    bridge.fail("ListPermissionSets", Fault::After(End::Endless));
    let error = assigned(&assignments(&bridge)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Permanent, "{error}");
    assert!(error.to_string().contains("too long"), "{error}");
}

/// Reads up to the first page end; answers where it goes on.
async fn first_page(set: &AwsAssignments) -> PageToken {
    let mut page = AssignmentPage::default();
    match set.read_assignments(None, &mut page).await.unwrap() {
        PageEnd::More(token) => token,
        PageEnd::Last(_) => panic!("one page"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_changes_while_it_is_read_ends_the_read() {
    // rule C1
    let bridge = Bridge::start();
    fill(&bridge);
    let set = assignments(&bridge);
    let token = first_page(&set).await;
    let mut page = AssignmentPage::default();
    set.read_assignments(Some(&token), &mut page).await.unwrap();
    // An account less: the place in the list would be another one's.
    bridge.state().assignments.get_mut("arn:set-2").unwrap().remove("000000000000");
    let error = set.read_assignments(Some(&token), &mut AssignmentPage::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_somebody_else_is_refused() {
    let bridge = Bridge::start();
    let token = PageToken::new(b"elsewhere".to_vec());
    let mut page = AssignmentPage::default();
    let error = assignments(&bridge).read_assignments(Some(&token), &mut page).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

/// Assignments live in one account and one application.
struct Builder;

fn assign_all(bridge: &Bridge, principals: &[Principal]) -> Result<(), BuildError> {
    let mut state = bridge.state();
    state.assignments.clear();
    state.applications.clear();
    state.page = 3;
    for (number, principal) in principals.iter().enumerate() {
        let Principal::Stored(id) = principal else {
            return Err(BuildError::cannot("aws names principals by store id"));
        };
        match number % 3 {
            0 => state
                .applications
                .entry(format!("arn:{}", number % 5))
                .or_default()
                .push(id.as_str().to_owned()),
            _ => state.assign(&format!("arn:{}", number % 2), &format!("{number:012}"), id.as_str()),
        }
    }
    Ok(())
}

#[async_trait]
impl AssignmentBuilder for Builder {
    type Set = AwsAssignments;

    async fn holding(&self, principals: &[Principal]) -> Result<AwsAssignments, BuildError> {
        let bridge = Bridge::start();
        assign_all(&bridge, principals)?;
        Ok(assignments(&bridge))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_set_conforms() {
    let report = conformance::assignments(&Builder).await;
    report.assert_conforming();
}
