//! Adapters that are wrong on purpose, each in one way that happens in practice. A suite that lets one of them pass is worth
//! nothing, so each is named with the check that has to find it out.

/// Tests that say which check has to find which adapter out. The names of these checks stay behind as `EXPECTED`, so that no
/// check is added without an adapter that gets it wrong.
macro_rules! found_out {
    ($($test:ident: $($wrong:expr => $check:literal),+;)+) => {
        $(#[test]
        fn $test() {
            $(found_out($wrong, $check);)+
        })+

        /// Each check that has to find somebody out.
        pub(super) const EXPECTED: &[&str] = &[$($($check),+),+];
    };
}

mod assignments;
mod complete;
mod source;
mod source_cases;
mod store;
mod store_cases;
mod store_faults;
mod store_spoils;
mod store_writes;

use std::future::poll_fn;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use identity_sync::testing::conformance::Report;
use identity_sync::{PageEnd, PageToken};

/// The check has failed; the report says so where it has not.
#[track_caller]
fn caught(wrong: impl std::fmt::Debug, check: &str, report: &Report) {
    let failed = crate::failed(report);
    assert!(failed.contains(&check), "{wrong:?} was not found out by {check}, but by {failed:?}\n{report}");
    for (name, failure) in report.failures() {
        assert!(!failure.expected.is_empty() && !failure.found.is_empty(), "{name}");
        // Every message says which rule is at risk.
        assert!(failure.risk.contains("rule"), "{name}: {}", failure.risk);
    }
}

/// How pages go wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Paging {
    #[default]
    Right,
    /// The last row of each page that is not the last is left out.
    DropsLastRow,
    /// The next page begins with the last row of the one before.
    RepeatsRow,
    /// Each page that is not the last ends with the token that it was asked with.
    SameToken,
    /// The first page is the last, and the read is called complete.
    CutAndComplete,
}

const PAGE: usize = 7;

/// One page of rows that are sorted by their key.
pub(crate) fn page<T>(
    paging: Paging,
    all: impl Iterator<Item = (String, T)>,
    at: Option<&PageToken>,
) -> (Vec<(String, T)>, PageEnd) {
    let after = at.and_then(PageToken::as_text).unwrap_or_default();
    let behind = |key: &str| match paging {
        Paging::RepeatsRow => key >= after,
        _ => key > after,
    };
    let mut rows: Vec<(String, T)> = all.filter(|(key, _)| behind(key)).collect();
    if rows.len() <= PAGE {
        return (rows, PageEnd::COMPLETE);
    }
    rows.truncate(PAGE);
    let token = PageToken::new(rows[PAGE - 1].0.as_bytes());
    match paging {
        Paging::DropsLastRow => rows.truncate(PAGE - 1),
        Paging::SameToken => {
            return (rows, PageEnd::More(at.cloned().unwrap_or_else(|| PageToken::new(*b""))));
        }
        Paging::CutAndComplete => return (rows, PageEnd::COMPLETE),
        _ => {}
    }
    (rows, PageEnd::More(token))
}

/// The one place that an adapter keeps for itself: whoever asks gets the next page.
#[derive(Default)]
pub(crate) struct Cursor {
    place: Mutex<Option<PageToken>>,
    calls: AtomicUsize,
}

impl Cursor {
    pub(crate) fn page<T>(
        &self,
        rows: impl Iterator<Item = (String, T)>,
        at: Option<&PageToken>,
    ) -> (Vec<(String, T)>, PageEnd) {
        let mut place = self.place.lock().unwrap();
        let (rows, end) = page(Paging::Right, rows, at.and(place.as_ref()));
        let number = self.calls.fetch_add(1, Ordering::SeqCst);
        let PageEnd::More(next) = end else { return (rows, end) };
        *place = Some(next);
        (rows, PageEnd::More(PageToken::new(number.to_be_bytes())))
    }
}

/// Gives way once, as a call over a network does.
pub(crate) async fn network() {
    let mut first = true;
    poll_fn(|context| {
        context.waker().wake_by_ref();
        if std::mem::take(&mut first) { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
}
