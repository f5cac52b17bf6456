//! Events: values that say what npyd found and did. Sinks show them or forward them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::decide::reason::Reason;
use crate::events::receipt::Receipt;
use crate::events::tally::Tally;
use crate::facts::Fact;
use crate::text::count::counted;

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// The state of a drop changed, or the reason for it.
    State {
        /// The path.
        path: DropPath,
        /// Its state from now on.
        state: DropState,
        /// Why it waits, or why it is no drop.
        reason: Option<Reason>,
        /// The length of its data files in bytes when it was last probed, if it has some.
        bytes: Option<u64>,
    },
    /// The tracker has no room for further entries. Later scans find the other paths.
    Overflowed {
        /// The drop directory.
        drop_dir: PathBuf,
    },
    /// The state of a copy or another long read, at an interval.
    Progress(WorkProgress),
    /// A request was accepted; the ledger has that already. The receipt of the work follows.
    Accepted {
        /// The drop.
        path: DropPath,
        /// The command: `redo` or `take`.
        kind: &'static str,
        /// Its options, as JSON, if it has any.
        options: Option<String>,
        /// The options in words, if it has any.
        words: Option<String>,
    },
    /// A drop was finalized, made again, found, rejected or lost, or failed for the first time. The
    /// ledger has the receipt already.
    Receipt(Box<Receipt>),
    /// A drop failed again. The ledger has only the first failure.
    FailedAgain(Box<Receipt>),
    /// A drop has waited so long that people should know. The event about its state precedes.
    LongWait {
        /// The path.
        path: DropPath,
        /// What it waits for.
        reason: Reason,
        /// The age.
        age: WaitAge,
        /// The names of files that may be the data that it waits for.
        similar: Vec<String>,
    },
    /// The array of a drop was there already, although the ledger has no earlier receipt of it.
    FoundArray(DropPath),
    /// Drops failed for one cause. Each has its own event, too.
    Failing {
        /// The receipt of one of them.
        receipt: Box<Receipt>,
        /// How many they are.
        drops: usize,
        /// Whether they were reported before, and still fail.
        is_again: bool,
    },
    /// A directory has a fault that every drop meets, so npyd tries one drop at a time.
    Suspended {
        /// The drop directory.
        drop_dir: PathBuf,
        /// The directory that has the fault.
        dir: PathBuf,
        /// What failed; the text has the file and the remedy.
        error: String,
        /// Number of drops that wait.
        drops: usize,
        /// The delay before the next try.
        retry_in: Duration,
        /// How long it has lasted, if it was reported before.
        lasted: Option<Duration>,
    },
    /// The fault of a directory is over.
    Resumed {
        /// The drop directory.
        drop_dir: PathBuf,
        /// The directory that had the fault.
        dir: PathBuf,
        /// Number of drops that failed or waited.
        drops: usize,
        /// How long it lasted.
        lasted: Duration,
    },
    /// Only attributes of a finished drop changed: npyd compares it with its array.
    Rechecking(DropPath),
    /// How a drop directory is watched changed.
    Watch {
        /// The drop directory.
        drop_dir: PathBuf,
        /// How it is watched from now on.
        state: WatchState,
    },
    /// A drop directory has files that npyd leaves alone although somebody may expect an array.
    LeftAlone(Box<LeftAlone>),
    /// Something happened that neither a receipt nor the state of a drop tells.
    Fact(Fact),
    /// Something that concerns no single drop does not work.
    Problem(String),
    /// The state of the daemon or of its configuration changed.
    Daemon(DaemonState),
}

/// The path of a drop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DropPath {
    /// The drop directory.
    pub drop_dir: PathBuf,
    /// The data file, or the file that describes it.
    pub source: PathBuf,
}

impl DropPath {
    /// Returns the path below the drop directory.
    #[must_use]
    pub fn rel(&self) -> &Path {
        self.source.strip_prefix(&self.drop_dir).unwrap_or(&self.source)
    }
}

/// The state of a drop. The tracker's documentation lists the transitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropState {
    /// Found, but not probed yet.
    Unprobed,
    /// Not ready, or failed; it is probed again.
    Waiting,
    /// Ready for a worker, but the worker queue is full.
    Backlog,
    /// Finished, but its attributes changed: waits for its turn to be compared with its array.
    Unverified,
    /// Waits because a directory has a fault that every drop meets.
    Suspended,
    /// With a worker, or about to be.
    Working,
    /// Not tracked any more: it is done, gone or no drop, or it belongs to another path.
    Gone,
}

