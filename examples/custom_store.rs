//! A host's own tables as an identity store: the three traits over plain structs, and a look at what they promise.
//!
//! ```text
//! cargo run --example custom_store --features testing
//! ```
//!
//! `Staff` is a directory (people and teams in vectors), `App` is an application's tables (accounts and roles), `Granted`
//! is a list of teams that were given access. The program reconciles, applies, and reconciles again; then the
//! conformance suite checks all that the engine relies on: pages, `AlreadyExists`, `Conflict`, answers in their slots.
//!
//! Exit code 0: every check passed. 1: one did not.

#![allow(clippy::print_stdout, reason = "a program for a terminal")]

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::ops::Bound;
use std::process::ExitCode;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use identity_sync::testing::conformance;
use identity_sync::{
    ApplyOptions, AssignmentError, AssignmentPage, AssignmentSet, AttributeMap, Change, Concurrency,
    DirectorySource, ErrorKind, ExternalId, GroupPage, Host, IdentityStore, MatchRule, Options, PageEnd,
    PageToken, Principal, Read, Run, SourceError, SourceIdentity, StoreCapabilities, StoreError, StoreId,
    StoreSelect, StoredGroupPage, StoredUserPage, UserPage, Version, Write, WriteBatch, Written, apply,
    reconcile,
};
use pollster::block_on;

/// Records on a page; small, so that a handful of people makes several pages.
const PAGE: usize = 2;
/// How the names of accounts and roles compare; as the default capabilities say.
const NAMES: MatchRule = MatchRule::NfkcCasefold;

// ---- The directory.

struct Person {
    number: u32,
    login: &'static str,
    name: &'static str,
    employed: bool,
}

struct Team {
    code: &'static str,
    people: &'static [u32],
    teams: &'static [&'static str],
}

struct Staff {
    people: Vec<Person>,
    teams: Vec<Team>,
}

#[async_trait]
impl DirectorySource for Staff {
    fn identity(&self) -> SourceIdentity {
        "staff".into()
    }

    async fn read_users(&self, _: Read<'_>, page: &mut UserPage) -> Result<PageEnd, SourceError> {
        for person in &self.people {
            let mut user = page.user(&format!("person-{}", person.number));
            user.active(person.employed).attribute("login", person.login).attribute("name", person.name);
        }
        Ok(PageEnd::COMPLETE)
    }

    async fn read_groups(&self, _: Read<'_>, page: &mut GroupPage) -> Result<PageEnd, SourceError> {
        for team in &self.teams {
            let mut group = page.group(team.code);
            group.attribute("code", team.code);
            for number in team.people {
                group.member(&format!("person-{number}"));
            }
            for code in team.teams {
                group.member(code);
            }
            // A list that nobody calls complete removes nobody.
            group.members_complete();
        }
        Ok(PageEnd::COMPLETE)
    }
}

// ---- Who was given access.

