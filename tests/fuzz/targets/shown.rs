//! What nothing that is shown may hold (rule P8).

use std::fmt::{Debug, Display};

/// What every text of a forged world ends with: shown as it is, it would begin a line.
pub const FORGED: &str = "\nFORGED";

fn is_forbidden(c: char) -> bool {
    let is_control = c.is_control() && c != '\n';
    is_control
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// No character that moves the cursor, turns the direction or is not to be seen, and no line that a text began.
pub fn assert_plain(shown: &str) {
    let raw = shown.chars().find(|&c| is_forbidden(c));
    assert!(raw.is_none(), "{raw:?} in {shown:?}");
    let forged = shown.lines().find(|line| line.trim_start().starts_with("FORGED"));
    assert!(forged.is_none(), "{forged:?} in {shown}");
}

/// As a person sees it, and as a log does.
pub fn assert_shown(value: &(impl Display + Debug)) {
    assert_plain(&format!("{value}\n{value:?}"));
}
