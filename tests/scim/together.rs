//! Creates of one call, several of which are under way at once.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use identity_sync::adapter::scim::{FileLedger, Use};
use pretty_assertions::assert_eq;

use super::fake::Trouble;
use super::troubles::Renewed;
use super::*;

/// Answers take a while, so that requests overlap.
const LATENCY: Duration = Duration::from_millis(30);

async fn one_by_one() -> (Fake, ScimStore) {
    let fake = Fake::start(Dialect::Plain).await;
    let store = ScimStore::connect(options(&fake).bulk(Use::Never)).await.unwrap();
    (fake, store)
}

/// A server that was seen to keep links: one user is there.
async fn slow() -> (Fake, ScimStore) {
    let (fake, store) = one_by_one().await;
    create_user(&store, "first", "first").await.unwrap();
    fake.state().pace = Some((10_000, LATENCY));
    (fake, store)
}

fn links(names: impl IntoIterator<Item = String>) -> Vec<ExternalId> {
    names.into_iter().map(|name| ExternalId::new("corp", name)).collect()
}

fn numbered(count: usize) -> Vec<ExternalId> {
    links((0..count).map(|number| format!("n{number}")))
}

/// Pages whose users are named as the anchors are.
fn people(links: &[ExternalId]) -> Vec<StoredUserPage> {
    links.iter().map(|link| person(link.value.as_str())).collect()
}

fn creates<'w>(links: &'w [ExternalId], people: &'w [StoredUserPage]) -> WriteBatch<'w> {
    let mut batch = WriteBatch::new();
    for (external_id, page) in links.iter().zip(people) {
        let attributes = page.attributes().next().unwrap();
        batch.push(Write::CreateUser { external_id, attributes, active: true, origin: Origin::Synced });
    }
    batch
}

fn group_creates<'w>(links: &'w [ExternalId], teams: &'w [StoredGroupPage]) -> WriteBatch<'w> {
    let mut batch = WriteBatch::new();
    for (external_id, page) in links.iter().zip(teams) {
        batch.push(Write::CreateGroup { external_id, attributes: page.attributes().next().unwrap() });
    }
    batch
}

/// External ids of the users that the server has, each as often as it has it.
fn held(fake: &Fake) -> Vec<String> {
    let mut held: Vec<String> =
        fake.state().users.iter().map(|user| user["externalId"].as_str().unwrap().to_owned()).collect();
    held.sort_unstable();
    held
}

fn once_each(fake: &Fake) {
    let held = held(fake);
    assert_eq!(held.iter().collect::<BTreeSet<_>>().len(), held.len(), "{held:?}");
}

#[tokio::test]
async fn creates_that_stand_side_by_side_are_under_way_together() {
    // rules X1, J4
    let (fake, store) = slow().await;
    fake.state().wait_for_creates = 8;
    let links = numbered(30);
    let people = people(&links);
    let mut batch = creates(&links, &people);
    store.write(&mut batch).await.unwrap();
    // Each answer stands in its own slot.
    for (answer, link) in batch.into_answers().zip(&links) {
        let id = answer.unwrap().unwrap().id.unwrap();
        let state = fake.state();
        let user = state.users.iter().find(|user| user["id"] == id.as_str()).unwrap();
        assert_eq!(user["userName"], link.value.as_str());
    }
    assert_eq!(fake.state().most_creates, 8);
}

#[tokio::test]
async fn until_a_link_was_kept_creates_go_out_one_by_one() {
    // rule M1: a server that drops links makes strangers, and one of them is enough
    let (fake, store) = one_by_one().await;
    fake.state().pace = Some((10_000, LATENCY));
    fake.trouble("POST", "/Users", 9, Trouble::NoExternalId);
    let links = numbered(6);
    let people = people(&links);
    let mut batch = creates(&links, &people);
    store.write(&mut batch).await.unwrap();
    let kinds: Vec<ErrorKind> =
        batch.into_answers().map(|answer| answer.unwrap().unwrap_err().kind()).collect();
    assert_eq!(kinds[0], ErrorKind::Permanent);
    assert_eq!(kinds[1..], [ErrorKind::Unsupported; 5]);
    assert_eq!(fake.requests("POST", "/Users"), 1);
}