struct Granted(Vec<&'static str>);

#[async_trait]
impl AssignmentSet for Granted {
    async fn read_assignments(
        &self,
        _: Option<&PageToken>,
        page: &mut AssignmentPage,
    ) -> Result<PageEnd, AssignmentError> {
        self.0.iter().for_each(|team| page.assign(Principal::External(ExternalId::new("staff", *team))));
        Ok(PageEnd::COMPLETE)
    }
}

// ---- The application's tables.

/// An account, or a role: its link to the directory, its columns, who has the role.
#[derive(Clone, Debug)]
struct Record {
    link: ExternalId,
    columns: BTreeMap<String, Vec<String>>,
    active: bool,
    members: BTreeSet<String>,
    version: u64,
}

#[derive(Default)]
struct Tables {
    accounts: BTreeMap<String, Record>,
    roles: BTreeMap<String, Record>,
    next: u64,
}

#[derive(Default)]
struct App(Mutex<Tables>);

impl App {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One page, by keyset: the records after the last one given. A skipped record would look deleted.
fn page(
    table: &BTreeMap<String, Record>,
    select: StoreSelect<'_>,
    at: Option<&PageToken>,
    mut give: impl FnMut(&str, &Record),
) -> Result<PageEnd, StoreError> {
    let after = match at.map(PageToken::as_text) {
        None => Bound::Unbounded,
        Some(Some(id)) => Bound::Excluded(id.to_owned()),
        Some(None) => return Err(StoreError::new(ErrorKind::Invalid, "unknown page token")),
    };
    let mut given = 0;
    for (id, record) in table.range((after, Bound::Unbounded)) {
        let wanted = match select {
            StoreSelect::All => true,
            StoreSelect::Ids(ids) => ids.iter().any(|wanted| wanted.as_str() == id),
            StoreSelect::ExternalIds(links) => links.contains(&record.link),
            StoreSelect::UniqueValue { attribute, value } => record.has(attribute, value),
            _ => return Err(StoreError::new(ErrorKind::Unsupported, "no such selection")),
        };
        if !wanted {
            continue;
        }
        give(id, record);
        given += 1;
        if given == PAGE {
            return Ok(PageEnd::More(PageToken::new(id.as_bytes())));
        }
    }
    Ok(PageEnd::COMPLETE)
}

#[async_trait]
impl IdentityStore for App {
    fn capabilities(&self) -> StoreCapabilities {
        let mut capabilities = StoreCapabilities::named("app");
        capabilities.concurrency = Concurrency::Conditional;
        capabilities
    }

    async fn read_users(
        &self,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
        out: &mut StoredUserPage,
    ) -> Result<PageEnd, StoreError> {
        page(&self.tables().accounts, select, at, |id, record| {
            let mut row = out.user(id);
            row.active(record.active).version(&record.version.to_string());
            row.external_id(record.link.issuer.as_str(), record.link.value.as_str());
            for (name, value) in record.values() {
                row.attribute(name, value);
            }
        })
    }

    async fn read_groups(
        &self,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
        out: &mut StoredGroupPage,
    ) -> Result<PageEnd, StoreError> {
        page(&self.tables().roles, select, at, |id, record| {
            let mut row = out.group(id);
            row.version(&record.version.to_string());
            row.external_id(record.link.issuer.as_str(), record.link.value.as_str());
            for (name, value) in record.values() {
                row.attribute(name, value);
            }
            for member in &record.members {
                row.member(member);
            }
        })
    }

    async fn write(&self, batch: &mut WriteBatch<'_>) -> Result<(), StoreError> {
        for item in batch.items() {
            // A slot per item: what was answered counts, whatever becomes of the rest.
            let answer = self.tables().write(item.write());
            item.answer(answer);
        }
        Ok(())
    }
}

impl Record {
    fn values(&self) -> impl Iterator<Item = (&str, &str)> {
        self.columns.iter().flat_map(|(name, values)| values.iter().map(|v| (name.as_str(), v.as_str())))
    }

    /// Whether it has this value; `Bob` and `bob` are one name.
    fn has(&self, attribute: &str, value: &str) -> bool {
        let mut held = self.columns.get(attribute).into_iter().flatten();
        held.any(|held| NAMES.key(held) == NAMES.key(value))
    }

    fn set(&mut self, changes: &[Change]) {
        for change in changes {
            self.columns.insert(change.attribute.clone(), change.new.clone());
        }
        self.columns.retain(|_, values| !values.is_empty());
    }
}

impl Tables {
    fn write(&mut self, write: &Write<'_>) -> Result<Written, StoreError> {
        let record = match write {
            Write::CreateUser { external_id, attributes, active, .. } => {
                return self.create(external_id, attributes.iter(), Some(*active));
            }
            Write::CreateGroup { external_id, attributes } => {
                return self.create(external_id, attributes.iter(), None);
            }
            Write::DeleteUser { id, version } => {
                expect(&mut self.accounts, id, *version)?;
                self.accounts.remove(id.as_str());
                self.roles.values_mut().for_each(|role| {
                    role.members.remove(id.as_str());
                });
                return Ok(Written::done());
            }
            Write::DeleteGroup { id, version } => {
                expect(&mut self.roles, id, *version)?;
                self.roles.remove(id.as_str());
                return Ok(Written::done());
            }
            Write::UpdateUser { id, version, changes, .. } => {
                rename(&self.accounts, id, "userName", changes)?;
                let account = expect(&mut self.accounts, id, *version)?;
                account.set(changes);
                account
            }
            Write::UpdateGroup { id, version, changes } => {
                rename(&self.roles, id, "displayName", changes)?;
                let role = expect(&mut self.roles, id, *version)?;
                role.set(changes);
                role
            }
            Write::SetActive { id, version, active } => {
                let account = expect(&mut self.accounts, id, *version)?;
                account.active = *active;
                account
            }
            Write::AddMembers { id, version, members } => {
                if members.iter().any(|member| !self.accounts.contains_key(member.as_str())) {
                    return Err(StoreError::new(ErrorKind::NotFound, "no such account"));
                }
                let role = expect(&mut self.roles, id, *version)?;
                role.members.extend(members.iter().map(|member| member.as_str().to_owned()));
                role
            }
            Write::RemoveMembers { id, version, members } => {
                let role = expect(&mut self.roles, id, *version)?;
                role.members.retain(|held| members.iter().all(|member| member.as_str() != held));
                role
            }
            _ => return Err(StoreError::new(ErrorKind::Unsupported, "no such write")),
        };
        record.version += 1;
        Ok(Written::done().with_version(record.version.to_string()))
    }

    fn create<'a>(
        &mut self,
        link: &ExternalId,
        values: impl Iterator<Item = (&'a str, &'a str)>,
        account: Option<bool>,
    ) -> Result<Written, StoreError> {
        // Unique over all records: of a sign-in and a reconcile at once, one is told that the record is there.
        if self.accounts.values().chain(self.roles.values()).any(|record| record.link == *link) {
            return Err(StoreError::new(ErrorKind::AlreadyExists, "this external id is linked already"));
        }
        let mut columns: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in values {
            columns.entry(name.to_owned()).or_default().push(value.to_owned());
        }
        let (table, prefix, unique) = match account {
            Some(_) => (&mut self.accounts, "account", "userName"),
            None => (&mut self.roles, "role", "displayName"),
        };
        let names = columns.get(unique).map(Vec::as_slice).unwrap_or_default();
        check_names(table, None, unique, names)?;
        self.next += 1;
        let id = format!("{prefix}-{:03}", self.next);
        let (active, members) = (account.unwrap_or(true), BTreeSet::new());
        table.insert(id.clone(), Record { link: link.clone(), columns, active, members, version: 1 });
        Ok(Written::created(id).with_version("1"))
    }
}

/// Refuses an update that would leave a record without its name, or with that of another one.
fn rename(
    table: &BTreeMap<String, Record>,
    id: &StoreId,
    unique: &str,
    changes: &[Change],
) -> Result<(), StoreError> {
    let mut renames = changes.iter().filter(|change| change.attribute == unique);
    renames.try_for_each(|change| check_names(table, Some(id), unique, &change.new))
}

/// The capabilities say that a record must have a name, and that no two have the same one.
fn check_names(
    table: &BTreeMap<String, Record>,
    own: Option<&StoreId>,
    unique: &str,
    names: &[String],
) -> Result<(), StoreError> {
    if names.iter().all(|name| name.trim().is_empty()) {
        return Err(StoreError::new(ErrorKind::Invalid, "a record must have a name"));
    }
    names.iter().try_for_each(|name| free(table, own, unique, name))
}

/// Refuses a name that another record has.
fn free(
    table: &BTreeMap<String, Record>,
    own: Option<&StoreId>,
    attribute: &str,
    name: &str,
) -> Result<(), StoreError> {
    let mut others = table.iter().filter(|(id, _)| own.is_none_or(|own| own.as_str() != id.as_str()));
    match others.any(|(_, record)| record.has(attribute, name)) {
        true => Err(StoreError::new(ErrorKind::AlreadyExists, "this name is taken")),
        false => Ok(()),
    }
}

/// The record, if it still has the version that the plan was made for.
fn expect<'t>(
    table: &'t mut BTreeMap<String, Record>,
    id: &StoreId,
    version: Option<&Version>,
) -> Result<&'t mut Record, StoreError> {
    let record =
        table.get_mut(id.as_str()).ok_or_else(|| StoreError::new(ErrorKind::NotFound, "no such record"))?;
    match version {
        Some(version) if version.as_str() != record.version.to_string() => {
            Err(StoreError::new(ErrorKind::Conflict, "the record was changed by somebody else"))
        }
        _ => Ok(record),
    }
}

