//! Recovery of what a crash left under private names, in the directories that a scan walks through
//! and in those that npyd manages.

use std::path::Path;

use crate::config::DropDir;
use crate::events::problem::Problem;
use crate::finalize::recover_insert;
use crate::fs::{self, Dir, EntryKind, Listing};
use crate::service::tracker::Tracker;
use crate::service::tracker::scan::DEPTH_MAX;
use crate::service::tracker::walk::Listed;

impl Tracker {
    /// Recovers what a crash left under private names in a directory.
    pub(super) fn recover(&mut self, dir: &Dir, below: &Path) {
        if let Err(error) = fs::recover_dir(dir, &managed_dirs_below(&self.drop_dir, below)) {
            self.warn(Problem::Dir { error: error.to_string() });
        }
        if let Err(error) = self.recover_inserts(dir) {
            self.warn(Problem::Dir { error: error.to_string() });
        }
    }

    /// Undoes interrupted insert-range work in a directory, so that the files are drops again.
    fn recover_inserts(&mut self, dir: &Dir) -> fs::Result<()> {
        let mut listing = Listing::default();
        while let Some(piece) = listing.next_piece(dir)? {
            for name in piece.iter().filter_map(|(name, _)| name.to_str()) {
                if let Err(left) = recover_insert(&self.drop_dir, &self.context.intents, dir, name)
                {
                    self.warn(left);
                }
            }
        }
        Ok(())
    }

    /// Recovers private names in an ignored directory and below: npyd may have worked there before
    /// it was ignored. Skips directories that npyd may not write to.
    pub(super) fn recover_ignored(&mut self, dir: &Dir, rel: &Path) -> fs::Result<()> {
        if !dir.is_writable() || rel.components().count() > DEPTH_MAX {
            return Ok(());
        }
        if dir.any_entry(|name, kind| is_private(&(name.to_os_string(), kind)))? {
            self.recover(dir, rel);
        }
        let mut listing = Listing::default();
        while let Some(piece) = listing.next_piece(dir)? {
            for (name, _) in piece.iter().filter(|(_, kind)| *kind == EntryKind::Dir) {
                let rel = rel.join(name);
                if !self.drop_dir.is_managed(&rel)
                    && let Ok(dir) = dir.open_dir(Path::new(name))
                {
                    // npyd reports nothing about ignored files.
                    let _ = self.recover_ignored(&dir, &rel);
                }
            }
        }
        Ok(())
    }

    /// Recovers private names in the directories that npyd manages. A failure does no harm: the
    /// files keep their private names until the next start.
    pub(super) fn recover_managed_dirs(&self) {
        let depth = if self.drop_dir.recursive { DEPTH_MAX } else { 0 };
        for path in self.drop_dir.managed_dirs() {
            // A directory that cannot be opened is reported when npyd writes to it.
            let Ok(dir) = Dir::open_trusted(path, self.drop_dir.untrusted_root()) else { continue };
            if let Err(error) = recover_below(&self.drop_dir, &dir, Path::new(""), depth) {
                self.context.report(Problem::Dir { error: error.to_string() });
            }
        }
    }
}

/// Returns whether a name is one of npyd's private names.
pub(super) fn is_private((name, _): &Listed) -> bool {
    crate::model::is_reserved_name(&name.to_string_lossy())
}

/// Recovers private names in a managed directory, and `depth` levels below it.
fn recover_below(drop_dir: &DropDir, dir: &Dir, below: &Path, depth: usize) -> fs::Result<()> {
    fs::recover_dir(dir, &managed_dirs_below(drop_dir, below))?;
    if depth == 0 {
        return Ok(());
    }
    let mut listing = Listing::default();
    while let Some(piece) = listing.next_piece(dir)? {
        for (name, _) in piece.iter().filter(|(_, kind)| *kind == EntryKind::Dir) {
            let dir = dir.open_dir(Path::new(name))?;
            recover_below(drop_dir, &dir, &below.join(name), depth - 1)?;
        }
    }
    Ok(())
}

/// Opens the directories between which npyd moves the files of the subdirectory `below`.
fn managed_dirs_below(drop_dir: &DropDir, below: &Path) -> Vec<Dir> {
    let dirs = std::iter::once(drop_dir.path.as_path()).chain(drop_dir.managed_dirs());
    dirs.filter_map(|dir| Dir::open_below(dir, below).ok()).collect()
}
