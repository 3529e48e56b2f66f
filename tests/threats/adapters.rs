//! Adapters that never answer, never end, or panic (T26).

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use identity_sync::{
    ApplyOptions, DirectorySource, ErrorKind, GroupPage, Guards, Host, Members, PageEnd, PageToken, Read,
    ReadError, ReconcileError, Run, SourceCapabilities, SourceError, SourceIdentity, Timer, Timestamp,
    UserPage, apply, reconcile, sign_in,
};
use pollster::block_on;
use pretty_assertions::assert_eq;

use crate::faulty::Listener;
use crate::trap::{Trap, Wrong};
use crate::world::{CORP, World, anchor, capabilities};

/// Time that goes on only while somebody waits: a second at each look.
#[derive(Default)]
struct Clock(AtomicU64);

impl Clock {
    fn seconds(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

#[async_trait::async_trait]
impl Timer for Clock {
    async fn sleep(&self, wait: Duration) {
        let end = self.seconds() + wait.as_secs();
        std::future::poll_fn(|context| {
            if self.seconds() >= end {
                return Poll::Ready(());
            }
            self.0.fetch_add(1, Ordering::SeqCst);
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    fn now(&self) -> Timestamp {
        Timestamp(i64::try_from(self.seconds()).unwrap())
    }

    fn jitter(&self) -> f64 {
        1.0
    }
}

/// A world in which every call of every adapter is made: by page, by group, with look-ups.
fn asking() -> World {
    let mut store = capabilities();
    store.members = Members::PerGroup;
    store.batch = 1;
    let mut w = World::with_store(store);
    w.users("ada bob kim eve joe");
    w.group("staff", "ada bob kim");
    w.group("top", "staff");
    w.assign("top eve");
    w.options.guards = Guards::off();
    w.sync();
    w.delete("bob");
    w.edit("ada").disabled();
    w.edit("kim").set("title", "chief");
    w.users("new");
    w.edit_group("staff").members("ada new");
    w
}

const MINUTE: Duration = Duration::from_secs(60);

fn what(error: ReconcileError) -> &'static str {
    match error {
        ReconcileError::Read(ReadError::DeadlineExceeded { what }) => what,
        other => panic!("{other}"),
    }
}

#[test]
fn whichever_call_never_answers_the_deadline_ends_the_read_and_nothing_is_written() {
    // threat T26: SF-24
    let w = asking();
    let before = w.dump();
    let whole = Trap::new(&w, None);
    let run = Run::default();
    let plan = block_on(reconcile(&whole, &whole, &whole, &w.options, &run, &Host::new())).unwrap().plan;
    assert!(plan.len() > 4);
    let mut seen = BTreeSet::new();
    for (number, name) in whole.calls().into_iter().enumerate() {
        if ["identity", "capabilities"].contains(&name) {
            continue;
        }
        let (trap, clock) = (Trap::new(&w, Some((number, Wrong::Hangs))), Clock::default());
        let host = Host::new().timer(&clock).read_deadline(MINUTE);
        let error = block_on(reconcile(&trap, &trap, &trap, &w.options, &run, &host)).unwrap_err();
        assert_eq!(error.to_string(), format!("the time for reading was over while reading {name}"));
        assert_eq!((what(error), clock.seconds()), (name, 60));
        seen.insert(name);
    }
    assert_eq!(seen.len(), 8, "{seen:?}");
    assert_eq!(w.dump(), before);
}

#[test]
fn a_sign_in_does_not_wait_for_ever_either() {
    // threat T26: SF-24
    let mut w = asking();
    w.users("late");
    let run = Run::default();
    for name in ["source users", "store records"] {
        let whole = Trap::new(&w, None);
        block_on(sign_in(&whole, &whole, &anchor("kim"), &w.options, &run, &Host::new())).unwrap();
        let number = whole.calls().iter().position(|call| *call == name).unwrap();
        let (trap, clock) = (Trap::new(&w, Some((number, Wrong::Hangs))), Clock::default());
        let host = Host::new().timer(&clock).read_deadline(MINUTE);
        let before = w.dump();
        let error = block_on(sign_in(&trap, &trap, &anchor("late"), &w.options, &run, &host)).unwrap_err();
        assert_eq!((what(error), w.dump()), (name, before));
    }
}

/// A directory whose users come one page after the other, without an end.
struct Endless {
    empty: bool,
    fails: bool,
}

#[async_trait::async_trait]
impl DirectorySource for Endless {
    fn identity(&self) -> SourceIdentity {
        CORP.into()
    }

    fn capabilities(&self) -> SourceCapabilities {
        SourceCapabilities::default()
    }

    async fn read_users(&self, read: Read<'_>, page: &mut UserPage) -> Result<PageEnd, SourceError> {
        if self.fails {
            let busy = SourceError::new(ErrorKind::Transient, "busy");
            return Err(busy.retry_after(Duration::MAX));
        }
        let at: u64 = read.at.and_then(PageToken::as_text).map_or(0, |text| text.parse().unwrap());
        if !self.empty {
            page.user(&format!("u{at}")).active(true);
        }
        Ok(PageEnd::More(PageToken::new((at + 1).to_string().into_bytes())))
    }

    async fn read_groups(&self, _: Read<'_>, _: &mut GroupPage) -> Result<PageEnd, SourceError> {
        Ok(PageEnd::COMPLETE)
    }
}

#[test]
fn a_directory_that_drips_for_ever_is_left_at_the_deadline_though_it_never_makes_anybody_wait() {
    // threat T26: SF-24
    for empty in [true, false] {
        let (w, clock, source) = (World::new(), Clock::default(), Endless { empty, fails: false });
        let host = Host::new().timer(&clock).read_deadline(MINUTE);
        let found = block_on(reconcile(&source, &w.store, &w.assigned, &w.options, &Run::default(), &host));
        assert_eq!((what(found.unwrap_err()), clock.seconds()), ("source users", 60));
    }
}

#[test]
fn waits_between_tries_count_towards_the_deadline() {
    // threats T26, T27
    let (w, clock, source) = (World::new(), Clock::default(), Endless { empty: true, fails: true });
    let host = Host::new().timer(&clock).read_deadline(MINUTE);
    let found = block_on(reconcile(&source, &w.store, &w.assigned, &w.options, &Run::default(), &host));
    assert_eq!((what(found.unwrap_err()), clock.seconds()), ("source users", 60));
}

#[test]
fn without_a_timer_there_is_no_deadline_and_the_pages_are_counted_all_the_same() {
    // threat T26
    let (mut w, source) = (World::new(), Endless { empty: true, fails: false });
    w.options.limits.pages = 5_000;
    let host = Host::new().read_deadline(Duration::ZERO);
    let found = block_on(reconcile(&source, &w.store, &w.assigned, &w.options, &Run::default(), &host));
    assert_eq!(found.unwrap_err().to_string(), "more than 5000 pages in one read");
}

#[test]
fn a_read_that_is_quick_enough_does_not_notice_its_deadline() {
    // threat T26
    let (w, clock) = (asking(), Clock::default());
    let host = Host::new().timer(&clock).read_deadline(Duration::from_secs(600));
    let found = block_on(reconcile(&w.source, &w.store, &w.assigned, &w.options, &Run::default(), &host));
    let without =
        block_on(reconcile(&w.source, &w.store, &w.assigned, &w.options, &Run::default(), &Host::new()));
    assert_eq!(found.unwrap().plan, without.unwrap().plan);
}

/// Runs once with something wrong, and answers whether that panicked.
fn panics(w: &World, trap: &Trap<'_>, host: &Host<'_>) -> bool {
    let once = || {
        let run = Run::default();
        let found = block_on(reconcile(trap, trap, trap, &w.options, &run, host)).unwrap();
        block_on(apply(&found.plan, trap, &ApplyOptions::default(), host)).unwrap();
    };
    catch_unwind(AssertUnwindSafe(once)).is_err()
}

#[test]
fn a_panic_in_any_call_of_an_adapter_surfaces_and_the_next_run_ends_as_if_it_had_not_been() {
    // threat T26: SF-25, WF-21
    let expected = {
        let w = asking();
        w.sync();
        w.dump()
    };
    let whole = asking();
    let trap = Trap::new(&whole, None);
    assert!(!panics(&whole, &trap, &Host::new()));
    let calls = trap.calls();
    assert!(calls.iter().filter(|call| **call == "write").count() >= 3, "{calls:?}");
    for (number, call) in calls.iter().enumerate() {
        for wrong in [Wrong::PanicsBefore, Wrong::PanicsAfter] {
            let w = asking();
            assert!(panics(&w, &Trap::new(&w, Some((number, wrong))), &Host::new()), "{number} {wrong:?}");
            w.sync();
            assert_eq!(w.dump(), expected, "{number} {wrong:?}: {call}");
        }
    }
}

#[test]
fn a_panic_in_the_host_s_own_listener_does_no_harm_either() {
    // threat T26
    let events = {
        let (w, listener) = (asking(), Listener::new(|_| {}));
        assert!(!panics(&w, &Trap::new(&w, None), &Host::new().progress(&listener)));
        listener.events().len()
    };
    for at in 0..events {
        let w = asking();
        let heard = AtomicU64::new(0);
        let listener = Listener::new(|_| {
            assert!(heard.fetch_add(1, Ordering::SeqCst) != at as u64, "the listener panics");
        });
        assert!(panics(&w, &Trap::new(&w, None), &Host::new().progress(&listener)));
        w.sync();
    }
}
