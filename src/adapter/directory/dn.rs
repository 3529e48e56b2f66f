//! Distinguished names (RFC 4514), brought into the form in which two of them are compared.
//!
//! Comparing DNs as strings fails as soon as two tools escape differently: `\2C` and `\,` are one comma. So a
//! name is parsed and written anew: types in lower case and by their short names, values unescaped, folded, inner
//! spaces collapsed, RDNs of several values sorted. The old forms of RFC 2253 (`"quoted"`, `;`, `OID.`) are read too.

use std::borrow::Cow;

use crate::id::MatchRule;

/// A name in comparable form. Equal keys are equal names.
///
/// Inside a value `,` `+` and `\` are always escaped, so that the unescaped ones can only be separators.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::adapter) struct DnKey(Box<str>);

impl DnKey {
    /// The key of a name, or `None` where the text is no name. Linear in its length.
    pub(in crate::adapter) fn parse(text: &str) -> Option<Self> {
        let mut parser =
            Parser { rest: text, key: String::with_capacity(text.len() + 8), scratch: Vec::new() };
        parser.skip_spaces();
        if parser.rest.is_empty() {
            return Some(Self("".into()));
        }
        loop {
            let separator = parser.rdn()?;
            match separator {
                Some(_) => parser.key.push(','),
                None => return Some(Self(parser.key.into())),
            }
        }
    }

    /// Whether this names nobody at all.
    pub(in crate::adapter) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the object lives in another domain (rule E9): it is below the domain's own container for such objects.
    /// A container of that name anywhere else proves nothing: whoever may create one is not to be believed.
    pub(in crate::adapter) fn is_foreign(&self) -> bool {
        self.0.contains(",cn=foreignsecurityprincipals,dc=")
    }

    /// Whether this is the other name or a name below it.
    #[cfg(feature = "ldap")]
    pub(in crate::adapter) fn is_below(&self, other: &Self) -> bool {
        match self.0.strip_suffix(&*other.0) {
            // A comma inside a value is always escaped, so one before the suffix is a separator.
            Some(before) => before.is_empty() || other.0.is_empty() || before.ends_with(','),
            None => false,
        }
    }

    /// The last RDNs as long as they are domain components: `dc=corp,dc=example,dc=com`.
    pub(in crate::adapter) fn domain(&self) -> &str {
        let mut start = self.0.len();
        let mut end = self.0.len();
        loop {
            let head = self.0.get(..end).unwrap_or_default();
            let rdn = head.rfind(',').map_or(0, |comma| comma + 1);
            if !head.get(rdn..).is_some_and(|rdn| rdn.starts_with("dc=")) {
                break;
            }
            start = rdn;
            let Some(before) = rdn.checked_sub(1) else { break };
            end = before;
        }
        self.0.get(start..).unwrap_or_default()
    }
}

struct Parser<'t> {
    rest: &'t str,
    key: String,
    scratch: Vec<u8>,
}

/// Ends an RDN.
struct Comma;

