//! Writing: one transaction a batch, one savepoint an item, answers after the commit.

use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

use super::bulk;
use super::fault::Fault;
use super::session::{Session, Work, cell};
use super::sql::{INDEXED, indexable, storable};
use crate::adapter::sql::{FIRST_VERSION, Refusal, grouped, origin_text, rows_of, who_text};
use crate::error::StoreError;
use crate::id::{ExternalId, StoreId, Version};
use crate::model::{DeactivatedBy, Kind, Origin};
use crate::store::{Change, StoreCapabilities, Write, WriteBatch, Written};

/// Performs a batch. Nothing is answered that a crash could still undo (rule X4).
pub(super) async fn write(
    session: &mut Session,
    capabilities: &StoreCapabilities,
    batch: &mut WriteBatch<'_>,
) -> Result<(), Fault> {
    let mut open: Vec<_> = batch.items().filter(|item| !item.is_answered()).collect();
    if open.is_empty() {
        return Ok(());
    }
    let writes: Vec<&Write<'_>> = open.iter().map(|item| item.write()).collect();
    let mut work = session.begin().await?;
    let (mut answers, mut waits, mut is_late) = (Vec::with_capacity(writes.len()), 0, false);
    while let Some(rest) = writes.get(answers.len()..).filter(|rest| !rest.is_empty() && !is_late) {
        let many = bulk::perform(&mut work, capabilities, rest).await?;
        // What the fast way has not decided is looked at one by one, with its reason.
        for (write, decided) in rest.iter().zip(many) {
            let answer = match decided {
                Some(answer) => Some(answer),
                None if is_late => None,
                None => Some(one(&mut work, capabilities, write).await?),
            };
            if let Some(Err(Fault::Server(state, _))) = &answer {
                is_late |= *state == SqlState::QUERY_CANCELED;
                waits += usize::from(*state == SqlState::LOCK_NOT_AVAILABLE);
                if *state == SqlState::LOCK_NOT_AVAILABLE && waits == MOST_WAITS {
                    // Whoever is held as well is told so at once.
                    work.transaction.batch_execute("SET LOCAL lock_timeout = 1").await?;
                }
            }
            answers.push(answer);
        }
    }
    work.commit().await?;
    let is_whole = answers.len() == writes.len() && answers.iter().all(Option::is_some);
    for (item, answer) in open.iter_mut().zip(answers) {
        if let Some(answer) = answer {
            item.answer(answer.map_err(StoreError::from));
        }
    }
    if is_whole { Ok(()) } else { Err(Fault::HeldUp) }
}

/// Items of a batch that wait in vain for what another connection holds as long as the options allow; the call has to end in its
/// time, so that the others do not. After a statement that took too long, the rest is left to the next call.
const MOST_WAITS: usize = 3;

/// What is known of one item; an `Err` around it ends the transaction.
pub(super) type Answer = Result<Written, Fault>;

/// Performs one item, as a whole or not at all.
async fn one(
    work: &mut Work<'_>,
    capabilities: &StoreCapabilities,
    write: &Write<'_>,
) -> Result<Answer, Fault> {
    work.transaction.batch_execute("SAVEPOINT item").await?;
    let answer = perform(work, capabilities, write).await;
    settle(work, answer, "item").await
}

/// Closes a savepoint: what is refused leaves nothing, and what is about more than the item ends the transaction.
pub(super) async fn settle<T>(
    work: &mut Work<'_>,
    answer: Result<T, Fault>,
    savepoint: &str,
) -> Result<Result<T, Fault>, Fault> {
    let undo = match &answer {
        Ok(_) => "",
        Err(fault) if fault.allows_slow_way() => "ROLLBACK TO SAVEPOINT ",
        Err(_) => return answer.map(Ok),
    };
    let undo = if undo.is_empty() { String::new() } else { format!("{undo}{savepoint}; ") };
    work.transaction.batch_execute(&format!("{undo}RELEASE SAVEPOINT {savepoint}")).await?;
    Ok(answer)
}

