//! An operator's program: a directory export on one side, a SQLite store on the other, and whoever was assigned between them.
//!
//! ```text
//! cargo run --example sync --features ldif,sqlite -- --config target/day/sync.toml plan
//! ```
//!
//! | Verb | What it does |
//! |---|---|
//! | `plan` | reads both sides and shows what would be done; writes no record |
//! | `apply` | the same, and then writes exactly that |
//! | `held` | shows what limits hold, numbered; `--out F` writes it to a file for `apply --approve F` |
//! | `assign NAME…`, `unassign NAME…` | gives access to users or groups and whoever is below, or takes it back; records change with the next `apply` |
//! | `assignments` | who was given access |
//! | `explain NAME` | why somebody has access or not, what the store has of him, and what is planned for him |
//! | `sign-in NAME` | what the application does when somebody signs in: makes or refreshes his record, and says whether he may come in |
//! | `users`, `groups`, `groups NAME` | what the store holds |
//! | `lock NAME`, `unlock NAME` | makes a record inactive as an administrator does, or takes that back |
//! | `pause`, `resume` | from now on nothing is written, and no period grows older |
//! | `status` | last and next runs, and what is planned, held and waiting |
//! | `accept-source` | the next export may come from another domain |
//! | `accept-time` | time goes on from now, after a run that told a later one by mistake |
//! | `forget-state` | forgets what earlier runs left: all periods start anew. For a state that cannot be read any more |
//!
//! | Argument | Meaning |
//! |---|---|
//! | `--config F` | default `sync.toml`; `examples/data/sync.toml` explains what is in it |
//! | `--now T` | the time: seconds since 1970, `2026-11-23`, or `2026-11-23T06:00:00Z`; default the machine's. A later run must not tell an earlier one |
//! | `--extent X` | `plan`, `apply`, `held`: `full` (default), `new_entitlements` (only what gives access) or `proven_removals` |
//! | `--approve F` | `plan`, `apply`: a file of held operations, cut down to what shall run; as often as there are some |
//! | `--and-rest` | `apply --approve`: also where that lets something run which is held now and was taken out of the file |
//! | `--keep` | `plan`, `held`: what was seen is kept for the next run, as `apply` does it; grace periods start with it |
//! | `--no-state` | `plan`, `held`: the opposite, which is the default |
//! | `--and-resume` | `forget-state`: also during a pause, which ends by it |
//! | `--json` | `plan`: the plan as JSON |
//! | `--out F`, `--in F`, `--only N,N-N` | `held`: write to a file; show a file in place of a new plan; only these numbers |
//!
//! A NAME is an anchor, or what somebody is called: `cn`, `sAMAccountName`, `userPrincipalName` or `mail`; for `lock` and `unlock` also
//! the id, `userName` or `displayName` of a record. An argument that the verb does not use is an error.
//!
//! Exit code 0: nothing to do, also where removals are blocked. 2: something to do (`plan`, `held`, `status`), or something was done (`apply`); `explain`: no access;
//! `sign-in`: may not come in. 3: a limit holds something. 1: an error, which is one line on the error stream.

use std::path::PathBuf;
use std::process::ExitCode;

use identity_sync::adapter::sqlite::SqliteStore;
use identity_sync::{
    ApplyOptions, Assignments, Diagnostic, Due, Escaped, Explanation, Extent, ExternalId, Host,
    IdentityStore as _, Members, Plan, Principal, Reconciliation, Run, SourceAnchor, StoreCapabilities,
    StoreId, StoreSnapshot, Timestamp, Write, WriteBatch, apply, plan, reconcile, sign_in,
};

#[path = "common/mod.rs"]
#[macro_use]
mod common;

use common::config::Config;
use common::people::{People, read_all};
use common::progress::Bar;
use common::records::Records;
use common::review::{
    code, extent_name, hint, list_held, note, plan_text, refuse_rest, show_held, show_plans_for,
};
use common::{Trouble, memory, time};

const USAGE: &str = "usage: sync [--config F] [--now T] plan|apply|held|assign|unassign|assignments|explain|\
                     sign-in|users|groups|lock|unlock|pause|resume|status|accept-source|accept-time|forget-state [NAME...] \
                     [--extent X] [--approve F]... [--and-rest] [--keep] [--json] [--out F] [--in F] [--only N,N-N] \
                     [--and-resume]";

