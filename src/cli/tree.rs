//! Walks through the files of a directory as a scan would find them.

use std::path::Path;

use crate::config::DropDir;
use crate::fs::{Dir, EntryKind, FsError};
use crate::service::tracker::DEPTH_MAX;

/// What a walk finds.
pub(crate) enum TreeItem {
    /// A file.
    File,
    /// A subdirectory of a directory that is not `recursive`.
    Subdirectory,
    /// A symlink, a pipe, a device or a socket.
    Other,
    /// A directory that can't be read.
    Unreadable(FsError),
}

/// Calls `see` with each file in the directory `dir`, at `below` in the drop directory, and in
/// those below it, in the order of their names: with its path in the drop directory. Leaves out
/// what is ignored, and the directories that npyd puts files into.
pub(crate) fn walk(
    drop_dir: &DropDir,
    dir: &Dir,
    below: &Path,
    see: &mut impl FnMut(&Path, TreeItem),
) {
    let mut entries = match dir.entries() {
        Ok(entries) => entries,
        Err(error) => return see(below, TreeItem::Unreadable(error)),
    };
    entries.sort_unstable();
    for (name, kind) in entries {
        let rel = below.join(&name);
        let is_dir = kind == EntryKind::Dir;
        if drop_dir.ignore.ignores_entry(&rel, is_dir) || drop_dir.is_managed(&rel) {
            continue;
        }
        match kind {
            EntryKind::File => see(&rel, TreeItem::File),
            EntryKind::Dir if !drop_dir.recursive => see(&rel, TreeItem::Subdirectory),
            EntryKind::Dir if rel.components().count() <= DEPTH_MAX => {
                match dir.open_dir(Path::new(&name)) {
                    Ok(dir) => walk(drop_dir, &dir, &rel, see),
                    Err(error) => see(&rel, TreeItem::Unreadable(error)),
                }
            }
            EntryKind::Dir => {}
            EntryKind::Other => see(&rel, TreeItem::Other),
        }
    }
}
