//! Recognizes the directories that npyd writes to. When a file system is unmounted, its mount
//! point remains as an empty directory; arrays in it would vanish at the next mount.

use std::path::Path;

use crate::config::DropDir;
use crate::config::in_force::{DirId, Recognized};
use crate::fs::{self, Dir, FsError};

/// Remembers the file systems of a drop directory's own directories, as far as they exist.
pub fn remember_dirs(drop_dir: &DropDir) {
    for path in drop_dir.managed_dirs() {
        if let Ok(dir) = Dir::open_trusted(path, drop_dir.untrusted_root()) {
            let _ = why_not_known(drop_dir, path, &dir); // a job reports it
        }
    }
}

/// Opens a directory of npyd's own, unless it is on another file system than before.
pub(crate) fn open_known(drop_dir: &DropDir, path: &Path) -> fs::Result<Dir> {
    let dir = Dir::open_trusted(path, drop_dir.untrusted_root())?;
    match why_not_known(drop_dir, path, &dir)? {
        None => Ok(dir),
        Some(why) => Err(FsError::new("use", path, std::io::Error::other(why))),
    }
}

/// Returns why npyd must not write to a directory: it is on another file system than before.
pub(crate) fn why_not_known(
    drop_dir: &DropDir,
    path: &Path,
    dir: &Dir,
) -> fs::Result<Option<&'static str>> {
    let stat = dir.stat_self()?;
    let found = DirId { file_system: fs::fs_id(dir)?, dir: (stat.ino, stat.born_ns) };
    Ok(match drop_dir.in_force.recognize(path, found) {
        Recognized::Known => None,
        Recognized::NewDir => {
            tracing::info!("`{}` is a new directory, and is used from now on", path.display());
            None
        }
        Recognized::OtherFileSystem => Some(
            "another file system was there when npyd started: mount that again, or restart npyd",
        ),
    })
}
