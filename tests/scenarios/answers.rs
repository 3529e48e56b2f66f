//! What the answer to a write tells, and what it does not (rules X1–X4, P7).

use std::time::Duration;

use identity_sync::{
    Adoption, ApplyOptions, ApplyReport, AttributeSchema, Concurrency, Deprovision, ErrorKind, Guards, Host,
    IdentityStore, Kind, MatchRule, MembershipsOnDelete, PageEnd, PageToken, StoreCapabilities, StoreError,
    StoreSelect, StoredGroupPage, StoredUserPage, WriteBatch, apply,
};
use pollster::block_on;
use pretty_assertions::assert_eq;

use crate::apply::outcomes;
use crate::faulty::{FakeTimer, Fault, Scripted};
use crate::world::{NOTHING, World, capabilities, record};

fn one_by_one() -> World {
    let mut store = capabilities();
    store.batch = 1;
    World::with_store(store)
}

fn applied<S: IdentityStore>(w: &World, store: &S, timer: Option<&FakeTimer>) -> ApplyReport {
    let host = Host::default();
    let host = match timer {
        Some(timer) => host.timer(timer),
        None => host,
    };
    block_on(apply(&w.plan(), store, &ApplyOptions::default(), &host)).unwrap()
}

/// Answers reads of single records as it is told; those of all records as ever.
struct Reading<'s, F> {
    store: &'s Scripted<'s>,
    end: F,
}

impl<F: Fn() -> Result<PageEnd, StoreError>> Reading<'_, F> {
    fn end(&self, select: StoreSelect<'_>, end: PageEnd) -> Result<PageEnd, StoreError> {
        if matches!(select, StoreSelect::All) { Ok(end) } else { (self.end)() }
    }
}

#[async_trait::async_trait]
impl<F: Fn() -> Result<PageEnd, StoreError> + Send + Sync> IdentityStore for Reading<'_, F> {
    fn capabilities(&self) -> StoreCapabilities {
        self.store.capabilities()
    }

    async fn read_users(
        &self,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
        page: &mut StoredUserPage,
    ) -> Result<PageEnd, StoreError> {
        let end = self.store.read_users(select, at, page).await?;
        self.end(select, end)
    }

    async fn read_groups(
        &self,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
        page: &mut StoredGroupPage,
    ) -> Result<PageEnd, StoreError> {
        let end = self.store.read_groups(select, at, page).await?;
        self.end(select, end)
    }

    async fn write(&self, batch: &mut WriteBatch<'_>) -> Result<(), StoreError> {
        self.store.write(batch).await
    }
}

#[test]
fn a_create_whose_answer_names_no_record_is_looked_up() {
    // rules X1, X2: what follows needs the id
    let mut w = one_by_one();
    w.users("ada");
    w.group("staff", "ada");
    w.assign("staff");
    let store = Scripted::new(&w.store, [(0, Fault::KeepId), (1, Fault::KeepId)]);
    let report = applied(&w, &store, None);
    assert!(report.is_success(), "{report}");
    assert_eq!(w.lines(), NOTHING);
}

#[test]
fn a_create_that_is_answered_with_the_id_of_another_record_failed() {
    // rule X1: what this plan still has for the new record would go to somebody else
    let another = "failed: the store answered a create with the id of another record";
    // Of a record that the plan names, and of one that it made just before.
    for (known, id) in [("ada", "user-1"), ("", "user-1")] {
        let mut w = World::new();
        w.users(known);
        w.assign(known);
        w.sync();
        w.users("bob kim");
        w.group("staff", "ada bob kim");
        w.assign("staff");
        let first = if known.is_empty() { "user-1" } else { "user-2" };
        let store = Scripted::new(&w.store, [(0, Fault::Name(first)), (1, Fault::Name(id))]);
        let report = applied(&w, &store, None);
        assert_eq!(outcomes(&report)[..2], ["applied", another]);
        // All but him are members.
        assert_eq!(outcomes(&report)[3], "skipped because of operation 1");
        let members = w.store.state().groups.values().next().unwrap().members.len();
        assert_eq!(members, if known.is_empty() { 1 } else { 2 });
    }
}

#[test]
fn only_a_create_tells_which_record_it_is_about() {
    // rule X1
    let mut w = one_by_one();
    w.users("ada");
    w.assign("ada");
    w.sync();
    w.edit("ada").set("title", "chief");
    w.store.state().users.get_mut("user-1").unwrap().active = false;
    let store = Scripted::new(&w.store, [(0, Fault::Name("user-9"))]);
    let report = applied(&w, &store, None);
    assert_eq!(store.log(), ["update user-1", "switch on user-1"]);
    assert!(report.is_success(), "{report}");
}

