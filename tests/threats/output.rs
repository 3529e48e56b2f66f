//! What is shown to people and written to logs: forged lines, and values that nobody should see (T7, T8).

use std::fmt::Write as _;
use std::sync::Mutex;

use identity_sync::{
    ApplyOptions, Completeness, ErrorKind, ExternalId, Generation, Guards, Host, Kind, Limit, MemberKind,
    Plan, Principal, ReconcileError, Run, StoreError, Timestamp, apply, reconcile, sign_in,
};
use pollster::block_on;
use proptest::prelude::*;

use crate::faulty::{Fault, Listener, Scripted};
use crate::rich::{able, eventful};
use crate::timeline::Timeline;
use crate::world::{World, anchor, record};

/// What no shown text may hold: what breaks a line, moves the cursor, turns the direction, or is not to be seen at all.
fn is_forbidden(c: char) -> bool {
    (c.is_control() && c != '\n')
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
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

fn check(shown: &str) -> Result<(), TestCaseError> {
    let raw = shown.chars().find(|&c| is_forbidden(c));
    prop_assert!(raw.is_none(), "{raw:?} in {shown:?}");
    prop_assert!(!shown.lines().any(|line| line.trim_start().starts_with("FORGED")), "{shown}");
    Ok(())
}

/// A document for Graphviz of which every line is an edge or a filled node between whole quotes.
fn check_dot(document: &str) -> Result<(), TestCaseError> {
    fn quoted(line: &str) -> Option<&str> {
        let mut rest = line.strip_prefix('"')?.chars();
        while let Some(c) = rest.next() {
            match c {
                '\\' => drop(rest.next()?),
                '"' => return Some(rest.as_str()),
                _ => {}
            }
        }
        None
    }
    let lines: Vec<&str> = document.lines().collect();
    prop_assert_eq!((lines[0], lines[lines.len() - 1]), ("digraph membership {", "}"));
    for line in lines[1..lines.len() - 1].iter().filter(|line| !line.is_empty()) {
        let rest = line.strip_prefix("  ").and_then(quoted);
        let edge = rest.and_then(|rest| rest.strip_prefix(" -> ")).and_then(quoted);
        prop_assert!(edge == Some(";") || rest == Some(" [style=filled];"), "{line}");
    }
    Ok(())
}

/// Any text, with what attackers like strewn in.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        any::<String>(),
        Just("\nFORGED+ create user root [0] (entitled)\n".to_owned()),
        Just("\r\u{1b}[2J\u{9b}31m\u{7f}\u{85}".to_owned()),
        Just("\u{202e}\u{2066}\u{61c}\u{200f}\u{feff}\u{2028}\u{2029}".to_owned()),
        Just("\"; } \\\" <b> -> [style=filled];\\".to_owned()),
        Just("=cmd|' /C calc'!A1".to_owned()),
    ];
    prop::collection::vec(piece, 1..4).prop_map(|pieces| pieces.concat())
}

/// A directory, a store and assignments of which every text is that of somebody who means ill.
fn forged(text: &str) -> World {
    let mut w = World::with_store(able());
    let called = |n: &str| format!("{n}{text}");
    let assign = |w: &mut World, anchor: String| {
        w.assigned.principals.insert(Principal::External(ExternalId::new("corp", anchor)));
    };
    w.options.guards = Guards::off();
    for n in ["off", "gone", "held", "kept"] {
        w.user(&called(n)).set("userPrincipalName", &called(n)).set("title", text);
        w.edit(&called(n)).set("employeeID", text);
        assign(&mut w, called(n));
    }
    w.group(&called("g"), "").set("cn", &called("g"));
    for n in ["off", "kept"] {
        w.edit_group(&called("g")).member(&called(n), MemberKind::User);
    }
    assign(&mut w, called("g"));
    w.run();
    w.edit(&called("off")).disabled();
    for n in ["gone", "held"] {
        w.delete(&called(n));
    }
    w.edit_group(&called("g")).set("description", text).member(&called("g"), MemberKind::Group);
    w.edit_group(&called("g")).unresolved(text, MemberKind::Unknown);
    w.user(&called("new")).set("userPrincipalName", &called("new")).set("displayName", text);
    w.edit_group(&called("g")).member(&called("new"), MemberKind::User);
    for n in ["twin1", "twin2"] {
        w.user(&called(n)).set("userPrincipalName", &called("twin"));
        assign(&mut w, called(n));
    }
    // A record without an id would make the read partial.
    w.put(Kind::User, &called("#"), record(&[("userName", &called("local")), ("note", text)]));
    w.user(&called("local")).set("userPrincipalName", &called("local"));
    assign(&mut w, called("local"));
    w.options.soft_match.users.insert("userName".to_owned());
    w.assigned.principals.insert(Principal::Stored(called("#").into()));
    w.assigned.principals.remove(&Principal::External(ExternalId::new("corp", called("kept"))));
    w.options.canaries.users.insert(anchor(&called("canary")));
    w.options.guards.user_deletes = Some(Limit::new(Some(0), 0, 0));
    w.options.guards.removals_per_group = Some(Limit::new(Some(0), 0, 0));
    w
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn no_text_of_a_directory_forges_a_line_of_anything_that_is_shown(text in hostile()) {
        // threat T7
        let mut w = forged(&text);
        let (run, host) = (Run::default(), Host::new());
        let found = block_on(reconcile(&w.source, &w.store, &w.assigned, &w.options, &run, &host)).unwrap();
        let plan = &found.plan;
        for line in plan.to_string().lines() {
            prop_assert!(BEGINNINGS.iter().any(|begins| line.starts_with(begins)), "{line}");
        }
        let mut shown = format!("{plan}\n{plan:?}\n{found:?}\n{}\n{}", plan.impact(), plan.held_impact());
        let held = plan.held_set();
        prop_assert!(!held.is_empty());
        write!(shown, "\n{held}\n{held:?}\n{:?}\n{}", held.approve(), held.lines().unwrap().join("\n")).unwrap();
        for finding in plan.diagnostics() {
            write!(shown, "\n{finding}\n{finding:?}").unwrap();
        }
        for operation in plan.operations().chain(plan.held().map(|held| held.operation)) {
            write!(shown, "\n{operation}\n{operation:?}\n{:?}", operation.action()).unwrap();
        }
        check(&shown)?;
        for n in ["kept", "new", "off", "canary"] {
            let anchor = anchor(&format!("{n}{text}"));
            match found.evidence.explain(&anchor) {
                Ok(why) => check(&format!("{why}\n{why:?}"))?,
                Err(error) => check(&error.to_string())?,
            }
            if let Ok(document) = found.evidence.dot(&anchor) {
                check(&document)?;
                check_dot(&document)?;
            }
        }
        let report = block_on(apply(plan, &w.store, &ApplyOptions::default(), &host)).unwrap();
        check(&format!("{report}\n{report:?}"))?;
        // Refusals, too.
        let mut errors: Vec<ReconcileError> = Vec::new();
        let mut refused = |w: &World, run: &Run| {
            errors.extend(block_on(reconcile(&w.source, &w.store, &w.assigned, &w.options, run, &host)).err());
        };
        let kept = Run::new(report.run, Timestamp(1));
        w.source.generation = Some(Generation { replica: text.clone(), number: 1 });
        w.source.users_read = Completeness::partial(text.clone());
        refused(&w, &kept);
        w.source.identity = text.as_str().into();
        refused(&w, &kept);
        w.options.issuer = Some(text.as_str().into());
        refused(&w, &kept);
        prop_assert!(errors.len() >= 2 || text == "corp");
        for error in errors {
            check(&format!("{error}\n{error:?}"))?;
        }
        let error = StoreError::new(ErrorKind::Permanent, text.clone());
        check(&format!("{error}\n{error:?}\n{:?}", Completeness::partial(text.clone())))?;
        let id = anchor(&text);
        check(&format!("{id} {id:?}"))?;
    }
}