const VERBS: [&str; 19] = [
    "plan",
    "apply",
    "held",
    "assign",
    "unassign",
    "assignments",
    "explain",
    "sign-in",
    "users",
    "groups",
    "lock",
    "unlock",
    "pause",
    "resume",
    "status",
    "accept-source",
    "accept-time",
    "forget-state",
    "help",
];

/// By how many seconds an earlier run may have told a later time: clocks of two machines differ.
const CLOCKS_DIFFER: u64 = 60;

fn main() -> ExitCode {
    let done = common::words().and_then(Arguments::read).and_then(|arguments| {
        if arguments.verb == "help" {
            say!("{USAGE}");
            return Ok(ExitCode::SUCCESS);
        }
        pollster::block_on(Operator::open(&arguments)?.perform(&arguments))
    });
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("sync: {}", common::line(&error));
            ExitCode::FAILURE
        }
    }
}

#[derive(Default)]
struct Arguments {
    config: Option<PathBuf>,
    now: Option<Timestamp>,
    verb: String,
    names: Vec<String>,
    extent: Option<Extent>,
    approve: Vec<String>,
    and_rest: bool,
    keep: bool,
    no_state: bool,
    and_resume: bool,
    json: bool,
    out: Option<String>,
    held_in: Option<String>,
    only: Option<Vec<(usize, usize)>>,
}

impl Arguments {
    fn read(words: Vec<String>) -> Result<Self, Trouble> {
        let (mut words, mut arguments) = (words.into_iter(), Self::default());
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} has no value"));
            match word.as_str() {
                "--help" | "-h" => arguments.verb = "help".to_owned(),
                "--config" => arguments.config = Some(value()?.into()),
                "--now" => arguments.now = Some(time::parse(&value()?)?),
                "--extent" => {
                    let name = value()?;
                    let extent = serde_json::from_value(name.as_str().into());
                    arguments.extent = Some(extent.map_err(|_| format!("there is no extent {name}"))?);
                }
                "--approve" => arguments.approve.push(value()?),
                "--and-rest" => arguments.and_rest = true,
                "--keep" => arguments.keep = true,
                "--and-resume" => arguments.and_resume = true,
                "--no-state" => arguments.no_state = true,
                "--json" => arguments.json = true,
                "--out" => arguments.out = Some(value()?),
                "--in" => arguments.held_in = Some(value()?),
                "--only" => arguments.only = Some(numbers(&value()?)?),
                _ if word.starts_with("--") => {
                    return Err(format!("unknown argument {word}; {USAGE}").into());
                }
                _ if arguments.verb.is_empty() => arguments.verb = word,
                _ => arguments.names.push(word),
            }
        }
        if arguments.verb.is_empty() {
            return Err(USAGE.into());
        }
        arguments.check()?;
        Ok(arguments)
    }

    /// Whoever gives an argument relies on it: one that would be overlooked is an error.
    fn check(&self) -> Result<(), Trouble> {
        let verb = self.verb.as_str();
        if !VERBS.contains(&verb) {
            return Err(format!("there is no verb {verb}; {USAGE}").into());
        }
        let flags: [(&str, bool, &[&str]); 10] = [
            ("--extent", self.extent.is_some(), &["plan", "apply", "held"]),
            ("--approve", !self.approve.is_empty(), &["plan", "apply"]),
            ("--and-rest", self.and_rest, &["apply"]),
            ("--keep", self.keep, &["plan", "held"]),
            ("--no-state", self.no_state, &["plan", "held"]),
            ("--json", self.json, &["plan"]),
            ("--out", self.out.is_some(), &["held"]),
            ("--in", self.held_in.is_some(), &["held"]),
            ("--only", self.only.is_some(), &["held"]),
            ("--and-resume", self.and_resume, &["forget-state"]),
        ];
        for (flag, given, verbs) in flags {
            if given && verb != "help" && !verbs.contains(&verb) {
                return Err(format!("{verb} has no {flag}; it goes with {}", verbs.join(", ")).into());
            }
        }
        let contradictions = [
            (self.keep && self.no_state, "--keep and --no-state contradict each other"),
            (self.and_rest && self.approve.is_empty(), "--and-rest goes with --approve only"),
            (self.held_in.is_some() && self.extent.is_some(), "--in shows a file: --extent has no use there"),
            (self.held_in.is_some() && self.keep, "--in shows a file: there is nothing to --keep"),
        ];
        match contradictions.into_iter().find(|(given, _)| *given) {
            Some((_, error)) => Err(error.into()),
            None => Ok(()),
        }
    }

    fn extent(&self) -> Extent {
        self.extent.unwrap_or_default()
    }

    /// The names of a verb that needs some.
    fn names(&self) -> Result<&[String], Trouble> {
        if self.names.is_empty() {
            return Err(format!("{} whom? a name is missing", self.verb).into());
        }
        Ok(&self.names)
    }

    fn name(&self) -> Result<&str, Trouble> {
        match self.names()? {
            [one] => Ok(one),
            _ => Err(format!("{} takes one name; put a name with blanks into quotes", self.verb).into()),
        }
    }
}

