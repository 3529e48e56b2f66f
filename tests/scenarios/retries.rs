//! What is read again before a write, and what is looked up after one (rules P7, X2, X3, X4).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use identity_sync::testing::{Call as Called, Faulty, WriteFault};
use identity_sync::{
    ApplyOptions, ApplyReport, Concurrency, ErrorKind, Host, IdentityStore, Kind, PageEnd, PageToken, Stop,
    StoreCapabilities, StoreError, StoreSelect, StoredGroupPage, StoredUserPage, WriteBatch, apply,
};
use pollster::block_on;
use pretty_assertions::assert_eq;

use crate::apply::outcomes;
use crate::faulty::{FakeTimer, Fault, Scripted};
use crate::world::{NOTHING, World, capabilities};

/// A call that arrives: the how many-th read of single records, of which kind; the how many-th batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Read(usize, Kind),
    Write(usize),
}

/// Lets the test act before each call, and fail it.
struct Watched<'s, F> {
    store: &'s Scripted<'s>,
    before: F,
    reads: AtomicUsize,
    writes: AtomicUsize,
}

impl<'s, F: Fn(Call) -> Option<ErrorKind> + Send + Sync> Watched<'s, F> {
    fn new(store: &'s Scripted<'s>, before: F) -> Self {
        Self { store, before, reads: AtomicUsize::new(0), writes: AtomicUsize::new(0) }
    }

    fn call(&self, call: Call) -> Result<(), StoreError> {
        let failed = |kind| Err(StoreError::new(kind, "cannot be reached"));
        (self.before)(call).map_or(Ok(()), failed)
    }

    fn read(&self, kind: Kind, select: StoreSelect<'_>) -> Result<(), StoreError> {
        match select {
            StoreSelect::All => Ok(()),
            _ => self.call(Call::Read(self.reads.fetch_add(1, Ordering::SeqCst), kind)),
        }
    }
}

#[async_trait::async_trait]
impl<F: Fn(Call) -> Option<ErrorKind> + Send + Sync> IdentityStore for Watched<'_, F> {
    fn capabilities(&self) -> StoreCapabilities {
        self.store.capabilities()
    }

    async fn read_users(
        &self,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
        page: &mut StoredUserPage,
    ) -> Result<PageEnd, StoreError> {
        self.read(Kind::User, select)?;
        self.store.read_users(select, at, page).await
    }

    async fn read_groups(
        &self,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
        page: &mut StoredGroupPage,
    ) -> Result<PageEnd, StoreError> {
        self.read(Kind::Group, select)?;
        self.store.read_groups(select, at, page).await
    }

    async fn write(&self, batch: &mut WriteBatch<'_>) -> Result<(), StoreError> {
        self.call(Call::Write(self.writes.fetch_add(1, Ordering::SeqCst)))?;
        self.store.write(batch).await
    }
}

fn applied<S: IdentityStore>(w: &World, store: &S, timer: Option<&FakeTimer>) -> ApplyReport {
    let host = Host::default();
    let host = match timer {
        Some(timer) => host.timer(timer),
        None => host,
    };
    block_on(apply(&w.plan(), store, &ApplyOptions::default(), &host)).unwrap()
}

/// Ada and bob get a title, staff a new name, and kim is new: all in one batch, in a store without conditional writes.
fn changed() -> World {
    let mut store = capabilities();
    store.concurrency = Concurrency::ReadAgain;
    let mut w = World::with_store(store);
    w.users("ada bob");
    w.group("staff", "ada bob");
    w.assign("staff");
    w.sync();
    w.edit("ada").set("title", "countess");
    w.edit("bob").set("title", "builder");
    w.edit_group("staff").set("cn", "people");
    w.users("kim");
    w.assign("kim");
    assert_eq!(
        w.lines(),
        [
            "update user ada [title:  -> countess] (Changed)",
            "update user bob [title:  -> builder] (Changed)",
            "update group staff [displayName: staff -> people] (Changed)",
            "create user kim [userName=kim] (Entitled)",
        ]
    );
    w
}

const TRANSIENT: Option<ErrorKind> = Some(ErrorKind::Transient);

