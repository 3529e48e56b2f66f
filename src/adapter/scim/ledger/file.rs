//! A ledger in a file: lines of JSON, each with a checksum, only ever added to.

use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::hash::Hasher as _;
use std::io::{ErrorKind as IoKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher24;

use super::state::State;
use super::{Ledger, LedgerEntry};
use crate::error::{ErrorKind, StoreError};

/// A log that is shorter than this is not worth shortening.
const SHORT: usize = 1_000;

/// A [`Ledger`] in one file, which holds ids of groups and users and nothing else about anybody.
///
/// Each line has a checksum and is synchronised to the disk before a request that it announces is sent. A process that is
/// killed leaves at most half a line behind, which had announced nothing yet and is cut off before the next one is written;
/// any other damage refuses the file. The first line names the store, so that a file is never taken for another's.
///
/// Opening and reading change nothing, so that a dry run may look while another process writes. The first entry that is
/// appended makes the file, or shortens one that has grown long, which takes the old one's place in one step; and it locks it
/// for as long as this ledger lives: a second writer is refused, and so is one whose file was written, or replaced, since it
/// was read. The lock is the operating system's (`flock` on Unix); where a file system has none, that others do not write is
/// for the host to see to, and what they wrote is still noticed.
#[derive(Debug)]
pub struct FileLedger(Arc<Mutex<Open>>);

#[derive(Debug)]
struct Open {
    path: PathBuf,
    store: String,
    state: Writing,
}

#[derive(Debug)]
enum Writing {
    /// Nothing is written yet; what the file was like when it was read.
    NotYet(Seen),
    /// Locked, and so long when nobody else writes to it.
    At(Locked, u64),
    /// Something went wrong between two lines: nothing more is written to this file.
    Broken,
}

/// A file that nobody else writes to meanwhile.
///
/// Closing it would not always free it: a child that any thread is starting has all that this process has open, and the lock
/// with it, until it begins its own program.
#[derive(Debug)]
struct Locked(File);

impl Drop for Locked {
    #[allow(
        clippy::incompatible_msrv,
        reason = "the older compiler is promised for the core without features"
    )]
    fn drop(&mut self) {
        // Closing it frees it as well, if later: there is nothing to tell.
        let _ = self.0.unlock();
    }
}

/// Which file was read, and how much of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    /// `None`: there was no file.
    file: Option<(Identity, u64)>,
    /// Bytes of whole lines.
    whole: u64,
}

/// Device and number of a file: a name may stand for another one by now. Not known everywhere.
type Identity = Option<(u64, u64)>;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    identity_sync_ledger: u32,
    store: String,
}

const FORMAT: u32 = 1;

impl FileLedger {
    /// Opens the ledger of a store; one that is not there is made by the first entry. `store` is the store's name
    /// ([`StoreCapabilities::identity`](crate::StoreCapabilities::identity)): its address, unless another was chosen.
    ///
    /// Blocks on the disk, and reads the whole file. It writes nothing.
    ///
    /// # Errors
    ///
    /// `Invalid` where the file is damaged, another store's, or no ledger. `Permanent` where it cannot be read.
    pub fn open(path: impl AsRef<Path>, store: &str) -> Result<Self, StoreError> {
        let (path, store) = (path.as_ref().to_owned(), store.to_owned());
        let mut open = Open { path, store, state: Writing::NotYet(Seen::default()) };
        open.read()?;
        Ok(Self(Arc::new(Mutex::new(open))))
    }

    /// Runs where blocking is allowed; once begun, it goes on to its end.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Open) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let open = Arc::clone(&self.0);
        let run = move || work(&mut open.lock().unwrap_or_else(PoisonError::into_inner));
        match tokio::task::spawn_blocking(run).await {
            Ok(done) => done,
            Err(_) => Err(StoreError::new(ErrorKind::Permanent, "the ledger was not written")),
        }
    }
}

#[async_trait]
impl Ledger for FileLedger {
    async fn read(&self) -> Result<Vec<LedgerEntry>, StoreError> {
        self.blocking(Open::read).await
    }

