//! Recognizes the directories that npyd writes to. When a file system is unmounted, its mount
//! point remains as an empty directory; arrays in it would vanish at the next mount.

use std::path::Path;

use crate::config::DropDir;
use crate::config::in_force::{DirId, Recognized};
use crate::facts::{self, Fact};
use crate::fs::{self, Dir, FsError, Operation};

/// Why npyd does not use a directory that is on another file system than before.
pub const OTHER_FILE_SYSTEM: &str =
    "another file system was there when npyd started: mount that again, or restart npyd";

/// Remembers the file systems of a drop directory's own directories, as far as they exist.
pub fn remember_dirs(drop_dir: &DropDir) {
    for path in drop_dir.managed_dirs() {
        let _ = open_known(drop_dir, path); // a job reports why it can't be used
    }
}

/// Returns whether a directory of npyd's own can be used, and is on the file system of before.
#[must_use]
pub fn is_known(drop_dir: &DropDir, path: &Path) -> bool {
    open_known(drop_dir, path).is_ok()
}

/// Opens a directory of npyd's own. Fails if it is on another file system than before, which is a
/// fault of the directory: all drops that need it wait.
pub(crate) fn open_known(drop_dir: &DropDir, path: &Path) -> fs::Result<Dir> {
    let dir = Dir::open_trusted(path, drop_dir.untrusted_root())?;
    let found = DirId { file_system: fs::fs_id(&dir)?, dir: fs::dir_id(&dir, &dir.stat_self()?)? };
    match drop_dir.in_force.recognize(path, found) {
        Recognized::Known => {}
        Recognized::NewDir => facts::note(Fact::NewDir(path.to_path_buf())),
        Recognized::OtherFileSystem => {
            let why = std::io::Error::other(OTHER_FILE_SYSTEM);
            return Err(FsError::new(Operation::UseDir, path, why));
        }
    }
    Ok(dir)
}
