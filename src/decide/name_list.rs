//! Lists of file names in messages.

use std::fmt;
use std::path::{Path, PathBuf};

/// Maximum number of names that a message lists.
const NAMES_MAX: usize = 3;

/// The names of some files, of which a message lists the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameList {
    names: Vec<PathBuf>,
    has_more: bool,
}

impl NameList {
    /// Takes the names of the first of these paths.
    #[must_use]
    pub fn of(paths: &[PathBuf]) -> Self {
        let name = |path: &PathBuf| PathBuf::from(path.file_name().unwrap_or_default());
        let names = paths.iter().take(NAMES_MAX).map(name).collect();
        NameList { names, has_more: paths.len() > NAMES_MAX }
    }
}

impl fmt::Display for NameList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |name: &PathBuf| format!("`{}`", Path::new(name).display());
        f.write_str(&self.names.iter().map(quoted).collect::<Vec<_>>().join(", "))?;
        f.write_str(if self.has_more { ", …" } else { "" })
    }
}
