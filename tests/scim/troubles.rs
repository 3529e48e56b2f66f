//! Lost answers, refusals, tokens that expire, servers that are not what they should be.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use identity_sync::adapter::scim::{MemberRemoval, TokenProvider, Use};
use identity_sync::memory::{MemoryAssignments, MemoryDirectory};
use identity_sync::{ApplyOptions, Change, Host, Members, Options, Run, Timestamp, apply, reconcile};
use pretty_assertions::assert_eq;
use serde_json::json;
use tokio::time::Instant;

use super::fake::Trouble;
use super::*;

#[tokio::test]
async fn a_create_whose_answer_was_lost_is_unknown_and_not_made_twice() {
    // rules X1, X4
    for trouble in [Trouble::AnswerLost, Trouble::DoneBut(500), Trouble::DoneBut(504), Trouble::Cut] {
        let (fake, store) = plain().await;
        fake.trouble("POST", "/Users", 1, trouble.clone());
        let error = create_user(&store, "a1", "ada").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Transient, "{trouble:?}");
        // Also under another name, which the server would take.
        for name in ["ada", "ada-2"] {
            let error = create_user(&store, "a1", name).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        }
        assert_eq!(fake.state().users.len(), 1);
    }
}

#[tokio::test]
async fn a_link_that_a_user_has_is_not_given_to_a_group() {
    // rules J4, M5
    let (fake, store) = plain().await;
    create_user(&store, "a1", "ada").await.unwrap();
    assert_eq!(create_group(&store, "a1", "team").await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(fake.requests("POST", "/Groups"), 0);
}

#[tokio::test]
async fn a_server_that_forgets_external_ids_is_found_out() {
    // rule M1: its records would be strangers to the next run, and made again and again
    let (fake, store) = plain().await;
    fake.trouble("POST", "/Users", 1, Trouble::NoExternalId);
    assert_eq!(create_user(&store, "a1", "ada").await.unwrap_err().kind(), ErrorKind::Permanent);
    // One stranger is enough: no other is made.
    for anchor in ["a2", "a3"] {
        assert_eq!(create_user(&store, anchor, anchor).await.unwrap_err().kind(), ErrorKind::Unsupported);
    }
    assert_eq!(create_group(&store, "g", "team").await.unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(fake.requests("POST", "/"), 1);
}

#[tokio::test]
async fn a_server_that_leaves_members_out_is_found_out() {
    // rule C5: every group would look empty, and nobody would ever be removed
    let (fake, store) = plain().await;
    let group = create_group(&store, "g", "team").await.unwrap();
    let mut ids = Vec::new();
    for number in 0..3 {
        ids.push(create_user(&store, &format!("a{number}"), &format!("u{number}")).await.unwrap());
    }
    fake.trouble("GET", "/Groups/", 3, Trouble::NoMembers);
    let add = |ids| Write::AddMembers { id: &group, version: None, members: ids };
    let error = write(&store, add(&ids[..1])).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().contains("MemberListing::NotListed")),
        (ErrorKind::Unsupported, true)
    );
    // A server that only took its time is believed from then on, and not looked at again.
    write(&store, add(&ids[1..2])).await.unwrap();
    let looks = fake.requests("GET", "/Groups/");
    write(&store, add(&ids[2..])).await.unwrap();
    assert_eq!(fake.requests("GET", "/Groups/"), looks);
}

#[tokio::test]
async fn a_full_server_gets_no_more_creates_of_the_call_and_all_else_goes_on() {
    // rule X1
    for bulk in [Use::Never, Use::AsAnnounced] {
        let fake = Fake::start(Dialect::Plain).await;
        let store = ScimStore::connect(options(&fake).bulk(bulk)).await.unwrap();
        let ids = [
            create_user(&store, "a1", "ada").await.unwrap(),
            create_user(&store, "a2", "bob").await.unwrap(),
        ];
        // In one, the first answer is the server's to the first create; in the other to the whole request, which is then sent in parts.
        fake.trouble("POST", "/Bulk", 1, Trouble::Status(501, ""));
        fake.trouble("POST", "/Users", 9, Trouble::Status(507, ""));
        let (page, links) = (person("new"), ["n1", "n2", "n3"].map(|anchor| ExternalId::new("corp", anchor)));
        let attributes = page.attributes().next().unwrap();
        let create =
            |external_id| Write::CreateUser { external_id, attributes, active: true, origin: Origin::Synced };
        let mut batch = WriteBatch::new();
        batch.push(create(&links[0]));
        batch.push(create(&links[1]));
        batch.push(Write::SetActive { id: &ids[0], version: None, active: false });
        batch.push(create(&links[2]));
        batch.push(Write::DeleteUser { id: &ids[1], version: None });
        store.write(&mut batch).await.unwrap();
        let kinds: Vec<Option<ErrorKind>> =
            batch.into_answers().map(|answer| answer.unwrap().err().map(|error| error.kind())).collect();
        let full = Some(ErrorKind::QuotaExceeded);
        assert_eq!(kinds, [full, full, None, full, None], "{bulk:?}");
        // Two were made before, two went out together at most; the one behind the other write did not.
        assert!((3..=4).contains(&fake.requests("POST", "/Users")));
        assert_eq!(fake.state().users.len(), 1);
    }
}