const MARK: &str = "MARKER-7f3a";

/// Everything that a run shows, tells or returns, but for the files that are meant to hold values.
fn all_that_is_shown(t: &Timeline) -> Vec<(&'static str, String)> {
    let heard: Mutex<Vec<String>> = Mutex::default();
    let listener = Listener::new(|event| heard.lock().unwrap().push(format!("{event:?}")));
    let host = Host::new().progress(&listener);
    let mut run = Run::new(t.state.clone(), Timestamp(t.now));
    run.approvals = t.approvals.clone();
    let found = block_on(reconcile(&t.source, &t.store, &t.assigned, &t.options, &run, &host)).unwrap();
    let held = found.plan.held_set();
    let mut shown = vec![
        ("plan", found.plan.to_string()),
        ("plan, debug", format!("{:?}", found.plan)),
        ("found", format!("{found:?}")),
        ("diagnostics", serde_json::to_string(found.plan.diagnostics()).unwrap()),
        ("impact", format!("{:?} {:?}", found.plan.impact(), found.plan.held_impact())),
        ("state", serde_json::to_string(&found.run).unwrap()),
        ("state, debug", format!("{:?} {run:?}", found.run)),
        ("held", format!("{held}\n{held:?}\n{:?}", held.approve())),
        ("host", format!("{host:?}")),
    ];
    for operation in found.plan.operations().chain(found.plan.held().map(|held| held.operation)) {
        shown.push(("operation", format!("{operation}\n{operation:?}\n{:?}", operation.action())));
    }
    let again: Plan = serde_json::from_str(&serde_json::to_string(&found.plan).unwrap()).unwrap();
    shown.push(("plan from a file", format!("{again}\n{again:?}")));
    for kind in [ErrorKind::Conflict, ErrorKind::Invalid, ErrorKind::Transient] {
        let store = Scripted::new(&t.store, (0..50).step_by(2).map(|at| (at, Fault::Refuse(kind))));
        let report = block_on(apply(&found.plan, &store, &ApplyOptions::default(), &host)).unwrap();
        shown.push(("report", format!("{report}\n{report:?}")));
        shown.push(("state after", serde_json::to_string(&report.run).unwrap()));
    }
    for user in ["moved", "off", "new", "odd"] {
        let signed = block_on(sign_in(&t.source, &t.store, &anchor(user), &t.options, &run, &host)).unwrap();
        shown.push(("sign-in", format!("{signed:?}\n{}", signed.plan)));
    }
    shown.push(("events", format!("{:?} {heard:?}", listener.events())));
    shown
}

#[test]
fn no_sensitive_value_shows_anywhere_in_a_whole_run() {
    // rule S2, threat T8
    let t = eventful(MARK);
    let plan = serde_json::to_string(&t.plan()).unwrap();
    assert!(plan.matches(MARK).count() > 4, "the plan itself holds them: {plan}");
    for (what, shown) in all_that_is_shown(&t) {
        assert!(!shown.contains(MARK) && !shown.contains("7f3a"), "{what}: {shown}");
    }
}
