//! The page of the example `ad_sync` in a browser.
#![allow(clippy::disallowed_methods, reason = "it waits for another program, by the machine's clock")]

#[path = "../../ad_sync/hostile.rs"]
mod hostile;
#[path = "../../../examples/ad_sync/page/mod.rs"]
mod page;
#[path = "../../../examples/common/time.rs"]
#[allow(dead_code, reason = "the page shows moments and reads none")]
mod time;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use identity_sync::Reconciliation;

use self::hostile::{NAMES, plan_of_first_day, plan_of_second_day};
use self::page::{Extras, Mode, page};
use crate::variable;

/// A folder for one test, and the page in it.
struct Desk {
    folder: tempfile::TempDir,
    file: PathBuf,
}

impl Desk {
    fn of(users: usize) -> Self {
        Self::with(&plan_of_second_day(users))
    }

    fn with(found: &Reconciliation) -> Self {
        let names = BTreeMap::from([("g3".to_owned(), NAMES[0].to_owned())]);
        let page = page(
            &found.plan,
            &Extras {
                source: NAMES[2],
                store: NAMES[3],
                mode: Mode::DryRun,
                evidence: Some(&found.evidence),
                names: &names,
                warnings: &[NAMES[1].to_owned()],
            },
        );
        let folder = tempfile::tempdir_in(variable("CHROMIUM_DIR")).unwrap();
        let file = folder.path().join("page.html");
        fs::write(&file, page).unwrap();
        Self { folder, file }
    }

    fn page(&self) -> String {
        fs::read_to_string(&self.file).unwrap()
    }

