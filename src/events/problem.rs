//! Problems: failures that concern no single drop. The sinks make the text.

use std::path::PathBuf;

/// A failure that concerns no single drop.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Problem {
    /// npyd can't use its ledger.
    Ledger {
        /// The error, with the path and the remedy.
        error: String,
    },
    /// npyd can't scan or recover a directory.
    Dir {
        /// The error, with the path and the remedy.
        error: String,
    },
    /// npyd can't write to a directory that its drops need.
    UnwritableDir {
        /// The drop directory.
        drop_dir: PathBuf,
        /// Whether npyd still makes the arrays, and only the sources stay.
        is_of_sources: bool,
        /// The error, with the path and the remedy.
        error: String,
    },
    /// A directory is too deep below the drop directory to be scanned.
    TooDeep {
        /// Its path.
        path: PathBuf,
        /// The maximum depth.
        max: usize,
    },
    /// More descriptions wait that name their data in their text than npyd keeps.
    ManyDescriptions {
        /// The drop directory.
        drop_dir: PathBuf,
        /// The maximum number.
        max: usize,
    },
    /// A file has the private name of an interrupted insertion, and npyd can't restore it.
    InsertStays {
        /// Its path.
        path: PathBuf,
        /// Why.
        why: InsertObstacle,
    },
    /// The system refuses new threads, so that npyd does not process some drop directories.
    NoThreads {
        /// Why, with the remedy.
        error: String,
    },
    /// npyd may take leases on files of its own user alone, and the settings require proofs.
    OwnLeasesOnly,
    /// Other daemons use the state directory, too.
    OtherDaemons {
        /// The state directory.
        state_dir: PathBuf,
        /// Their process IDs.
        pids: Vec<u32>,
    },
    /// The kernel refused the idle class of I/O.
    NotIdle {
        /// Why.
        error: String,
    },
    /// The kernel does not measure I/O pressure, and the settings limit it.
    NoPressure,
    /// npyd ends while the ledger does not respond.
    LedgerHangs,
}

/// Why npyd can't undo an interrupted insertion.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum InsertObstacle {
    /// The file has hard links, or is not a regular file.
    OtherFile,
    /// The state directory does not know of the insertion.
    NoIntent,
    /// An error, with its path and remedy.
    Error(String),
}
