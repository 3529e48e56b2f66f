//! The fuzz targets on stable: their corpora, whatever they found, and some thousand random texts (`fuzz/README.md`).

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has found something")]

#[path = "fuzz/targets/mod.rs"]
mod targets;

use std::path::PathBuf;

use identity_sync::testing::Random;

/// Random inputs of each target.
const INPUTS: u64 = 3_000;

/// The files of a directory below `fuzz`, in the order of their names; none where it is not there.
fn files(directory: &str, target: &str) -> Vec<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz").join(directory).join(target);
    let Ok(entries) = path.read_dir() else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort_unstable();
    files
}

/// Bytes as an attacker may choose them: any, text, or parts of a file of the corpus.
fn random(random: &mut Random, corpus: &[Vec<u8>]) -> Vec<u8> {
    let magnitude = 3 + random.below(8);
    let length = random.below(1 << magnitude);
    let mut bytes: Vec<u8> = match random.below(3) {
        0 => (0..length).map(|_| random.bits() as u8).collect(),
        1 => (0..length).map(|_| b" ${}a0\\\":,=\n\xc3\xa9\x00\x01\xff"[random.below(17)]).collect(),
        _ => random.pick(corpus).cloned().unwrap_or_default(),
    };
    for _ in 0..random.below(6) {
        let at = random.below(bytes.len().max(1));
        match (bytes.get_mut(at), random.below(3)) {
            (Some(byte), 0) => *byte = random.bits() as u8,
            (Some(_), 1) => drop(bytes.remove(at)),
            _ => bytes.insert(at.min(bytes.len()), random.bits() as u8),
        }
    }
    bytes
}

/// Runs a target, and says which input it did not stand.
fn stands(run: fn(&[u8]), bytes: &[u8], input: impl std::fmt::Display) {
    let found = std::panic::catch_unwind(|| run(bytes));
    assert!(found.is_ok(), "{input}: {}", bytes.escape_ascii());
}

fn replay(target: &str, run: fn(&[u8])) {
    let read = |file: PathBuf| (std::fs::read(&file).unwrap(), file);
    let corpus: Vec<(Vec<u8>, PathBuf)> = files("corpus", target).into_iter().map(read).collect();
    assert!(!corpus.is_empty(), "{target} has no corpus");
    let findings: Vec<(Vec<u8>, PathBuf)> = files("findings", target).into_iter().map(read).collect();
    for (bytes, file) in corpus.iter().chain(&findings) {
        stands(run, bytes, file.display());
    }
    let corpus: Vec<Vec<u8>> = corpus.into_iter().map(|(bytes, _)| bytes).collect();
    let mut numbers = Random::new(0);
    for number in 0..INPUTS {
        stands(run, &random(&mut numbers, &corpus), format_args!("{target}, input {number}"));
    }
}

macro_rules! targets {
    ($($name:ident: $target:ident),* $(,)?) => {$(
        #[test]
        fn $name() {
            replay(stringify!($target), targets::$target::run);
        }
    )*};
}

targets! {
    // rules P1, P2, M7, M3, P8
    no_world_breaks_planning: plan,
    // rule S1
    no_bytes_break_the_reader_of_exports: ldif,
    // rule A1
    every_template_makes_what_a_plain_model_says: templates,
    // rule E9
    a_name_is_the_same_however_it_is_written: dn,
    // rules P1, D7
    no_file_breaks_what_reads_it: plan_document,
    // rule P8
    no_text_forges_what_is_shown: render,
}
