//! The array that has the bytes of a source, from before they were compared until the source is
//! disposed of.

use std::path::Path;

use crate::fs::{self, DataFile, Dir};
use crate::model::{Stat, Writer};

/// An array that may become the only copy of its data.
pub(crate) struct StandingArray {
    file: DataFile,
    stat: Stat,
    /// Whether npyd has just made it: its name may have changed its ctime, which a network file
    /// system may report later.
    is_new: bool,
}

impl StandingArray {
    /// Notes the state of an array that is about to be compared.
    pub(crate) fn found(file: DataFile) -> fs::Result<Self> {
        Ok(StandingArray { stat: file.stat()?, file, is_new: false })
    }

    /// Notes the state of a new array, which has its name.
    pub(crate) fn made(file: DataFile) -> fs::Result<Self> {
        Ok(StandingArray { is_new: true, ..Self::found(file)? })
    }

    /// Returns the open array.
    pub(crate) fn file(&self) -> &DataFile {
        &self.file
    }

    /// Returns whether a process has the array open for writing, or mapped writable. Without one, a
    /// later write changes the times of the file.
    pub(crate) fn has_writer(&self) -> fs::Result<bool> {
        Ok(self.file.writer()? == Writer::Present)
    }

    /// Returns whether the array still has its name, and is unchanged.
    pub(crate) fn is_standing(&self, dir: &Dir, name: &Path) -> fs::Result<bool> {
        let Some(now) = dir.stat(name)? else { return Ok(false) };
        let content = |stat: &Stat| (stat.size, stat.mtime_ns);
        Ok(if self.is_new {
            now.is_same_file(&self.stat) && content(&now) == content(&self.stat)
        } else {
            now.is_unchanged_since(&self.stat)
        })
    }
}
