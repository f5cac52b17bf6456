//! The array that has the bytes of a source, from before they were compared until the source is
//! disposed of.

use std::path::Path;

use crate::fs::{self, DataFile, Dir, Writer};
use crate::model::Stat;

/// An array that may become the only copy of its data.
pub(crate) struct StandingArray {
    file: DataFile,
    stat: Stat,
}

impl StandingArray {
    /// Notes the state of an array. Call it before the array is compared, or once it has its name.
    pub(crate) fn new(file: DataFile) -> fs::Result<Self> {
        Ok(StandingArray { stat: file.stat()?, file })
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
        let now = dir.stat(name)?;
        Ok(now.is_some_and(|now| now.is_unchanged_since(&self.stat)))
    }
}
