//! What a running process knows of a drop directory's settings: whether they still count, and
//! which file systems its directories were on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Identifies a directory: its file system, which stays the same when it is mounted again, and the
/// directory in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DirId {
    /// Type and id of the file system (`statfs(2)`: `f_type`, `f_fsid`).
    pub file_system: (u64, u64),
    /// Inode number and time of creation.
    pub dir: (u64, i64),
}

/// The result of comparing a directory with what is known of its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recognized {
    /// The directory is the known one, or the first one at its path.
    Known,
    /// The directory is new, on the known file system. It is the known one from now on.
    NewDir,
    /// The directory is on another file system.
    OtherFileSystem,
}

/// The state of a drop directory's settings. All copies of a [`crate::config::DropDir`] share it.
#[derive(Debug, Clone, Default)]
pub struct InForce(Arc<State>);

#[derive(Debug, Default)]
struct State {
    is_superseded: AtomicBool,
    /// Whether newer settings dispose of the source. Set before `is_superseded`.
    is_disposed_later: AtomicBool,
    dirs: Mutex<BTreeMap<PathBuf, DirId>>,
}

impl InForce {
    /// Returns whether newer settings replaced these. A job with replaced settings must not remove,
    /// archive or quarantine anything.
    #[must_use]
    pub fn is_superseded(&self) -> bool {
        self.0.is_superseded.load(Ordering::SeqCst)
    }

    /// Returns whether the newer settings, if any, remove or archive sources.
    #[must_use]
    pub fn is_disposed_later(&self) -> bool {
        self.0.is_disposed_later.load(Ordering::SeqCst)
    }

    /// Notes that the configuration has other settings for the drop directory, or none: settings
    /// that remove or archive sources, or keep them.
    pub fn supersede(&self, disposes: bool) {
        self.0.is_disposed_later.store(disposes, Ordering::SeqCst);
        self.0.is_superseded.store(true, Ordering::SeqCst);
    }

    /// Compares a directory with the one that had this path before, if any.
    #[must_use]
    pub fn recognize(&self, path: &Path, found: DirId) -> Recognized {
        let mut dirs = self.0.dirs.lock().unwrap_or_else(PoisonError::into_inner);
        let known = *dirs.entry(path.to_path_buf()).or_insert(found);
        if known.file_system != found.file_system {
            return Recognized::OtherFileSystem;
        }
        dirs.insert(path.to_path_buf(), found);
        if known == found { Recognized::Known } else { Recognized::NewDir }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_known_by_its_file_system() {
        let (path, settings) = (Path::new("/out"), InForce::default());
        let id = |fsid, ino| DirId { file_system: (1, fsid), dir: (ino, 0) };
        for (found, expected) in [
            (id(7, 2), Recognized::Known),
            (id(8, 2), Recognized::OtherFileSystem),
            (id(7, 2), Recognized::Known),
            (id(7, 3), Recognized::NewDir),
            (id(7, 3), Recognized::Known),
        ] {
            assert_eq!(settings.recognize(path, found), expected, "{found:?}");
        }
        assert_eq!(settings.recognize(Path::new("/archive"), id(8, 2)), Recognized::Known);
        assert!(!settings.is_superseded());
        settings.clone().supersede(true);
        assert!(settings.is_superseded() && settings.is_disposed_later());
    }
}
