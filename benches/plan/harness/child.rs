//! This program again, as a process of its own: its peak memory and CPU time are then one contender's alone.

use std::error::Error;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::contender::Contender;
use crate::data::{Case, Scale};

/// What a contender said.
pub(crate) struct Outcome {
    pub(crate) steps: Vec<Step>,
    pub(crate) digest: String,
}

#[derive(Clone)]
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) cpu_seconds: f64,
    /// Of the process up to the end of this step.
    pub(crate) peak_mib: Option<f64>,
}

impl Outcome {
    pub(crate) fn cpu_seconds(&self) -> f64 {
        self.steps.iter().map(|step| step.cpu_seconds).sum()
    }

    pub(crate) fn peak_mib(&self) -> Option<f64> {
        self.steps.last()?.peak_mib
    }
}

/// Writes the files of a scale; what it tells about them.
pub(crate) fn generate(scale: Scale, folder: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let said = run(["generate".as_ref(), scale.name.as_ref(), folder])?;
    Ok(said.lines().filter_map(|line| line.strip_prefix("data\t")).map(str::to_owned).collect())
}

pub(crate) fn contend(
    contender: Contender,
    case: Case,
    folder: &Path,
    lines: Option<&Path>,
) -> Result<Outcome, Box<dyn Error>> {
    let words: [&Path; 3] = [contender.name().as_ref(), case.name().as_ref(), folder];
    let said = run(words.into_iter().chain(lines))?;
    let mut outcome = Outcome { steps: Vec::new(), digest: String::new() };
    for line in said.lines() {
        match *line.split('\t').collect::<Vec<_>>() {
            ["step", name, nanoseconds, peak_kib] => outcome.steps.push(Step {
                name: name.to_owned(),
                cpu_seconds: nanoseconds.parse::<f64>()? / 1e9,
                peak_mib: peak_kib.parse::<f64>().ok().map(|kib| kib / 1024.0),
            }),
            ["digest", digest] => outcome.digest = digest.to_owned(),
            _ => {}
        }
    }
    if outcome.digest.is_empty() {
        Err(format!("no result from {}", contender.name()).into())
    } else {
        Ok(outcome)
    }
}

fn run<'p>(words: impl IntoIterator<Item = &'p Path>) -> Result<String, Box<dyn Error>> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--child").args(words).stderr(Stdio::inherit());
    let output = command.output()?;
    let said = String::from_utf8(output.stdout)?;
    if output.status.success() { Ok(said) } else { Err(format!("{command:?} failed:\n{said}").into()) }
}
