//! Lists are whole, or say that they are not (rules C1, C5).

use std::time::Duration;

use identity_sync::adapter::scim::{Paging, ScimLimits};
use pretty_assertions::assert_eq;

use super::fake::Trouble;
use super::*;

async fn filled(users: usize) -> (Fake, ScimStore) {
    let fake = Fake::start(Dialect::Plain).await;
    let store = ScimStore::connect(options(&fake).page_size(10)).await.unwrap();
    for number in 0..users {
        create_user(&store, &format!("a{number}"), &format!("user-{number}")).await.unwrap();
    }
    (fake, store)
}

#[tokio::test]
async fn a_list_of_many_pages_is_read_whole() {
    for users in [0, 1, 9, 10, 11, 20, 35] {
        let (_fake, store) = filled(users).await;
        let (ids, end) = read(&store, Kind::User, StoreSelect::All).await.unwrap();
        assert_eq!((ids.len(), end), (users, PageEnd::COMPLETE));
    }
}

#[tokio::test]
async fn who_vanishes_while_a_list_is_read_takes_nobody_with_him() {
    let (fake, store) = filled(35).await;
    let mut page = StoredUserPage::default();
    let Ok(PageEnd::More(at)) = store.read_users(StoreSelect::All, None, &mut page).await else { panic!() };
    // All behind them move up by three.
    for _ in 0..3 {
        fake.state().users.remove(2);
    }
    let mut at = Some(at);
    while let Some(token) = at {
        at = match store.read_users(StoreSelect::All, Some(&token), &mut page).await.unwrap() {
            PageEnd::More(token) => Some(token),
            end => {
                assert_eq!(end, PageEnd::COMPLETE);
                None
            }
        };
    }
    assert_eq!(page.len(), 35, "those who are gone were read before, and all others once");
}

#[tokio::test]
async fn a_list_that_lost_its_place_is_partial() {
    let (fake, store) = filled(35).await;
    let mut page = StoredUserPage::default();
    let Ok(PageEnd::More(at)) = store.read_users(StoreSelect::All, None, &mut page).await else { panic!() };
    // The last one that was read is gone: where to go on cannot be known.
    fake.state().users.remove(9);
    let end = store.read_users(StoreSelect::All, Some(&at), &mut page).await.unwrap();
    assert!(is_partial(&end), "{end:?}");
}

#[tokio::test]
async fn a_server_that_repeats_its_first_page_is_not_believed() {
    let (fake, store) = filled(35).await;
    fake.trouble("GET", "/Users", 100, Trouble::FirstPageAgain);
    let (ids, end) = read(&store, Kind::User, StoreSelect::All).await.unwrap();
    assert!(is_partial(&end) && ids.len() == 10, "{end:?}, {} users", ids.len());
}

#[tokio::test]
async fn a_total_that_lies_is_not_believed() {
    for (users, off) in [(5, 1), (5, -1), (20, 15), (35, 1), (0, 3), (10, -3)] {
        let (fake, store) = filled(users).await;
        fake.trouble("GET", "/Users", 100, Trouble::Total(off));
        let (ids, end) = read(&store, Kind::User, StoreSelect::All).await.unwrap();
        let whole = end == PageEnd::COMPLETE && ids.len() == users;
        assert!(is_partial(&end) || whole, "{users} {off}: {end:?}, {} users", ids.len());
        // More than there are: somebody may be missing.
        assert!(off < 0 || is_partial(&end), "{users} {off}: {end:?}");
    }
}

#[tokio::test]
async fn a_server_that_takes_its_page_for_all_is_asked_for_what_comes_behind_it() {
    // rules C1, C5: it gives seven at most, and announces those
    for users in [0, 1, 6, 7, 8, 20] {
        let (fake, store) = filled(users).await;
        fake.trouble("GET", "/Users", 1_000, Trouble::Capped(7));
        let (ids, end) = read(&store, Kind::User, StoreSelect::All).await.unwrap();
        assert_eq!((ids.len(), end), (users, PageEnd::COMPLETE));
    }
}

