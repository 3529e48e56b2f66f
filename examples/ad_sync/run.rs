//! One run.

use std::process::ExitCode;
use std::time::Duration;

use identity_sync::{
    ApplyOptions, AssignmentSet, DirectorySource as _, Extent, Host, Reconciliation, Run, Schedule,
    Timer as _, Timestamp, apply, reconcile,
};

use crate::arguments::{Arguments, Format, Often};
use crate::common::clock::Clock;
use crate::common::progress::Bar;
use crate::common::review::{done_code, later_before, plan_text, refuse_rest, summary};
use crate::common::{self, Trouble, memory, time};
use crate::config::Config;
use crate::directory::{Named, assigned};
use crate::files;
use crate::page::{Extras, Mode, page};
use crate::stop::Stop;
use crate::store::{Access, AnyStore};

pub(crate) struct Program {
    pub(crate) arguments: Arguments,
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) stop: Stop,
}

impl Program {
    pub(crate) fn new(arguments: Arguments) -> Result<Self, Trouble> {
        let file = arguments.config.clone().unwrap_or_else(|| "ad_sync.toml".into());
        let config = Config::read(&file)?;
        let clock = Clock::starting_at(arguments.now);
        Ok(Self { arguments, config, clock, stop: Stop::listen()? })
    }

    pub(crate) async fn perform(&self) -> Result<ExitCode, Trouble> {
        match self.arguments.often {
            Often::Once => Ok(ExitCode::from(self.run(Extent::Full).await?)),
            Often::Forever => self.serve(self.config.schedule).await,
            Often::Every(period) => {
                let mut schedule = Schedule::every(period);
                schedule.retry = self.config.schedule.retry;
                schedule.spread_percent = self.config.schedule.spread_percent;
                self.serve(schedule).await
            }
        }
    }

    /// Reads, decides, shows; writes where that was asked for.
    pub(crate) async fn run(&self, extent: Extent) -> Result<u8, Trouble> {
        let now = self.clock.now();
        let access = if self.arguments.apply || self.arguments.keep { Access::Write } else { Access::Look };
        let opened = self.stop.or(AnyStore::open(&self.config, access)).await;
        let store = opened.unwrap_or_else(|| Err("stopped before anything was read".into()))?;
        store.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
        let mut run = Run::new(store.recall(&self.config.issuer).await?, now);
        run.approvals = memory::approvals(&self.arguments.approve)?;
        self.tidy(&store, &run).await?;
        // What is accepted is accepted for this run, and kept only with what came of it.
        let mut failed = run.state.clone();
        if self.arguments.accept_source {
            run.state.accept_source();
        }
        if self.arguments.accept_time {
            run.state.accept_time(now);
        }
        let done = self.stop.or(self.decide(&store, &run, extent)).await;
        let done = match done.unwrap_or_else(|| Err("stopped before anything was written".into())) {
            Ok((found, named)) => {
                // A slip in `--now` is no run that failed.
                refuse_past(&found, now)?;
                self.show(&store, &found, &named)?;
                if self.arguments.apply {
                    self.apply(&store, &run, found, extent).await
                } else {
                    self.look(&store, &run, found).await
                }
            }
            Err(error) => Err(error),
        };
        if done.is_err() && self.arguments.apply && !self.stop.is_asked() && !run.state.is_paused() {
            failed.note_failure(self.clock.now());
            // What went wrong first is what a person has to know.
            if let Err(error) = store.keep(&self.config.issuer, &run, failed, now).await {
                eprintln!("warning: that this run failed could not be kept: {}", common::line(&error));
            }
        }
        done
    }

    /// What an earlier run began with memberships that the store does not list, and never saw answered; and what the command
    /// line asks for before a run.
    async fn tidy(&self, store: &AnyStore, run: &Run) -> Result<(), Trouble> {
        if !self.arguments.apply || run.state.is_paused() {
            return Ok(());
        }
        let stopped = || Err("stopped before anything was written".into());
        if self.arguments.rebuild_ledger {
            let rebuilt = self.stop.or(store.rebuild_ledger(&self.config.issuer)).await;
            let (groups, users) = rebuilt.unwrap_or_else(stopped)?;
            eprintln!("ledger: asked who of {users} users is in each of {groups} groups");
        }
        // Not cut short: a write at hand ends. What is left uncertain makes the read partial, which holds revocations back.
        match store.settle().await {
            Ok(0) => {}
            Ok(settled) => eprintln!("ledger: {settled} memberships of an earlier run are certain now"),
            Err(error) => {
                eprintln!("warning: memberships of an earlier run stay uncertain: {}", common::line(&error));
            }
        }
        Ok(())
    }

