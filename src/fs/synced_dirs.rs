//! Directories whose names are known to be durable. One that is found may have been made by a run
//! that was ended before it could sync that; to sync it for every drop would cost each of them.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::fs::{Dir, Result};
use crate::model::Stat;

/// The most that are kept in mind: beyond, all are forgotten, and synced once more.
const DIRS_MAX: usize = 4096;

/// Device and inode of each.
static DURABLE: Mutex<BTreeSet<(u64, u64)>> = Mutex::new(BTreeSet::new());

fn durable() -> MutexGuard<'static, BTreeSet<(u64, u64)>> {
    DURABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Dir {
    /// Makes the name of a directory in this one durable, unless it is known to be.
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
