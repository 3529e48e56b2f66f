//! What all pages share: packed text, tokens, and how a read goes on or ends.

use std::fmt;

use crate::model::Completeness;

/// Many short texts in one allocation.
#[derive(Clone, Default)]
pub(crate) struct TextColumn {
    text: String,
    ends: Vec<usize>,
}

impl fmt::Debug for TextColumn {
    /// How much it holds, not what (rule S2).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TextColumn({} texts)", self.ends.len())
    }
}

impl TextColumn {
    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn push(&mut self, text: &str) -> usize {
        self.text.push_str(text);
        self.ends.push(self.text.len());
        self.ends.len() - 1
    }

    /// The text at an index; empty beyond the end.
    pub(crate) fn at(&self, index: usize) -> &str {
        let Some(&end) = self.ends.get(index) else { return "" };
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start..end]
    }

    pub(crate) fn span(&self, index: usize) -> (usize, usize) {
        let Some(&end) = self.ends.get(index) else { return (0, 0) };
        (index.checked_sub(1).map_or(0, |before| self.ends[before]), end)
    }

    pub(crate) fn bytes(&self, span: (usize, usize)) -> &[u8] {
        &self.text.as_bytes()[span.0..span.1]
    }

    /// Bytes of all texts together.
    pub(crate) fn text_bytes(&self) -> usize {
        self.text.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|i| self.at(i))
    }
}

/// Where a read goes on: octets that mean something to the adapter only.
///
/// Contract: a token is never used twice in one read and never changes its meaning while the read lasts. Use keyset
/// paging ("after this id"): with a shifting offset a skipped row would look deleted.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PageToken(Box<[u8]>);

impl PageToken {
    /// Takes the octets as they are.
    pub fn new(octets: impl Into<Box<[u8]>>) -> Self {
        Self(octets.into())
    }

    /// The octets.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The octets as text, where the adapter put text in.
    pub fn as_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

impl fmt::Debug for PageToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PageToken([{} bytes])", self.0.len())
    }
}

/// How a page ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PageEnd {
    /// There is more; ask again with this token.
    More(PageToken),
    /// That was all, and this is how much of the whole was seen (rule C1).
    Last(Completeness),
}

impl PageEnd {
    /// The last page of a read that saw everything.
    pub const COMPLETE: Self = Self::Last(Completeness::Complete);

    /// The last page of a read that did not see everything.
    pub fn partial(reason: impl Into<String>) -> Self {
        Self::Last(Completeness::partial(reason))
    }
}
