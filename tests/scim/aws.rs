//! AWS's limits, and memberships that no server lists (rules C5, X5).

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use identity_sync::adapter::scim::{FileLedger, Ledger, LedgerEntry};
use identity_sync::memory::{MemoryAssignments, MemoryDirectory};
use identity_sync::{ApplyOptions, Host, Members, Options, Run, Timestamp, apply, reconcile};
use pretty_assertions::assert_eq;

use super::fake::Trouble;
use super::*;

/// A ledger in memory that survives the store.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<LedgerEntry>>>);

#[async_trait]
impl Ledger for Log {
    async fn read(&self) -> Result<Vec<LedgerEntry>, StoreError> {
        Ok(self.0.lock().unwrap().clone())
    }

    async fn append(&self, entries: &[LedgerEntry]) -> Result<(), StoreError> {
        self.0.lock().unwrap().extend_from_slice(entries);
        Ok(())
    }
}

fn aws(fake: &Fake) -> ScimOptions {
    ScimOptions::aws_identity_center(fake.url.as_str(), Token::new(TOKEN)).rates(0, 0)
}

async fn with_ledger(fake: &Fake, log: &Log) -> ScimStore {
    ScimStore::connect(aws(fake).ledger(log.clone())).await.unwrap()
}

/// As [`with_ledger`], but nobody can be asked about members.
async fn unasked(fake: &Fake, log: &Log) -> ScimStore {
    let options = options(fake).ledger(log.clone());
    ScimStore::connect(options).await.unwrap()
}

async fn users(store: &ScimStore, count: usize) -> Vec<StoreId> {
    let mut ids = Vec::new();
    for number in 0..count {
        ids.push(create_user(store, &format!("a{number}"), &format!("user-{number}")).await.unwrap());
    }
    ids
}

async fn add(store: &ScimStore, group: &StoreId, members: &[StoreId]) -> Result<Written, StoreError> {
    write(store, Write::AddMembers { id: group, version: None, members }).await
}

async fn remove(store: &ScimStore, group: &StoreId, members: &[StoreId]) -> Result<Written, StoreError> {
    write(store, Write::RemoveMembers { id: group, version: None, members }).await
}

/// Who really is in the group.
fn really(fake: &Fake, group: &StoreId) -> Vec<String> {
    fake.state().members[group.as_str()].iter().cloned().collect()
}

/// The ledger says what is so, whatever happened before.
async fn says_what_is_so(fake: &Fake, store: &ScimStore, group: &StoreId) {
    let (listed, end) = members(store, group).await.unwrap();
    assert_eq!((listed, end), (really(fake, group), PageEnd::COMPLETE));
}

#[tokio::test]
async fn without_a_ledger_the_store_says_that_it_lists_nobody() {
    let fake = Fake::start(Dialect::Aws).await;
    let store = ScimStore::connect(aws(&fake)).await.unwrap();
    assert_eq!(store.capabilities().members, Members::Unlisted);
    assert_eq!(with_ledger(&fake, &Log::default()).await.capabilities().members, Members::PerGroup);
}

#[tokio::test]
async fn long_lists_go_out_in_hundreds() {
    // rule X5
    let (fake, log) = (Fake::start(Dialect::Aws).await, Log::default());
    let store = with_ledger(&fake, &log).await;
    let (group, all) = (create_group(&store, "g", "team").await.unwrap(), users(&store, 250).await);
    add(&store, &group, &all).await.unwrap();
    assert_eq!((fake.requests("PATCH", "/Groups"), really(&fake, &group).len()), (3, 250));
    remove(&store, &group, &all).await.unwrap();
    assert_eq!((fake.requests("PATCH", "/Groups"), really(&fake, &group).len()), (6, 0));
    says_what_is_so(&fake, &store, &group).await;
}

