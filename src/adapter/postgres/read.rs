//! Reading pages: one statement for the records with their values and links, and for groups their members after it, in one
//! snapshot.

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::fault::Fault;
use super::session::{Session, Work, cell};
use super::sql::storable;
use crate::adapter::sql::{MEMBERS, Refusal, deactivated_by, origin, place, token};
use crate::model::Kind;
use crate::page::{PageEnd, PageToken};
use crate::store::{StoreCapabilities, StoreSelect, StoredGroupPage, StoredUserPage};

/// The text of a page's values at most; the record at hand is still given whole.
const BYTES: i64 = 64 << 20;

/// Members that are fetched at once.
const CHUNK: i64 = 20_000;

/// What is selected stands in `k` and `h`: a place in the read, and a record. `found` counts the records before the page is
/// cut by its bytes.
macro_rules! heads {
    ($selected:literal) => {
        concat!(
            "SELECT h.place, h.pk, h.found, h.id, h.version, {own},
                ARRAY(SELECT v.name FROM {s}.{a} v WHERE v.{pk} = h.pk ORDER BY v.name, v.ordinal),
                ARRAY(SELECT v.value FROM {s}.{a} v WHERE v.{pk} = h.pk ORDER BY v.name, v.ordinal),
                ARRAY(SELECT e.issuer FROM {s}.external_ids e WHERE e.{pk} = h.pk ORDER BY e.issuer, e.value),
                ARRAY(SELECT e.value FROM {s}.external_ids e WHERE e.{pk} = h.pk ORDER BY e.issuer, e.value)
            FROM (SELECT h.*, count(*) OVER () AS found,
                    sum(h.bytes) OVER (ORDER BY h.place) - h.bytes AS before
                FROM (SELECT h.*, (SELECT coalesce(sum(octet_length(v.value)), 0) FROM {s}.{a} v WHERE v.{pk} = h.pk)
                        AS bytes
                    FROM (",
            $selected,
            ") h) h) h
            WHERE h.before <= $1::bigint ORDER BY h.place"
        )
    };
}

const ALL: &str = heads!("SELECT h.pk AS place, h.* FROM {s}.{r} h WHERE h.pk > $2 ORDER BY h.pk LIMIT $3");
const BY_ID: &str = heads!(
    "SELECT k.place, h.* FROM unnest($2::text[]) WITH ORDINALITY k (id, place) JOIN {s}.{r} h ON h.id = k.id"
);
const BY_LINK: &str = heads!(
    "SELECT k.place, h.* FROM unnest($2::text[], $3::text[]) WITH ORDINALITY k (issuer, value, place)
        JOIN {s}.external_ids e ON e.issuer = k.issuer AND e.value = k.value JOIN {s}.{r} h ON h.pk = e.{pk}"
);
const BY_KEY: &str = heads!(
    "SELECT 1::bigint AS place, h.* FROM {s}.{a} a JOIN {s}.{r} h ON h.pk = a.{pk}
        WHERE a.name = $2 AND a.match_key = $3"
);

/// After so far, up to this group. The bound inside: the server must never sort what it then does not give.
const MEMBERS_OF: &str = "SELECT m.group_pk, m.user_pk, u.id FROM (
        SELECT group_pk, user_pk FROM {s}.memberships
        WHERE (group_pk, user_pk) > ($1, $2) AND group_pk <= $3 ORDER BY group_pk, user_pk LIMIT $4
    ) m JOIN {s}.users u ON u.pk = m.user_pk ORDER BY m.group_pk, m.user_pk";

/// What a page is about, as parameters.
enum Wanted<'a> {
    After(i64),
    Ids(Vec<&'a str>),
    Links(Vec<&'a str>, Vec<&'a str>),
    Key(&'a str, String),
}

/// A part of the keys that were asked for; the token counts keys, which are the caller's and do not shift.
struct Part {
    start: usize,
    end: usize,
    /// All keys that were asked for.
    of: usize,
}

impl Part {
    fn of<'k, K>(keys: &'k [K], at: Option<&PageToken>, size: usize) -> Result<(Self, &'k [K]), Fault> {
        let start = usize::try_from(at.map_or(Ok(0), place)?).map_err(|_| Refusal::Token)?;
        let end = start.saturating_add(size).min(keys.len());
        let part = keys.get(start..end).ok_or(Refusal::Token)?;
        Ok((Self { start, end, of: keys.len() }, part))
    }
}

/// Where a page ends.
struct Bounds {
    size: usize,
    /// Look-ups only.
    part: Option<Part>,
}

impl Bounds {
    /// `last` is the place of the last record in the page, `cut` whether it ended before the records that were found did.
    fn end(&self, last: Option<i64>, found: usize, cut: bool) -> PageEnd {
        match (&self.part, last) {
            (None, Some(last)) if cut || found == self.size => PageEnd::More(token(last)),
            (Some(part), Some(last)) if cut => PageEnd::More(token(part.start as i64 + last)),
            (Some(part), _) if part.end < part.of => PageEnd::More(token(part.end as i64)),
            _ => PageEnd::COMPLETE,
        }
    }
}

fn wanted<'a>(
    kind: Kind,
    capabilities: &StoreCapabilities,
    select: StoreSelect<'a>,
    at: Option<&PageToken>,
    size: usize,
) -> Result<(Wanted<'a>, Bounds), Fault> {
    // What PostgreSQL cannot hold, nobody has: an empty text in its place finds nothing either, and keeps the places.
    let or_nothing = |text: &'a str| storable(text).unwrap_or_default();
    let (wanted, part) = match select {
        StoreSelect::All => (Wanted::After(at.map_or(Ok(0), place)?), None),
        StoreSelect::Ids(ids) => {
            let (part, ids) = Part::of(ids, at, size)?;
            (Wanted::Ids(ids.iter().map(|id| or_nothing(id.as_str())).collect()), Some(part))
        }
        StoreSelect::ExternalIds(ids) => {
            let (part, ids) = Part::of(ids, at, size)?;
            let pairs =
                ids.iter().map(|id| match (storable(id.issuer.as_str()), storable(id.value.as_str())) {
                    (Ok(issuer), Ok(value)) => (issuer, value),
                    _ => ("", ""),
                });
            let (issuers, values) = pairs.unzip();
            (Wanted::Links(issuers, values), Some(part))
        }
        StoreSelect::UniqueValue { attribute, value } => {
            let schema = capabilities.schema(kind, attribute);
            if !schema.unique {
                return Err(Refusal::NotUnique(kind, attribute.to_owned()).into());
            }
            let (part, _) = Part::of(&[()], at, size)?;
            let key = schema.matching.fold(value).into_owned();
            match (storable(attribute), storable(&key)) {
                (Ok(_), Ok(_)) => (Wanted::Key(attribute, key), Some(part)),
                _ => (Wanted::Ids(Vec::new()), Some(part)),
            }
        }
    };
    Ok((wanted, Bounds { size, part }))
}

impl Wanted<'_> {
    fn sql(&self) -> &'static str {
        match self {
            Self::After(_) => ALL,
            Self::Ids(_) => BY_ID,
            Self::Links(..) => BY_LINK,
            Self::Key(..) => BY_KEY,
        }
    }

    fn parameters<'p>(&'p self, size: &'p i64) -> Vec<&'p (dyn ToSql + Sync)> {
        match self {
            Self::After(after) => vec![&BYTES, after, size],
            Self::Ids(ids) => vec![&BYTES, ids],
            Self::Links(issuers, values) => vec![&BYTES, issuers, values],
            Self::Key(attribute, key) => vec![&BYTES, attribute, key],
        }
    }
}

