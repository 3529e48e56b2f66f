//! A directory export becomes accounts in a SQLite file: plan, apply, and nothing left to do. Then a second day.
//!
//! ```text
//! cargo run --example quickstart --features ldif,sqlite
//! ```
//!
//! The exports are `examples/data/corp-export.ldif` and `corp-export-day2.ldif`, as an Active Directory server wrote them.
//! The database is a new file in a temporary folder, named at the start of the output; it is left there for you to look
//! at. Apart from that path and the ids that the store gives out, the output is the same on every run.
//!
//! Exit code 0: everything was applied, and nothing is left to do. 1: it was not; the message says why.

#![allow(clippy::print_stdout, reason = "a program for a terminal")]

use std::collections::BTreeMap;
use std::error::Error;
use std::process::ExitCode;

use identity_sync::adapter::ldif::{LdifOptions, LdifSource};
use identity_sync::adapter::sqlite::SqliteStore;
use identity_sync::{
    ApplyOptions, DirectorySource, Escaped, Event, Evidence, Explanation, ExternalId, GroupPage, Host,
    IdentityStore, Options, PageEnd, Principal, Progress, Read, Reconciliation, Run, RunState, Select,
    SourceAnchor, StoreSelect, StoredUserPage, Timestamp, UserPage, apply, reconcile, sign_in,
};
use indicatif::{ProgressBar, ProgressStyle};
use pollster::block_on;

/// Anchors are Active Directory's `objectGUID`: names may change, these do not.
const DEPT_ENGINEERING: &str = "5661c9a8-23fb-4673-9eab-85c93d9ef0be";
const DEPT_FINANCE: &str = "72618911-23c6-48b8-84c4-0616a6afe922";
const DEPT_PEOPLE: &str = "46fa7d7e-d64f-4e44-8f97-85f17bbccf62";
const CYCLE_A: &str = "bb0a7de8-ec46-4358-8570-b77f3c4b5c19";
const DOMAIN_GUESTS: &str = "0330ad5e-33d9-45f4-8e21-2a363b29f040";
const NADIA: &str = "61a5b93e-3c37-4b7b-8e71-a99a02ff92a1";
const DEPT_SALES: &str = "2273308c-bfd2-41fa-b2d2-8c3f9b96b952";
const HEDDA: &str = "4213fa56-8b92-44e9-8768-cdb34221e550";
const PAUL: &str = "b4596b94-09f3-4195-b196-6dc1bd62f6f0";
const KOFI: &str = "de5cfb44-df6f-4c42-9966-3bd9877875c9";
const JULIE: &str = "06b0dc02-cac0-4efd-ba05-7fde64127781";

/// 2026-11-23 and the day after, both at 06:00 UTC. The library reads no clock: accounts expire by the time it is told.
const DAY_1: Timestamp = Timestamp(1_795_413_600);
const DAY_2: Timestamp = Timestamp(DAY_1.0 + 86_400);

fn main() -> ExitCode {
    match block_on(two_days()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprint!("quickstart: {error}");
            // An adapter's error says what it did; what went wrong underneath is its source.
            let mut below = error.source();
            while let Some(cause) = below {
                eprint!(": {cause}");
                below = cause.source();
            }
            eprintln!();
            ExitCode::FAILURE
        }
    }
}

async fn two_days() -> Result<(), Box<dyn Error>> {
    let path = tempfile::Builder::new().prefix("identity-sync-").tempdir()?.keep().join("identities.db");
    let store = SqliteStore::open(&path)?;
    println!("store: {}\n", path.display());

    let day1 = LdifSource::parse(
        include_bytes!("data/corp-export.ldif"),
        &LdifOptions::new().identity("corp.example.com").now(DAY_1),
    )?;
    let names = names(&day1).await?;
    let name = |anchor: &str| names.get(anchor).map_or("?", String::as_str);
    let found = day1.summary();
    println!("# Day 1\n");
    println!("export: {} users, {} groups, {} tombstones", found.users, found.groups, found.tombstones);

    let issuer = day1.identity();
    let assigned =
        [DEPT_ENGINEERING, DEPT_FINANCE, DEPT_PEOPLE, CYCLE_A, DOMAIN_GUESTS, NADIA].map(|anchor| {
            println!("assigned: {}", Escaped(name(anchor)));
            Principal::External(ExternalId::new(issuer.clone(), anchor))
        });
    store.assign_all(&assigned)?;
    println!("not assigned: {}, and all others\n", Escaped(name(DEPT_SALES)));

    println!("## Somebody signs in before the first sync\n");
    let options = Options::for_issuer(issuer);
    let bar = Bar::new();
    let host = Host::new().progress(&bar);
    let signed = sign_in(&day1, &store, &HEDDA.into(), &options, &Run::at(DAY_1), &host).await?;
    print!("{}", signed.plan);
    println!("{} may come in: {}\n", Escaped(name(HEDDA)), if signed.allowed { "yes" } else { "no" });

    println!("## The first plan\n");
    println!(
        "In it: groups five levels deep, each with everybody below; three groups that contain each other;"
    );
    println!(
        "an account that is disabled (inactive); a member by primary group only; names in several scripts;"
    );
    println!(
        "the user who signed in, whose record is kept; an account without a logon name, which is noted, not written.\n"
    );
    let found = reconcile(&day1, &store, &store, &options, &Run::at(DAY_1), &host).await?;
    print!("{}", found.plan);
    explain(&found.evidence, PAUL, &name)?;
    let run = Run::new(write(&found, &store, &host).await?, DAY_1);

    println!("\n## The same again\n");
    let again = reconcile(&day1, &store, &store, &options, &run, &host).await?;
    nothing_to_do(&again)?;

    println!("\n# Day 2\n");
    println!(
        "Since then: one user married, one moved to another unit, one was deleted, one was disabled, one left"
    );
    println!("a group; a new group and an old one were put below others.\n");
    let julie = record(&store, JULIE).await?;
    let day2 = LdifSource::parse(
        include_bytes!("data/corp-export-day2.ldif"),
        &LdifOptions::new().identity("corp.example.com").now(DAY_2),
    )?;
    let run = Run::new(run.state, DAY_2);
    let found = reconcile(&day2, &store, &store, &options, &run, &host).await?;
    print!("{}", found.plan);
    let moved = found.plan.operations().any(|operation| operation.subject().anchor() == Some(KOFI));
    println!(
        "\n{} moved; operations on his record: {}",
        Escaped(name(KOFI)),
        if moved { "some" } else { "none" }
    );
    let run = Run::new(write(&found, &store, &host).await?, DAY_2);
    let married = record(&store, JULIE).await?;
    println!("\nrecord {}: {} → {}", julie.0, Escaped(&julie.1), Escaped(&married.1));
    println!("the same record: {}", if julie.0 == married.0 { "yes" } else { "no" });

    println!("\n## The same again\n");
    let again = reconcile(&day2, &store, &store, &options, &run, &host).await?;
    nothing_to_do(&again)
}