/// `1,3-5` as pairs of first and last.
fn numbers(text: &str) -> Result<Vec<(usize, usize)>, Trouble> {
    let pair = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.trim().parse().map_err(|_| format!("no list of numbers: {text}"));
        let (first, last) = (number(first)?, number(last)?);
        if first == 0 || first > last {
            return Err(
                format!("no numbers from {first} to {last}: they start at 1, the lower one first").into()
            );
        }
        Ok::<_, Trouble>((first, last))
    };
    text.split(',').map(pair).collect()
}

/// Everything that a verb needs.
struct Operator {
    config: Config,
    store: SqliteStore,
    now: Timestamp,
}

impl Operator {
    fn open(arguments: &Arguments) -> Result<Self, Trouble> {
        let file = arguments.config.clone().unwrap_or_else(|| "sync.toml".into());
        let config = Config::read(&file)?;
        let store = config.store()?;
        Ok(Self { config, store, now: arguments.now.unwrap_or_else(time::system) })
    }

    async fn perform(&self, arguments: &Arguments) -> Result<ExitCode, Trouble> {
        match arguments.verb.as_str() {
            "assign" | "unassign" | "explain" | "sign-in" | "lock" | "unlock" | "groups" => {}
            _ if arguments.names.is_empty() => {}
            verb => return Err(format!("{verb} takes no name").into()),
        }
        match arguments.verb.as_str() {
            "plan" => self.plan(arguments).await,
            "apply" => self.apply(arguments).await,
            "held" => self.held(arguments).await,
            "assign" => self.assign(arguments.names()?).await,
            "unassign" => self.unassign(arguments.names()?).await,
            "assignments" => self.assignments().await,
            "explain" => self.explain(arguments.name()?).await,
            "sign-in" => self.sign_in(arguments.name()?).await,
            "users" => self.users().await,
            "groups" => self.groups(&arguments.names).await,
            "lock" => self.set_active(arguments.name()?, Lock::Closed).await,
            "unlock" => self.set_active(arguments.name()?, Lock::Open).await,
            "pause" => {
                self.change(|state, now| state.pause(now), "paused: nothing is written until `resume`")
            }
            "resume" => self.change(|state, now| state.resume(now), "resumed"),
            "status" => self.status().await,
            "accept-source" => {
                self.change(|state, _| state.accept_source(), "the next export is taken for the right one")
            }
            "accept-time" => {
                let now = time::show(self.now);
                let done = format!(
                    "time goes on from {now}. What the later time counted too much is taken back; what ran under it has run"
                );
                self.change(|state, now| state.accept_time(now), &done)
            }
            "forget-state" => self.forget(arguments.and_resume),
            verb => Err(format!("there is no verb {verb}; {USAGE}").into()),
        }
    }

    /// This run, with what earlier ones left and what was approved.
    fn run(&self, approve: &[String]) -> Result<Run, Trouble> {
        let mut run = Run::new(memory::recall(&self.store, &self.config.issuer)?, self.now);
        run.approvals = memory::approvals(approve)?;
        Ok(run)
    }

