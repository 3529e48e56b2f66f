//! The SQLite adapter from outside: what it answers, what is in the file, and what a killed process leaves.

#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "the helpers of tests are tests too")]
#![allow(clippy::print_stdout, reason = "so the writer that will be killed says how far it is")]

mod adoption;
mod deactivation;
mod files;
mod kill;
mod migration;
mod reads;
mod runs;
mod unique;
mod writes;

use std::io::{BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use identity_sync::adapter::sqlite::{Counts, NewRecord, SqliteOptions, SqliteStore};
use identity_sync::memory::{MemoryAssignments, MemoryDirectory};
use identity_sync::{
    AccountState, Adoption, ApplyOptions, ApplyReport, AssignmentPage, AssignmentSet, AttributeSchema,
    Attributes, Change, Concurrency, DeactivationMemory, Diagnostic, ErrorKind, ExternalId, Guards, Host,
    IdentityStore, Kind, MatchRule, Members, Options, Origin, PageEnd, PageToken, Plan, Principal, Run,
    RunState, StoreId, StoreSelect, StoredGroupPage, StoredUserPage, Timestamp, Version, Write, WriteBatch,
    Written, apply, reconcile,
};
use indexmap::IndexMap;
use pollster::block_on;
use pretty_assertions::assert_eq;
use tempfile::TempDir;

type Answer = Result<Written, ErrorKind>;

/// A folder that goes away, with the path of a store in it.
fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("identities.db");
    (folder, path)
}

/// `userName` is unique and may be missing, so that users can be made without attributes.
fn lenient() -> SqliteOptions {
    let name = AttributeSchema::unique(MatchRule::NfkcCasefold);
    let users = [("userName".to_owned(), name), ("emails".to_owned(), AttributeSchema::multi_valued())];
    SqliteOptions::new()
        .users(IndexMap::from(users))
        .groups(IndexMap::from([("displayName".to_owned(), name)]))
}

fn write<'w>(store: &SqliteStore, writes: impl IntoIterator<Item = Write<'w>>) -> Vec<Answer> {
    let mut batch = WriteBatch::new();
    writes.into_iter().for_each(|write| batch.push(write));
    block_on(store.write(&mut batch)).unwrap();
    batch.into_answers().map(|answer| answer.unwrap().map_err(|error| error.kind())).collect()
}

fn write_one(store: &SqliteStore, one: Write<'_>) -> Answer {
    write(store, [one]).remove(0)
}

fn user(external_id: &ExternalId) -> Write<'_> {
    Write::CreateUser { external_id, attributes: Attributes::EMPTY, active: true, origin: Origin::Synced }
}

fn group(external_id: &ExternalId) -> Write<'_> {
    Write::CreateGroup { external_id, attributes: Attributes::EMPTY }
}

fn update<'w>(id: &'w StoreId, changes: &'w [Change]) -> Write<'w> {
    Write::UpdateUser { id, version: None, changes, origin: None }
}

fn created(answer: &Answer) -> StoreId {
    answer.as_ref().unwrap().id.clone().unwrap()
}

fn version(answer: &Answer) -> Version {
    answer.as_ref().unwrap().version.clone().unwrap()
}

fn now_at(version: &str) -> Answer {
    Ok(Written::done().with_version(version))
}

fn named(name: &str) -> NewRecord {
    NewRecord::new([("userName", name)])
}

fn change(attribute: &str, new: &[&str]) -> Change {
    let new = new.iter().map(|&value| value.to_owned()).collect();
    Change { attribute: attribute.to_owned(), old: Vec::new(), new }
}

fn anchor(value: impl Into<String>) -> ExternalId {
    ExternalId::new("ad", value.into())
}

fn anchors(prefix: &str, count: usize) -> Vec<ExternalId> {
    (0..count).map(|number| anchor(format!("{prefix}{number:05}"))).collect()
}

/// Reads all pages; answers the ids and how many pages there were.
fn read(mut page: impl FnMut(Option<&PageToken>, &mut Vec<String>) -> PageEnd) -> (Vec<String>, usize) {
    let (mut ids, mut pages, mut at) = (Vec::new(), 0, None);
    loop {
        pages += 1;
        match page(at.as_ref(), &mut ids) {
            PageEnd::More(token) => at = Some(token),
            end => {
                assert_eq!(end, PageEnd::COMPLETE);
                return (ids, pages);
            }
        }
    }
}

fn read_users(store: &SqliteStore, select: StoreSelect<'_>) -> (Vec<String>, usize) {
    read(|at, ids| {
        let mut page = StoredUserPage::default();
        let end = block_on(store.read_users(select, at, &mut page)).unwrap();
        ids.extend(page.ids().map(str::to_owned));
        end
    })
}

fn read_groups(store: &SqliteStore, select: StoreSelect<'_>) -> (Vec<String>, usize) {
    read(|at, ids| {
        let mut page = StoredGroupPage::default();
        let end = block_on(store.read_groups(select, at, &mut page)).unwrap();
        ids.extend(page.ids().map(str::to_owned));
        end
    })
}

/// Asks the file itself, by the schema that is documented; columns are joined by `|`.
fn rows(path: &Path, sql: &str) -> Vec<String> {
    let connection = rusqlite::Connection::open(path).unwrap();
    let mut statement = connection.prepare(sql).unwrap();
    let columns = statement.column_count();
    let row = |row: &rusqlite::Row<'_>| {
        let cell = |column| match row.get_ref(column)? {
            rusqlite::types::ValueRef::Null => Ok("-".to_owned()),
            rusqlite::types::ValueRef::Integer(number) => Ok(number.to_string()),
            other => Ok(other.as_str().unwrap().to_owned()),
        };
        Ok((0..columns).map(cell).collect::<rusqlite::Result<Vec<_>>>()?.join("|"))
    };
    statement.query_map([], row).unwrap().map(Result::unwrap).collect()
}

/// Does something in so many threads at once; answers what all of them answered.
fn at_once<T: Send>(threads: usize, act: impl Fn(usize) -> Vec<T> + Sync) -> Vec<T> {
    let act = &act;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|thread| scope.spawn(move || act(thread))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

/// Plans and applies one run of issuer `ad`.
fn run(
    directory: &MemoryDirectory,
    store: &SqliteStore,
    assigned: &[&str],
    options: &Options,
    state: RunState,
) -> (Plan, ApplyReport) {
    let (assigned, host) = (MemoryAssignments::of("ad", assigned), Host::default());
    let run = Run::new(state, Timestamp(1_000));
    let plan = block_on(reconcile(directory, store, &assigned, options, &run, &host)).unwrap().plan;
    let report = block_on(apply(&plan, store, &ApplyOptions::default(), &host)).unwrap();
    (plan, report)
}

/// This test binary again, for one test, which is told by a variable that it is the child, and which file is meant.
fn child(test: &str, variable: &str, path: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture"]).env(variable, path).stdout(Stdio::piped());
    command
}

/// Kills a child after so many lines that say `answered` and a number; answers the last number that it said.
fn kill_a_child(test: &str, variable: &str, path: &Path, lines: usize) -> Option<usize> {
    let mut child = child(test, variable, path).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let number = |line: String| line.strip_prefix("answered ").map(|number| number.parse::<usize>().unwrap());
    let seen: Vec<_> = output.by_ref().filter_map(number).take(lines).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(seen.len(), lines, "the child ended by itself");
    // What it still said between the line and the kill was answered too.
    seen.into_iter().chain(output.filter_map(number)).max()
}