#[tokio::test]
async fn one_member_who_is_gone_does_not_save_the_others() {
    // rules D3, X1: AWS refuses the whole request for his sake
    let (fake, log) = (Fake::start(Dialect::Aws).await, Log::default());
    let store = with_ledger(&fake, &log).await;
    let (group, all) = (create_group(&store, "g", "team").await.unwrap(), users(&store, 4).await);
    add(&store, &group, &all).await.unwrap();
    fake.state().users.remove(1);
    let gone = fake.state().members.get_mut(group.as_str()).unwrap().remove(all[1].as_str());
    assert!(gone);
    remove(&store, &group, &all[..3]).await.unwrap();
    assert_eq!(really(&fake, &group), [all[3].as_str()]);
    says_what_is_so(&fake, &store, &group).await;
    // A group that is gone is another thing.
    let error = remove(&store, &StoreId::from("nowhere"), &all[..2]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn one_member_whom_the_server_keeps_does_not_save_the_others() {
    // rules C5, X1: wherever he stands in the list; what became of each is known
    for kept in 0..3 {
        let (fake, log) = (Fake::start(Dialect::Plain).await, Log::default());
        let store = unasked(&fake, &log).await;
        let (group, all) = (create_group(&store, "g", "team").await.unwrap(), users(&store, 4).await);
        add(&store, &group, &all).await.unwrap();
        fake.state().chained = [all[kept].as_str().to_owned()].into();
        let error = remove(&store, &group, &all[..3]).await.unwrap_err();
        assert_eq!(error.to_string(), "some of the members were taken out, and others were refused");
        assert_eq!(really(&fake, &group), [all[kept].as_str(), all[3].as_str()]);
        says_what_is_so(&fake, &store, &group).await;
        // It is about this group, and not about the next write.
        let mut batch = WriteBatch::new();
        batch.push(Write::RemoveMembers { id: &group, version: None, members: &all[kept..] });
        batch.push(Write::SetActive { id: &all[0], version: None, active: false });
        store.write(&mut batch).await.unwrap();
        let refused: Vec<bool> = batch.into_answers().map(|answer| answer.unwrap().is_err()).collect();
        assert_eq!(refused, [true, false]);
        // Where nobody may go, nothing was done.
        fake.state().chained = all.iter().map(|id| id.as_str().to_owned()).collect();
        let before = fake.requests("PATCH", "/Groups");
        let error = remove(&store, &group, &all).await.unwrap_err();
        assert_eq!((error.kind(), fake.requests("PATCH", "/Groups") - before), (ErrorKind::Invalid, 1 + 4));
    }
}

#[tokio::test]
async fn a_lost_answer_is_settled_by_asking() {
    // rules C5, X4
    for (trouble, adds) in [
        (Trouble::AnswerLost, true),
        (Trouble::NotHeard, true),
        (Trouble::AnswerLost, false),
        (Trouble::NotHeard, false),
        (Trouble::DoneBut(500), true),
        (Trouble::Status(502, ""), false),
    ] {
        let (fake, log) = (Fake::start(Dialect::Aws).await, Log::default());
        let store = with_ledger(&fake, &log).await;
        let (group, all) = (create_group(&store, "g", "team").await.unwrap(), users(&store, 3).await);
        add(&store, &group, &all[..2]).await.unwrap();
        fake.trouble("PATCH", "/Groups", 1, trouble.clone());
        let answer =
            if adds { add(&store, &group, &all[1..]).await } else { remove(&store, &group, &all[..1]).await };
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::Transient, "{trouble:?}");
        // The process ends here, and another one begins.
        drop(store);
        let store = with_ledger(&fake, &log).await;
        // Nobody is taken out of a group about which the server can be asked.
        let before = really(&fake, &group).len();
        assert_eq!(store.settle_memberships().await.unwrap(), 0);
        assert_eq!(really(&fake, &group).len(), before);
        says_what_is_so(&fake, &store, &group).await;
    }
}

#[tokio::test]
async fn a_lost_answer_that_nobody_can_be_asked_about_makes_no_plan_until_it_is_settled() {
    // rule C5
    for (trouble, adds) in [
        (Trouble::AnswerLost, true),
        (Trouble::NotHeard, true),
        (Trouble::AnswerLost, false),
        (Trouble::NotHeard, false),
    ] {
        let (fake, log) = (Fake::start(Dialect::Plain).await, Log::default());
        let store = unasked(&fake, &log).await;
        let (group, all) = (create_group(&store, "g", "team").await.unwrap(), users(&store, 3).await);
        add(&store, &group, &all[..2]).await.unwrap();
        fake.trouble("PATCH", "/Groups", 1, trouble.clone());
        let answer =
            if adds { add(&store, &group, &all[1..]).await } else { remove(&store, &group, &all[..1]).await };
        answer.unwrap_err();
        drop(store);
        let store = unasked(&fake, &log).await;
        assert!(is_partial(&members(&store, &group).await.unwrap().1));
        assert_eq!(store.settle_memberships().await.unwrap(), 1);
        assert_eq!(really(&fake, &group).len(), if adds { 2 } else { 1 }, "who is uncertain is out");
        says_what_is_so(&fake, &store, &group).await;
        assert_eq!(store.settle_memberships().await.unwrap(), 0);
    }
}

#[tokio::test]
async fn members_who_are_out_are_not_written_back_as_in_where_the_rest_was_not_heard() {
    // rules C5, X1: the whole is refused, the first is removed alone, and the second is one too many for the server
    for asked in [true, false] {
        let (fake, log) =
            (Fake::start(if asked { Dialect::Aws } else { Dialect::Plain }).await, Log::default());
        let store = if asked { with_ledger(&fake, &log).await } else { unasked(&fake, &log).await };
        let (group, all) = (create_group(&store, "g", "team").await.unwrap(), users(&store, 3).await);
        add(&store, &group, &all).await.unwrap();
        fake.trouble("PATCH", "/Groups", 1, Trouble::Status(400, ""));
        // No trouble at all for this one.
        fake.trouble("PATCH", "/Groups", 1, Trouble::Total(0));
        fake.trouble("PATCH", "/Groups", 5, Trouble::Status(429, "Retry-After: 0\r\n"));
        let error = remove(&store, &group, &all).await.unwrap_err();
        assert_eq!((error.kind(), really(&fake, &group).len()), (ErrorKind::Transient, 2));
        if asked {
            says_what_is_so(&fake, &store, &group).await;
        } else {
            assert!(is_partial(&members(&store, &group).await.unwrap().1));
        }
    }
}

#[tokio::test]
async fn a_group_that_is_adopted_is_not_the_one_whose_create_was_lost() {
    // rule C5: who is in it nobody knows
    let (fake, log) = (Fake::start(Dialect::Aws).await, Log::default());
    let store = with_ledger(&fake, &log).await;
    let all = users(&store, 2).await;
    fake.trouble("POST", "/Groups", 1, Trouble::NotHeard);
    create_group(&store, "g", "team").await.unwrap_err();
    {
        let mut state = fake.state();
        let theirs = serde_json::json!({"id": "theirs", "displayName": "team"});
        state.groups.push(theirs.as_object().unwrap().clone());
        state.members.insert("theirs".into(), [all[0].as_str().to_owned()].into());
    }
    let (group, link) = (StoreId::from("theirs"), ExternalId::new("corp", "g"));
    let adopt = Write::Adopt { kind: Kind::Group, id: &group, version: None, external_id: &link };
    write(&store, adopt).await.unwrap();
    read(&store, Kind::Group, StoreSelect::All).await.unwrap();
    assert!(is_partial(&members(&store, &group).await.unwrap().1));
}

#[tokio::test]
async fn a_refusal_leaves_the_ledger_as_it_was() {
    let (fake, log) = (Fake::start(Dialect::Aws).await, Log::default());
    let store = with_ledger(&fake, &log).await;
    let (group, all) = (create_group(&store, "g", "team").await.unwrap(), users(&store, 3).await);
    add(&store, &group, &all[..2]).await.unwrap();
    for answer in ["400", "403", "429"] {
        let status = answer.parse().unwrap();
        let times = if status == 429 { 5 } else { 1 };
        fake.trouble("PATCH", "/Groups", times, Trouble::Status(status, "Retry-After: 0\r\n"));
        add(&store, &group, &all).await.unwrap_err();
        says_what_is_so(&fake, &store, &group).await;
    }
    // Nobody had to be asked.
    assert_eq!(fake.state().log.iter().filter(|logged| logged.query.contains("members")).count(), 0);
}

#[tokio::test]
async fn a_group_whose_create_was_never_answered_is_known_when_it_is_found() {
    let (fake, log) = (Fake::start(Dialect::Aws).await, Log::default());
    let store = with_ledger(&fake, &log).await;
    fake.trouble("POST", "/Groups", 1, Trouble::AnswerLost);
    assert_eq!(create_group(&store, "g", "team").await.unwrap_err().kind(), ErrorKind::Transient);
    drop(store);
    let store = with_ledger(&fake, &log).await;
    let (ids, _) = read(&store, Kind::Group, StoreSelect::All).await.unwrap();
    let group = StoreId::from(ids[0].as_str());
    says_what_is_so(&fake, &store, &group).await;
}

#[tokio::test]
async fn a_create_that_lands_after_its_second_try_is_known_as_ours() {
    // rules C5, X4: the first try comes through while the second one is refused for it
    let (fake, log) = (Fake::start(Dialect::Aws).await, Log::default());
    let store = with_ledger(&fake, &log).await;
    fake.trouble("POST", "/Groups", 1, Trouble::NotHeard);
    let error = create_group(&store, "g", "team").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient);
    fake.trouble("POST", "/Groups", 1, Trouble::DoneBut(409));
    create_group(&store, "g", "team").await.unwrap_err();
    drop(store);
    let store = with_ledger(&fake, &log).await;
    let (found, _) = read(&store, Kind::Group, StoreSelect::All).await.unwrap();
    says_what_is_so(&fake, &store, &StoreId::from(found[0].as_str())).await;
}