#[test]
fn a_store_that_declares_no_room_at_all_gets_one_at_a_time() {
    // rule X5
    let mut store = capabilities();
    (store.batch, store.members_per_write) = (0, 0);
    let mut w = World::with_store(store);
    w.users("ada bob");
    w.group("staff", "ada bob");
    w.assign("staff");
    let store = Scripted::new(&w.store, []);
    assert!(applied(&w, &store, None).is_success());
    let (calls, log) = (store.calls.lock().unwrap().clone(), store.log());
    assert!(calls.iter().all(|&items| items == 1), "{calls:?}");
    assert_eq!(log[3..], ["add 1 to group-3", "add 1 to group-3"]);
}

#[test]
fn lists_of_several_groups_in_one_call_each_follow_the_versions_of_their_own_group() {
    // rules P7, X5
    let mut store = capabilities();
    store.members_per_write = 1;
    let mut w = World::with_store(store);
    w.users("a b c");
    w.group("one", "");
    w.group("two", "");
    w.assign("one two a b c");
    w.sync();
    let two = w.id("two");
    w.store.state().groups.get_mut(&two).unwrap().version = 40;
    for group in ["one", "two"] {
        w.edit_group(group).members("a b c");
    }
    let store = Scripted::new(&w.store, []);
    let report = applied(&w, &store, None);
    assert!(report.is_success(), "{report}");
    assert_eq!(*store.calls.lock().unwrap(), [2, 2, 2]);
}

#[test]
fn an_update_that_finds_its_name_taken_is_a_failure() {
    // rules X1, X2: that a record with our link exists says something of a create alone
    for kind in [ErrorKind::AlreadyExists, ErrorKind::Conflict] {
        let mut w = one_by_one();
        w.users("ada");
        w.group("staff", "ada");
        w.assign("staff");
        w.sync();
        w.edit("ada").set("userPrincipalName", "countess");
        w.edit_group("staff").set("cn", "people");
        let timer = FakeTimer::default();
        let store = Scripted::always(&w.store, Fault::Refuse(kind));
        let report = applied(&w, &store, Some(&timer));
        assert_eq!(outcomes(&report), ["failed: as scripted", "failed: as scripted"]);
        assert_eq!(w.lines().len(), 2);
    }
}

#[test]
fn a_conflict_at_the_first_try_is_one_even_where_all_is_as_we_wanted_it() {
    // rule P7: nothing of ours was lost before
    let mut w = one_by_one();
    w.users("ada");
    w.assign("ada");
    w.sync();
    w.edit("ada").set("title", "chief");
    let plan = w.plan();
    let ada = w.id("ada");
    {
        let mut state = w.store.state();
        let record = state.users.get_mut(&ada).unwrap();
        record.attributes.insert("title".to_owned(), vec!["chief".to_owned()]);
        record.version += 1;
    }
    let report = block_on(apply(&plan, &w.store, &ApplyOptions::default(), &Host::default())).unwrap();
    assert_eq!(outcomes(&report), ["failed: the record has another version"]);
    assert_eq!(w.lines(), NOTHING);
}

#[test]
fn a_create_that_was_refused_and_cannot_be_looked_up_failed() {
    // rules X1, X2: the store said no; only where nobody said no it is unknown
    for (fault, outcome) in [
        (Fault::Refuse(ErrorKind::AlreadyExists), "failed: as scripted"),
        (Fault::Refuse(ErrorKind::Transient), "unknown"),
        (Fault::Forget, "unknown"),
    ] {
        let mut w = one_by_one();
        w.users("ada");
        w.assign("ada");
        let scripted = Scripted::new(&w.store, [(0, fault)]);
        let denied = || Err(StoreError::new(ErrorKind::Permanent, "no reads today"));
        let report = applied(&w, &Reading { store: &scripted, end: denied }, None);
        assert_eq!(outcomes(&report), [outcome], "{fault:?}");
    }
}

#[test]
fn a_look_up_that_fails_for_good_is_not_tried_again() {
    // rules X3, X4
    let mut w = one_by_one();
    w.users("ada");
    w.assign("ada");
    let timer = FakeTimer::default();
    let scripted = Scripted::new(&w.store, [(0, Fault::LoseAnswer(ErrorKind::Transient))]);
    let denied = || Err(StoreError::new(ErrorKind::Permanent, "no reads today"));
    let report = applied(&w, &Reading { store: &scripted, end: denied }, Some(&timer));
    assert_eq!((outcomes(&report).concat().as_str(), timer.millis()), ("unknown", vec![200]));
}

#[test]
fn a_read_of_single_records_counts_only_where_it_ends_whole() {
    // rules P7, C1: what is not read to its end shows nothing, and is not asked for again
    let ends: [fn() -> Result<PageEnd, StoreError>; 2] =
        [|| Ok(PageEnd::partial("half of it")), || Ok(PageEnd::More(PageToken::new(*b"again")))];
    for end in ends {
        let mut store = capabilities();
        store.concurrency = Concurrency::ReadAgain;
        let mut w = World::with_store(store);
        w.users("ada");
        w.group("staff", "ada");
        w.assign("staff");
        w.sync();
        w.edit("ada").set("title", "chief");
        w.edit_group("staff").set("cn", "people");
        let (scripted, timer) = (Scripted::new(&w.store, []), FakeTimer::default());
        let report = applied(&w, &Reading { store: &scripted, end }, Some(&timer));
        let unread = "failed: the record could not be read again before the write";
        assert_eq!(outcomes(&report), [unread, unread]);
        assert!(timer.millis().is_empty());
        // The store is not called for nothing.
        assert!(scripted.calls.lock().unwrap().is_empty());
    }
}

