//! A world of which every text ends with one that somebody chose who means ill: what is shown cannot be forged (rule P8).

use arbitrary::{Arbitrary, Unstructured};
use identity_sync::{Escaped, Evidence, Plan, Run, SourceAnchor, Timestamp, plan};

use super::build::Builder;
use super::shown::{FORGED, assert_plain, assert_shown};
use super::world::World;

#[derive(Arbitrary, Debug)]
struct Case<'a> {
    text: &'a str,
    world: World<'a>,
}

/// How a line of a plan may begin.
const BEGINNINGS: [&str; 13] = [
    "- ",
    "~ ",
    "+ ",
    "    ",
    "total: ",
    "limit ",
    "held by limit",
    "impact",
    "kept: ",
    "pending: ",
    "removal",
    "note: ",
    "nothing to do",
];

pub fn run(bytes: &[u8]) {
    let Ok(case) = Case::arbitrary(&mut Unstructured::new(bytes)) else { return };
    if bytes.windows(6).any(|text| text == b"FORGED") {
        return; // a text may begin so of itself
    }
    assert_reversible(case.text);
    let ending = format!("{}{FORGED}", case.text);
    let builder = Builder { ending: &ending, reversed: false };
    let built = builder.build(&case.world);
    let run = Run::at(Timestamp(1_000_000));
    let found = match plan(&built.source, &built.store, &built.assignments, &built.options, &run) {
        Ok(found) => found,
        Err(error) => return assert_shown(&error),
    };
    check_plan(&found.plan);
    assert_plain(&format!("{:?}", found.run));
    for number in 0..12 {
        check_evidence(&found.evidence, &builder.text(format!("a{number}")).into());
    }
    for user in &case.world.users {
        check_evidence(&found.evidence, &builder.text(user.anchor.text()).into());
    }
    let later = Run::new(found.run, Timestamp(2_000_000)).approving(found.plan.held_set().approve());
    match plan(&built.source, &built.store, &built.assignments, &built.options, &later) {
        Ok(found) => check_plan(&found.plan),
        Err(error) => assert_shown(&error),
    }
}

fn check_plan(plan: &Plan) {
    assert_shown(plan);
    for line in plan.to_string().lines() {
        assert!(BEGINNINGS.iter().any(|begins| line.starts_with(begins)), "{line:?}");
    }
    assert_plain(&format!("{}\n{}", plan.impact(), plan.held_impact()));
    let held = plan.held_set();
    assert_shown(&held);
    assert_plain(&format!("{:?}", held.approve()));
    plan.diagnostics().iter().for_each(assert_shown);
    plan.tripped().iter().for_each(assert_shown);
    for operation in plan.operations().chain(plan.held().map(|held| held.operation)) {
        assert_shown(&operation);
        assert_plain(&format!("{:?}", operation.action()));
    }
}

fn check_evidence(evidence: &Evidence, anchor: &SourceAnchor) {
    assert_shown(anchor);
    match evidence.explain(anchor) {
        Ok(why) => assert_shown(&why),
        Err(error) => assert_shown(&error),
    }
    if let Ok(document) = evidence.dot(anchor) {
        assert_plain(&document);
        check_dot(&document);
    }
}

/// Every line is an edge or a filled node, between whole quotes.
fn check_dot(document: &str) {
    fn quoted(text: &str) -> Option<&str> {
        let mut rest = text.strip_prefix('"')?.chars();
        while let Some(c) = rest.next() {
            match c {
                '\\' => drop(rest.next()?),
                '"' => return Some(rest.as_str()),
                _ => {}
            }
        }
        None
    }
    let inner = document.strip_prefix("digraph membership {\n").and_then(|rest| rest.strip_suffix("\n}\n"));
    let Some(inner) = inner else { panic!("no document: {document:?}") };
    for line in inner.lines().filter(|line| !line.is_empty()) {
        let rest = line.strip_prefix("  ").and_then(quoted);
        let edge = rest.and_then(|rest| rest.strip_prefix(" -> ")).and_then(quoted);
        assert!(edge == Some(";") || rest == Some(" [style=filled];"), "{line:?}");
    }
}

/// Two texts are never shown alike: from what is shown the text can be had.
fn assert_reversible(text: &str) {
    let shown = Escaped(text).to_string();
    assert_plain(&shown);
    assert!(!shown.contains('\n'), "{shown:?}");
    let mut read = String::new();
    let mut rest = shown.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            read.push(c);
            continue;
        }
        match rest.next() {
            Some('n') => read.push('\n'),
            Some('r') => read.push('\r'),
            Some('t') => read.push('\t'),
            Some('u') => {
                let digits: String = rest.by_ref().skip(1).take_while(|&c| c != '}').collect();
                read.extend(u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32));
            }
            Some(c) => read.push(c),
            None => panic!("a lone backslash: {shown:?}"),
        }
    }
    assert_eq!(read, text, "{shown:?}");
}
