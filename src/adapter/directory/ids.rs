//! Binary ids of Active Directory: GUIDs and SIDs.

/// A GUID in canonical text, lower case.
///
/// Takes the sixteen octets as AD keeps them (the first three groups little-endian), or the text with or without
/// braces, as some tools write it.
pub(in crate::adapter) fn guid_text(value: &[u8]) -> Option<String> {
    if let Ok(&[a0, a1, a2, a3, b0, b1, c0, c1, d0, d1, e0, e1, e2, e3, e4, e5]) =
        <&[u8; 16]>::try_from(value)
    {
        return Some(format!(
            "{a3:02x}{a2:02x}{a1:02x}{a0:02x}-{b1:02x}{b0:02x}-{c1:02x}{c0:02x}-{d0:02x}{d1:02x}-\
             {e0:02x}{e1:02x}{e2:02x}{e3:02x}{e4:02x}{e5:02x}"
        ));
    }
    let text = std::str::from_utf8(value).ok()?.trim();
    uuid_text(text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or(text))
}

/// The sixteen octets of a GUID given as canonical text, as AD keeps them; `None` for any other text.
#[cfg(feature = "ldap")]
pub(in crate::adapter) fn guid_octets(text: &str) -> Option<[u8; 16]> {
    let text = uuid_text(text)?;
    let digits: String = text.split('-').collect();
    let value = u128::from_str_radix(&digits, 16).ok()?;
    let [a3, a2, a1, a0, b1, b0, c1, c0, rest @ ..] = value.to_be_bytes();
    let [d0, d1, e0, e1, e2, e3, e4, e5] = rest;
    Some([a0, a1, a2, a3, b0, b1, c0, c1, d0, d1, e0, e1, e2, e3, e4, e5])
}

/// A UUID given as text, in lower case.
pub(in crate::adapter) fn uuid_text(text: &str) -> Option<String> {
    let fits = |(i, b): (usize, u8)| match i {
        8 | 13 | 18 | 23 => b == b'-',
        _ => b.is_ascii_hexdigit(),
    };
    (text.len() == 36 && text.bytes().enumerate().all(fits)).then(|| text.to_ascii_lowercase())
}

/// A security identifier in its binary form.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::adapter) struct Sid(Box<[u8]>);

impl Sid {
    /// Takes the binary form, or the text `S-1-5-21-…`.
    pub(in crate::adapter) fn parse(value: &[u8]) -> Option<Self> {
        let octets = match value.strip_prefix(b"S-1-").or_else(|| value.strip_prefix(b"s-1-")) {
            Some(text) => Self::from_text(std::str::from_utf8(text).ok()?)?,
            None => value.to_vec(),
        };
        let [1, count, _, _, _, _, _, _, subs @ ..] = octets.as_slice() else { return None };
        (subs.len() == usize::from(*count) * 4).then(|| Self(octets.into()))
    }

    fn from_text(text: &str) -> Option<Vec<u8>> {
        let mut parts = text.split('-');
        let authority: u64 = parts.next()?.parse().ok()?;
        let subs = parts.map(|part| part.parse().ok()).collect::<Option<Vec<u32>>>()?;
        let mut octets = vec![1, u8::try_from(subs.len()).ok()?];
        octets.extend(authority.to_be_bytes().into_iter().skip(2));
        octets.extend(subs.into_iter().flat_map(u32::to_le_bytes));
        Some(octets)
    }

    /// The last part: which object of the domain it is.
    pub(in crate::adapter) fn rid(&self) -> Option<u32> {
        let (_, last) = self.0.split_last_chunk::<4>()?;
        (self.0.len() > 8).then(|| u32::from_le_bytes(*last))
    }

    /// Another object of the same domain.
    pub(in crate::adapter) fn sibling(&self, rid: u32) -> Option<Self> {
        self.rid()?;
        let (domain, _) = self.0.split_last_chunk::<4>()?;
        Some(Self(domain.iter().copied().chain(rid.to_le_bytes()).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_three_groups_of_a_guid_are_little_endian() {
        let octets: Vec<u8> = (0..16).collect();
        let text = "03020100-0504-0706-0809-0a0b0c0d0e0f";
        assert_eq!(guid_text(&octets).as_deref(), Some(text));
        assert_eq!(guid_text(b"{03020100-0504-0706-0809-0A0B0C0D0E0F}").as_deref(), Some(text));
        assert_eq!(guid_text(text.as_bytes()).as_deref(), Some(text));
        assert_eq!(guid_text(b"03020100-0504-0706-0809-0a0b0c0d0e0"), None);
        assert_eq!(guid_text(b""), None);
    }

    #[cfg(feature = "ldap")]
    #[test]
    fn octets_and_text_of_a_guid_are_each_others_inverse() {
        let octets: Vec<u8> = (0..16).collect();
        assert_eq!(guid_octets("03020100-0504-0706-0809-0A0B0C0D0E0F"), octets.try_into().ok());
        assert_eq!(guid_octets("{03020100-0504-0706-0809-0A0B0C0D0E0F}"), None);
    }

    #[test]
    fn a_sid_knows_its_siblings_in_either_form() {
        let user = Sid::parse(b"S-1-5-21-1-2-3-1105").unwrap();
        let group = Sid::parse(b"S-1-5-21-1-2-3-513").unwrap();
        assert_eq!(user.sibling(513), Some(group.clone()));
        assert_eq!(group.rid(), Some(513));
        assert_eq!(Sid::parse(&group.0), Some(group.clone()));
        assert_eq!(Sid::parse(&group.0[1..]), None);
        assert_eq!(Sid::parse(b"S-1-5-21-x"), None);
        assert_eq!(Sid::parse(b"S-1-5").and_then(|sid| sid.sibling(1)), None);
    }
}
