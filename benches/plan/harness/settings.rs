//! The words on the command line.

use std::error::Error;

use crate::data::Scale;

pub(crate) struct Settings {
    pub(crate) scales: Vec<Scale>,
    pub(crate) pairs: usize,
    pub(crate) thrifty: bool,
}

impl Settings {
    /// `cargo bench` says `--bench`; whoever else runs this only wants to see that it works (`cargo test --benches`).
    pub(crate) fn from_words(words: &[&str]) -> Result<Self, Box<dyn Error>> {
        let named = |names: &[&str]| names.iter().filter_map(|name| Scale::named(name)).collect::<Vec<_>>();
        if !words.contains(&"--bench") || words.contains(&"--test") {
            return Ok(Self { scales: named(&["T"]), pairs: 1, thrifty: true });
        }
        let mut settings = Self { scales: Vec::new(), pairs: 3, thrifty: false };
        let mut words = words.iter().copied();
        while let Some(word) = words.next() {
            match word {
                "--bench" => {}
                "--all" => settings.scales = named(&["S", "M", "L"]),
                "--thrifty" => settings.thrifty = true,
                "--pairs" => {
                    settings.pairs = words.next().ok_or("--pairs needs a number")?.parse::<usize>()?.max(1)
                }
                name => {
                    settings.scales.push(Scale::named(name).ok_or_else(|| {
                        format!("`{name}` is neither a scale (S, M, L) nor --all, --pairs N, --thrifty")
                    })?);
                }
            }
        }
        if settings.scales.is_empty() {
            settings.scales = named(&["S", "M"]);
        }
        Ok(settings)
    }
}