async fn perform(work: &mut Work<'_>, capabilities: &StoreCapabilities, write: &Write<'_>) -> Answer {
    match *write {
        Write::CreateUser { external_id, attributes, active, origin } => {
            let links = std::slice::from_ref(external_id);
            let inactive_by = (!active).then_some(DeactivatedBy::Sync);
            let fresh = Fresh { kind: Kind::User, links, inactive_by, origin: Some(origin) };
            create(work, capabilities, &fresh, attributes.iter()).await.map(created)
        }
        Write::CreateGroup { external_id, attributes } => {
            let links = std::slice::from_ref(external_id);
            let fresh = Fresh { kind: Kind::Group, links, inactive_by: None, origin: None };
            create(work, capabilities, &fresh, attributes.iter()).await.map(created)
        }
        Write::Adopt { kind, id, version, external_id } => {
            adopt(work, kind, (id, version), external_id).await
        }
        Write::UpdateUser { id, version, changes, origin } => {
            update(work, capabilities, Kind::User, (id, version), changes, origin).await
        }
        Write::UpdateGroup { id, version, changes } => {
            update(work, capabilities, Kind::Group, (id, version), changes, None).await
        }
        Write::SetActive { id, version, active } => {
            let known = find(work, Kind::User, id, version).await?;
            let sql = if active { ACTIVATE } else { DEACTIVATE };
            now_at(&work.query(Kind::User, sql, &[&known.pk]).await?)
        }
        Write::DeleteUser { id, version } => delete(work, Kind::User, id, version).await,
        Write::DeleteGroup { id, version } => delete(work, Kind::Group, id, version).await,
        Write::AddMembers { id, version, members } => {
            let group = find(work, Kind::Group, id, version).await?;
            if members.iter().any(|member| storable(member.as_str()).is_err()) {
                return Err(Refusal::NoMember.into());
            }
            change_members(work, &group, ADD_MEMBERS, members).await
        }
        Write::RemoveMembers { id, version, members } => {
            let group = find(work, Kind::Group, id, version).await?;
            change_members(work, &group, REMOVE_MEMBERS, members).await
        }
    }
}

const FIND: &str = "SELECT pk, version FROM {s}.{r} WHERE id = $1 FOR NO KEY UPDATE";

const ACTIVATE: &str =
    "UPDATE {s}.users SET active = true, inactive_by = NULL, version = version + 1 WHERE pk = $1
    RETURNING version";

/// Who is inactive already stays so by whoever made it so: a lock is not turned into one of ours (rule A7).
const DEACTIVATE: &str = "UPDATE {s}.users SET active = false, version = version + 1,
        inactive_by = CASE WHEN active THEN 'sync' ELSE inactive_by END
    WHERE pk = $1 RETURNING version";

const BUMP: &str = "UPDATE {s}.{r} SET version = version + 1 WHERE pk = $1 RETURNING version";
const BUMP_USER: &str =
    "UPDATE {s}.users SET version = version + 1, origin = coalesce($2, origin) WHERE pk = $1
    RETURNING version";

pub(super) fn created(id: StoreId) -> Written {
    Written::created(id).with_version(FIRST_VERSION.to_string())
}

fn now_at(rows: &[tokio_postgres::Row]) -> Answer {
    let version: i64 = cell(rows.first().ok_or(Fault::Cell)?, 0)?;
    Ok(Written::done().with_version(version.to_string()))
}

/// What a new record has besides its attributes.
pub(super) struct Fresh<'a> {
    pub(super) kind: Kind,
    pub(super) links: &'a [ExternalId],
    /// Users that are inactive: who made them so.
    pub(super) inactive_by: Option<DeactivatedBy>,
    pub(super) origin: Option<Origin>,
}

const INSERT_USER: &str = "INSERT INTO {s}.users (id, version, active, origin, inactive_by)
    VALUES (replace(gen_random_uuid()::text, '-', ''), $1, $2, $3, $4) RETURNING pk, id";
