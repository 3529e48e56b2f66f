//! Reading pages: the records by their number, and what belongs to them merged in, each from one query a page.

use rusqlite::fallible_streaming_iterator::FallibleStreamingIterator;
use rusqlite::{Connection, OptionalExtension, Params, Row, Rows};

use super::fault::Fault;
use super::statements::Statements;
use crate::adapter::sql::{MEMBERS, ROWS, Refusal, deactivated_by, origin, place, token};
use crate::model::{DeactivatedBy, Kind, Origin};
use crate::page::{PageEnd, PageToken};
use crate::store::{StoreCapabilities, StoreSelect, StoredGroupPage, StoredUserPage};

pub(super) const MEMBERS_OF: &str = "SELECT group_pk, id FROM memberships JOIN users ON users.pk = user_pk \
                          WHERE group_pk BETWEEN ?1 AND ?2 ORDER BY group_pk, user_pk";

/// What a record's own row holds.
pub(super) struct Head {
    pk: i64,
    id: String,
    version: i64,
    active: bool,
    origin: Option<Origin>,
    deactivated_by: DeactivatedBy,
}

impl Head {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let origin_of: Option<String> = row.get(4)?;
        let inactive_by: Option<String> = row.get(5)?;
        Ok(Self {
            pk: row.get(0)?,
            id: row.get(1)?,
            version: row.get(2)?,
            active: row.get(3)?,
            origin: origin_of.as_deref().map(origin),
            deactivated_by: deactivated_by(inactive_by.as_deref()),
        })
    }
}

/// A page that can take these records.
pub(super) trait Fill {
    const KIND: Kind;

    /// Whether the page should end here, though there are records left.
    fn is_full(&self) -> bool;

    /// Fills in the records, which are in the order of their numbers, and answers how many of them fitted.
    fn fill(&mut self, connection: &Connection, heads: &[Head]) -> Result<usize, Fault>;
}

/// Reads one page. All of it comes from one transaction, so that its parts agree.
pub(super) fn read<P: Fill>(
    connection: &mut Connection,
    capabilities: &StoreCapabilities,
    select: StoreSelect<'_>,
    at: Option<&PageToken>,
    page: &mut P,
) -> Result<PageEnd, Fault> {
    let transaction = connection.transaction()?;
    let statements = Statements::of(P::KIND);
    match select {
        StoreSelect::All => read_all(&transaction, at, page),
        StoreSelect::Ids(ids) => look_up(&transaction, ids, at, page, |id| {
            head(&transaction, statements.head_by_id, [id.as_str()])
        }),
        StoreSelect::ExternalIds(ids) => look_up(&transaction, ids, at, page, |id| {
            head(&transaction, statements.head_by_link, [id.issuer.as_str(), id.value.as_str()])
        }),
        StoreSelect::UniqueValue { attribute, value } => {
            let schema = capabilities.schema(P::KIND, attribute);
            if !schema.unique {
                return Err(Refusal::NotUnique(P::KIND, attribute.to_owned()).into());
            }
            let key = schema.matching.key(value);
            look_up(&transaction, &[key], at, page, |key| {
                head(&transaction, statements.head_by_key, [attribute, key.as_str()])
            })
        }
    }
}

fn read_all<P: Fill>(
    connection: &Connection,
    at: Option<&PageToken>,
    page: &mut P,
) -> Result<PageEnd, Fault> {
    let after = at.map_or(Ok(0), place)?;
    let mut statement = connection.prepare_cached(Statements::of(P::KIND).heads)?;
    let heads = statement.query_map((after, ROWS as i64), Head::read)?.collect::<Result<Vec<_>, _>>()?;
    let filled = page.fill(connection, &heads)?;
    match heads.get(..filled).and_then(<[Head]>::last) {
        Some(last) if filled < heads.len() || heads.len() == ROWS => Ok(PageEnd::More(token(last.pk))),
        _ => Ok(PageEnd::COMPLETE),
    }
}