#[tokio::test]
async fn of_creates_with_one_link_in_a_call_one_is_made() {
    // rule J4
    let fake = Fake::start(Dialect::Plain).await;
    let store = ScimStore::connect(options(&fake).bulk(Use::Never)).await.unwrap();
    let pages = ["ada", "bob", "ada-2", "eve"].map(person);
    let links = ["a1", "a2", "a1", "a1"].map(|anchor| ExternalId::new("corp", anchor));
    // The first of them is refused: the link is free for the next one.
    fake.trouble("POST", "/Users", 1, Trouble::Status(400, ""));
    let mut batch = WriteBatch::new();
    for (page, external_id) in pages.iter().zip(&links) {
        let attributes = page.attributes().next().unwrap();
        batch.push(Write::CreateUser { external_id, attributes, active: true, origin: Origin::Synced });
    }
    store.write(&mut batch).await.unwrap();
    let kinds: Vec<Option<ErrorKind>> =
        batch.into_answers().map(|answer| answer.unwrap().err().map(|error| error.kind())).collect();
    assert_eq!(kinds, [Some(ErrorKind::Invalid), None, None, Some(ErrorKind::AlreadyExists)]);
    assert_eq!(fake.state().users.len(), 2);
}

#[tokio::test]
async fn a_server_that_gives_somebody_elses_record_has_made_none() {
    // rules M3, M7
    let (fake, store) = plain().await;
    fake.trouble("POST", "/Users", 1, Trouble::DoneBut(200));
    assert_eq!(create_user(&store, "a1", "ada").await.unwrap_err().kind(), ErrorKind::AlreadyExists);
}

#[tokio::test]
async fn a_create_that_nobody_waits_for_is_seen_to_its_end() {
    // rules J4, X4
    let (fake, store) = plain().await;
    for number in 0..20 {
        let anchor = format!("a{number}");
        let waiting =
            tokio::time::timeout(Duration::from_micros(300 * number), create_user(&store, &anchor, &anchor));
        let _ = waiting.await;
        let again = create_user(&store, &anchor, &format!("{anchor}-again")).await;
        assert!(
            again.is_ok_and(|_| true)
                || fake.state().users.iter().any(|user| user["externalId"] == format!("corp:{anchor}"))
        );
    }
    let mut links: Vec<String> =
        fake.state().users.iter().map(|user| user["externalId"].to_string()).collect();
    links.sort();
    links.dedup();
    assert_eq!((links.len(), fake.state().users.len()), (20, 20));
}

#[tokio::test]
async fn a_call_of_creates_that_nobody_waits_for_makes_nobody_twice() {
    // rules J4, X4: the one that was sent is seen to its end, and those behind it are not sent any more
    let fake = Fake::start(Dialect::Plain).await;
    let store = ScimStore::connect(options(&fake).bulk(Use::Never)).await.unwrap();
    for round in 0..15 {
        let anchors: Vec<String> = (0..4).map(|number| format!("r{round}-{number}")).collect();
        let pages: Vec<StoredUserPage> = anchors.iter().map(|anchor| person(anchor)).collect();
        let links: Vec<ExternalId> =
            anchors.iter().map(|anchor| ExternalId::new("corp", anchor.as_str())).collect();
        let go = || async {
            let mut batch = WriteBatch::new();
            for (page, external_id) in pages.iter().zip(&links) {
                let attributes = page.attributes().next().unwrap();
                batch.push(Write::CreateUser {
                    external_id,
                    attributes,
                    active: true,
                    origin: Origin::Synced,
                });
            }
            store.write(&mut batch).await.unwrap();
        };
        let _ = tokio::time::timeout(Duration::from_micros(500 * round), go()).await;
        go().await;
    }
    let mut links: Vec<String> =
        fake.state().users.iter().map(|user| user["externalId"].to_string()).collect();
    links.sort();
    links.dedup();
    assert_eq!((links.len(), fake.state().users.len()), (60, 60));
}

