//! What a running process knows of a drop directory's settings: whether they still count, and
//! which file systems its directories were on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Type and id of a file system (`statfs(2)`: `f_type`, `f_fsid`).
pub type FileSystemId = (u64, u64);

/// Identifies a directory: its file system, which stays the same when it is mounted again, and the
/// directory in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DirId {
    /// Its file system.
    pub file_system: FileSystemId,
    /// Inode number and time of creation.
    pub dir: (u64, i64),
}

/// The result of comparing a directory with what is known of its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recognized {
    /// The directory is the known one, or the first one at its path.
    Known,
    /// The directory is new, on the known file system or on that which replaced it under the drop
    /// directory as well. It is the known one from now on.
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
    /// The file systems that the drop directory was on, each with the one that replaced it.
    replaced: Mutex<Vec<(FileSystemId, FileSystemId)>>,
}

impl InForce {
    /// Returns whether newer settings replaced these. A job with replaced settings must not remove,
    /// archive or quarantine anything.
    #[must_use]
    pub fn is_superseded(&self) -> bool {
        self.0.is_superseded.load(Ordering::SeqCst)
    }

    /// Returns whether the newer settings do not keep sources: they remove or archive them, or
    /// there are none yet.
    #[must_use]
    pub fn is_disposed_later(&self) -> bool {
        self.0.is_disposed_later.load(Ordering::SeqCst)
    }

    /// Notes that the configuration has other settings for the drop directory, or none.
    /// `disposes`: whether they do not keep sources.
    pub fn supersede(&self, disposes: bool) {
        self.0.is_disposed_later.store(disposes, Ordering::SeqCst);
        self.0.is_superseded.store(true, Ordering::SeqCst);
    }

    /// Notes that the drop directory is on another file system now. npyd's own directories may have
    /// moved to it with the drop directory, if they were on the one before.
    pub fn replace_file_system(&self, before: FileSystemId, now: FileSystemId) {
        let mut replaced = self.0.replaced.lock().unwrap_or_else(PoisonError::into_inner);
        replaced.retain(|(of, _)| *of != before && *of != now);
        replaced.push((before, now));
    }

    /// Returns whether the drop directory moved from one file system to the other.
    fn has_moved(&self, from: FileSystemId, to: FileSystemId) -> bool {
        let replaced = self.0.replaced.lock().unwrap_or_else(PoisonError::into_inner);
        let next = |of| replaced.iter().find(|(before, _)| *before == of).map(|(_, now)| *now);
        let mut seen = std::iter::successors(next(from), |at| next(*at)).take(replaced.len());
        seen.any(|at| at == to)
    }

    /// Compares a directory with the one that had this path before, if any.
    #[must_use]
    pub fn recognize(&self, path: &Path, found: DirId) -> Recognized {
        let mut dirs = self.0.dirs.lock().unwrap_or_else(PoisonError::into_inner);
        let known = *dirs.entry(path.to_path_buf()).or_insert(found);
        let is_other = known.file_system != found.file_system;
        if is_other && !self.has_moved(known.file_system, found.file_system) {
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
        // The drop directory moves: from 7 to 8, to 9, and to 7 again.
        settings.replace_file_system((1, 7), (1, 8));
        settings.replace_file_system((1, 8), (1, 9));
        assert_eq!(settings.recognize(path, id(6, 2)), Recognized::OtherFileSystem);
        assert_eq!(settings.recognize(path, id(9, 2)), Recognized::NewDir);
        assert_eq!(settings.recognize(path, id(8, 2)), Recognized::OtherFileSystem);
        settings.replace_file_system((1, 9), (1, 7));
        assert_eq!(settings.recognize(path, id(7, 2)), Recognized::NewDir);
        assert_eq!(settings.recognize(path, id(9, 2)), Recognized::OtherFileSystem);
        assert!(!settings.is_superseded());
        settings.clone().supersede(true);
        assert!(settings.is_superseded() && settings.is_disposed_later());
    }
}
