//! Any bytes as the files that a host keeps. What is accepted is written and read again equal, and may be used.

use std::fmt::Debug;
use std::sync::LazyLock;

use arbitrary::{Arbitrary, Unstructured};
use identity_sync::{
    Assignments, HeldSet, Options, Plan, Run, RunState, Schedule, SourceSnapshot, StoreSnapshot, Timestamp,
    plan,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::build::{Builder, Built};
use super::shown::{assert_plain, assert_shown};
use super::world::World;

/// The files of the example, as a start: a plan with something of most things.
struct Files {
    source: SourceSnapshot,
    store: StoreSnapshot,
    assignments: Assignments,
    options: Options,
    /// A plan, its state and what it holds.
    documents: Vec<Value>,
}

static FILES: LazyLock<Files> = LazyLock::new(|| {
    fn parsed<T: DeserializeOwned>(text: &str) -> T {
        serde_json::from_str(text).unwrap_or_else(|error| panic!("a file of the example: {error}"))
    }
    let mut files = Files {
        source: parsed(include_str!("../../../examples/data/source.json")),
        store: parsed(include_str!("../../../examples/data/store.json")),
        assignments: parsed(include_str!("../../../examples/data/assignments.json")),
        options: parsed(include_str!("../../../examples/data/options.json")),
        documents: Vec::new(),
    };
    files.options.guards.user_deletes = Some(identity_sync::Limit::new(Some(0), 0, 0));
    files.options.guards.removals_per_group = Some(identity_sync::Limit::new(Some(0), 0, 0));
    let found =
        plan(&files.source, &files.store, &files.assignments, &files.options, &Run::at(Timestamp(1_000_000)));
    let found = found.unwrap_or_else(|error| panic!("a plan of the example: {error}"));
    let documents = [
        serde_json::to_value(&found.plan),
        serde_json::to_value(&found.run),
        serde_json::to_value(found.plan.held_set()),
        serde_json::to_value(&files.options),
        serde_json::to_value(&files.source),
        serde_json::to_value(&files.store),
    ];
    files.documents = documents.into_iter().flatten().collect();
    files
});

/// What is done to a file.
#[derive(Arbitrary, Debug)]
struct Edit<'a> {
    /// Which of its values.
    at: u16,
    to: To<'a>,
}

#[derive(Arbitrary, Debug)]
enum To<'a> {
    Nothing,
    Bool(bool),
    Number(i64),
    Small(u8),
    Large(u64),
    Text(&'a str),
    /// What stands somewhere else.
    Other(u16),
    Key(&'a str),
    Removed,
    Twice,
}

pub fn run(bytes: &[u8]) {
    let Some((&first, rest)) = bytes.split_first() else { return };
    match first % 24 {
        kind @ 0..6 => refused_or_kept(kind, rest),
        kind @ 6..20 => edited(kind % 6, rest),
        _ => from_a_world(first, rest),
    }
}

/// A file of the example, changed in places.
fn edited(kind: u8, bytes: &[u8]) {
    let mut bytes = Unstructured::new(bytes);
    let Some(mut document) = FILES.documents.get(usize::from(kind)).cloned() else { return };
    edit(&mut document, &mut bytes);
    refused_or_kept(kind, document.to_string().as_bytes());
}

/// The plan of a world, changed in places.
fn from_a_world(first: u8, bytes: &[u8]) {
    let mut bytes = Unstructured::new(bytes);
    let Ok(edits) = <Vec<Edit<'_>>>::arbitrary(&mut bytes) else { return };
    let Ok(world) = World::arbitrary(&mut bytes) else { return };
    let Built { source, store, assignments, options } = Builder { ending: "", reversed: false }.build(&world);
    let Ok(found) = plan(&source, &store, &assignments, &options, &Run::at(Timestamp(1_000_000))) else {
        return;
    };
    let (kind, document) = match first % 3 {
        0 => (0, serde_json::to_value(&found.plan)),
        1 => (1, serde_json::to_value(&found.run)),
        _ => (2, serde_json::to_value(found.plan.held_set())),
    };
    let Ok(mut document) = document else { return };
    edits.iter().take(8).for_each(|one| change(&mut document, one));
    refused_or_kept(kind, document.to_string().as_bytes());
}

fn edit(document: &mut Value, bytes: &mut Unstructured<'_>) {
    let Ok(edits) = <Vec<Edit<'_>>>::arbitrary(bytes) else { return };
    edits.iter().take(8).for_each(|one| change(document, one));
}

/// Pointers to all values below one.
fn pointers(value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![(String::new(), value)];
    while let Some((at, value)) = open.pop() {
        match value {
            Value::Array(items) => {
                open.extend(items.iter().enumerate().map(|(i, item)| (format!("{at}/{i}"), item)));
            }
            Value::Object(fields) => {
                open.extend(fields.iter().map(|(key, field)| {
                    (format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), field)
                }))
            }
            _ => {}
        }
        found.push(at);
    }
    found
}

