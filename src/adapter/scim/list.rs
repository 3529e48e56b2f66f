//! Lists, page by page, by index or by cursor. A list that is not whole never looks whole (rules C1, C5).

use serde_json::{Map, Value};

use super::client::Client;
use super::error::Fault;
use super::http::Request;
use super::json::{Record, endpoint, field, text};
use crate::model::Kind;
use crate::page::{PageEnd, PageToken};

/// A first page with fewer records than this is all there is, also where the server gives one page only: none of those that
/// do so gives fewer.
const SMALLEST_FIRST_PAGE: usize = 50;

/// What is listed.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) kind: Kind,
    pub(super) filter: Option<&'a str>,
    pub(super) with_members: bool,
}

/// A page of a list.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) records: Vec<Record>,
    pub(super) end: PageEnd,
}

/// What one answer holds.
struct Rows {
    records: Vec<Record>,
    total: Option<u64>,
    cursor: Option<String>,
}

/// Where a list goes on.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// The last record that was given, at this index when it was.
    Index {
        at: u64,
        last: String,
        sum: Sum,
    },
    Cursor {
        cursor: String,
        sum: Sum,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sum {
    pages: u32,
    seen: u64,
    /// What the first page said of the whole; `u64::MAX` where it said nothing.
    total: u64,
}

impl Sum {
    fn first(rows: &Rows) -> Self {
        Self { pages: 1, seen: rows.records.len() as u64, total: rows.total.unwrap_or(u64::MAX) }
    }
}

impl Place {
    fn token(&self) -> PageToken {
        let text = match self {
            Self::Index { at, last, sum } => {
                format!("i {} {} {} {at} {last}", sum.pages, sum.seen, sum.total)
            }
            Self::Cursor { cursor, sum } => format!("c {} {} {} 0 {cursor}", sum.pages, sum.seen, sum.total),
        };
        PageToken::new(text.into_bytes())
    }

    fn read(token: &PageToken) -> Option<Self> {
        let mut parts = token.as_text()?.splitn(6, ' ');
        let form = parts.next()?;
        let sum = Sum {
            pages: parts.next()?.parse().ok()?,
            seen: parts.next()?.parse().ok()?,
            total: parts.next()?.parse().ok()?,
        };
        let at = parts.next()?.parse().ok()?;
        let rest = parts.next()?.to_owned();
        match form {
            "i" if at > 0 => Some(Self::Index { at, last: rest, sum }),
            "c" => Some(Self::Cursor { cursor: rest, sum }),
            _ => None,
        }
    }
}

impl Client {
    /// Reads a page of a list.
    pub(super) async fn list(&self, wanted: Wanted<'_>, at: Option<&PageToken>) -> Result<Page, Fault> {
        let foreign = || Fault::Invalid("this page token is not from this store".into());
        match at {
            None if self.by_cursor => self.first_by_cursor(wanted).await,
            None => self.first_by_index(wanted).await,
            Some(token) => match Place::read(token).ok_or_else(foreign)? {
                Place::Index { at, last, sum } => self.next_by_index(wanted, at, &last, sum).await,
                Place::Cursor { cursor, sum } => self.next_by_cursor(wanted, &cursor, sum).await,
            },
        }
    }

    /// Reads all that a filter finds, and of that keeps what really fits: servers compare in ways of their own, and one that
    /// does not know the filter may give everything. Where the server has no filters, everything is read.
    pub(super) async fn find(
        &self,
        kind: Kind,
        filter: &str,
        with_members: bool,
        fits: impl Fn(&Record) -> bool,
    ) -> Result<Vec<Record>, Fault> {
        let filter = Some(filter).filter(|_| self.filters);
        let wanted = Wanted { kind, filter, with_members };
        let (mut found, mut at): (Vec<Record>, Option<PageToken>) = (Vec::new(), None);
        loop {
            let page = self.list(wanted, at.as_ref()).await?;
            for record in page.records {
                // Where a list shifts, one record may come twice.
                if fits(&record) && !found.iter().any(|other| other.id == record.id) {
                    found.push(record);
                }
            }
            match page.end {
                PageEnd::More(token) => at = Some(token),
                PageEnd::Last(end) if end.is_complete() => return Ok(found),
                PageEnd::Last(_) => return Err(Fault::Permanent("a selection could not be read whole")),
            }
        }
    }

    async fn first_by_index(&self, wanted: Wanted<'_>) -> Result<Page, Fault> {
        let rows = self.rows(wanted, self.by_index(wanted, 1)).await?;
        let Some(total) = rows.total else { return Err(Fault::Malformed("a list says no total")) };
        let sum = Sum::first(&rows);
        let end = match rows.records.last() {
            None if total == 0 => PageEnd::COMPLETE,
            None => PageEnd::partial(short(sum.seen, total)),
            Some(_) if sum.seen > total => {
                PageEnd::partial("the server gives more records than it announces")
            }
            // Fewer than were asked for, and as many as were announced: believed of the few that a filter finds, and of a server
            // that cannot be asked for what comes behind them. One that gives fifty at most may announce those fifty.
            Some(_) if sum.seen == total && sum.seen < self.believed_page(wanted) => PageEnd::COMPLETE,
            Some(_) if self.options.strict_queries => PageEnd::partial(FIRST_PAGE_ONLY),
            Some(last) => PageEnd::More(Place::Index { at: sum.seen, last: last.id.clone(), sum }.token()),
        };
        Ok(Page { records: rows.records, end })
    }

    /// A first page with fewer records than this is all, where the server says so.
    fn believed_page(&self, wanted: Wanted<'_>) -> u64 {
        match wanted.filter {
            Some(_) => u64::from(self.options.page_size).min(SMALLEST_FIRST_PAGE as u64),
            None if self.options.strict_queries => SMALLEST_FIRST_PAGE as u64,
            None => 0,
        }
    }

    /// Goes on with the page that begins with the last record which was given: where that is no longer at its place, others
    /// have come or gone before it, and it is looked for.
    async fn next_by_index(&self, wanted: Wanted<'_>, at: u64, last: &str, sum: Sum) -> Result<Page, Fault> {
        let mut from = at;
        let mut rows = self.rows(wanted, self.by_index(wanted, from)).await?;
        let place = |rows: &Rows| rows.records.iter().rposition(|record| record.id == last);
        if place(&rows).is_none() && from > 1 {
            from = from.saturating_sub(u64::from(self.options.page_size) - 1).max(1);
            rows = self.rows(wanted, self.by_index(wanted, from)).await?;
        }
        let Some(place) = place(&rows) else {
            return Ok(Page { records: Vec::new(), end: PageEnd::partial(MOVED) });
        };
        let Some(total) = rows.total else { return Err(Fault::Malformed("a list says no total")) };
        let records = rows.records.split_off(place + 1);
        let seen = sum.seen.saturating_add(records.len() as u64);
        let Some(newest) = records.last() else {
            // Some may have come or gone since the first page; but as many as there were at one of both times must be seen.
            let end = if seen >= total.min(sum.total) {
                PageEnd::COMPLETE
            } else {
                PageEnd::partial(short(seen, total))
            };
            return Ok(Page { records, end });
        };
        let sum = Sum { pages: self.one_more(sum.pages)?, seen, ..sum };
        let at = from.saturating_add((place + records.len()) as u64);
        let end = PageEnd::More(Place::Index { at, last: newest.id.clone(), sum }.token());
        Ok(Page { records, end })
    }

    async fn first_by_cursor(&self, wanted: Wanted<'_>) -> Result<Page, Fault> {
        let rows = self.rows(wanted, self.by_cursor(wanted, None, self.options.page_size)).await?;
        let sum = Sum::first(&rows);
        let end = match rows.cursor {
            Some(cursor) => PageEnd::More(Place::Cursor { cursor, sum }.token()),
            None if rows.total.is_some_and(|total| total > sum.seen) => PageEnd::partial(FIRST_PAGE_ONLY),
            None if rows.records.len() < SMALLEST_FIRST_PAGE => PageEnd::COMPLETE,
            None => {
                // Was that all, or does the server not know cursors? One that does gives one after a single record.
                let probe = self.rows(wanted, self.by_cursor(wanted, None, 1)).await?;
                if probe.cursor.is_some() { PageEnd::COMPLETE } else { PageEnd::partial(FIRST_PAGE_ONLY) }
            }
        };
        Ok(Page { records: rows.records, end })
    }

    async fn next_by_cursor(&self, wanted: Wanted<'_>, cursor: &str, sum: Sum) -> Result<Page, Fault> {
        let rows = self.rows(wanted, self.by_cursor(wanted, Some(cursor), self.options.page_size)).await?;
        let seen = sum.seen.saturating_add(rows.records.len() as u64);
        let end = match rows.cursor {
            Some(next) if next == cursor => return Err(Fault::Permanent("the server repeats a page")),
            Some(next) => {
                let sum = Sum { pages: self.one_more(sum.pages)?, seen, ..sum };
                PageEnd::More(Place::Cursor { cursor: next, sum }.token())
            }
            // What the first page announced, if it did; a later one may announce what is left.
            None if sum.total != u64::MAX && seen < sum.total.min(rows.total.unwrap_or(sum.total)) => {
                PageEnd::partial(short(seen, sum.total))
            }
            None => PageEnd::COMPLETE,
        };
        Ok(Page { records: rows.records, end })
    }

    fn one_more(&self, pages: u32) -> Result<u32, Fault> {
        match pages.checked_add(1).filter(|pages| *pages <= self.options.limits.pages) {
            Some(pages) => Ok(pages),
            None => Err(Fault::TooLarge("pages", self.options.limits.pages as usize)),
        }
    }

    fn by_index(&self, wanted: Wanted<'_>, start: u64) -> Request {
        let mut request = self.listing(wanted);
        if !self.options.strict_queries {
            request = request.query("startIndex", &start.to_string());
            if self.sorted {
                request = request.query("sortBy", "id").query("sortOrder", "ascending");
            }
        }
        request.query("count", &self.options.page_size.to_string())
    }

    fn by_cursor(&self, wanted: Wanted<'_>, cursor: Option<&str>, count: u32) -> Request {
        let request = self.listing(wanted);
        let request = match cursor {
            Some(cursor) => request.query("cursor", cursor),
            None => request.flag("cursor"),
        };
        request.query("count", &count.to_string())
    }

    fn listing(&self, wanted: Wanted<'_>) -> Request {
        let mut request = Request::get(&[endpoint(wanted.kind)]);
        if let Some(filter) = wanted.filter {
            request = request.query("filter", filter);
        }
        if wanted.kind == Kind::Group && !wanted.with_members && !self.options.strict_queries {
            request = request.query("excludedAttributes", "members");
        }
        request
    }

    async fn rows(&self, wanted: Wanted<'_>, request: Request) -> Result<Rows, Fault> {
        let list = self.http.send(&request).await?.into_object()?;
        let mut records = Vec::new();
        for resource in resources(&list)? {
            let mut record = self.record(wanted.kind, resource)?;
            if !wanted.with_members {
                record.members = Vec::new();
            }
            records.push(record);
        }
        let total = field(&list, "totalResults").and_then(Value::as_u64);
        Ok(Rows { records, total, cursor: text(&list, "nextCursor").map(str::to_owned) })
    }
}

const FIRST_PAGE_ONLY: &str = "the server gives a first page only";
const MOVED: &str = "records moved while they were listed";

fn short(seen: u64, total: u64) -> String {
    format!("the server announces {total} records and gives {seen}")
}

fn resources(list: &Map<String, Value>) -> Result<&[Value], Fault> {
    match field(list, "Resources") {
        Some(Value::Array(resources)) => Ok(resources),
        // An empty list may leave them out; but then it says that it is one.
        None | Some(Value::Null) if field(list, "totalResults").is_some() => Ok(&[]),
        _ => Err(Fault::Malformed("a list has no records")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_written() {
        let sum = Sum { pages: 3, seen: 250, total: u64::MAX };
        for place in [
            Place::Index { at: 7, last: "an id with spaces ".into(), sum },
            Place::Cursor { cursor: "x y=&".into(), sum },
        ] {
            assert_eq!(Place::read(&place.token()), Some(place));
        }
        for foreign in ["", "i", "i 1 2 3 0 x", "i -1 2 3 4 x", "x 1 2 3 4 x", "c 1 2 3"] {
            assert_eq!(Place::read(&PageToken::new(foreign.as_bytes())), None, "{foreign}");
        }
    }
}