#[tokio::test]
async fn an_answer_that_is_no_list_is_an_error() {
    for body in [
        "",
        "[]",
        "null",
        "{}",
        "{\"totalResults\":1,\"Resources\":{}}",
        "<html>",
        "{\"Resources\":[]}",
        "{\"totalResults\":1,\"Resources\":[{}]}",
        "{\"totalResults\":1,\"Resources\":[null]}",
    ] {
        let (fake, store) = filled(0).await;
        fake.trouble("GET", "/Users", 1, Trouble::Body(body.into()));
        let answer = read(&store, Kind::User, StoreSelect::All).await;
        assert!(answer.is_err(), "{body}: {answer:?}");
    }
    // As deep as no record is.
    let (fake, store) = filled(0).await;
    fake.trouble(
        "GET",
        "/Users",
        1,
        Trouble::Body(format!("{}{}", "[".repeat(100_000), "]".repeat(100_000))),
    );
    assert!(read(&store, Kind::User, StoreSelect::All).await.is_err());
}

#[tokio::test]
async fn an_answer_that_is_cut_is_asked_for_again() {
    // rule X3
    let (fake, store) = filled(5).await;
    for trouble in [
        Trouble::Cut,
        Trouble::NotHeard,
        Trouble::Status(500, ""),
        Trouble::Status(503, "Retry-After: 0\r\n"),
    ] {
        fake.trouble("GET", "/Users", 1, trouble.clone());
        let (ids, end) = read(&store, Kind::User, StoreSelect::All).await.unwrap();
        assert_eq!((ids.len(), end), (5, PageEnd::COMPLETE), "{trouble:?}");
    }
}

#[tokio::test]
async fn an_answer_beyond_its_bound_is_refused_before_memory_is_taken() {
    // rule S1
    let fake = Fake::start(Dialect::Plain).await;
    let limits = ScimLimits { answer_bytes: 10_000, pages: 3 };
    let store = ScimStore::connect(options(&fake).limits(limits).page_size(2)).await.unwrap();
    for length in [10_001, usize::MAX / 4] {
        fake.trouble("GET", "/Users", 1, Trouble::Huge(length));
        let error = read(&store, Kind::User, StoreSelect::All).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Permanent);
    }
    for number in 0..9 {
        create_user(&store, &format!("a{number}"), &format!("user-{number}")).await.unwrap();
    }
    let error = read(&store, Kind::User, StoreSelect::All).await.unwrap_err();
    assert_eq!(error.to_string(), "the server's answer has more than 3 pages");
}

#[tokio::test]
async fn an_answer_that_drips_is_given_up() {
    let fake = Fake::start(Dialect::Plain).await;
    let store = ScimStore::connect(options(&fake).timeout(Duration::from_secs(3))).await.unwrap();
    for number in 0..3 {
        create_user(&store, &format!("a{number}"), &format!("user-{number}")).await.unwrap();
    }
    fake.trouble("GET", "/Users", 1, Trouble::Drip);
    let error = read(&store, Kind::User, StoreSelect::All).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (ErrorKind::Transient, "the server did not answer in time")
    );
}

#[tokio::test]
async fn a_server_without_filters_is_read_whole_and_found_the_same() {
    let fake = Fake::start(Dialect::Plain).await;
    fake.state().config = serde_json::json!({"patch": {"supported": true}, "filter": {"supported": false}});
    let store = ScimStore::connect(options(&fake).page_size(10)).await.unwrap();
    for number in 0..25 {
        create_user(&store, &format!("a{number}"), &format!("user-{number}")).await.unwrap();
    }
    let id = ExternalId::new("corp", "a17");
    let (ids, end) = read(&store, Kind::User, StoreSelect::ExternalIds(&[id])).await.unwrap();
    assert_eq!((ids, end), (vec!["id-0018".to_owned()], PageEnd::COMPLETE));
    assert!(fake.state().log.iter().all(|logged| !logged.query.contains("filter")));
}

