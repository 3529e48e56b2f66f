//! Users, groups and memberships.

use aws_sdk_identitystore::Client;
use aws_sdk_identitystore::types::{Email, MemberId, Name};
use identity_sync::adapter::aws::AwsReader;
use identity_sync::{
    Completeness, ErrorKind, ExternalId, IdentityStore, Kind, MemberPage, PageEnd, StoreError, StoreId,
    StoreSelect, StoreSnapshot, StoredGroupPage, StoredUserPage,
};
use serde_json::Value;

use super::fault::Faults;
use super::{Server, at_once, fresh_store, identity_store};

/// A store with 230 users and 12 groups; the first group has everybody, the others one user each.
struct Filled {
    store: String,
    users: Vec<String>,
    groups: Vec<String>,
}

async fn filled(server: Server) -> Filled {
    let (client, store) = (identity_store(&server.url()), fresh_store());
    let (mut users, mut groups) = (Vec::new(), Vec::new());
    for number in 0..230 {
        users.push(user(&client, &store, number).await);
    }
    for number in 0..12 {
        let group = client.create_group().identity_store_id(&store).display_name(format!("group-{number}"));
        groups.push(group.description("of some").send().await.unwrap().group_id);
    }
    for user in &users {
        join(&client, &store, &groups[0], user).await;
    }
    for (group, user) in groups.iter().zip(&users).skip(1) {
        join(&client, &store, group, user).await;
    }
    users.sort_unstable();
    Filled { store, users, groups }
}

async fn user(client: &Client, store: &str, number: usize) -> String {
    let email = Email::builder().value(format!("u{number}@example.com")).r#type("work").primary(true).build();
    let name = Name::builder().given_name(format!("given {number}")).family_name("family").build();
    let user = client.create_user().identity_store_id(store).user_name(format!("user-{number}"));
    let user = user.display_name(format!("User {number}")).name(name).emails(email).title("engineer");
    user.send().await.unwrap().user_id
}

async fn join(client: &Client, store: &str, group: &str, user: &str) {
    let membership = client.create_group_membership().identity_store_id(store).group_id(group);
    membership.member_id(MemberId::UserId(user.to_owned())).send().await.unwrap();
}

fn reader(url: &str, store: &str) -> AwsReader {
    AwsReader::new(&identity_store(url), store).pace(at_once())
}

/// The records of a read as a snapshot tells them.
async fn read(reader: &AwsReader, kind: Kind, select: StoreSelect<'_>) -> Result<Vec<Value>, StoreError> {
    let mut snapshot = StoreSnapshot::builder(reader.capabilities());
    let mut at = None;
    loop {
        let (mut users, mut groups) = (StoredUserPage::default(), StoredGroupPage::default());
        let end = match kind {
            Kind::User => reader.read_users(select, at.as_ref(), &mut users).await?,
            Kind::Group => reader.read_groups(select, at.as_ref(), &mut groups).await?,
        };
        snapshot.users(&users).unwrap();
        snapshot.groups(&groups).unwrap();
        match end {
            PageEnd::More(token) => at = Some(token),
            PageEnd::Last(end) => {
                assert!(end.is_complete());
                let mut whole = serde_json::to_value(snapshot.finish(Completeness::Complete)).unwrap();
                let list = if kind == Kind::User { "users" } else { "groups" };
                return Ok(std::mem::take(whole[list].as_array_mut().unwrap()));
            }
        }
    }
}

async fn members(reader: &AwsReader, group: &str) -> Result<Vec<String>, StoreError> {
    let (mut all, mut at) = (Vec::new(), None);
    loop {
        let mut page = MemberPage::default();
        let end = reader.read_members(&StoreId::from(group), at.as_ref(), &mut page).await?;
        all.extend(page.iter().map(str::to_owned));
        match end {
            PageEnd::More(token) => at = Some(token),
            PageEnd::Last(_) => {
                all.sort_unstable();
                return Ok(all);
            }
        }
    }
}

fn sorted_ids(rows: &[Value]) -> Vec<String> {
    let mut ids: Vec<String> = rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
    ids.sort_unstable();
    ids
}