#[test]
fn a_whole_call_that_is_refused_as_busy_keeps_its_time_to_wait() {
    // rule X3
    let mut w = World::new();
    w.users("ada bob");
    w.assign("ada bob");
    let timer = FakeTimer::default();
    let store = Scripted::new(&w.store, [(0, Fault::Shut(Duration::from_secs(7)))]);
    let report = applied(&w, &store, Some(&timer));
    assert!(report.is_success(), "{report}");
    assert_eq!(timer.millis(), [7_000]);
}

#[test]
fn a_list_whose_only_member_was_not_made_is_skipped_because_of_him() {
    // rule X1
    let mut w = one_by_one();
    w.users("ada bob");
    w.group("staff", "ada");
    w.assign("staff");
    w.sync();
    w.edit_group("staff").members("ada bob");
    let store = Scripted::new(&w.store, [(0, Fault::Refuse(ErrorKind::Invalid))]);
    let report = applied(&w, &store, None);
    assert_eq!(outcomes(&report), ["failed: as scripted", "skipped because of operation 0"]);
}

#[test]
fn with_a_deleted_group_a_member_goes_though_he_could_not_be_adopted() {
    // rules D2, M3, X1
    let mut store = capabilities();
    store.adoption = Adoption::Supported;
    store.memberships_on_delete = MembershipsOnDelete::RemoveFirst;
    let mut w = World::with_store(store);
    w.options.guards = Guards::off();
    w.options.groups.deleted_in_source = Deprovision::Delete;
    w.options.soft_match.users.insert("userName".into());
    w.users("kim ada");
    w.group("staff", "kim");
    w.assign("staff");
    w.sync();
    w.put(Kind::User, "L1", record(&[("userName", "ada")]));
    let staff = w.id("staff");
    w.put_member(&staff, "L1");
    w.delete("staff");
    w.group("other", "");
    w.assign("ada kim other");
    let lines = w.lines();
    assert_eq!(
        lines[..3],
        [
            "adopt user ada as L1 (Matched)",
            "remove staff: ada kim (GroupDeleted)",
            "delete group staff (DeletedInSource)",
        ]
    );
    let store = Scripted::new(&w.store, [(0, Fault::Refuse(ErrorKind::Invalid))]);
    let report = applied(&w, &store, None);
    assert_eq!(outcomes(&report)[..3], ["failed: as scripted", "applied", "applied"]);
    assert_eq!(w.store.state().groups.len(), 1);
}

#[test]
fn a_list_in_several_writes_follows_the_versions_that_the_store_answers() {
    // rules P7, X5
    for concurrency in [Concurrency::Conditional, Concurrency::ReadAgain] {
        let mut store = capabilities();
        store.concurrency = concurrency;
        store.members_per_write = 2;
        let mut w = World::with_store(store);
        w.options.guards = Guards::off();
        w.users("a b c d e");
        w.group("staff", "a b c d e");
        w.assign("staff a b c d e");
        w.sync();
        w.edit_group("staff").members("");
        let store = Scripted::new(&w.store, []);
        let report = applied(&w, &store, None);
        assert!(report.is_success(), "{report}");
        assert_eq!(store.log().len(), 3);
        // After one that failed the rest stays where it is.
        w.edit_group("staff").members("a b c d e");
        let store = Scripted::new(&w.store, [(1, Fault::Refuse(ErrorKind::Conflict))]);
        let report = applied(&w, &store, None);
        assert_eq!((outcomes(&report).concat().as_str(), store.log().len()), ("failed: as scripted", 2));
        assert_eq!(w.lines(), ["add staff: c d e (Entitled)"]);
    }
}

#[test]
fn values_of_a_record_are_compared_by_the_store_s_rule_and_written_as_the_source_spells_them() {
    // rules A4, M2
    let mut store = capabilities();
    let folded = AttributeSchema::multi_valued().matching(MatchRule::NfkcCasefold);
    store.users.insert("emails".into(), folded);
    let mut w = World::with_store(store);
    w.user("ada").set("mail", "Ada@X");
    w.assign("ada");
    w.sync();
    w.edit("ada").set("mail", " ada@x ");
    assert_eq!(w.lines(), NOTHING);
    w.edit("ada").set("mail", "ada@y");
    assert_eq!(w.lines(), ["update user ada [emails: Ada@X -> ada@y] (Changed)"]);
}
