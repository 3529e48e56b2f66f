//! LDIF text to records (RFC 2849), one at a time; nothing here knows what an entry means.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::error::{Fault, LdifError};
use crate::adapter::directory::record::{Record, Value};

/// Longest line, unfolded.
const LINE_BYTES: usize = 64 << 20;

/// What the text says about itself beside its records.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Marks {
    /// The text does not end with a line end: its last line may be cut.
    pub(super) cut: bool,
    /// The first result code of a search that is not success.
    pub(super) failed: Option<u32>,
    /// A search was begun, and its result is not there.
    pub(super) unfinished: bool,
    /// The last page that was read said that more follow.
    pub(super) more_pages: bool,
    /// References to other servers, which nobody followed.
    pub(super) references: usize,
}

/// Reads records from LDIF text.
#[derive(Debug)]
pub(super) struct Records<'t> {
    lines: Lines<'t>,
    pub(super) marks: Marks,
}

impl<'t> Records<'t> {
    pub(super) fn new(text: &'t [u8]) -> Self {
        Self { lines: Lines { rest: text, number: 0, cut: false }, marks: Marks::default() }
    }

    /// The next record, or `None` at the end of the text.
    ///
    /// Each call takes at least one line, and each line is looked at once.
    pub(super) fn next(&mut self) -> Result<Option<Record<'t>>, LdifError> {
        while let Some(line) = self.line()? {
            if line.text.is_empty() {
                continue;
            }
            let number = line.number;
            let first = value(line)?;
            if first.is("dn") {
                let text = name_text(&first, number)?;
                return self.record(number, text).map(Some);
            } else if first.is("version") {
                if first.octets().trim_ascii() != b"1" {
                    return Err(LdifError::at(number, Fault::Version));
                }
            } else if is_report(&first) {
                self.report(first, number)?;
            } else {
                return Err(LdifError::at(number, Fault::NoDn));
            }
        }
        self.marks.cut = self.lines.cut;
        Ok(None)
    }

    fn record(&mut self, line: usize, dn: Cow<'t, str>) -> Result<Record<'t>, LdifError> {
        let mut record = Record { line, dn, ..Record::default() };
        while let Some(line) = self.line()? {
            if line.text.is_empty() {
                return Ok(record);
            }
            let number = line.number;
            let value = value(line)?;
            if value.is("dn") {
                return Err(LdifError::at(number, Fault::SecondDn));
            }
            if value.is("changetype") {
                // `ldifde` writes its exports as records that add: those hold what a content record holds.
                if !value.octets().trim_ascii().eq_ignore_ascii_case(b"add") {
                    return Err(LdifError::at(number, Fault::Change));
                }
                continue;
            }
            if value.is("control") && record.values.is_empty() {
                return Err(LdifError::at(number, Fault::Change));
            }
            record.values.push(value);
        }
        record.cut = self.lines.cut;
        Ok(record)
    }

    /// Reads what `ldapsearch` says about the search itself, up to the empty line.
    fn report(&mut self, first: Value<'t>, number: usize) -> Result<(), LdifError> {
        let mut value_and_line = Some((first, number));
        while let Some((said, number)) = value_and_line {
            if said.is("result") {
                let code = said.octets().trim_ascii().split(|b| *b == b' ').next().and_then(number_of);
                let code = code.ok_or_else(|| LdifError::at(number, Fault::ResultCode))?;
                if code != 0 && self.marks.failed.is_none() {
                    self.marks.failed = Some(code);
                }
                self.marks.unfinished = false;
            } else if said.is("ref") {
                self.marks.references += 1;
            } else if said.is("pagedresults") {
                self.page_mark(said.octets());
            }
            value_and_line = match self.line()? {
                Some(line) if !line.text.is_empty() => {
                    let number = line.number;
                    Some((value(line)?, number))
                }
                _ => None,
            };
        }
        Ok(())
    }

    /// The next line that is no comment.
    fn line(&mut self) -> Result<Option<Line<'t>>, LdifError> {
        while let Some(line) = self.lines.next()? {
            let Some(comment) = line.text.strip_prefix(b"#") else { return Ok(Some(line)) };
            let comment = comment.trim_ascii();
            if comment == b"extended LDIF" {
                // So begins what `ldapsearch` writes when it also writes the result at the end.
                self.marks.unfinished = true;
            } else if let Some(page) = comment.strip_prefix(b"pagedresults:") {
                self.page_mark(page);
            } else if comment.starts_with(b"refldap:") || comment.starts_with(b"refldaps:") {
                self.marks.references += 1;
            }
        }
        Ok(None)
    }

    /// After each page comes its cookie; an empty one says that it was the last.
    fn page_mark(&mut self, said: &[u8]) {
        let word = b"cookie=";
        let cookie =
            said.windows(word.len()).position(|w| w == word).and_then(|at| said.get(at + word.len()..));
        self.marks.more_pages = cookie.is_some_and(|cookie| !cookie.trim_ascii().is_empty());
    }
}