/// An age of a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WaitAge {
    /// The time `quiet`.
    Quiet,
    /// Ten minutes.
    TenMinutes,
    /// One hour.
    Hour,
    /// One day.
    Day,
}

/// Files of a drop directory that npyd leaves alone for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftAlone {
    /// The drop directory.
    pub drop_dir: PathBuf,
    /// The reason.
    pub kind: LeftAloneKind,
    /// The files, by their paths below the drop directory.
    pub files: Tally,
}

/// Why npyd leaves a file or directory alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftAloneKind {
    /// Nothing describes the file.
    Undescribed,
    /// The file has a name that npyd does not take.
    BadName,
    /// The file is an array already, and npyd did not make it.
    Array,
    /// The directory is not watched, because `recursive` is not set.
    Subdirectory,
}

impl LeftAloneKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Undescribed, Self::BadName, Self::Array, Self::Subdirectory];

    /// Returns the name that the ledger and the log have for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            LeftAloneKind::Undescribed => "undescribed",
            LeftAloneKind::BadName => "name",
            LeftAloneKind::Array => "array",
            LeftAloneKind::Subdirectory => "subdirectory",
        }
    }
}

/// How far the work on one file is. A phase is one pass over its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkProgress {
    /// The file.
    pub path: PathBuf,
    /// Bytes that are done; `None` once the work on the file has ended.
    pub done: Option<u64>,
    /// Bytes of the phase.
    pub total: u64,
    /// Time since the phase began.
    pub elapsed: Duration,
}

/// How a drop directory is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchState {
    /// By inotify events and scans.
    Inotify,
    /// By scans, as configured or because events of other machines do not arrive.
    Polling,
    /// By scans, because inotify is not available.
    PollingInstead {
        /// Why it is not.
        error: String,
    },
    /// By scans, because the inotify watches are exhausted.
    PollingFromNowOn,
    /// By inotify, which failed for some paths; a scan finds these.
    Incomplete {
        /// What failed.
        error: String,
    },
    /// By inotify, whose queue was full; a scan replaces the events.
    EventsLost,
    /// Not at all: the directory can't be opened.
    Missing {
        /// Why it can't.
        error: String,
    },
    /// Its thread ended, which only a bug can cause, and is started again. Its drops have no state.
    Restarted,
    /// Not any more: its settings changed, or npyd stops. Its drops have no state.
    Ended,
}

/// The state of the daemon or of its configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DaemonState {
    /// The first scans are done.
    Ready {
        /// Number of drop directories.
        drop_dirs: DropDirCount,
    },
    /// The configuration was read again, and counts.
    Reloaded {
        /// Number of drop directories.
        drop_dirs: DropDirCount,
    },
    /// The configuration could not be read again; the old one counts.
    ReloadFailed {
        /// Why.
        error: String,
    },
    /// Settings changed that count only after a restart.
    NeedsRestart {
        /// Names of the settings.
        settings: Vec<&'static str>,
    },
    /// It was told to stop.
    Stopping,
    /// It stops now.
    Stopped {
        /// Whether work was cut off, which the next start does again.
        has_work_left: bool,
    },
}

/// A number of drop directories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DropDirCount(pub usize);

impl fmt::Display for DropDirCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&counted(self.0, "drop directory"))
    }
}

impl fmt::Display for DaemonState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DaemonState::Ready { drop_dirs } => write!(f, "ready: {drop_dirs}"),
            DaemonState::Reloaded { drop_dirs } => {
                write!(f, "configuration read again: {drop_dirs}")
            }
            DaemonState::ReloadFailed { error } => {
                write!(f, "the configuration is kept as it was: {error}")
            }
            DaemonState::NeedsRestart { settings } => {
                write!(f, "restart npyd to apply what changed in {}", settings.join(", "))
            }
            DaemonState::Stopping => f.write_str("stopping"),
            DaemonState::Stopped { has_work_left: false } => f.write_str("stopped"),
            DaemonState::Stopped { has_work_left: true } => {
                f.write_str("stopped with work under way; it will be done again")
            }
        }
    }
}
