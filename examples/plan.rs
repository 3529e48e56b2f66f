//! Plans from JSON files: for scripts, for other languages, for comparisons. Nothing is written but the plan and, where
//! asked for, what the next run is to remember and what is held.
//!
//! ```text
//! cargo run --example plan -- --source examples/data/source.json --store examples/data/store.json \
//!     --assignments examples/data/assignments.json --options examples/data/options.json --format text
//! ```
//!
//! | Argument | Meaning |
//! |---|---|
//! | `--source F` | what the directory holds; `-` is the standard input, for one of the files |
//! | `--store F` | what the store holds |
//! | `--assignments F` | who was given access |
//! | `--options F` | policies and limits; TOML where the name ends in `.toml`, else JSON. Default: all defaults |
//! | `--preset NAME` | where the options start: `aws_ad_sync` (the default), `aws_configurable_sync`, `strict_offboarding`, `mirror`, `additive`; what the options file says stands in place of it |
//! | `--now N` | the time of the run, seconds since 1970; it is written into the plan. Default 0 |
//! | `--state F` | what earlier runs left (JSON); a file that is not there is a first run |
//! | `--state-out F` | where what was seen goes, for the next run's `--state`; may be the same file |
//! | `--approve F` | a file of held operations that a person has cut down; as often as there are some |
//! | `--held-out F` | where the held operations go, if anything is held; otherwise the file is left alone |
//! | `--format text\|json` | default `json` |
//! | `--out F` | where the plan goes; default the standard output |
//!
//! Exit code 0: nothing to do. 2: there is something to do, and nothing is held. 3: a limit tripped, so that something is
//! held. 1: there is no plan; one line on the error stream says why (as JSON, where the format is JSON).
//!
//! What `--state-out` writes is the state after planning, as if nothing was applied. Whoever carries out a plan by other means
//! has no budget of the limits' window remembered, no use of an approval, and no end of a run; the library's `apply`
//! answers a state with these.
//!
//! The format of all files is described in `examples/README.md`.

#![allow(clippy::print_stdout, reason = "a program for a terminal")]

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::process::ExitCode;

