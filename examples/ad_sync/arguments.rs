//! What stands on the command line.

use std::path::PathBuf;

use identity_sync::{Period, Timestamp};

use crate::common::{Trouble, time};

pub(crate) const USAGE: &str = "usage: ad_sync [--config F] [--apply] [--approve F]... [--and-rest] [--held-out F] [--keep] \
                     [--every PERIOD | --forever | --once] [--format text|json|html] [--out F] [--now T] \
                     [--accept-source] [--accept-time] [--rebuild-ledger]";

/// How the plan is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Format {
    #[default]
    Text,
    Json,
    Html,
}

/// How often it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Often {
    #[default]
    Once,
    /// As the configuration says.
    Forever,
    /// At least so often, whatever the configuration says.
    Every(Period),
}

#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is an argument of its own")]
pub(crate) struct Arguments {
    pub(crate) help: bool,
    pub(crate) config: Option<PathBuf>,
    pub(crate) apply: bool,
    pub(crate) approve: Vec<String>,
    pub(crate) and_rest: bool,
    pub(crate) held_out: Option<PathBuf>,
    pub(crate) keep: bool,
    pub(crate) often: Often,
    pub(crate) format: Format,
    pub(crate) out: Option<PathBuf>,
    pub(crate) now: Option<Timestamp>,
    pub(crate) accept_source: bool,
    pub(crate) accept_time: bool,
    pub(crate) rebuild_ledger: bool,
}

impl Arguments {
    pub(crate) fn read(words: Vec<String>) -> Result<Self, Trouble> {
        let (mut words, mut arguments) = (words.into_iter(), Self::default());
        let mut often = None;
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} has no value"));
            match word.as_str() {
                "--help" | "-h" => arguments.help = true,
                "--config" => arguments.config = Some(value()?.into()),
                "--apply" => arguments.apply = true,
                "--approve" => arguments.approve.push(value()?),
                "--and-rest" => arguments.and_rest = true,
                "--held-out" => arguments.held_out = Some(value()?.into()),
                "--keep" => arguments.keep = true,
                "--once" | "--forever" | "--every" => {
                    let meant = match word.as_str() {
                        "--once" => Often::Once,
                        "--forever" => Often::Forever,
                        _ => Often::Every(period(&value()?)?),
                    };
                    if often.replace(meant).is_some() {
                        return Err("--once, --forever and --every exclude each other".into());
                    }
                }
                "--format" => {
                    arguments.format = match value()?.as_str() {
                        "text" => Format::Text,
                        "json" => Format::Json,
                        "html" => Format::Html,
                        other => return Err(format!("there is no format {other}; {USAGE}").into()),
                    }
                }
                "--out" => arguments.out = Some(value()?.into()),
                "--now" => arguments.now = Some(time::parse(&value()?)?),
                "--accept-source" => arguments.accept_source = true,
                "--accept-time" => arguments.accept_time = true,
                "--rebuild-ledger" => arguments.rebuild_ledger = true,
                _ => return Err(format!("unknown argument {word}; {USAGE}").into()),
            }
        }
        arguments.often = often.unwrap_or_default();
        arguments.check()?;
        Ok(arguments)
    }

    /// Whoever gives an argument relies on it: one that would be overlooked is an error.
    fn check(&self) -> Result<(), Trouble> {
        let again = self.often != Often::Once;
        let contradictions = [
            (self.and_rest && self.approve.is_empty(), "--and-rest goes with --approve only"),
            (self.and_rest && !self.apply, "--and-rest goes with --apply only"),
            (
                self.rebuild_ledger && !self.apply,
                "--rebuild-ledger writes the ledger: it goes with --apply only",
            ),
            (
                again && self.rebuild_ledger,
                "a ledger is rebuilt once: --rebuild-ledger does not go with --every or --forever",
            ),
            (self.keep && self.apply, "--apply keeps what was seen anyway: --keep goes with a dry run"),
            (
                again && !self.approve.is_empty(),
                "an approval is good for one run: --approve does not go with --every or --forever",
            ),
            (
                again && (self.accept_source || self.accept_time),
                "what is accepted is accepted once: --accept-source and --accept-time do not go with --every or --forever",
            ),
            (
                again && self.out.is_none() && self.format == Format::Html,
                "pages that follow each other are no page: name a file with --out",
            ),
        ];
        match contradictions.into_iter().find(|(given, _)| *given) {
            Some((_, error)) => Err(error.into()),
            None => Ok(()),
        }
    }
}

/// `2h`, `30min`, `7days`.
fn period(text: &str) -> Result<Period, Trouble> {
    let period: Period = serde_json::from_value(text.into()).map_err(|_| format!("no period: {text}"))?;
    if period == Period::ZERO {
        return Err("a period of nothing would never rest".into());
    }
    Ok(period)
}
