//! A cache of directories whose names are durable. An existing directory may come from a run that
//! crashed before it synced that name (F2), but syncing it again for every drop would slow each of
//! them.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::fs::{Dir, Result};
use crate::model::Stat;

/// Maximum size of the cache. When it is full, it is cleared, and directories are synced once more.
const DIRS_MAX: usize = 4096;

/// Device and inode number of each directory.
static DURABLE: Mutex<BTreeSet<(u64, u64)>> = Mutex::new(BTreeSet::new());

fn durable() -> MutexGuard<'static, BTreeSet<(u64, u64)>> {
    DURABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Dir {
    /// Syncs the name of the directory `dir` in this one, unless it is known to be durable.
    pub(crate) fn sync_name_of(&self, dir: &Dir, is_new: bool) -> Result<()> {
        let Stat { dev, ino, .. } = dir.stat_self()?;
        if !is_new && durable().contains(&(dev, ino)) {
            return Ok(());
        }
        self.sync()?;
        let mut durable = durable();
        if durable.len() >= DIRS_MAX {
            durable.clear();
        }
        durable.insert((dev, ino));
        Ok(())
    }
}
