//! Ids turned into dense numbers, once, on the way in. Everything behind works on the numbers.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

use crate::page::TextColumn;

/// Texts and their numbers, in the order in which they first came.
///
/// The hash is std's keyed SipHash, so that chosen ids cannot flood it (threat: hash flooding). Its random key decides
/// nothing but places in memory: no order ever depends on it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interner {
    texts: TextColumn,
    table: HashTable<Slot>,
    hasher: RandomState,
}

/// Half of the hash stays beside the number: most texts that differ are never looked at, and growing hashes nothing
/// again.
#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: u32,
    number: u32,
}

impl Interner {
    pub(crate) fn len(&self) -> usize {
        self.texts.len()
    }

    /// The number of a text, a new one where it is new.
    pub(crate) fn intern(&mut self, text: &str) -> u32 {
        let hash = self.hash(text);
        let Self { texts, table, .. } = self;
        let entry = table.entry(
            spread(hash),
            |slot| slot.hash == hash && texts.at(slot.number as usize) == text,
            |slot| spread(slot.hash),
        );
        match entry {
            hashbrown::hash_table::Entry::Occupied(known) => known.get().number,
            hashbrown::hash_table::Entry::Vacant(place) => {
                let number = texts.push(text) as u32;
                place.insert(Slot { hash, number });
                number
            }
        }
    }

    /// The numbers of many texts. Look-ups go in stages over a batch: those of a stage do not depend on each other, so
    /// that the processor waits for many places in memory at once.
    pub(crate) fn intern_all<'t>(
        &mut self,
        mut texts: impl Iterator<Item = &'t str>,
        numbers: &mut Vec<u32>,
    ) {
        const BATCH: usize = 64;
        let mut batch: Vec<&str> = Vec::with_capacity(BATCH);
        let mut hashes = [0u32; BATCH];
        let mut found = [u32::MAX; BATCH];
        let mut spans = [(0usize, 0usize); BATCH];
        loop {
            batch.clear();
            batch.extend(texts.by_ref().take(BATCH));
            if batch.is_empty() {
                return;
            }
            for (hash, text) in hashes.iter_mut().zip(&batch) {
                *hash = self.hash(text);
            }
            for (found, &hash) in found.iter_mut().zip(&hashes).take(batch.len()) {
                let slot = self.table.find(spread(hash), |slot| slot.hash == hash);
                *found = slot.map_or(u32::MAX, |slot| slot.number);
            }
            for (span, &number) in spans.iter_mut().zip(&found).take(batch.len()) {
                *span = self.texts.span(number as usize);
            }
            for i in 0..batch.len() {
                let same = self.texts.bytes(spans[i]) == batch[i].as_bytes() && found[i] != u32::MAX;
                // New, or another text with the same half hash.
                numbers.push(if same { found[i] } else { u32::MAX });
            }
            let from = numbers.len() - batch.len();
            for (number, text) in numbers[from..].iter_mut().zip(&batch) {
                if *number == u32::MAX {
                    *number = self.intern(text);
                }
            }
        }
    }

    /// As many times `find`.
    pub(crate) fn find_all(&self, texts: &[&str], numbers: &mut Vec<Option<u32>>) {
        numbers.clear();
        let hashes: Vec<u32> = texts.iter().map(|text| self.hash(text)).collect();
        let found = hashes.iter().map(|&hash| {
            self.table.find(spread(hash), |slot| slot.hash == hash).map_or(u32::MAX, |slot| slot.number)
        });
        let found: Vec<u32> = found.collect();
        let spans: Vec<(usize, usize)> =
            found.iter().map(|&number| self.texts.span(number as usize)).collect();
        for ((text, &number), span) in texts.iter().zip(&found).zip(spans) {
            let same = number != u32::MAX && self.texts.bytes(span) == text.as_bytes();
            numbers.push(if same { Some(number) } else { self.find(text) });
        }
    }

    pub(crate) fn find(&self, text: &str) -> Option<u32> {
        let hash = self.hash(text);
        self.table
            .find(spread(hash), |slot| slot.hash == hash && self.texts.at(slot.number as usize) == text)
            .map(|slot| slot.number)
    }

    /// The text of a number; empty for a number that was never given.
    pub(crate) fn text(&self, number: u32) -> &str {
        self.texts.at(number as usize)
    }

    fn hash(&self, text: &str) -> u32 {
        (self.hasher.hash_one(text) >> 32) as u32
    }
}

/// The table takes its place from the low bits and its tag from the high ones: give it the kept half in both.
fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_dense_and_stable() {
        let mut interner = Interner::default();
        let numbers: Vec<u32> = (0..1000).map(|i| interner.intern(&format!("anchor-{}", i % 500))).collect();
        assert_eq!(numbers[..500], numbers[500..]);
        assert_eq!(interner.len(), 500);
        assert_eq!(interner.text(7), "anchor-7");
        assert_eq!(interner.find("anchor-499"), Some(499));
        assert_eq!(interner.find("nobody"), None);
    }
}
