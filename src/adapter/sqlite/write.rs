//! Writing: one transaction a batch, one savepoint an item, answers after the commit.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use super::fault::Fault;
use super::statements::Statements;
use crate::adapter::sql::{FIRST_VERSION, Refusal, grouped, origin_text, rows_of, who_text};
use crate::error::StoreError;
use crate::id::{ExternalId, StoreId, Version};
use crate::model::{DeactivatedBy, Kind, Origin};
use crate::store::{Change, StoreCapabilities, Write, WriteBatch, Written};

/// Performs a batch. Nothing is answered that a crash could still undo (rule X4).
pub(super) fn write(
    connection: &mut Connection,
    capabilities: &StoreCapabilities,
    batch: &mut WriteBatch<'_>,
) -> Result<(), StoreError> {
    // IMMEDIATE: to read first and ask for the write lock later can fail half-way.
    let mut transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(Fault::from)?;
    let mut answers = Vec::with_capacity(batch.len());
    for item in batch.items().filter(|item| !item.is_answered()) {
        let savepoint = transaction.savepoint().map_err(Fault::from)?;
        let answer = perform(&savepoint, capabilities, item.write());
        let closed = if answer.is_ok() { savepoint.commit() } else { savepoint.finish() };
        // A full disk or a failing one may have ended the transaction, and with it the items before.
        match (answer, closed) {
            (answer, Ok(())) => answers.push(answer),
            (Err(fault), Err(_)) => return Err(fault.into()),
            (Ok(_), Err(error)) => return Err(Fault::from(error).into()),
        }
    }
    transaction.commit().map_err(Fault::from)?;
    let open = batch.items().filter(|item| !item.is_answered());
    for (item, answer) in open.zip(answers) {
        item.answer(answer.map_err(StoreError::from));
    }
    Ok(())
}

fn perform(
    connection: &Connection,
    capabilities: &StoreCapabilities,
    write: &Write<'_>,
) -> Result<Written, Fault> {
    match *write {
        Write::CreateUser { external_id, attributes, active, origin } => {
            let links = std::slice::from_ref(external_id);
            let inactive_by = (!active).then_some(DeactivatedBy::Sync);
            let fresh = Fresh { kind: Kind::User, links, inactive_by, origin: Some(origin) };
            create(connection, capabilities, &fresh, attributes.iter()).map(created)
        }
        Write::CreateGroup { external_id, attributes } => {
            let links = std::slice::from_ref(external_id);
            let fresh = Fresh { kind: Kind::Group, links, inactive_by: None, origin: None };
            create(connection, capabilities, &fresh, attributes.iter()).map(created)
        }
        Write::Adopt { kind, id, version, external_id } => adopt(connection, kind, id, version, external_id),
        Write::UpdateUser { id, version, changes, origin } => {
            let pk = find(connection, Kind::User, id, version)?.pk;
            put_changes(connection, capabilities, Kind::User, pk, changes)?;
            if let Some(origin) = origin {
                put_origin(connection, pk, origin)?;
            }
            bump(connection, Kind::User, pk)
        }
        Write::UpdateGroup { id, version, changes } => {
            let pk = find(connection, Kind::Group, id, version)?.pk;
            put_changes(connection, capabilities, Kind::Group, pk, changes)?;
            bump(connection, Kind::Group, pk)
        }
        Write::SetActive { id, version, active } => {
            let pk = find(connection, Kind::User, id, version)?.pk;
            let sql = if active { ACTIVATE } else { DEACTIVATE };
            connection.prepare_cached(sql)?.execute([pk])?;
            bump(connection, Kind::User, pk)
        }
        Write::DeleteUser { id, version } => delete(connection, Kind::User, id, version),
        Write::DeleteGroup { id, version } => delete(connection, Kind::Group, id, version),
        Write::AddMembers { id, version, members } => {
            let group = find(connection, Kind::Group, id, version)?;
            let (users, unknown) = member_numbers(connection, members)?;
            if unknown > 0 {
                return Err(Refusal::NoMember.into());
            }
            let sql = "INSERT INTO memberships (group_pk, user_pk) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
            change_members(connection, &group, sql, &users)
        }
        Write::RemoveMembers { id, version, members } => {
            let group = find(connection, Kind::Group, id, version)?;
            // Who is no user is no member either.
            let (users, _) = member_numbers(connection, members)?;
            let sql = "DELETE FROM memberships WHERE group_pk = ?1 AND user_pk = ?2";
            change_members(connection, &group, sql, &users)
        }
    }
}

