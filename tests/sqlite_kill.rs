//! A process that writes to SQLite is killed at any moment, and the next reconcile brings the store to the same end.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has found something")]
#![allow(clippy::print_stdout, reason = "the child tells the parent on stdout when to strike")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use identity_sync::adapter::sqlite::SqliteStore;
use identity_sync::memory::{MemoryAssignments, MemoryDirectory};
use identity_sync::{ApplyOptions, Event, Guards, Host, Options, Progress, Run, apply, reconcile};
use pollster::block_on;

const FILE: &str = "IDENTITY_SYNC_KILL_FILE";
const USERS: usize = 400;
const GROUPS: usize = 40;

/// `generation` 0 is the first load; each further one renames, removes and regroups a part.
fn directory(generation: usize) -> MemoryDirectory {
    let mut directory = MemoryDirectory::new("corp");
    for user in 0..USERS {
        let name = format!("user{user}-{}@example.com", if user % 3 == 0 { generation } else { 0 });
        let title = format!("title {}", generation * user % 7);
        directory.add_user(
            &format!("u{user:04}"),
            &[("userPrincipalName", &name), ("displayName", &format!("User {user}")), ("title", &title)],
        );
    }
    for group in 0..GROUPS {
        let members: Vec<String> = (0..USERS)
            .filter(|user| (user * 7 + group + generation) % 11 == 0)
            .map(|user| format!("u{user:04}"))
            .chain((group % 5 != 0).then(|| format!("g{:03}", group - 1)))
            .collect();
        let members: Vec<&str> = members.iter().map(String::as_str).collect();
        directory.add_group(&format!("g{group:03}"), &[("cn", &format!("group {group}"))], &members);
    }
    for gone in 0..generation * 10 {
        directory.remove(&format!("u{gone:04}"));
    }
    directory
}

fn assignments() -> MemoryAssignments {
    let all: Vec<String> = (0..GROUPS).map(|group| format!("g{group:03}")).collect();
    MemoryAssignments::of("corp", &all.iter().map(String::as_str).collect::<Vec<_>>())
}

fn options() -> Options {
    let mut options = Options::for_issuer("corp");
    options.guards = Guards::off();
    options
}

/// Says each outcome aloud, so that the parent knows when to strike.
struct Loud;

impl Progress for Loud {
    fn event(&self, event: Event<'_>) {
        if let Event::Outcome { operation, .. } = event {
            println!("outcome {operation}");
        }
    }
}

/// One run; answers how many operations the plan had.
fn run(file: &Path, generation: usize, host: &Host<'_>) -> usize {
    let store = SqliteStore::open(file).unwrap();
    let (directory, assignments) = (directory(generation), assignments());
    let found =
        block_on(reconcile(&directory, &store, &assignments, &options(), &Run::default(), host)).unwrap();
    let report = block_on(apply(&found.plan, &store, &ApplyOptions::default(), host)).unwrap();
    assert!(report.is_success(), "{report}");
    found.plan.len()
}

#[test]
fn child_that_writes_until_it_is_killed() {
    let Some(file) = std::env::var_os(FILE) else { return };
    let (file, generation) = (Path::new(&file), std::env::var("IDENTITY_SYNC_KILL_GENERATION").unwrap());
    run(file, generation.parse().unwrap(), &Host::default().progress(&Loud));
}

/// Starts a child and kills it after so many outcomes.
fn kill_after(file: &Path, generation: usize, outcomes: usize) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_writes_until_it_is_killed", "--nocapture"])
        .env(FILE, file)
        .env("IDENTITY_SYNC_KILL_GENERATION", generation.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let _ = lines.map_while(Result::ok).filter(|line| line.starts_with("outcome")).take(outcomes).count();
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_killed_run_is_completed_by_the_next_one() {
    // rules X4, P4, M1
    let folder = tempfile::tempdir().unwrap();
    let straight = folder.path().join("straight.db");
    for generation in 0..3 {
        run(&straight, generation, &Host::default());
    }
    let expected = SqliteStore::open(&straight).unwrap().counts().unwrap();
    for round in 0..6 {
        let file = folder.path().join(format!("killed-{round}.db"));
        for generation in 0..3 {
            kill_after(&file, generation, 1 + round * 67 + generation * 13);
            run(&file, generation, &Host::default());
            assert_eq!(run(&file, generation, &Host::default()), 0, "round {round}: something is left to do");
        }
        assert_eq!(SqliteStore::open(&file).unwrap().counts().unwrap(), expected, "round {round}");
    }
}