#[tokio::test]
async fn a_filter_that_nobody_looked_at_selects_nobody_else() {
    // rule M7
    let (fake, store) = filled(5).await;
    fake.trouble("GET", "/Users", 100, Trouble::NoFilter);
    let id = ExternalId::new("corp", "a3");
    let (ids, _) = read(&store, Kind::User, StoreSelect::ExternalIds(&[id])).await.unwrap();
    assert_eq!(ids, ["id-0004"]);
    let nobody = StoreSelect::UniqueValue { attribute: "userName", value: "user-9" };
    assert_eq!(read(&store, Kind::User, nobody).await.unwrap().0, [""; 0]);
}

#[tokio::test]
async fn no_value_leaves_its_filter() {
    let (fake, store) = filled(3).await;
    for value in ["x\" or userName pr or userName eq \"", "\\\"", "a&count=0", "a+b c%20#", "é\n"] {
        let select = StoreSelect::UniqueValue { attribute: "userName", value };
        assert_eq!(read(&store, Kind::User, select).await.unwrap().0, [""; 0], "{value}");
        create_user(&store, value, value).await.unwrap();
        assert_eq!(read(&store, Kind::User, select).await.unwrap().0.len(), 1, "{value}");
    }
    drop(fake);
}

#[tokio::test]
async fn an_id_that_is_a_path_is_nobodys() {
    let (fake, store) = filled(3).await;
    let ids = [".", "..", "", "../Groups", "id-0001/../id-0002"].map(StoreId::from);
    assert_eq!(read(&store, Kind::User, StoreSelect::Ids(&ids)).await.unwrap().0, [""; 0]);
    for id in &ids {
        let error = write(&store, Write::DeleteUser { id, version: None }).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{id}");
    }
    assert_eq!(fake.state().users.len(), 3);
}

#[tokio::test]
async fn aws_is_read_by_cursor_and_a_first_page_alone_is_partial() {
    // rules C5, X5
    for (dialect, users, whole) in [
        (Dialect::Aws, 49, true),
        (Dialect::Aws, 50, true),
        (Dialect::Aws, 100, true),
        (Dialect::Aws, 101, true),
        (Dialect::Aws, 250, true),
        (Dialect::AwsFirstPage, 49, true),
        (Dialect::AwsFirstPage, 50, false),
        (Dialect::AwsFirstPage, 70, false),
    ] {
        let fake = Fake::start(dialect).await;
        for number in 0..users {
            let user = serde_json::json!({"id": format!("u{number}"), "userName": format!("n{number}")});
            fake.state().users.push(user.as_object().unwrap().clone());
        }
        let options = ScimOptions::aws_identity_center(fake.url.as_str(), Token::new(TOKEN)).rates(0, 0);
        let store = ScimStore::connect(options).await.unwrap();
        let (ids, end) = read(&store, Kind::User, StoreSelect::All).await.unwrap();
        assert_eq!(end == PageEnd::COMPLETE, whole, "{dialect:?} {users}: {end:?}");
        assert!(!whole || ids.len() == users, "{dialect:?}: {} of {users}", ids.len());
    }
}

#[tokio::test]
async fn a_cursor_that_leads_nowhere_ends_the_read() {
    let fake = Fake::start(Dialect::Plain).await;
    let store = ScimStore::connect(options(&fake).paging(Paging::Cursor)).await;
    let store = store.unwrap();
    let page = "{\"totalResults\":9,\"Resources\":[{\"id\":\"1\"}],\"nextCursor\":\"x\"}";
    fake.trouble("GET", "/Users", 1_000_000, Trouble::Body(page.into()));
    let error = read(&store, Kind::User, StoreSelect::All).await.unwrap_err();
    assert_eq!(error.to_string(), "the server repeats a page");
}
