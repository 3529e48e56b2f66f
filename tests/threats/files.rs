//! Plans and states that were damaged, or changed by hand (T25).

use std::collections::BTreeSet;

use identity_sync::{HeldSet, Plan, RunState};
use pretty_assertions::assert_eq;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::rich::eventful;

/// Every bit of every byte: what can still be read must be what was written, or be refused where it is used.
fn flipped<T: DeserializeOwned + PartialEq>(text: &str, written: &T, refused: impl Fn(&T) -> bool) -> usize {
    let mut bytes = text.as_bytes().to_vec();
    let mut same = 0;
    for at in 0..bytes.len() {
        for bit in [0, 1, 2, 3, 4, 5, 6, 7] {
            bytes[at] ^= 1 << bit;
            if let Ok(read) = serde_json::from_slice::<T>(&bytes) {
                assert!(read == *written || refused(&read), "bit {bit} of byte {at} went unnoticed");
                same += 1;
            }
            bytes[at] ^= 1 << bit;
        }
    }
    same
}

#[test]
fn the_plan_of_these_tests_holds_something_of_everything() {
    let t = eventful("");
    let plan = t.plan();
    let file: Value = serde_json::to_value(&plan).unwrap();
    let actions: BTreeSet<&str> = ["operations", "held"]
        .iter()
        .flat_map(|part| file[part].as_array().unwrap())
        .map(|entry| entry.get("operation").unwrap_or(entry)["action"].as_str().unwrap())
        .collect();
    let all =
        ["add_members", "adopt", "create", "deactivate", "delete", "reactivate", "remove_members", "update"];
    assert_eq!(actions.into_iter().collect::<Vec<_>>(), all);
    assert!(plan.operations().any(|operation| operation.is_approved()), "{plan}");
    assert!(plan.operations().any(|operation| !operation.after().is_empty()), "{plan}");
    assert!(plan.tripped().len() >= 3 && plan.pending().len() > 0 && plan.blocked().len() > 0, "{plan}");
    assert!(plan.kept().len() > 0 && plan.diagnostics().len() >= 5, "{plan}");
    assert!(!plan.impact().is_empty() && !plan.held_impact().is_empty(), "{plan}");
}

#[test]
fn each_flipped_bit_of_a_plan_is_refused_or_changes_nothing() {
    // threat T25
    let plan = eventful("").plan();
    let text = serde_json::to_string(&plan).unwrap();
    let same = flipped(&text, &plan, |_| false);
    // Upper case in the digits of fingerprints is all that may pass.
    assert!(same < text.len() / 20, "{same} of {}", text.len());
}

#[test]
fn each_flipped_bit_of_a_state_is_refused_or_changes_nothing() {
    // threat T25
    let state = eventful("").found().unwrap().run;
    let text = serde_json::to_string(&state).unwrap();
    for part in ["\"pending\":[{", "\"spent\":[{", "\"held\":{\"", "\"written\":{\"", "\"counted_from\":"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let other_format = |state: &RunState| serde_json::to_value(state).unwrap()["format"] != 1;
    flipped(&text, &state, other_format);
}

/// Reads a plan after something was done to its file.
fn changed(file: &Value, change: impl FnOnce(&mut Value)) -> Result<Plan, serde_json::Error> {
    let mut file = file.clone();
    change(&mut file);
    serde_json::from_str(&file.to_string())
}

#[test]
fn no_operation_is_dropped_doubled_swapped_or_set_free() {
    // threat T25
    let plan = eventful("").plan();
    let file = serde_json::to_value(&plan).unwrap();
    for list in ["operations", "held", "tripped", "kept", "pending", "blocked", "diagnostics", "sensitive"] {
        let count = file[list].as_array().unwrap().len();
        assert!(count > 0, "{list}");
        let of = |file: &mut Value| file[list].as_array_mut().unwrap().clone();
        for at in 0..count {
            let dropped = changed(&file, |file| {
                file[list].as_array_mut().unwrap().remove(at);
            });
            assert!(dropped.is_err(), "{list} {at} dropped");
            let doubled = changed(&file, |file| {
                let again = of(file)[at].clone();
                file[list].as_array_mut().unwrap().insert(at, again);
            });
            assert!(doubled.is_err(), "{list} {at} doubled");
            if at > 0 {
                let swapped = changed(&file, |file| file[list].as_array_mut().unwrap().swap(at - 1, at));
                assert!(swapped.is_err(), "{list} {at} swapped");
            }
        }
    }
    // Held operations are not to be had by moving them over.
    for at in 0..file["held"].as_array().unwrap().len() {
        let freed = changed(&file, |file| {
            let held = file["held"].as_array_mut().unwrap().remove(at);
            file["operations"].as_array_mut().unwrap().push(held["operation"].clone());
        });
        assert!(freed.is_err(), "held {at} set free");
    }
    let mut whole = changed(&file, |_| {}).unwrap();
    assert_eq!(whole, plan);
    // The digest of another plan does not fit, nor does none at all.
    let other = serde_json::to_value(eventful("x").plan()).unwrap();
    whole = changed(&other, |_| {}).unwrap();
    assert_ne!(whole, plan);
    assert!(changed(&file, |file| file["digest"] = other["digest"].clone()).is_err());
    let error = changed(&file, |file| drop(file.as_object_mut().unwrap().remove("digest"))).unwrap_err();
    assert!(error.to_string().starts_with("the plan has no digest"), "{error}");
}

#[test]
fn a_tool_may_sort_the_keys_of_a_plan_and_set_it_out_over_many_lines() {
    // threat T25: what says the same is the same
    let plan = eventful("").plan();
    let sorted = serde_json::to_string(&serde_json::to_value(&plan).unwrap()).unwrap();
    for text in [sorted, serde_json::to_string_pretty(&plan).unwrap()] {
        assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
    }
}

#[test]
fn files_of_another_version_are_refused() {
    // threat T25
    let t = eventful("");
    let plan = t.plan();
    for version in [0, 2, u32::MAX] {
        let error = changed(&serde_json::to_value(&plan).unwrap(), |file| file["format"] = version.into());
        let error = error.unwrap_err().to_string();
        assert!(error.starts_with(&format!("plan has format {version}, this version reads")), "{error}");
        let mut held = serde_json::to_value(plan.held_set()).unwrap();
        held["format"] = version.into();
        assert!(serde_json::from_value::<HeldSet>(held).is_err());
        let mut file = serde_json::to_value(&t.state).unwrap();
        file["format"] = version.into();
        let state = serde_json::from_value::<RunState>(file).unwrap();
        let t = crate::timeline::Timeline { state, ..eventful("") };
        assert!(t.found().is_err(), "a state of format {version} is not used");
    }
}

#[test]
fn a_held_set_that_a_person_has_cut_down_is_accepted() {
    // threat T25: a file for people has no digest; an approval covers what is left in it
    let held = eventful("").plan().held_set();
    let mut file = serde_json::to_value(&held).unwrap();
    let operations = file["operations"].as_array_mut().unwrap();
    assert!(operations.len() > 1);
    operations.truncate(1);
    let cut: HeldSet = serde_json::from_value(file).unwrap();
    assert_eq!(cut, held.only(|at| at == 0));
}