    /// Reads both sides and decides; writes nothing.
    async fn decide(&self, run: &Run, extent: Extent) -> Result<Reconciliation, Trouble> {
        let source = self.config.source(self.now)?;
        let mut options = self.config.options.clone();
        options.extent = extent;
        let host = Host::new();
        let found = reconcile(&source, &self.store, &self.store, &options, run, &host).await;
        found.map_err(common::advise)
    }

    async fn plan(&self, arguments: &Arguments) -> Result<ExitCode, Trouble> {
        let run = self.run(&arguments.approve)?;
        let found = self.decide(&run, arguments.extent()).await?;
        if arguments.keep {
            memory::keep(&self.store, &self.config.issuer, &run, found.run, self.now)?;
        }
        if arguments.json {
            say!("{}", serde_json::to_string_pretty(&found.plan)?);
        } else {
            common::show(&plan_text(&found.plan));
        }
        hint(&found.plan);
        Ok(code(&found.plan))
    }

    async fn apply(&self, arguments: &Arguments) -> Result<ExitCode, Trouble> {
        let run = self.run(&arguments.approve)?;
        let done = match self.decide(&run, arguments.extent()).await {
            Ok(found) => {
                // A slip in `--now` is no run that failed.
                self.refuse_past(&found.plan)?;
                self.try_apply(&run, found, arguments).await
            }
            Err(error) => Err(error),
        };
        if done.is_err() && !run.state.is_paused() {
            let mut state = run.state.clone();
            state.note_failure(self.now);
            memory::keep(&self.store, &self.config.issuer, &run, state, self.now)?;
        }
        done
    }

    /// Where an earlier run told a later time, no period would grow older, for as long as that takes.
    fn refuse_past(&self, plan: &Plan) -> Result<(), Trouble> {
        for diagnostic in plan.diagnostics() {
            let Diagnostic::ClockWentBack { latest } = diagnostic else { continue };
            if latest.since(self.now) > CLOCKS_DIFFER {
                let (latest, now) = (time::show(*latest), time::show(self.now));
                return Err(format!(
                    "nothing was written: an earlier run told {latest}, and now it is {now}; if the earlier one was wrong, \
                     `sync accept-time` goes on from now, and takes back what it counted too much"
                )
                .into());
            }
        }
        Ok(())
    }

    async fn try_apply(
        &self,
        run: &Run,
        found: Reconciliation,
        arguments: &Arguments,
    ) -> Result<ExitCode, Trouble> {
        common::show(&plan_text(&found.plan));
        if !run.approvals.is_empty() && !arguments.and_rest {
            let before = self.decide(&Run::new(run.state.clone(), self.now), arguments.extent()).await?;
            refuse_rest(&before.plan, &found.plan)?;
        }
        let bar = Bar::new();
        let mut options = ApplyOptions::default();
        options.issuer = Some(self.config.issuer.clone());
        let report = apply(&found.plan, &self.store, &options, &Host::new().progress(&bar)).await?;
        let (text, success) = (report.to_string(), report.is_success());
        memory::keep(&self.store, &self.config.issuer, run, report.run, self.now)?;
        say!("report: {text}");
        hint(&found.plan);
        if success { Ok(code(&found.plan)) } else { Err("not everything was applied; run it again".into()) }
    }