/// Reads one page of users, by one statement.
pub(super) async fn users(
    session: &mut Session,
    capabilities: &StoreCapabilities,
    (select, at): (StoreSelect<'_>, Option<&PageToken>),
    size: usize,
    page: &mut StoredUserPage,
) -> Result<PageEnd, Fault> {
    let (wanted, bounds) = wanted(Kind::User, capabilities, select, at, size)?;
    let rows = session.query(Kind::User, wanted.sql(), &wanted.parameters(&(size as i64))).await?;
    let mut last = None;
    for row in &rows {
        let head = Head::read(row)?;
        let mut user = page.user(head.id);
        user.active(head.active).version(&head.version.to_string());
        if !head.active {
            user.deactivated_by(deactivated_by(head.inactive_by));
        }
        if let Some(text) = head.origin {
            user.origin(origin(text));
        }
        for (name, value) in head.values()? {
            user.attribute(name, value);
        }
        for (issuer, value) in head.links()? {
            user.external_id(issuer, value);
        }
        last = Some(head.place);
    }
    let found = found(&rows)?;
    Ok(bounds.end(last, found, rows.len() < found))
}

/// Reads one page of groups with their members, all from one snapshot.
pub(super) async fn groups(
    session: &mut Session,
    capabilities: &StoreCapabilities,
    (select, at): (StoreSelect<'_>, Option<&PageToken>),
    size: usize,
    page: &mut StoredGroupPage,
) -> Result<PageEnd, Fault> {
    let (wanted, bounds) = wanted(Kind::Group, capabilities, select, at, size)?;
    let mut work = session.begin_read().await?;
    let rows = work.query(Kind::Group, wanted.sql(), &wanted.parameters(&(size as i64))).await?;
    let heads = rows.iter().map(Head::read).collect::<Result<Vec<_>, _>>()?;
    let before = page.0.members.len();
    // Groups that were read among all stand side by side; those that were asked for may stand anywhere.
    let side_by_side = bounds.part.is_none();
    let ends = heads.first().zip(heads.last()).map_or((0, 0), |(first, last)| (first.pk, last.pk));
    let mut members = Members::of(ends.0, ends.1);
    let (mut last, mut filled) = (None, 0);
    for head in &heads {
        let mut group = page.group(head.id);
        group.version(&head.version.to_string());
        for (name, value) in head.values()? {
            group.attribute(name, value);
        }
        for (issuer, value) in head.links()? {
            group.external_id(issuer, value);
        }
        if !side_by_side {
            members = Members::of(head.pk, head.pk);
        }
        while members.fetch(&mut work, head.pk).await? {
            for id in members.take(head.pk)? {
                group.member(id);
            }
        }
        (last, filled) = (Some(head.place), filled + 1);
        if page.0.members.len() - before >= MEMBERS {
            break;
        }
    }
    let found = found(&rows)?;
    work.commit().await?;
    Ok(bounds.end(last, found, filled < found))
}

/// How many records were found, of which the page may have fewer.
fn found(rows: &[Row]) -> Result<usize, Fault> {
    let Some(first) = rows.first() else { return Ok(0) };
    usize::try_from(cell::<i64>(first, 2)?).map_err(|_| Fault::Cell)
}

/// A record as its row says, but for its members.
struct Head<'r> {
    row: &'r Row,
    place: i64,
    pk: i64,
    id: &'r str,
    version: i64,
    active: bool,
    origin: Option<&'r str>,
    inactive_by: Option<&'r str>,
}

type Pairs<'r> = std::iter::Zip<std::vec::IntoIter<&'r str>, std::vec::IntoIter<&'r str>>;

impl<'r> Head<'r> {
    fn read(row: &'r Row) -> Result<Self, Fault> {
        Ok(Self {
            row,
            place: cell(row, 0)?,
            pk: cell(row, 1)?,
            id: cell(row, 3)?,
            version: cell(row, 4)?,
            active: cell(row, 5)?,
            origin: cell(row, 6)?,
            inactive_by: cell(row, 7)?,
        })
    }

    fn values(&self) -> Result<Pairs<'r>, Fault> {
        self.pairs(8)
    }

    fn links(&self) -> Result<Pairs<'r>, Fault> {
        self.pairs(10)
    }

    fn pairs(&self, column: usize) -> Result<Pairs<'r>, Fault> {
        let (first, second): (Vec<&str>, Vec<&str>) = (cell(self.row, column)?, cell(self.row, column + 1)?);
        Ok(first.into_iter().zip(second))
    }
}

