//! Crash recovery of one directory: restores the names of sources, and removes unfinished files.

use std::ffi::OsStr;
use std::path::Path;

use crate::fs::{Dir, Result, is_taken_name, own_uid};
use crate::model::is_unfinished;

/// Tidies up what a npyd that was killed left in a directory: gives sources their names back, and
/// removes outputs that were not finished. Whoever still works on one holds it locked. Sources may
/// have been on their way to the directories `elsewhere`.
pub fn recover_dir(dir: &Dir, elsewhere: &[Dir]) -> Result<()> {
    let mut recovered = Ok(());
    for (name, _) in dir.entries()? {
        // Anybody may give a file such a name: one that resists must not protect the others.
        if let Err(error) = recover_name_in(dir, &name, elsewhere) {
            recovered = Err(error);
        }
    }
    recovered
}

fn recover_name_in(dir: &Dir, name: &OsStr, elsewhere: &[Dir]) -> Result<()> {
    if is_taken_name(name) {
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
