//! Reserved file names: temporary files of npyd, and private names of sources.

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

/// The prefix of every reserved name.
pub(crate) const PREFIX: &str = ".npyd-";

/// The suffix of temporary files.
pub(crate) const SUFFIX: &str = ".tmp";
