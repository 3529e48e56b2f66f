//! The configuration file: which export, which store, which rules.

use std::fs;
use std::path::{Path, PathBuf};

use identity_sync::adapter::ldif::{LdifOptions, LdifSource, LdifSummary};
use identity_sync::adapter::sqlite::SqliteStore;
use identity_sync::{Issuer, Options, Period, Preset, Schedule, Timestamp};
use serde::Deserialize;

use super::Trouble;
use super::overrides::{for_issuer, one_line};

/// As the file has it; `examples/data/sync.toml` explains each entry.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    issuer: Issuer,
    #[serde(default)]
    preset: Preset,
    #[serde(default = "every_second")]
    look_every: Period,
    export: Export,
    store: StoreFile,
    #[serde(default)]
    schedule: Schedule,
    #[serde(default)]
    options: Options,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Export {
    file: PathBuf,
    identity: Option<Issuer>,
    anchor: Option<String>,
    partial: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoreFile {
    file: PathBuf,
}

fn every_second() -> Period {
    Period::of_seconds(1)
}

/// What the file says, ready for use.
pub(crate) struct Config {
    pub(crate) issuer: Issuer,
    pub(crate) options: Options,
    pub(crate) schedule: Schedule,
    /// How often the daemon looks for changed files.
    pub(crate) look_every: Period,
    pub(crate) export_file: PathBuf,
    store_file: PathBuf,
    export: Export,
}

impl Config {
    /// Reads it. Paths in it count from the folder that it is in.
    pub(crate) fn read(path: &Path) -> Result<Self, Trouble> {
        let shown = path.display();
        let text = fs::read_to_string(path).map_err(|error| format!("configuration {shown}: {error}"))?;
        let wrong = |error: toml::de::Error| format!("configuration {shown}: {}", one_line(&text, &error));
        // Twice: as the types that are meant, whose mistakes have a line, and as the table that says what was named.
        let file: File = toml::from_str(&text).map_err(wrong)?;
        let mut table: toml::Table = toml::from_str(&text).map_err(wrong)?;
        let options = for_issuer(&file.issuer, file.preset, table.remove("options"), file.options)
            .map_err(|error| format!("configuration {shown}: {error}"))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Ok(Self {
            issuer: file.issuer,
            options,
            schedule: file.schedule,
            look_every: file.look_every,
            export_file: folder.join(&file.export.file),
            store_file: folder.join(file.store.file),
            export: file.export,
        })
    }

    /// The export as it is now; accounts expire by `now`.
    pub(crate) fn source(&self, now: Timestamp) -> Result<LdifSource, Trouble> {
        let mut options = LdifOptions::new().now(now);
        if let Some(identity) = &self.export.identity {
            options = options.identity(identity.clone());
        }
        if let Some(anchor) = &self.export.anchor {
            options = options.anchor(anchor.clone());
        }
        if let Some(reason) = &self.export.partial {
            options = options.partial(reason.clone());
        }
        let source = LdifSource::open(&self.export_file, &options);
        let source = source.map_err(|error| -> Trouble {
            let cause = super::line(&error.into());
            format!("export {}: {cause}", self.export_file.display()).into()
        })?;
        // Not even a domain is left in it that could be another one than before.
        let mut found = source.summary().clone();
        found.references = 0;
        if found == LdifSummary::default() {
            return Err(format!("export {}: the export holds no entries", self.export_file.display()).into());
        }
        Ok(source)
    }

    /// The store; a new file, where there is none.
    pub(crate) fn store(&self) -> Result<SqliteStore, Trouble> {
        SqliteStore::open(&self.store_file).map_err(|error| -> Trouble {
            let cause = super::line(&error.into());
            format!("store {}: {cause}", self.store_file.display()).into()
        })
    }
}
