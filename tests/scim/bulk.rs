//! Several writes in one request: each answer in its slot, and what was not answered is unknown (rule X1).

use identity_sync::adapter::scim::Use;
use pretty_assertions::assert_eq;

use super::fake::Trouble;
use super::*;

/// Creates some users in one call, and answers what stands in each slot.
async fn create_all(
    store: &ScimStore,
    numbers: std::ops::Range<usize>,
) -> Vec<Option<Result<Written, StoreError>>> {
    let pages: Vec<StoredUserPage> =
        numbers.clone().map(|number| person(&format!("user-{number}"))).collect();
    let links: Vec<ExternalId> =
        numbers.map(|number| ExternalId::new("corp", format!("a{number}"))).collect();
    let mut batch = WriteBatch::new();
    for (page, external_id) in pages.iter().zip(&links) {
        let attributes = page.attributes().next().unwrap();
        batch.push(Write::CreateUser { external_id, attributes, active: true, origin: Origin::Synced });
    }
    let _ = store.write(&mut batch).await;
    batch.into_answers().collect()
}

fn kinds(answers: &[Option<Result<Written, StoreError>>]) -> Vec<Option<Option<ErrorKind>>> {
    answers
        .iter()
        .map(|answer| answer.as_ref().map(|answer| answer.as_ref().err().map(StoreError::kind)))
        .collect()
}

#[tokio::test]
async fn many_writes_are_few_requests_and_each_is_answered() {
    let (fake, store) = plain().await;
    let answers = create_all(&store, 0..100).await;
    for (number, answer) in answers.into_iter().enumerate() {
        let id = answer.unwrap().unwrap().id.unwrap();
        let state = fake.state();
        let user = state.users.iter().find(|user| user["id"] == id.as_str()).unwrap();
        assert_eq!(user["externalId"], format!("corp:a{number}"));
    }
    // Thirty operations at most.
    assert_eq!((fake.requests("POST", "/Bulk"), fake.requests("POST", "/Users")), (4, 0));
}

#[tokio::test]
async fn a_token_that_may_not_send_many_at_once_sends_each_alone() {
    let (fake, store) = plain().await;
    fake.trouble("POST", "/Bulk", 1, Trouble::Status(403, ""));
    let answers = create_all(&store, 0..6).await;
    assert_eq!(kinds(&answers), [Some(None); 6]);
    assert_eq!(fake.requests("POST", "/Users"), 6);
}

#[tokio::test]
async fn one_that_is_refused_leaves_the_others_alone() {
    let (_fake, store) = plain().await;
    create_user(&store, "other", "user-2").await.unwrap();
    create_user(&store, "a4", "another").await.unwrap();
    let answers = create_all(&store, 0..6).await;
    let exists = Some(Some(ErrorKind::AlreadyExists));
    assert_eq!(kinds(&answers), [Some(None), Some(None), exists, Some(None), exists, Some(None)]);
}

#[tokio::test]
async fn answers_in_another_order_find_their_slots() {
    let (fake, store) = plain().await;
    fake.trouble("POST", "/Bulk", 2, Trouble::Shuffled);
    let ids: Vec<StoreId> =
        create_all(&store, 0..5).await.into_iter().map(|a| a.unwrap().unwrap().id.unwrap()).collect();
    assert_eq!(ids, ["id-0001", "id-0002", "id-0003", "id-0004", "id-0005"].map(StoreId::from));
    let nobody = StoreId::from("nobody");
    let mut batch = WriteBatch::new();
    for id in [&ids[0], &nobody, &ids[2]] {
        batch.push(Write::DeleteUser { id, version: None });
    }
    store.write(&mut batch).await.unwrap();
    let answers: Vec<_> = batch.into_answers().collect();
    assert_eq!(kinds(&answers), [Some(None), Some(Some(ErrorKind::NotFound)), Some(None)]);
}

#[tokio::test]
async fn what_the_server_says_nothing_about_stays_unknown() {
    let (fake, store) = plain().await;
    let ids: Vec<StoreId> =
        create_all(&store, 0..3).await.into_iter().map(|a| a.unwrap().unwrap().id.unwrap()).collect();
    fake.trouble("POST", "/Bulk", 2, Trouble::OneShort);
    let mut batch = WriteBatch::new();
    ids.iter().for_each(|id| batch.push(Write::SetActive { id, version: None, active: false }));
    store.write(&mut batch).await.unwrap();
    // Two answers without a name to three questions: they may be anybody's.
    assert!(batch.into_answers().all(|answer| answer.is_none()));
    // Of creates, which are named, only one is unknown.
    assert_eq!(kinds(&create_all(&store, 10..13).await), [None, Some(None), Some(None)]);
}

#[tokio::test]
async fn a_lost_answer_is_unknown_for_all_and_nobody_is_made_twice() {
    // rules J4, X4
    for trouble in [Trouble::AnswerLost, Trouble::Cut, Trouble::DoneBut(500)] {
        let (fake, store) = plain().await;
        fake.trouble("POST", "/Bulk", 1, trouble);
        assert_eq!(kinds(&create_all(&store, 0..5).await), [None; 5]);
        assert_eq!(kinds(&create_all(&store, 0..5).await), [Some(Some(ErrorKind::AlreadyExists)); 5]);
        assert_eq!(fake.state().users.len(), 5);
    }
}

#[tokio::test]
async fn a_server_that_takes_no_such_request_gets_them_one_by_one() {
    for status in [400, 404, 413, 501] {
        let (fake, store) = plain().await;
        fake.trouble("POST", "/Bulk", 1, Trouble::Status(status, ""));
        assert_eq!(kinds(&create_all(&store, 0..5).await), [Some(None); 5], "{status}");
    }
}

#[tokio::test]
async fn the_same_person_twice_in_a_batch_is_made_once() {
    // rule J4
    let (fake, store) = plain().await;
    let (one, two) = (person("one"), person("two"));
    let external_id = ExternalId::new("corp", "a1");
    let mut batch = WriteBatch::new();
    for page in [&one, &two] {
        let attributes = page.attributes().next().unwrap();
        batch.push(Write::CreateUser {
            external_id: &external_id,
            attributes,
            active: true,
            origin: Origin::Synced,
        });
    }
    store.write(&mut batch).await.unwrap();
    let answers: Vec<_> = batch.into_answers().collect();
    assert_eq!(kinds(&answers), [Some(None), Some(Some(ErrorKind::AlreadyExists))]);
    assert_eq!(fake.state().users.len(), 1);
}

#[tokio::test]
async fn a_server_that_forgets_external_ids_is_found_out() {
    // rule M1
    let (fake, store) = plain().await;
    fake.trouble("GET", "/Users/id-0001", 1, Trouble::NoExternalId);
    assert_eq!(kinds(&create_all(&store, 0..2).await), [Some(Some(ErrorKind::Permanent)); 2]);
}

#[tokio::test]
async fn who_wants_no_bulk_gets_none() {
    let fake = Fake::start(Dialect::Plain).await;
    let store = ScimStore::connect(options(&fake).bulk(Use::Never)).await.unwrap();
    assert_eq!(kinds(&create_all(&store, 0..3).await), [Some(None); 3]);
    assert_eq!((fake.requests("POST", "/Bulk"), fake.requests("POST", "/Users")), (0, 3));
}
