//! A long-running host: runs what the schedule says is due, follows a changed export, and stops cleanly.
//!
//! ```text
//! cargo run --example daemon --features ldif,sqlite -- --config target/day/sync.toml
//! ```
//!
//! | Argument | Meaning |
//! |---|---|
//! | `--config F` | default `sync.toml`, the same file as for the example `sync` |
//! | `--once` | runs what is due, and ends |
//! | `--now T` | the clock starts at this time and goes on from there; default the machine's |
//!
//! What wakes it: the schedule; an export or a configuration file of another length or modification time than before, as soon
//! as it stays the same for one more look; an assignment that somebody gave or took back; the end of a pause. `sync pause` and
//! `sync resume` are heeded within a look, also while it is writing; `look_every` in the configuration says how often it looks.
//!
//! Each run is one line on the standard output, and a line for each note where they are others than after the run before. An
//! error is such a line, too, and the schedule says when to try again. Ctrl-C and
//! SIGTERM let the write at hand end, keep what was done, and stop; killing it is as safe, since the next run finds out.
//!
//! **One run at a time.** What is kept between runs has one place in the store, and the last who writes it wins. Between its runs
//! the daemon leaves everything there and reads it again before the next, so that `sync apply --approve` may be used beside it.
//!
//! Exit code 0: it was asked to stop. 1: it could not start. With `--once`: 0 nothing was done, 2 something was, 3 a limit holds
//! something, 1 the run failed.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use identity_sync::adapter::sqlite::SqliteStore;
use identity_sync::{
    ApplyOptions, ApplyReport, Cancellation, Due, Extent, Host, Plan, Principal, Run, Timer, Timestamp,
    apply, reconcile,
};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

#[path = "common/mod.rs"]
#[macro_use]
mod common;

use common::clock::{Clock, Signals};
use common::config::Config;
use common::progress::Bar;
use common::review::{done_code, note, summary};
use common::{Trouble, memory, time};

const USAGE: &str = "usage: daemon [--config F] [--once] [--now T]";

/// How long to wait where not even the store can be asked what is due.
const BLIND: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let done = common::words().and_then(Arguments::read).and_then(|arguments| {
        // One thread for the loop; the store blocks, so that runs have threads of their own.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async { Daemon::start(arguments)?.serve().await })
    });
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("daemon: {}", common::line(&error));
            ExitCode::FAILURE
        }
    }
}

struct Arguments {
    config: PathBuf,
    once: bool,
    now: Option<Timestamp>,
}

impl Arguments {
    fn read(words: Vec<String>) -> Result<Self, Trouble> {
        let mut words = words.into_iter();
        let mut arguments = Self { config: "sync.toml".into(), once: false, now: None };
        while let Some(word) = words.next() {
            match word.as_str() {
                "--once" => arguments.once = true,
                "--config" => arguments.config = words.next().ok_or(USAGE)?.into(),
                "--now" => arguments.now = Some(time::parse(&words.next().ok_or(USAGE)?)?),
                _ => return Err(format!("unknown argument {word}; {USAGE}").into()),
            }
        }
        Ok(arguments)
    }
}

struct Daemon {
    config_file: PathBuf,
    config: Arc<Config>,
    store: Arc<SqliteStore>,
    clock: Clock,
    once: bool,
    export_watch: Watch,
    config_watch: Watch,
    assigned: Vec<Principal>,
    was_paused: bool,
    /// What the last plan had for a person to know.
    notes: Vec<String>,
}

impl Daemon {
    fn start(arguments: Arguments) -> Result<Self, Trouble> {
        let config = Config::read(&arguments.config)?;
        let store = config.store()?;
        Ok(Self {
            export_watch: Watch::of(&config.export_file),
            config_watch: Watch::of(&arguments.config),
            assigned: store.assignments()?,
            config_file: arguments.config,
            config: Arc::new(config),
            store: Arc::new(store),
            clock: Clock::starting_at(arguments.now),
            once: arguments.once,
            was_paused: false,
            notes: Vec::new(),
        })
    }

