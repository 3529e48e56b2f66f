//! Short names for things that are remembered: the same content gives the same name everywhere.

use std::fmt;
use std::hash::Hasher as _;
use std::io;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use siphasher::sip128::{Hasher128 as _, SipHasher24};

/// 128 bits over parts of text. The key is fixed, since it protects nothing: whatever rests on equal fingerprints
/// errs on the side of doing less.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Fingerprint(u128);

impl Fingerprint {
    /// Of these parts, told apart by their lengths.
    pub(crate) fn of<'p>(parts: impl IntoIterator<Item = &'p str>) -> Self {
        let mut hasher = SipHasher24::new();
        for part in parts {
            hasher.write_u64(part.len() as u64);
            hasher.write(part.as_bytes());
        }
        Self(u128::from(hasher.finish128()))
    }
}

/// A fingerprint over what is written into it, of data in its JSON form.
///
/// A check against damage and slips, not against somebody who can compute it as well: a signature is the host's to add.
#[derive(Default)]
pub(crate) struct Digest(SipHasher24);

impl Digest {
    /// Adds a value; each one is told apart from the next.
    pub(crate) fn add<T: Serialize>(&mut self, value: &T) -> Result<(), serde_json::Error> {
        serde_json::to_writer(&mut *self, value)?;
        self.0.write_u8(b'\n'); // no JSON without spaces holds one
        Ok(())
    }

    pub(crate) fn finish(&self) -> Fingerprint {
        Fingerprint(u128::from(self.0.finish128()))
    }
}

impl io::Write for Digest {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:032x}", self.0))
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let parsed = u128::from_str_radix(&text, 16).ok().filter(|_| text.len() == 32);
        parsed.map(Self).ok_or_else(|| serde::de::Error::custom("not a fingerprint"))
    }
}
