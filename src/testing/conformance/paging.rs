//! What all reads have in common: pages, tokens, tries, several at once.

use std::collections::BTreeSet;
use std::fmt;

use async_trait::async_trait;

use super::finding::{Finding, Outcome, demand, not_applicable, refused, some, wrong};
use super::turns::{polled, together};
use crate::error::AdapterError;
use crate::model::Completeness;
use crate::page::{PageEnd, PageToken};

/// Pages in one read; more is a read that never ends.
const MOST_PAGES: usize = 100_000;
/// Steps of one call after which it is not dropped any more.
const MOST_STEPS: usize = 64;

/// One kind of read of one adapter.
#[async_trait]
pub(super) trait Reading: Sync {
    /// What a page holds; equal where nobody could tell two apart.
    type Row: Row;

    /// For messages: "the users", "the groups with these ids".
    fn what(&self) -> &'static str;

    /// Reads a page into a fresh one.
    async fn page(&self, at: Option<&PageToken>) -> Result<(Vec<Self::Row>, PageEnd), AdapterError>;
}

/// What stands on a page.
pub(super) trait Row: Clone + Ord + Send + Sync + fmt::Debug {
    /// Which object it is about.
    fn key(&self) -> &str;
}

/// A read from its first page to its last.
#[derive(Debug)]
pub(super) struct Walk<R> {
    pub(super) rows: Vec<R>,
    pub(super) pages: usize,
    pub(super) end: Completeness,
}

impl<R: Row> Walk<R> {
    fn sorted(&self) -> Vec<&R> {
        let mut rows: Vec<&R> = self.rows.iter().collect();
        rows.sort_unstable();
        rows
    }
}

const ENDLESS: &str = "the read never ends, or the engine stops it: no plan, for ever (rule C1)";

/// Why a read came to no end.
enum Stopped {
    Refused(AdapterError),
    Found(Finding),
}

impl Stopped {
    fn finding(self, what: &str) -> Finding {
        match self {
            Self::Refused(error) => refused(format!("reading {what}"), &error),
            Self::Found(finding) => finding,
        }
    }
}

/// Reads everything, as the engine does. Never loops for ever.
pub(super) async fn walk<R: Reading + ?Sized>(reading: &R) -> Result<Walk<R::Row>, Finding> {
    try_walk(reading).await.map_err(|stopped| stopped.finding(reading.what()))
}

async fn try_walk<R: Reading + ?Sized>(reading: &R) -> Result<Walk<R::Row>, Stopped> {
    let mut walk = Walk { rows: Vec::new(), pages: 0, end: Completeness::Complete };
    let (mut at, mut seen): (Option<PageToken>, _) = (None, BTreeSet::new());
    while walk.pages < MOST_PAGES {
        let (rows, end) = reading.page(at.as_ref()).await.map_err(Stopped::Refused)?;
        walk.rows.extend(rows);
        walk.pages += 1;
        match end {
            PageEnd::Last(end) => {
                walk.end = end;
                return Ok(walk);
            }
            PageEnd::More(token) => {
                if !seen.insert(token.clone()) {
                    let expected = format!("each page of {} ends with a token of its own", reading.what());
                    return Err(Stopped::Found(wrong(
                        expected,
                        format!("page {} ends with a token that was there before", walk.pages),
                        ENDLESS,
                    )));
                }
                at = Some(token);
            }
        }
    }
    let expected = format!("reading {} ends", reading.what());
    Err(Stopped::Found(wrong(expected, format!("{MOST_PAGES} pages and no end"), ENDLESS)))
}

/// Reads everything, and demands that it was everything.
pub(super) async fn walk_complete<R: Reading + ?Sized>(reading: &R) -> Result<Vec<R::Row>, Finding> {
    let walk = walk(reading).await?;
    complete(reading.what(), &walk.end)?;
    Ok(walk.rows)
}

/// Nothing is missing, so the read has to say so.
pub(super) fn complete(what: &str, end: &Completeness) -> Outcome {
    demand(
        end.is_complete(),
        format!("reading {what} ends complete: nothing keeps the adapter from seeing all"),
        || format!("it ends {end}"),
        "nothing may be removed by a partial read: whoever leaves keeps his access (rule C2)",
    )
}