/// Reads the records of these keys; the token counts keys, which are the caller's and do not shift.
fn look_up<K, P: Fill>(
    connection: &Connection,
    keys: &[K],
    at: Option<&PageToken>,
    page: &mut P,
    find: impl Fn(&K) -> Result<Option<Head>, Fault>,
) -> Result<PageEnd, Fault> {
    let start = usize::try_from(at.map_or(Ok(0), place)?).map_err(|_| Refusal::Token)?;
    let mut next = start;
    for key in keys.get(start..).ok_or(Refusal::Token)?.iter().take(ROWS) {
        if let Some(head) = find(key)? {
            page.fill(connection, &[head])?;
        }
        next += 1;
        if page.is_full() {
            break;
        }
    }
    if next < keys.len() { Ok(PageEnd::More(token(next as i64))) } else { Ok(PageEnd::COMPLETE) }
}

fn head(connection: &Connection, sql: &str, key: impl Params) -> Result<Option<Head>, Fault> {
    Ok(connection.prepare_cached(sql)?.query_row(key, Head::read).optional()?)
}

impl Fill for StoredUserPage {
    const KIND: Kind = Kind::User;

    fn is_full(&self) -> bool {
        false
    }

    fn fill(&mut self, connection: &Connection, heads: &[Head]) -> Result<usize, Fault> {
        let Some(range) = range(heads) else { return Ok(0) };
        let statements = Statements::of(Kind::User);
        let mut values = connection.prepare_cached(statements.values)?;
        let mut values = Cursor::open(values.query(range)?)?;
        let mut links = connection.prepare_cached(statements.links)?;
        let mut links = Cursor::open(links.query(range)?)?;
        for head in heads {
            let mut user = self.user(&head.id);
            user.active(head.active).version(&head.version.to_string());
            if !head.active {
                user.deactivated_by(head.deactivated_by);
            }
            if let Some(origin) = head.origin {
                user.origin(origin);
            }
            values.each_of(head.pk, |name, value| {
                user.attribute(name, value);
            })?;
            links.each_of(head.pk, |issuer, value| {
                user.external_id(issuer, value);
            })?;
        }
        Ok(heads.len())
    }
}

impl Fill for StoredGroupPage {
    const KIND: Kind = Kind::Group;

    fn is_full(&self) -> bool {
        self.0.members.len() >= MEMBERS
    }

    fn fill(&mut self, connection: &Connection, heads: &[Head]) -> Result<usize, Fault> {
        let Some(range) = range(heads) else { return Ok(0) };
        let statements = Statements::of(Kind::Group);
        let mut values = connection.prepare_cached(statements.values)?;
        let mut values = Cursor::open(values.query(range)?)?;
        let mut links = connection.prepare_cached(statements.links)?;
        let mut links = Cursor::open(links.query(range)?)?;
        let mut members = connection.prepare_cached(MEMBERS_OF)?;
        let mut members = Cursor::open(members.query(range)?)?;
        for (index, head) in heads.iter().enumerate() {
            let mut group = self.group(&head.id);
            group.version(&head.version.to_string());
            values.each_of(head.pk, |name, value| {
                group.attribute(name, value);
            })?;
            links.each_of(head.pk, |issuer, value| {
                group.external_id(issuer, value);
            })?;
            members.each_of(head.pk, |id, _| {
                group.member(id);
            })?;
            if self.is_full() {
                return Ok(index + 1);
            }
        }
        Ok(heads.len())
    }
}

fn range(heads: &[Head]) -> Option<(i64, i64)> {
    Some((heads.first()?.pk, heads.last()?.pk))
}

/// Rows that begin with the number of their record, in the order of these numbers: one side of a merge.
struct Cursor<'s> {
    rows: Rows<'s>,
}

impl<'s> Cursor<'s> {
    fn open(mut rows: Rows<'s>) -> Result<Self, Fault> {
        rows.advance()?;
        Ok(Self { rows })
    }

    /// Hands over the first two texts of each row of one record; a column that is not there is an empty text. Ask for
    /// every record of the range, in order: by the same transaction there is no row without its record.
    fn each_of(&mut self, pk: i64, mut take: impl FnMut(&str, &str)) -> Result<(), Fault> {
        while let Some(row) = self.rows.get() {
            let owner: i64 = row.get(0)?;
            if owner > pk {
                break;
            }
            let text = |column| row.get_ref(column)?.as_str().map_err(rusqlite::Error::from);
            let second = if row.as_ref().column_count() > 2 { text(2)? } else { "" };
            take(text(1)?, second);
            self.rows.advance()?;
        }
        Ok(())
    }
}
