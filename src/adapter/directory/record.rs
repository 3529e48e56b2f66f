//! An entry as a directory tells it, before anybody asks what it means.

use std::borrow::Cow;

/// A name with values, from a line of text or an answer of a server.
#[derive(Debug, Default)]
pub(in crate::adapter) struct Record<'t> {
    /// The line of its DN in a text; 0 elsewhere.
    pub(in crate::adapter) line: usize,
    pub(in crate::adapter) dn: Cow<'t, str>,
    pub(in crate::adapter) values: Vec<Value<'t>>,
    /// The text ends inside this record: values may be missing.
    pub(in crate::adapter) cut: bool,
}

/// A name and a value. Of a line of text they are taken apart on demand, so that a value is copied only where it was
/// folded or encoded.
#[derive(Debug)]
pub(in crate::adapter) struct Value<'t> {
    line: Cow<'t, [u8]>,
    colon: usize,
    start: usize,
    decoded: Option<Vec<u8>>,
}

impl<'t> Value<'t> {
    /// Of a line: the name ends at the colon, and the value starts where it says unless it was encoded.
    #[cfg(feature = "ldif")]
    pub(in crate::adapter) fn of_line(
        line: Cow<'t, [u8]>,
        colon: usize,
        start: usize,
        decoded: Option<Vec<u8>>,
    ) -> Self {
        Self { line, colon, start, decoded }
    }

    /// Of a name and octets that were told apart already.
    #[cfg(any(test, feature = "ldap"))]
    pub(in crate::adapter) fn of(name: &[u8], octets: Vec<u8>) -> Self {
        Self { line: Cow::Owned(name.to_vec()), colon: name.len(), start: name.len(), decoded: Some(octets) }
    }

    /// The attribute's name with its options, as spelled.
    pub(in crate::adapter) fn name(&self) -> &[u8] {
        self.line.get(..self.colon).unwrap_or_default()
    }

    pub(in crate::adapter) fn octets(&self) -> &[u8] {
        match &self.decoded {
            Some(decoded) => decoded,
            None => self.line.get(self.start..).unwrap_or_default(),
        }
    }

    /// The octets as they stand in the text, where nothing had to be copied.
    #[cfg(feature = "ldif")]
    pub(in crate::adapter) fn borrowed(&self) -> Option<&'t [u8]> {
        match (&self.line, &self.decoded) {
            (Cow::Borrowed(line), None) => line.get(self.start..),
            _ => None,
        }
    }

    pub(in crate::adapter) fn is(&self, name: &str) -> bool {
        self.name().eq_ignore_ascii_case(name.as_bytes())
    }
}
