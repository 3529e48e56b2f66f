//! What a source is able to hold, and the anchors and values that a description makes of it.

use std::collections::BTreeMap;

use super::super::random::mix;

/// The words that a source understands: which attributes it has and what its anchors look like. Descriptions for its
/// conformance suite use nothing else.
///
/// The default is that of Active Directory, with any text as an anchor.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Vocabulary {
    /// What an anchor looks like.
    pub anchors: AnchorForm,
    /// Attributes of users that have one value, any text.
    pub user_values: Vec<String>,
    /// Attributes of users that may have several values.
    pub user_lists: Vec<String>,
    /// Attributes of groups that have one value, any text.
    pub group_values: Vec<String>,
    /// Attributes of groups that may have several values.
    pub group_lists: Vec<String>,
    /// Whether groups may be members of groups.
    pub nesting: bool,
}

impl Default for Vocabulary {
    fn default() -> Self {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Self {
            anchors: AnchorForm::Text,
            user_values: names(&["userPrincipalName", "displayName", "title"]),
            user_lists: names(&["proxyAddresses"]),
            group_values: names(&["cn", "description"]),
            group_lists: Vec::new(),
            nesting: true,
        }
    }
}

/// What the anchors of a source look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AnchorForm {
    /// Any text, compared as bytes (rule M2).
    #[default]
    Text,
    /// A UUID in lower case, as of `objectGUID` and `entryUUID`.
    Uuid,
}

impl AnchorForm {
    /// The anchor of this number: one of its own for each.
    pub fn anchor(self, number: usize) -> String {
        match self {
            Self::Text => format!("object-{number:05}"),
            Self::Uuid => uuid(number),
        }
    }
}

fn uuid(number: usize) -> String {
    let (high, low) = (mix(number as u64), mix(!(number as u64)));
    // Version and variant as RFC 9562 has them for random ones, since some sources look at that.
    let (third, fourth) = (0x4000 | (high & 0x0fff), 0x8000 | (low >> 48 & 0x3fff));
    format!(
        "{:08x}-{:04x}-{third:04x}-{fourth:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        low & 0xffff_ffff_ffff
    )
}

impl Vocabulary {
    /// The default words, with UUIDs for anchors.
    pub fn with_uuids() -> Self {
        Self { anchors: AnchorForm::Uuid, ..Self::default() }
    }

    /// A plain value for each attribute of a user.
    pub fn user(&self, number: usize) -> BTreeMap<String, Vec<String>> {
        plain(&self.user_values, number)
    }

    /// A plain value for each attribute of a group.
    pub fn group(&self, number: usize) -> BTreeMap<String, Vec<String>> {
        plain(&self.group_values, number)
    }
}

fn plain(names: &[String], number: usize) -> BTreeMap<String, Vec<String>> {
    names.iter().map(|name| (name.clone(), vec![format!("{name} {number}")])).collect()
}

/// Texts that have broken one system or another: quotes, wild cards, separators, signs of several bytes, two ways to write
/// one letter, right to left, and letters whose case has no way back.
pub(in crate::testing) const ODD: &[&str] = &[
    "O'Brien",
    "a \"quoted\" name",
    "100% _ * ? [x]",
    "a,b=c+d;e\\f",
    "(|(cn=*))",
    "#hash",
    "<&>",
    "{\"a\":1}",
    "-- ; drop table users",
    "Müller",
    "Mu\u{308}ller",
    "İstanbul ı ß ſ",
    "山田太郎",
    "👩\u{200d}💻",
    "שלום",
    "null",
    "0",
    "true",
];

/// Anchors that differ by one thing only, or hold what is special somewhere. They are compared as bytes (rule M2).
pub(in crate::testing) fn odd_anchors() -> Vec<String> {
    let twins = ["Twin", "twin", "TWIN", "twin 1", "twin  1", "007", "7", "7.0", "é", "e\u{301}"];
    twins.iter().chain(ODD).map(|&anchor| anchor.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_number_has_an_anchor_of_its_own() {
        for form in [AnchorForm::Text, AnchorForm::Uuid] {
            let anchors: BTreeSet<String> = (0..2_000).map(|number| form.anchor(number)).collect();
            assert_eq!(anchors.len(), 2_000);
        }
        let odd = odd_anchors();
        assert_eq!(odd.iter().collect::<BTreeSet<_>>().len(), odd.len());
    }

    #[test]
    fn a_uuid_has_the_shape_of_one() {
        let uuid = AnchorForm::Uuid.anchor(1);
        let lengths: Vec<usize> = uuid.split('-').map(str::len).collect();
        assert_eq!((lengths, uuid.to_lowercase()), (vec![8, 4, 4, 4, 12], uuid));
    }
}
