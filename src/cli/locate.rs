//! Finds the drop directory that contains a file.

use std::path::{Path, PathBuf};

use crate::config::{Config, DropDir};

/// Returns the drop directory that contains the file `name` in the directory `parent`, and the
/// file's path below it.
///
/// # Errors
/// None of the drop directories does; the text says why.
pub(crate) fn locate<'a>(
    config: &'a Config,
    parent: &Path,
    name: &Path,
) -> Result<(&'a DropDir, PathBuf), String> {
    let mut outside = "it is not in a drop directory".to_owned();
    for drop_dir in &config.drop_dirs {
        let is_own = |dir: &Path| dir != drop_dir.path && below(dir, parent).is_some();
        let is_managed = drop_dir.managed_dirs().any(is_own);
        match below(&drop_dir.path, parent) {
            _ if is_managed => {
                "npyd itself puts files into this directory".clone_into(&mut outside);
            }
            Some(rel) if drop_dir.recursive || rel.as_os_str().is_empty() => {
                return Ok((drop_dir, rel.join(name)));
            }
            Some(_) => {
                outside = format!(
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
