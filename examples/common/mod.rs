//! What the programs `sync`, `daemon` and `ad_sync` share: configuration, export, store, and what is kept between runs.

#![allow(dead_code, reason = "each of the programs uses its part")]

/// Prints a line. Nobody may be there to read it any more (`| head`): that is no reason to stop half-way.
macro_rules! say {
    ($($text:tt)*) => {
        $crate::common::show(&format!("{}\n", format_args!($($text)*)))
    };
}

pub(crate) mod clock;
#[cfg(feature = "ldif")]
pub(crate) mod config;
pub(crate) mod memory;
pub(crate) mod overrides;
#[cfg(feature = "ldif")]
pub(crate) mod people;
pub(crate) mod progress;
pub(crate) mod records;
pub(crate) mod review;
pub(crate) mod time;

use std::error::Error;
use std::fmt::Display;
use std::io::Write as _;

use identity_sync::{Escaped, PlanError, ReconcileError};

/// An error of a program: a text, or whatever a library met.
pub(crate) type Trouble = Box<dyn Error + Send + Sync>;

/// The arguments of the program.
pub(crate) fn words() -> Result<Vec<String>, Trouble> {
    let words = std::env::args_os().skip(1).map(std::ffi::OsString::into_string);
    words
        .collect::<Result<_, _>>()
        .map_err(|word| format!("an argument is no UTF-8: {}", word.to_string_lossy()).into())
}

/// Prints a text as it is.
pub(crate) fn show(text: &impl Display) {
    write!(std::io::stdout(), "{text}").ok();
}

/// Why there is no plan, and by which verb a person goes on where what is found is meant.
pub(crate) fn advise(error: ReconcileError) -> Trouble {
    match error {
        ReconcileError::Plan(error @ (PlanError::OtherSource { .. } | PlanError::OlderSource { .. })) => {
            format!("{error}; `sync accept-source` where that is meant").into()
        }
        error => error.into(),
    }
}

/// An error in one line. An adapter's error says what it did; what went wrong underneath is its source.
pub(crate) fn line(error: &Trouble) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(cause) = below {
        // Some errors repeat their cause in their own text.
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        below = cause.source();
    }
    // Names in it are escaped already, and that must not happen twice; paths and what they hold may not be.
    let plain = text.replace('\\', "");
    if Escaped(&plain).to_string() == plain { text } else { Escaped(&text).to_string() }
}
