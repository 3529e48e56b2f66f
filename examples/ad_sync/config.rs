//! The configuration file: which directory, which store, who is assigned, which rules.

use std::collections::BTreeMap;
use std::fs;
use std::num::{NonZeroU16, NonZeroU32};
use std::path::{Path, PathBuf};
use std::time::Duration;

use identity_sync::adapter::ldap::{LdapOptions, Make, Security};
use identity_sync::{Issuer, Options, Period, Preset, Schedule, Timestamp};
use serde::Deserialize;

use crate::common::Trouble;
use crate::common::overrides::{for_issuer, one_line};
use crate::secret;
use crate::store::StoreTable;

/// As the file has it; the module documentation of the program explains each entry.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    issuer: Issuer,
    #[serde(default)]
    preset: Preset,
    source: SourceTable,
    store: StoreTable,
    assignments: AssignmentTable,
    #[serde(default)]
    run: RunTable,
    #[serde(default)]
    schedule: toml::Table,
    #[serde(default)]
    options: Options,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceTable {
    url: String,
    account: String,
    password_file: Option<PathBuf>,
    password_env: Option<String>,
    ca_file: Option<PathBuf>,
    security: Option<SecurityName>,
    base: Option<String>,
    user_filter: Option<String>,
    group_filter: Option<String>,
    anchor: Option<String>,
    identity: Option<Issuer>,
    page_size: Option<NonZeroU16>,
    make: Option<MakeName>,
    #[serde(default)]
    empty_groups: bool,
    /// By attribute the values that mean that an account is disabled.
    #[serde(default)]
    disabled: BTreeMap<String, Vec<String>>,
    range_size: Option<NonZeroU32>,
    connect_timeout: Option<Period>,
    timeout: Option<Period>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum MakeName {
    ActiveDirectory,
    Generic,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SecurityName {
    Ldaps,
    StartTls,
    PlainText,
}

/// Who has access: one of these ways, or several names in lists.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AssignmentTable {
    pub(crate) groups: Vec<String>,
    pub(crate) users: Vec<String>,
    pub(crate) file: Option<PathBuf>,
    pub(crate) store: bool,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RunTable {
    file: Option<PathBuf>,
    read_deadline: Period,
}

impl Default for RunTable {
    fn default() -> Self {
        Self { file: None, read_deadline: Period::of_hours(1) }
    }
}

/// What the file says, ready for use.
pub(crate) struct Config {
    pub(crate) issuer: Issuer,
    pub(crate) options: Options,
    pub(crate) schedule: Schedule,
    /// How often the directory is asked between two runs whether something has changed.
    pub(crate) watch: Option<Period>,
    pub(crate) assignments: AssignmentTable,
    pub(crate) store: StoreTable,
    /// Where the state of runs is kept, if not in the store.
    pub(crate) state_file: Option<PathBuf>,
    pub(crate) read_deadline: Period,
    pub(crate) folder: PathBuf,
    source: SourceTable,
}

impl Config {
    /// Reads it. Paths in it count from the folder that it is in.
    pub(crate) fn read(path: &Path) -> Result<Self, Trouble> {
        let shown = path.display();
        let text = fs::read_to_string(path).map_err(|error| format!("configuration {shown}: {error}"))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Ok(Self::parse(&text, folder).map_err(|error| format!("configuration {shown}: {error}"))?)
    }

    pub(crate) fn parse(text: &str, folder: &Path) -> Result<Self, String> {
        let wrong = |error: toml::de::Error| one_line(text, &error);
        // Twice: as the types that are meant, whose mistakes have a line, and as the table that says what was named.
        let file: File = toml::from_str(text).map_err(wrong)?;
        let mut table: toml::Table = toml::from_str(text).map_err(wrong)?;
        let options = for_issuer(&file.issuer, file.preset, table.remove("options"), file.options)?;
        let mut schedule = file.schedule;
        let watch = schedule.remove("watch").map(Period::deserialize).transpose();
        let watch = watch.map_err(|error| format!("schedule.watch: {}", error.message()))?;
        let schedule = Schedule::deserialize(schedule);
        let config = Self {
            issuer: file.issuer,
            options,
            schedule: schedule.map_err(|error| format!("schedule: {}", error.message()))?,
            watch: watch.filter(|period| *period > Period::ZERO),
            assignments: file.assignments,
            store: file.store,
            state_file: file.run.file.map(|file| folder.join(file)),
            read_deadline: file.run.read_deadline,
            folder: folder.to_owned(),
            source: file.source,
        };
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        let named = &self.assignments;
        let ways = [!(named.groups.is_empty() && named.users.is_empty()), named.file.is_some(), named.store];
        if ways.iter().filter(|&&way| way).count() != 1 {
            return Err("assignments: exactly one of groups and users, file, or store is needed".into());
        }
        let account_in = |url: &str| url.split_once("://").is_some_and(|(_, rest)| rest.contains('@'));
        if account_in(&self.source.url) {
            return Err("source.url: an address holds no account; there is source.account".into());
        }
        let waits = [("connect_timeout", self.source.connect_timeout), ("timeout", self.source.timeout)];
        if let Some((name, _)) = waits.into_iter().find(|(_, wait)| *wait == Some(Period::ZERO)) {
            return Err(format!("source.{name}: nothing is ever answered in no time"));
        }
        self.store.check(self.state_file.is_some(), named.store)
    }

    /// What every connection to the directory begins with. The password is read anew each time: it may have been changed.
    pub(crate) fn ldap(&self, now: Timestamp) -> Result<LdapOptions, Trouble> {
        let table = &self.source;
        let password = secret::read(
            "source.password",
            &self.folder,
            table.password_file.as_deref(),
            table.password_env.as_deref(),
        )?;
        let mut ldap = LdapOptions::new(&table.url, &table.account, password).now(now);
        if let Some(file) = &table.ca_file {
            let pem = fs::read(self.folder.join(file)).map_err(|error| format!("source.ca_file: {error}"))?;
            ldap = ldap.trust_pem(pem);
        }
        if let Some(security) = table.security {
            ldap = ldap.security(match security {
                SecurityName::Ldaps => Security::Ldaps,
                SecurityName::StartTls => Security::StartTls,
                SecurityName::PlainText => Security::PlainText,
            });
        }
        if let Some(base) = &table.base {
            ldap = ldap.base(base);
        }
        if let Some(anchor) = &table.anchor {
            ldap = ldap.anchor(anchor);
        }
        if let Some(identity) = &table.identity {
            ldap = ldap.identity(identity.clone());
        }
        if let Some(size) = table.page_size {
            ldap = ldap.page_size(size);
        }
        if let Some(make) = table.make {
            ldap = ldap.make(match make {
                MakeName::ActiveDirectory => Make::ActiveDirectory,
                MakeName::Generic => Make::Generic,
            });
        }
        for (attribute, values) in &table.disabled {
            ldap = ldap.disabled_where(attribute, values.clone());
        }
        if table.empty_groups {
            ldap = ldap.empty_groups();
        }
        if let Some(size) = table.range_size {
            ldap = ldap.range_size(size);
        }
        if let Some(most) = table.connect_timeout {
            ldap = ldap.connect_timeout(Duration::from_secs(most.seconds()));
        }
        if let Some(most) = table.timeout {
            ldap = ldap.timeout(Duration::from_secs(most.seconds()));
        }
        Ok(ldap)
    }

    /// The filters of the host, each with one more that must match, too.
    pub(crate) fn filters(&self, also: Option<&str>) -> (Option<String>, Option<String>) {
        let both = |own: &Option<String>| match (own, also) {
            (Some(own), Some(also)) => Some(format!("(&{own}{also})")),
            (own, also) => own.clone().or_else(|| also.map(str::to_owned)),
        };
        (both(&self.source.user_filter), both(&self.source.group_filter))
    }
}
