//! A live directory on one side, an identity store on the other: plans, shows, applies, once or for ever.
//!
//! ```text
//! cargo run --example ad_sync --features ldap,sqlite -- --config ad_sync.toml
//! cargo run --example ad_sync --features ldap,sqlite -- --config ad_sync.toml --format html --out plan.html
//! cargo run --example ad_sync --features ldap,sqlite -- --config ad_sync.toml --apply
//! ```
//!
//! Without `--apply` nothing is written but the files that are named here.
//!
//! | Argument | Meaning |
//! |---|---|
//! | `--config F` | default `ad_sync.toml`; `examples/data/ad_sync.toml` explains what is in it |
//! | `--apply` | shows the plan, and then writes exactly that |
//! | `--format text\|json\|html` | how the plan is shown; default `text`. The page is one file that needs no other |
//! | `--out F` | where the plan goes; default the standard output |
//! | `--held-out F` | where the operations go that limits hold, if there are any: a person cuts the file down … |
//! | `--approve F` | … and what is left in it runs; as often as there are files |
//! | `--and-rest` | with `--approve`: also where that lets something run which is held now and was taken out of the file |
//! | `--keep` | in a dry run: what was seen is kept for the next run, as `--apply` does it; grace periods start with it |
//! | `--every P` | runs at once, and from then on at least so often (`2h`, `30min`) |
//! | `--forever` | the same, as the `[schedule]` of the configuration says |
//! | `--once` | one run, which is the default |
//! | `--now T` | the clock starts at this time: seconds since 1970, `2026-11-23`, or `2026-11-23T06:00:00Z`; default the machine's |
//! | `--accept-source` | the directory may be another one than in earlier runs, or a restored one |
//! | `--rebuild-ledger` | with `--apply`, before the run: asks a SCIM service who of all users is in each group of ours, for a ledger that was lost |
//! | `--accept-time` | time goes on from now, after a run that told a later one by mistake |
//!
//! The plan goes to the standard output, or to `--out`; all else, warnings and progress among it, to the error stream. Passwords and
//! tokens are read from files or the environment, and shown nowhere.
//!
//! Between the runs of a loop the directory is asked every `watch` whether something has changed; then a full run
//! follows at once. Ctrl-C and SIGTERM let the write at hand end, keep what was done, and stop; killing it is as safe, since
//! the next run finds out. **One program at a time** for each store.
//!
//! Exit code 0: nothing to do, also where removals are blocked; a loop that was asked to stop. 2: something to do, or
//! something was done (`--apply`). 3: a limit holds something. 1: an error, which is one line on the error stream.

use std::process::ExitCode;

#[path = "../common/mod.rs"]
#[macro_use]
mod common;

mod arguments;
mod config;
mod directory;
mod files;
mod page;
mod repeat;
mod run;
mod secret;
mod stop;
mod store;
mod watch;

use arguments::{Arguments, USAGE};
use common::time;
use run::Program;

fn main() -> ExitCode {
    let done = common::words().and_then(Arguments::read).and_then(|arguments| {
        if arguments.help {
            say!("{USAGE}");
            return Ok(ExitCode::SUCCESS);
        }
        // Signals are heard by another thread than the one that may be blocked by a store.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let done = runtime.block_on(async { Program::new(arguments)?.perform().await });
        // A task that hangs must not keep the program from ending.
        runtime.shutdown_background();
        done
    });
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("ad_sync: {}", common::line(&error));
            ExitCode::FAILURE
        }
    }
}
