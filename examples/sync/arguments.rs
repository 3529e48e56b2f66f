//! What stands on the command line.

use std::path::PathBuf;

use identity_sync::{Extent, Timestamp};

use crate::common::{Trouble, time};

pub(crate) const USAGE: &str = "usage: sync [--config F] [--now T] plan|apply|held|assign|unassign|assignments|explain|\
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

#[derive(Default)]
pub(crate) struct Arguments {
    pub(crate) config: Option<PathBuf>,
    pub(crate) now: Option<Timestamp>,
    pub(crate) verb: String,
    pub(crate) names: Vec<String>,
    pub(crate) extent: Option<Extent>,
    pub(crate) approve: Vec<String>,
    pub(crate) and_rest: bool,
    pub(crate) keep: bool,
    pub(crate) no_state: bool,
    pub(crate) and_resume: bool,
    pub(crate) json: bool,
    pub(crate) out: Option<String>,
    pub(crate) held_in: Option<String>,
    pub(crate) only: Option<Vec<(usize, usize)>>,
}

impl Arguments {
    pub(crate) fn read(words: Vec<String>) -> Result<Self, Trouble> {
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

    pub(crate) fn extent(&self) -> Extent {
        self.extent.unwrap_or_default()
    }

    /// The names of a verb that needs some.
    pub(crate) fn names(&self) -> Result<&[String], Trouble> {
        if self.names.is_empty() {
            return Err(format!("{} whom? a name is missing", self.verb).into());
        }
        Ok(&self.names)
    }

    pub(crate) fn name(&self) -> Result<&str, Trouble> {
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