    async fn append(&self, entries: &[LedgerEntry]) -> Result<(), StoreError> {
        let entries = entries.to_vec();
        self.blocking(move |open| open.append(&entries)).await
    }
}

impl Open {
    fn read(&mut self) -> Result<Vec<LedgerEntry>, StoreError> {
        let (text, file) = match File::open(&self.path).and_then(whole_text) {
            Ok((text, file)) => (text, Some(file)),
            Err(error) if error.kind() == IoKind::NotFound => (Vec::new(), None),
            Err(error) => return Err(failed("the ledger cannot be read", error)),
        };
        let (entries, whole) = parse(&text, &self.store)?;
        if let Writing::NotYet(seen) = &mut self.state {
            let file = file.map(|identity| (identity, text.len() as u64));
            *seen = Seen { file, whole: whole as u64 };
        }
        Ok(entries)
    }

    fn append(&mut self, entries: &[LedgerEntry]) -> Result<(), StoreError> {
        if let Writing::NotYet(seen) = &self.state {
            // Refused before anything is written: the file is as it was, and another try may find it free.
            let (file, length) = self.begin(&seen.clone())?;
            self.state = Writing::At(file, length);
        }
        let Writing::At(Locked(file), length) = &mut self.state else { return Err(written_by_others()) };
        let mut text = String::new();
        entries.iter().try_for_each(|entry| line(entry, &mut text))?;
        let is_ours = match (file.metadata(), std::fs::metadata(&self.path)) {
            (Ok(ours), Ok(named)) => identity(&ours) == identity(&named) && named.len() == *length,
            _ => false,
        };
        if !is_ours {
            self.state = Writing::Broken;
            return Err(written_by_others());
        }
        let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_data());
        *length += text.len() as u64;
        if let Err(error) = written {
            self.state = Writing::Broken;
            return Err(failed("the ledger cannot be written", error));
        }
        Ok(())
    }

    /// Makes the file ready for entries, and ours: locked, without half a line, and no longer than it has to be.
    fn begin(&self, seen: &Seen) -> Result<(Locked, u64), StoreError> {
        let unwritable = |error| failed("the ledger cannot be written", error);
        let old = match &seen.file {
            Some(_) => Some(lock(OpenOptions::new().append(true).open(&self.path).map_err(unwritable)?)?),
            None => None,
        };
        // Whoever wrote between our reading and our lock has told us things that we have not heard.
        self.is_as_it_was(seen)?;
        let entries = match &seen.file {
            Some((_, length)) if *length > 0 => {
                parse(&std::fs::read(&self.path).map_err(unwritable)?, &self.store)?.0
            }
            _ => Vec::new(),
        };
        let few = State::of(&entries).entries();
        let is_long = entries.len() > SHORT && few.len() < entries.len() / 2;
        match old {
            Some(old) if seen.whole > 0 && !is_long => {
                old.0.set_len(seen.whole).and_then(|()| old.0.sync_all()).map_err(unwritable)?;
                Ok((old, seen.whole))
            }
            // Also where it is new: the header is there whole, or not at all. The old one stays locked until it is replaced.
            old => {
                let replaced = self.replace(seen, &few);
                drop(old);
                replaced
            }
        }
    }

    fn is_as_it_was(&self, seen: &Seen) -> Result<(), StoreError> {
        let now = match std::fs::metadata(&self.path) {
            Ok(found) => Some((identity(&found), found.len())),
            Err(error) if error.kind() == IoKind::NotFound => None,
            Err(error) => return Err(failed("the ledger cannot be read", error)),
        };
        if now == seen.file { Ok(()) } else { Err(written_by_others()) }
    }

    /// Puts a new file in the place of the old one, which stays until the new one is whole and on the disk.
    fn replace(&self, seen: &Seen, entries: &[LedgerEntry]) -> Result<(Locked, u64), StoreError> {
        let mut text = String::new();
        line(&Header { identity_sync_ledger: FORMAT, store: self.store.clone() }, &mut text)?;
        entries.iter().try_for_each(|entry| line(entry, &mut text))?;
        let mut new = self.path.as_os_str().to_owned();
        new.push(".new");
        let new = PathBuf::from(new);
        let unwritable = |error| failed("the ledger cannot be written", error);
        let file = OpenOptions::new().append(true).create(true).open(&new).map_err(unwritable)?;
        // Two that begin at once meet here: the second is refused, or finds the first one's file in place.
        let mut locked = lock(file)?;
        self.is_as_it_was(seen)?;
        let Locked(file) = &mut locked;
        let mut put = || -> std::io::Result<()> {
            file.set_len(0)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&new, &self.path)?;
            // The name, too, has to be on the disk.
            match self.path.parent() {
                Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
                _ => File::open(".")?.sync_all(),
            }
        };
        put().map_err(unwritable)?;
        Ok((locked, text.len() as u64))
    }
}