fn is_report(first: &Value<'_>) -> bool {
    ["search", "result", "ref", "control", "matchedDN", "text", "pagedresults"]
        .iter()
        .any(|name| first.is(name))
}

fn number_of(digits: &[u8]) -> Option<u32> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The DN of a record as text of its own.
fn name_text<'t>(value: &Value<'t>, number: usize) -> Result<Cow<'t, str>, LdifError> {
    let wrong = || LdifError::at(number, Fault::Dn);
    match value.borrowed() {
        Some(octets) => std::str::from_utf8(octets).map(Cow::Borrowed).map_err(|_| wrong()),
        None => String::from_utf8(value.octets().to_vec()).map(Cow::Owned).map_err(|_| wrong()),
    }
}

/// Takes a line apart: `name: text`, `name:: base64`; `name:< url` is refused, since an export must not make us read.
fn value(line: Line<'_>) -> Result<Value<'_>, LdifError> {
    let Line { number, text } = line;
    if matches!(text.first(), Some(b' ' | b'\t')) {
        return Err(LdifError::at(number, Fault::Continuation));
    }
    let colon = text.iter().position(|b| *b == b':').ok_or_else(|| LdifError::at(number, Fault::NoColon))?;
    let (name, rest) = text.split_at_checked(colon).unwrap_or_default();
    let fits = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b';' | b'=' | b'*');
    if name.is_empty() || !name.iter().all(fits) {
        return Err(LdifError::at(number, Fault::Name));
    }
    let decoded = match rest.get(1) {
        Some(b':') => {
            let encoded = rest.get(2..).unwrap_or_default().trim_ascii();
            Some(STANDARD.decode(encoded).map_err(|_| LdifError::at(number, Fault::Base64))?)
        }
        Some(b'<') => return Err(LdifError::at(number, Fault::Url)),
        _ => None,
    };
    let after = rest.get(1..).unwrap_or_default();
    let spaces = after.iter().position(|b| *b != b' ').unwrap_or(after.len());
    Ok(Value::of_line(text, colon, colon + 1 + spaces, decoded))
}

/// A line without its line end, unfolded.
struct Line<'t> {
    /// Where it begins, counted from 1.
    number: usize,
    text: Cow<'t, [u8]>,
}

#[derive(Debug)]
struct Lines<'t> {
    rest: &'t [u8],
    /// Lines taken so far.
    number: usize,
    cut: bool,
}