const INSERT_GROUP: &str = "INSERT INTO {s}.groups (id, version)
    VALUES (replace(gen_random_uuid()::text, '-', ''), $1) RETURNING pk, id";
const PUT_LINK: &str = "INSERT INTO {s}.external_ids (issuer, value, {pk}) VALUES ($1, $2, $3)
    ON CONFLICT (issuer, value) DO NOTHING";

/// Makes a record, for the engine or for the host.
pub(super) async fn create<'v>(
    work: &mut Work<'_>,
    capabilities: &'v StoreCapabilities,
    fresh: &Fresh<'_>,
    attributes: impl Iterator<Item = (&'v str, &'v str)>,
) -> Result<StoreId, Fault> {
    let mut values = Values::default();
    values.add_all(capabilities, fresh.kind, attributes)?;
    let (pk, id) = insert(work, fresh).await?;
    for link in fresh.links {
        put_link(work, (fresh.kind, pk), link).await?;
    }
    values.put(work, (fresh.kind, pk)).await?;
    Ok(StoreId::from(id))
}

async fn insert(work: &mut Work<'_>, fresh: &Fresh<'_>) -> Result<(i64, String), Fault> {
    let rows = match fresh.kind {
        Kind::User => {
            let (inactive_by, origin) = (fresh.inactive_by.map(who_text), fresh.origin.map(origin_text));
            let row: [&(dyn ToSql + Sync); 4] =
                [&FIRST_VERSION, &inactive_by.is_none(), &origin, &inactive_by];
            work.query(Kind::User, INSERT_USER, &row).await?
        }
        Kind::Group => work.query(Kind::Group, INSERT_GROUP, &[&FIRST_VERSION]).await?,
    };
    let row = rows.first().ok_or(Fault::Cell)?;
    Ok((cell(row, 0)?, cell(row, 1)?))
}

async fn put_link(work: &mut Work<'_>, (kind, pk): (Kind, i64), link: &ExternalId) -> Result<(), Fault> {
    let (issuer, value) = (indexable(link.issuer.as_str())?, indexable(link.value.as_str())?);
    match work.execute(kind, PUT_LINK, &[&issuer, &value, &pk]).await? {
        0 => Err(Refusal::LinkTaken.into()),
        _ => Ok(()),
    }
}

const LINK: &str = "SELECT 1 FROM {s}.external_ids WHERE issuer = $1 AND value = $2";
const OWN_LINKS: &str = "SELECT 1 FROM {s}.external_ids WHERE {pk} = $1 LIMIT 1";

/// Gives a link to a record without one (rule M3).
async fn adopt(
    work: &mut Work<'_>,
    kind: Kind,
    (id, version): (&StoreId, Option<&Version>),
    link: &ExternalId,
) -> Answer {
    // Before the version is looked at: an adoption whose answer was lost must come out as done already (rule X2).
    let (issuer, value) = (indexable(link.issuer.as_str())?, indexable(link.value.as_str())?);
    if !work.query(kind, LINK, &[&issuer, &value]).await?.is_empty() {
        return Err(Refusal::LinkTaken.into());
    }
    let pk = find(work, kind, id, version).await?.pk;
    if !work.query(kind, OWN_LINKS, &[&pk]).await?.is_empty() {
        return Err(Refusal::Linked(kind).into());
    }
    put_link(work, (kind, pk), link).await?;
    match kind {
        Kind::User => now_at(&work.query(kind, BUMP_USER, &[&pk, &origin_text(Origin::Synced)]).await?),
        Kind::Group => now_at(&work.query(kind, BUMP, &[&pk]).await?),
    }
}

/// Makes a user active or inactive for the host, and answers whether that changed anything. An administrator's lock also
/// counts over our own (rule A7).
pub(super) async fn set_active(session: &mut Session, id: &StoreId, active: bool) -> Result<bool, Fault> {
    let mut work = session.begin().await?;
    let known = find(&mut work, Kind::User, id, None).await?;
    let inactive_by = (!active).then_some(who_text(DeactivatedBy::Other));
    let changed = work.execute(Kind::User, SET_ACTIVE, &[&known.pk, &active, &inactive_by]).await?;
    work.commit().await?;
    Ok(changed > 0)
}

