//! The files between the generator and the contenders: rows, one behind the other. Texts are written with their length,
//! ids as numbers ([`Guid`](super::Guid) makes the text).

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

pub(crate) struct Writer(BufWriter<File>);

impl Writer {
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        Ok(Self(BufWriter::with_capacity(1 << 18, File::create(path)?)))
    }

    pub(crate) fn number(&mut self, number: u32) -> io::Result<()> {
        self.0.write_all(&number.to_le_bytes())
    }

    pub(crate) fn texts(&mut self, texts: &[String]) -> io::Result<()> {
        for text in texts {
            self.number(text.len() as u32)?;
            self.0.write_all(text.as_bytes())?;
        }
        Ok(())
    }

    pub(crate) fn numbers(&mut self, numbers: &[u32]) -> io::Result<()> {
        self.number(numbers.len() as u32)?;
        numbers.iter().try_for_each(|&number| self.number(number))
    }

    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.0.flush()
    }
}

struct Reader(BufReader<File>);

impl Reader {
    fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(BufReader::with_capacity(1 << 18, File::open(path)?)))
    }

    /// `None` at the end of the file.
    fn first_number(&mut self) -> io::Result<Option<u32>> {
        let mut bytes = [0; 4];
        match self.0.read_exact(&mut bytes) {
            Ok(()) => Ok(Some(u32::from_le_bytes(bytes))),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn number(&mut self) -> io::Result<u32> {
        self.first_number()?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn texts(&mut self, into: &mut [String]) -> io::Result<()> {
        for text in into {
            let mut bytes = std::mem::take(text).into_bytes();
            bytes.resize(self.number()? as usize, 0);
            self.0.read_exact(&mut bytes)?;
            *text = String::from_utf8(bytes).map_err(io::Error::other)?;
        }
        Ok(())
    }

    fn numbers(&mut self, into: &mut Vec<u32>) -> io::Result<()> {
        into.clear();
        for _ in 0..self.number()? {
            into.push(self.number()?);
        }
        Ok(())
    }
}

/// A file that holds one list of numbers.
pub(crate) fn numbers(path: &Path) -> io::Result<Vec<u32>> {
    let mut found = Vec::new();
    Reader::open(path)?.numbers(&mut found)?;
    Ok(found)
}

/// Users, one after the other; each overwrites the one before.
pub(crate) struct UserTape {
    reader: Reader,
    pub(crate) number: u32,
    pub(crate) values: Vec<String>,
}

impl UserTape {
    pub(crate) fn open(path: &Path, attributes: usize) -> io::Result<Self> {
        Ok(Self { reader: Reader::open(path)?, number: 0, values: vec![String::new(); attributes] })
    }

    /// Whether there was one more.
    pub(crate) fn advance(&mut self) -> io::Result<bool> {
        let Some(number) = self.reader.first_number()? else { return Ok(false) };
        self.number = number;
        self.reader.texts(&mut self.values)?;
        Ok(true)
    }
}

/// Groups with their direct members, one after the other.
pub(crate) struct GroupTape {
    reader: Reader,
    pub(crate) number: u32,
    pub(crate) values: Vec<String>,
    pub(crate) members: Vec<u32>,
}

impl GroupTape {
    pub(crate) fn open(path: &Path, attributes: usize) -> io::Result<Self> {
        let reader = Reader::open(path)?;
        Ok(Self { reader, number: 0, values: vec![String::new(); attributes], members: Vec::new() })
    }

    /// Whether there was one more.
    pub(crate) fn advance(&mut self) -> io::Result<bool> {
        let Some(number) = self.reader.first_number()? else { return Ok(false) };
        self.number = number;
        self.reader.texts(&mut self.values)?;
        self.reader.numbers(&mut self.members)?;
        Ok(true)
    }
}
