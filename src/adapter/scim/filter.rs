//! Filters (RFC 7644, section 3.4.2.2): comparisons with `eq`, joined by `and`, which is all that some servers know.

use serde_json::Value;

/// `attribute eq "value"`, for any value.
pub(super) fn eq(attribute: &str, value: &str) -> String {
    format!("{attribute} eq {}", quote(value))
}

/// Both filters.
pub(super) fn and(one: &str, other: &str) -> String {
    format!("{one} and {other}")
}

/// A value in a filter is a JSON text.
pub(super) fn quote(value: &str) -> String {
    Value::from(value).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The value of a filter with one comparison, as a server would read it; `None` where something else stands behind it.
    fn parse(filter: &str) -> Option<String> {
        let text = filter.strip_prefix("userName eq ")?;
        // Nothing ends the text but a quotation mark that no backslash stands before.
        let mut escaped = false;
        let body = text.strip_prefix('"')?;
        let end = body.find(|c: char| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        })?;
        (end + 2 == text.len()).then(|| serde_json::from_str(text).ok())?
    }

    #[test]
    fn nobody_leaves_the_quotation_marks() {
        assert_eq!(eq("userName", "ada"), r#"userName eq "ada""#);
        assert_eq!(
            eq("userName", r#"x" or userName pr or "" eq ""#),
            r##"userName eq "x\" or userName pr or \"\" eq \"""##
        );
        assert_eq!(eq("userName", "\\"), r#"userName eq "\\""#);
        assert_eq!(and(&eq("id", "g"), &eq("members.value", "u")), r#"id eq "g" and members.value eq "u""#);
    }

    proptest! {
        #[test]
        fn a_value_is_read_as_it_was_written(value in "[\"\\\\ a\u{1}\n\u{7f}]{0,8}|\\PC*|(?s).*") {
            prop_assert_eq!(parse(&eq("userName", &value)), Some(value));
        }
    }
}
