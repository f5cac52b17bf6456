//! Names that npyd reserves for itself: files that it is making, and sources that it is moving.

/// Whether a file has a name of npyd's own.
#[must_use]
pub fn is_reserved_name(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// Whether a file of that name is npyd's own, in the making: what a source is called meanwhile may
/// end in the same way.
pub(crate) fn is_unfinished(name: &str) -> bool {
    let rest = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(SUFFIX));
    rest.is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
}

pub(crate) const PREFIX: &str = ".npyd-";

pub(crate) const SUFFIX: &str = ".tmp";