#[tokio::test]
async fn that_links_of_users_are_kept_says_nothing_of_groups() {
    // rule M1
    let (fake, store) = slow().await;
    fake.trouble("POST", "/Groups", 9, Trouble::NoExternalId);
    let links = numbered(6);
    let teams: Vec<StoredGroupPage> = links.iter().map(|link| team(link.value.as_str())).collect();
    let mut batch = group_creates(&links, &teams);
    store.write(&mut batch).await.unwrap();
    assert!(batch.into_answers().all(|answer| answer.unwrap().is_err()));
    assert_eq!(fake.requests("POST", "/Groups"), 1);
}

#[tokio::test]
async fn what_a_look_at_a_new_record_meets_says_nothing_about_its_create() {
    // rules X1, J4: a group that was made is not made again because the look was refused
    for trouble in
        [Trouble::Status(429, "Retry-After: 0\r\n"), Trouble::Status(401, ""), Trouble::Status(404, "")]
    {
        let (fake, store) = slow().await;
        fake.trouble("POST", "/Groups", 1, Trouble::NoExternalId);
        fake.trouble("GET", "/Groups/", 99, trouble.clone());
        let error = create_group(&store, "g", "team").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Transient, "{trouble:?}");
        assert_eq!(fake.requests("POST", "/Groups"), 1, "{trouble:?}");
    }
}

#[tokio::test]
async fn what_a_bulk_answer_leaves_open_is_not_refused_by_what_comes_after_it() {
    // rule X1
    let (fake, store) = plain().await;
    fake.trouble("POST", "/Bulk", 1, Trouble::OneShort);
    fake.trouble("POST", "/Bulk", 1, Trouble::Status(401, ""));
    // More than the server takes in one request.
    let links = numbered(40);
    let people = people(&links);
    let mut batch = creates(&links, &people);
    assert_eq!(store.write(&mut batch).await.unwrap_err().kind(), ErrorKind::Transient);
    assert_eq!(fake.requests("POST", "/Bulk"), 2);
}

#[tokio::test]
async fn a_name_that_stands_twice_in_a_call_goes_to_the_first() {
    // rules A4, P6: by the rule of the attribute, and however late the first one is answered
    let (fake, store) = slow().await;
    let links = links(["a", "b", "c"].map(str::to_owned));
    let people = ["ann", "bob", "ANN"].map(person);
    // The first one is asked about for longer than it takes to make the others.
    fake.trouble("GET", "/Users", 1, Trouble::Drip);
    let mut batch = creates(&links, &people);
    store.write(&mut batch).await.unwrap();
    let refused: Vec<bool> = batch.into_answers().map(|answer| answer.unwrap().is_err()).collect();
    assert_eq!(refused, [false, false, true]);
    let names: BTreeSet<String> =
        fake.state().users.iter().map(|user| user["userName"].as_str().unwrap().to_owned()).collect();
    assert_eq!(names, ["ann", "bob", "first"].map(str::to_owned).into());
}

#[tokio::test]
async fn a_server_of_few_writes_a_second_gets_fewer_at_once_and_refuses_nobody_for_good() {
    // rule X3
    let (fake, store) = slow().await;
    fake.state().pace = Some((1, Duration::from_millis(5)));
    let links = numbered(9);
    let people = people(&links);
    let mut batch = creates(&links, &people);
    store.write(&mut batch).await.unwrap();
    assert!(batch.into_answers().all(|answer| matches!(answer, Some(Ok(_)))));
    assert_eq!(held(&fake).len(), 10);
}

#[tokio::test]
async fn what_may_have_been_made_is_told_whatever_else_goes_wrong() {
    // rule X1: the engine looks after a call that ends so, and not after one whose token was refused
    for order in
        [[Trouble::AnswerLost, Trouble::Status(401, "")], [Trouble::Status(401, ""), Trouble::AnswerLost]]
    {
        let (fake, store) = slow().await;
        fake.state().wait_for_creates = 8;
        for trouble in order {
            fake.trouble("POST", "/Users", 1, trouble);
        }
        let links = numbered(20);
        let people = people(&links);
        let mut batch = creates(&links, &people);
        assert_eq!(store.write(&mut batch).await.unwrap_err().kind(), ErrorKind::Transient);
        let done = batch.into_answers().filter(|answer| matches!(answer, Some(Ok(_)))).count();
        assert_eq!((done, held(&fake).len()), (6, 8));
    }
}

