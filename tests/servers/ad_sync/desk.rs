//! The program, and a folder in which it runs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use crate::variable;

/// Builds the program once, as these tests were built.
fn program() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        // Whoever has built all tests has built it with them.
        if let Some(program) = std::env::var_os("AD_SYNC_PROGRAM") {
            return PathBuf::from(program);
        }
        let built = Command::new(env!("CARGO"))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(["build", "--quiet", "--profile", "test", "--all-features", "--example", "ad_sync"])
            .status()
            .unwrap();
        assert!(built.success());
        // …/deps/servers-HASH
        let here = std::env::current_exe().unwrap();
        here.parent().unwrap().parent().unwrap().join("examples/ad_sync")
    })
}

/// A folder with a configuration and what the program makes there.
pub(super) struct Desk {
    folder: tempfile::TempDir,
    /// The password of the directory's account.
    pub(super) password: String,
    /// Variables for the program, by their names; each is a secret.
    pub(super) secrets: Vec<(&'static str, String)>,
}

impl Desk {
    /// An empty one.
    pub(super) fn empty() -> Self {
        let password = variable("AD_SYNC_PASSWORD");
        Self { folder: tempfile::tempdir().unwrap(), password, secrets: Vec::new() }
    }

    /// One with a SQLite file.
    pub(super) fn new(assignments: &str) -> Self {
        let desk = Self::empty();
        desk.configure(assignments, &variable("AD_SYNC_ACCOUNT"), "");
        desk
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn configure(&self, assignments: &str, account: &str, more: &str) {
        self.configure_store("[store.sqlite]\nfile = \"identities.db\"", assignments, account, more);
    }

    pub(super) fn configure_store(&self, store: &str, assignments: &str, account: &str, more: &str) {
        let (url, ca) = (variable("AD_LDAPS_URL"), variable("AD_CA_FILE"));
        let text = format!(
            "issuer = \"corp.example.com\"\npreset = \"strict_offboarding\"\n\
             [source]\nurl = \"{url}\"\naccount = \"{account}\"\npassword_file = \"password\"\nca_file = \"{ca}\"\n\
             {store}\n[assignments]\n{assignments}\n{more}"
        );
        fs::write(self.path("ad_sync.toml"), text).unwrap();
        // Outside of what is searched for passwords later.
        let file = self.path("password");
        fs::write(&file, format!("{}\n", self.password)).unwrap();
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.current_dir(self.folder.path()).args(arguments);
        command.envs(self.secrets.iter().map(|(name, secret)| (name, secret)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs it to its end: exit code, standard output, error stream. Nothing that it says or writes holds the password.
    pub(super) fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = self.command(arguments).output().unwrap();
        self.heard(&output)
    }

    pub(super) fn heard(&self, output: &Output) -> (i32, String, String) {
        self.search_for_passwords();
        let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).unwrap();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        for secret in self.all_secrets() {
            assert!(!out.contains(secret) && !err.contains(secret), "a secret was shown");
        }
        (output.status.code().unwrap_or(-1), out, err)
    }

    fn all_secrets(&self) -> impl Iterator<Item = &str> {
        [self.password.as_str()].into_iter().chain(self.secrets.iter().map(|(_, secret)| secret.as_str()))
    }

    fn search_for_passwords(&self) {
        for entry in fs::read_dir(self.folder.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap() == "password" {
                continue;
            }
            let octets = fs::read(&path).unwrap_or_default();
            for secret in self.all_secrets() {
                let found = octets.windows(secret.len()).any(|part| part == secret.as_bytes());
                assert!(!found, "a secret is in {}", path.display());
            }
        }
    }

    /// All files but the configuration, by name.
    pub(super) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let entries = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        entries
            .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap()))
            .collect()
    }
}
