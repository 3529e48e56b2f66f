//! A small directory that goes through a life: renames, moves between groups, leavers, newcomers. The same number gives the
//! same life.

use std::time::Duration;

use async_trait::async_trait;
use identity_sync::memory::{MemoryAssignments, MemoryDirectory};
use identity_sync::{
    AccountState, ApplyOptions, ApplyReport, Guards, Host, IdentityStore, Options, Retry, Run, RunState,
    Timer, Timestamp, apply, reconcile,
};

use super::*;

pub(super) const USERS: usize = 120;
pub(super) const GROUPS: usize = 15;

/// A number that looks like chance and is the same each time.
fn dice(seed: usize, day: usize, what: usize, sides: usize) -> usize {
    let mut x = (seed as u64) << 40 ^ (day as u64) << 32 ^ what as u64;
    for _ in 0..3 {
        x = (x ^ (x >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x1234_5678_9abc_def1);
    }
    ((x >> 33) % sides as u64) as usize
}

/// The directory on a day. Who has gone stays gone; everything else is drawn anew for a part of the people.
pub(super) fn directory(seed: usize, day: usize) -> MemoryDirectory {
    let mut directory = MemoryDirectory::new("corp");
    // The last day on which this was drawn anew.
    let since =
        |what: usize, sides: usize| (0..=day).rev().find(|&d| d == 0 || dice(seed, d, what, sides) == 0);
    for user in 0..USERS {
        let day = since(user, 4).unwrap_or(0);
        let name = format!("User{user}-{}@example.com", dice(seed, day, user + 1_000, 3));
        let title = ["", "Ärztin", "chief \u{202e}", "ﬀ"][dice(seed, day, user + 2_000, 4)];
        let mail = format!("m{user}@example.com");
        let added = directory.add_user(
            &format!("u{user:04}"),
            &[("userPrincipalName", &name), ("displayName", &name), ("title", title), ("mail", &mail)],
        );
        if dice(seed, day, user + 3_000, 6) == 0 {
            added.state = AccountState::Disabled;
        }
    }
    for group in 0..GROUPS {
        let members: Vec<String> = (0..USERS)
            .filter(|user| {
                dice(seed, since(user * 100 + group, 5).unwrap_or(0), user * 100 + group + 50_000, 3) == 0
            })
            .map(|user| format!("u{user:04}"))
            .chain((group % 4 != 0).then(|| format!("g{:03}", group - 1)))
            .collect();
        let members: Vec<&str> = members.iter().map(String::as_str).collect();
        directory.add_group(
            &format!("g{group:03}"),
            &[("cn", &format!("group {group} of {seed}"))],
            &members,
        );
    }
    for gone in (0..USERS).filter(|user| (1..=day).any(|day| dice(seed, day, user + 4_000, 30) == 0)) {
        directory.remove(&format!("u{gone:04}"));
    }
    for gone in (0..GROUPS).filter(|group| (1..=day).any(|day| dice(seed, day, group + 5_000, 40) == 0)) {
        directory.remove(&format!("g{gone:03}"));
    }
    directory
}

pub(super) fn assignments() -> MemoryAssignments {
    let all: Vec<String> =
        (0..GROUPS).filter(|group| group % 3 != 1).map(|group| format!("g{group:03}")).collect();
    MemoryAssignments::of("corp", &all.iter().map(String::as_str).collect::<Vec<_>>())
}

pub(super) fn options() -> Options {
    let mut options = Options::for_issuer("corp");
    options.guards = Guards::off();
    options
}

/// Real time, since real servers come back in their own.
pub(super) struct Clock;

#[async_trait]
impl Timer for Clock {
    async fn sleep(&self, wait: Duration) {
        tokio::time::sleep(wait).await;
    }

    fn now(&self) -> Timestamp {
        Timestamp(1_000)
    }

    fn jitter(&self) -> f64 {
        0.5
    }
}

pub(super) fn patient() -> ApplyOptions {
    let mut options = ApplyOptions::default();
    options.retry = Retry::default();
    (options.retry.attempts, options.retry.budget) = (30, Some(10_000));
    options.retry.first_wait = Duration::from_millis(20);
    options.retry.longest_wait = Duration::from_millis(300);
    options
}

/// One run of a day; `None` where the store could not be read. The number of operations, and what came of them.
pub(super) async fn sync<S: IdentityStore>(
    store: &S,
    directory: &MemoryDirectory,
    state: RunState,
) -> Option<(usize, ApplyReport)> {
    let host = Host::default().timer(&Clock);
    let run = Run::new(state, Timestamp(1_000));
    let found = reconcile(directory, store, &assignments(), &options(), &run, &host).await.ok()?;
    let report = apply(&found.plan, store, &patient(), &host).await.unwrap();
    Some((found.plan.len(), report))
}

/// Everything in the tables that does not depend on chance: ids and numbers are told by the links.
const CONTENT: [&str; 4] = [
    "SELECT 'user', e.issuer, e.value, u.active::int::text, coalesce(u.origin, '-'), u.version::text,
        coalesce(u.inactive_by, '-') FROM {s}.users u LEFT JOIN {s}.external_ids e ON e.user_pk = u.pk",
    "SELECT 'value', coalesce(e.value, f.value), a.name, a.ordinal::text, a.value, coalesce(a.match_key, '-'), ''
        FROM (SELECT user_pk, NULL::bigint AS group_pk, name, ordinal, value, match_key FROM {s}.user_attributes UNION ALL
            SELECT NULL, group_pk, name, ordinal, value, match_key FROM {s}.group_attributes) a
        LEFT JOIN {s}.external_ids e ON e.user_pk = a.user_pk LEFT JOIN {s}.external_ids f ON f.group_pk = a.group_pk",
    "SELECT 'group', e.issuer, e.value, g.version::text, '', '', '' FROM {s}.groups g
        LEFT JOIN {s}.external_ids e ON e.group_pk = g.pk",
    "SELECT 'member', g.value, u.value, '', '', '', '' FROM {s}.memberships m
        JOIN {s}.external_ids g ON g.group_pk = m.group_pk JOIN {s}.external_ids u ON u.user_pk = m.user_pk",
];

/// The content of a store, sorted.
pub(super) async fn content(client: &Client, schema: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for sql in CONTENT {
        for row in client.query(&sql.replace("{s}", schema), &[]).await.unwrap() {
            let cells = (0..7).map(|column| row.get::<_, Option<String>>(column).unwrap_or_default());
            lines.push(cells.collect::<Vec<_>>().join("|"));
        }
    }
    lines.sort();
    lines
}

/// The same of a file of SQLite, by the same words.
#[cfg(feature = "sqlite")]
pub(super) fn content_of_file(path: &std::path::Path) -> Vec<String> {
    let connection = rusqlite::Connection::open(path).unwrap();
    let mut lines = Vec::new();
    for sql in CONTENT {
        let cast = |text: &str| text.replace("::int::text", "").replace("::text", "").replace("::bigint", "");
        let sql = cast(sql).replace("{s}.", "");
        let mut statement = connection.prepare(&sql).unwrap();
        let row = |row: &rusqlite::Row<'_>| {
            let cell = |column| match row.get_ref(column)? {
                rusqlite::types::ValueRef::Null => Ok(String::new()),
                rusqlite::types::ValueRef::Integer(number) => Ok(number.to_string()),
                other => Ok(other.as_str().unwrap().to_owned()),
            };
            Ok((0..7).map(cell).collect::<rusqlite::Result<Vec<_>>>()?.join("|"))
        };
        lines.extend(statement.query_map([], row).unwrap().map(Result::unwrap));
    }
    lines.sort();
    lines
}
