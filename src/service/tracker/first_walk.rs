//! What the first walk of a scan has found. The second walk need not read a description again that
//! is unchanged, nor ask the ledger again about what was settled.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::path::Path;

use crate::fs::Dir;
use crate::model::{Stat, parent_of};
use crate::probe::ReadDescription;

/// Maximum number of files of each kind that are kept: 28 MiB while a table grows.
const FILES_MAX: usize = 1 << 20;

/// The findings of the first walk, as far as there is room. Of each path it keeps a hash. Two paths
/// with one hash are as good as impossible, and by the next scan they have others.
pub(super) struct FirstWalk {
    /// The files named like descriptions whose drops are not settled. Those with the hash of a
    /// version describe drops that the index knows.
    unsettled: HashMap<u64, Option<u64>, BuildHasherDefault<Identity>>,
    /// Whether others are unsettled, or were not found.
    lacks_some: bool,
    /// The data files that are settled with their descriptions.
    settled_data: HashSet<u64, BuildHasherDefault<Identity>>,
    /// The data files that unsettled descriptions lead to, which the index knows.
    led_to: HashSet<u64, BuildHasherDefault<Identity>>,
    hashes: RandomState,
    room: usize,
}

impl Default for FirstWalk {
    fn default() -> Self {
        Self::with_room(FILES_MAX)
    }
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
    fn with_room(room: usize) -> Self {
        let (unsettled, lacks_some) = (HashMap::default(), false);
        let (settled_data, led_to) = (HashSet::default(), HashSet::default());
        FirstWalk { unsettled, lacks_some, settled_data, led_to, hashes: RandomState::new(), room }
    }

    /// Notes a file named like a description whose drop is not settled. `read` is the description
    /// if the index now knows it.
    pub(super) fn note_unsettled(&mut self, rel: &Path, read: Option<&ReadDescription>) {
        if self.unsettled.len() >= self.room {
            self.lacks_some = true;
            return;
        }
        let version = read.and_then(ReadDescription::stat).map(Version::of);
        let version = version.map(|version| self.hashes.hash_one(version));
        self.unsettled.insert(self.hash_of(rel), version);
        let data = read.and_then(ReadDescription::first_data);
        if let Some(data) = data.filter(|_| self.led_to.len() < self.room) {
            self.led_to.insert(self.hash_of(&data));
        }
    }

    /// Returns whether an unsettled description leads to a data file in the directory `below`, so
    /// that its probe is that of the data.
    pub(super) fn leads_to(&self, below: &Path, data: &OsStr) -> bool {
        !self.led_to.is_empty() && self.led_to.contains(&self.hash(below, data))
    }

    /// Notes that a directory could not be read.
    pub(super) fn note_unread_dir(&mut self) {
        self.lacks_some = true;
    }

    /// Notes a data file in the directory `below` that is settled with its description.
    pub(super) fn note_settled(&mut self, below: &Path, data: &OsStr) {
        if self.settled_data.len() < self.room {
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

    fn hash_of(&self, path: &Path) -> u64 {
        self.hash(parent_of(path), path.file_name().unwrap_or_default())
    }

    fn hash(&self, below: &Path, data: &OsStr) -> u64 {
        self.hashes.hash_one((below.as_os_str(), data))
    }

    /// Returns what the first walk has found about a description in the directory `dir`, whose path
    /// is `below`, and removes it. A file that came since then counts as settled: an event leads
    /// to it, or the next scan.
    pub(super) fn take(&mut self, (dir, below): (&Dir, &Path), name: &OsStr) -> Finding {
        let unsettled = if self.unsettled.is_empty() {
            None
        } else {
            self.unsettled.remove(&self.hash(below, name))
        };
        match unsettled {
            None if self.lacks_some => Finding::Unknown,
            None => Finding::Settled,
            Some(None) => Finding::Unknown,
            Some(Some(version)) => {
                let stat = dir.stat(Path::new(name)).ok().flatten();
                let is_same = |stat: &Stat| {
                    stat.is_file() && self.hashes.hash_one(Version::of(stat)) == version
                };
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
        self.unsettled.contains_key(&self.hash_of(rel))
    }

    /// Forgets all, and frees the memory.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::tracker::timeline::Timeline;

    #[test]
    fn what_was_not_found_unsettled_is_settled() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        let mut walk = FirstWalk::with_room(1);
        let take = |walk: &mut FirstWalk, name: &str| {
            walk.take((&dir, Path::new("below")), OsStr::new(name))
        };
        assert_eq!(take(&mut walk, "a.toml"), Finding::Settled);
        walk.note_unsettled(Path::new("below/a.toml"), None);
        assert_eq!(take(&mut walk, "a.toml"), Finding::Unknown);

        walk.note_unsettled(Path::new("below/a.toml"), None);
        assert_eq!(take(&mut walk, "b.toml"), Finding::Settled);
        walk.note_unsettled(Path::new("below/b.toml"), None); // there is no room for it
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

    /// Data that a description leads to have no probe of their own.
    #[test]
    fn data_that_a_description_leads_to() {
        let toml = b"dtype = '<u8'\nshape = [1]\n";
        let listed = b"dtype = '<u8'\nshape = [1]\ndata = ['x', 'y']\n";
        let named = b"dtype = '<u8'\nshape = [1]\ndata = 'c.bin'\n";
        let files: [(&str, &[u8]); 3] =
            [("a.raw.toml", toml), ("b.toml", listed), ("c.toml", named)];
        let time = Timeline::of(&files);
        let root = Dir::open(&time.path()).unwrap();
        let mut walk = FirstWalk::default();
        for (name, _) in files {
            let read = ReadDescription::read((&time.tracker.drop_dir, &root), Path::new(name));
            walk.note_unsettled(Path::new(name), read.unwrap().as_ref());
        }
        let here = Path::new("");
        for (name, expected) in [
            ("a.raw", true),
            ("a", false),
            ("b", false),
            ("x", false),
            ("c.bin", true),
            ("c", false),
        ] {
            assert_eq!(walk.leads_to(here, OsStr::new(name)), expected, "{name}");
        }
        assert!(!walk.leads_to(Path::new("below"), OsStr::new("a.raw")));
    }
}