    /// What the browser has made of a page.
    fn open(&self, what: &str, arguments: &[&str]) -> String {
        let output = Command::new(variable("CHROMIUM"))
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .arg(format!("--user-data-dir={}", self.folder.path().join("profile").display()))
            .args(arguments)
            .arg(format!("file://{}{what}", self.folder.path().display()))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

/// Rows of a page that the browser shows, and that it hides.
fn rows(dom: &str) -> (usize, usize) {
    let rows = dom.split("<li data-row=\"\"").skip(1).map(|rest| rest.split_once('>').unwrap().0);
    let (hidden, shown): (Vec<&str>, Vec<&str>) = rows.partition(|tag| tag.contains("hidden"));
    (shown.len(), hidden.len())
}

#[test]
#[ignore = "needs Chromium: tests/servers/run chromium"]
fn no_name_runs_as_a_script_or_becomes_an_element() {
    // rule P8
    let dom = Desk::of(40).open("/page.html", &["--dump-dom"]);
    assert!(dom.contains("<title>Plan for corp</title>"), "{}", &dom[..400.min(dom.len())]);
    assert!(dom.contains("class=\"scripted\""), "the page's own script runs, and the policy lets it");
    assert!(!dom.contains("<img") && !dom.contains("onerror=\"") && !dom.contains("onmouseover=\"\""));
    assert_eq!(dom.matches("<script").count(), 1);
    let written = dom.matches("<li data-row").count();
    assert_eq!(written, Desk::of(40).page().matches("<li data-row").count());
}

#[test]
#[ignore = "needs Chromium: tests/servers/run chromium"]
fn the_policy_of_the_page_stops_a_script_that_got_into_it_all_the_same() {
    let desk = Desk::of(8);
    let with = |page: &str| {
        page.replace("<main>", "<main><script>document.title='owned'</script><b style='color:red'>x</b>")
    };
    fs::write(&desk.file, with(&desk.page())).unwrap();
    assert!(desk.open("/page.html", &["--dump-dom"]).contains("<title>Plan for corp</title>"));
    // The same without the policy, which shows that the test can fail.
    let bare = with(&desk.page()).replace("Content-Security-Policy", "X-Nothing");
    fs::write(&desk.file, bare).unwrap();
    assert!(desk.open("/page.html", &["--dump-dom"]).contains("<title>owned</title>"));
}

#[test]
#[ignore = "needs Chromium: tests/servers/run chromium"]
fn the_search_shows_only_rows_that_hold_the_text() {
    let desk = Desk::of(40);
    let all = rows(&desk.open("/page.html", &["--dump-dom"]));
    assert!(all.0 > 50 && all.1 == 0, "{all:?}");
    let (shown, hidden) = rows(&desk.open("/page.html#q=U00007", &["--dump-dom"]));
    assert!(shown > 0 && shown < 10, "{shown}");
    assert_eq!(shown + hidden, all.0);
    let (shown, _) = rows(&desk.open("/page.html#q=nobody%20is%20called%20so", &["--dump-dom"]));
    assert_eq!(shown, 0);
    // What is searched for is text, too.
    let dom = desk.open("/page.html#q=%3Cscript%3Edocument.title%3D1%3C%2Fscript%3E", &["--dump-dom"]);
    assert!(dom.contains("<title>Plan for corp</title>"));
}

#[test]
#[ignore = "needs Chromium: tests/servers/run chromium"]
fn without_a_script_all_of_it_can_be_read_and_no_box_promises_a_search() {
    let dom = Desk::of(40).open("/page.html", &["--dump-dom", "--blink-settings=scriptEnabled=false"]);
    assert!(!dom.contains("scripted\""), "the box is shown to this class only");
    assert_eq!(rows(&dom).1, 0);
}

#[test]
#[ignore = "needs Chromium: tests/servers/run chromium"]
fn a_telephone_does_not_have_to_scroll_sideways() {
    let desk = Desk::of(40);
    let inner = desk.page().replace('&', "&amp;").replace('"', "&quot;");
    for width in [320, 390, 1200] {
        // The page cannot measure itself, so a frame of that width does.
        let frame = format!(
            "<!doctype html><title>frame</title><body><iframe id=f width={width} height=844 srcdoc=\"{inner}\"></iframe><script>\
             document.getElementById('f').onload = event => {{ const root = event.target.contentDocument.documentElement;\
             for (const one of root.querySelectorAll('details')) one.open = true;\
             document.body.dataset.width = root.clientWidth;\
             document.body.dataset.over = root.scrollWidth - root.clientWidth; }};</script>"
        );
        fs::write(desk.folder.path().join("frame.html"), frame).unwrap();
        let dom = desk.open("/frame.html", &["--dump-dom"]);
        let seen = |name: &str| -> i64 {
            let (_, rest) = dom.split_once(&format!("data-{name}=\"")).unwrap();
            rest.split_once('"').unwrap().0.parse().unwrap()
        };
        assert!((width - 20..=width).contains(&seen("width")), "{}", seen("width"));
        assert_eq!(seen("over"), 0, "at {width} pixels");
    }
}

#[test]
#[ignore = "needs Chromium: tests/servers/run chromium"]
fn paper_shows_what_the_screen_has_folded() {
    let desk = Desk::with(&plan_of_first_day(1_000));
    let pages = |page: &str| -> usize {
        fs::write(&desk.file, page).unwrap();
        let file = desk.folder.path().join("page.pdf");
        desk.open("/page.html", &[&format!("--print-to-pdf={}", file.display())]);
        let pdf = fs::read(&file).unwrap();
        assert!(pdf.starts_with(b"%PDF-"));
        pdf.windows(11).filter(|part| part == b"/Type /Page").count()
    };
    let page = desk.page();
    let folded = pages(&page);
    let unfolded = pages(&page.replace("<details data-part>", "<details data-part open>"));
    assert!(page.contains("<details data-part>"), "something is folded");
    assert!(folded > 20 && folded.abs_diff(unfolded) <= 1, "{folded} and {unfolded} pages");
}

#[test]
#[ignore = "needs Chromium: tests/servers/run chromium"]
fn ten_thousand_operations_still_open() {
    let desk = Desk::with(&plan_of_first_day(12_000));
    let begun = std::time::Instant::now();
    let (shown, hidden) = rows(&desk.open("/page.html#q=u00007", &["--dump-dom"]));
    assert!(shown > 0 && hidden > 10_000, "{shown} and {hidden}");
    assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
}