fn written_by_others() -> StoreError {
    StoreError::new(
        ErrorKind::Permanent,
        "somebody else has written to the ledger, or a write of ours was cut: open it again",
    )
}

#[allow(clippy::incompatible_msrv, reason = "the older compiler is promised for the core without features")]
fn lock(file: File) -> Result<Locked, StoreError> {
    match file.try_lock() {
        Ok(()) => Ok(Locked(file)),
        Err(TryLockError::WouldBlock) => {
            Err(StoreError::new(ErrorKind::Permanent, "another process, or store, is writing to the ledger"))
        }
        Err(TryLockError::Error(error)) if error.kind() == IoKind::Unsupported => Ok(Locked(file)),
        Err(TryLockError::Error(error)) => Err(failed("the ledger cannot be locked", error)),
    }
}

fn whole_text(mut file: File) -> std::io::Result<(Vec<u8>, Identity)> {
    let mut text = Vec::new();
    std::io::Read::read_to_end(&mut file, &mut text)?;
    Ok((text, identity(&file.metadata()?)))
}

#[cfg(unix)]
fn identity(file: &Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt as _;
    Some((file.dev(), file.ino()))
}

#[cfg(not(unix))]
fn identity(_: &Metadata) -> Identity {
    None
}

fn failed(message: &str, error: std::io::Error) -> StoreError {
    StoreError::new(ErrorKind::Permanent, message).caused_by(error)
}

/// The checksum of a line. It finds damage, and protects from nobody.
fn checksum(text: &str) -> u64 {
    let mut hasher = SipHasher24::new();
    hasher.write(text.as_bytes());
    hasher.finish()
}

fn line<T: Serialize>(entry: &T, text: &mut String) -> Result<(), StoreError> {
    let json = serde_json::to_string(entry);
    let json =
        json.map_err(|_| StoreError::new(ErrorKind::Permanent, "an entry of the ledger cannot be written"))?;
    text.push_str(&format!("{:016x} {json}\n", checksum(&json)));
    Ok(())
}

