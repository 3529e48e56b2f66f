//! Many creates, or many members, at once: copied into a staging table of the session, and from there by one statement.
//!
//! What cannot be decided here without an error is left to the slow way, one item after the other: a name that is taken, a
//! rival that was faster, a role that may not make temporary tables.

use std::pin::pin;

use indexmap::{IndexMap, IndexSet};
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::fault::Fault;
use super::session::{Work, cell};
use super::sql::{indexable, storable};
use super::write::{Answer, Values, created, settle};
use crate::adapter::sql::{FIRST_VERSION, Refusal, origin_text};
use crate::id::{ExternalId, StoreId, Version};
use crate::model::Kind;
use crate::store::{StoreCapabilities, Write, Written};

/// Fewer items, or fewer members, are not worth a staging table.
const FEW: usize = 16;

/// Members that are staged at once; the item at hand is still staged whole.
const MEMBERS_AT_ONCE: usize = 100_000;

/// Performs the first items, where they are many of a sort; there is at least one. An answer that is missing is for the slow way
/// to find: that of items that are not many, of all of them where it did not work out, and of those that were not free.
pub(super) async fn perform(
    work: &mut Work<'_>,
    capabilities: &StoreCapabilities,
    writes: &[&Write<'_>],
) -> Result<Vec<Option<Answer>>, Fault> {
    if *work.no_staging {
        return Ok(vec![None]);
    }
    let (kind, run) = match writes.first() {
        Some(Write::CreateUser { .. }) => (Kind::User, Run::creates(capabilities, Kind::User, writes)),
        Some(Write::CreateGroup { .. }) => (Kind::Group, Run::creates(capabilities, Kind::Group, writes)),
        Some(Write::AddMembers { .. }) => (Kind::Group, Run::additions(writes)),
        _ => return Ok(vec![None]),
    };
    let items = run.items();
    let unknown = || std::iter::repeat_with(|| None).take(items.max(1)).collect();
    if run.is_small() {
        return Ok(unknown());
    }
    work.transaction.batch_execute("SAVEPOINT bulk").await?;
    let answers = match run {
        Run::Creates(creates, answers) => create(work, kind, &creates, answers).await,
        Run::Additions(additions) => add_members(work, &additions).await,
    };
    let answers = match answers {
        // As long as a call may take, nearly: the slow way would not come to its end.
        Err(Fault::Server(state, cause)) if state == SqlState::QUERY_CANCELED => {
            return Err(Fault::Server(state, cause));
        }
        answers => settle(work, answers, "bulk").await?,
    };
    *work.no_staging = answers.as_ref().is_err_and(Fault::is_denied);
    Ok(answers.unwrap_or_else(|_| unknown()))
}

/// Items of one sort that do not depend on one another.
enum Run<'w> {
    Creates(Vec<Create<'w>>, Vec<Option<Answer>>),
    Additions(Vec<Addition<'w>>),
}

/// A create that the schema allows.
struct Create<'w> {
    slot: i32,
    link: &'w ExternalId,
    values: Values<'w>,
    active: bool,
    origin: Option<&'static str>,
}

struct Addition<'w> {
    id: &'w StoreId,
    version: Option<&'w Version>,
    members: &'w [StoreId],
}

impl<'w> Run<'w> {
    /// Up to the first that wants the same link or the same name as one before: whether it gets that is not known yet.
    fn creates(capabilities: &'w StoreCapabilities, kind: Kind, writes: &[&Write<'w>]) -> Self {
        let (mut creates, mut answers) = (Vec::new(), Vec::new());
        let (mut links, mut keys) = (IndexSet::new(), IndexSet::new());
        for (slot, write) in writes.iter().enumerate() {
            let (link, attributes, active, origin) = match (kind, *write) {
                (Kind::User, &Write::CreateUser { external_id, attributes, active, origin }) => {
                    (external_id, attributes, active, Some(origin_text(origin)))
                }
                (Kind::Group, &Write::CreateGroup { external_id, attributes }) => {
                    (external_id, attributes, true, None)
                }
                _ => break,
            };
            let mut values = Values::default();
            let fits = values.add_all(capabilities, kind, attributes.iter());
            if let Err(fault) = fits.and_then(|()| check(link)) {
                answers.push(Some(Err(fault)));
                continue;
            }
            let own: Vec<_> = values.names.iter().zip(&values.keys).collect();
            let own =
                own.into_iter().filter_map(|(name, key)| Some((*name, key.clone()?))).collect::<Vec<_>>();
            if links.contains(link) || own.iter().any(|key| keys.contains(key)) {
                break;
            }
            links.insert(link);
            keys.extend(own);
            let slot = slot as i32;
            creates.push(Create { slot, link, values, active, origin });
            answers.push(None);
        }
        Self::Creates(creates, answers)
    }

    /// Up to the first that names a group again: its version is not known yet.
    fn additions(writes: &[&Write<'w>]) -> Self {
        let (mut additions, mut groups, mut staged) = (Vec::new(), IndexSet::new(), 0);
        for write in writes {
            let Write::AddMembers { id, version, members } = **write else { break };
            if staged > MEMBERS_AT_ONCE || !groups.insert(id) {
                break;
            }
            staged += members.len();
            additions.push(Addition { id, version, members });
        }
        Self::Additions(additions)
    }

    fn items(&self) -> usize {
        match self {
            Self::Creates(_, answers) => answers.len(),
            Self::Additions(additions) => additions.len(),
        }
    }

    fn is_small(&self) -> bool {
        match self {
            Self::Creates(creates, _) => creates.len() < FEW,
            Self::Additions(additions) => additions.iter().map(|one| one.members.len()).sum::<usize>() < FEW,
        }
    }
}