/// Everything that was put there is read through this address.
async fn reads_all(server: Server, url: &str, filled: &Filled) {
    let reader = reader(url, &filled.store);
    let users = read(&reader, Kind::User, StoreSelect::All).await.unwrap();
    assert_eq!(sorted_ids(&users), filled.users);
    let first = users.iter().find(|row| row["attributes"]["userName"] == "user-7").unwrap();
    let wanted = serde_json::json!({
        "userName": "user-7", "displayName": "User 7", "name.givenName": "given 7", "name.familyName": "family",
        "emails": "u7@example.com", "title": "engineer",
    });
    assert_eq!(first["attributes"], wanted);
    assert_eq!(first["active"], true);
    assert_eq!(first["version"].is_string(), server == Server::Idc, "moto keeps no revisions");
    let groups = read(&reader, Kind::Group, StoreSelect::All).await.unwrap();
    let mut wanted = filled.groups.clone();
    wanted.sort_unstable();
    assert_eq!(sorted_ids(&groups), wanted);
    assert_eq!(groups[0]["attributes"]["description"], "of some");
    assert_eq!(members(&reader, &filled.groups[0]).await.unwrap(), filled.users);
    assert_eq!(members(&reader, &filled.groups[3]).await.unwrap().len(), 1);
    let some: Vec<StoreId> = filled.users.iter().take(30).map(|id| StoreId::from(id.as_str())).collect();
    let by_id = read(&reader, Kind::User, StoreSelect::Ids(&some)).await.unwrap();
    assert_eq!(sorted_ids(&by_id), filled.users[..30]);
    assert!(by_id.iter().all(|row| users.contains(row)), "a record asked for by id reads as among all");
    for (attribute, value) in [("userName", "user-9"), ("userName", "USER-9"), ("emails", "u9@example.com")] {
        let found = read(&reader, Kind::User, StoreSelect::UniqueValue { attribute, value }).await.unwrap();
        assert_eq!(found.len(), 1, "{attribute}");
        assert_eq!(found[0]["attributes"]["userName"], "user-9");
    }
    let select = StoreSelect::UniqueValue { attribute: "displayName", value: "group-4" };
    assert_eq!(sorted_ids(&read(&reader, Kind::Group, select).await.unwrap()), [filled.groups[4].clone()]);
    let nobody = StoreSelect::UniqueValue { attribute: "userName", value: "nobody" };
    assert_eq!(read(&reader, Kind::User, nobody).await.unwrap(), Vec::<Value>::new());
    // Neither server keeps external ids; that nobody has one is an answer nevertheless.
    let links = [ExternalId::new("corp", "1")];
    assert_eq!(
        read(&reader, Kind::User, StoreSelect::ExternalIds(&links)).await.unwrap(),
        Vec::<Value>::new()
    );
    let told = reader.clone().scim_issuer("https://scim.aws.com/0a1b2c3d");
    assert_eq!(read(&told, Kind::User, StoreSelect::ExternalIds(&links)).await.unwrap(), Vec::<Value>::new());
}

async fn survives(server: Server) {
    let filled = filled(server).await;
    reads_all(server, &server.url(), &filled).await;
    reads_all(server, &server.fault_url(), &filled).await;
    // One request in ten is throttled: by chance eight times running once in a hundred million.
    let throttled =
        r#"[{"service":"identitystore","probability":0.1,"error":{"code":"ThrottlingException"}}]"#;
    let faults = Faults::of(server, throttled);
    reads_all(server, &server.fault_url(), &filled).await;
    drop(faults);
    // Answers that are cut in their middle are never taken for whole ones.
    let cut = |operation| {
        format!(
            r#"[{{"service":"identitystore","operation":"{operation}","times":2,"response":{{"abort_frac":0.5}}}}]"#
        )
    };
    for operation in ["ListUsers", "ListGroups", "ListGroupMemberships", "DescribeUser", "GetUserId"] {
        let faults = Faults::of(server, &cut(operation));
        reads_all(server, &server.fault_url(), &filled).await;
        drop(faults);
    }
}

/// What goes wrong on every try is an error.
async fn fails(server: Server) {
    let filled = filled(server).await;
    let reader = reader(&server.fault_url(), &filled.store);
    for (code, kind) in
        [("ThrottlingException", ErrorKind::Transient), ("AccessDeniedException", ErrorKind::Unauthorized)]
    {
        let rule = format!(r#"[{{"service":"identitystore","error":{{"code":"{code}"}}}}]"#);
        let _faults = Faults::of(server, &rule);
        assert_eq!(read(&reader, Kind::User, StoreSelect::All).await.unwrap_err().kind(), kind);
        assert_eq!(read(&reader, Kind::Group, StoreSelect::All).await.unwrap_err().kind(), kind);
        assert_eq!(members(&reader, &filled.groups[0]).await.unwrap_err().kind(), kind);
        let some = [StoreId::from(filled.users[0].as_str())];
        assert_eq!(read(&reader, Kind::User, StoreSelect::Ids(&some)).await.unwrap_err().kind(), kind);
    }
    assert_eq!(read(&reader, Kind::User, StoreSelect::All).await.unwrap().len(), 230);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs moto: tests/servers/run aws"]
async fn moto_is_read_whole_whatever_happens_on_the_way() {
    // rules C1, X3
    survives(Server::Moto).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs idc: tests/servers/run aws"]
async fn idc_is_read_whole_whatever_happens_on_the_way() {
    // rules C1, X3
    survives(Server::Idc).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs moto: tests/servers/run aws"]
async fn what_moto_refuses_is_an_error_and_never_an_empty_page() {
    // rule C1
    fails(Server::Moto).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs idc: tests/servers/run aws"]
async fn what_idc_refuses_is_an_error_and_never_an_empty_page() {
    // rule C1
    fails(Server::Idc).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs idc: tests/servers/run aws"]
async fn the_revision_of_a_record_changes_with_it() {
    // rule P7
    use aws_sdk_identitystore::types::AttributeOperation;
    let (client, store) = (identity_store(&Server::Idc.url()), fresh_store());
    let id = user(&client, &store, 1).await;
    let reader = reader(&Server::Idc.url(), &store);
    let version = async || read(&reader, Kind::User, StoreSelect::All).await.unwrap()[0]["version"].clone();
    let before = version().await;
    assert_eq!(version().await, before);
    let operation = AttributeOperation::builder().attribute_path("title");
    let operation =
        operation.attribute_value(aws_smithy_types::Document::String("chief".into())).build().unwrap();
    let update = client.update_user().identity_store_id(&store).user_id(&id).operations(operation);
    update.send().await.unwrap();
    assert_ne!(version().await, before);
}
