//! Directory text made safe to show to a person (threat: forged lines, bidi spoofing, terminal control).

use std::fmt::{self, Write as _};

/// Shows text from outside so that it can never break or forge a line (rule P8).
///
/// Control characters (C0, C1, DEL), line and paragraph separators, bidi controls, invisible formatting
/// characters and the backslash itself are written as escapes; everything else as it is.
pub struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                c if is_unsafe(c) => write!(f, "\\u{{{:x}}}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_cannot_forge_a_line() {
        // rule P8
        let hostile = "ada\n- delete user bob\u{202e}\u{1b}[2J\u{2028}\u{feff}";
        let shown = Escaped(hostile).to_string();
        assert_eq!(shown, "ada\\n- delete user bob\\u{202e}\\u{1b}[2J\\u{2028}\\u{feff}");
    }

    #[test]
    fn every_invisible_character_is_shown_and_its_neighbours_are_as_they_are() {
        // rule P8: the first and the last of each range
        let hidden = "\u{ad}\u{61c}\u{115f}\u{1160}\u{180e}\u{200b}\u{200f}\u{2028}\u{202e}\u{2060}\u{206f}\u{3164}\u{feff}\
                      \u{ffa0}\u{fff0}\u{fffb}\u{e0000}\u{e0fff}\u{7f}\u{85}\0";
        for c in hidden.chars() {
            assert_eq!(Escaped(&c.to_string()).to_string(), format!("\\u{{{:x}}}", u32::from(c)));
        }
        for c in "\u{ac}\u{ae}\u{61b}\u{115e}\u{1161}\u{180f}\u{200a}\u{2010}\u{2027}\u{202f}\u{205f}\u{2070}\u{fffc}".chars() {
            assert_eq!(Escaped(&c.to_string()).to_string(), c.to_string());
        }
    }

    #[test]
    fn ordinary_names_are_shown_as_they_are() {
        assert_eq!(Escaped("Zoë Müller, 山田").to_string(), "Zoë Müller, 山田");
    }
}