/// Writes exactly the plan that was shown.
async fn write(
    found: &Reconciliation,
    store: &SqliteStore,
    host: &Host<'_>,
) -> Result<RunState, Box<dyn Error>> {
    let report = apply(&found.plan, store, &ApplyOptions::default(), host).await?;
    println!("\nreport: {report}");
    let counts = store.counts()?;
    println!("store: {} users, {} groups, {} memberships", counts.users, counts.groups, counts.memberships);
    if !report.is_success() {
        return Err("not everything was applied".into());
    }
    Ok(report.run)
}

/// Findings may repeat on every run; operations may not.
fn nothing_to_do(found: &Reconciliation) -> Result<(), Box<dyn Error>> {
    if !found.plan.is_empty() || found.plan.held().len() > 0 {
        return Err(format!("something is left to do:\n{}", found.plan).into());
    }
    for subject in found.plan.kept() {
        println!("kept: {subject}");
    }
    for diagnostic in found.plan.diagnostics() {
        println!("note: {diagnostic}");
    }
    println!("nothing to do");
    Ok(())
}

fn explain<'n>(
    evidence: &Evidence,
    anchor: &str,
    name: &impl Fn(&str) -> &'n str,
) -> Result<(), Box<dyn Error>> {
    let path = evidence.explain(&anchor.into())?;
    println!(
        "\nwhy {}? {}",
        Escaped(name(anchor)),
        match path {
            Explanation::Entitled { path } => {
                let names: Vec<String> = path.iter().map(|a| Escaped(name(a.as_str())).to_string()).collect();
                names.join(" → ")
            }
            other => other.to_string(),
        }
    );
    Ok(())
}

/// The names of everybody in an export: a plan tells names by itself, a path only anchors.
async fn names(source: &LdifSource) -> Result<BTreeMap<String, String>, Box<dyn Error>> {
    let mut names = BTreeMap::new();
    let (mut page, mut at) = (UserPage::default(), None);
    loop {
        page.clear();
        let end = source.read_users(Read::new(Select::All, at.as_ref()), &mut page).await?;
        for (anchor, _, attributes) in page.users() {
            names.insert(anchor.to_owned(), attributes.get("cn").unwrap_or_default().to_owned());
        }
        match end {
            PageEnd::More(token) => at = Some(token),
            PageEnd::Last(_) => break,
        }
    }
    let (mut page, mut at) = (GroupPage::default(), None);
    loop {
        page.clear();
        let end = source.read_groups(Read::new(Select::All, at.as_ref()), &mut page).await?;
        for (anchor, attributes, _) in page.groups() {
            // A group whose list goes on over pages has its attributes on the first.
            let name = attributes.get("cn").unwrap_or_default();
            names.entry(anchor.to_owned()).or_insert_with(|| name.to_owned());
        }
        match end {
            PageEnd::More(token) => at = Some(token),
            PageEnd::Last(_) => return Ok(names),
        }
    }
}

/// The id and the user name of the record that is linked to an anchor.
async fn record(store: &SqliteStore, anchor: &str) -> Result<(String, String), Box<dyn Error>> {
    let link = [ExternalId::new("corp.example.com", SourceAnchor::from(anchor))];
    let mut page = StoredUserPage::default();
    store.read_users(StoreSelect::ExternalIds(&link), None, &mut page).await?;
    let id = page.ids().next().ok_or("no record is linked to this anchor")?.to_owned();
    let name = page.attributes().next().and_then(|attributes| attributes.get("userName"));
    Ok((id, name.unwrap_or_default().to_owned()))
}

/// A progress bar on the error stream; hidden where that is no terminal.
struct Bar(ProgressBar);

impl Bar {
    fn new() -> Self {
        let bar = ProgressBar::no_length();
        if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}") {
            bar.set_style(style);
        }
        Self(bar)
    }
}

impl Progress for Bar {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Started { operations } => {
                self.0.reset();
                self.0.set_length(operations as u64);
                self.0.set_message("writing");
            }
            Event::Outcome { .. } => self.0.inc(1),
            Event::Finished { .. } => self.0.finish_and_clear(),
            // Reads of a file of this size are too quick to watch.
            _ => {}
        }
    }
}
