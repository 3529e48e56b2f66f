//! The benchmark: pages → snapshots → `plan`, against the way one would write it first. How to run it, what is counted
//! and what came out: `benches/README.md`.

#![allow(
    clippy::print_stdout,
    reason = "a benchmark prints its figures, and its child processes answer on stdout"
)]

mod contender;
mod data;
mod harness;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use contender::Contender;
use data::{Case, Scale};
use harness::Settings;

fn main() -> ExitCode {
    match run(std::env::args().skip(1).collect()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            println!("\nFAILED: the contenders do not agree");
            ExitCode::FAILURE
        }
        Err(error) => {
            println!("\nFAILED: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all contenders agreed.
fn run(arguments: Vec<String>) -> Result<bool, Box<dyn Error>> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        // This program again, as one contender in a process of its own.
        ["--child", "generate", scale, folder] => {
            data::generate(Scale::named(scale).ok_or("no such scale")?, &PathBuf::from(folder))?;
            Ok(true)
        }
        ["--child", contender, case, folder, rest @ ..] => {
            let contender = Contender::named(contender).ok_or("no such contender")?;
            let case = Case::named(case).ok_or("no such case")?;
            contender::run(
                contender,
                case,
                &PathBuf::from(folder),
                rest.first().map(PathBuf::from).as_deref(),
            )?;
            Ok(true)
        }
        _ => {
            let settings = Settings::from_words(&words)?;
            let mut agreed = true;
            for &scale in &settings.scales {
                agreed &= harness::measure(scale, &settings)?;
            }
            Ok(agreed)
        }
    }
}
