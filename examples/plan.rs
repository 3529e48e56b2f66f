//! Plans from JSON files: for scripts, for other languages, for comparisons. Nothing is written anywhere but the plan.
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
//! | `--now N` | the time of the run, seconds since 1970; it is written into the plan. Default 0 |
//! | `--format text\|json` | default `json` |
//! | `--out F` | where the plan goes; default the standard output |
//!
//! Exit code 0: nothing to do. 2: there is something to do, and nothing is held. 3: a limit tripped, so that something is
//! held. 1: there is no plan; one line on the error stream says why (as JSON, where the format is JSON).
//!
//! The format of all files is described in `examples/README.md`.

#![allow(clippy::print_stdout, reason = "a program for a terminal")]

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::process::ExitCode;

use identity_sync::{
    Assignments, Escaped, Options, Plan, PlanError, Run, SourceSnapshot, StoreSnapshot, Timestamp, plan,
};
use serde::de::DeserializeOwned;

const USAGE: &str = "usage: plan --source F --store F --assignments F [--options F] [--now N] \
                     [--format text|json] [--out F]; `-` is the standard input";

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
    out: Option<String>,
    now: i64,
    format: Format,
}

fn main() -> ExitCode {
    let mut arguments = Arguments::default();
    let outcome = arguments
        .read(std::env::args().skip(1))
        .and_then(|()| make_plan(&arguments))
        .and_then(|plan| write_plan(&plan, &arguments).map(|()| plan));
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
    fn read(&mut self, mut words: impl Iterator<Item = String>) -> Result<(), Refusal> {
        let mut outcome = Ok(());
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
        let files = [&self.source, &self.store, &self.assignments, &self.options];
        match files.iter().filter(|file| file.as_deref() == Some("-")).count() {
            0 | 1 => Ok(()),
            _ => Err(Refusal::new("Usage", format!("more than one file is `-`; {USAGE}"))),
        }
    }
}

fn make_plan(arguments: &Arguments) -> Result<Plan, Refusal> {
    arguments.check_input()?;
    let source: SourceSnapshot = read_json("source", arguments.source.as_deref())?;
    let store: StoreSnapshot = read_json("store", arguments.store.as_deref())?;
    let assignments: Assignments = read_json("assignments", arguments.assignments.as_deref())?;
    let options: Options = match arguments.options.as_deref() {
        None => Options::default(),
        Some(file) if file.ends_with(".toml") => {
            let text = read_text("options", file)?;
            toml::from_str(&text).map_err(|error| invalid("options", file, error.message()))?
        }
        file => read_json("options", file)?,
    };
    let run = Run::at(Timestamp(arguments.now));
    match plan(&source, &store, &assignments, &options, &run) {
        Ok(found) => Ok(found.plan),
        Err(error) => Err(Refusal::new(name_of(&error), error.to_string())),
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

fn write_plan(plan: &Plan, arguments: &Arguments) -> Result<(), Refusal> {
    let text = match arguments.format {
        Format::Text => plan.to_string(),
        Format::Json => match serde_json::to_string_pretty(plan) {
            Ok(text) => text + "\n",
            Err(error) => return Err(Refusal::new("Unwritable", error.to_string())),
        },
    };
    let written = match arguments.out.as_deref() {
        None => io::stdout().write_all(text.as_bytes()),
        Some(file) => fs::write(file, text),
    };
    written.map_err(|error| Refusal::new("Unwritable", error.to_string()))
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
        PlanError::LimitExceeded(_) => "LimitExceeded",
        _ => "Refused",
    }
}
