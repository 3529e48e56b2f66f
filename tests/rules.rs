//! The table rule → module → test in the crate documentation is true.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has found something")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const TABLE: &str = include_str!("../src/rules.md");

/// Rules that this version has; what it leaves for later is listed in the crate documentation.
const RULES: &str = "E1 E2 E3 E4 E5 E6 E7 E8 E9 E10 E11 E12 M1 M2 M3 M4 M5 M6 M7 M8 A1 A2 A3 A4 A5 A6 A7 C1 C2 C3 C4 C5 \
    C6 C7 D1 D2 D3 D4 D5 D6 D7 J1 J2 J3 J4 P1 P2 P3 P4 P5 P6 P7 P8 X1 X2 X3 X4 X5 X6 I3 S1 S2 S3";

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
}

/// Each test's name with the rules that the comment lines in or just before it name.
fn tests() -> BTreeMap<String, BTreeSet<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    rust_files(&root.join("src"), &mut files);
    rust_files(&root.join("tests"), &mut files);
    let mut tests: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let (mut current, mut is_test, mut naming) = (String::new(), false, false);
        for line in text.lines().map(str::trim) {
            is_test |= line == "#[test]";
            let name = line.strip_prefix("fn ").and_then(|rest| rest.split('(').next());
            if let (Some(name), true) = (name, is_test) {
                current = name.to_owned();
                tests.entry(current.clone()).or_default();
                (is_test, naming) = (false, false);
            }
            let comment = line.strip_prefix("// ").unwrap_or_default();
            let first = comment.strip_prefix("rules ").or(comment.strip_prefix("rule "));
            naming = first.is_some() || (naming && !comment.is_empty());
            if naming && !current.is_empty() {
                let named = first.unwrap_or(comment).split([',', ' ', ':', '.', ';', ')', '(']);
                tests.entry(current.clone()).or_default().extend(named.map(str::to_owned));
            }
        }
    }
    tests
}

#[test]
fn the_core_has_no_crate_for_input_or_time_and_features_only_add() {
    // rule S3
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest: toml::Table = std::fs::read_to_string(root.join("Cargo.toml")).unwrap().parse().unwrap();
    let always = manifest["dependencies"]
        .as_table()
        .unwrap()
        .iter()
        .filter(|(_, how)| !how.get("optional").and_then(toml::Value::as_bool).unwrap_or_default());
    let always: BTreeSet<&str> = always.map(|(name, _)| name.as_str()).collect();
    let pure = "async-trait caseless hashbrown humantime indexmap petgraph serde serde_json siphasher thiserror \
        unicode-normalization";
    assert_eq!(always, pure.split_whitespace().collect());
    assert_eq!(
        manifest["features"]["default"].as_array().map(Vec::len),
        Some(0),
        "no feature is on by itself"
    );
    let mut files = Vec::new();
    rust_files(&root.join("src"), &mut files);
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(!text.contains("cfg(not(feature"), "{}: a feature takes something away", file.display());
        if file.components().any(|part| part.as_os_str() == "adapter") {
            continue;
        }
        for outside in ["std::fs", "std::net", "std::process", "std::thread", "SystemTime", "Instant::now"] {
            assert!(!text.contains(outside), "{}: {outside}", file.display());
        }
    }
}

#[test]
fn every_rule_has_a_module_and_a_test_that_names_it() {
    let tests = tests();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut listed = Vec::new();
    for row in TABLE.lines().skip(2) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [rule, _, module, test] = cells.as_slice() else { panic!("not a row: {row}") };
        let (module, test) = (module.trim_matches('`'), test.trim_matches('`'));
        let exists =
            source.join(format!("{module}.rs")).exists() || source.join(module).join("mod.rs").exists();
        assert!(exists, "{rule}: no module {module}");
        let named = tests.get(test).unwrap_or_else(|| panic!("{rule}: no test `{test}`"));
        assert!(named.contains(*rule), "{rule}: test `{test}` names {named:?}");
        listed.push(*rule);
    }
    assert_eq!(listed, RULES.split_whitespace().collect::<Vec<_>>());
}
