//! What a message may hold, whatever it quotes: it is read in a terminal, in a log, by a person.

use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

/// The most characters of a message.
const LEN_MAX: usize = 600;

/// Characters of a message that is too long which are left at its end, where the remedy stands.
const TAIL_LEN: usize = 200;

/// The message with its invisible characters escaped, as those that steer a terminal are, and
/// without the middle of what is too long to be read.
pub(crate) fn sanitize(message: &str) -> String {
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

/// The system's own words for an error, without its number.
#[must_use]
pub(crate) fn os_message(error: &std::io::Error) -> String {
    let words = error.to_string();
    words.split(" (os error").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_escaped() {
        let message = "the key `\x1b[2J\u{202e}\t` is an é";
        assert_eq!(sanitize(message), r"the key `\u{1b}[2J\u{202e}\t` is an é");
    }

    #[test]
    fn long_ones_keep_their_ends() {
        let long = sanitize(&format!("line 3, `{}`: add a quote", "ä\u{7}".repeat(10_000)));
        assert!(long.starts_with("line 3, `ä\\u{7}ä") && long.ends_with(": add a quote"), "{long}");
        assert_eq!(long.chars().count(), LEN_MAX + 3);
        let short = "ä".repeat(LEN_MAX);
        assert_eq!(sanitize(&short), short);
    }
}
