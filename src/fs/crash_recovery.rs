//! Crash recovery of one directory: restores the names of sources, and removes unfinished outputs.

use std::ffi::OsStr;
use std::path::Path;

use crate::fs::{Dir, Listing, Result, is_private_name, own_uid};
use crate::model::{ExchangeName, is_unfinished};

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
    let mut listing = Listing::default();
    while let Some(piece) = listing.next_piece(dir)? {
        for (name, _) in piece {
            // Any user can create a file with such a name; an error with one must not block the
            // others.
            if let Err(error) = recover_name_in(dir, &name, elsewhere) {
                recovered = Err(error);
            }
        }
    }
    recovered
}

fn recover_name_in(dir: &Dir, name: &OsStr, elsewhere: &[Dir]) -> Result<()> {
    if is_private_name(name) {
        return dir.recover_name(name, elsewhere);
    }
    let text = name.to_str().unwrap_or_default();
    if let Some(exchange) = ExchangeName::parse(text)
        && let Some(stat) = dir.stat(Path::new(name))?
        && ![exchange.new, exchange.old].contains(&stat.ino)
    {
        return give_back(dir, name, &exchange);
    }
    if is_unfinished(text)
        && let Some(file) = dir.open_file(Path::new(name))?
        && file.stat()?.uid == own_uid()
        && let Some(_claim) = file.claim()?
    {
        // npyd was killed before it saw that a person edited the file that it was replacing.
        if let Some(exchange) = ExchangeName::parse(text)
            && file.is_edited()?
        {
            return give_back(dir, name, &exchange);
        }
        dir.unlink(Path::new(name))?;
    }
    Ok(())
}

/// Gives a third file, which npyd caught when it exchanged two others, its name back, or one like
/// it. Leaves that to the process that exchanged them if it still runs.
fn give_back(dir: &Dir, own: &OsStr, exchange: &ExchangeName<'_>) -> Result<()> {
    let name = Path::new(exchange.name);
    if let Ok(Some(new)) = dir.open_file(name)
        && new.stat()?.ino == exchange.new
        && new.claim()?.is_none()
    {
        return Ok(());
    }
    dir.restore_name(Path::new(own), dir, name)?;
    dir.sync()
}
