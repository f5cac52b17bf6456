//! Directories that overlap although the configuration does not show it.

use std::path::{Path, PathBuf};

use crate::config::DropDir;

/// The paths of a drop directory and its output, with symlinks resolved.
pub(super) struct RealPaths<'a> {
    pub(super) drop_dir: &'a DropDir,
    path: Option<PathBuf>,
    output: Option<PathBuf>,
}

impl<'a> RealPaths<'a> {
    pub(super) fn of(drop_dir: &'a DropDir) -> Self {
        let path = drop_dir.path.canonicalize().ok();
        let output = match &drop_dir.output {
            Some(output) => output.canonicalize().ok(),
            None => path.clone(),
        };
        RealPaths { drop_dir, path, output }
    }
}

/// Returns whether two drop directories have files in common.
pub(super) fn share_files(one: &RealPaths<'_>, other: &RealPaths<'_>) -> bool {
    one.path.as_ref().zip(other.path.as_ref()).is_some_and(|(here, there)| {
        here == there
            || one.drop_dir.recursive && there.starts_with(here)
            || other.drop_dir.recursive && here.starts_with(there)
    })
}

/// Returns whether arrays of two drop directories get into one directory.
pub(super) fn share_output(one: &RealPaths<'_>, other: &RealPaths<'_>) -> bool {
    one.output.as_ref().zip(other.output.as_ref()).is_some_and(|(here, there)| here == there)
}

/// Returns whether a symlink outside the drop directory leads into it. npyd protects itself against
/// users of the drop directory only where the configured path shows that it is inside.
pub(super) fn is_inside_by_another_name(path: &Path, drop: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().ok();
    let is_inside = real(path).zip(real(drop)).is_some_and(|(path, drop)| path.starts_with(drop));
    is_inside && !path.starts_with(drop)
}
