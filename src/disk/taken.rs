//! The names that sources have while they are removed or moved: comparing a name's file first and
//! acting then would leave a moment for another file to take the name.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Begins the name of a source that is about to be removed or moved.
pub(super) const TAKEN: &str = ".npyd-taken-";

/// The longest name a file can have, in bytes.
pub(super) const NAME_MAX: usize = 255;

pub(super) fn taken_name(name: &Path) -> PathBuf {
    let mut taken = OsString::from(TAKEN);
    taken.push(name);
    PathBuf::from(taken)
}

/// Whether a file of that name is a source that npyd was about to remove or move.
pub(super) fn is_taken_name(name: &OsStr) -> bool {
    name.as_bytes().starts_with(TAKEN.as_bytes())
}
