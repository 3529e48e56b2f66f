//! Passwords and tokens: from a file or from the environment, never from the configuration itself.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use crate::common::Trouble;

/// Longest secret that is taken.
const LONGEST: u64 = 64 << 10;

/// The secret that `NAME_file` or `NAME_env` of a table of the configuration leads to. What stands there is in no message: somebody
/// may have written the secret itself.
pub(crate) fn read(
    name: &str,
    folder: &Path,
    file: Option<&Path>,
    variable: Option<&str>,
) -> Result<String, Trouble> {
    let text = match (file, variable) {
        (Some(file), None) => from_file(name, &folder.join(file))?,
        (None, Some(variable)) => from_environment(name, variable)?,
        _ => return Err(format!("exactly one of {name}_file and {name}_env is needed").into()),
    };
    // What an editor or `echo` puts behind it.
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(format!("{name} is empty").into());
    }
    if text.contains(['\n', '\r', '\0']) {
        return Err(format!("{name} has more than one line").into());
    }
    Ok(text.to_owned())
}

fn from_file(name: &str, file: &Path) -> Result<String, Trouble> {
    let wrong = |error: std::io::Error| format!("the file that {name}_file names: {error}");
    let open = fs::File::open(file).map_err(wrong)?;
    let about = open.metadata().map_err(wrong)?;
    if others_may_read(&about) {
        eprintln!("warning: others may read the file that {name}_file names");
    }
    let mut octets = Vec::new();
    open.take(LONGEST + 1).read_to_end(&mut octets).map_err(wrong)?;
    if octets.len() as u64 > LONGEST {
        return Err(format!("the file that {name}_file names is too long for a secret").into());
    }
    String::from_utf8(octets).map_err(|_| format!("the file that {name}_file names is no UTF-8").into())
}

fn from_environment(name: &str, variable: &str) -> Result<String, Trouble> {
    std::env::var(variable)
        .map_err(|_| format!("the environment variable that {name}_env names is not set, or no UTF-8").into())
}

#[cfg(unix)]
fn others_may_read(about: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    about.is_file() && about.permissions().mode() & 0o077 != 0
}

#[cfg(not(unix))]
fn others_may_read(_: &fs::Metadata) -> bool {
    false
}