use identity_sync::{
    Assignments, Escaped, HeldSet, Options, PlanError, Preset, Reconciliation, Run, RunState, SourceSnapshot,
    StoreSnapshot, Timestamp, plan,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

#[path = "common/overrides.rs"]
mod overrides;

const USAGE: &str = "usage: plan --source F --store F --assignments F [--options F] [--preset NAME] [--now N] \
                     [--state F] [--state-out F] [--approve F]... [--held-out F] [--format text|json] [--out F]; \
                     `-` is the standard input";

/// Why there is no plan: a name for programs, and a message for people.
struct Refusal {
    error: &'static str,
    message: String,
}

impl Refusal {
    fn new(error: &'static str, message: impl Into<String>) -> Self {
        Self { error, message: message.into() }
    }
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Format {
    #[default]
    Json,
    Text,
}

#[derive(Default)]
struct Arguments {
    source: Option<String>,
    store: Option<String>,
    assignments: Option<String>,
    options: Option<String>,
    preset: Option<Preset>,
    state: Option<String>,
    state_out: Option<String>,
    approve: Vec<String>,
    held_out: Option<String>,
    out: Option<String>,
    now: i64,
    format: Format,
}

fn main() -> ExitCode {
    let mut arguments = Arguments::default();
    let outcome = arguments
        .read(std::env::args_os().skip(1))
        .and_then(|()| make_plan(&arguments))
        .and_then(|found| write_all(&found, &arguments).map(|()| found.plan));
    match outcome {
        Ok(plan) if !plan.tripped().is_empty() || plan.held().len() > 0 => ExitCode::from(3),
        Ok(plan) if !plan.is_empty() => ExitCode::from(2),
        Ok(_) => ExitCode::SUCCESS,
        Err(Refusal { error, message }) => {
            match arguments.format {
                Format::Json => eprintln!("{}", serde_json::json!({ "error": error, "message": message })),
                Format::Text => eprintln!("plan: {}", Escaped(&message)),
            }
            ExitCode::from(1)
        }
    }
}

impl Arguments {
    /// Goes on after a mistake, so that the format of the error message is known; answers the first mistake.
    fn read(&mut self, words: impl Iterator<Item = OsString>) -> Result<(), Refusal> {
        let mut outcome = Ok(());
        // What is no UTF-8 is shown with replacements, and is no argument or file that there is.
        let mut words = words.map(|word| word.to_string_lossy().into_owned());
        while let Some(word) = words.next() {
            let read = match words.next() {
                Some(value) => self.set(&word, value),
                None => Err(Refusal::new("Usage", format!("{word} has no value; {USAGE}"))),
            };
            outcome = outcome.and(read);
        }
        outcome
    }

    fn set(&mut self, word: &str, value: String) -> Result<(), Refusal> {
        let wrong = |what: &str| Err(Refusal::new("Usage", format!("{what}; {USAGE}")));
        let place = match word {
            "--source" => &mut self.source,
            "--store" => &mut self.store,
            "--assignments" => &mut self.assignments,
            "--options" => &mut self.options,
            "--state" => &mut self.state,
            "--state-out" => &mut self.state_out,
            "--held-out" => &mut self.held_out,
            "--approve" => {
                self.approve.push(value);
                return Ok(());
            }
            "--preset" => {
                let Ok(preset) = overrides::preset(&value) else {
                    return wrong(&format!("there is no preset {value}"));
                };
                self.preset = Some(preset);
                return Ok(());
            }
            "--out" => &mut self.out,
            "--format" => {
                self.format = match value.as_str() {
                    "json" => Format::Json,
                    "text" => Format::Text,
                    _ => return wrong("--format is neither text nor json"),
                };
                return Ok(());
            }
            "--now" => {
                let Ok(now) = value.parse() else { return wrong("--now is no number") };
                self.now = now;
                return Ok(());
            }
            _ => return wrong(&format!("unknown argument {word}")),
        };
        if place.replace(value).is_some() { wrong(&format!("{word} is there twice")) } else { Ok(()) }
    }

    fn check_input(&self) -> Result<(), Refusal> {
        let files = [&self.source, &self.store, &self.assignments, &self.options, &self.state];
        let files = files.into_iter().flatten().chain(&self.approve);
        match files.filter(|file| *file == "-").count() {
            0 | 1 => Ok(()),
            _ => Err(Refusal::new("Usage", format!("more than one file is `-`; {USAGE}"))),
        }
    }
}

fn make_plan(arguments: &Arguments) -> Result<Reconciliation, Refusal> {
    arguments.check_input()?;
    let source: SourceSnapshot = read_json("source", arguments.source.as_deref())?;
    let store: StoreSnapshot = read_json("store", arguments.store.as_deref())?;
    let assignments: Assignments = read_json("assignments", arguments.assignments.as_deref())?;
    let options = read_options(arguments)?;
    let mut run = Run::at(Timestamp(arguments.now));
    if let Some(file) = arguments.state.as_deref().filter(|file| !is_missing(file)) {
        run.state = read_json::<RunState>("state", Some(file))?;
    }
    for file in &arguments.approve {
        run = run.approving(read_json::<HeldSet>("approve", Some(file))?.approve());
    }
    plan(&source, &store, &assignments, &options, &run)
        .map_err(|error| Refusal::new(name_of(&error), error.to_string()))
}

/// Whether a state was never written: a first run. Any other trouble with the file is an error.
fn is_missing(file: &str) -> bool {
    file != "-" && matches!(fs::metadata(file), Err(error) if error.kind() == io::ErrorKind::NotFound)
}

/// The file is read by itself first: its mistakes are told with their line.
fn read_options(arguments: &Arguments) -> Result<Options, Refusal> {
    let Some(file) = arguments.options.as_deref() else {
        return Ok(arguments.preset.unwrap_or_default().options());
    };
    let text = read_text("options", file)?;
    let (read, named) = if file.ends_with(".toml") {
        let wrong = |error| invalid("options", file, &overrides::one_line(&text, &error));
        (toml::from_str::<Options>(&text).map_err(wrong)?, toml::from_str(&text).map_err(wrong)?)
    } else {
        let wrong = |error: serde_json::Error| invalid("options", file, &error.to_string());
        (serde_json::from_str::<Options>(&text).map_err(wrong)?, serde_json::from_str(&text).map_err(wrong)?)
    };
    match arguments.preset {
        None => Ok(read),
        Some(preset) => overrides::over_preset(preset, named, read)
            .map_err(|error| invalid("options", file, &error.to_string())),
    }
}

fn read_json<T: DeserializeOwned>(what: &str, file: Option<&str>) -> Result<T, Refusal> {
    let file = file.ok_or_else(|| Refusal::new("Usage", format!("--{what} is missing; {USAGE}")))?;
    let text = read_text(what, file)?;
    serde_json::from_str(&text).map_err(|error| invalid(what, file, &error.to_string()))
}

fn read_text(what: &str, file: &str) -> Result<String, Refusal> {
    let mut text = String::new();
    let read = match file {
        "-" => io::stdin().read_to_string(&mut text).map(|_| text),
        _ => fs::read_to_string(file),
    };
    read.map_err(|error| Refusal::new("Unreadable", format!("{what} {file}: {error}")))
}

fn invalid(what: &str, file: &str, error: &str) -> Refusal {
    Refusal::new("Invalid", format!("{what} {file}: {error}"))
}

/// The plan comes last: who sees it has the other files.
fn write_all(found: &Reconciliation, arguments: &Arguments) -> Result<(), Refusal> {
    if let Some(file) = &arguments.state_out {
        write_to(Some(file), &json(&found.run)?)?;
    }
    if let Some(file) = arguments.held_out.as_ref().filter(|_| found.plan.held().len() > 0) {
        write_to(Some(file), &json(&found.plan.held_set())?)?;
    }
    let text = match arguments.format {
        Format::Text => found.plan.to_string(),
        Format::Json => json(&found.plan)?,
    };
    write_to(arguments.out.as_ref(), &text)
}

fn json(document: &impl Serialize) -> Result<String, Refusal> {
    let text = serde_json::to_string_pretty(document);
    text.map(|text| text + "\n").map_err(|error| Refusal::new("Unwritable", error.to_string()))
}

fn write_to(file: Option<&String>, text: &str) -> Result<(), Refusal> {
    let written = match file {
        None => io::stdout().write_all(text.as_bytes()),
        Some(file) => fs::write(file, text),
    };
    written.map_err(|error| match file {
        None => Refusal::new("Unwritable", error.to_string()),
        Some(file) => Refusal::new("Unwritable", format!("{file}: {error}")),
    })
}

/// The names that `examples/README.md` lists.
fn name_of(error: &PlanError) -> &'static str {
    match error {
        PlanError::PartialStore { .. } => "PartialStore",
        PlanError::EmptySource { .. } => "EmptySource",
        PlanError::EmptyAssignments => "EmptyAssignments",
        PlanError::CannotDeactivate { .. } => "CannotDeactivate",
        PlanError::CannotKeep { .. } => "CannotKeep",
        PlanError::ForeignState { .. } => "ForeignState",
        PlanError::OtherSource { .. } => "OtherSource",
        PlanError::OlderSource { .. } => "OlderSource",
        PlanError::ForeignApproval => "ForeignApproval",
        PlanError::CannotAdopt => "CannotAdopt",
        PlanError::Unmapped { .. } => "Unmapped",
        PlanError::NoPlace { .. } => "NoPlace",
        PlanError::LimitExceeded(_) => "LimitExceeded",
        _ => "Refused",
    }
}
