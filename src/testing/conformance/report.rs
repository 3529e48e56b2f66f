//! What a suite found, for people and for tests.

use std::fmt;

use crate::escape::Escaped;

/// What a conformance suite found: one verdict for each of its checks, in the order in which they ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    subject: &'static str,
    checks: Vec<Check>,
}

/// A check and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Check {
    /// What is demanded, as a sentence: `a_stale_version_is_refused_and_nothing_is_written`.
    pub name: &'static str,
    /// Whether the adapter does it.
    pub verdict: Verdict,
}

/// Whether an adapter does what a check demands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// It does.
    Passed,
    /// It does not.
    Failed(Failure),
    /// Nobody can tell, for this reason: the adapter declares that it cannot do such a thing, or the builder cannot
    /// make what the check needs.
    NotApplicable(String),
}

/// How an adapter differs from its contract.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// What the contract demands.
    pub expected: String,
    /// What the adapter did.
    pub found: String,
    /// What it would cost in production, with the rule that is at risk.
    pub risk: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { expected, found, risk } = self;
        write!(
            f,
            "expected: {}\n    found: {}\n    at risk: {}",
            Escaped(expected),
            Escaped(found),
            Escaped(risk)
        )
    }
}

impl Report {
    pub(super) fn new(subject: &'static str) -> Self {
        Self { subject, checks: Vec::new() }
    }

    pub(super) fn add(&mut self, name: &'static str, verdict: Verdict) {
        self.checks.push(Check { name, verdict });
    }

    /// All checks.
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// The checks that failed, each with the difference.
    pub fn failures(&self) -> impl Iterator<Item = (&'static str, &Failure)> {
        self.checks.iter().filter_map(|check| match &check.verdict {
            Verdict::Failed(failure) => Some((check.name, failure)),
            _ => None,
        })
    }

    /// The checks about which nothing was learned, each with the reason. Look at them once: a builder that can make
    /// more leaves fewer.
    pub fn not_applicable(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.checks.iter().filter_map(|check| match &check.verdict {
            Verdict::NotApplicable(reason) => Some((check.name, reason.as_str())),
            _ => None,
        })
    }

    /// Number of checks that passed.
    pub fn passed(&self) -> usize {
        self.checks.iter().filter(|check| check.verdict == Verdict::Passed).count()
    }

    /// Whether no check failed and at least one passed.
    pub fn is_conforming(&self) -> bool {
        self.failures().next().is_none() && self.passed() > 0
    }

    /// For tests: does nothing where the adapter conforms.
    ///
    /// # Panics
    ///
    /// With the whole report, where [`is_conforming`](Self::is_conforming) is false.
    #[track_caller]
    pub fn assert_conforming(&self) {
        #[expect(clippy::panic, reason = "this is how a test fails")]
        if !self.is_conforming() {
            panic!("{self}");
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (failed, open) = (self.failures().count(), self.not_applicable().count());
        let passed = self.passed();
        writeln!(f, "{}: {passed} checks passed, {failed} failed, {open} not applicable", self.subject)?;
        for (name, failure) in self.failures() {
            writeln!(f, "  FAILED {name}\n    {failure}")?;
        }
        for (name, reason) in self.not_applicable() {
            writeln!(f, "  not applicable: {name}: {}", Escaped(reason))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_conforming_only_if_something_was_checked_and_nothing_failed() {
        let mut report = Report::new("a store");
        assert!(!report.is_conforming());
        report.add("nobody_can_tell", Verdict::NotApplicable("no reason".into()));
        assert!(!report.is_conforming());
        report.add("all_is_well", Verdict::Passed);
        report.assert_conforming();
        let failure = Failure { expected: "1".into(), found: "2\n3".into(), risk: "4".into() };
        report.add("one_is_one", Verdict::Failed(failure));
        assert!(!report.is_conforming());
        let shown = "a store: 1 checks passed, 1 failed, 1 not applicable\n  FAILED one_is_one\n    expected: 1\n    \
                     found: 2\\n3\n    at risk: 4\n  not applicable: nobody_can_tell: no reason\n";
        assert_eq!(report.to_string(), shown);
    }
}