impl<'t> Lines<'t> {
    /// The next unfolded line. A last one that has no line end may be cut in the middle of a value, and a wrong value
    /// is worse than none: it is left out and [`cut`](Self::cut) is set.
    fn next(&mut self) -> Result<Option<Line<'t>>, LdifError> {
        let Some(first) = self.physical() else { return Ok(None) };
        let number = self.number;
        let mut text = Cow::Borrowed(first);
        // An empty line ends a record even where a space follows: there is nothing to continue.
        while !text.is_empty() && matches!(self.rest.first(), Some(b' ' | b'\t')) {
            let Some(more) = self.physical() else { return Ok(None) };
            if text.len() + more.len() > LINE_BYTES {
                return Err(LdifError::at(number, Fault::Long));
            }
            text.to_mut().extend_from_slice(more.get(1..).unwrap_or_default());
        }
        if text.len() > LINE_BYTES {
            return Err(LdifError::at(number, Fault::Long));
        }
        Ok(Some(Line { number, text }))
    }

    fn physical(&mut self) -> Option<&'t [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let Some(end) = self.rest.iter().position(|b| *b == b'\n') else {
            self.rest = &[];
            self.cut = true;
            return None;
        };
        self.number += 1;
        let (line, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest.get(1..).unwrap_or_default();
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Flat = (String, Vec<(String, Vec<u8>)>, bool);

    fn read(text: &str) -> Result<(Vec<Flat>, Marks), LdifError> {
        let mut records = Records::new(text.as_bytes());
        let mut all = Vec::new();
        while let Some(record) = records.next()? {
            let name = |v: &Value<'_>| String::from_utf8_lossy(v.name()).into_owned();
            let values = record.values.iter().map(|v| (name(v), v.octets().to_vec())).collect();
            all.push((record.dn.into_owned(), values, record.cut));
        }
        Ok((all, records.marks))
    }

    fn fault(text: &str) -> String {
        read(text).map(|_| "fine".to_owned()).unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn folded_lines_comments_and_base64_give_one_value() {
        let text = "version: 1\r\n\r\n# a comment\r\n  that goes on\r\ndn: cn=a,\r\n dc=x\r\ncn::  w6k=\r\n\
                    description:   two\r\n  spaces \r\nempty:\r\n\r\n\r\n# end\r\n";
        let (records, marks) = read(text).unwrap();
        let values = [("cn", "é"), ("description", "two spaces "), ("empty", "")];
        let values = values.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).to_vec();
        assert_eq!(records, [("cn=a,dc=x".to_owned(), values, false)]);
        assert!(!marks.cut && marks.failed.is_none() && !marks.more_pages);
    }

    #[test]
    fn a_fault_is_reported_with_the_first_line_of_its_line() {
        assert_eq!(fault("dn: cn=a\ncn:: %%\n %\n"), "line 2: the value is no valid base64");
        assert_eq!(
            fault("dn: cn=a\ndescription: 1\n 2\n 3\noops\n"),
            "line 5: a colon is missing after the attribute name"
        );
        assert_eq!(fault(" x\n"), "line 1: a continued line follows no line");
        assert_eq!(fault("dn: cn=a\n\n x: y\n"), "line 3: a continued line follows no line");
    }

    #[test]
    fn an_export_of_ldifde_is_content_and_a_change_is_not() {
        assert_eq!(fault("dn: cn=a\nchangetype: add\ncn: a\n\n"), "fine");
        let change = "a change record was found where content records are expected";
        assert_eq!(fault("dn: cn=a\nchangetype: modify\nadd: cn\n"), format!("line 2: {change}"));
        assert_eq!(fault("dn: cn=a\ncontrol: 1.2.3 true\nchangetype: delete\n"), format!("line 2: {change}"));
    }

    #[test]
    fn what_ldapsearch_says_about_its_search_is_understood() {
        let (_, marks) = read("# extended LDIF\n\ndn: cn=a\ncn: a\n\n").unwrap();
        assert!(marks.unfinished);
        let end = "# search result\nsearch: 2\nresult: 4 Size limit exceeded\n\n# numEntries: 1\n";
        let (records, marks) = read(&format!("# extended LDIF\n\ndn: cn=a\ncn: a\n\n{end}")).unwrap();
        assert_eq!((records.len(), marks.failed, marks.unfinished), (1, Some(4), false));
        let (_, marks) = read("# pagedresults: cookie=QQ==\n").unwrap();
        assert!(marks.more_pages);
        let (_, marks) =
            read("# pagedresults: cookie=QQ==\n\n# pagedresults: cookie=\n# refldap://x/DC=y\n").unwrap();
        assert!(!marks.more_pages);
        assert_eq!(marks.references, 1);
        let (_, marks) =
            read("ref: ldap://x/\n\nsearch: 2\nresult: 0 Success\npagedresults: cookie=\n").unwrap();
        assert!(marks.failed.is_none() && !marks.more_pages);
    }

    #[test]
    fn a_last_line_without_its_end_is_left_out() {
        // rule C1
        let (records, marks) = read("dn: cn=a\nmail: a@example.com\nmember: cn=b,\n dc=exam").unwrap();
        assert!(marks.cut && records[0].2);
        assert_eq!(records[0].1.len(), 1);
        let (records, marks) = read("dn: cn=a\ncn: a\n\ndn: cn=b").unwrap();
        assert!(marks.cut && records.len() == 1 && !records[0].2);
    }

    proptest! {
        #[test]
        fn no_text_panics(octets in any::<Vec<u8>>(), text in "(dn: cn=a|[a-z;]*:|: ?|:: ?|[A-Z=]|\n| |#|\r\n){0,40}") {
            // rule S1
            for input in [&octets[..], text.as_bytes()] {
                let mut records = Records::new(input);
                while let Ok(Some(_)) = records.next() {}
            }
        }
    }
}
