//! The output directory: where the arrays of a drop directory are.

use std::path::Path;

use crate::config::DropDir;
use crate::fs::{self, Dir};

/// Opens the directory of the arrays whose sources are in `below`, a directory below the drop
/// directory.
///
/// # Errors
/// It is missing, or is not to be trusted.
pub fn open_output_dir(drop_dir: &DropDir, below: &Path) -> fs::Result<Dir> {
    Dir::open_trusted(drop_dir.output_path(), drop_dir.untrusted_root())?.into_subdir(below)
}