/// Members in the order of their groups, fetched a chunk at a time.
struct Members {
    chunk: Vec<Row>,
    /// How many of the chunk were taken.
    taken: usize,
    /// The last one that was fetched: a group and a user.
    at: (i64, i64),
    /// The last group.
    to: i64,
    /// There are no more to be fetched.
    ended: bool,
}

impl Members {
    /// Those of the groups with these numbers, both included.
    fn of(from: i64, to: i64) -> Self {
        Self { chunk: Vec::new(), taken: 0, at: (from, i64::MIN), to, ended: false }
    }

    /// Whether this group has a further member; it is in the chunk then. Ask for each group, in order.
    async fn fetch(&mut self, work: &mut Work<'_>, group: i64) -> Result<bool, Fault> {
        if self.taken == self.chunk.len() && !self.ended {
            let (after, user) = self.at;
            self.chunk = work.query(Kind::Group, MEMBERS_OF, &[&after, &user, &self.to, &CHUNK]).await?;
            self.taken = 0;
            self.ended = (self.chunk.len() as i64) < CHUNK;
            if let Some(last) = self.chunk.last() {
                self.at = (cell(last, 0)?, cell(last, 1)?);
            }
        }
        self.chunk.get(self.taken).map_or(Ok(false), |next| Ok(cell::<i64>(next, 0)? == group))
    }

    /// Takes the members of this group out of the chunk.
    fn take(&mut self, group: i64) -> Result<Vec<&str>, Fault> {
        let mut ids = Vec::new();
        while let Some(next) = self.chunk.get(self.taken) {
            if cell::<i64>(next, 0)? != group {
                break;
            }
            ids.push(cell(next, 2)?);
            self.taken += 1;
        }
        Ok(ids)
    }
}
