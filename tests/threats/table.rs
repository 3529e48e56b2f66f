//! The table threat → defence → test of the security document is true.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const DOCUMENT: &str = include_str!("../../.github/SECURITY.md");

/// Each test's name with the threats that a comment in it names.
pub(crate) fn tests() -> BTreeMap<String, BTreeSet<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("src"), root.join("tests")];
    let mut tests: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                read(&std::fs::read_to_string(path).unwrap(), &mut tests);
            }
        }
    }
    tests
}

fn read(text: &str, tests: &mut BTreeMap<String, BTreeSet<String>>) {
    let (mut current, mut is_test) = (String::new(), false);
    for line in text.lines().map(str::trim) {
        is_test |= line == "#[test]" || line.starts_with("#[tokio::test");
        let head = line.strip_prefix("async ").unwrap_or(line);
        if let (Some(rest), true) = (head.strip_prefix("fn "), is_test) {
            current = rest.split('(').next().unwrap_or_default().to_owned();
            tests.entry(current.clone()).or_default();
            is_test = false;
        }
        let named = line.strip_prefix("// threats ").or(line.strip_prefix("// threat "));
        if let (Some(named), Some(test)) = (named, tests.get_mut(&current)) {
            let words = named.split([',', ' ', ':', '.', ';']);
            test.extend(words.filter(|word| word.starts_with('T')).map(str::to_owned));
        }
    }
}

fn number(threat: &str) -> &str {
    threat.split(' ').next().unwrap_or_default()
}

/// The rows of the table: threat, attacker, defence, tests.
fn rows() -> Vec<[&'static str; 4]> {
    let cells = |line: &'static str| -> Option<[&'static str; 4]> {
        let cells: Vec<&str> =
            line.strip_prefix("| T")?.trim_end_matches('|').split(" | ").map(str::trim).collect();
        cells.try_into().ok()
    };
    DOCUMENT
        .lines()
        .filter(|line| line.starts_with("| T") && !line.starts_with("| Threat"))
        .map(|line| cells(line).unwrap_or_else(|| panic!("not a row: {line}")))
        .collect()
}

#[test]
fn every_threat_has_a_row_and_every_test_that_the_row_names_exists() {
    let tests = tests();
    let rows = rows();
    let numbers: Vec<&str> = rows.iter().map(|[threat, ..]| number(threat)).collect();
    assert_eq!(numbers, (1..=28).map(|number| number.to_string()).collect::<Vec<_>>());
    for [threat, attacker, defence, named] in rows {
        assert!(!attacker.is_empty() && !defence.is_empty());
        let named: Vec<&str> = named.split(", ").map(|name| name.trim_matches('`')).collect();
        for name in &named {
            assert!(tests.contains_key(*name), "T{threat}: no test `{name}`");
        }
    }
}

#[test]
fn every_test_that_names_a_threat_stands_in_its_row() {
    let listed: BTreeMap<String, BTreeSet<&str>> = rows()
        .into_iter()
        .map(|[threat, _, _, named]| {
            (format!("T{}", number(threat)), named.split(", ").map(|name| name.trim_matches('`')).collect())
        })
        .collect();
    for (test, threats) in tests().iter().filter(|(_, threats)| !threats.is_empty()) {
        for threat in threats {
            let row = listed.get(threat).unwrap_or_else(|| panic!("{test}: no {threat}"));
            assert!(row.contains(test.as_str()), "`{test}` does not stand in the row of {threat}");
        }
    }
}
