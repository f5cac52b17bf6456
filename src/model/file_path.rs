//! Paths of files below a drop directory.

use std::path::Path;

/// Returns the directory of a file, by a path below a drop directory; empty for a file that is in
/// the drop directory itself.
#[must_use]
pub fn parent_of(rel: &Path) -> &Path {
    rel.parent().unwrap_or(Path::new(""))
}
