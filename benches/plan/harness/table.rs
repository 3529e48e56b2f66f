//! The figures of a case.

use super::Round;
use super::child::Outcome;
use crate::data::Case;

pub(crate) fn print(case: Case, rounds: &[Round]) {
    let title = match case {
        Case::Change => "change: about 1 % differs",
        Case::First => "first: the store is empty",
        Case::Same => "same: nothing differs",
    };
    let Some(round) = rounds.first() else { return };
    println!("\n  {title}; {} pair(s) in turn", rounds.len());
    println!("    {:<36} {:>12} {:>16}", "step", "CPU seconds", "peak MiB by then");
    steps("reading alone", rounds, |round| Some(&round.reading));
    steps("ours", rounds, |round| Some(&round.ours));
    steps("naive", rounds, |round| Some(&round.naive));
    steps("thrifty", rounds, |round| round.thrifty.as_ref());
    println!("    {:<36} {:>25}", "ratio", "least – median – most");
    let last = |outcome: &Outcome| outcome.steps.last().map_or(0.0, |step| step.cpu_seconds);
    let net = |round: &Round, outcome: &Outcome| outcome.cpu_seconds() - round.reading.cpu_seconds();
    ratio("CPU, naive / ours", rounds, |r| Some(r.naive.cpu_seconds() / r.ours.cpu_seconds()));
    ratio("CPU without reading, naive / ours", rounds, |r| Some(net(r, &r.naive) / net(r, &r.ours)));
    ratio("CPU, naive's work / our plan", rounds, |r| Some(last(&r.naive) / last(&r.ours)));
    ratio("peak memory, naive / ours", rounds, |r| Some(r.naive.peak_mib()? / r.ours.peak_mib()?));
    if round.thrifty.is_some() {
        ratio("CPU, thrifty / ours", rounds, |r| {
            Some(r.thrifty.as_ref()?.cpu_seconds() / r.ours.cpu_seconds())
        });
        ratio("peak memory, thrifty / ours", rounds, |r| {
            Some(r.thrifty.as_ref()?.peak_mib()? / r.ours.peak_mib()?)
        });
    }
    let agreed = rounds.iter().all(|round| round.agreed);
    println!("    same result: {} ({})", if agreed { "yes" } else { "NO" }, round.ours.digest);
}

/// Each step of a contender: its median CPU time, the most memory.
fn steps<'r>(contender: &str, rounds: &'r [Round], outcome: impl Fn(&'r Round) -> Option<&'r Outcome>) {
    let outcomes: Vec<&Outcome> = rounds.iter().filter_map(outcome).collect();
    let Some(first) = outcomes.first() else { return };
    for (number, step) in first.steps.iter().enumerate() {
        let same = || outcomes.iter().filter_map(|outcome| outcome.steps.get(number));
        let cpu = median(same().map(|step| step.cpu_seconds).collect());
        let peak = same().filter_map(|step| step.peak_mib).reduce(f64::max);
        row(&format!("{contender}, {}", step.name), cpu, peak);
    }
    let peak = outcomes.iter().filter_map(|outcome| outcome.peak_mib()).reduce(f64::max);
    row(&format!("{contender}, in all"), median(outcomes.iter().map(|o| o.cpu_seconds()).collect()), peak);
}

fn row(name: &str, cpu: f64, peak: Option<f64>) {
    let peak = peak.map_or_else(|| "unknown".to_owned(), |mib| format!("{mib:.1}"));
    println!("    {name:<36} {cpu:>12.4} {peak:>16}");
}

/// Pair by pair, so that a disturbance of the machine spoils one pair and not the comparison.
fn ratio(name: &str, rounds: &[Round], of: impl Fn(&Round) -> Option<f64>) {
    let ratios: Vec<f64> = rounds.iter().filter_map(of).collect();
    let least = ratios.iter().copied().reduce(f64::min);
    let most = ratios.iter().copied().reduce(f64::max);
    match (least, most) {
        (Some(least), Some(most)) => {
            let figures = format!("{least:.1} – {:.1} – {most:.1}", median(ratios));
            println!("    {name:<36} {figures:>25}");
        }
        _ => println!("    {name:<36} {:>25}", "unknown"),
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