fn check(link: &ExternalId) -> Result<(), Fault> {
    indexable(link.issuer.as_str())?;
    indexable(link.value.as_str())?;
    Ok(())
}

/// Of this session alone, and empty after each transaction. The statements that read it are planned anew each time: a plan that was
/// kept from when the store was empty scans what has become large.
const STAGE_RECORDS: &str = r#"
SET LOCAL plan_cache_mode = force_custom_plan;
CREATE TEMPORARY TABLE IF NOT EXISTS idsy_records (slot int PRIMARY KEY, issuer text COLLATE "C", value text COLLATE "C",
    active boolean, origin text) ON COMMIT DELETE ROWS;
CREATE TEMPORARY TABLE IF NOT EXISTS idsy_values (slot int, name text COLLATE "C", ordinal bigint, value text COLLATE "C",
    match_key text COLLATE "C", PRIMARY KEY (slot, name, ordinal)) ON COMMIT DELETE ROWS;
DELETE FROM pg_temp.idsy_records; DELETE FROM pg_temp.idsy_values"#;

const COPY_RECORDS: &str =
    "COPY pg_temp.idsy_records (slot, issuer, value, active, origin) FROM STDIN (FORMAT binary)";
const COPY_VALUES: &str =
    "COPY pg_temp.idsy_values (slot, name, ordinal, value, match_key) FROM STDIN (FORMAT binary)";

/// Those whose link and names are free; a rival that takes one meanwhile makes it fail as a whole.
macro_rules! create_from_stage {
    ($columns:literal, $values:literal) => {
        concat!(
            "WITH fit AS MATERIALIZED (
                SELECT w.*, nextval('{s}.{r}_pk_seq') AS pk, replace(gen_random_uuid()::text, '-', '') AS id
                FROM pg_temp.idsy_records w
                WHERE NOT EXISTS (SELECT FROM {s}.external_ids e WHERE e.issuer = w.issuer AND e.value = w.value)
                    AND NOT EXISTS (SELECT FROM pg_temp.idsy_values v
                        JOIN {s}.{a} a ON a.name = v.name AND a.match_key = v.match_key WHERE v.slot = w.slot)
                ORDER BY w.slot
            ), made AS (
                INSERT INTO {s}.{r} (pk, id, version",
            $columns,
            ") SELECT pk, id, $1",
            $values,
            " FROM fit ORDER BY slot
            ), linked AS (
                INSERT INTO {s}.external_ids (issuer, value, {pk}) SELECT issuer, value, pk FROM fit
            ), valued AS (
                INSERT INTO {s}.{a} ({pk}, name, ordinal, value, match_key)
                SELECT f.pk, v.name, v.ordinal, v.value, v.match_key
                FROM fit f JOIN pg_temp.idsy_values v ON v.slot = f.slot
            )
            SELECT slot, id FROM fit"
        )
    };
}

const CREATE_USERS: &str = create_from_stage!(
    ", active, origin, inactive_by",
    ", active, origin, CASE WHEN active THEN NULL ELSE 'sync' END"
);
const CREATE_GROUPS: &str = create_from_stage!("", "");

