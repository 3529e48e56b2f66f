//! Text inside HTML.

use std::fmt::{self, Display, Write as _};

use identity_sync::{Escaped, Kind, Subject};

/// A text from outside, safe as content and as the value of an attribute in quotes. Control, bidi and invisible characters are
/// shown as the plan shows them in text, markup is shown as it is.
pub(super) struct Text<'a>(pub(super) &'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Shown(Escaped(self.0)).fmt(f)
    }
}

/// The same for something that the library shows, in which texts from outside are escaped for a line already.
pub(super) struct Shown<T>(pub(super) T);

impl<T: Display> Display for Shown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Markup(f), "{}", self.0)
    }
}

struct Markup<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl fmt::Write for Markup<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            match c {
                '&' => self.0.write_str("&amp;")?,
                '<' => self.0.write_str("&lt;")?,
                '>' => self.0.write_str("&gt;")?,
                '"' => self.0.write_str("&quot;")?,
                '\'' => self.0.write_str("&#39;")?,
                '`' => self.0.write_str("&#96;")?,
                // A library's text has none; a page never has.
                c if c.is_control() => self.0.write_char('\u{fffd}')?,
                c => self.0.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// Somebody: name, then anchor or id. Names keep their direction to themselves.
pub(super) fn somebody(name: &str, anchor: &str, id: &str) -> String {
    let name = if name.is_empty() { "(no name)" } else { name };
    let which = match (anchor.is_empty(), id.is_empty()) {
        (false, _) => format!(" <code>{}</code>", Text(anchor)),
        (true, false) => format!(" <code>record {}</code>", Text(id)),
        _ => String::new(),
    };
    format!("<bdi>{}</bdi>{which}", Text(name))
}

pub(super) fn subject(subject: Subject<'_>) -> String {
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    somebody(&text(subject.name()), &text(subject.anchor()), &text(subject.id()))
}

/// The kind as a word in front of a name.
pub(super) fn with_kind(whom: Subject<'_>) -> String {
    format!("<span class=kind>{}</span> {}", kind(whom.kind()), subject(whom))
}

pub(super) fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::User => "user",
        Kind::Group => "group",
    }
}

/// A list of rows, each of which the search may hide. So many at most; the rest is counted.
pub(super) struct Rows {
    html: String,
    shown: usize,
    most: usize,
    left_out: usize,
}

impl Rows {
    pub(super) fn new(most: usize) -> Self {
        Self { html: String::new(), shown: 0, most, left_out: 0 }
    }

    /// Adds a row. `class` is a word of this program, `row` is HTML; it is made only where there is room.
    pub(super) fn add(&mut self, class: &str, row: impl FnOnce() -> String) {
        if self.shown == self.most {
            self.left_out += 1;
            return;
        }
        self.shown += 1;
        let row = row();
        self.html += &format!("<li data-row class=\"{class}\">{row}</li>\n");
    }

    pub(super) fn shown(&self) -> usize {
        self.shown
    }

    pub(super) fn is_empty(&self) -> bool {
        self.shown + self.left_out == 0
    }

    pub(super) fn finish(self) -> String {
        let more = match self.left_out {
            0 => String::new(),
            more => format!("<p class=more>… and {more} more, which <code>--format json</code> has.</p>\n"),
        };
        format!("<ul class=rows>\n{}</ul>\n{more}", self.html)
    }
}
