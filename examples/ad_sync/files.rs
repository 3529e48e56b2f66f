//! Files that are there as a whole or not at all.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::common::Trouble;

/// Writes a file under another name and puts it in place, so that nobody ever reads half of it, also after a power failure.
/// A new one is for its owner only: plans hold what people are called.
pub(crate) fn replace(file: &Path, text: &str) -> Result<(), Trouble> {
    // A link stays one; a pipe or a terminal cannot be replaced.
    let place = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let done = match fs::metadata(&place) {
        Ok(there) if !there.is_file() => fs::write(&place, text),
        _ => put(&place, text),
    };
    done.map_err(|error| format!("{}: {error}", file.display()).into())
}

fn put(place: &Path, text: &str) -> std::io::Result<()> {
    let new = beside(place);
    // Left by a run that was killed, or put there by somebody who would like to read along: neither is written to.
    fs::remove_file(&new).ok();
    let written = write_new(&new, text).and_then(|()| fs::rename(&new, place));
    if written.is_err() {
        fs::remove_file(&new).ok();
    }
    written?;
    // The name itself is on the disk only once its folder is.
    let folder = place.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    #[cfg(unix)]
    fs::File::open(folder)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

fn write_new(new: &Path, text: &str) -> std::io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut open = options.open(new)?;
    open.write_all(text.as_bytes())?;
    open.sync_all()
}

/// A name that a killed run leaves behind at most once for each process number.
fn beside(place: &Path) -> PathBuf {
    let mut name = place.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    place.with_file_name(name)
}