#[test]
fn records_that_end_every_call_hold_up_nobody_behind_them() {
    // rule X1: two of them wherever they stand, and more that stand side by side
    let all = ["ann", "bob", "cat", "dan", "eve", "fay", "gus"];
    let pairs = (0..7).flat_map(|one| (0..one).map(move |other| vec![all[other], all[one]]));
    for stuck in pairs.chain(all.windows(3).map(<[&str]>::to_vec)) {
        let mut w = World::new();
        w.users(&all.join(" "));
        all.iter().for_each(|name| w.assign(name));
        let timer = FakeTimer::default();
        let creates = stuck.iter().map(|name| format!("create user {name}"));
        let store = Scripted::new(&w.store, []).stuck_at(creates);
        let report = applied(&w, &store, Some(&timer));
        assert_eq!(report.applied(), all.len() - stuck.len(), "{stuck:?}: {report}");
        let left = stuck.iter().map(|name| format!("create user {name} [userName={name}] (Entitled)"));
        assert_eq!(w.lines(), left.collect::<Vec<_>>());
        // Within the budget of a small plan.
        assert!(timer.millis().len() <= 10, "{stuck:?}: {:?}", timer.millis());
    }
}

#[test]
fn a_record_that_cannot_be_read_again_for_the_moment_is_read_once_more() {
    // rules P7, X3
    let w = changed();
    let timer = FakeTimer::default();
    let scripted = Scripted::new(&w.store, []);
    let store = Watched::new(&scripted, |call| TRANSIENT.filter(|_| call == Call::Read(0, Kind::User)));
    let report = applied(&w, &store, Some(&timer));
    assert!(report.is_success(), "{report}");
    assert_eq!(timer.millis(), [200]);
    // What needed no user to be read went out at once.
    assert_eq!(*scripted.calls.lock().unwrap(), [2, 2]);
    assert_eq!(w.lines(), NOTHING);
}

#[test]
fn records_that_cannot_be_read_again_fail_only_the_writes_that_need_it() {
    // rules P7, X1, X3
    for with_timer in [true, false] {
        let w = changed();
        let timer = FakeTimer::default();
        let scripted = Scripted::new(&w.store, []);
        let store =
            Watched::new(&scripted, |call| TRANSIENT.filter(|_| matches!(call, Call::Read(_, Kind::User))));
        let report = applied(&w, &store, with_timer.then_some(&timer));
        let unread = "failed: the record could not be read again before the write";
        assert_eq!(outcomes(&report), [unread, unread, "applied", "applied"]);
        assert_eq!(timer.millis(), if with_timer { vec![200, 400] } else { vec![] });
        w.sync();
    }
}

#[test]
fn reading_again_takes_from_the_budget_of_retries_and_other_errors_are_final() {
    // rule X3
    let w = changed();
    let timer = FakeTimer::default();
    let scripted = Scripted::new(&w.store, []);
    let store = Watched::new(&scripted, |call| {
        Some(ErrorKind::Permanent).filter(|_| matches!(call, Call::Read(_, Kind::Group)))
    });
    let report = applied(&w, &store, Some(&timer));
    assert_eq!((report.applied(), timer.millis().len()), (3, 0));
    let w = changed();
    let scripted = Scripted::new(&w.store, []);
    let store = Watched::new(&scripted, |call| TRANSIENT.filter(|_| matches!(call, Call::Read(..))));
    let mut options = ApplyOptions::default();
    options.retry.attempts = 100;
    options.retry.budget = Some(3);
    let report = block_on(apply(&w.plan(), &store, &options, &Host::default().timer(&timer))).unwrap();
    assert_eq!(report.applied(), 1);
    // Users and groups are two reads: three retries are two waits.
    assert_eq!(timer.millis().len(), 2);
}

#[test]
fn a_write_that_is_tried_again_is_checked_again() {
    // rules P7, X3
    let w = changed();
    let timer = FakeTimer::default();
    let ada = w.id("ada");
    let scripted = Scripted::new(&w.store, [(0, Fault::Refuse(ErrorKind::Transient))]);
    let store = Watched::new(&scripted, |call| {
        // While we wait, an administrator gives her another title.
        if call == Call::Read(2, Kind::User) {
            let mut state = w.store.state();
            let record = state.users.get_mut(&ada).unwrap();
            record.attributes.insert("title".to_owned(), vec!["queen".to_owned()]);
        }
        None
    });
    let report = applied(&w, &store, Some(&timer));
    assert_eq!(outcomes(&report)[0], "failed: the record has changed since the plan was made");
    assert_eq!(report.applied(), 3);
    // Nothing was lost: the next plan starts from what is there.
    assert_eq!(w.lines(), ["update user ada [title: queen -> countess] (Changed)"]);
}

