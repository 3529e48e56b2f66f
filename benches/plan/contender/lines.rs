//! The result in one form for all: a line per operation, per changed attribute, and per member that comes or goes.
//!
//! Lines have no order. Their digest is a sum of hashes, so that millions of them need not be sorted.

use std::error::Error;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufWriter, Write};
use std::path::Path;

pub(crate) struct Lines {
    count: u64,
    sums: [u64; 2],
    line: String,
    file: Option<BufWriter<File>>,
}

impl Lines {
    pub(crate) fn open(file: Option<&Path>) -> std::io::Result<Self> {
        let file = file.map(File::create).transpose()?.map(BufWriter::new);
        Ok(Self { count: 0, sums: [0; 2], line: String::new(), file })
    }

    /// A new object; its values in the order of their names, since nothing says in which they come.
    pub(crate) fn create<'t>(
        &mut self,
        kind: &str,
        anchor: &str,
        values: impl Iterator<Item = (&'t str, &'t str)>,
    ) -> std::io::Result<()> {
        let mut values: Vec<(&str, &str)> = values.collect();
        values.sort_unstable();
        self.push(
            ["create", kind, anchor]
                .into_iter()
                .chain(values.into_iter().flat_map(|(name, value)| [name, value])),
        )
    }

    pub(crate) fn push<'t>(&mut self, fields: impl IntoIterator<Item = &'t str>) -> std::io::Result<()> {
        self.line.clear();
        for field in fields {
            self.line.push_str(field);
            self.line.push('\t');
        }
        self.count += 1;
        for (salt, sum) in self.sums.iter_mut().enumerate() {
            let mut hasher = DefaultHasher::new();
            (salt, &self.line).hash(&mut hasher);
            *sum = sum.wrapping_add(hasher.finish());
        }
        match &mut self.file {
            Some(file) => writeln!(file, "{}", self.line),
            None => Ok(()),
        }
    }

    pub(crate) fn finish(self) -> Result<(), Box<dyn Error>> {
        if let Some(mut file) = self.file {
            file.flush()?;
        }
        println!("digest\t{} lines, {:016x}{:016x}", self.count, self.sums[0], self.sums[1]);
        Ok(())
    }
}