const SET_ACTIVE: &str = "UPDATE {s}.users SET active = $2, inactive_by = $3, version = version + 1
    WHERE pk = $1 AND (active, inactive_by) IS DISTINCT FROM ($2, $3)";

/// A record that is there and has the version that it should have. It stays so until the transaction ends.
struct Known {
    pk: i64,
    version: i64,
}

/// Finds a record by its id and compares its version, where one is expected (rule P7).
async fn find(
    work: &mut Work<'_>,
    kind: Kind,
    id: &StoreId,
    expected: Option<&Version>,
) -> Result<Known, Fault> {
    let id = storable(id.as_str()).map_err(|_| Refusal::NoRecord(kind))?;
    let rows = work.query(kind, FIND, &[&id]).await?;
    let row = rows.first().ok_or(Refusal::NoRecord(kind))?;
    let known = Known { pk: cell(row, 0)?, version: cell(row, 1)? };
    if expected.is_some_and(|expected| expected.as_str() != known.version.to_string()) {
        return Err(Refusal::OtherVersion(kind).into());
    }
    Ok(known)
}

const CLEAR_VALUES: &str = "DELETE FROM {s}.{a} WHERE {pk} = $1 AND name = ANY($2)";

async fn update(
    work: &mut Work<'_>,
    capabilities: &StoreCapabilities,
    kind: Kind,
    (id, version): (&StoreId, Option<&Version>),
    changes: &[Change],
    origin: Option<Origin>,
) -> Answer {
    let pk = find(work, kind, id, version).await?.pk;
    let mut values = Values::default();
    let mut names = Vec::with_capacity(changes.len());
    for change in changes {
        names.push(storable(&change.attribute)?);
        values.add(capabilities, kind, &change.attribute, change.new.iter().map(String::as_str))?;
    }
    work.execute(kind, CLEAR_VALUES, &[&pk, &names]).await?;
    values.put(work, (kind, pk)).await?;
    match kind {
        Kind::User => now_at(&work.query(kind, BUMP_USER, &[&pk, &origin.map(origin_text)]).await?),
        Kind::Group => now_at(&work.query(kind, BUMP, &[&pk]).await?),
    }
}

/// The values of one record as columns.
#[derive(Default)]
pub(super) struct Values<'v> {
    pub(super) names: Vec<&'v str>,
    pub(super) ordinals: Vec<i64>,
    pub(super) values: Vec<&'v str>,
    pub(super) keys: Vec<Option<std::borrow::Cow<'v, str>>>,
}

const PUT_VALUES: &str = "INSERT INTO {s}.{a} ({pk}, name, ordinal, value, match_key)
    SELECT $1, * FROM unnest($2::text[], $3::bigint[], $4::text[], $5::text[])
    ON CONFLICT (name, match_key) WHERE match_key IS NOT NULL DO NOTHING RETURNING name, ordinal";

impl<'v> Values<'v> {
    /// Adds all values of a record to be made.
    pub(super) fn add_all(
        &mut self,
        capabilities: &'v StoreCapabilities,
        kind: Kind,
        attributes: impl Iterator<Item = (&'v str, &'v str)>,
    ) -> Result<(), Fault> {
        for (name, values) in grouped(capabilities, kind, attributes) {
            self.add(capabilities, kind, name, values.into_iter())?;
        }
        Ok(())
    }