#[test]
fn what_our_own_lost_write_has_done_counts_as_done_where_records_are_read_again() {
    // rules P7, X4
    let mut w = changed();
    w.edit("bob").disabled();
    let timer = FakeTimer::default();
    let lost = Fault::LoseAnswer(ErrorKind::Transient);
    let scripted = Scripted::new(&w.store, [(0, lost), (1, lost), (2, lost), (3, lost), (4, lost)]);
    let report = applied(&w, &scripted, Some(&timer));
    assert!(report.is_success(), "{report}");
    // Nothing was written twice.
    let log = scripted.log();
    let mut once = log.clone();
    once.dedup();
    assert_eq!(log, once);
    assert_eq!(w.lines(), NOTHING);
}

#[test]
fn the_version_after_our_own_lost_write_guards_the_next_one() {
    // rules P7, X4
    let start = || {
        let mut store = capabilities();
        store.batch = 1;
        let mut w = World::with_store(store);
        w.users("ada bob");
        w.group("staff", "ada");
        w.assign("staff ada bob");
        w.sync();
        w.edit_group("staff").members("bob").set("cn", "people");
        assert_eq!(
            w.lines(),
            [
                "remove staff: ada (NoPath)",
                "update group staff [displayName: staff -> people] (Changed)",
                "add staff: bob (Entitled)",
            ]
        );
        w
    };
    let lost = Fault::LoseAnswer(ErrorKind::Transient);
    // The number of the write whose answer is lost, and that of the batch before which somebody else writes.
    for (at, other) in [(0, 2), (1, 3)] {
        let w = start();
        let (timer, staff) = (FakeTimer::default(), w.id("staff"));
        let scripted = Scripted::new(&w.store, [(at, lost)]);
        let store = Watched::new(&scripted, |call| {
            if call == Call::Write(other) {
                w.store.state().groups.get_mut(&staff).unwrap().version += 1;
            }
            None
        });
        let report = applied(&w, &store, Some(&timer));
        let mut expected = ["applied"; 3];
        expected[at + 1] = "failed: the record has another version";
        assert_eq!(outcomes(&report)[..=at + 1], expected[..=at + 1]);
        // With nobody in between, all goes through.
        let w = start();
        let scripted = Scripted::new(&w.store, [(at, lost)]);
        let report = applied(&w, &scripted, Some(&timer));
        assert!(report.is_success(), "{report}");
        assert_eq!(w.lines(), NOTHING);
    }
}

#[test]
fn a_create_whose_answer_was_lost_for_good_is_looked_up() {
    // rules X2, X4
    let start = || {
        let mut store = capabilities();
        store.batch = 1;
        let mut w = World::with_store(store);
        w.users("ada");
        w.group("staff", "ada");
        w.assign("staff");
        w
    };
    let looks = |call: Call| matches!(call, Call::Read(..));
    for with_timer in [true, false] {
        let timer = FakeTimer::default();
        let timer = with_timer.then_some(&timer);
        // It is there.
        let w = start();
        let scripted = Scripted::new(&w.store, [(0, Fault::LoseAnswer(ErrorKind::Transient))]);
        let report = applied(&w, &scripted, timer);
        assert!(report.is_success(), "{report}");
        assert_eq!(w.lines(), NOTHING);
        // Nobody can tell, also when asked again; a second create never goes out.
        for kind in [ErrorKind::Transient, ErrorKind::Permanent] {
            let w = start();
            let scripted = Scripted::new(&w.store, [(0, Fault::LoseAnswer(ErrorKind::Transient))]);
            let store = Watched::new(&scripted, |call| Some(kind).filter(|_| looks(call)));
            let report = applied(&w, &store, timer);
            assert_eq!(outcomes(&report)[0], "unknown");
            assert_eq!(scripted.log().iter().filter(|line| *line == "create user ada").count(), 1);
            w.sync();
        }
        // It is not there.
        let w = start();
        let scripted = Scripted::always(&w.store, Fault::Refuse(ErrorKind::Transient));
        let report = applied(&w, &scripted, timer);
        assert_eq!(outcomes(&report)[0], "failed: as scripted");
    }
}

