//! A progress bar on the error stream; hidden where that is no terminal.

use identity_sync::{Event, Progress};
use indicatif::{ProgressBar, ProgressStyle};

pub(crate) struct Bar(ProgressBar);

impl Bar {
    pub(crate) fn new() -> Self {
        let bar = ProgressBar::no_length();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// Takes away what stands there: reading has ended.
    pub(crate) fn clear(&self) {
        self.0.finish_and_clear();
    }
}

impl Progress for Bar {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Started { operations } => {
                self.0.reset();
                if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}") {
                    self.0.set_style(style);
                }
                self.0.set_length(operations as u64);
                self.0.set_message("writing");
            }
            Event::Outcome { .. } => self.0.inc(1),
            Event::Finished { .. } => self.0.finish_and_clear(),
            Event::Read { what, rows } => self.0.set_message(format!("{what}: {rows}")),
            _ => {}
        }
    }
}
