//! A plan as one HTML page, for a browser, a telephone, and paper.
//!
//! Nothing is loaded from anywhere, and nothing can be: the page's own policy allows one style and one script, by
//! their hashes. The script is the search box; without it everything can be read all the same. Values of sensitive attributes are not in it.

mod html;
mod sections;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use identity_sync::{Action, Evidence, Extent, Plan};
use sha2::{Digest as _, Sha256};

use self::html::{Shown, Text};
use self::sections::Sections;
use super::time;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Whether what is shown is going to be written.
#[derive(Clone, Copy, PartialEq)]
#[allow(dead_code, reason = "tests show dry runs")]
pub(crate) enum Mode {
    DryRun,
    Apply,
}

/// What a plan does not know, and a person wants to.
pub(crate) struct Extras<'a> {
    /// Which directory it was.
    pub(crate) source: &'a str,
    /// Which store.
    pub(crate) store: &'a str,
    pub(crate) mode: Mode,
    /// Shows over which path somebody became a member.
    pub(crate) evidence: Option<&'a Evidence>,
    /// What groups are called which no operation is about, by anchor.
    pub(crate) names: &'a BTreeMap<String, String>,
    /// What the operator should know about the two sides.
    pub(crate) warnings: &'a [String],
}

/// The page: some 200 bytes for each operation and member.
pub(crate) fn page(plan: &Plan, extras: &Extras<'_>) -> String {
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text));
    let (style, script) = (hash(STYLE), hash(SCRIPT));
    let issuer = plan.issuer().to_string();
    let head = header(plan, extras);
    let body = Sections::new(plan, extras).write();
    // The hashes are over what stands between the tags, to the byte.
    format!(
        "<!doctype html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n\
         <meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src 'sha256-{style}'; \
         script-src 'sha256-{script}'; base-uri 'none'; form-action 'none'\">\n\
         <meta name=viewport content=\"width=device-width, initial-scale=1\">\n\
         <meta name=referrer content=no-referrer>\n<meta name=color-scheme content=\"light dark\">\n\
         <title>Plan for {issuer}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{head}<main>\n{body}</main>\n\
         <script>{SCRIPT}</script>\n</body>\n</html>\n",
        issuer = Shown(&issuer),
    )
}

fn header(plan: &Plan, extras: &Extras<'_>) -> String {
    let (class, verdict) = verdict(plan, extras.mode);
    let mode = match extras.mode {
        Mode::DryRun => "dry run: nothing was written",
        Mode::Apply => "about to be written",
    };
    let facts = [
        ("Directory", extras.source.to_owned()),
        ("Store", extras.store.to_owned()),
        ("Planned", time::show(plan.planned_at())),
        ("Extent", extent(plan.extent()).to_owned()),
        ("Mode", mode.to_owned()),
    ];
    let facts: String = facts
        .iter()
        .map(|(name, value)| format!("<div><dt>{name}</dt><dd>{}</dd></div>\n", Text(value)))
        .collect();
    let warnings: String = extras
        .warnings
        .iter()
        .map(|warning| {
            format!("<p class=warning role=note><strong>Warning:</strong> {}</p>\n", Text(warning))
        })
        .collect();
    format!(
        "<header>\n<h1>Plan for <bdi>{}</bdi></h1>\n<p class=\"verdict {class}\">{verdict}</p>\n<dl class=facts>\n{facts}</dl>\n\
         {warnings}{}</header>\n<div class=search role=search><label for=search>Search names, anchors, reasons</label>\n\
         <input id=search type=search autocomplete=off spellcheck=false aria-describedby=found>\n\
         <p id=found role=status></p></div>\n",
        Shown(plan.issuer()),
        totals(plan),
    )
}

/// The page in a sentence.
fn verdict(plan: &Plan, mode: Mode) -> (&'static str, String) {
    let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let will = if mode == Mode::Apply { "run" } else { "would run" };
    match (plan.held().len(), plan.len(), plan.blocked().len()) {
        (0, 0, 0) => ("clean", "Nothing to do: the store is as it should be.".to_owned()),
        (0, 0, blocked) => {
            ("blocked", format!("Nothing to do; {} blocked, see below.", count(blocked, "removal")))
        }
        (0, operations, _) => {
            ("changes", format!("{} {will}; no limit is reached.", count(operations, "operation")))
        }
        (held, operations, _) => (
            "held",
            format!(
                "Limits hold {}; {} {will}. What is held needs the approval of a person.",
                count(held, "operation"),
                count(operations, "operation")
            ),
        ),
    }
}

fn extent(extent: Extent) -> &'static str {
    match extent {
        Extent::Full => "everything",
        Extent::NewEntitlements => "new entitlements only",
        Extent::ProvenRemovals => "proven removals only",
    }
}

fn totals(plan: &Plan) -> String {
    let mut counts = [0_usize; 9];
    let [created_users, created_groups, adopted, updated, added, removed, deactivated, reactivated, deleted] =
        &mut counts;
    for operation in plan.operations() {
        match operation.action() {
            Action::CreateUser { .. } => *created_users += 1,
            Action::CreateGroup { .. } => *created_groups += 1,
            Action::Adopt => *adopted += 1,
            Action::Update { .. } => *updated += 1,
            Action::AddMembers(members) => *added += members.len(),
            Action::RemoveMembers(members) => *removed += members.len(),
            Action::Deactivate => *deactivated += 1,
            Action::Reactivate => *reactivated += 1,
            Action::Delete => *deleted += 1,
            _ => {}
        }
    }
    let names = [
        "users created",
        "groups created",
        "adopted",
        "updated",
        "members added",
        "members removed",
        "users deactivated",
        "users reactivated",
        "deleted",
    ];
    let more = [
        (plan.held().len(), "held by limits"),
        (plan.pending().len(), "pending"),
        (plan.blocked().len(), "removals blocked"),
        (plan.diagnostics().len(), "notes"),
    ];
    let all = counts.into_iter().zip(names).chain(more);
    let cells: String = all
        .map(|(count, name)| {
            let none = if count == 0 { " class=none" } else { "" };
            format!("<li{none}><b>{count}</b> {name}</li>\n")
        })
        .collect();
    format!(
        "<section aria-labelledby=totals>\n<h2 id=totals>Totals</h2>\n<ul class=totals>\n{cells}</ul>\n</section>\n"
    )
}
