//! A progress bar on the error stream; hidden where that is no terminal.

use identity_sync::{Event, Progress};
use indicatif::{ProgressBar, ProgressStyle};

pub(crate) struct Bar(ProgressBar);

impl Bar {
    pub(crate) fn new() -> Self {
        let bar = ProgressBar::no_length();
        if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}") {
            bar.set_style(style);
        }
        Self(bar)
    }
}

impl Progress for Bar {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Started { operations } => {
                self.0.reset();
                self.0.set_length(operations as u64);
                self.0.set_message("writing");
            }
            Event::Outcome { .. } => self.0.inc(1),
            Event::Finished { .. } => self.0.finish_and_clear(),
            // Reads of a file are too quick to watch.
            _ => {}
        }
    }
}
