//! The files of an open database, by which npyd notices that others have their names.

use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::ledger::obstacle::no_file;
use crate::ledger::schema::with_suffix;

/// The files of an open database.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct OpenFiles {
    /// Device and inode of the database, its write-ahead log and its shared memory.
    pub(crate) ids: [Option<(u64, u64)>; 3],
    /// Size and mtime of the database when it was last checked.
    pub(crate) checked: (u64, i64, i64),
}

impl OpenFiles {
    /// Returns the files of the database at a path; those that can't be examined are left out.
    pub(crate) fn of(path: &Path) -> Self {
        Self::examine(path).unwrap_or_default()
    }

    /// Returns the files of the database at a path.
    ///
    /// # Errors
    ///
    /// Something there can't be examined, or is not a file.
    pub(crate) fn examine(path: &Path) -> io::Result<Self> {
        let mut files = Self::default();
        check_kind(path)?;
        for (id, suffix) in files.ids.iter_mut().zip(["", "-wal", "-shm"]) {
            match std::fs::metadata(with_suffix(path, suffix)) {
                Ok(stat) => {
                    *id = Some((stat.dev(), stat.ino()));
                    if suffix.is_empty() {
                        files.checked = (stat.size(), stat.mtime(), stat.mtime_nsec());
                    }
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(files)
    }
}

/// Checks that what is at a path, if anything, is a file, and so is what SQLite has beside it.
pub(crate) fn check_kind(path: &Path) -> io::Result<()> {
    match no_file(path) {
        Some(("", kind)) => Err(io::Error::other(format!("it is {kind}, not a file"))),
        Some((suffix, kind)) => {
            let path = with_suffix(path, suffix);
            Err(io::Error::other(format!("`{}` is {kind}, not a file", path.display())))
        }
        None => Ok(()),
    }
}