impl Parser<'_> {
    fn skip_spaces(&mut self) {
        self.rest = self.rest.trim_start_matches(' ');
    }

    /// Reads an RDN with the separator after it; `Some(None)` at the end of the name.
    fn rdn(&mut self) -> Option<Option<Comma>> {
        let start = self.key.len();
        let mut several = false;
        let separator = loop {
            self.attribute_type()?;
            self.value()?;
            self.skip_spaces();
            let mut chars = self.rest.chars();
            let separator = chars.next();
            self.rest = chars.as_str();
            match separator {
                None => break None,
                Some(',' | ';') => break Some(Comma),
                Some('+') => {
                    several = true;
                    self.key.push('+');
                }
                Some(_) => return None,
            }
        };
        if several {
            let mut values: Vec<&str> = self.key.get(start..)?.split('+').collect();
            values.sort_unstable();
            let sorted = values.join("+");
            self.key.truncate(start);
            self.key.push_str(&sorted);
        }
        Some(separator)
    }

    fn attribute_type(&mut self) -> Option<()> {
        let (name, rest) = self.rest.split_once('=')?;
        let name = name.trim_matches(' ');
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        if name.is_empty() || !name.bytes().all(fits) {
            return None;
        }
        let start = self.key.len();
        self.key.push_str(name);
        let lower = self.key.get_mut(start..)?;
        lower.make_ascii_lowercase();
        if let Some(short) = short_name(lower) {
            self.key.truncate(start);
            self.key.push_str(short);
        }
        self.key.push('=');
        self.rest = rest;
        self.skip_spaces();
        Some(())
    }

    fn value(&mut self) -> Option<()> {
        match self.rest.as_bytes().first() {
            Some(b'"') => self.quoted(),
            Some(b'#') => self.hex(),
            _ => self.plain(),
        }
    }

    fn plain(&mut self) -> Option<()> {
        self.scratch.clear();
        // Ends of `rest` that are copied go up to a separator or a backslash; both are ASCII.
        loop {
            let stop = self.rest.bytes().position(|b| matches!(b, b',' | b'+' | b';' | b'\\'));
            let (before, rest) = self.rest.split_at_checked(stop.unwrap_or(self.rest.len()))?;
            self.rest = rest;
            if !rest.starts_with('\\') {
                if self.scratch.is_empty() {
                    push_folded(&mut self.key, before);
                    return Some(());
                }
                self.scratch.extend_from_slice(before.as_bytes());
                return self.push_scratch();
            }
            self.scratch.extend_from_slice(before.as_bytes());
            self.escape()?;
        }
    }

    fn quoted(&mut self) -> Option<()> {
        self.scratch.clear();
        self.rest = self.rest.strip_prefix('"')?;
        loop {
            let stop = self.rest.bytes().position(|b| matches!(b, b'"' | b'\\'))?;
            let (before, rest) = self.rest.split_at_checked(stop)?;
            self.scratch.extend_from_slice(before.as_bytes());
            self.rest = rest;
            if let Some(after) = rest.strip_prefix('"') {
                self.rest = after;
                return self.push_scratch();
            }
            self.escape()?;
        }
    }

    /// Takes a backslash with what it escapes: two hex digits are an octet, anything else stands for itself.
    fn escape(&mut self) -> Option<()> {
        let escaped = self.rest.strip_prefix('\\')?;
        if let Some(octet) = escaped.get(..2).and_then(hex_octet) {
            self.scratch.push(octet);
            self.rest = escaped.get(2..)?;
            return Some(());
        }
        let mut chars = escaped.chars();
        let mut utf8 = [0; 4];
        let literal = chars.next()?.encode_utf8(&mut utf8);
        self.scratch.extend_from_slice(literal.as_bytes());
        self.rest = chars.as_str();
        Some(())
    }

    /// `#` and the BER encoding in hex. A string in there is compared as the string that it is.
    fn hex(&mut self) -> Option<()> {
        let digits = self.rest.strip_prefix('#')?;
        let end = digits.bytes().position(|b| !b.is_ascii_hexdigit()).unwrap_or(digits.len());
        let (digits, rest) = digits.split_at_checked(end)?;
        if digits.is_empty() || digits.len() % 2 != 0 {
            return None;
        }
        self.rest = rest;
        self.scratch.clear();
        for pair in digits.as_bytes().chunks_exact(2) {
            self.scratch.push(std::str::from_utf8(pair).ok().and_then(hex_octet)?);
        }
        match ber_string(&self.scratch) {
            Some(text) => push_folded(&mut self.key, text),
            None => {
                self.key.push('#');
                self.key.extend(digits.chars().map(|c| c.to_ascii_lowercase()));
            }
        }
        Some(())
    }

    fn push_scratch(&mut self) -> Option<()> {
        push_folded(&mut self.key, std::str::from_utf8(&self.scratch).ok()?);
        Some(())
    }
}

fn hex_octet(pair: &str) -> Option<u8> {
    // `from_str_radix` alone would take a sign.
    pair.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u8::from_str_radix(pair, 16).ok())?
}

