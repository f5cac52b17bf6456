//! Keeps text on one line.

use std::path::Path;

/// Returns text with its control characters escaped. Names of files may contain line breaks and
/// control sequences of terminals.
#[must_use]
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

/// Returns a path for a message: on one line, whatever somebody named the file.
pub(crate) fn shown(path: &Path) -> String {
    one_line(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(one_line("a\nb\x1b[2J\u{85}→é"), "a\\nb\\u{1b}[2J\\u{85}→é");
    }
}
