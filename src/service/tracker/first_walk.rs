//! What the first walk of a scan has found. The second walk need not read a description again that
//! is unchanged, nor ask the ledger again about what was settled.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::path::{Path, PathBuf};

use crate::fs::Dir;
use crate::model::Stat;
use crate::probe::ReadDescription;

/// Maximum number of data files that are kept as settled: 28 MiB while the table grows.
const SETTLED_MAX: usize = 1 << 20;

/// The findings of the first walk, as far as there is room.
#[derive(Default)]
pub(super) struct FirstWalk {
    /// The files named like descriptions whose drops are not settled. Those with a version describe
    /// drops that the index knows.
    unsettled: HashMap<PathBuf, Option<Version>>,
    /// Whether others are unsettled, or were not found.
    lacks_some: bool,
    /// Hashes of the paths of data files that are settled with their descriptions. Two paths with
    /// one hash are as good as impossible, and by the next scan they have others.
    settled_data: HashSet<u64, BuildHasherDefault<Identity>>,
    hashes: RandomState,
}

/// What the first walk has found about a file that is named like a description.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finding {
    /// The drop is settled.
    Settled,
    /// It was read, the index knows it, and it is unchanged.
    Unchanged,
    /// Nothing that still holds.
    Unknown,
}

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

/// The hash of what is a hash already.
#[derive(Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0 << 8 | u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl FirstWalk {
    /// Notes a file named like a description whose drop is not settled. `read` is the description
    /// if the index now knows it. Keeps at most `room` of them.
    pub(super) fn note_unsettled(
        &mut self,
        rel: PathBuf,
        read: Option<&ReadDescription>,
        room: usize,
    ) {
        if self.unsettled.len() < room {
            let version = read.and_then(ReadDescription::stat).map(Version::of);
            self.unsettled.insert(rel, version);
        } else {
            self.lacks_some = true;
        }
    }

    /// Notes that a directory could not be read.
    pub(super) fn note_unread_dir(&mut self) {
        self.lacks_some = true;
    }

    /// Notes a data file in the directory `below` that is settled with its description.
    pub(super) fn note_settled(&mut self, below: &Path, data: &OsStr) {
        if self.settled_data.len() < SETTLED_MAX {
            self.settled_data.insert(self.hash(below, data));
        }
    }

    /// Returns whether it is known at once that a file in the directory `below` is settled.
    pub(super) fn has_settled(&self, (below, name): (&Path, &OsStr), describes: bool) -> bool {
        if describes {
            self.unsettled.is_empty() && !self.lacks_some
        } else {
            !self.settled_data.is_empty() && self.settled_data.contains(&self.hash(below, name))
        }
    }

    fn hash(&self, below: &Path, data: &OsStr) -> u64 {
        self.hashes.hash_one((below.as_os_str(), data))
    }

    /// Returns what the first walk has found about a description in the directory `dir`, whose path
    /// is `below`, and removes it. A file that came since then counts as settled: an event leads
    /// to it, or the next scan.
    pub(super) fn take(&mut self, (dir, below): (&Dir, &Path), name: &OsStr) -> Finding {
        let unsettled =
            if self.unsettled.is_empty() { None } else { self.unsettled.remove(&below.join(name)) };
        match unsettled {
            None if self.lacks_some => Finding::Unknown,
            None => Finding::Settled,
            Some(None) => Finding::Unknown,
            Some(Some(version)) => {
                let stat = dir.stat(Path::new(name)).ok().flatten();
                let is_same = |stat: &Stat| stat.is_file() && Version::of(stat) == version;
                if stat.is_some_and(|stat| is_same(&stat)) {
                    Finding::Unchanged
                } else {
                    Finding::Unknown
                }
            }
        }
    }

    #[cfg(test)]
    pub(super) fn has_unsettled(&self, rel: &Path) -> bool {
        self.unsettled.contains_key(rel)
    }

    /// Forgets all, and frees the memory.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_found_unsettled_is_settled() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        let mut walk = FirstWalk::default();
        let take = |walk: &mut FirstWalk, name: &str| {
            walk.take((&dir, Path::new("below")), OsStr::new(name))
        };
        assert_eq!(take(&mut walk, "a.toml"), Finding::Settled);
        walk.note_unsettled("below/a.toml".into(), None, 1);
        assert_eq!(take(&mut walk, "a.toml"), Finding::Unknown);

        walk.note_unsettled("below/a.toml".into(), None, 1);
        assert_eq!(take(&mut walk, "b.toml"), Finding::Settled);
        walk.note_unsettled("below/b.toml".into(), None, 1); // there is no room for it
        for name in ["a.toml", "b.toml", "c.toml"] {
            assert_eq!(take(&mut walk, name), Finding::Unknown, "{name}");
        }

        assert!(!walk.has_settled((Path::new("below"), OsStr::new("c.toml")), true));

        walk.clear();
        assert_eq!(take(&mut walk, "c.toml"), Finding::Settled);
        assert!(walk.has_settled((Path::new("below"), OsStr::new("c.toml")), true));
        walk.note_unread_dir();
        assert_eq!(take(&mut walk, "c.toml"), Finding::Unknown);
    }

    #[test]
    fn settled_data() {
        let (a, b) = (OsStr::new("a.raw"), OsStr::new("b.raw"));
        let (here, below) = (Path::new(""), Path::new("below"));
        let mut walk = FirstWalk::default();
        walk.note_settled(below, a);
        assert!(walk.has_settled((below, a), false));
        assert!(!walk.has_settled((below, b), false));
        assert!(!walk.has_settled((here, a), false));
        walk.clear();
        assert!(!walk.has_settled((below, a), false));
    }
}