#[tokio::test]
async fn a_write_that_was_not_answered_may_be_tried_again_and_one_that_was_refused_may_not() {
    // rule X3
    let (fake, store) = plain().await;
    let id = create_user(&store, "a1", "ada").await.unwrap();
    for (trouble, kind) in [
        (Trouble::AnswerLost, ErrorKind::Transient),
        (Trouble::NotHeard, ErrorKind::Transient),
        (Trouble::Status(500, ""), ErrorKind::Transient),
        (Trouble::Status(400, ""), ErrorKind::Invalid),
        (Trouble::Status(403, ""), ErrorKind::Permanent),
        (Trouble::Status(404, ""), ErrorKind::NotFound),
        (Trouble::Status(412, ""), ErrorKind::Conflict),
        (Trouble::Status(501, ""), ErrorKind::Unsupported),
        (Trouble::Status(418, ""), ErrorKind::Permanent),
    ] {
        fake.trouble("PATCH", "/Users", 1, trouble.clone());
        let error =
            write(&store, Write::SetActive { id: &id, version: None, active: false }).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{trouble:?}");
    }
    // The status says that it is done; half of a body does not undo it.
    fake.trouble("PATCH", "/Users", 1, Trouble::Cut);
    write(&store, Write::SetActive { id: &id, version: None, active: false }).await.unwrap();
}

#[tokio::test]
async fn who_asks_too_often_waits_as_long_as_the_server_says() {
    // rule X3
    let (fake, store) = plain().await;
    fake.trouble("GET", "/Users", 1, Trouble::Status(429, "Retry-After: 1\r\n"));
    let start = Instant::now();
    read(&store, Kind::User, StoreSelect::All).await.unwrap();
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert_eq!(fake.requests("GET", "/Users"), 2);
    // Nobody waits here for two minutes: whoever called may.
    fake.trouble("GET", "/Users", 1, Trouble::Status(429, "Retry-After: 120\r\n"));
    let error = read(&store, Kind::User, StoreSelect::All).await.unwrap_err();
    assert_eq!((error.kind(), error.wait()), (ErrorKind::Transient, Some(Duration::from_secs(120))));
    assert_eq!(fake.requests("GET", "/Users"), 3);
}

#[tokio::test]
async fn what_changes_nothing_is_sent_again_and_what_may_have_happened_is_not() {
    // rules X3, X4
    let (fake, store) = plain().await;
    let id = create_user(&store, "a1", "ada").await.unwrap();
    let busy = Trouble::Status(429, "Retry-After: 0\r\n");
    let deactivate = || Write::SetActive { id: &id, version: None, active: false };
    for (trouble, tries) in [
        (busy.clone(), 5),
        (Trouble::Status(503, "Retry-After: 0\r\n"), 1),
        (Trouble::Status(408, ""), 1),
        (Trouble::NotHeard, 1),
    ] {
        let before = fake.requests("PATCH", "/Users");
        fake.trouble("PATCH", "/Users", tries, trouble.clone());
        assert_eq!(write(&store, deactivate()).await.unwrap_err().kind(), ErrorKind::Transient);
        assert_eq!(fake.requests("PATCH", "/Users") - before, tries, "{trouble:?}");
    }
    fake.trouble("PATCH", "/Users", 4, busy);
    write(&store, deactivate()).await.unwrap();
    for (trouble, tries) in [
        (Trouble::Status(502, ""), 5),
        (Trouble::Status(425, ""), 5),
        (Trouble::NotHeard, 5),
        (Trouble::Cut, 5),
        (Trouble::Status(501, ""), 1),
        (Trouble::Status(403, ""), 1),
    ] {
        let before = fake.requests("GET", "/Users");
        fake.trouble("GET", "/Users", tries, trouble.clone());
        read(&store, Kind::User, StoreSelect::All).await.unwrap_err();
        assert_eq!(fake.requests("GET", "/Users") - before, tries, "{trouble:?}");
    }
}

#[tokio::test]
async fn a_call_of_a_hundred_writes_gets_through_where_one_request_in_ten_is_refused() {
    // rule X3
    let (fake, store) = plain().await;
    let ids = hundred(&fake);
    fake.every(10, Trouble::Status(429, "Retry-After: 0\r\n"));
    let mut batch = WriteBatch::new();
    // Bulk requests would make it few: these cannot go out in one.
    let links: Vec<ExternalId> = (0..ids.len()).map(|n| ExternalId::new("corp", format!("l{n}"))).collect();
    for (id, external_id) in ids.iter().zip(&links) {
        batch.push(Write::Adopt { kind: Kind::User, id, version: None, external_id });
    }
    store.write(&mut batch).await.unwrap();
    assert!(batch.into_answers().all(|answer| answer.unwrap().is_ok()));
}

