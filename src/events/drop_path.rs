//! The path of a drop.

use std::path::{Path, PathBuf};

/// The path of a drop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DropPath {
    /// The drop directory.
    pub drop_dir: PathBuf,
    /// The data file, or the file that describes it.
    pub source: PathBuf,
}

impl DropPath {
    /// Returns the path below the drop directory.
    #[must_use]
    pub fn rel(&self) -> &Path {
        self.source.strip_prefix(&self.drop_dir).unwrap_or(&self.source)
    }
}
