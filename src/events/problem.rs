//! Problems: failures that concern no single drop. The sinks make the text, but for what
//! `npyd explain` also says.

use std::path::{Path, PathBuf};

use crate::text::one_line::shown;

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
    /// The data in the file were overwritten, cut off or replaced since.
    Changed {
        /// The offset of the inserted bytes, if it is known.
        gap: Option<u64>,
        /// The number of inserted bytes.
        room: u64,
        /// The size of the file now.
        size: u64,
        /// The file's own name.
        name: String,
    },
    /// An error, with its path and remedy.
    Error(String),
}

impl InsertObstacle {
    /// Returns the text about a file, with what to do.
    #[must_use]
    pub fn to_text(&self, path: &Path) -> String {
        let path = shown(path);
        match self {
            InsertObstacle::OtherFile => {
                "it has hard links now, or is not a regular file: remove the other links".to_owned()
            }
            InsertObstacle::NoIntent => {
                "the state directory has no intent for it: run npyd with the state_dir that has \
                 it, or rename the file if its content is right"
                    .to_owned()
            }
            InsertObstacle::Changed { gap: Some(at), room, size, name } => {
                let command = if at.saturating_add(*room) < *size {
                    format!("fallocate --collapse-range --offset {at} --length {room} '{path}'")
                } else {
                    format!("truncate --size {at} '{path}'")
                };
                format!(
                    "its data changed since: `{command}` removes the {room} inserted bytes; then \
                     rename it to `{name}`"
                )
            }
            InsertObstacle::Changed { gap: None, room, name, .. } => format!(
                "its data changed since, so that npyd can't tell where the {room} inserted bytes \
                 are: if its content is right, rename it to `{name}`, or else replace it by a copy"
            ),
            InsertObstacle::Error(error) => error.clone(),
        }
    }
}