#[tokio::test]
async fn a_hundred_updates_get_through_a_line_that_fails_one_request_in_twenty() {
    // rules P7, X3, X4: each record is read again, so that there are two requests for each
    struct Clock;
    #[async_trait]
    impl identity_sync::Timer for Clock {
        async fn sleep(&self, _: Duration) {}
        fn now(&self) -> Timestamp {
            Timestamp(0)
        }
        fn jitter(&self) -> f64 {
            0.0
        }
    }
    let fake = Fake::start(Dialect::Plain).await;
    let store = ScimStore::connect(options(&fake).bulk(Use::Never)).await.unwrap();
    hundred(&fake);
    let mut directory = MemoryDirectory::new("corp");
    for number in 0..100 {
        let (anchor, name) = (format!("a{number}"), format!("n{number}"));
        directory.add_user(&anchor, &[("userPrincipalName", &name), ("title", "new")]);
        fake.state().users[number].insert("externalId".into(), json!(format!("corp:{anchor}")));
    }
    let anchors: Vec<String> = (0..100).map(|number| format!("a{number}")).collect();
    let anchors: Vec<&str> = anchors.iter().map(String::as_str).collect();
    directory.add_group("g", &[("cn", "team")], &anchors);
    let assignments = MemoryAssignments::of("corp", &["g"]);
    let host = Host::default().timer(&Clock);
    let (options, run) = (Options::default(), Run::at(Timestamp(0)));
    let found = reconcile(&directory, &store, &assignments, &options, &run, &host).await.unwrap();
    assert_eq!(found.plan.len(), 102, "{}", found.plan);
    fake.every(20, Trouble::NotHeard);
    let report = apply(&found.plan, &store, &ApplyOptions::default(), &host).await.unwrap();
    assert!(report.is_success(), "{report}");
    assert!(fake.state().users.iter().all(|user| user["title"] == "new"));
}

/// As many users, who are nobody's.
fn hundred(fake: &Fake) -> Vec<StoreId> {
    let users = (0..100).map(|number| {
        let user = json!({"id": format!("u{number}"), "userName": format!("n{number}"), "active": true});
        user.as_object().unwrap().clone()
    });
    fake.state().users.extend(users);
    (0..100).map(|number| StoreId::from(format!("u{number}"))).collect()
}

#[tokio::test]
async fn what_the_next_item_would_meet_ends_the_call() {
    // rule X1: nothing that was not sent is answered
    let (fake, store) = plain().await;
    let id = create_user(&store, "a1", "ada").await.unwrap();
    fake.trouble("PATCH", "/Users", 1, Trouble::Status(503, "Retry-After: 0\r\n"));
    let mut batch = WriteBatch::new();
    for active in [false, true, false] {
        batch.push(Write::SetActive { id: &id, version: None, active });
    }
    assert_eq!(store.write(&mut batch).await.unwrap_err().kind(), ErrorKind::Transient);
    assert!(batch.into_answers().all(|answer| answer.is_none()));
    assert_eq!(fake.requests("PATCH", "/Users"), 1);
}

/// Gives tokens that expire.
pub(super) struct Renewed(pub(super) AtomicUsize);

#[async_trait]
impl TokenProvider for Renewed {
    async fn token(&self) -> Result<Token, StoreError> {
        Ok(Token::new(format!("{TOKEN}-{}", self.0.load(Ordering::SeqCst))))
    }

    async fn renew(&self, _: &Token) -> Result<Token, StoreError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        self.token().await
    }
}

#[tokio::test]
async fn a_token_that_expired_is_renewed_once() {
    let fake = Fake::start(Dialect::Plain).await;
    fake.state().accepted.insert(format!("{TOKEN}-1"));
    let options = ScimOptions::new(fake.url.as_str(), Renewed(AtomicUsize::new(0)));
    let store = ScimStore::connect(options).await.unwrap();
    assert_eq!(fake.state().log.len(), 2);
    create_user(&store, "a1", "ada").await.unwrap();
    // From now on none is good: one try more, and no third.
    fake.state().accepted.clear();
    let before = fake.state().log.len();
    let error = read(&store, Kind::User, StoreSelect::All).await.unwrap_err();
    assert_eq!((error.kind(), fake.state().log.len() - before), (ErrorKind::Unauthorized, 2));
}

