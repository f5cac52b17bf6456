//! Walks through a drop directory, or through a directory below it: first one that reads the
//! descriptions, then one that finds the other files. A walk goes on where it stopped, so that it
//! can be made in short steps.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::fs::{self, Dir, EntryKind, Listing};

/// Maximum number of names that are handled in one turn.
pub(super) const NAMES_AT_ONCE: usize = 256;

/// Minimum number of turns in a step, so that a small directory takes one step on any machine.
pub(super) const TURNS_MIN: usize = 4;

/// The name and kind of a directory entry.
pub(super) type Listed = (OsString, EntryKind);

/// What a walk does with the files that it lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WalkPhase {
    /// It reads the descriptions. All of them are known before it finds the first data file.
    Descriptions,
    /// It finds the drops.
    Drops,
}

/// Whether the descriptions of all data files are known, as far as they are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DescriptionState {
    /// They are not. No drop is probed.
    Unread,
    /// They are.
    Read,
    /// Events about some of them may have been lost. The next scan reads them before it probes a
    /// drop.
    Outdated,
}

/// A walk that has not ended.
pub(super) struct Walk {
    /// Where it starts, relative to the drop directory.
    pub(super) base: PathBuf,
    /// Whether it is a scan of the whole drop directory.
    pub(super) is_pass: bool,
    pub(super) phase: WalkPhase,
    /// The drop directory, unless the walk has a pause.
    pub(super) root: Option<Dir>,
    /// The directories that it is in, each below the one before.
    pub(super) levels: Vec<Level>,
    /// Number of names that it has seen, and of files that it has found to be probed.
    pub(super) seen: u64,
    pub(super) found: u64,
    /// When it began, and how long its steps took: on the clock, and of the CPU.
    pub(super) began: Instant,
    pub(super) elapsed: Duration,
    pub(super) cpu: Duration,
}

/// A directory that a walk is in.
pub(super) struct Level {
    /// Its path below the drop directory.
    pub(super) rel: PathBuf,
    /// The directory, unless the walk has a pause.
    dir: Option<Dir>,
    listing: Listing,
    /// The names that were read, but not handled.
    pub(super) names: VecDeque<Listed>,
    /// The subdirectories among the names that were handled.
    pub(super) subdirs: Vec<OsString>,
    /// Whether the directory has its watch.
    pub(super) is_watched: bool,
    /// Whether files were recovered in the directory.
    pub(super) is_recovered: bool,
}

impl Walk {
    pub(super) fn new(base: &Path, is_pass: bool, now: Instant) -> Self {
        Walk {
            base: base.to_path_buf(),
            is_pass,
            phase: WalkPhase::Descriptions,
            root: None,
            levels: vec![Level::new(base.to_path_buf(), None)],
            seen: 0,
            found: 0,
            began: now,
            elapsed: Duration::ZERO,
            cpu: Duration::ZERO,
        }
    }

    /// Closes the directories, because the walk waits for room and must not keep a mount busy.
    pub(super) fn close_dirs(&mut self) {
        self.root = None;
        for level in &mut self.levels {
            level.dir = None;
            level.listing.close();
        }
    }
}

impl Level {
    pub(super) fn new(rel: PathBuf, dir: Option<Dir>) -> Self {
        Level {
            rel,
            dir,
            listing: Listing::default(),
            names: VecDeque::new(),
            subdirs: Vec::new(),
            is_watched: false,
            is_recovered: false,
        }
    }

    /// Returns the directory. `root` is the drop directory.
    pub(super) fn dir(&mut self, root: &Dir) -> fs::Result<Dir> {
        if let Some(dir) = &self.dir {
            return Ok(dir.clone());
        }
        let dir = root.clone().into_subdir(&self.rel)?;
        self.dir = Some(dir.clone());
        Ok(dir)
    }

    /// Reads the next names. Returns `false` if there are none.
    pub(super) fn read_names(&mut self, dir: &Dir) -> fs::Result<bool> {
        let Some(piece) = self.listing.next_piece(dir)? else { return Ok(false) };
        self.names.extend(piece);
        self.names.make_contiguous().sort_unstable(); // numbered files come in their order
        Ok(true)
    }

    /// Makes the walk read the directory from its first name on.
    pub(super) fn rewind(&mut self) {
        self.listing = Listing::default();
        self.names.clear();
        self.subdirs.clear();
    }
}
