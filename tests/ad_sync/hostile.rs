//! A plan about people whose names are attacks.

use identity_sync::memory::{MemoryAssignments, MemoryDirectory, MemoryStore};
use identity_sync::{
    ApplyOptions, Host, Limit, Options, Period, Preset, Reconciliation, Run, Sensitivity, Timestamp, apply,
    reconcile,
};
use pollster::block_on;

/// Names that end up in text, in attributes, and in the title.
pub(crate) const NAMES: [&str; 8] = [
    "<script>document.title='owned'</script>",
    "\"onmouseover=\"document.title='owned'\" x=\"",
    "'><img src=x onerror=document.title='owned'>",
    "</style></script><script>document.title='owned'</script>",
    "<!--",
    "&lt;b&gt;&#x3c;script&#x3e;",
    "Ada\u{202e}drowssap\u{2066}\u{200b}\u{7}\u{1b}[2J\r\n+ create user root",
    "`${document.title='owned'}` {{constructor.constructor('document.title=1')()}}",
];

pub(crate) const SECRET: &str = "salary-88000-euro";

fn directory(day: i64, users: usize) -> MemoryDirectory {
    let mut directory = MemoryDirectory::new("corp");
    let all: Vec<String> = (0..users).map(|user| format!("u{user:05}")).collect();
    for (number, anchor) in all.iter().enumerate() {
        let name = NAMES[number % NAMES.len()];
        let title = format!("{name} title of day {day}");
        directory.add_user(
            anchor,
            &[
                ("userPrincipalName", &format!("{name} {number}")),
                ("displayName", name),
                ("title", if number % 3 == 0 { &title } else { "same" }),
                ("info", if day == 1 { "day one" } else { SECRET }),
            ],
        );
    }
    let below = |first: usize, step: usize| -> Vec<&str> {
        all.iter().skip(first).step_by(step).map(String::as_str).collect()
    };
    // On the second day most are out of the first group, and the second has another name and a group below.
    let first = if day == 1 { below(0, 1) } else { below(0, 2) };
    directory.add_group("g1", &[("cn", NAMES[0])], &first);
    let mut second = below(1, 4);
    second.push("g3");
    directory.add_group("g2", &[("cn", NAMES[usize::from(day == 2) + 1])], &second);
    let third =
        if day == 1 { vec!["g2", "u00000", "u00002", "u00004"] } else { vec!["g2", "u00000", "u00002"] };
    directory.add_group("g3", &[("cn", "g3 </title>")], &third);
    if day == 2 {
        // Gone without a tombstone.
        directory.users.remove("u00003");
        directory.add_group("g4", &[("cn", NAMES[3])], &below(0, 5));
    } else {
        directory.add_group("g5", &[("cn", "dries up")], &below(3, 7));
    }
    directory
}

fn options() -> Options {
    let mut options = Preset::StrictOffboarding.options();
    options.issuer = Some("corp".into());
    options.users.grace.left_scope = Period::of_days(7);
    options.guards.removals_in_all = None;
    options.guards.removals_per_group = Some(Limit::new(None, 20, 5));
    options.user_map.set("info", "${info}").unwrap().sensitivity = Sensitivity::Sensitive;
    options
}

/// A group that is assigned no more on the second day, and gone from the directory without a proof.
fn assignments(day: i64) -> MemoryAssignments {
    MemoryAssignments::of("corp", if day == 1 { &["g1", "g2", "g4", "g5"] } else { &["g1", "g2", "g4"] })
}

/// What the first day asks for: everybody is made.
pub(crate) fn plan_of_first_day(users: usize) -> Reconciliation {
    let run = Run::at(Timestamp(1_795_413_600));
    let (directory, store) = (directory(1, users), MemoryStore::new("memory"));
    block_on(reconcile(&directory, &store, &assignments(1), &options(), &run, &Host::new())).unwrap()
}

/// What the second day asks for, over the store that the first one left.
pub(crate) fn plan_of_second_day(users: usize) -> Reconciliation {
    let (store, host) = (MemoryStore::new("memory"), Host::new());
    let run = Run::at(Timestamp(1_795_413_600));
    let first = directory(1, users);
    let first = block_on(reconcile(&first, &store, &assignments(1), &options(), &run, &host));
    let report = block_on(apply(&first.unwrap().plan, &store, &ApplyOptions::default(), &host)).unwrap();
    assert!(report.is_success());
    let run = Run::new(report.run, Timestamp(1_795_500_000));
    block_on(reconcile(&directory(2, users), &store, &assignments(2), &options(), &run, &host)).unwrap()
}