const ACTIVATE: &str = "UPDATE users SET active = 1, inactive_by = NULL WHERE pk = ?1";

/// Who is inactive already stays so by whoever made it so: a lock is not turned into one of ours (rule A7).
const DEACTIVATE: &str = "UPDATE users SET active = 0, inactive_by = 'sync' WHERE pk = ?1 AND active";

fn created(id: StoreId) -> Written {
    Written::created(id).with_version(FIRST_VERSION.to_string())
}

/// What a new record has besides its attributes.
pub(super) struct Fresh<'a> {
    pub(super) kind: Kind,
    pub(super) links: &'a [ExternalId],
    /// Users that are inactive: who made them so.
    pub(super) inactive_by: Option<DeactivatedBy>,
    pub(super) origin: Option<Origin>,
}

/// Makes a record, for the engine or for the host.
pub(super) fn create<'v>(
    connection: &Connection,
    capabilities: &'v StoreCapabilities,
    fresh: &Fresh<'_>,
    attributes: impl Iterator<Item = (&'v str, &'v str)>,
) -> Result<StoreId, Fault> {
    let (pk, id) = insert(connection, fresh)?;
    for link in fresh.links {
        put_link(connection, (fresh.kind, pk), link)?;
    }
    for (name, values) in &grouped(capabilities, fresh.kind, attributes) {
        put_values(connection, capabilities, (fresh.kind, pk), name, values.iter().copied())?;
    }
    Ok(StoreId::from(id))
}

fn insert(connection: &Connection, fresh: &Fresh<'_>) -> Result<(i64, String), Fault> {
    match fresh.kind {
        Kind::User => {
            let sql = "INSERT INTO users (id, version, active, origin, inactive_by)
                       VALUES (lower(hex(randomblob(16))), ?1, ?2, ?3, ?4) RETURNING pk, id";
            let inactive_by = fresh.inactive_by.map(who_text);
            let row = (FIRST_VERSION, inactive_by.is_none(), fresh.origin.map(origin_text), inactive_by);
            Ok(connection.prepare_cached(sql)?.query_row(row, |row| Ok((row.get(0)?, row.get(1)?)))?)
        }
        Kind::Group => {
            let sql = "INSERT INTO groups (id, version)
                       VALUES (lower(hex(randomblob(16))), ?1) RETURNING pk, id";
            let row = (FIRST_VERSION,);
            Ok(connection.prepare_cached(sql)?.query_row(row, |row| Ok((row.get(0)?, row.get(1)?)))?)
        }
    }
}

fn put_origin(connection: &Connection, pk: i64, origin: Origin) -> Result<(), Fault> {
    let sql = "UPDATE users SET origin = ?2 WHERE pk = ?1";
    connection.prepare_cached(sql)?.execute((pk, origin_text(origin)))?;
    Ok(())
}

/// Gives a link to a record without one (rule M3).
fn adopt(
    connection: &Connection,
    kind: Kind,
    id: &StoreId,
    version: Option<&Version>,
    link: &ExternalId,
) -> Result<Written, Fault> {
    // Before the version is looked at: an adoption whose answer was lost must come out as done already (rule X2).
    if connection.prepare_cached(LINK)?.exists((link.issuer.as_str(), link.value.as_str()))? {
        return Err(Refusal::LinkTaken.into());
    }
    let pk = find(connection, kind, id, version)?.pk;
    if connection.prepare_cached(Statements::of(kind).own_links)?.exists([pk])? {
        return Err(Refusal::Linked(kind).into());
    }
    put_link(connection, (kind, pk), link)?;
    if kind == Kind::User {
        put_origin(connection, pk, Origin::Synced)?;
    }
    bump(connection, kind, pk)
}

fn put_link(connection: &Connection, (kind, pk): (Kind, i64), link: &ExternalId) -> Result<(), Fault> {
    let mut statement = connection.prepare_cached(Statements::of(kind).put_link)?;
    match statement.execute((link.issuer.as_str(), link.value.as_str(), pk))? {
        0 => Err(Refusal::LinkTaken.into()),
        _ => Ok(()),
    }
}

pub(super) const LINK: &str = "SELECT 1 FROM external_ids WHERE issuer = ?1 AND value = ?2";

