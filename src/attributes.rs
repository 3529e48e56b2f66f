//! Attributes of many objects, packed: one text, offsets, and a shared list of names.
//!
//! A hash map per user costs fifty times more to build and compare, and seven times the memory. So rows of all
//! objects share one table, and [`Attributes`] is a view of one row with the interface of a map.

use std::fmt;

use indexmap::IndexSet;
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::escape::Escaped;

/// Marks a cell that says "could not be read" instead of holding a value.
const UNREADABLE: u32 = 1 << 31;

/// More names than any schema has that is not hostile.
const MANY_NAMES: usize = 4_096;

#[derive(Clone, Default)]
pub(crate) struct AttributeTable {
    names: IndexSet<Box<str>>,
    rows: Vec<RowStart>,
    cells: Vec<Cell>,
    text: String,
    unreadable: bool,
}

impl fmt::Debug for AttributeTable {
    /// How much it holds, not what (rule S2).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AttributeTable({} rows, {} values)", self.rows.len(), self.cells.len())
    }
}

#[derive(Clone, Copy, Debug)]
struct RowStart {
    cell: usize,
    text: usize,
}

#[derive(Clone, Copy, Debug)]
struct Cell {
    /// Index into the names; the top bit marks an unreadable attribute.
    name: u32,
    /// End of the value, from the start of the row's text.
    end: u32,
}

impl AttributeTable {
    pub(crate) fn clear(&mut self) {
        // Names are kept from page to page, unless somebody floods them.
        if self.names.len() > MANY_NAMES {
            self.names.clear();
        }
        self.rows.clear();
        self.cells.clear();
        self.text.clear();
    }

    /// Bytes of all values together.
    pub(crate) fn text_bytes(&self) -> usize {
        self.text.len()
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.names.iter().map(|name| &**name)
    }

    /// Opens a new row and answers its number; cells go into the newest row only.
    pub(crate) fn open_row(&mut self) -> usize {
        self.rows.push(RowStart { cell: self.cells.len(), text: self.text.len() });
        self.rows.len() - 1
    }

    /// The number of a name, added where it is new.
    pub(crate) fn name_index(&mut self, name: &str) -> u32 {
        match self.find_name(name) {
            Some(found) => found,
            None => self.names.insert_full(name.into()).0 as u32,
        }
    }

    pub(crate) fn find_name(&self, name: &str) -> Option<u32> {
        self.names.get_index_of(name).map(|i| i as u32)
    }

    /// The number of a name, tried first behind the last one: rows give their attributes in the same order. A new name
    /// is added only while there are fewer than `most`.
    pub(crate) fn name_index_after(&mut self, last: u32, name: &str, most: usize) -> Option<u32> {
        let next = last.wrapping_add(1);
        match self.names.get_index(next as usize) {
            Some(known) if **known == *name => Some(next),
            _ => match self.find_name(name) {
                Some(found) => Some(found),
                None if self.names.len() < most => Some(self.name_index(name)),
                None => None,
            },
        }
    }

    /// Adds a value to the newest row. `false` where the row's text would outgrow its offsets.
    pub(crate) fn push(&mut self, name: u32, value: &str) -> bool {
        let start = self.rows.last().map_or(0, |row| row.text);
        let Ok(end) = u32::try_from(self.text.len() - start + value.len()) else { return false };
        self.text.push_str(value);
        self.cells.push(Cell { name, end });
        true
    }

    /// Whether any row has an unreadable attribute.
    pub(crate) fn has_unreadable(&self) -> bool {
        self.unreadable
    }

    /// Whether any row has a value of this attribute; linear in all values.
    pub(crate) fn has_value_of(&self, name: &str) -> bool {
        let number = self.find_name(name);
        number.is_some_and(|number| self.cells.iter().any(|cell| cell.name == number))
    }

    /// Marks an attribute of the newest row as unreadable.
    pub(crate) fn push_unreadable(&mut self, name: u32) {
        self.unreadable = true;
        let start = self.rows.last().map_or(0, |row| row.text);
        // The length fits: every earlier cell of this row passed `push`.
        let end = (self.text.len() - start) as u32;
        self.cells.push(Cell { name: name | UNREADABLE, end });
    }

    /// Forgets what the newest row holds.
    pub(crate) fn reset_open_row(&mut self) {
        if let Some(row) = self.rows.last() {
            self.cells.truncate(row.cell);
            self.text.truncate(row.text);
        }
    }

    pub(crate) fn row(&self, row: usize) -> Attributes<'_> {
        match self.rows.get(row) {
            Some(start) => {
                let next = self.rows.get(row + 1);
                let cells = next.map_or(self.cells.len(), |n| n.cell);
                let text = next.map_or(self.text.len(), |n| n.text);
                Attributes {
                    names: Some(&self.names),
                    cells: &self.cells[start.cell..cells],
                    text: &self.text[start.text..text],
                }
            }
            None => Attributes::EMPTY,
        }
    }
}