fn change(document: &mut Value, edit: &Edit<'_>) {
    let pointers = pointers(document);
    let at = |number: u16| pointers[usize::from(number) % pointers.len()].as_str();
    let other = match edit.to {
        To::Other(number) => document.pointer(at(number)).cloned(),
        _ => None,
    };
    let place = at(edit.at);
    if let To::Removed | To::Twice = edit.to {
        let Some((parent, key)) = place.rsplit_once('/') else { return };
        match document.pointer_mut(parent) {
            Some(Value::Object(fields)) => drop(fields.remove(key)),
            Some(Value::Array(items)) => {
                let Ok(number) = key.parse::<usize>() else { return };
                if number >= items.len() {
                    return;
                }
                let item = items.remove(number);
                if let To::Twice = edit.to {
                    items.extend([item.clone(), item]);
                }
            }
            _ => {}
        }
        return;
    }
    let Some(value) = document.pointer_mut(place) else { return };
    match (&edit.to, value) {
        (To::Key(key), Value::Object(fields)) => drop(fields.insert((*key).to_owned(), Value::Null)),
        (To::Key(key), value) => *value = (*key).into(),
        (To::Bool(to), value) => *value = (*to).into(),
        (To::Number(to), value) => *value = (*to).into(),
        (To::Small(to), value) => *value = (*to).into(),
        (To::Large(to), value) => *value = (*to).into(),
        (To::Text(to), value) => *value = (*to).into(),
        (To::Other(_), value) => *value = other.unwrap_or_default(),
        (To::Nothing | To::Removed | To::Twice, value) => *value = Value::Null,
    }
}

fn refused_or_kept(kind: u8, bytes: &[u8]) {
    match kind {
        0 => drop(kept::<Plan>(bytes).map(|plan| use_plan(&plan))),
        1 => drop(kept::<RunState>(bytes).map(|state| use_state(&state))),
        2 => drop(kept::<HeldSet>(bytes).map(|held| use_held(&held))),
        3 => drop(kept::<Options>(bytes).map(|options| use_options(&options))),
        4 => drop(kept_text::<SourceSnapshot>(bytes).map(|source| use_snapshots(&source, &FILES.store))),
        _ => drop(kept_text::<StoreSnapshot>(bytes).map(|store| use_snapshots(&FILES.source, &store))),
    }
}

fn written(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|error| panic!("what was read cannot be written: {error}"))
}

fn again<T: DeserializeOwned>(text: &str) -> T {
    serde_json::from_str(text)
        .unwrap_or_else(|error| panic!("what was written cannot be read: {error}\n{text}"))
}

/// What is accepted is the same after it was written.
fn kept<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) -> Option<T> {
    let read: T = serde_json::from_slice(bytes).ok()?;
    let text = written(&read);
    assert!(again::<T>(&text) == read, "changes in its JSON: {text}");
    Some(read)
}

/// As above, for what cannot be compared: the second text is that of the first.
fn kept_text<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let read: T = serde_json::from_slice(bytes).ok()?;
    let text = written(&read);
    assert_eq!(written(&again::<T>(&text)), text, "changes in its JSON");
    Some(read)
}

fn use_plan(plan: &Plan) {
    assert_shown(plan);
    assert_plain(&format!("{}\n{}", plan.impact(), plan.held_impact()));
    use_held(&plan.held_set());
}

fn planned(options: &Options, run: &Run) {
    let files = &*FILES;
    match plan(&files.source, &files.store, &files.assignments, options, run) {
        Ok(found) => {
            assert_plain(&found.plan.to_string());
            let text = written(&found.plan);
            assert!(again::<Plan>(&text) == found.plan, "a plan changes in its JSON: {text}");
        }
        Err(error) => assert_shown(&error),
    }
}

/// A state that was accepted goes into planning, at moments around it.
fn use_state(state: &RunState) {
    assert_plain(&format!("{state:?}"));
    for now in [i64::MIN, -1, 0, 1_000_000, 2_000_000, i64::MAX] {
        let now = Timestamp(now);
        planned(&FILES.options, &Run::new(state.clone(), now));
        let _ = Schedule::default().due(state, now);
        let mut state = state.clone();
        state.pause(now);
        state.note_failure(Timestamp(0));
        state.resume(now);
        state.accept_time(Timestamp(0));
    }
}

fn use_held(held: &HeldSet) {
    assert_shown(held);
    let _ = held.lines().map(|lines| lines.iter().for_each(|line| assert_plain(line)));
    let approval = held.approve();
    assert_plain(&format!("{approval:?}"));
    planned(&FILES.options, &Run::at(Timestamp(1_000_000)).approving(approval));
}

fn use_options(options: &Options) {
    let run = Run::at(Timestamp(1_000_000));
    planned(options, &run);
    // A second run, in which periods and windows count.
    let files = &*FILES;
    if let Ok(found) = plan(&files.source, &files.store, &files.assignments, options, &run) {
        planned(options, &Run::new(found.run, Timestamp(i64::MAX)));
    }
}

fn use_snapshots(source: &SourceSnapshot, store: &StoreSnapshot) {
    let files = &*FILES;
    match plan(source, store, &files.assignments, &files.options, &Run::at(Timestamp(1_000_000))) {
        Ok(found) => use_plan(&found.plan),
        Err(error) => assert_shown(&error),
    }
}