#[tokio::test]
async fn a_token_that_cannot_be_renewed_is_not_tried_twice() {
    let (fake, store) = plain().await;
    fake.state().accepted.clear();
    let before = fake.state().log.len();
    let error = read(&store, Kind::User, StoreSelect::All).await.unwrap_err();
    assert_eq!((error.kind(), fake.state().log.len() - before), (ErrorKind::Unauthorized, 1));
    assert_eq!(create_user(&store, "a1", "ada").await.unwrap_err().kind(), ErrorKind::Unauthorized);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    // threat T9: the token would be somebody else's
    let (other, (fake, store)) = (Fake::start(Dialect::Plain).await, plain().await);
    let line: &'static str = Box::leak(format!("Location: {}Users\r\n", other.url).into_boxed_str());
    for status in [301, 302, 307, 308] {
        fake.trouble("GET", "/Users", 1, Trouble::Status(status, line));
        let error = read(&store, Kind::User, StoreSelect::All).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Permanent);
    }
    assert_eq!(other.state().log.len(), 0);
}

#[tokio::test]
async fn a_server_without_patch_is_refused() {
    let fake = Fake::start(Dialect::Plain).await;
    fake.state().config = json!({"patch": {"supported": false}});
    assert_eq!(ScimStore::connect(options(&fake)).await.unwrap_err().kind(), ErrorKind::Unsupported);
    // One that says nothing about itself is taken for what RFC 7644 demands.
    fake.trouble("GET", "/ServiceProviderConfig", 1, Trouble::Status(404, ""));
    assert_eq!(ScimStore::connect(options(&fake)).await.unwrap().capabilities().members, Members::PerGroup);
    fake.trouble("GET", "/ServiceProviderConfig", 5, Trouble::Status(500, ""));
    assert_eq!(ScimStore::connect(options(&fake)).await.unwrap_err().kind(), ErrorKind::Transient);
}

#[tokio::test]
async fn who_is_out_already_stays_out_and_the_others_go() {
    // rule X2: this server refuses the whole request for one who is not in the group
    let (fake, store) = plain().await;
    let group = create_group(&store, "g", "team").await.unwrap();
    let mut ids = Vec::new();
    for number in 0..4 {
        ids.push(create_user(&store, &format!("a{number}"), &format!("u{number}")).await.unwrap());
    }
    write(&store, Write::AddMembers { id: &group, version: None, members: &ids[..3] }).await.unwrap();
    write(&store, Write::RemoveMembers { id: &group, version: None, members: &ids[1..] }).await.unwrap();
    assert_eq!(fake.state().members[group.as_str()].iter().collect::<Vec<_>>(), [ids[0].as_str()]);
    write(&store, Write::RemoveMembers { id: &group, version: None, members: &ids[3..] }).await.unwrap();
}

#[tokio::test]
async fn the_dangerous_form_of_removal_is_sent_only_when_asked_for() {
    let (fake, store) = plain().await;
    let group = create_group(&store, "g", "team").await.unwrap();
    let id = create_user(&store, "a", "u").await.unwrap();
    let members = [id];
    write(&store, Write::AddMembers { id: &group, version: None, members: &members }).await.unwrap();
    write(&store, Write::RemoveMembers { id: &group, version: None, members: &members }).await.unwrap();
    let form = |fake: &Fake| fake.state().log.last().unwrap().body["Operations"][0].clone();
    assert_eq!(
        form(&fake),
        json!({"op": "remove", "path": format!("members[value eq \"{}\"]", members[0].as_str())})
    );
    let store = ScimStore::connect(options(&fake).member_removal(MemberRemoval::ByValue)).await.unwrap();
    write(&store, Write::RemoveMembers { id: &group, version: None, members: &members }).await.unwrap();
    assert_eq!(
        form(&fake),
        json!({"op": "remove", "path": "members", "value": [{"value": members[0].as_str()}]})
    );
}

#[tokio::test]
async fn an_update_names_what_it_changes_and_nothing_else() {
    // rule A1
    let (fake, store) = plain().await;
    let id = create_user(&store, "a1", "ada").await.unwrap();
    let change = |attribute: &str, new: &[&str]| Change {
        attribute: attribute.into(),
        old: Vec::new(),
        new: new.iter().map(|&value| value.to_owned()).collect(),
    };
    let changes = [change("title", &["Countess"]), change("name.givenName", &[])];
    write(&store, Write::UpdateUser { id: &id, version: None, changes: &changes, origin: None })
        .await
        .unwrap();
    let state = fake.state();
    let user = &state.users[0];
    assert_eq!(
        (&user["title"], &user["name"], &user["userName"]),
        (&json!("Countess"), &json!({"familyName": "L"}), &json!("ada"))
    );
}
