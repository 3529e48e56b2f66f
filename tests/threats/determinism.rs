//! No order depends on a hash, a process, or the order of input (T17).

use std::process::Command;

use crate::rich::eventful;

const ORDER: &str = "IDENTITY_SYNC_ORDER";

/// The plan as JSON, with the input turned by so many places.
fn plan(order: usize) -> String {
    let mut t = eventful("");
    let users = t.source.users.len();
    t.source.users.rotate_left(order % users);
    let groups = t.source.groups.len();
    t.source.groups.rotate_left(order % groups);
    if order % 2 == 1 {
        t.source.users.reverse();
        t.source.tombstones.reverse();
    }
    t.source.rows = 1 + order;
    serde_json::to_string(&t.plan()).unwrap()
}

#[test]
#[ignore = "a process of its own, started by the test below"]
fn child_that_prints_its_plan() {
    let order = std::env::var(ORDER).unwrap().parse().unwrap();
    println!("\nPLAN {}", plan(order));
}

#[test]
fn processes_with_other_hash_seeds_and_other_orders_of_input_plan_the_same_bytes() {
    // threat T17
    let expected = plan(0);
    assert!(expected.len() > 5_000);
    for order in 0..4 {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "determinism::child_that_prints_its_plan", "--ignored", "--nocapture"])
            .env(ORDER, order.to_string())
            .output()
            .unwrap();
        let text = String::from_utf8(child.stdout).unwrap();
        let printed =
            text.lines().find_map(|line| line.strip_prefix("PLAN ")).unwrap_or_else(|| panic!("{text}"));
        assert_eq!(printed, expected, "order {order}");
    }
}

#[test]
fn no_table_without_an_order_of_its_own_is_used_in_the_library() {
    // threat T17: what is not there cannot feed any output; the lint keeps it so
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let lints = std::fs::read_to_string(root.join("clippy.toml")).unwrap();
    for table in ["std::collections::HashMap", "std::collections::HashSet"] {
        assert!(lints.contains(table));
    }
    let mut folders = vec![root.join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                assert!(!text.contains("HashMap") && !text.contains("HashSet"), "{}", path.display());
            }
        }
    }
}
