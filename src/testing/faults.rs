//! Adapters that fail on order: any adapter, wrapped.

mod assignments;
mod source;
mod store;

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::executor::give_way;
use crate::error::{AdapterError, ErrorKind};
use crate::model::Completeness;
use crate::page::{PageEnd, PageToken};

/// Which calls of an adapter a fault is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Call {
    /// [`DirectorySource::read_users`](crate::DirectorySource::read_users).
    SourceUsers,
    /// [`DirectorySource::read_groups`](crate::DirectorySource::read_groups).
    SourceGroups,
    /// [`DirectorySource::existence`](crate::DirectorySource::existence).
    Existence,
    /// [`DirectorySource::generation`](crate::DirectorySource::generation).
    Generation,
    /// [`IdentityStore::read_users`](crate::IdentityStore::read_users).
    StoreUsers,
    /// [`IdentityStore::read_groups`](crate::IdentityStore::read_groups).
    StoreGroups,
    /// [`IdentityStore::read_members`](crate::IdentityStore::read_members).
    StoreMembers,
    /// [`AssignmentSet::read_assignments`](crate::AssignmentSet::read_assignments).
    Assignments,
}

/// What goes wrong with a call that reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadFault {
    /// It answers an error. Only this call: the one after it works.
    Fail(ErrorKind),
    /// The page comes, and the read ends with it as `Partial`, whether or not there is more.
    Partial,
    /// The page comes, and the read ends with it as `Complete`, whether or not there is more: the worst lie that there is.
    Cut,
    /// The page comes without its rows, and the read goes on as if they had never been.
    Lose,
    /// The page has its rows twice.
    Repeat,
    /// From this page on each page is said to be followed by the same one: the read would never end.
    Endless,
    /// No answer, ever.
    Hang,
    /// It panics.
    Panic,
}

/// What goes wrong with one item that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WriteFault {
    /// Refused with this error; nothing happens.
    Refuse(ErrorKind),
    /// Refused as too much at once, with a time to wait; nothing happens.
    Throttle(Duration),
    /// It happens, and an error comes back in its place.
    LoseAnswer(ErrorKind),
    /// It happens, and its slot stays empty.
    KeepSilent,
    /// Nothing happens, and its slot stays empty.
    Forget,
    /// Nothing happens, and the answer is that it did.
    Pretend,
    /// It happens twice; the second answer comes back.
    Twice,
    /// It happens, and the answer names another record.
    AnswerWith(&'static str),
    /// The whole call fails here, with no answer for this item and those after it.
    Break(ErrorKind),
    /// It happens, then the whole call fails.
    BreakAfter(ErrorKind),
    /// No answer, ever; nothing happens.
    Hang,
    /// It happens, and no answer comes, ever.
    HangAfter,
    /// It panics; nothing happens.
    Panic,
    /// It happens, then it panics.
    PanicAfter,
}

/// An adapter of any of the three traits that fails on order, and otherwise does what the one inside does.
///
/// Calls and written items are counted from 0, each kind of call on its own. A batch is performed item by item.
#[derive(Debug)]
pub struct Faulty<A> {
    inner: A,
    reads: BTreeMap<(Call, usize), ReadFault>,
    writes: BTreeMap<usize, WriteFault>,
    /// From this item on every item has this fault.
    down: Option<(usize, WriteFault)>,
    stepped: bool,
    calls: Mutex<BTreeMap<Call, usize>>,
    written: AtomicUsize,
}

impl<A> Faulty<A> {
    /// An adapter without a fault so far.
    pub fn new(inner: A) -> Self {
        Self {
            inner,
            reads: BTreeMap::new(),
            writes: BTreeMap::new(),
            down: None,
            stepped: false,
            calls: Mutex::default(),
            written: AtomicUsize::new(0),
        }
    }

    /// This call number, counted from 0, goes wrong.
    #[must_use]
    pub fn read(mut self, call: Call, number: usize, fault: ReadFault) -> Self {
        self.reads.insert((call, number), fault);
        self
    }

    /// This written item, counted from 0, goes wrong.
    #[must_use]
    pub fn write(mut self, number: usize, fault: WriteFault) -> Self {
        self.writes.insert(number, fault);
        self
    }

    /// From this item on everything written goes wrong.
    #[must_use]
    pub fn down_from(mut self, number: usize, fault: WriteFault) -> Self {
        self.down = Some((number, fault));
        self
    }

    /// Gives way before and after each call, and before each written item, so that [`drive`](super::drive) can stop there.
    #[must_use]
    pub fn stepped(mut self) -> Self {
        self.stepped = true;
        self
    }

    /// How many calls of a kind there were.
    pub fn calls(&self, call: Call) -> usize {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.get(&call).copied().unwrap_or(0)
    }

    /// How many items were to be written, those included that went wrong.
    pub fn written(&self) -> usize {
        self.written.load(Ordering::SeqCst)
    }

    /// The adapter inside.
    pub fn inner(&self) -> &A {
        &self.inner
    }

    async fn step(&self) {
        if self.stepped {
            give_way().await;
        }
    }

    /// Counts a call and answers what goes wrong with it.
    async fn enter(&self, call: Call) -> Result<Option<ReadFault>, AdapterError> {
        self.step().await;
        let number = {
            let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
            let calls = calls.entry(call).or_default();
            *calls += 1;
            *calls - 1
        };
        let endless = (0..number).rev().any(|at| self.reads.get(&(call, at)) == Some(&ReadFault::Endless));
        let fault = self.reads.get(&(call, number)).copied();
        match fault.or(endless.then_some(ReadFault::Endless)) {
            Some(ReadFault::Fail(kind)) => Err(AdapterError::new(kind, "failed on order")),
            Some(ReadFault::Hang) => pending().await,
            #[expect(clippy::panic, reason = "this is what was asked for")]
            Some(ReadFault::Panic) => panic!("an adapter that panics on order"),
            other => Ok(other),
        }
    }

    fn fault_of(&self, number: usize) -> Option<WriteFault> {
        let down = self.down.filter(|(from, _)| number >= *from).map(|(_, fault)| fault);
        self.writes.get(&number).copied().or(down)
    }
}

const ENDLESS: &[u8] = b"the same page";

/// Whether this is a page that [`ReadFault::Endless`] has sent for.
fn is_endless(at: Option<&PageToken>) -> bool {
    at.and_then(PageToken::as_text) == std::str::from_utf8(ENDLESS).ok()
}

/// How a page ends that has this fault.
fn ended(fault: Option<ReadFault>, end: PageEnd) -> PageEnd {
    match fault {
        Some(ReadFault::Partial) => PageEnd::partial("cut short on order"),
        Some(ReadFault::Cut) => PageEnd::Last(Completeness::Complete),
        Some(ReadFault::Endless) => PageEnd::More(PageToken::new(ENDLESS.to_vec())),
        _ => end,
    }
}

fn on_order(kind: ErrorKind) -> AdapterError {
    AdapterError::new(kind, "failed on order")
}