    /// The loop: look what changed, ask the schedule, run or wait.
    async fn serve(mut self) -> Result<ExitCode, Trouble> {
        let mut signals = Signals::listen()?;
        let mut jitter = self.clock.jitter();
        let look_every = |daemon: &Self| Duration::from_secs(daemon.config.look_every.seconds().max(1));
        loop {
            let (due, wait) = match self.due(jitter).await {
                Ok(due) => (due, look_every(&self)),
                Err(error) if self.once => return Err(error),
                Err(error) => {
                    self.log(&format!("error: {}", common::line(&error)));
                    (None, BLIND)
                }
            };
            if let Some(extent) = due {
                let code = self.run(extent, &mut signals).await;
                // Drawn once for each run: asked anew at each look, the least of many draws would count.
                jitter = self.clock.jitter();
                if self.once {
                    return Ok(code);
                }
            } else if self.once {
                self.log("nothing is due");
                return Ok(ExitCode::SUCCESS);
            }
            if signals.arrived {
                self.log("stopped");
                return Ok(ExitCode::SUCCESS);
            }
            if due.is_none() {
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = signals.next() => {}
                }
            }
        }
    }

    /// What to run now, if anything.
    async fn due(&mut self, jitter: f64) -> Result<Option<Extent>, Trouble> {
        let state = self.recall().await?;
        let was_paused = std::mem::replace(&mut self.was_paused, state.is_paused());
        if was_paused != self.was_paused {
            self.log(if self.was_paused { "paused" } else { "resumed" });
        }
        // What changes during a pause is noticed after it.
        if self.was_paused {
            return Ok(None);
        }
        let config = self.config_watch.look();
        if config == Look::Changed {
            match self.configure() {
                Ok(()) => self.log("the configuration changed"),
                Err(error) => self.log(&format!("error: {}; the old one stays", common::line(&error))),
            }
        }
        let export = self.export_watch.look();
        let assigned = self.look_at_assignments().await?;
        let scheduled = match self.config.schedule.next(&state, self.clock.now(), jitter) {
            Due::Now(extent) => Some(extent),
            _ => None,
        };
        Ok(match (config, export) {
            // A file that is being written is looked at again first.
            (Look::Changing, _) | (_, Look::Changing) => None,
            (Look::Changed, _) | (_, Look::Changed) => Some(Extent::Full),
            // The pause may have cut a run short, which the schedule takes for a failure and waits.
            _ if was_paused => Some(Extent::Full),
            // A scheduled full run includes a quick one.
            _ if scheduled == Some(Extent::Full) => scheduled,
            _ => assigned.or(scheduled),
        })
    }

    fn configure(&mut self) -> Result<(), Trouble> {
        let config = Config::read(&self.config_file)?;
        let store = config.store()?;
        self.assigned = store.assignments()?;
        self.export_watch = Watch::of(&config.export_file);
        (self.config, self.store) = (Arc::new(config), Arc::new(store));
        Ok(())
    }

    /// Who was given access gets it at once; who lost it, too.
    async fn look_at_assignments(&mut self) -> Result<Option<Extent>, Trouble> {
        let store = Arc::clone(&self.store);
        let now = spawn_blocking(move || store.assignments()).await??;
        let before = std::mem::replace(&mut self.assigned, now);
        Ok(if before == self.assigned {
            None
        } else if before.iter().all(|principal| self.assigned.contains(principal)) {
            Some(Extent::NewEntitlements)
        } else {
            Some(Extent::Full)
        })
    }

    async fn recall(&self) -> Result<identity_sync::RunState, Trouble> {
        let (store, issuer) = (Arc::clone(&self.store), self.config.issuer.clone());
        Ok(spawn_blocking(move || memory::recall(&store, &issuer)).await??)
    }

    /// One run, in a thread of its own, while signals and a pause are listened for.
    async fn run(&mut self, extent: Extent, signals: &mut Signals) -> ExitCode {
        let cancellation = Cancellation::default();
        let job = Job {
            config: Arc::clone(&self.config),
            store: Arc::clone(&self.store),
            clock: self.clock,
            extent,
            cancellation: cancellation.clone(),
        };
        let (handle, started) = (Handle::current(), tokio::time::Instant::now());
        let mut running = spawn_blocking(move || handle.block_on(job.run()));
        let look = Duration::from_secs(self.config.look_every.seconds().max(1));
        let done = loop {
            tokio::select! {
                done = &mut running => break done,
                () = signals.next() => cancellation.cancel(),
                () = tokio::time::sleep(look) => {
                    if self.recall().await.is_ok_and(|state| state.is_paused()) {
                        cancellation.cancel();
                    }
                }
            }
        };
        let took = started.elapsed().as_millis();
        let what = match extent {
            Extent::Full => "full run",
            _ => "new entitlements",
        };
        let (text, code, notes) = match done {
            Ok(Ok(done)) => (done.text, done.code, Some(done.notes)),
            Ok(Err(error)) => (format!("error: {}", common::line(&error)), 1, None),
            Err(panicked) => (format!("error: {panicked}"), 1, None),
        };
        self.log(&format!("{what}: {text}; {took} ms"));
        // They repeat from run to run: shown where they are others than before.
        if let Some(notes) = notes.filter(|notes| *notes != self.notes) {
            notes.iter().for_each(|note| self.log(&format!("note: {note}")));
            self.notes = notes;
        }
        ExitCode::from(code)
    }

    fn log(&self, text: &str) {
        say!("{} {text}", time::show(self.clock.now()));
    }
}