#[tokio::test]
async fn what_somebody_else_has_written_down_is_read_before_it_is_told() {
    // rules C1, C5: a host that only looks keeps its store open
    let (fake, log) = (Fake::start(Dialect::Plain).await, Log::default());
    let writer = unasked(&fake, &log).await;
    let (group, all) = (create_group(&writer, "g", "team").await.unwrap(), users(&writer, 2).await);
    let looker = unasked(&fake, &log).await;
    says_what_is_so(&fake, &looker, &group).await;
    add(&writer, &group, &all).await.unwrap();
    read(&looker, Kind::Group, StoreSelect::All).await.unwrap();
    says_what_is_so(&fake, &looker, &group).await;
}

#[tokio::test]
async fn a_group_that_the_ledger_does_not_know_makes_no_plan_until_it_is_listed() {
    // rule C5: a ledger that was lost must not claim that groups are empty
    let (fake, log) = (Fake::start(Dialect::Aws).await, Log::default());
    let store = with_ledger(&fake, &log).await;
    let (group, all) = (create_group(&store, "g", "team").await.unwrap(), users(&store, 4).await);
    add(&store, &group, &all[..2]).await.unwrap();
    let lost = Log::default();
    let store = with_ledger(&fake, &lost).await;
    assert!(is_partial(&members(&store, &group).await.unwrap().1));
    // What is done to it meanwhile does not make it known.
    add(&store, &group, &all[2..3]).await.unwrap();
    assert!(is_partial(&members(&store, &group).await.unwrap().1));
    store.rebuild_ledger(std::slice::from_ref(&group), &all).await.unwrap();
    says_what_is_so(&fake, &store, &group).await;
    says_what_is_so(&fake, &with_ledger(&fake, &lost).await, &group).await;
}

