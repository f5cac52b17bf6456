//! Crash recovery of one directory: restores the names of sources, and removes unfinished outputs.

use std::ffi::OsStr;
use std::path::Path;

use crate::fs::{Dir, Result, is_private_name, own_uid};
use crate::model::is_unfinished;

/// Cleans up after a npyd process that was killed: restores the names of sources and removes
/// unfinished outputs. Leaves locked files alone (rule F4). A source may have been on its way to
/// one of the directories `elsewhere`.
///
/// Continues after an error, and returns the last one.
///
/// # Durability
///
/// Restored names are synced. Removals are not; the next recovery repeats them.
pub fn recover_dir(dir: &Dir, elsewhere: &[Dir]) -> Result<()> {
    let mut recovered = Ok(());
    for (name, _) in dir.entries()? {
        // Any user can create a file with such a name; an error with one must not block the others.
        if let Err(error) = recover_name_in(dir, &name, elsewhere) {
            recovered = Err(error);
        }
    }
    recovered
}

fn recover_name_in(dir: &Dir, name: &OsStr, elsewhere: &[Dir]) -> Result<()> {
    if is_private_name(name) {
        return dir.recover_name(name, elsewhere);
    }
    if is_unfinished(name.to_str().unwrap_or_default())
        && let Some(file) = dir.open_file(Path::new(name))?
        && file.stat()?.uid == own_uid()
        && let Some(_claim) = file.claim()?
    {
        dir.unlink(Path::new(name))?;
    }
    Ok(())
}
