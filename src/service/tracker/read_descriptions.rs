//! The descriptions that the current scan has read. A scan walks through the drop directory twice;
//! the second walk need not read a description again that is unchanged.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::fs::Dir;
use crate::model::Stat;
use crate::probe::ReadDescription;

/// The descriptions that a scan has read and whose drops are not settled, as far as there is room.
/// The others are read again.
#[derive(Default)]
pub(super) struct ReadDescriptions(HashMap<PathBuf, Version>);

/// What shows that a file is unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version {
    ino: u64,
    size: u64,
    mtime_ns: i64,
    ctime_ns: i64,
}

impl Version {
    fn of(stat: &Stat) -> Self {
        let Stat { ino, size, mtime_ns, ctime_ns, .. } = *stat;
        Version { ino, size, mtime_ns, ctime_ns }
    }
}

impl ReadDescriptions {
    /// Notes a description that the index now knows. Keeps at most `room` of them.
    pub(super) fn note(&mut self, rel: PathBuf, read: &ReadDescription, room: usize) {
        if self.0.len() < room
            && let Some(stat) = read.stat()
        {
            self.0.insert(rel, Version::of(stat));
        }
    }

    /// Removes a description in the directory `dir`, whose path is `below`. Returns whether it was
    /// read, and is unchanged.
    pub(super) fn take_unchanged(&mut self, (dir, below): (&Dir, &Path), name: &OsStr) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let Some(version) = self.0.remove(&below.join(name)) else { return false };
        let stat = dir.stat(Path::new(name)).ok().flatten();
        stat.is_some_and(|stat| stat.is_file() && Version::of(&stat) == version)
    }

    #[cfg(test)]
    pub(super) fn has(&self, rel: &Path) -> bool {
        self.0.contains_key(rel)
    }

    /// Forgets all, and frees the memory.
    pub(super) fn clear(&mut self) {
        self.0 = HashMap::new();
    }
}