    async fn decide(
        &self,
        store: &AnyStore,
        run: &Run,
        extent: Extent,
    ) -> Result<(Reconciliation, Named), Trouble> {
        let mut named = Named::connect(&self.config, run.now).await?;
        let deadline = Duration::from_secs(self.config.read_deadline.seconds());
        let (stored, listed);
        let assignments: &dyn AssignmentSet = match &store.assignments {
            Some(set) if self.config.assignments.store => {
                stored = set.clone();
                &*stored
            }
            _ => {
                let looked = tokio::time::timeout(deadline, assigned(&self.config, run.now)).await;
                let late = |_| "assignments: names could not be looked up in time";
                (listed, named.unclear) = looked.map_err(late)??;
                &listed
            }
        };
        named.warnings().iter().for_each(|warning| eprintln!("warning: {warning}"));
        let mut options = self.config.options.clone();
        options.extent = extent;
        let bar = Bar::new();
        let host = self.host(&bar).read_deadline(deadline);
        let found = reconcile(&named, &*store.records, assignments, &options, run, &host).await;
        bar.clear();
        if let Some(elsewhere) = named.elsewhere() {
            eprintln!("{elsewhere}");
        }
        match found {
            Ok(found) => Ok((found, named)),
            Err(error) => Err(advise(error)),
        }
    }

    fn host<'a>(&'a self, bar: &'a Bar) -> Host<'a> {
        Host::new().timer(&self.clock).progress(bar).cancellation(&self.stop.cancellation)
    }

    fn show(&self, store: &AnyStore, found: &Reconciliation, named: &Named) -> Result<(), Trouble> {
        let text = match self.arguments.format {
            Format::Text => plan_text(&found.plan),
            Format::Json => serde_json::to_string_pretty(&found.plan)? + "\n",
            Format::Html => {
                let mut warnings = named.warnings();
                warnings.extend(store.warnings.iter().cloned());
                page(
                    &found.plan,
                    &Extras {
                        source: &format!("{} at {}", named.source().server().base, named.source().identity()),
                        store: &store.label,
                        mode: if self.arguments.apply { Mode::Apply } else { Mode::DryRun },
                        evidence: Some(&found.evidence),
                        names: &named.names(),
                        warnings: &warnings,
                    },
                )
            }
        };
        match &self.arguments.out {
            Some(file) => files::replace(file, &text)?,
            None => common::show(&text),
        }
        let held = found.plan.held().len();
        match &self.arguments.held_out {
            Some(file) if held > 0 => {
                files::replace(file, &(serde_json::to_string_pretty(&found.plan.held_set())? + "\n"))?;
                eprintln!("held: {held} operations, written to {}", file.display());
            }
            None if held > 0 => eprintln!("held: {held} operations; --held-out FILE writes them for review"),
            _ => {}
        }
        Ok(())
    }

    /// A dry run ends here.
    async fn look(&self, store: &AnyStore, run: &Run, found: Reconciliation) -> Result<u8, Trouble> {
        let answer = exit_code(&found);
        if self.arguments.keep {
            store.keep(&self.config.issuer, run, found.run, self.clock.now()).await?;
        }
        eprintln!("dry run: nothing was written; --apply writes");
        Ok(answer)
    }

    async fn apply(
        &self,
        store: &AnyStore,
        run: &Run,
        found: Reconciliation,
        extent: Extent,
    ) -> Result<u8, Trouble> {
        if !run.approvals.is_empty() && !self.arguments.and_rest {
            let (before, _) = self.decide(store, &Run::new(run.state.clone(), run.now), extent).await?;
            refuse_rest(&before.plan, &found.plan)?;
        }
        let bar = Bar::new();
        let mut options = ApplyOptions::default();
        options.issuer = Some(self.config.issuer.clone());
        let report = apply(&found.plan, &*store.records, &options, &self.host(&bar)).await?;
        let (text, answer) = (summary(&found.plan, &report), done_code(&found.plan, &report));
        // What was done was done, whether or not it can be kept.
        eprintln!("report: {text}");
        store.keep(&self.config.issuer, run, report.run, self.clock.now()).await?;
        // No error: what is kept knows of the failures already, and of what was done.
        if answer == 1 {
            eprintln!("ad_sync: not everything was applied; run it again");
        }
        Ok(answer)
    }

    pub(crate) fn log(&self, text: &str) {
        eprintln!("{} {text}", time::show(self.clock.now()));
    }
}

/// Where an earlier run told a later time, no period would grow older, for as long as that takes.
fn refuse_past(found: &Reconciliation, now: Timestamp) -> Result<(), Trouble> {
    let Some(latest) = later_before(&found.plan, now) else { return Ok(()) };
    Err(format!(
        "nothing was written: an earlier run told {}, and now it is {}; if the earlier one was wrong, --accept-time goes on \
         from now, and takes back what it counted too much",
        time::show(latest),
        time::show(now)
    )
    .into())
}

/// Why there is no plan, and what a person says where what is found is meant.
fn advise(error: identity_sync::ReconcileError) -> Trouble {
    use identity_sync::{PlanError, ReconcileError};
    match error {
        ReconcileError::Plan(error @ (PlanError::OtherSource { .. } | PlanError::OlderSource { .. })) => {
            format!("{error}; --accept-source where that is meant").into()
        }
        error => error.into(),
    }
}

fn exit_code(found: &Reconciliation) -> u8 {
    match (found.plan.held().len(), found.plan.len()) {
        (0, 0) => 0,
        (0, _) => 2,
        _ => 3,
    }
}