#[tokio::test]
async fn a_server_that_does_not_look_at_members_in_filters_is_not_asked() {
    let (fake, log) = (Fake::start(Dialect::Aws).await, Log::default());
    let store = with_ledger(&fake, &log).await;
    let (group, all) = (create_group(&store, "g", "team").await.unwrap(), users(&store, 1).await);
    fake.trouble("PATCH", "/Groups", 1, Trouble::NotHeard);
    add(&store, &group, &all).await.unwrap_err();
    fake.trouble("GET", "/Groups", 100, Trouble::NoFilter);
    assert_eq!(members(&store, &group).await.unwrap_err().kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn whoever_is_deleted_leaves_the_ledger_too() {
    let (fake, log) = (Fake::start(Dialect::Aws).await, Log::default());
    let store = with_ledger(&fake, &log).await;
    let (group, all) = (create_group(&store, "g", "team").await.unwrap(), users(&store, 2).await);
    add(&store, &group, &all).await.unwrap();
    write(&store, Write::DeleteUser { id: &all[0], version: None }).await.unwrap();
    says_what_is_so(&fake, &store, &group).await;
    write(&store, Write::DeleteGroup { id: &group, version: None }).await.unwrap();
    assert!(is_partial(&members(&store, &group).await.unwrap().1));
}

#[tokio::test]
async fn nothing_is_sent_that_could_not_be_written_down_before() {
    struct Full;
    #[async_trait]
    impl Ledger for Full {
        async fn read(&self) -> Result<Vec<LedgerEntry>, StoreError> {
            Ok(Vec::new())
        }
        async fn append(&self, _: &[LedgerEntry]) -> Result<(), StoreError> {
            Err(StoreError::new(ErrorKind::Permanent, "no room"))
        }
    }
    let fake = Fake::start(Dialect::Aws).await;
    let store = ScimStore::connect(aws(&fake).ledger(Full)).await.unwrap();
    assert_eq!(create_group(&store, "g", "team").await.unwrap_err().to_string(), "no room");
    add(&store, &StoreId::from("g"), &[StoreId::from("u")]).await.unwrap_err();
    write(&store, Write::DeleteUser { id: &StoreId::from("u"), version: None }).await.unwrap_err();
    write(&store, Write::DeleteGroup { id: &StoreId::from("g"), version: None }).await.unwrap_err();
    assert_eq!(["POST", "PATCH", "DELETE"].map(|method| fake.requests(method, "/")), [0, 0, 0]);
}

#[tokio::test]
async fn what_was_done_and_could_not_be_written_down_is_no_refusal() {
    // rules C5, X1
    struct Filling(Log, usize);
    #[async_trait]
    impl Ledger for Filling {
        async fn read(&self) -> Result<Vec<LedgerEntry>, StoreError> {
            self.0.read().await
        }
        async fn append(&self, entries: &[LedgerEntry]) -> Result<(), StoreError> {
            if self.0.0.lock().unwrap().len() >= self.1 {
                return Err(StoreError::new(ErrorKind::Permanent, "no room"));
            }
            self.0.append(entries).await
        }
    }
    let (fake, log) = (Fake::start(Dialect::Aws).await, Log::default());
    let store = with_ledger(&fake, &log).await;
    let (group, all) = (create_group(&store, "g", "team").await.unwrap(), users(&store, 2).await);
    for adds in [true, false] {
        let room = log.0.lock().unwrap().len() + 1;
        let full = ScimStore::connect(aws(&fake).ledger(Filling(log.clone(), room))).await.unwrap();
        let answer = if adds { add(&full, &group, &all).await } else { remove(&full, &group, &all).await };
        let error = answer.unwrap_err();
        assert_eq!(error.to_string(), "members were written, and the ledger could not be");
        assert_eq!(
            (error.kind(), really(&fake, &group).len()),
            (ErrorKind::Transient, if adds { 2 } else { 0 })
        );
        let store = with_ledger(&fake, &log).await;
        says_what_is_so(&fake, &store, &group).await;
    }
}

#[tokio::test]
async fn a_whole_run_comes_to_rest_whatever_gets_lost_on_the_way() {
    // rules P4, X4
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::start(Dialect::Aws).await;
    let url = fake.url.clone();
    let theirs =
        serde_json::json!({"id": "theirs", "userName": "root", "externalId": "9f", "displayName": "R"});
    fake.state().users.push(theirs.as_object().unwrap().clone());
    let mut directory = MemoryDirectory::new("corp");
    let names: Vec<String> = (0..30).map(|number| format!("u{number}")).collect();
    for name in &names {
        directory.add_user(
            name,
            &[("userPrincipalName", name), ("displayName", name), ("givenName", "G"), ("sn", "S")],
        );
    }
    directory.add_group("g", &[("cn", "team")], &names.iter().map(String::as_str).collect::<Vec<_>>());
    let assignments = MemoryAssignments::of("corp", &["g"]);
    let (options, host) = (Options::default(), Host::default());
    let mut run = Run::at(Timestamp(1_795_413_600));
    for (round, trouble) in
        [Trouble::AnswerLost, Trouble::NotHeard, Trouble::DoneBut(500), Trouble::AnswerLost]
            .into_iter()
            .enumerate()
    {
        for (method, path) in
            [("POST", "/Users"), ("POST", "/Groups"), ("PATCH", "/Groups"), ("PATCH", "/Users")]
        {
            fake.trouble(method, path, 1, trouble.clone());
        }
        // Each run is a process of its own.
        let ledger = FileLedger::open(folder.path().join("ledger"), &url).unwrap();
        let store = ScimStore::connect(aws(&fake).ledger(ledger)).await.unwrap();
        let found = reconcile(&directory, &store, &assignments, &options, &run, &host).await.unwrap();
        let report = apply(&found.plan, &store, &ApplyOptions::default(), &host).await.unwrap();
        run = Run::new(report.run, Timestamp(1_795_413_600 + 14_400 * (round as i64 + 1)));
    }
    fake.trouble("POST", "/", 0, Trouble::NotHeard);
    for last in 0..4 {
        let ledger = FileLedger::open(folder.path().join("ledger"), &url).unwrap();
        let store = ScimStore::connect(aws(&fake).ledger(ledger)).await.unwrap();
        let found = reconcile(&directory, &store, &assignments, &options, &run, &host).await.unwrap();
        if found.plan.is_empty() {
            break;
        }
        assert!(last < 3, "{}", found.plan);
        let report = apply(&found.plan, &store, &ApplyOptions::default(), &host).await.unwrap();
        run = Run::new(report.run, Timestamp(1_795_513_600));
    }
    let state = fake.state();
    assert_eq!((state.users.len(), state.groups.len()), (31, 1));
    assert_eq!(state.members[state.groups[0]["id"].as_str().unwrap()].len(), 30);
    assert_eq!(Some(&state.users[0]), theirs.as_object(), "what is theirs is as it was");
}
