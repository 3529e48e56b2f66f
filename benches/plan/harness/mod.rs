//! Runs the contenders in turn, each in a process of its own, compares their results and prints the figures.

mod child;
mod settings;
mod table;

use std::error::Error;
use std::path::{Path, PathBuf};

use crate::contender::Contender;
use crate::data::{Case, Scale};
use child::Outcome;
pub(crate) use settings::Settings;

/// Up to here the results are compared line by line, not by digest alone.
const LINE_BY_LINE: usize = 100_000;

/// A folder that goes when it is not needed any more.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // Left over at worst: it lies within cargo's target directory.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Measures all cases of a scale and answers whether the contenders agree in all of them.
pub(crate) fn measure(scale: Scale, settings: &Settings) -> Result<bool, Box<dyn Error>> {
    let name = format!("plan-bench-{}-{}", scale.name, std::process::id());
    let folder = Folder(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name));
    println!("\n{}: {} users, {} groups", scale.name, scale.users, scale.groups);
    for fact in child::generate(scale, &folder.0)? {
        println!("  {fact}");
    }
    let mut agreed = true;
    for case in Case::ALL {
        // The other two are a line beside it.
        let pairs = if case == Case::Change { settings.pairs } else { settings.pairs.min(1) };
        let rounds: Vec<Round> = (0..pairs)
            .map(|number| Round::run(scale, case, &folder.0, settings, number == 0))
            .collect::<Result<_, _>>()?;
        agreed &= rounds.iter().all(|round| round.agreed);
        table::print(case, &rounds);
    }
    Ok(agreed)
}

/// All contenders once, one behind the other.
struct Round {
    reading: Outcome,
    ours: Outcome,
    naive: Outcome,
    thrifty: Option<Outcome>,
    agreed: bool,
}

impl Round {
    fn run(
        scale: Scale,
        case: Case,
        folder: &Path,
        settings: &Settings,
        first: bool,
    ) -> Result<Self, Box<dyn Error>> {
        let by_line = first && scale.users <= LINE_BY_LINE;
        let run = |contender: Contender| {
            let lines = by_line.then(|| folder.join(format!("lines-{}", contender.name())));
            child::contend(contender, case, folder, lines.as_deref())
        };
        let reading = child::contend(Contender::Reading, case, folder, None)?;
        let (ours, naive) = (run(Contender::Ours)?, run(Contender::Naive)?);
        let thrifty = settings.thrifty.then(|| run(Contender::Thrifty)).transpose()?;
        let mut agreed = ours.digest == naive.digest;
        agreed &= thrifty.as_ref().is_none_or(|thrifty| thrifty.digest == ours.digest);
        if by_line {
            agreed &= same_lines(&folder.join("lines-ours"), &folder.join("lines-naive"))?;
        }
        Ok(Self { reading, ours, naive, thrifty, agreed })
    }
}

fn same_lines(ours: &Path, naive: &Path) -> std::io::Result<bool> {
    let (ours, naive) = (std::fs::read_to_string(ours)?, std::fs::read_to_string(naive)?);
    let sorted = |text: &'_ str| -> Vec<String> {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    let (ours, naive) = (sorted(&ours), sorted(&naive));
    if let Some((one, other)) = ours.iter().zip(&naive).find(|(one, other)| one != other) {
        println!("  the first difference:\n    ours  {one}\n    naive {other}");
    }
    Ok(ours == naive)
}
