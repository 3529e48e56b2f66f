//! The program itself, in a loop that cannot do its work.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::arguments::Arguments;
use crate::run::Program;

/// Says to this test binary, started as a child, which configuration to run with.
const LOOPER: &str = "AD_SYNC_TESTS_LOOPER";

/// How often runs failed in these seconds, and all that was said.
fn failures(store: &str, state: &str) -> (usize, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ad_sync.toml");
    fs::write(folder.path().join("password"), "Tr0ub4dor").unwrap();
    let configuration = format!(
        "issuer = \"corp\"\n[source]\nurl = \"ldaps://127.0.0.1:1\"\naccount = \"a@b\"\npassword_file = \"password\"\n\
         connect_timeout = \"1s\"\n[store.sqlite]\nfile = \"{store}\"\n[assignments]\nusers = [\"a\"]\n{state}\
         [schedule]\nretry = \"1s\"\n"
    );
    fs::write(&file, configuration).unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", "looping::a_loop_that_fails_waits_longer_each_time"])
        .env(LOOPER, &file)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(4_500));
    assert!(child.try_wait().unwrap().is_none(), "no error ends a loop");
    child.kill().unwrap();
    let said = String::from_utf8(child.wait_with_output().unwrap().stderr).unwrap();
    (said.lines().filter(|line| line.contains("full run: error:")).count(), said)
}

#[test]
#[allow(clippy::disallowed_methods, reason = "it waits for another program, by the machine's clock")]
fn a_loop_that_fails_waits_longer_each_time() {
    // rule I3
    if let Some(file) = std::env::var_os(LOOPER) {
        let words = ["--config", file.to_str().unwrap(), "--apply", "--every", "2h"].map(str::to_owned);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let arguments = Arguments::read(words.into()).unwrap();
        runtime.block_on(async { Program::new(arguments)?.perform().await }).unwrap();
        return;
    }
    // At once, after one second, and after two more.
    let (runs, said) = failures("no/such/folder/identities.db", "");
    assert!((2..=3).contains(&runs), "a store that cannot be opened: {runs}\n{said}");
    // No directory, and no place for the state either: that the run failed is known to this process only.
    let (runs, said) = failures("identities.db", "[run]\nfile = \"no/such/folder/state.json\"\n");
    assert!((2..=3).contains(&runs), "a state that cannot be kept: {runs}\n{said}");
    assert!(said.contains("could not be kept") && !said.contains("Tr0ub4dor"), "{said}");
}
