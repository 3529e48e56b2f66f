//! Every check of every suite has an adapter that gets it wrong.

use std::collections::BTreeSet;

use identity_sync::testing::conformance::Report;

use super::{assignments, source_cases, store_cases};

/// Checks for which no adapter can be had wrong: suite, check, and why.
const NEVER_WRONG: &[(&str, &str, &str)] = &[];

#[test]
fn every_check_has_an_adapter_that_gets_it_wrong() {
    let suites: [(&str, Report, &[&str]); 3] = [
        ("store", store_cases::right(), store_cases::EXPECTED),
        ("source", source_cases::right(), source_cases::EXPECTED),
        ("assignments", assignments::right(), assignments::EXPECTED),
    ];
    for (suite, report, expected) in suites {
        let checks: BTreeSet<&str> = report.checks().iter().map(|check| check.name).collect();
        assert_eq!(checks.len(), report.checks().len(), "{suite}: two checks have one name");
        let expected: BTreeSet<&str> = expected.iter().copied().collect();
        let of_suite = NEVER_WRONG.iter().filter(|(of, ..)| *of == suite);
        let never: BTreeSet<&str> = of_suite.map(|(_, check, _)| *check).collect();
        let found_out: BTreeSet<&str> = expected.union(&never).copied().collect();
        let without: Vec<_> = checks.difference(&found_out).collect();
        assert!(without.is_empty(), "{suite}: no adapter is written that these checks find out: {without:?}");
        let unknown: Vec<_> = found_out.difference(&checks).collect();
        assert!(unknown.is_empty(), "{suite}: there are no such checks: {unknown:?}");
        let both: Vec<_> = expected.intersection(&never).collect();
        assert!(both.is_empty(), "{suite}: these are wrong in some adapter after all: {both:?}");
    }
    let silent: Vec<_> = NEVER_WRONG.iter().filter(|(.., reason)| reason.is_empty()).collect();
    assert!(silent.is_empty(), "why can no adapter be wrong here? {silent:?}");
}
