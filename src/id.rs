//! Identifiers, each a type of its own, so that one can never stand where another is meant.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

use crate::escape::Escaped;

macro_rules! text_id {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Box<str>);

        impl $name {
            /// Takes the text as it is; no normalisation ever happens (rule M2).
            pub fn new(text: impl Into<Box<str>>) -> Self {
                Self(text.into())
            }

            /// The text, byte for byte as it was given.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                Escaped(&self.0).fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), Escaped(&self.0))
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

text_id! {
    /// The immutable id of an object in the source, compared as bytes (rule M2).
    #[doc(alias = "immutableId")]
    #[doc(alias = "objectGUID")]
    SourceAnchor
}
text_id! {
    /// Who issued an anchor: one name per directory. It tells our records from those of other engines (rule M7).
    Issuer
}
text_id! {
    /// The id that the store gave to a record (SCIM `id`).
    StoreId
}
text_id! {
    /// The version of a store record (SCIM `meta.version`, an ETag, a row version), opaque to the engine (rule P7).
    Version
}

/// The link between a store record and an object of the source, written once and never re-pointed (rule M1).
#[doc(alias = "externalId")]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExternalId {
    /// Which directory the anchor belongs to.
    pub issuer: Issuer,
    /// The anchor there.
    pub value: SourceAnchor,
}

impl ExternalId {
    /// Joins an issuer and an anchor.
    pub fn new(issuer: impl Into<Issuer>, value: impl Into<SourceAnchor>) -> Self {
        Self { issuer: issuer.into(), value: value.into() }
    }
}

impl fmt::Display for ExternalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.issuer, self.value)
    }
}

/// How a store compares the values of an attribute (rule M2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MatchRule {
    /// Byte for byte, after trimming.
    Exact,
    /// ASCII letters without regard to case.
    AsciiCaseFold,
    /// NFKC and full case folding, applied until stable.
    #[default]
    NfkcCasefold,
}

/// A value in the form in which two values are compared. Never written anywhere (rule M2).
///
/// `rule.key(rule.key(s).as_str()) == rule.key(s)` for every text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MatchKey(Box<str>);

impl MatchKey {
    /// The key's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl MatchRule {
    /// The match key of a value; linear in its length.
    pub fn key(self, value: &str) -> MatchKey {
        MatchKey(self.fold(value).into())
    }

    /// The text of the key; borrowed where the value is its own key already.
    pub(crate) fn fold(self, value: &str) -> Cow<'_, str> {
        let trimmed = value.trim();
        match self {
            Self::Exact => Cow::Borrowed(trimmed),
            // ASCII needs neither normalisation nor tables: its folding is the lower case.
            _ if trimmed.is_ascii() || self == Self::AsciiCaseFold => {
                if trimmed.bytes().any(|b| b.is_ascii_uppercase()) {
                    Cow::Owned(trimmed.to_ascii_lowercase())
                } else {
                    Cow::Borrowed(trimmed)
                }
            }
            Self::AsciiCaseFold => Cow::Borrowed(trimmed),
            Self::NfkcCasefold => Cow::Owned(nfkc_casefold(trimmed)),
        }
    }
}

/// Folding can undo normalisation and the reverse (`ᴮ` → `B` → `b`), so both are repeated until nothing changes.
fn nfkc_casefold(text: &str) -> String {
    let mut key: String = text.nfkc().collect();
    loop {
        let folded: String = caseless::default_case_fold_str(&key).nfkc().collect();
        // Compatibility characters may turn into spaces: trim inside the loop, so that the key is stable too.
        let next = folded.trim();
        if next == key {
            return key;
        }
        key = next.to_owned();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bob_and_bob_are_one_name() {
        // rule M2
        let key = |s| MatchRule::NfkcCasefold.key(s);
        assert_eq!(key("Bob"), key(" bob "));
        assert_eq!(key("ᴮᴵᴳᴮᴵᴿᴰ"), key("bigbird"));
        assert_eq!(key("Straße"), key("STRASSE"));
        assert_eq!(key("\u{212a}"), key("k"));
        assert_eq!(key("ſ"), key("s"));
        assert_eq!(key("ﬀ"), key("FF"));
        assert_eq!(key("e\u{301}"), key("é"));
        assert_eq!(key("ｆｕｌｌ"), key("FULL"));
        assert_ne!(key("mıke"), key("mike"));
        assert_ne!(MatchRule::AsciiCaseFold.key("É"), MatchRule::AsciiCaseFold.key("é"));
        assert_ne!(MatchRule::Exact.key("Bob"), MatchRule::Exact.key("bob"));
    }

    #[test]
    fn ids_show_no_control_characters() {
        // rule S2
        assert_eq!(format!("{:?}", SourceAnchor::from("a\n\u{202e}b")), "SourceAnchor(a\\n\\u{202e}b)");
    }

    proptest! {
        #[test]
        fn a_key_is_its_own_key(text in any::<String>()) {
            // rule M2
            for rule in [MatchRule::Exact, MatchRule::AsciiCaseFold, MatchRule::NfkcCasefold] {
                let key = rule.key(&text);
                prop_assert_eq!(rule.key(key.as_str()), key);
            }
        }
    }
}
