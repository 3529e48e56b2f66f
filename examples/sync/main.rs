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

use std::process::ExitCode;

use identity_sync::adapter::sqlite::SqliteStore;
use identity_sync::{
    ApplyOptions, Due, Escaped, Extent, Host, Plan, Reconciliation, Run, Timestamp, apply, reconcile,
};

#[path = "../common/mod.rs"]
#[macro_use]
mod common;

mod access;
mod arguments;

use access::Lock;
use arguments::{Arguments, USAGE};

use common::config::Config;
use common::progress::Bar;
use common::review::{
    code, extent_name, hint, later_before, list_held, note, plan_text, refuse_rest, show_held,
};
use common::{Trouble, memory, time};

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
        let Some(latest) = later_before(plan, self.now) else { return Ok(()) };
        let (latest, now) = (time::show(latest), time::show(self.now));
        Err(format!(
            "nothing was written: an earlier run told {latest}, and now it is {now}; if the earlier one was wrong, \
             `sync accept-time` goes on from now, and takes back what it counted too much"
        )
        .into())
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
        // No error: the state that is kept knows of the failures already, and of what was done.
        if !success {
            eprintln!("sync: not everything was applied; run it again");
            return Ok(ExitCode::FAILURE);
        }
        Ok(code(&found.plan))
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
