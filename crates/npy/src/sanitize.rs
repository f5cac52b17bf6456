//! Sanitizes user-facing messages: escapes control and format characters, and truncates long text.
//!
//! Messages quote names and contents of files that anyone may have written, and they are shown in
//! terminals and logs.

use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

/// Maximum length of a message, in characters.
const LEN_MAX: usize = 600;

/// Characters that a truncated message keeps at its end, because the remedy stands there.
const TAIL_LEN: usize = 200;

/// Escapes all invisible characters of a message, such as terminal control sequences, and cuts
/// the middle out of a message that is too long.
#[must_use]
pub fn sanitize(message: &str) -> String {
    let mut safe = String::with_capacity(message.len());
    for c in message.chars() {
        if c.general_category_group() == GeneralCategoryGroup::Other {
            safe.extend(c.escape_default());
        } else {
            safe.push(c);
        }
    }
    let len = safe.chars().count();
    if len <= LEN_MAX {
        return safe;
    }
    let head: String = safe.chars().take(LEN_MAX - TAIL_LEN).collect();
    let tail: String = safe.chars().skip(len - TAIL_LEN).collect();
    format!("{head} … {tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        let message = "the key `\x1b[2J\u{202e}\t` is an é";
        assert_eq!(sanitize(message), r"the key `\u{1b}[2J\u{202e}\t` is an é");
    }

    #[test]
    fn long_messages_keep_both_ends() {
        let long = sanitize(&format!("line 3, `{}`: add a quote", "ä\u{7}".repeat(10_000)));
        assert!(long.starts_with("line 3, `ä\\u{7}ä") && long.ends_with(": add a quote"), "{long}");
        assert_eq!(long.chars().count(), LEN_MAX + 3);
        let short = "ä".repeat(LEN_MAX);
        assert_eq!(sanitize(&short), short);
    }
}
