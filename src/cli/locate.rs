//! Finds the drop directory that contains a file.

use std::path::{Path, PathBuf};

use crate::config::{Config, DropDir};

/// Why npyd does not process the files of a directory.
pub(crate) struct Outside {
    /// The reason.
    pub(crate) why: String,
    /// Whether npyd itself puts files into the directory.
    pub(crate) is_managed: bool,
}

/// Returns the drop directory that contains the file `name` in the directory `parent`, and the
/// file's path below it.
///
/// # Errors
/// None of the drop directories does.
pub(crate) fn locate<'a>(
    config: &'a Config,
    parent: &Path,
    name: &Path,
) -> Result<(&'a DropDir, PathBuf), Outside> {
    let mut outside =
        Outside { why: "it is not in a drop directory".to_owned(), is_managed: false };
    for drop_dir in &config.drop_dirs {
        let is_own = |dir: &Path| dir != drop_dir.path && below(dir, parent).is_some();
        let is_managed = drop_dir.managed_dirs().any(is_own);
        match below(&drop_dir.path, parent) {
            _ if is_managed => {
                let why = "npyd itself puts files into this directory".to_owned();
                outside = Outside { why, is_managed: true };
            }
            Some(rel) if drop_dir.recursive || rel.as_os_str().is_empty() => {
                return Ok((drop_dir, rel.join(name)));
            }
            Some(_) => {
                outside.why = format!(
                    "it is in a subdirectory of `{}`, which is not `recursive`",
                    drop_dir.path.display()
                );
            }
            None => {}
        }
    }
    Err(outside)
}

/// Returns the path from `dir` down to `inner`, with symlinks resolved where possible.
fn below(dir: &Path, inner: &Path) -> Option<PathBuf> {
    let real = dir.canonicalize().and_then(|dir| Ok((dir, inner.canonicalize()?)));
    let (dir, inner) = real.unwrap_or_else(|_| (dir.to_path_buf(), inner.to_path_buf()));
    inner.strip_prefix(dir).ok().map(Path::to_path_buf)
}