async fn create(
    work: &mut Work<'_>,
    kind: Kind,
    creates: &[Create<'_>],
    mut answers: Vec<Option<Answer>>,
) -> Result<Vec<Option<Answer>>, Fault> {
    work.transaction.batch_execute(STAGE_RECORDS).await?;
    let types = [Type::INT4, Type::TEXT, Type::TEXT, Type::BOOL, Type::TEXT];
    let sink = work.transaction.copy_in(COPY_RECORDS).await?;
    let mut rows = pin!(BinaryCopyInWriter::new(sink, &types));
    for Create { slot, link, active, origin, .. } in creates {
        let (issuer, value) = (link.issuer.as_str(), link.value.as_str());
        rows.as_mut().write(&[slot, &issuer, &value, active, origin]).await?;
    }
    rows.finish().await?;
    let types = [Type::INT4, Type::TEXT, Type::INT8, Type::TEXT, Type::TEXT];
    let sink = work.transaction.copy_in(COPY_VALUES).await?;
    let mut rows = pin!(BinaryCopyInWriter::new(sink, &types));
    for Create { slot, values, .. } in creates {
        let columns = values.names.iter().zip(&values.ordinals).zip(values.values.iter().zip(&values.keys));
        for ((name, ordinal), (value, key)) in columns {
            rows.as_mut().write(&[slot, name, ordinal, value, &key.as_deref()]).await?;
        }
    }
    rows.finish().await?;
    let sql = match kind {
        Kind::User => CREATE_USERS,
        Kind::Group => CREATE_GROUPS,
    };
    for row in work.query(kind, sql, &[&FIRST_VERSION]).await? {
        let slot = usize::try_from(cell::<i32>(&row, 0)?).map_err(|_| Fault::Cell)?;
        let answer = answers.get_mut(slot).ok_or(Fault::Cell)?;
        *answer = Some(Ok(created(StoreId::from(cell::<String>(&row, 1)?))));
    }
    Ok(answers)
}

const STAGE_MEMBERS: &str = r#"
SET LOCAL plan_cache_mode = force_custom_plan;
CREATE TEMPORARY TABLE IF NOT EXISTS idsy_members (group_pk bigint, user_id text COLLATE "C") ON COMMIT DELETE ROWS;
DELETE FROM pg_temp.idsy_members"#;

const COPY_MEMBERS: &str = "COPY pg_temp.idsy_members (group_pk, user_id) FROM STDIN (FORMAT binary)";

/// In the order of their numbers, as every writer takes them: two that want the same groups then wait, and do not lock each other
/// out.
const FIND_GROUPS: &str =
    "SELECT id, pk, version FROM {s}.groups WHERE id = ANY($1) ORDER BY pk FOR NO KEY UPDATE";

/// Groups with a member that is no user get none; in the order of the table, neighbouring rows are written one after the other.
const ADD_FROM_STAGE: &str = "WITH known AS MATERIALIZED (
        SELECT w.group_pk, u.pk FROM pg_temp.idsy_members w LEFT JOIN {s}.users u ON u.id = w.user_id
    ), bad AS MATERIALIZED (SELECT DISTINCT group_pk FROM known WHERE pk IS NULL),
    added AS (
        INSERT INTO {s}.memberships (group_pk, user_pk)
        SELECT group_pk, pk FROM known WHERE group_pk NOT IN (SELECT group_pk FROM bad) ORDER BY group_pk, pk
        ON CONFLICT DO NOTHING RETURNING group_pk
    ), grown AS (
        UPDATE {s}.groups SET version = version + 1 WHERE pk IN (SELECT group_pk FROM added) RETURNING pk, version
    )
    SELECT pk, version FROM grown UNION ALL SELECT group_pk, NULL FROM bad";

async fn add_members(work: &mut Work<'_>, additions: &[Addition<'_>]) -> Result<Vec<Option<Answer>>, Fault> {
    let ids = additions.iter().filter_map(|one| storable(one.id.as_str()).ok());
    let mut known = IndexMap::new();
    for row in work.query(Kind::Group, FIND_GROUPS, &[&ids.collect::<Vec<_>>()]).await? {
        known.insert(cell::<String>(&row, 0)?, (cell::<i64>(&row, 1)?, cell::<i64>(&row, 2)?));
    }
    work.transaction.batch_execute(STAGE_MEMBERS).await?;
    let sink = work.transaction.copy_in(COPY_MEMBERS).await?;
    let mut rows = pin!(BinaryCopyInWriter::new(sink, &[Type::INT8, Type::TEXT]));
    let mut answers = Vec::with_capacity(additions.len());
    for one in additions {
        let found = known.get(one.id.as_str());
        let answer = match found {
            None => Err(Refusal::NoRecord(Kind::Group).into()),
            Some((_, version)) if one.version.is_some_and(|other| other.as_str() != version.to_string()) => {
                Err(Refusal::OtherVersion(Kind::Group).into())
            }
            _ if one.members.iter().any(|member| storable(member.as_str()).is_err()) => {
                Err(Refusal::NoMember.into())
            }
            // As it stays where everybody is in the group already.
            Some((_, version)) => Ok(Written::done().with_version(version.to_string())),
        };
        if let (Ok(_), Some((pk, _))) = (&answer, found) {
            let members: IndexSet<&str> = one.members.iter().map(StoreId::as_str).collect();
            for member in members {
                rows.as_mut().write(&[pk, &member]).await?;
            }
        }
        answers.push(Some(answer));
    }
    rows.finish().await?;
    let mut changed = IndexMap::new();
    for row in work.query(Kind::Group, ADD_FROM_STAGE, &[]).await? {
        changed.insert(cell::<i64>(&row, 0)?, cell::<Option<i64>>(&row, 1)?);
    }
    for (one, answer) in additions.iter().zip(&mut answers) {
        let (Some(Ok(_)), Some((pk, _))) = (&answer, known.get(one.id.as_str())) else { continue };
        match changed.get(pk) {
            Some(Some(version)) => *answer = Some(Ok(Written::done().with_version(version.to_string()))),
            Some(None) => *answer = Some(Err(Refusal::NoMember.into())),
            None => {}
        }
    }
    Ok(answers)
}