#[tokio::test]
async fn what_was_made_is_answered_though_another_hangs() {
    // rule X1
    let (fake, store) = slow().await;
    fake.trouble("POST", "/Users", 1, Trouble::Drip);
    let links = numbered(40);
    let people = people(&links);
    let mut batch = creates(&links, &people);
    tokio::select! {
        _ = store.write(&mut batch) => panic!("one of them hangs"),
        () = async {
            while held(&fake).len() < 20 {
                tokio::time::sleep(LATENCY).await;
            }
        } => {}
    }
    let answered = batch.into_answers().filter(|answer| matches!(answer, Some(Ok(_)))).count();
    // All but the one, and those that were under way.
    assert!(answered >= 20 - 1 - 8, "{answered}");
}

#[tokio::test]
async fn a_link_that_stands_twice_in_a_call_is_given_once() {
    // rules J4, M5
    let (fake, store) = slow().await;
    let links = links(["a", "b", "a", "c"].map(str::to_owned));
    let people = ["ann", "bob", "other", "cat"].map(person);
    let mut batch = creates(&links, &people);
    store.write(&mut batch).await.unwrap();
    let taken: Vec<Option<ErrorKind>> =
        batch.into_answers().map(|answer| answer.unwrap().err().map(|error| error.kind())).collect();
    assert_eq!(taken, [None, None, Some(ErrorKind::AlreadyExists), None]);
    assert_eq!(held(&fake).len(), 4);
    once_each(&fake);
}

#[tokio::test]
async fn what_ends_a_call_keeps_the_rest_from_going_out_and_those_under_way_are_answered() {
    // rule X1
    let (fake, store) = slow().await;
    fake.trouble("POST", "/Users", 1, Trouble::AnswerLost);
    let links = numbered(40);
    let people = people(&links);
    let mut batch = creates(&links, &people);
    let error = store.write(&mut batch).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient);
    let done = batch.into_answers().filter(|answer| matches!(answer, Some(Ok(_)))).count();
    // One user was there before, and one was made without anybody hearing of it.
    assert_eq!(held(&fake).len(), 1 + done + 1);
    assert!(fake.requests("POST", "/Users") <= 1 + 8);
    // Whoever tries again finds what is there, and makes the others.
    let mut batch = creates(&links, &people);
    store.write(&mut batch).await.unwrap();
    assert_eq!(held(&fake).len(), 41);
    once_each(&fake);
}

#[tokio::test]
async fn a_token_that_expired_under_many_creates_is_renewed_once() {
    // Only the first token that came in its place is good: a server may forget each with the next one.
    let fake = Fake::start(Dialect::Plain).await;
    let renewed = Renewed(AtomicUsize::new(0));
    let options = ScimOptions::new(fake.url.as_str(), renewed).rates(0, 0).bulk(Use::Never);
    fake.state().accepted = [format!("{TOKEN}-0")].into();
    let store = ScimStore::connect(options).await.unwrap();
    create_user(&store, "first", "first").await.unwrap();
    fake.state().pace = Some((10_000, LATENCY));
    fake.state().accepted = [format!("{TOKEN}-1")].into();
    let links = numbered(20);
    let people = people(&links);
    let mut batch = creates(&links, &people);
    store.write(&mut batch).await.unwrap();
    assert!(batch.into_answers().all(|answer| matches!(answer, Some(Ok(_)))));
    assert_eq!(held(&fake).len(), 21);
}