#[test]
fn a_look_up_that_fails_for_the_moment_is_tried_again() {
    // rules X3, X4
    let mut w = World::new();
    w.users("ada");
    w.assign("ada");
    let timer = FakeTimer::default();
    let scripted = Scripted::new(&w.store, [(0, Fault::LoseAnswer(ErrorKind::Transient))]);
    let store = Watched::new(&scripted, |call| TRANSIENT.filter(|_| call == Call::Read(0, Kind::User)));
    let report = applied(&w, &store, Some(&timer));
    assert!(report.is_success(), "{report}");
    assert_eq!((timer.millis(), scripted.log().len()), (vec![200, 400], 1));
}

/// So many new users, a hundred in a call.
fn hundreds(count: usize) -> World {
    let mut store = capabilities();
    store.batch = 100;
    let mut w = World::with_store(store);
    let names: String = (0..count).map(|number| format!("u{number:03} ")).collect();
    w.users(&names);
    w.assign(&names);
    w
}

#[test]
fn a_call_that_fails_is_one_failure_however_many_writes_it_leaves_without_an_answer() {
    // rules X1, X3: of those behind the first one nothing was ever sent
    let w = hundreds(500);
    let timer = FakeTimer::default();
    let scripted = Scripted::new(&w.store, [(0, Fault::Shut(Duration::from_secs(1)))]);
    let report = applied(&w, &scripted, Some(&timer));
    assert!(report.is_success(), "{report}");
    assert_eq!((timer.millis(), scripted.log().len()), (vec![1_000], 501));
    assert_eq!(w.lines(), NOTHING);
}

#[test]
fn a_call_that_comes_further_each_time_comes_to_its_end() {
    // rule X3: more failures in one call than one write has tries
    let w = hundreds(100);
    let timer = FakeTimer::default();
    let faults = (0..9).map(|number| (number * 11, Fault::Break(ErrorKind::Transient)));
    let report = applied(&w, &Scripted::new(&w.store, faults), Some(&timer));
    assert!(report.is_success(), "{report}");
    assert_eq!(timer.millis().len(), 9);
    assert_eq!(w.lines(), NOTHING);
}

#[test]
fn calls_that_never_come_through_end_the_run() {
    // rules X1, X3
    let w = hundreds(500);
    let timer = FakeTimer::default();
    let scripted = Scripted::always(&w.store, Fault::Break(ErrorKind::Transient));
    let report = applied(&w, &scripted, Some(&timer));
    assert_eq!((report.stopped, report.applied()), (Some(Stop::FailureBudget), 0));
    assert_eq!(*scripted.calls.lock().unwrap(), [100, 100, 100]);
    // Nor do those that come one write further each time: the budget ends them.
    let w = hundreds(500);
    let faults = (0..1_000).map(|number| (number * 2 + 1, Fault::Break(ErrorKind::Transient)));
    let scripted = Scripted::new(&w.store, faults);
    let report = applied(&w, &scripted, Some(&timer));
    assert_eq!((report.stopped, scripted.calls.lock().unwrap().len()), (Some(Stop::FailureBudget), 11));
    assert_eq!(report.applied(), 11);
}

#[test]
fn what_a_call_did_before_its_answer_was_lost_is_found_with_one_look_and_not_done_twice() {
    // rule X4
    for with_timer in [true, false] {
        let w = hundreds(100);
        let timer = FakeTimer::default();
        let store = Faulty::new(&w.store).write(39, WriteFault::BreakAfter(ErrorKind::Transient));
        let report = applied(&w, &store, with_timer.then_some(&timer));
        assert_eq!(report.applied(), if with_timer { 100 } else { 40 }, "{report}");
        assert_eq!(
            (store.written(), store.calls(Called::StoreUsers)),
            (if with_timer { 100 } else { 40 }, 1)
        );
        w.sync();
        assert_eq!((w.dump().len(), w.lines()), (100, NOTHING.map(str::to_owned).to_vec()));
    }
}
