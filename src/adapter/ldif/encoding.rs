//! The octets of an export to the octets of its text: byte order marks, and UTF-16 as `ldifde -u` writes it.

use std::borrow::Cow;

use super::error::{Fault, LdifError};

/// The text in UTF-8, as far as it is text: values may hold anything.
pub(super) fn decode(octets: &[u8]) -> Result<Cow<'_, [u8]>, LdifError> {
    if let Some(text) = octets.strip_prefix(b"\xef\xbb\xbf") {
        return Ok(Cow::Borrowed(text));
    }
    if let Some(units) = octets.strip_prefix(b"\xff\xfe") {
        return utf16(units, u16::from_le_bytes).map(Cow::Owned);
    }
    if let Some(units) = octets.strip_prefix(b"\xfe\xff") {
        return utf16(units, u16::from_be_bytes).map(Cow::Owned);
    }
    Ok(Cow::Borrowed(octets))
}

fn utf16(octets: &[u8], unit: fn([u8; 2]) -> u16) -> Result<Vec<u8>, LdifError> {
    let mut pairs = octets.chunks_exact(2);
    let units = pairs.by_ref().map(|pair| match pair {
        [a, b] => unit([*a, *b]),
        _ => 0,
    });
    let mut text = String::with_capacity(octets.len() / 2);
    let mut line = 1;
    for c in char::decode_utf16(units) {
        let c = c.map_err(|_| LdifError::at(line, Fault::Utf16))?;
        line += usize::from(c == '\n');
        text.push(c);
    }
    if !pairs.remainder().is_empty() {
        return Err(LdifError::at(line, Fault::Utf16));
    }
    Ok(text.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_removed_and_utf_16_is_converted() {
        assert_eq!(decode(b"\xef\xbb\xbfa").unwrap().as_ref(), b"a");
        let little: Vec<u8> = "\u{feff}é😀\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = "\u{feff}é😀\n".encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(decode(&little).unwrap().as_ref(), "é😀\n".as_bytes());
        assert_eq!(decode(&big).unwrap().as_ref(), "é😀\n".as_bytes());
    }

    #[test]
    fn broken_utf_16_names_its_line() {
        assert_eq!(decode(b"\xff\xfea\0\n\0\0\xd8b\0").unwrap_err().line(), Some(2));
        assert_eq!(decode(b"\xff\xfea\0\n\0a").unwrap_err().line(), Some(2));
    }
}