#[tokio::test]
async fn a_token_that_is_refused_ends_a_call_at_once() {
    // rule X1
    let (fake, store) = slow().await;
    let accepted = std::mem::take(&mut fake.state().accepted);
    let links = numbered(40);
    let people = people(&links);
    let mut batch = creates(&links, &people);
    assert_eq!(store.write(&mut batch).await.unwrap_err().kind(), ErrorKind::Unauthorized);
    assert!(batch.into_answers().all(|answer| answer.is_none()));
    assert_eq!(fake.requests("POST", "/Users"), 1);
    fake.state().accepted = accepted;
    store.write(&mut creates(&links, &people)).await.unwrap();
    assert_eq!(held(&fake).len(), 41);
}

#[tokio::test]
async fn a_full_store_is_told_of_no_more_than_were_under_way() {
    // rule X1
    let (fake, store) = slow().await;
    fake.trouble("POST", "/Users", 99, Trouble::Status(507, ""));
    let links = numbered(40);
    let people = people(&links);
    let mut batch = creates(&links, &people);
    store.write(&mut batch).await.unwrap();
    assert!(
        batch.into_answers().all(|answer| answer.unwrap().unwrap_err().kind() == ErrorKind::QuotaExceeded)
    );
    assert!(fake.requests("POST", "/Users") <= 1 + 8);
}

#[tokio::test]
async fn creates_that_nobody_waits_for_any_more_are_seen_through_before_the_next_call() {
    // rules X4, J4
    let (fake, store) = slow().await;
    let links = numbered(40);
    let people = people(&links);
    let mut batch = creates(&links, &people);
    tokio::select! {
        _ = store.write(&mut batch) => panic!("it is not that fast"),
        () = async {
            while fake.state().most_creates < 2 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        } => {}
    }
    drop(batch);
    // Under names of which the server has none, so that it would take every one.
    let others: Vec<StoredUserPage> =
        links.iter().map(|link| person(&format!("other {}", link.value.as_str()))).collect();
    let mut batch = creates(&links, &others);
    store.write(&mut batch).await.unwrap();
    assert_eq!(held(&fake).len(), 41);
    once_each(&fake);
    let found = batch.into_answers().filter(|answer| matches!(answer, Some(Err(_)))).count();
    assert!((1..=8).contains(&found), "{found} had been sent before nobody waited for them");
}

#[tokio::test]
async fn a_create_that_was_only_asked_about_does_not_go_out_for_nobody() {
    // rule X4
    let (fake, store) = slow().await;
    // No answer to a look-up is there when the call is dropped.
    fake.state().pace = Some((10_000, Duration::from_millis(300)));
    let links = numbered(8);
    let people = people(&links);
    let mut batch = creates(&links, &people);
    tokio::time::timeout(LATENCY, store.write(&mut batch)).await.unwrap_err();
    drop(batch);
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert_eq!(fake.requests("POST", "/Users"), 1);
}

#[tokio::test]
async fn groups_that_are_made_together_stand_in_the_ledger() {
    // rules C5, X4: the answer to one of them is lost; it is there, and its members are not known
    let fake = Fake::start(Dialect::Aws).await;
    let folder = tempfile::tempdir().unwrap();
    let ledger = || FileLedger::open(folder.path().join("ledger"), &fake.url).unwrap();
    let options = || ScimOptions::aws_identity_center(fake.url.as_str(), Token::new(TOKEN)).rates(0, 0);
    let store = ScimStore::connect(options().ledger(ledger())).await.unwrap();
    create_group(&store, "first", "first").await.unwrap();
    fake.state().wait_for_creates = 8;
    fake.trouble("POST", "/Groups", 1, Trouble::AnswerLost);
    let links = numbered(8);
    let teams: Vec<StoredGroupPage> = links.iter().map(|link| team(link.value.as_str())).collect();
    let mut batch = group_creates(&links, &teams);
    store.write(&mut batch).await.unwrap_err();
    let made: Vec<StoreId> = batch.into_answers().filter_map(|answer| answer?.ok()?.id).collect();
    assert_eq!((made.len(), fake.state().groups.len()), (7, 9));
    // Another process reads the same in it.
    drop(store);
    let store = ScimStore::connect(options().ledger(ledger())).await.unwrap();
    for id in &made {
        assert_eq!(members(&store, id).await.unwrap(), (Vec::new(), PageEnd::COMPLETE));
    }
}
