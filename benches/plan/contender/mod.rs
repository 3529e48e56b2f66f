//! The contenders. Each runs alone in a process of its own and tells its steps and its result on stdout.

mod lines;
mod meter;
mod naive;
mod ours;
mod reading;

use std::error::Error;
use std::path::Path;

use crate::data::{Case, Input};
use lines::Lines;
use meter::Meter;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contender {
    /// This crate.
    Ours,
    /// Hash maps of strings, and one walk per group with petgraph.
    Naive,
    /// The same, by somebody who borrows strings and keeps one group's set at a time.
    Thrifty,
    /// Nothing but streaming the input: what both pay for it.
    Reading,
}

impl Contender {
    pub(crate) const ALL: [Self; 4] = [Self::Ours, Self::Naive, Self::Thrifty, Self::Reading];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Naive => "naive",
            Self::Thrifty => "thrifty",
            Self::Reading => "reading",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|contender| contender.name() == name)
    }
}

/// Runs one contender. Figures are taken before a line of the result is written; `lines` also writes them to a file.
pub(crate) fn run(
    contender: Contender,
    case: Case,
    folder: &Path,
    lines: Option<&Path>,
) -> Result<(), Box<dyn Error>> {
    let (input, mut meter, mut lines) = (Input::new(folder, case), Meter::start()?, Lines::open(lines)?);
    match contender {
        Contender::Ours => ours::run(&input, case, &mut meter, &mut lines)?,
        Contender::Naive => naive::run(&input, case, naive::Sets::OwnedAndKept, &mut meter, &mut lines)?,
        Contender::Thrifty => {
            naive::run(&input, case, naive::Sets::BorrowedOneByOne, &mut meter, &mut lines)?
        }
        Contender::Reading => reading::run(&input, case, &mut meter)?,
    }
    lines.finish()
}