    async fn held(&self, arguments: &Arguments) -> Result<ExitCode, Trouble> {
        let mut held = match &arguments.held_in {
            Some(file) => memory::held_set(file)?,
            None => {
                let run = self.run(&[])?;
                let found = self.decide(&run, arguments.extent()).await?;
                if arguments.keep {
                    memory::keep(&self.store, &self.config.issuer, &run, found.run, self.now)?;
                }
                found.plan.held_set()
            }
        };
        if let Some(only) = &arguments.only {
            let last = only.iter().map(|&(_, last)| last).max().unwrap_or_default();
            if last > held.len() {
                return Err(format!("there is no number {last}: {} operations are held", held.len()).into());
            }
            held = held.only(|at| only.iter().any(|&(first, last)| (first..=last).contains(&(at + 1))));
        }
        show_held(&held)?;
        if let Some(file) = &arguments.out {
            let text = serde_json::to_string_pretty(&held)? + "\n";
            std::fs::write(file, text).map_err(|error| format!("{file}: {error}"))?;
            say!("written to {}", Escaped(file));
        }
        Ok(if held.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(3) })
    }

    async fn people(&self) -> Result<People, Trouble> {
        Ok(read_all(&self.config.source(self.now)?).await?.0)
    }

    fn principal(&self, anchor: SourceAnchor) -> Principal {
        Principal::External(ExternalId { issuer: self.config.issuer.clone(), value: anchor })
    }

    async fn assign(&self, names: &[String]) -> Result<ExitCode, Trouble> {
        let people = self.people().await?;
        // All names are looked up first: a slip in the last one changes nothing.
        let anchors = names.iter().map(|name| people.find(name)).collect::<Result<Vec<_>, _>>()?;
        for anchor in anchors {
            let new = self.store.assign(&self.principal(anchor.clone()))?;
            say!("{}: {}", if new { "assigned" } else { "was assigned already" }, people.show(&anchor));
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn unassign(&self, names: &[String]) -> Result<ExitCode, Trouble> {
        let people = self.people().await?;
        let assigned = self.store.assignments()?;
        let mut principals = Vec::new();
        for name in names {
            // Who is not in the export any more can still be named by his anchor, as `assignments` shows it.
            let by_anchor = |principal: &&Principal| match principal {
                Principal::External(id) => id.value.as_str() == name,
                Principal::Stored(id) => id.as_str() == name,
            };
            principals.push(match assigned.iter().find(by_anchor) {
                Some(principal) => principal.clone(),
                None => self.principal(people.find(name)?),
            });
        }
        for principal in principals {
            let was = self.store.unassign(&principal)?;
            let whom = self.show(&people, &principal);
            say!("{}: {whom}", if was { "not assigned any more" } else { "was not assigned" });
        }
        Ok(ExitCode::SUCCESS)
    }

    fn show(&self, people: &People, principal: &Principal) -> String {
        match principal {
            Principal::External(id) if id.issuer == self.config.issuer => people.show(&id.value),
            other => other.to_string(),
        }
    }

    async fn assignments(&self) -> Result<ExitCode, Trouble> {
        let people = self.people().await?;
        for principal in self.store.assignments()? {
            say!("{}", self.show(&people, &principal));
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn explain(&self, name: &str) -> Result<ExitCode, Trouble> {
        let source = self.config.source(self.now)?;
        let (people, snapshot) = read_all(&source).await?;
        let records = Records::read(&self.store).await?;
        let anchor = match (people.find(name), records.find(name)) {
            (Ok(anchor), _) => anchor,
            // Somebody who was deleted in the directory is still known to the store.
            (Err(error), Ok(user)) => user.anchor(&self.config.issuer).ok_or(error)?.clone(),
            (Err(error), Err(_)) => return Err(error.into()),
        };
        say!("{}", people.show(&anchor));
        let entitled = people.has(&anchor) && self.why(&people, &snapshot, &anchor)?;
        match records.of_anchor(&self.config.issuer, &anchor) {
            Some(user) => {
                let (state, origin) = (user.state(), user.origin(&self.config.issuer));
                say!("record {}: {}, {state}, {origin}", user.id, user.name());
                let groups = records.groups_of(&user.id);
                say!("member of: {}", if groups.is_empty() { "nothing".into() } else { groups.join(", ") });
            }
            None => match records.group_of_anchor(&self.config.issuer, &anchor) {
                Some(group) => {
                    say!("record {}: {}, {} members", group.id, group.name(), group.members.len())
                }
                None => say!("no record"),
            },
        }
        match self.decide(&self.run(&[])?, Extent::Full).await {
            Ok(found) => show_plans_for(&found.plan, &anchor),
            Err(error) => say!("no plan: {}", common::line(&error)),
        }
        Ok(if entitled { ExitCode::SUCCESS } else { ExitCode::from(2) })
    }

    /// Says over which path somebody is entitled, or what would make him so.
    fn why(
        &self,
        people: &People,
        snapshot: &identity_sync::SourceSnapshot,
        anchor: &SourceAnchor,
    ) -> Result<bool, Trouble> {
        // No record is looked at: who is entitled depends on the directory and the assignments alone.
        let mut capabilities = StoreCapabilities::named("none");
        capabilities.members = Members::Unlisted;
        let store = StoreSnapshot::builder(capabilities).finish(identity_sync::Completeness::Complete);
        let assignments = Assignments::complete(self.store.assignments()?);
        let mut options = self.config.options.clone();
        options.soft_match = identity_sync::SoftMatch::default();
        let found = plan(snapshot, &store, &assignments, &options, &Run::at(self.now))?;
        Ok(match found.evidence.explain(anchor)? {
            Explanation::Entitled { path } if path.len() == 1 => {
                say!("entitled: assigned directly");
                true
            }
            Explanation::Entitled { path } => {
                say!("entitled: {}", people.path(&path));
                true
            }
            Explanation::NotEntitled { nearest: Some(path) } => {
                say!("not entitled; an assignment of the first would do: {}", people.path(&path));
                false
            }
            _ => {
                say!("not entitled: not assigned, and in no group");
                false
            }
        })
    }

    async fn sign_in(&self, name: &str) -> Result<ExitCode, Trouble> {
        let anchor = match self.people().await?.find(name) {
            Ok(anchor) => anchor,
            Err(error) => {
                let records = Records::read(&self.store).await?;
                let user = records.find(name).map_err(|_| error)?;
                user.anchor(&self.config.issuer).ok_or("the record is not of this directory")?.clone()
            }
        };
        let source = self.config.source(self.now)?;
        let (run, host) = (self.run(&[])?, Host::new());
        let signed = sign_in(&source, &self.store, &anchor, &self.config.options, &run, &host).await;
        let signed = signed.map_err(common::advise)?;
        common::show(&plan_text(&signed.plan));
        if !signed.report.is_success() {
            say!("report: {}", signed.report);
        }
        say!("may come in: {}", if signed.allowed { "yes" } else { "no" });
        Ok(if signed.allowed { ExitCode::SUCCESS } else { ExitCode::from(2) })
    }

    async fn users(&self) -> Result<ExitCode, Trouble> {
        for user in Records::read(&self.store).await?.users {
            let (state, origin) = (user.state(), user.origin(&self.config.issuer));
            say!("{}  {state:8}  {origin:8}  {}", user.id, user.name());
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn groups(&self, names: &[String]) -> Result<ExitCode, Trouble> {
        let records = Records::read(&self.store).await?;
        for name in names {
            if !records.groups.iter().any(|group| group.name() == *name) {
                return Err(format!("no group of the store is called {}", Escaped(name)).into());
            }
        }
        for group in records.groups.iter().filter(|group| names.is_empty() || names.contains(&group.name())) {
            let ours = if group.is_ours(&self.config.issuer) { "" } else { ", not ours" };
            say!("{}  {}: {} members{ours}", group.id, group.name(), group.members.len());
            for member in group.members.iter().filter(|_| !names.is_empty()) {
                say!("    {}", records.name_of(member));
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn set_active(&self, name: &str, lock: Lock) -> Result<ExitCode, Trouble> {
        let records = Records::read(&self.store).await?;
        // To lock somebody must not depend on an export that can be read.
        let people = self.people().await;
        let anchor = people.as_ref().ok().and_then(|people| people.find(name).ok());
        let user = match (records.find_with(name, &self.config.issuer, anchor.as_ref()), &people) {
            (Ok(user), _) => user,
            (Err(error), Ok(_)) => return Err(error.into()),
            (Err(error), Err(unread)) => {
                return Err(
                    format!("{error}, and only records could be searched: {}", common::line(unread)).into()
                );
            }
        };
        if lock == Lock::Open && user.state() == "inactive" {
            return Err(
                format!("{} is not locked: the sync made him inactive; see `explain`", user.name()).into()
            );
        }
        let why_not = match user.anchor(&self.config.issuer) {
            Some(anchor) if lock == Lock::Open && user.state() == "locked" => people?.why_not_enabled(anchor),
            _ => None,
        };
        if let Some(why_not) = why_not {
            self.hand_back(&user.id).await?;
            say!("unlocked: {} (record {})", user.name(), user.id);
            say!(
                "{why_not}; it stays inactive until it is enabled there, and `apply` (where entitled) or a sign-in makes it active"
            );
            return Ok(ExitCode::SUCCESS);
        }
        let changed = self.store.set_active(&user.id, lock == Lock::Open)?;
        let what = match (lock, changed) {
            (Lock::Closed, true) => "locked",
            (Lock::Closed, false) => "was locked already",
            (Lock::Open, true) => "unlocked",
            (Lock::Open, false) => "was not locked",
        };
        say!("{what}: {} (record {})", user.name(), user.id);
        Ok(ExitCode::SUCCESS)
    }

    /// Makes a lock one of the sync's own, without access in between: a batch is one transaction of this store.
    async fn hand_back(&self, id: &StoreId) -> Result<(), Trouble> {
        let mut batch = WriteBatch::new();
        batch.push(Write::SetActive { id, version: None, active: true });
        batch.push(Write::SetActive { id, version: None, active: false });
        self.store.write(&mut batch).await?;
        for answer in batch.into_answers() {
            answer.ok_or("the store did not answer")??;
        }
        Ok(())
    }

    /// A pause is part of what would be forgotten, and somebody relies on it.
    fn forget(&self, and_resume: bool) -> Result<ExitCode, Trouble> {
        if !and_resume {
            match memory::recall(&self.store, &self.config.issuer) {
                Ok(state) if state.is_paused() => {
                    return Err(
                        "runs are paused, and that would be forgotten, too: --and-resume where it is meant"
                            .into(),
                    );
                }
                Ok(_) => {}
                Err(error) => {
                    let cause = common::line(&error.into());
                    return Err(format!(
                        "nobody can tell whether runs are paused, which would be forgotten, too: --and-resume where that is \
                         meant; {cause}"
                    )
                    .into());
                }
            }
        }
        let was = self.store.forget_run_state(&self.config.issuer)?;
        let forgotten = "forgotten: all periods and limits over time start anew";
        say!("{}", if was { forgotten } else { "nothing was kept" });
        Ok(ExitCode::SUCCESS)
    }

    fn change(
        &self,
        change: impl FnOnce(&mut identity_sync::RunState, Timestamp),
        done: &str,
    ) -> Result<ExitCode, Trouble> {
        let mut state = memory::recall(&self.store, &self.config.issuer)?;
        change(&mut state, self.now);
        self.store.keep_run_state(&self.config.issuer, &state)?;
        say!("{done}");
        Ok(ExitCode::SUCCESS)
    }

    async fn status(&self) -> Result<ExitCode, Trouble> {
        let counts = self.store.counts()?;
        let run = self.run(&[])?;
        say!("now: {}", time::show(self.now));
        say!(
            "store: {} users, {} groups, {} memberships; {} assignments",
            counts.users,
            counts.groups,
            counts.memberships,
            counts.assignments
        );
        let last = |extent| run.state.last_run(extent).map_or("never".to_owned(), time::show);
        say!("last full run: {}", last(Extent::Full));
        say!("last run for new entitlements: {}", last(Extent::NewEntitlements));
        match self.config.schedule.due(&run.state, self.now) {
            Due::Now(extent) => say!("next: {} now", extent_name(extent)),
            Due::At(at, extent) => say!("next: {} at {}", extent_name(extent), time::show(at)),
            _ => say!("next: nothing, paused"),
        }
        match self.decide(&run, Extent::Full).await {
            Ok(found) => {
                let plan = found.plan;
                say!("planned: {} operations", plan.len());
                say!("held: {} operations", plan.held().len());
                list_held(&plan);
                say!("pending: {}", plan.pending().len());
                for pending in plan.pending() {
                    say!(
                        "    {} since {}, due {}",
                        pending.subject,
                        time::show(pending.since),
                        time::show(pending.due)
                    );
                }
                say!("removals blocked: {}", plan.blocked().len());
                say!("notes: {}", plan.diagnostics().len());
                plan.diagnostics().iter().for_each(|diagnostic| say!("    {}", note(diagnostic)));
                Ok(code(&plan))
            }
            Err(error) => {
                say!("no plan: {}", common::line(&error));
                Ok(ExitCode::FAILURE)
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Lock {
    Open,
    Closed,
}