/// Makes a user active or inactive for the host, and answers whether that changed anything. An administrator's lock also
/// counts over our own (rule A7).
pub(super) fn set_active(connection: &mut Connection, id: &StoreId, active: bool) -> Result<bool, Fault> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let known = find(&transaction, Kind::User, id, None)?;
    let inactive_by = (!active).then_some(who_text(DeactivatedBy::Other));
    let changed = transaction.prepare_cached(SET_ACTIVE)?.execute((known.pk, active, inactive_by))?;
    transaction.commit()?;
    Ok(changed > 0)
}

pub(super) const SET_ACTIVE: &str = "UPDATE users SET active = ?2, inactive_by = ?3, version = version + 1
                          WHERE pk = ?1 AND (active, inactive_by) IS NOT (?2, ?3)";

/// A record that is there and has the version that it should have.
struct Known {
    pk: i64,
    version: i64,
}

/// Finds a record by its id and compares its version, where one is expected (rule P7).
fn find(
    connection: &Connection,
    kind: Kind,
    id: &StoreId,
    expected: Option<&Version>,
) -> Result<Known, Fault> {
    let mut statement = connection.prepare_cached(Statements::of(kind).find)?;
    let found = statement
        .query_row([id.as_str()], |row| Ok(Known { pk: row.get(0)?, version: row.get(1)? }))
        .optional()?
        .ok_or(Refusal::NoRecord(kind))?;
    if expected.is_some_and(|expected| expected.as_str() != found.version.to_string()) {
        return Err(Refusal::OtherVersion(kind).into());
    }
    Ok(found)
}

fn bump(connection: &Connection, kind: Kind, pk: i64) -> Result<Written, Fault> {
    let mut statement = connection.prepare_cached(Statements::of(kind).bump)?;
    let version: i64 = statement.query_row([pk], |row| row.get(0))?;
    Ok(Written::done().with_version(version.to_string()))
}

fn put_changes(
    connection: &Connection,
    capabilities: &StoreCapabilities,
    kind: Kind,
    pk: i64,
    changes: &[Change],
) -> Result<(), Fault> {
    for change in changes {
        let mut statement = connection.prepare_cached(Statements::of(kind).clear_values)?;
        statement.execute((pk, &change.attribute))?;
        let values = change.new.iter().map(String::as_str);
        put_values(connection, capabilities, (kind, pk), &change.attribute, values)?;
    }
    Ok(())
}

/// Writes the values of one attribute that has none; refuses what the schema forbids.
fn put_values<'v>(
    connection: &Connection,
    capabilities: &StoreCapabilities,
    (kind, pk): (Kind, i64),
    name: &str,
    values: impl ExactSizeIterator<Item = &'v str>,
) -> Result<(), Fault> {
    let mut statement = connection.prepare_cached(Statements::of(kind).put_value)?;
    for row in rows_of(capabilities, kind, name, values)? {
        if statement.execute((pk, name, row.ordinal, row.value, row.key))? == 0 {
            return Err(Refusal::NameTaken(kind, name.to_owned()).into());
        }
    }
    Ok(())
}

fn delete(
    connection: &Connection,
    kind: Kind,
    id: &StoreId,
    version: Option<&Version>,
) -> Result<Written, Fault> {
    let found = find(connection, kind, id, version)?;
    connection.prepare_cached(Statements::of(kind).delete)?.execute([found.pk])?;
    Ok(Written::done())
}

/// The numbers of these users, ascending and each once, and how many ids belong to no user.
fn member_numbers(connection: &Connection, members: &[StoreId]) -> Result<(Vec<i64>, usize), Fault> {
    let mut statement = connection.prepare_cached("SELECT pk FROM users WHERE id = ?1")?;
    let mut numbers = Vec::with_capacity(members.len());
    let mut unknown = 0;
    for member in members {
        match statement.query_row([member.as_str()], |row| row.get(0)).optional()? {
            Some(number) => numbers.push(number),
            None => unknown += 1,
        }
    }
    // In the order of the table, neighbouring rows are written one after the other.
    numbers.sort_unstable();
    numbers.dedup();
    Ok((numbers, unknown))
}

/// Runs the statement for each user; the group's version grows only if that changed something.
fn change_members(
    connection: &Connection,
    group: &Known,
    sql: &str,
    users: &[i64],
) -> Result<Written, Fault> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut changed = 0;
    for user in users {
        changed += statement.execute((group.pk, user))?;
    }
    if changed > 0 {
        return bump(connection, Kind::Group, group.pk);
    }
    Ok(Written::done().with_version(group.version.to_string()))
}