/// Adds a value as it is compared: folded, runs of spaces as one, separators escaped.
fn push_folded(key: &mut String, value: &str) {
    let folded: Cow<'_, str> = MatchRule::NfkcCasefold.fold(value);
    if folded.starts_with('#') {
        // Told apart from a hex value that is no string.
        key.push('\\');
    }
    let mut after_space = false;
    for c in folded.chars() {
        if c == ' ' && after_space {
            continue;
        }
        after_space = c == ' ';
        match c {
            ',' => key.push_str("\\2c"),
            '+' => key.push_str("\\2b"),
            '\\' => key.push_str("\\5c"),
            c => key.push(c),
        }
    }
}

/// The text of a BER string (octet, UTF-8, printable, T.61, IA5) that fills its octets exactly.
fn ber_string(octets: &[u8]) -> Option<&str> {
    let (&tag, rest) = octets.split_first()?;
    if !matches!(tag, 0x04 | 0x0c | 0x13 | 0x14 | 0x16) {
        return None;
    }
    let (&first, rest) = rest.split_first()?;
    let (length, content) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (digits, content) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |length, &digit| length << 8 | usize::from(digit)), content)
        }
        _ => return None,
    };
    (content.len() == length).then(|| std::str::from_utf8(content).ok())?
}

/// The short name of a type given by OID or by a long name, in lower case.
fn short_name(lower: &str) -> Option<&'static str> {
    Some(match lower.strip_prefix("oid.").unwrap_or(lower) {
        "2.5.4.3" | "commonname" => "cn",
        "2.5.4.4" | "surname" => "sn",
        "2.5.4.5" => "serialnumber",
        "2.5.4.6" | "countryname" => "c",
        "2.5.4.7" | "localityname" => "l",
        "2.5.4.8" | "stateorprovincename" => "st",
        "2.5.4.9" | "streetaddress" => "street",
        "2.5.4.10" | "organizationname" => "o",
        "2.5.4.11" | "organizationalunitname" => "ou",
        "2.5.4.12" => "title",
        "2.5.4.42" | "gn" => "givenname",
        "0.9.2342.19200300.100.1.1" | "userid" => "uid",
        "0.9.2342.19200300.100.1.3" | "rfc822mailbox" => "mail",
        "0.9.2342.19200300.100.1.25" | "domaincomponent" => "dc",
        "1.2.840.113549.1.9.1" | "emailaddress" => "e",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(text: &str) -> String {
        DnKey::parse(text).map(|key| key.0.into()).unwrap_or_else(|| panic!("no name: {text}"))
    }

    #[test]
    fn the_same_name_has_one_key_however_it_is_written() {
        for (one, other) in [
            ("CN=Smith\\, John,DC=x", "cn = smith\\2C john , dc = X"),
            ("CN=\"Smith, John\",DC=x", "CN=Smith\\, John;DC=x"),
            ("CN=Pat \\\"P\\\",DC=x", "CN=\"Pat \\\"P\\\"\",DC=x"),
            ("CN=Zo\\C3\\AB,DC=x", "CN=ZOË,DC=x"),
            ("CN=e\u{301},DC=x", "CN=é,DC=x"),
            ("OID.2.5.4.3=a,0.9.2342.19200300.100.1.25=x", "commonName=A,domainComponent=X"),
            ("CN=a+UID=b,DC=x", "uid=B + cn=A,dc=x"),
            ("CN=a   b,DC=x", "CN= a b ,DC=x"),
            ("CN=#0C03612062,DC=x", "CN=a b,DC=x"),
            ("CN=a\\\\b", "CN=a\\5Cb"),
            ("CN=\\#a", "CN=\\23A"),
            ("CN=", "cn = "),
        ] {
            assert_eq!(key(one), key(other), "{one} and {other}");
        }
    }

    #[test]
    fn different_names_have_different_keys() {
        for (one, other) in [
            ("OU=A,DC=x", "OU=AB,DC=x"),
            ("CN=a\\,OU=b,DC=x", "CN=a,OU=b,DC=x"),
            ("CN=a\\+OU=b", "CN=a+OU=b"),
            ("CN=a\\2cb", "CN=a2cb"),
            ("CN=a\\\\2cb", "CN=a\\2cb"),
            ("CN=#300100", "CN=\\#300100"),
            ("CN=a\\0ADEL:1", "CN=aDEL:1"),
            ("CN=a b", "CN=ab"),
        ] {
            assert_ne!(key(one), key(other), "{one} and {other}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in
            ["a", "CN", "=a", "CN=a,", ",CN=a", "CN=a,,DC=x", "CN=\"a", "CN=\"a\"b", "CN=a\\", "CN=\\FF"]
        {
            assert_eq!(DnKey::parse(text), None, "{text}");
        }
        for text in ["CN=#", "CN=#0", "CN=#0g", "C N=a", "CN=a+", "<GUID=1>;CN=a", "ć=a"] {
            assert_eq!(DnKey::parse(text), None, "{text}");
        }
        assert_eq!(key(""), "");
    }

    #[test]
    fn the_domain_is_the_trailing_components() {
        let domain = |text| DnKey::parse(text).map(|key| key.domain().to_owned());
        assert_eq!(domain("CN=a,DC=Corp,DC=Example").as_deref(), Some("dc=corp,dc=example"));
        assert_eq!(domain("DC=@,CN=b,DC=x").as_deref(), Some("dc=x"));
        assert_eq!(domain("DC=x").as_deref(), Some("dc=x"));
        assert_eq!(domain("o=Example,c=US").as_deref(), Some(""));
        assert_eq!(domain("").as_deref(), Some(""));
    }

    #[cfg(feature = "ldap")]
    #[test]
    fn a_name_is_below_itself_and_its_parents_only() {
        let below =
            |one, other| DnKey::parse(one).zip(DnKey::parse(other)).is_some_and(|(a, b)| a.is_below(&b));
        assert!(below("CN=a,OU=b,DC=x", "ou=B,dc=X") && below("DC=x", "dc=x") && below("DC=x", ""));
        assert!(!below("OU=ab,DC=x", "OU=b,DC=x") && !below("CN=a\\,OU=b,DC=x", "OU=b,DC=x"));
        assert!(!below("DC=x", "DC=a,DC=x"));
    }

    #[test]
    fn only_the_domains_own_container_makes_an_object_foreign() {
        // rule E9
        let foreign = |text| DnKey::parse(text).is_some_and(|key| key.is_foreign());
        assert!(foreign("CN=S-1-5-11,CN=ForeignSecurityPrincipals,DC=corp,DC=com"));
        assert!(!foreign("CN=g,CN=ForeignSecurityPrincipals,OU=mine,DC=corp,DC=com"));
        assert!(!foreign("CN=g\\,CN=ForeignSecurityPrincipals\\,DC=a,DC=com"));
        assert!(!foreign("CN=ForeignSecurityPrincipals,DC=corp,DC=com"));
    }

    /// As RFC 4514 says: the specials with a backslash, leading `#` and outer spaces too.
    fn escaped(value: &str) -> String {
        let last = value.chars().count().saturating_sub(1);
        let mut text = String::new();
        for (i, c) in value.chars().enumerate() {
            match c {
                '"' | '+' | ',' | ';' | '<' | '>' | '\\' => text.extend(['\\', c]),
                ' ' if i == 0 || i == last => text.push_str("\\ "),
                '#' if i == 0 => text.push_str("\\#"),
                '\0' => text.push_str("\\00"),
                c => text.push(c),
            }
        }
        text
    }

    proptest! {
        #[test]
        fn every_way_to_escape_a_value_gives_one_key(value in any::<String>()) {
            let hex: String = value.bytes().map(|b| format!("\\{b:02X}")).collect();
            let quoted: String = value.chars().flat_map(|c| {
                matches!(c, '"' | '\\').then_some('\\').into_iter().chain([c])
            }).collect();
            let mut expected = "cn=".to_owned();
            push_folded(&mut expected, &value);
            expected.push_str(",dc=x");
            prop_assert_eq!(key(&format!("CN={},DC=x", escaped(&value))), expected.clone());
            prop_assert_eq!(key(&format!("CN={hex},DC=x")), expected.clone());
            prop_assert_eq!(key(&format!("CN=\"{quoted}\",DC=x")), expected);
        }

        #[test]
        fn no_text_panics(text in any::<String>(), plain in "[cn=,+;\"\\\\#0-9a-f ]*") {
            // rule S1
            let _ = (DnKey::parse(&text), DnKey::parse(&plain));
        }
    }
}
