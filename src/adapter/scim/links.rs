//! How {issuer, anchor} becomes the one `externalId` that SCIM has, and back.

use crate::id::{ExternalId, Issuer};

/// How external ids are written into SCIM's `externalId`, which is one text without an issuer (rules M1, M7).
///
/// A record without `externalId` has no external id: it is unmanaged, its names are conflicts for us, and it may be
/// adopted where the host asks for that (rule M3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExternalIds {
    /// `issuer:anchor`, with `%` and `:` in the issuer as `%25` and `%3A`. Whatever another system wrote reads as of another
    /// issuer (what stands before its first colon, nobody where there is none), so it is neither ours nor free to be
    /// adopted.
    #[default]
    WithIssuer,
    /// The anchor alone. *Every* record with an `externalId`, whoever wrote it, is taken for one of this issuer: it is updated,
    /// deactivated and deleted as the directory says. Only for a store, or a tenant of it, to which nobody else
    /// provisions. External ids of other issuers cannot be written.
    AnchorOnly {
        /// Whose anchors they are.
        issuer: Issuer,
    },
}

impl ExternalIds {
    /// The text for an external id; `None` where it cannot be written so that it reads back as the same.
    pub fn write(&self, id: &ExternalId) -> Option<String> {
        let anchor = id.value.as_str();
        if anchor.is_empty() {
            return None;
        }
        match self {
            Self::WithIssuer if id.issuer.as_str().is_empty() => None,
            Self::WithIssuer => {
                let issuer = id.issuer.as_str().replace('%', "%25").replace(':', "%3A");
                Some(format!("{issuer}:{anchor}"))
            }
            Self::AnchorOnly { issuer } => (id.issuer == *issuer).then(|| anchor.to_owned()),
        }
    }

    /// The external id that a text stands for. `None` only for an empty text.
    pub fn read(&self, text: &str) -> Option<ExternalId> {
        if text.is_empty() {
            return None;
        }
        let Self::AnchorOnly { issuer } = self else {
            return Some(match text.split_once(':') {
                Some((issuer, anchor)) if !anchor.is_empty() && is_escaped(issuer) => {
                    ExternalId::new(issuer.replace("%3A", ":").replace("%25", "%"), anchor)
                }
                // Not of our making: of nobody, whole.
                _ => ExternalId::new("", text),
            });
        };
        Some(ExternalId::new(issuer.clone(), text))
    }
}

/// Whether each `%` begins one of the two escapes, so that what we wrote and what somebody else wrote are never one.
fn is_escaped(issuer: &str) -> bool {
    !issuer.is_empty()
        && issuer.split('%').skip(1).all(|after| after.starts_with("25") || after.starts_with("3A"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_somebody_else_wrote_is_never_ours() {
        // rule M7
        let form = ExternalIds::WithIssuer;
        for text in ["3f2c", "azure-user-7", ":x", "corp:", "corp%:x", "corp%2x:y", "%"] {
            let read = form.read(text).unwrap();
            assert_ne!(read.issuer.as_str(), "corp", "{text}");
            assert!(!read.value.as_str().is_empty());
        }
        assert_eq!(form.read(""), None);
        assert_eq!(form.read("corp:3f2c"), Some(ExternalId::new("corp", "3f2c")));
        assert_eq!(form.read("corp:a:b"), Some(ExternalId::new("corp", "a:b")));
    }

    #[test]
    fn an_anchor_alone_takes_one_issuer() {
        let form = ExternalIds::AnchorOnly { issuer: "corp".into() };
        assert_eq!(form.write(&ExternalId::new("corp", "a:b")).as_deref(), Some("a:b"));
        assert_eq!(form.write(&ExternalId::new("partner", "a:b")), None);
        assert_eq!(form.read("a:b"), Some(ExternalId::new("corp", "a:b")));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_as_the_same(issuer in "[a-z:%2A5]{1,8}|\\PC+", anchor in "\\PC+") {
            // rule M1
            let id = ExternalId::new(issuer, anchor);
            let text = ExternalIds::WithIssuer.write(&id).unwrap();
            prop_assert_eq!(ExternalIds::WithIssuer.read(&text), Some(id));
        }

        #[test]
        fn two_texts_are_two_ids_unless_neither_is_ours(one in "[a-z:%23A5]{1,8}", other in "[a-z:%23A5]{1,8}") {
            prop_assume!(one != other);
            let (a, b) = (ExternalIds::WithIssuer.read(&one), ExternalIds::WithIssuer.read(&other));
            prop_assert!(a != b, "{} {}", one, other);
        }
    }
}
