//! Events: what npyd sees and does, as values. A sink shows or forwards them.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::decide::reason::Reason;
use crate::events::receipt::Receipt;
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
    /// Drops wait for a reason of one kind, and have waited so long that people should know. Each
    /// has its own event, too.
    Waits {
        /// One of them.
        path: DropPath,
        /// What it waits for.
        reason: Reason,
        /// How many they are.
        drops: usize,
    },
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
    /// Only attributes of finished drops changed: npyd compares each with its array.
    Rechecking {
        /// The drop directory.
        drop_dir: PathBuf,
        /// Number of drops.
        count: usize,
    },
    /// How a drop directory is watched changed.
    Watch {
        /// The drop directory.
        drop_dir: PathBuf,
        /// How it is watched from now on.
        state: WatchState,
    },
    /// Several files of a drop directory have something in common that people should know of.
    Report(Box<Report>),
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

/// What several files of a drop directory have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The drop directory.
    pub drop_dir: PathBuf,
    /// What it is, for programs.
    pub kind: &'static str,
    /// The number of files.
    pub count: u32,
    /// The line for people, with examples.
    pub text: String,
    /// Whether somebody should do something.
    pub is_warning: bool,
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
    /// Its thread ended, which only a bug can cause, and is started again.
    Restarted,
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
