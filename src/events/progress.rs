//! The progress of work that takes long.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::events::drop_path::DropPath;

/// The progress of the work on one file. A phase is one pass over the file's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkProgress {
    /// The drop, by the path that its state has.
    pub drop: DropPath,
    /// The file: that of the drop, or an array that is made again without its source.
    pub file: PathBuf,
    /// What npyd does with the bytes.
    pub phase: Phase,
    /// Number of processed bytes; `None` once the work on the file has ended.
    pub done: Option<u64>,
    /// Bytes of the phase.
    pub total: u64,
    /// Time since the phase began.
    pub elapsed: Duration,
}

/// What a pass over the bytes of a file does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// npyd computes the digest that the producer declared.
    Digest,
    /// npyd compares the bytes with those of an array.
    Compare,
    /// npyd copies the bytes.
    Copy,
    /// npyd saves the bytes that follow the array.
    SaveRest,
    /// npyd waits until the bytes are on the disk, and does not know how many are.
    Sync,
}

impl Phase {
    /// Returns the name for programs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Digest => "digest",
            Phase::Compare => "compare",
            Phase::Copy => "copy",
            Phase::SaveRest => "save-rest",
            Phase::Sync => "sync",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::Digest => "computing the digest",
            Phase::Compare => "comparing",
            Phase::Copy => "copying",
            Phase::SaveRest => "saving the rest",
            Phase::Sync => "syncing",
        })
    }
}
