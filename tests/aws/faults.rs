//! What goes wrong on the way, for the half that reads.

use std::time::Duration;

use identity_sync::{ErrorKind, Kind, StoreSelect};
use serde_json::json;
use tokio::time::Instant;

use crate::bridge::{Bridge, End, Fault, Reply, aws_error, throttled};
use crate::{ids, members, read, reader};

#[tokio::test(flavor = "multi_thread")]
async fn whatever_goes_wrong_is_an_error_and_never_an_empty_page() {
    // rules C1, C5
    let refused = |code| Fault::Answer(aws_error(400, code, json!({})));
    let faults = [
        (Fault::Answer(Reply::new(500, "<html></html>")), ErrorKind::Transient),
        (Fault::Answer(Reply::new(200, "{}")), ErrorKind::Permanent),
        (Fault::Answer(Reply::new(200, "{\"Users\":null,\"Groups\":null}")), ErrorKind::Permanent),
        (Fault::Answer(Reply::new(200, "")), ErrorKind::Permanent),
        (Fault::After(End::Cut), ErrorKind::Transient),
        (Fault::After(End::Lost), ErrorKind::Transient),
        (refused("AccessDeniedException"), ErrorKind::Unauthorized),
        (refused("UnrecognizedClientException"), ErrorKind::Unauthorized),
        (refused("ValidationException"), ErrorKind::Invalid),
        (refused("ResourceNotFoundException"), ErrorKind::NotFound),
    ];
    let mut cases = Vec::new();
    for (operation, kind) in
        [("ListUsers", Kind::User), ("ListGroups", Kind::Group), ("ListGroupMemberships", Kind::Group)]
    {
        for (fault, expected) in faults.clone() {
            cases.push(tokio::spawn(async move {
                let bridge = Bridge::start();
                let group = bridge.state().group("g");
                for number in 0..5 {
                    let user = bridge.state().user(&format!("u-{number}"));
                    bridge.state().group(&format!("g-{number}"));
                    bridge.state().members.insert((group.clone(), user));
                }
                bridge.state().page = 2;
                // The first page comes, the second does not.
                bridge.fail_times(operation, 1, usize::MAX, fault.clone());
                let reader = reader(&bridge);
                let error = match operation {
                    "ListGroupMemberships" => members(&reader, &group).await.unwrap_err(),
                    _ => read(&reader, kind, StoreSelect::All).await.unwrap_err(),
                };
                assert_eq!(error.kind(), expected, "{operation} {fault:?}: {error}");
            }));
        }
    }
    for case in cases {
        case.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_without_an_id_is_an_error() {
    // rule C1
    for body in [
        json!({ "Users": [{ "UserName": "x", "IdentityStoreId": "d" }] }),
        json!({ "Users": [{ "UserName": "x", "UserId": "", "IdentityStoreId": "d" }] }),
        json!({ "Users": [{ "UserName": "x", "UserId": "u", "ExternalIds": [{ "Id": "1" }] }] }),
    ] {
        let bridge = Bridge::start();
        bridge.fail("ListUsers", Fault::Answer(Reply::new(200, body.to_string())));
        let error = read(&reader(&bridge), Kind::User, StoreSelect::All).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Permanent, "{error}");
    }
    let bridge = Bridge::start();
    let group = bridge.state().group("g");
    for member in [json!({}), json!({ "MemberId": {} }), json!({ "MemberId": { "UserId": "" } })] {
        let body = json!({ "GroupMemberships": [member] });
        // The SDK may refuse it before this adapter does; then it is asked for again.
        bridge.fail_times(
            "ListGroupMemberships",
            0,
            usize::MAX,
            Fault::Answer(Reply::new(200, body.to_string())),
        );
        members(&reader(&bridge), &group).await.unwrap_err();
        bridge.clear();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_look_up_is_never_nobody() {
    // rules C1, X4
    let bridge = Bridge::start();
    let user = bridge.state().user("u");
    let reader = reader(&bridge);
    for operation in ["DescribeUser", "GetUserId"] {
        for code in ["AccessDeniedException", "ValidationException"] {
            bridge.fail_times(operation, 0, usize::MAX, Fault::Answer(aws_error(400, code, json!({}))));
            let select = StoreSelect::UniqueValue { attribute: "userName", value: "u" };
            assert!(read(&reader, Kind::User, select).await.is_err(), "{operation} {code}");
            bridge.clear();
        }
    }
    let (rows, _) = read(&reader, Kind::User, StoreSelect::Ids(&[user.as_str().into()])).await.unwrap();
    assert_eq!(ids(&rows), [user]);
}

#[tokio::test(flavor = "multi_thread")]
async fn throttling_is_waited_out_as_long_as_aws_asks() {
    // rule X3
    let bridge = Bridge::start();
    bridge.state().user("u");
    bridge.fail("ListUsers", throttled(1));
    let (reader, start) = (reader(&bridge), Instant::now());
    let (rows, _) = read(&reader, Kind::User, StoreSelect::All).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert!(start.elapsed() >= Duration::from_secs(1), "{:?}", start.elapsed());
    // Where it goes on, the engine is told how long.
    bridge.fail_times("ListUsers", 0, usize::MAX, throttled(1));
    let error = read(&reader, Kind::User, StoreSelect::All).await.unwrap_err();
    assert_eq!((error.kind(), error.wait()), (ErrorKind::Transient, Some(Duration::from_secs(1))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_throttles_most_requests_is_read_nevertheless() {
    // rule X3: pages are made of many calls, and one throttled for a while must not be the end of a run
    let bridge = Bridge::start();
    let user = bridge.state().user("u");
    let throttled = Fault::Answer(aws_error(400, "ThrottlingException", json!({})));
    bridge.fail_times("DescribeUser", 0, 7, throttled);
    let (rows, _) =
        read(&reader(&bridge), Kind::User, StoreSelect::Ids(&[user.as_str().into()])).await.unwrap();
    assert_eq!(ids(&rows), [user]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_never_ends_and_one_that_never_comes_are_given_up() {
    // rules S1, X3
    let bridge = Bridge::start();
    bridge.fail("ListUsers", Fault::After(End::Endless));
    let patient = reader(&bridge).timeout(Duration::from_secs(60));
    let error = read(&patient, Kind::User, StoreSelect::All).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Permanent, "{error}");
    bridge.fail_times("ListUsers", 0, usize::MAX, Fault::After(End::Late(Duration::from_millis(700))));
    let hasty = reader(&bridge).timeout(Duration::from_millis(100));
    let error = read(&hasty, Kind::User, StoreSelect::All).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_token_that_comes_again_is_refused() {
    // rule S1
    let bridge = Bridge::start();
    let group = bridge.state().group("g");
    let reader = reader(&bridge);
    for (operation, body) in [
        ("ListUsers", json!({ "Users": [], "NextToken": "again" })),
        ("ListGroups", json!({ "Groups": [], "NextToken": "again" })),
        ("ListGroupMemberships", json!({ "GroupMemberships": [], "NextToken": "again" })),
    ] {
        bridge.fail_times(operation, 0, 2, Fault::Answer(Reply::new(200, body.to_string())));
        let error = match operation {
            "ListUsers" => read(&reader, Kind::User, StoreSelect::All).await.unwrap_err(),
            "ListGroups" => read(&reader, Kind::Group, StoreSelect::All).await.unwrap_err(),
            _ => members(&reader, &group).await.unwrap_err(),
        };
        assert_eq!(error.kind(), ErrorKind::Permanent, "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_error_and_no_debug_holds_what_aws_said_about_a_person() {
    // rule S2
    let bridge = Bridge::start();
    let body = json!({ "__type": "x#ValidationException", "Message": "user secret-ada is bad", "Reason": "secret-ada" });
    bridge.fail("ListUsers", Fault::Answer(Reply::new(400, body.to_string())));
    let reader = reader(&bridge);
    let error = read(&reader, Kind::User, StoreSelect::All).await.unwrap_err();
    let mut shown = format!("{error} {error:?}");
    let text = "{\"Users\": [{\"UserId\": \"secret-ada\", \"Emails\": 3}]}";
    bridge.fail_times("ListUsers", 0, usize::MAX, Fault::Answer(Reply::new(200, text)));
    let error = read(&reader, Kind::User, StoreSelect::All).await.unwrap_err();
    shown.push_str(&format!("{error} {error:?} {reader:?}"));
    assert!(!shown.contains("secret-ada"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_shares_a_pace_shares_its_requests() {
    // rule X3
    use identity_sync::adapter::aws::AwsPace;
    let bridge = Bridge::start();
    bridge.state().page = 1;
    for number in 0..20 {
        bridge.state().user(&format!("u-{number}"));
        bridge.state().assign(&format!("arn:{number}"), "000000000001", "p");
    }
    let pace = AwsPace::per_second(100);
    let (reader, set) = (reader(&bridge).pace(pace.clone()), crate::assignments(&bridge).pace(pace));
    let start = Instant::now();
    let (users, assigned) = tokio::join!(read(&reader, Kind::User, StoreSelect::All), crate::assigned(&set));
    assert_eq!((users.unwrap().0.len(), assigned.unwrap().0.len()), (20, 20));
    let requests = u32::try_from(bridge.log().len()).unwrap();
    assert!(requests > 60, "{requests}");
    assert!(
        start.elapsed() >= Duration::from_millis(10) * (requests - 1),
        "{requests} in {:?}",
        start.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_not_there_is_not_a_record_that_is_gone() {
    // rules C1, C3
    let missing = |what: &str| {
        Fault::Answer(aws_error(400, "ResourceNotFoundException", json!({ "ResourceType": what })))
    };
    let ids = [identity_sync::StoreId::from("u-1")];
    let bridge = Bridge::start();
    bridge.fail("DescribeUser", missing("USER"));
    assert!(read(&reader(&bridge), Kind::User, StoreSelect::Ids(&ids)).await.unwrap().0.is_empty());
    bridge.fail("DescribeUser", missing("IDENTITY_STORE"));
    let error = read(&reader(&bridge), Kind::User, StoreSelect::Ids(&ids)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Permanent);
}