/// The entries, and how many bytes are whole lines.
fn parse(text: &[u8], store: &str) -> Result<(Vec<LedgerEntry>, usize), StoreError> {
    let invalid = |message: &str| StoreError::new(ErrorKind::Invalid, message);
    let damaged = || invalid("the ledger is damaged, or is none");
    // Behind the last end of a line stands what was never finished.
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let lines = std::str::from_utf8(text.get(..whole).unwrap_or_default()).map_err(|_| damaged())?;
    let mut jsons = Vec::new();
    for line in lines.lines() {
        let (sum, json) = line.split_once(' ').ok_or_else(damaged)?;
        if u64::from_str_radix(sum, 16) != Ok(checksum(json)) {
            return Err(damaged());
        }
        jsons.push(json);
    }
    let Some((header, entries)) = jsons.split_first() else {
        // Never finished, or not ours: only an empty file, or the beginning of a header, is as good as none.
        return if text.is_empty() { Ok((Vec::new(), 0)) } else { Err(damaged()) };
    };
    let header: Header = serde_json::from_str(header).map_err(|_| damaged())?;
    if header.identity_sync_ledger != FORMAT {
        return Err(invalid("the ledger has a format that this program does not know"));
    }
    if header.store != store {
        return Err(invalid("the ledger belongs to another store"));
    }
    let entries = entries.iter().map(|json| serde_json::from_str(json).map_err(|_| damaged()));
    Ok((entries.collect::<Result<_, _>>()?, whole))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::state::tests::entry;
    use super::*;
    use crate::id::StoreId;

    fn added(group: &str, member: &str) -> LedgerEntry {
        LedgerEntry::Added { group: StoreId::from(group), members: vec![StoreId::from(member)] }
    }

    fn contents(path: &Path) -> Vec<u8> {
        std::fs::read(path).unwrap()
    }

    fn append(ledger: &FileLedger, entries: &[LedgerEntry]) -> Result<(), StoreError> {
        ledger.0.lock().unwrap().append(entries)
    }

    fn read(ledger: &FileLedger) -> Vec<LedgerEntry> {
        ledger.0.lock().unwrap().read().unwrap()
    }

    #[test]
    fn what_was_appended_is_read_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        let entries = [added("g", "a"), added("g\n\"é", "b")];
        append(&FileLedger::open(&path, "store").unwrap(), &entries).unwrap();
        assert_eq!(read(&FileLedger::open(&path, "store").unwrap()), entries);
        let error = FileLedger::open(&path, "another").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }

    #[test]
    fn a_line_that_was_cut_is_cut_off_and_any_other_damage_is_refused() {
        // rule C5
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        append(&FileLedger::open(&path, "store").unwrap(), &[added("g", "a"), added("g", "b")]).unwrap();
        let whole = contents(&path);
        let ends: Vec<usize> =
            whole.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1).collect();
        for length in ends[0]..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let kept = ends.iter().filter(|end| **end <= length).count() - 1;
            let ledger = FileLedger::open(&path, "store").unwrap();
            assert_eq!(read(&ledger).len(), kept, "{length} bytes");
            append(&ledger, &[added("g", "c")]).unwrap();
            assert_eq!(read(&FileLedger::open(&path, "store").unwrap()).len(), kept + 1);
        }
        for at in 0..whole.len() - 1 {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            std::fs::write(&path, &damaged).unwrap();
            assert!(FileLedger::open(&path, "store").is_err(), "byte {at}");
            assert_eq!(contents(&path), damaged, "a file that is refused stays as it was");
        }
    }

    #[test]
    fn a_second_writer_is_refused_and_may_write_when_the_first_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        // Also where neither finds a file.
        for (one, other) in [("a", "b"), ("c", "d")] {
            let (first, second) =
                (FileLedger::open(&path, "store").unwrap(), FileLedger::open(&path, "store").unwrap());
            append(&first, &[added("g", one)]).unwrap();
            let error = append(&second, &[added("g", other)]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Permanent);
            let third = FileLedger::open(&path, "store").unwrap();
            let error = append(&third, &[added("g", other)]).unwrap_err();
            assert_eq!(error.to_string(), "another process, or store, is writing to the ledger");
            append(&first, &[added("h", one)]).unwrap();
            drop(first);
            // These do not know what was written since they read.
            append(&second, &[added("g", other)]).unwrap_err();
            append(&third, &[added("g", other)]).unwrap_err();
            assert!(read(&third).ends_with(&[added("g", one), added("h", one)]));
            append(&third, &[added("g", other)]).unwrap();
        }
        assert_eq!(read(&FileLedger::open(&path, "store").unwrap()).len(), 6);
    }

    #[test]
    fn a_child_that_is_being_started_keeps_nobody_from_writing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        let first = FileLedger::open(&path, "store").unwrap();
        append(&first, &[added("g", "a")]).unwrap();
        // Between `fork` and `exec`, a child of any thread of this process has all that is open, as this copy has.
        let inherited = match &first.0.lock().unwrap().state {
            Writing::At(Locked(file), _) => file.try_clone().unwrap(),
            other => panic!("{other:?}"),
        };
        drop(first);
        append(&FileLedger::open(&path, "store").unwrap(), &[added("g", "b")]).unwrap();
        drop(inherited);
    }

    #[test]
    #[cfg(unix)]
    fn a_file_that_was_replaced_gets_no_entry_that_nobody_would_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        let writer = FileLedger::open(&path, "store").unwrap();
        append(&writer, &[added("g", "a")]).unwrap();
        // As long as the old one: only which file it is tells them apart.
        let copy = folder.path().join("copy");
        std::fs::copy(&path, &copy).unwrap();
        std::fs::rename(&copy, &path).unwrap();
        for _ in 0..2 {
            let error = append(&writer, &[added("g", "b")]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Permanent);
        }
        assert_eq!(read(&FileLedger::open(&path, "store").unwrap()), [added("g", "a")]);
        drop(writer);
        std::fs::remove_file(&path).unwrap();
        let late = FileLedger::open(&path, "store").unwrap();
        std::fs::write(&path, "a letter to my aunt\n").unwrap();
        append(&late, &[added("g", "b")]).unwrap_err();
        assert_eq!(contents(&path), b"a letter to my aunt\n");
    }

    #[test]
    fn opening_and_reading_change_nothing_also_while_somebody_writes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        let names = || {
            let names = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
            names.collect::<Vec<_>>()
        };
        assert_eq!(read(&FileLedger::open(&path, "store").unwrap()), []);
        assert!(names().is_empty());
        // Long enough to be shortened, and with half a line at its end.
        let entries: Vec<LedgerEntry> = (0..SHORT + 1).map(|_| added("g", "a")).collect();
        let writer = FileLedger::open(&path, "store").unwrap();
        append(&writer, &entries).unwrap();
        let mut cut = contents(&path);
        let length = cut.len();
        assert_eq!(read(&FileLedger::open(&path, "store").unwrap()).len(), entries.len());
        append(&writer, &[added("g", "b")]).unwrap();
        assert_eq!(read(&FileLedger::open(&path, "store").unwrap()).len(), entries.len() + 1);
        drop(writer);
        cut.extend_from_slice(&contents(&path)[length..length + 20]);
        std::fs::write(&path, &cut).unwrap();
        assert_eq!(read(&FileLedger::open(&path, "store").unwrap()).len(), entries.len());
        assert_eq!((contents(&path), names().len()), (cut, 1));
    }

    #[test]
    fn a_long_log_is_shortened_when_it_is_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        let entries: Vec<LedgerEntry> =
            (0..SHORT + 1).map(|n| added("g", if n % 2 == 0 { "a" } else { "b" })).collect();
        append(&FileLedger::open(&path, "store").unwrap(), &entries).unwrap();
        let ledger = FileLedger::open(&path, "store").unwrap();
        append(&ledger, &[added("h", "c")]).unwrap();
        assert!(contents(&path).len() < 500);
        let all: Vec<LedgerEntry> = entries.into_iter().chain([added("h", "c")]).collect();
        assert_eq!(State::of(&read(&ledger)), State::of(&all));
        append(&ledger, &[added("h", "d")]).unwrap();
        assert_eq!(read(&FileLedger::open(&path, "store").unwrap()).len(), 3);
    }

    #[test]
    fn a_file_of_somebody_else_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        for text in ["a letter to my aunt\n", "no line at all", "{}\n"] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(FileLedger::open(&path, "store").unwrap_err().kind(), ErrorKind::Invalid);
            assert_eq!(contents(&path), text.as_bytes());
        }
    }

    #[test]
    fn calls_need_a_runtime_and_answer_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = FileLedger::open(folder.path().join("ledger"), "store").unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            ledger.append(&[added("g", "a")]).await.unwrap();
            assert_eq!(ledger.read().await.unwrap(), [added("g", "a")]);
        });
    }

    proptest! {
        #[test]
        fn any_log_is_read_as_it_was_written(entries in proptest::collection::vec(entry(), 0..12)) {
            let mut text = String::new();
            line(&Header { identity_sync_ledger: FORMAT, store: "s".into() }, &mut text).unwrap();
            entries.iter().for_each(|entry| line(entry, &mut text).unwrap());
            prop_assert_eq!(parse(text.as_bytes(), "s").unwrap(), (entries, text.len()));
        }

        #[test]
        fn no_file_makes_a_panic(text in any::<Vec<u8>>()) {
            // rule S1
            let _ = parse(&text, "s");
        }
    }
}
