//! The page says what the plan says, and nothing that it says can act.

use std::collections::BTreeMap;

use identity_sync::{Action, Reconciliation};

use super::hostile::{NAMES, SECRET, plan_of_first_day, plan_of_second_day};
use crate::page::{Extras, Mode, page};

fn page_of(found: &Reconciliation) -> String {
    let names = BTreeMap::from([("g3".to_owned(), NAMES[0].to_owned())]);
    let warnings = [NAMES[1].to_owned()];
    page(
        &found.plan,
        &Extras {
            source: NAMES[2],
            store: NAMES[3],
            mode: Mode::DryRun,
            evidence: Some(&found.evidence),
            names: &names,
            warnings: &warnings,
        },
    )
}

/// The tags of a page, without those of its own style and script.
fn tags(page: &str) -> Vec<&str> {
    let (head, rest) = page.split_once("<style>").unwrap();
    let (_, rest) = rest.split_once("</style>").unwrap();
    let (body, foot) = rest.split_once("<script>").unwrap();
    let (_, foot) = foot.split_once("</script>").unwrap();
    let pieces = [head, body, foot].into_iter().flat_map(|part| part.split('<').skip(1));
    pieces.map(|piece| piece.split_once('>').unwrap().0).collect()
}

#[test]
fn a_name_never_becomes_markup() {
    // rule P8
    let page = page_of(&plan_of_second_day(40));
    // Exactly the tags that this program writes: each begins with one of these, and has only these attributes.
    let known = [
        "!doctype", "html", "head", "meta", "title", "style", "body", "header", "h1", "h2", "h3", "p", "dl",
        "div", "dt", "dd", "section", "ul", "li", "b", "bdi", "code", "span", "em", "i", "del", "ins",
        "details", "summary", "main", "label", "input", "strong",
    ];
    for tag in tags(&page) {
        let name = tag.trim_start_matches('/').split([' ', '\n']).next().unwrap();
        assert!(known.contains(&name), "<{tag}>");
        assert!(!tag.to_lowercase().contains("on") || !tag.contains("owned"), "<{tag}>");
    }
    assert_eq!(page.matches("<script").count(), 1);
    assert_eq!(page.matches("</script").count(), 1);
    assert!(page.contains("&lt;script&gt;document.title=&#39;owned&#39;&lt;/script&gt;"));
    assert!(page.contains("&amp;lt;b&amp;gt;"), "what looks like an entity is shown as it is");
}

#[test]
fn control_and_direction_characters_are_shown_and_not_sent() {
    let page = page_of(&plan_of_second_day(40));
    let sent = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    assert_eq!(page.chars().find(|&c| sent(c)), None);
    assert!(page.contains("Ada\\u{202e}drowssap"));
}

#[test]
fn a_page_needs_no_other_file_and_says_so_to_the_browser() {
    let page = page_of(&plan_of_second_day(40));
    assert!(page.contains("default-src 'none'; style-src 'sha256-"));
    for outside in [" src=", " href=", "url(", "@import", "http://", "https://", "innerHTML", "eval("] {
        let own = tags(&page).join(" ")
            + include_str!("../../examples/ad_sync/page/page.css")
            + include_str!("../../examples/ad_sync/page/page.js");
        assert!(!own.contains(outside), "{outside}");
    }
}

#[test]
fn values_of_sensitive_attributes_are_not_on_the_page() {
    // rule S2
    let page = page_of(&plan_of_second_day(40));
    assert!(!page.contains(SECRET) && !page.contains("day one"));
    assert!(page.contains(&format!("[redacted, {} bytes]", SECRET.len())));
}

#[test]
fn everything_that_the_plan_lists_is_on_the_page() {
    let found = plan_of_second_day(40);
    let (plan, page) = (&found.plan, page_of(&found));
    assert!(plan.held().len() > 0 && plan.pending().len() > 0 && plan.blocked().len() > 0, "{plan}");
    assert!(!plan.diagnostics().is_empty(), "the cycle");
    let mut added = 0;
    for operation in plan.operations().chain(plan.held().map(|held| held.operation)) {
        let anchor = operation.subject().anchor().unwrap();
        assert!(page.contains(&format!("<code>{anchor}</code>")), "{operation}");
        if let Action::AddMembers(members) = operation.action() {
            added += members.len();
        }
    }
    assert!(added > 0);
    assert_eq!(page.matches("class=\"plus\"><b>+</b>").count(), added);
    for id in ["impact", "held", "groups", "users", "pending", "blocked", "notes"] {
        assert_eq!(page.matches(&format!("<h2 id={id}>")).count(), 1, "{id}");
    }
    assert!(page.contains(&format!("Limits hold {} operation", plan.held().len())));
    for tripped in plan.tripped() {
        assert!(page.contains(&format!("{} planned", tripped.planned)));
    }
    assert!(page.contains(" → "), "a path, and an old and a new value");
}

#[test]
fn a_list_that_is_too_long_for_a_browser_says_how_much_is_left_out() {
    let page = page_of(&plan_of_first_day(6_000));
    assert!(page.contains("more, which <code>--format json</code> has"));
    assert!(page.len() < 30 << 20, "{} bytes", page.len());
}

#[test]
fn two_pages_of_one_plan_are_the_same() {
    let found = plan_of_second_day(40);
    assert_eq!(page_of(&found), page_of(&found));
}