/// Exactly these objects, each once.
pub(super) fn exactly<R: Row>(what: &str, rows: &[R], wanted: &BTreeSet<&str>) -> Outcome {
    let seen: BTreeSet<&str> = rows.iter().map(Row::key).collect();
    let missing: Vec<&&str> = wanted.difference(&seen).collect();
    demand(
        missing.is_empty(),
        format!("reading {what} gives all {} of them", wanted.len()),
        || format!("{} are missing: {}", missing.len(), some(&missing)),
        "who is missing from a complete read loses memberships, and may be created twice (rules C2, C5)",
    )?;
    let strange: Vec<&&str> = seen.difference(wanted).collect();
    demand(
        strange.is_empty(),
        format!("reading {what} gives nothing but the {} that are there", wanted.len()),
        || format!("there are {} more: {}", strange.len(), some(&strange)),
        "whoever is read and is not there, or was not asked for, is judged and written (rules E1, M7)",
    )?;
    each_once(what, rows)
}

/// Nobody comes twice.
pub(super) fn each_once<R: Row>(what: &str, rows: &[R]) -> Outcome {
    let mut seen = BTreeSet::new();
    let twice: Vec<&str> = rows.iter().map(Row::key).filter(|key| !seen.insert(*key)).collect();
    demand(
        twice.is_empty(),
        format!("reading {what} gives each once, while nothing changes"),
        || format!("{} came again: {}", twice.len(), some(&twice)),
        "a listing that overlaps also leaves out; a store's is taken for partial, and there is no plan (rules C5, M5)",
    )
}

/// Each page ends with a token of its own, and every page leads on.
pub(super) async fn tokens_lead_on<R: Reading + ?Sized>(reading: &R) -> Outcome {
    let walk = walk(reading).await?;
    if walk.pages < 2 {
        return Err(one_page(reading.what(), walk.rows.len()));
    }
    Ok(())
}

fn one_page(what: &str, rows: usize) -> Finding {
    not_applicable(format!("{rows} rows of {what} fit on one page; let `many` of the builder name more"))
}

/// A call may be repeated after an error, perhaps one that came after the other side had done its work.
pub(super) async fn asked_again_is_the_same<R: Reading + ?Sized>(reading: &R) -> Outcome {
    let failed = |error| refused(format!("reading {} again", reading.what()), &error);
    let whole = walk(reading).await?;
    let mut rows = Vec::new();
    let mut at: Option<PageToken> = None;
    for number in 1..=whole.pages {
        let (mut first, first_end) = reading.page(at.as_ref()).await.map_err(failed)?;
        let (mut second, second_end) = reading.page(at.as_ref()).await.map_err(failed)?;
        first.sort_unstable();
        second.sort_unstable();
        let ended = |end: &PageEnd| matches!(end, PageEnd::Last(_));
        demand(
            first == second && ended(&first_end) == ended(&second_end),
            format!("page {number} of {} is the same when it is asked for again", reading.what()),
            || format!("{} rows came first, then {} others or in other words", first.len(), second.len()),
            "a page is asked for again after an error: rows would be lost in a complete read (rules C1, X3)",
        )?;
        rows.append(&mut second);
        // On with the second answer: whoever keeps a place of his own has lost it by now.
        match second_end {
            PageEnd::More(token) => at = Some(token),
            PageEnd::Last(_) => break,
        }
    }
    rows.sort_unstable();
    demand(
        rows.iter().eq(whole.sorted()),
        format!("reading {} with each page asked for twice gives the same", reading.what()),
        || format!("{} rows in place of {}", rows.len(), whole.rows.len()),
        "a page is asked for again after an error: rows would be lost in a complete read (rules C1, X3)",
    )
}

/// A call is dropped at each of its steps; whoever reads then gets everything.
pub(super) async fn dropped_leaves_the_next_whole<R: Reading + ?Sized>(reading: &R) -> Outcome {
    let whole = walk(reading).await?;
    for steps in 0..MOST_STEPS {
        let ended = polled(reading.page(None), steps).await.is_some();
        same_as(reading, &whole, &format!("after a call was dropped at step {steps}")).await?;
        if ended {
            break;
        }
    }
    Ok(())
}

