//! The few forms of BER that controls are made of. Nothing here nests, so that no answer is deep enough to overflow.

/// A number, an octet string and a sequence.
const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const SEQUENCE: u8 = 0x30;

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut all = vec![tag];
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => all.push(short),
        _ => {
            let digits = length.to_be_bytes();
            let digits = digits.get(digits.iter().take_while(|b| **b == 0).count()..).unwrap_or_default();
            all.push(0x80 | u8::try_from(digits.len()).unwrap_or_default());
            all.extend_from_slice(digits);
        }
    }
    all.extend_from_slice(content);
    all
}

/// A number in as few octets as hold it with its sign.
pub(super) fn integer(number: i64) -> Vec<u8> {
    let octets = number.to_be_bytes();
    let mut start = 0;
    while let Some([first, second]) = octets.get(start..start + 2) {
        let redundant = (*first == 0 && second & 0x80 == 0) || (*first == 0xff && second & 0x80 != 0);
        if !redundant {
            break;
        }
        start += 1;
    }
    element(INTEGER, octets.get(start..).unwrap_or_default())
}

pub(super) fn octets(content: &[u8]) -> Vec<u8> {
    element(OCTETS, content)
}

pub(super) fn sequence(elements: &[Vec<u8>]) -> Vec<u8> {
    element(SEQUENCE, &elements.concat())
}

/// Reads elements one after the other.
pub(super) struct Reader<'t>(&'t [u8]);

impl<'t> Reader<'t> {
    /// The content of a sequence that fills its octets.
    pub(super) fn sequence(text: &'t [u8]) -> Option<Self> {
        let mut all = Self(text);
        let content = all.element(SEQUENCE)?;
        all.0.is_empty().then_some(Self(content))
    }

    pub(super) fn integer(&mut self) -> Option<i64> {
        let content = self.element(INTEGER)?;
        let (&first, _) = content.split_first()?;
        let start = if first & 0x80 == 0 { 0 } else { -1 };
        (content.len() <= 8).then(|| content.iter().fold(start, |number, b| number << 8 | i64::from(*b)))
    }

    pub(super) fn octets(&mut self) -> Option<&'t [u8]> {
        self.element(OCTETS)
    }

    fn element(&mut self, tag: u8) -> Option<&'t [u8]> {
        let (&found, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x84 => {
                let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (digits.iter().fold(0, |length, b| length << 8 | usize::from(*b)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        (found == tag).then_some(content)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(number in any::<i64>(), text in proptest::collection::vec(any::<u8>(), 0..400)) {
            let written = sequence(&[integer(number), octets(&text), integer(-number.saturating_abs())]);
            let mut read = Reader::sequence(&written).unwrap();
            prop_assert_eq!(read.integer(), Some(number));
            prop_assert_eq!(read.octets(), Some(text.as_slice()));
            prop_assert_eq!(read.integer(), Some(-number.saturating_abs()));
            prop_assert_eq!(read.integer(), None);
        }

        #[test]
        fn no_octets_panic(text in any::<Vec<u8>>()) {
            let mut read = Reader::sequence(&text).unwrap_or(Reader(&text));
            while read.integer().is_some() || read.octets().is_some() {}
        }
    }

    #[test]
    fn numbers_take_as_few_octets_as_they_need() {
        assert_eq!(integer(0), [2, 1, 0]);
        assert_eq!(integer(127), [2, 1, 127]);
        assert_eq!(integer(128), [2, 2, 0, 128]);
        assert_eq!(integer(-1), [2, 1, 0xff]);
        assert_eq!(integer(-2_147_483_648), [2, 4, 0x80, 0, 0, 0]);
        assert_eq!(octets(&[7; 200])[..3], [4, 0x81, 200]);
    }
}
