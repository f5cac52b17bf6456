//! Reserved file names: temporary files of npyd, and private names of sources.

use crate::model::{NAME_MAX, cut};

/// Returns whether npyd reserves this file name for itself.
#[must_use]
pub fn is_reserved_name(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// Returns whether this is the name of a temporary file of npyd. Its first character after the
/// prefix is a digit, because the private name of a source may end in the same suffix.
pub(crate) fn is_unfinished(name: &str) -> bool {
    let rest = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(SUFFIX));
    rest.is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
}

/// What the name of a temporary file says that is being exchanged with another file. After the
/// exchange the name refers to the other file, which may be a third one that npyd must not remove.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ExchangeName<'a> {
    /// The inode of the temporary file.
    pub(crate) new: u64,
    /// The inode of the file that it is to replace.
    pub(crate) old: u64,
    /// The beginning of the name that both exchange.
    pub(crate) name: &'a str,
}

impl<'a> ExchangeName<'a> {
    /// Parses the name of a temporary file; returns `None` if it says nothing of an exchange.
    pub(crate) fn parse(name: &'a str) -> Option<Self> {
        let rest = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
        let mut fields = rest.splitn(6, '-').skip(3);
        let inode = |field: Option<&str>| u64::from_str_radix(field?, 16).ok();
        let (new, old) = (inode(fields.next())?, inode(fields.next())?);
        let name = fields.next().filter(|name| !name.is_empty())?;
        Some(ExchangeName { new, old, name })
    }

    /// Returns the file name; `unique` is that of a temporary file.
    pub(crate) fn in_name(&self, unique: &str) -> String {
        let ExchangeName { new, old, name } = self;
        let begin = format!("{}-{new:x}-{old:x}-", unique.strip_suffix(SUFFIX).unwrap_or(unique));
        let len_max = NAME_MAX.saturating_sub(begin.len() + SUFFIX.len());
        let name = String::from_utf8_lossy(cut(name.as_bytes(), len_max));
        format!("{begin}{name}{SUFFIX}")
    }
}

/// The prefix of every reserved name.
pub(crate) const PREFIX: &str = ".npyd-";

/// The suffix of temporary files.
pub(crate) const SUFFIX: &str = ".tmp";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_that_are_exchanged() {
        let unique = ".npyd-17-65a0-0.tmp";
        assert_eq!(ExchangeName::parse(unique), None);
        for name in ["x.npy", "a-b-c.npy", "x.tmp", "ä"] {
            let exchange = ExchangeName { new: 0xabc, old: 7, name };
            let file = exchange.in_name(unique);
            assert_eq!(file, format!(".npyd-17-65a0-0-abc-7-{name}.tmp"));
            assert_eq!(ExchangeName::parse(&file), Some(exchange));
            assert!(is_unfinished(&file) && is_reserved_name(&file));
        }
        let long = "ä".repeat(NAME_MAX / 2);
        let file = ExchangeName { new: 1, old: u64::MAX, name: &long }.in_name(unique);
        assert!(file.len() <= NAME_MAX && file.len() > NAME_MAX - 4, "{}", file.len());
        assert!(long.starts_with(ExchangeName::parse(&file).unwrap().name));
        for other in [".npyd-1-2-3-x-5-a.tmp", ".npyd-1-2-3-4-5-.tmp", ".npyd-1-2-3-4-5-a"] {
            assert_eq!(ExchangeName::parse(other), None, "{other}");
        }
    }
}