/// The attributes of one object: a map from names to values, in the order in which they were given.
///
/// Values are as the other side wrote them; comparing them is the engine's work (rule A4).
#[derive(Clone, Copy)]
pub struct Attributes<'a> {
    names: Option<&'a IndexSet<Box<str>>>,
    cells: &'a [Cell],
    text: &'a str,
}

impl<'a> Attributes<'a> {
    /// No attributes.
    pub const EMPTY: Self = Self { names: None, cells: &[], text: "" };

    /// The first value of an attribute; linear in the number of the object's values.
    pub fn get(self, name: &str) -> Option<&'a str> {
        self.values(name).next()
    }

    /// All values of an attribute.
    pub fn values(self, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        let wanted = self.names.and_then(|names| names.get_index_of(name)).map(|i| i as u32);
        self.cells().filter(move |(found, _)| Some(*found) == wanted).map(|(_, value)| value)
    }

    /// Each value with its attribute's name.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.cells().filter_map(move |(name, value)| Some((self.name(name)?, value)))
    }

    /// The attributes that the other side says it could not read (rule A2).
    pub fn unreadable(self) -> impl Iterator<Item = &'a str> {
        self.cells
            .iter()
            .filter(|cell| cell.name & UNREADABLE != 0)
            .filter_map(move |cell| self.name(cell.name & !UNREADABLE))
    }

    fn name(self, number: u32) -> Option<&'a str> {
        Some(&**self.names?.get_index(number as usize)?)
    }

    /// Whether there is neither a value nor an unreadable attribute.
    pub fn is_empty(self) -> bool {
        self.cells.is_empty()
    }

    /// Number of the attribute and value, unreadable cells left out.
    pub(crate) fn cells(self) -> impl Iterator<Item = (u32, &'a str)> + use<'a> {
        let (cells, text) = (self.cells, self.text);
        let mut start = 0;
        cells.iter().filter_map(move |cell| {
            let value = &text[start..cell.end as usize];
            start = cell.end as usize;
            (cell.name & UNREADABLE == 0).then_some((cell.name, value))
        })
    }

    pub(crate) fn unreadable_cells(self) -> impl Iterator<Item = u32> + use<'a> {
        self.cells.iter().filter(|c| c.name & UNREADABLE != 0).map(|c| c.name & !UNREADABLE)
    }

    /// Same names, values and marks, whatever their order (rule M5: equal rows are one).
    pub(crate) fn same_as(self, other: Attributes<'_>) -> bool {
        fn sorted<'x>(a: Attributes<'x>) -> Vec<(bool, &'x str, &'x str)> {
            let values = a.iter().map(|(name, value)| (false, name, value));
            let mut all: Vec<_> = values.chain(a.unreadable().map(|name| (true, name, ""))).collect();
            all.sort_unstable();
            all
        }
        sorted(self) == sorted(other)
    }
}

impl Serialize for Attributes<'_> {
    /// A map; an attribute with one value is a text, with more a list.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut grouped = indexmap::IndexMap::<&str, Vec<&str>>::new();
        for (name, value) in self.iter() {
            grouped.entry(name).or_default().push(value);
        }
        let mut map = serializer.serialize_map(Some(grouped.len()))?;
        for (name, values) in grouped {
            match values.as_slice() {
                [one] => map.serialize_entry(name, one)?,
                many => map.serialize_entry(name, many)?,
            }
        }
        map.end()
    }
}

impl fmt::Debug for Attributes<'_> {
    /// Names and sizes only: which values are sensitive is for the attribute map to say (rule S2).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for (name, value) in self.iter() {
            map.entry(&format_args!("{}", Escaped(name)), &format_args!("[{} bytes]", value.len()));
        }
        map.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_reads_like_a_map() {
        let mut table = AttributeTable::default();
        for person in ["ada", "bob"] {
            table.open_row();
            let mail = table.name_index("mail");
            assert!(table.push(mail, &format!("{person}@example.com")));
            assert!(table.push(mail, &format!("{person}@example.org")));
            let photo = table.name_index("photo");
            table.push_unreadable(photo);
        }
        let bob = table.row(1);
        assert_eq!(bob.get("mail"), Some("bob@example.com"));
        assert_eq!(bob.values("mail").count(), 2);
        assert_eq!(bob.get("photo"), None);
        assert_eq!(bob.unreadable().collect::<Vec<_>>(), ["photo"]);
        assert!(table.row(2).is_empty());
    }

    #[test]
    fn debug_shows_no_value() {
        // rule S2
        let mut table = AttributeTable::default();
        table.open_row();
        let name = table.name_index("secret");
        assert!(table.push(name, "hunter2"));
        assert!(!format!("{:?}", table.row(0)).contains("hunter2"));
    }
}