/// What one run needs; it may live in another thread.
struct Job {
    config: Arc<Config>,
    store: Arc<SqliteStore>,
    clock: Clock,
    extent: Extent,
    cancellation: Cancellation,
}

/// What came of a run.
struct Done {
    text: String,
    code: u8,
    notes: Vec<String>,
}

impl Job {
    /// Reads, decides, writes, and keeps what the next run has to know, whatever came of it.
    async fn run(self) -> Result<Done, Trouble> {
        let run = Run::new(memory::recall(&self.store, &self.config.issuer)?, self.clock.now());
        let tried = self.reconcile_and_apply(&run).await;
        let (state, done) = match tried {
            Ok((plan, report)) => {
                let notes = plan.diagnostics().iter().map(note).collect();
                let done = Done { text: summary(&plan, &report), code: done_code(&plan, &report), notes };
                (report.run, Ok(done))
            }
            Err(error) => {
                let mut state = run.state.clone();
                state.note_failure(self.clock.now());
                (state, Err(error))
            }
        };
        memory::keep(&self.store, &self.config.issuer, &run, state, self.clock.now())?;
        done
    }

    async fn reconcile_and_apply(&self, run: &Run) -> Result<(Plan, ApplyReport), Trouble> {
        let bar = Bar::new();
        let host = Host::new().timer(&self.clock).progress(&bar).cancellation(&self.cancellation);
        let source = self.config.source(run.now)?;
        let mut options = self.config.options.clone();
        options.extent = self.extent;
        let found = reconcile(&source, &*self.store, &*self.store, &options, run, &host).await;
        let found = found.map_err(common::advise)?;
        let mut how = ApplyOptions::default();
        how.issuer = Some(self.config.issuer.clone());
        let report = apply(&found.plan, &*self.store, &how, &host).await?;
        Ok((found.plan, report))
    }
}

/// A file that may change. Length and time are compared: to read it each second would cost more than to run now and then
/// for nothing.
struct Watch {
    file: PathBuf,
    known: Option<(SystemTime, u64)>,
    seen: Option<(SystemTime, u64)>,
}

#[derive(Clone, Copy, PartialEq)]
enum Look {
    Same,
    /// Other than at the last look: somebody may still be writing.
    Changing,
    Changed,
}

impl Watch {
    fn of(file: &Path) -> Self {
        let known = stamp(file);
        Self { file: file.to_owned(), known, seen: known }
    }

    fn look(&mut self) -> Look {
        let now = stamp(&self.file);
        let before = std::mem::replace(&mut self.seen, now);
        match (now == self.known, now == before) {
            (true, _) => Look::Same,
            (false, false) => Look::Changing,
            (false, true) => {
                self.known = now;
                Look::Changed
            }
        }
    }
}

fn stamp(file: &Path) -> Option<(SystemTime, u64)> {
    let found = std::fs::metadata(file).ok()?;
    Some((found.modified().ok()?, found.len()))
}
