//! The program itself, in a loop that cannot do its work.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::arguments::Arguments;
use crate::run::Program;

/// Says to this test binary, started as a child, which configuration to run with.
const LOOPER: &str = "AD_SYNC_TESTS_LOOPER";

/// Waits until three runs have failed: how long that took, and all that was said.
#[allow(clippy::disallowed_methods, reason = "it waits for another program, by the machine's clock")]
fn three_failures(store: &str, state: &str) -> (Duration, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ad_sync.toml");
    fs::write(folder.path().join("password"), "Tr0ub4dor").unwrap();
    let configuration = format!(
        "issuer = \"corp\"\n[source]\nurl = \"ldaps://127.0.0.1:1\"\naccount = \"a@b\"\npassword_file = \"password\"\n\
         connect_timeout = \"1s\"\n[store.sqlite]\nfile = \"{store}\"\n[assignments]\nusers = [\"a\"]\n{state}\
         [schedule]\nretry = \"1s\"\n"
    );
    fs::write(&file, configuration).unwrap();
    let begun = Instant::now();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", "looping::a_loop_that_fails_waits_and_goes_on"])
        .env(LOOPER, &file)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut said, mut failures) = (String::new(), 0);
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        failures += usize::from(line.contains("full run: error:"));
        said = said + &line + "\n";
        if failures == 3 {
            break;
        }
    }
    let took = begun.elapsed();
    assert_eq!(failures, 3, "no error ends a loop: {said}");
    child.kill().unwrap();
    child.wait().unwrap();
    (took, said)
}

#[test]
fn a_loop_that_fails_waits_and_goes_on() {
    // rule I3
    if let Some(file) = std::env::var_os(LOOPER) {
        let words = ["--config", file.to_str().unwrap(), "--apply", "--every", "2h"].map(str::to_owned);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let arguments = Arguments::read(words.into()).unwrap();
        runtime.block_on(async { Program::new(arguments)?.perform().await }).unwrap();
        return;
    }
    // At once, after one second, and after two more; each is one of the clock's, which may have begun a while ago. That the
    // waits grow is shown beside the loop.
    let waits = Duration::from_secs(1);
    let (took, said) = three_failures("no/such/folder/identities.db", "");
    assert!(took >= waits, "a store that cannot be opened: {took:?}\n{said}");
    // No directory, and no place for the state either: that the run failed is known to this process only.
    let (took, said) = three_failures("identities.db", "[run]\nfile = \"no/such/folder/state.json\"\n");
    assert!(took >= waits, "a state that cannot be kept: {took:?}\n{said}");
    assert!(said.contains("could not be kept") && !said.contains("Tr0ub4dor"), "{said}");
}

#[tokio::test]
async fn another_directory_is_accepted_for_a_run_that_succeeds_and_no_longer() {
    // rule C6: the run fails, and the next one, which nobody watches, still knows which directory it had
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("password"), "Tr0ub4dor").unwrap();
    let known = r#"{"format": 1, "issuer": "corp", "source": "corp.example", "generations": {"dc1": 700}}"#;
    let state = folder.path().join("state.json");
    fs::write(&state, known).unwrap();
    let file = folder.path().join("ad_sync.toml");
    fs::write(
        &file,
        "issuer = \"corp\"\n[source]\nurl = \"ldaps://127.0.0.1:1\"\naccount = \"a@b\"\npassword_file = \"password\"\n\
         [store.sqlite]\nfile = \"identities.db\"\n[assignments]\nusers = [\"a\"]\n[run]\nfile = \"state.json\"\n",
    )
    .unwrap();
    let words = ["--config", file.to_str().unwrap(), "--apply", "--accept-source", "--accept-time"];
    let arguments = Arguments::read(words.map(str::to_owned).into()).unwrap();
    Program::new(arguments).unwrap().perform().await.unwrap_err();
    let kept: serde_json::Value = serde_json::from_slice(&fs::read(&state).unwrap()).unwrap();
    assert_eq!((&kept["source"], &kept["generations"]["dc1"]), (&"corp.example".into(), &700.into()));
    assert_eq!(kept["runs"]["failures"], 1);
}