// ---- The program.

fn main() -> ExitCode {
    match block_on(run()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprint!("custom_store: {error}");
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

async fn run() -> Result<bool, Box<dyn Error>> {
    let staff = Staff {
        people: vec![
            Person { number: 1, login: "ada", name: "Ada Vogel", employed: true },
            Person { number: 2, login: "ben", name: "Ben Ek", employed: true },
            Person { number: 3, login: "cai", name: "Cai Liú", employed: false },
            Person { number: 4, login: "dot", name: "Dot Haas", employed: true },
        ],
        teams: vec![
            Team { code: "engineering", people: &[1], teams: &["storage"] },
            Team { code: "storage", people: &[2, 3], teams: &[] },
            Team { code: "sales", people: &[4], teams: &[] },
        ],
    };
    let (app, granted) = (App::default(), Granted(vec!["engineering"]));
    let mut options = Options::for_issuer("staff");
    options.user_map = AttributeMap::new().with("userName", "${login}")?.with("displayName", "${name}")?;
    options.group_map = AttributeMap::new().with("displayName", "${code}")?;
    let host = Host::new();

    let found = reconcile(&staff, &app, &granted, &options, &Run::default(), &host).await?;
    print!("{}", found.plan);
    let report = apply(&found.plan, &app, &ApplyOptions::default(), &host).await?;
    println!("report: {report}\n");

    let again = reconcile(&staff, &app, &granted, &options, &Run::default(), &host).await?;
    let mut passed = check("every operation was applied", report.is_success());
    passed &= check("a second run has nothing to do", again.plan.is_empty());

    // All that the contract of `IdentityStore` demands, on a fresh `App` each time. In a project this is a test.
    let report = conformance::store(&|| Ok(App::default())).await;
    print!("\n{report}");
    passed &= check("the store keeps its contract", report.is_conforming());
    Ok(passed)
}

fn check(name: &str, passed: bool) -> bool {
    println!("{}  {name}", if passed { "ok    " } else { "FAILED" });
    passed
}
