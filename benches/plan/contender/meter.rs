//! CPU time and peak memory of this process, step by step.

use std::io;

use cpu_time::ProcessTime;

pub(crate) struct Meter {
    last: ProcessTime,
}

impl Meter {
    pub(crate) fn start() -> io::Result<Self> {
        Ok(Self { last: ProcessTime::try_now()? })
    }

    /// Ends a step. The peak is that of the process so far.
    pub(crate) fn step(&mut self, name: &str) -> io::Result<()> {
        let spent = self.last.try_elapsed()?;
        let peak = peak_kib().map_or_else(|| "-".to_owned(), |kib| kib.to_string());
        println!("step\t{name}\t{}\t{peak}", spent.as_nanos());
        self.last = ProcessTime::try_now()?;
        Ok(())
    }
}

/// The most memory that this process ever had resident; only Linux tells.
fn peak_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
