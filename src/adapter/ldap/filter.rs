//! Search filters and bases, built by types that escape: no text from outside becomes syntax.

use super::super::directory::ids::guid_octets;
use crate::error::{ErrorKind, SourceError};

/// A search filter (RFC 4515).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Filter(String);

impl Filter {
    /// An attribute has this value.
    pub(super) fn equal(attribute: &str, value: impl AsRef<[u8]>) -> Self {
        let value = value.as_ref();
        let mut text = String::with_capacity(attribute.len() + value.len() * 3 + 3);
        text.push('(');
        text.push_str(attribute);
        text.push('=');
        for &octet in value {
            if octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'@') {
                text.push(char::from(octet));
            } else {
                text.push_str(&format!("\\{octet:02x}"));
            }
        }
        text.push(')');
        Self(text)
    }

    /// An attribute has some value.
    pub(super) fn present(attribute: &str) -> Self {
        Self(format!("({attribute}=*)"))
    }

    /// A number is at least so great.
    pub(super) fn at_least(attribute: &str, number: &str) -> Self {
        let Self(equal) = Self::equal(attribute, number);
        Self(equal.replacen('=', ">=", 1))
    }

    pub(super) fn all(filters: impl IntoIterator<Item = Self>) -> Self {
        Self::joined('&', filters)
    }

    pub(super) fn any(filters: impl IntoIterator<Item = Self>) -> Self {
        Self::joined('|', filters)
    }

    pub(super) fn negated(self) -> Self {
        Self(format!("(!{})", self.0))
    }

    fn joined(sign: char, filters: impl IntoIterator<Item = Self>) -> Self {
        let mut text = format!("({sign}");
        for Self(filter) in filters {
            text.push_str(&filter);
        }
        text.push(')');
        Self(text)
    }

    /// What the host wrote, where it is one whole filter.
    pub(super) fn of_host(text: &str) -> Result<Self, SourceError> {
        match ldap3::parse_filter(text) {
            // The parser also takes a filter without its parentheses, which is none inside another.
            Ok(_) if text.starts_with('(') => Ok(Self(text.to_owned())),
            _ => {
                Err(SourceError::new(ErrorKind::Invalid, "a filter of the options is no filter of RFC 4515"))
            }
        }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a text may stand as an attribute's name, options included (RFC 4512).
pub(super) fn is_attribute_name(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b';' | b'_');
    !text.is_empty() && text.bytes().all(fits)
}

/// Where a search begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Base(String);

impl Base {
    /// A name as the server or the host wrote it: it is sent as it is.
    pub(super) fn named(dn: impl Into<String>) -> Self {
        Self(dn.into())
    }

    /// The object with this GUID, wherever it is (Active Directory); `None` where the text is no GUID.
    pub(super) fn guid(anchor: &str) -> Option<Self> {
        let octets = guid_octets(anchor)?;
        let hex: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
        Some(Self(format!("<GUID={hex}>")))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use ldap3::asn1::{ASNTag, PL, StructureTag, Tag};
    use proptest::prelude::*;

    use super::*;

    /// Name and value of an equality filter as the parser understands it.
    fn understood(filter: &Filter) -> Option<(Vec<u8>, Vec<u8>)> {
        let tag: Tag = ldap3::parse_filter(filter.as_str()).ok()?;
        let StructureTag { id: 3, payload: PL::C(parts), .. } = tag.into_structure() else { return None };
        let mut parts = parts.into_iter().map(StructureTag::expect_primitive);
        match (parts.next(), parts.next(), parts.next()) {
            (Some(Some(name)), Some(Some(value)), None) => Some((name, value)),
            _ => None,
        }
    }

    proptest! {
        #[test]
        fn whatever_is_escaped_is_understood_as_it_was(value in any::<Vec<u8>>()) {
            let filter = Filter::equal("objectGUID", &value);
            prop_assert_eq!(understood(&filter), Some((b"objectGUID".to_vec(), value)));
        }

        #[test]
        fn text_full_of_syntax_stays_a_value(value in "[()*\\\\&|!=<>~:a-c\u{0}é]*") {
            let filter = Filter::all([Filter::equal("uid", &value)]);
            let one = Filter::equal("uid", &value);
            prop_assert_eq!(understood(&one), Some((b"uid".to_vec(), value.into_bytes())));
            prop_assert!(ldap3::parse_filter(filter.as_str()).is_ok());
        }
    }

    #[test]
    fn filters_are_put_together() {
        let user = Filter::equal("objectClass", "user");
        let filter =
            Filter::all([user, Filter::any([Filter::present("a"), Filter::equal("b", [0xff, 0])]).negated()]);
        assert_eq!(filter.as_str(), "(&(objectClass=user)(!(|(a=*)(b=\\ff\\00))))");
        assert_eq!(Filter::at_least("uSNChanged", "7").as_str(), "(uSNChanged>=7)");
        assert!(ldap3::parse_filter(filter.as_str()).is_ok());
    }

    #[test]
    fn a_filter_of_the_host_is_one_whole_filter() {
        assert!(Filter::of_host("(&(a=b)(!(c=d)))").is_ok());
        for wrong in ["", "a=b", "(a=b", "(a=b))(c=d)", "(a=b)(c=d)", "(&(a=b)"] {
            assert!(Filter::of_host(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_base_by_guid_has_the_octets_in_the_order_of_the_directory() {
        let base = Base::guid("03020100-0504-0706-0809-0a0b0c0d0e0f").unwrap();
        assert_eq!(base.as_str(), "<GUID=000102030405060708090a0b0c0d0e0f>");
        assert_eq!(Base::guid("x>;CN=y"), None);
    }

    #[test]
    fn names_of_attributes_hold_no_syntax() {
        assert!(is_attribute_name("member;range=0-4".split('=').next().unwrap()));
        for wrong in ["", "a=b", "a)(b", "a b", "*"] {
            assert!(!is_attribute_name(wrong), "{wrong}");
        }
    }
}
