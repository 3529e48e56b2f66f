//! Assignments to accounts and applications.

use aws_sdk_ssoadmin::Client;
use aws_sdk_ssoadmin::types::{PrincipalType, ProvisionTargetType, TargetType};
use identity_sync::adapter::aws::AwsAssignments;
use identity_sync::{AssignmentError, AssignmentPage, AssignmentSet, ErrorKind, PageEnd, Principal};

use super::fault::Faults;
use super::{Server, at_once, fresh_store, identity_center};

/// The instance of a server; one is made where there is none.
async fn instance(client: &Client) -> String {
    let found = client.list_instances().send().await.unwrap();
    match found.instances().first() {
        Some(instance) => instance.instance_arn().unwrap().to_owned(),
        None => client.create_instance().name("tests").send().await.unwrap().instance_arn.unwrap(),
    }
}

/// Three permission sets in up to 30 accounts; answers the ARNs of the sets, and the principals.
async fn fill(server: Server, client: &Client, instance: &str, mark: &str) -> (Vec<String>, Vec<String>) {
    let (mut sets, mut principals) = (Vec::new(), Vec::new());
    for set in 0..3_usize {
        let made = client.create_permission_set().instance_arn(instance).name(format!("{mark}-{set}"));
        let made = made.session_duration("PT1H").send().await.unwrap();
        let arn = made.permission_set.unwrap().permission_set_arn.unwrap();
        for number in 0..set * 15 {
            let account = server.account(number);
            let principal = format!("9067642ac7-{set:08x}-5aee-4c6b-9a1f-{number:012x}");
            let made = client.create_account_assignment().instance_arn(instance).permission_set_arn(&arn);
            let made = made.target_id(&account).target_type(TargetType::AwsAccount);
            let made = made.principal_type(PrincipalType::Group).principal_id(&principal);
            made.send().await.unwrap();
            principals.push(principal);
        }
        // AWS does this by itself with each assignment; moto knows one account for it.
        if server == Server::Moto && set > 0 {
            let made = client.provision_permission_set().instance_arn(instance).permission_set_arn(&arn);
            let made = made.target_id(server.account(0)).target_type(ProvisionTargetType::AwsAccount);
            made.send().await.unwrap();
        }
        sets.push(arn);
    }
    principals.sort_unstable();
    (sets, principals)
}

impl Server {
    /// The account of an assignment: moto provisions permission sets to its own only.
    fn account(self, number: usize) -> String {
        match self {
            Self::Moto => "123456789012".to_owned(),
            Self::Idc => format!("{:012}", number + 1),
        }
    }
}

async fn assigned(set: &AwsAssignments) -> Result<Vec<String>, AssignmentError> {
    let (mut all, mut at) = (Vec::new(), None);
    loop {
        let mut page = AssignmentPage::default();
        let end = set.read_assignments(at.as_ref(), &mut page).await?;
        all.extend(page.principals().iter().map(|principal| match principal {
            Principal::Stored(id) => id.as_str().to_owned(),
            Principal::External(_) => panic!("aws names principals by store id"),
        }));
        match end {
            PageEnd::More(token) => at = Some(token),
            PageEnd::Last(end) => {
                assert!(end.is_complete());
                all.sort_unstable();
                return Ok(all);
            }
        }
    }
}

async fn accounts(server: Server) {
    let client = identity_center(&server.url());
    let instance = instance(&client).await;
    let (sets, principals) = fill(server, &client, &instance, &fresh_store()).await;
    let through =
        |url: String| AwsAssignments::new(&identity_center(&url), &instance).pace(at_once()).accounts_only();
    // The server is shared: other tests have assignments of their own.
    let only = |url| through(url).only_permission_sets(sets.clone());
    assert_eq!(assigned(&only(server.url())).await.unwrap(), principals);
    let everything = assigned(&through(server.url())).await.unwrap();
    assert!(principals.iter().all(|principal| everything.contains(principal)));
    let one = only(server.url()).only_accounts([server.account(2)]);
    assert_eq!(assigned(&one).await.unwrap().len(), if server == Server::Idc { 2 } else { principals.len() });
    let none = only(server.url()).only_accounts(["999999999999"]);
    assert_eq!(assigned(&none).await.unwrap(), Vec::<String>::new());
    let throttled = r#"[{"probability":0.1,"error":{"code":"ThrottlingException"}}]"#;
    let faults = Faults::of(server, throttled);
    assert_eq!(assigned(&only(server.fault_url())).await.unwrap(), principals);
    drop(faults);
    for operation in ["ListAccountsForProvisionedPermissionSet", "ListAccountAssignments"] {
        let rule = format!(r#"[{{"operation":"{operation}","times":3,"response":{{"abort_frac":0.5}}}}]"#);
        let faults = Faults::of(server, &rule);
        assert_eq!(assigned(&only(server.fault_url())).await.unwrap(), principals, "{operation}");
        drop(faults);
        let rule = format!(r#"[{{"operation":"{operation}","error":{{"code":"AccessDeniedException"}}}}]"#);
        let _faults = Faults::of(server, &rule);
        let error = assigned(&only(server.fault_url())).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthorized, "{operation}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs moto: tests/servers/run aws"]
async fn account_assignments_of_moto_are_read_whole_or_not_at_all() {
    // rules C1, X3
    accounts(Server::Moto).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs idc: tests/servers/run aws"]
async fn account_assignments_of_idc_are_read_whole_or_not_at_all() {
    // rules C1, X3
    accounts(Server::Idc).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs moto: tests/servers/run aws"]
async fn a_server_without_applications_is_no_server_with_none() {
    // rule C1: moto answers what it does not know with 500 and a page of HTML
    let client = identity_center(&Server::Moto.url());
    let instance = instance(&client).await;
    let set = AwsAssignments::new(&client, &instance).pace(at_once());
    assert_eq!(assigned(&set).await.unwrap_err().kind(), ErrorKind::Transient);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs idc: tests/servers/run aws"]
async fn application_assignments_are_read_beside_those_of_accounts() {
    // rule E1
    let client = identity_center(&Server::Idc.url());
    let instance = instance(&client).await;
    let (sets, mut wanted) = fill(Server::Idc, &client, &instance, &fresh_store()).await;
    let provider = "arn:aws:sso::aws:applicationProvider/custom";
    for number in 0..4 {
        let made = client.create_application().instance_arn(&instance).application_provider_arn(provider);
        let made = made.name(format!("{}-{number}", fresh_store())).send().await.unwrap();
        let arn = made.application_arn.unwrap();
        for user in 0..3 {
            let principal = format!("9067642ac7-aaaaaaaa-5aee-4c6b-{number:04x}-{user:012x}");
            let made = client.create_application_assignment().application_arn(&arn);
            let made = made.principal_id(&principal).principal_type(PrincipalType::User);
            made.send().await.unwrap();
            wanted.push(principal);
        }
    }
    let set = AwsAssignments::new(&client, &instance).pace(at_once()).only_permission_sets(sets);
    let read = assigned(&set).await.unwrap();
    assert!(wanted.iter().all(|principal| read.contains(principal)), "{} of {}", read.len(), wanted.len());
}