async fn same_as<R: Reading + ?Sized>(reading: &R, whole: &Walk<R::Row>, when: &str) -> Outcome {
    let again = walk(reading).await?;
    demand(
        again.sorted() == whole.sorted() && again.end == whole.end,
        format!("reading {} gives the same {} rows {when}", reading.what(), whole.rows.len()),
        || format!("{} rows, and the end is {}", again.rows.len(), again.end),
        "a run that was cancelled would spoil the next one (rules C1, X6)",
    )
}

/// Several reads at once, page by page and all together, do not disturb each other. Who cannot serve them at once may say so:
/// that is tried again.
pub(super) async fn at_once_is_the_same<R: Reading + ?Sized>(reading: &R) -> Outcome {
    const READERS: usize = 3;
    let whole = walk(reading).await?;
    let mut others = vec![by_turns(reading).await];
    others.extend(together((0..READERS).map(|_| try_walk(reading)).collect()).await);
    for other in others {
        let other = match other {
            Err(Stopped::Refused(error)) if error.is_transient() => continue,
            other => other.map_err(|stopped| stopped.finding(reading.what()))?,
        };
        demand(
            other.sorted() == whole.sorted() && other.end == whole.end,
            format!(
                "each of several reads at once of {} gives all {} rows",
                reading.what(),
                whole.rows.len()
            ),
            || format!("one gave {} rows, and its end is {}", other.rows.len(), other.end),
            "a sign-in or a second run reads while a reconcile does: rows would be lost (rules C1, J4)",
        )?;
    }
    Ok(())
}

/// A read during which another one goes on, a page of this one and a page of that one.
async fn by_turns<R: Reading + ?Sized>(reading: &R) -> Result<Walk<R::Row>, Stopped> {
    let mut walk = Walk { rows: Vec::new(), pages: 0, end: Completeness::Complete };
    let (mut at, mut other): (Option<PageToken>, Option<PageToken>) = (None, None);
    while walk.pages < MOST_PAGES {
        let (rows, end) = reading.page(at.as_ref()).await.map_err(Stopped::Refused)?;
        walk.rows.extend(rows);
        walk.pages += 1;
        match end {
            PageEnd::More(token) => at = Some(token),
            PageEnd::Last(end) => {
                walk.end = end;
                break;
            }
        }
        // At its end it starts again.
        other = match reading.page(other.as_ref()).await.map_err(Stopped::Refused)?.1 {
            PageEnd::More(token) => Some(token),
            PageEnd::Last(_) => None,
        };
    }
    Ok(walk)
}

/// A read of an adapter that was kept from seeing all.
#[derive(Debug)]
pub(super) struct Hampered {
    /// For messages: "the users".
    pub(super) what: &'static str,
    /// Whether the adapter said that something is missing; an error is honest, too.
    pub(super) admitted: bool,
    /// What is there and was not given.
    pub(super) missing: Vec<String>,
}

impl Hampered {
    /// Walks a read that should give these.
    pub(super) async fn read<R: Reading + ?Sized>(reading: &R, wanted: &BTreeSet<&str>) -> Self {
        let what = reading.what();
        let Ok(walk) = walk(reading).await else { return Self { what, admitted: true, missing: Vec::new() } };
        let seen: BTreeSet<&str> = walk.rows.iter().map(Row::key).collect();
        let missing = wanted.difference(&seen).map(|key| (*key).to_owned()).collect();
        Self { what, admitted: !walk.end.is_complete(), missing }
    }
}

/// An adapter that was kept from seeing all must not say that it saw all.
pub(super) fn admits_what_is_missing(reads: &[Hampered]) -> Outcome {
    const RISK: &str = "what it could not see is taken for deleted: the worst fault there is (rule C1)";
    for Hampered { what, missing, .. } in reads.iter().filter(|read| !read.admitted) {
        demand(
            missing.is_empty(),
            format!("reading {what} ends partial, or with an error, where something could not be seen"),
            || format!("it ends complete, and {} are missing: {}", missing.len(), some(missing)),
            RISK,
        )?;
    }
    demand(
        reads.iter().any(|read| read.admitted),
        "a read that was kept from seeing everything ends partial, or with an error",
        || "every read ends complete".to_owned(),
        RISK,
    )
}