    /// Adds the values of one attribute; refuses what the schema forbids and what PostgreSQL cannot hold.
    pub(super) fn add(
        &mut self,
        capabilities: &StoreCapabilities,
        kind: Kind,
        name: &'v str,
        values: impl ExactSizeIterator<Item = &'v str>,
    ) -> Result<(), Fault> {
        let too_long = || Fault::TooLong(Some((kind, name.chars().take(100).collect())));
        if storable(name)?.len() > INDEXED {
            return Err(too_long());
        }
        for row in rows_of(capabilities, kind, name, values)? {
            if row.key.as_ref().is_some_and(|key| key.len() > INDEXED) {
                return Err(too_long());
            }
            self.names.push(name);
            self.ordinals.push(row.ordinal);
            self.values.push(storable(row.value)?);
            self.keys.push(row.key);
        }
        Ok(())
    }

    /// Writes them to a record that has none of these attributes.
    async fn put(&self, work: &mut Work<'_>, (kind, pk): (Kind, i64)) -> Result<(), Fault> {
        if self.names.is_empty() {
            return Ok(());
        }
        let keys: Vec<Option<&str>> = self.keys.iter().map(Option::as_deref).collect();
        let row: [&(dyn ToSql + Sync); 5] = [&pk, &self.names, &self.ordinals, &self.values, &keys];
        let written = work.query(kind, PUT_VALUES, &row).await?;
        if written.len() == self.names.len() {
            return Ok(());
        }
        let mut done = indexmap::IndexSet::new();
        for row in &written {
            done.insert((cell::<&str>(row, 0)?, cell::<i64>(row, 1)?));
        }
        let missing =
            self.names.iter().zip(&self.ordinals).find(|(name, at)| !done.contains(&(**name, **at)));
        let name = missing.map_or("", |(name, _)| name);
        Err(Refusal::NameTaken(kind, name.to_owned()).into())
    }
}

const DELETE: &str = "DELETE FROM {s}.{r} WHERE pk = $1";

async fn delete(work: &mut Work<'_>, kind: Kind, id: &StoreId, version: Option<&Version>) -> Answer {
    let known = find(work, kind, id, version).await?;
    work.execute(kind, DELETE, &[&known.pk]).await?;
    Ok(Written::done())
}

/// All or none: `unknown` are the ids that belong to no user.
const ADD_MEMBERS: &str = "WITH ids AS MATERIALIZED (SELECT DISTINCT id FROM unnest($2::text[]) t (id)),
    known AS MATERIALIZED (SELECT u.pk FROM ids JOIN {s}.users u ON u.id = ids.id),
    unknown AS MATERIALIZED (SELECT (SELECT count(*) FROM ids) - (SELECT count(*) FROM known) AS count),
    changed AS (
        INSERT INTO {s}.memberships (group_pk, user_pk)
        SELECT $1, pk FROM known WHERE (SELECT count FROM unknown) = 0 ORDER BY pk
        ON CONFLICT DO NOTHING RETURNING 1
    )
    SELECT (SELECT count FROM unknown), (SELECT count(*) FROM changed)";

/// Who is no user is no member either.
const REMOVE_MEMBERS: &str = "WITH changed AS (
        DELETE FROM {s}.memberships WHERE group_pk = $1
            AND user_pk = ANY (ARRAY(SELECT u.pk FROM unnest($2::text[]) t (id) JOIN {s}.users u ON u.id = t.id))
        RETURNING 1
    )
    SELECT 0::bigint, (SELECT count(*) FROM changed)";

/// Adds or removes members; the group's version grows only if that changed something.
async fn change_members(
    work: &mut Work<'_>,
    group: &Known,
    sql: &'static str,
    members: &[StoreId],
) -> Answer {
    let members: Vec<&str> = members.iter().filter_map(|id| storable(id.as_str()).ok()).collect();
    let rows = work.query(Kind::Group, sql, &[&group.pk, &members]).await?;
    let row = rows.first().ok_or(Fault::Cell)?;
    let (unknown, changed): (i64, i64) = (cell(row, 0)?, cell(row, 1)?);
    if unknown > 0 {
        return Err(Refusal::NoMember.into());
    }
    if changed > 0 {
        return now_at(&work.query(Kind::Group, BUMP, &[&group.pk]).await?);
    }
    Ok(Written::done().with_version(group.version.to_string()))
}
