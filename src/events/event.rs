//! Events: values that say what npyd found and did. Sinks show them or forward them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::decide::reason::Reason;
use crate::decide::request_kind::RequestKind;
use crate::decide::work_error::WorkError;
use crate::events::problem::Problem;
use crate::events::receipt::Receipt;
use crate::events::stored::Stored;
use crate::events::tally::Tally;
use crate::facts::Fact;
use crate::text::count::counted;
use crate::text::one_line::shown;

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// The state of a drop changed, or the reason for it.
    State {
        /// The path.
        path: DropPath,
        /// The state before; `None` if npyd has just found the path.
        before: Option<DropState>,
        /// The new state of the drop.
        state: DropState,
        /// Why the drop waits, or why the path is not a drop.
        reason: Option<Reason>,
        /// The length of the data files in bytes at the last probe, if the drop has data files.
        bytes: Option<u64>,
    },
    /// The states of all drops of a drop directory, because a sink lost events. A drop that is not
    /// among them has no state.
    States(Box<DirStates>),
    /// The tracker has no room for further entries. Later scans find the other paths.
    Overflowed {
        /// The drop directory.
        drop_dir: PathBuf,
    },
    /// The progress of a copy or of another long read, published at an interval.
    Progress(WorkProgress),
    /// npyd accepted a request, and has stored that in the ledger. The receipt of the work follows.
    Accepted {
        /// The drop.
        path: DropPath,
        /// The kind of the request.
        kind: RequestKind,
        /// The options of the request, as JSON, if it has any.
        options: Option<String>,
        /// The options in words, if the request has any.
        words: Option<String>,
    },
    /// A drop was finalized, made again, found, rejected or lost, or failed for the first time; or,
    /// in a command, it waits.
    Receipt {
        /// The receipt.
        receipt: Box<Receipt>,
        /// Whether the ledger has the receipt.
        stored: Stored,
    },
    /// A drop failed again. The ledger has only the first failure.
    FailedAgain(Box<Receipt>),
    /// A drop has waited so long that people should know. The event about the drop's state precedes
    /// this event.
    LongWait {
        /// The path.
        path: DropPath,
        /// What the drop waits for.
        reason: Reason,
        /// The age.
        age: WaitAge,
        /// The names of files that may be the missing data.
        similar: Vec<String>,
    },
    /// The array of a drop was there already, although the ledger has no earlier receipt of it.
    FoundArray(DropPath),
    /// Drops failed for one cause. Each failure also has its own event.
    Failing {
        /// The receipt of one of the failures.
        receipt: Box<Receipt>,
        /// Number of drops that failed.
        drops: usize,
        /// Whether npyd reported these failures before, and the drops still fail.
        is_again: bool,
    },
    /// A directory has a fault that every drop meets, so npyd tries one drop at a time.
    Suspended {
        /// The drop directory.
        drop_dir: PathBuf,
        /// The directory that has the fault.
        dir: PathBuf,
        /// What failed.
        error: WorkError,
        /// Number of drops that wait.
        drops: usize,
        /// The delay before the next try.
        retry_in: Duration,
        /// How long the fault has lasted, if npyd reported it before.
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
        /// How long the fault lasted.
        lasted: Duration,
    },
    /// Only attributes of a finished drop changed: npyd compares the drop with its array.
    Rechecking(DropPath),
    /// npyd changed the way in which it watches a drop directory.
    Watch {
        /// The drop directory.
        drop_dir: PathBuf,
        /// How npyd watches the directory from now on.
        state: WatchState,
    },
    /// A drop directory has files that npyd leaves alone although somebody may expect an array.
    LeftAlone(Box<LeftAlone>),
    /// A fact, which belongs to no receipt and no state of a drop.
    Fact(Fact),
    /// A failure that concerns no single drop.
    Problem(Problem),
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

/// The states of all drops of a drop directory.
#[derive(Debug, Clone)]
pub struct DirStates {
    /// The drop directory.
    pub drop_dir: PathBuf,
    /// The drops, in no order.
    pub drops: Vec<StateOfDrop>,
}

/// The state of one of several drops, as in [`Event::State`].
#[derive(Debug, Clone)]
pub struct StateOfDrop {
    /// The data file, or the file that describes it.
    pub source: PathBuf,
    /// The state.
    pub state: DropState,
    /// Why the drop waits.
    pub reason: Option<Reason>,
    /// The length of the data files in bytes at the last probe, if the drop has data files.
    pub bytes: Option<u64>,
}

/// The state of a drop. The tracker's documentation lists the transitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropState {
    /// npyd found the drop, and has not probed it yet.
    Unprobed,
    /// The drop is not ready, or its work failed. npyd probes it again.
    Waiting,
    /// The drop is ready for a worker, but the worker queue is full.
    Backlog,
    /// The drop is finished, but attributes of its files changed: it waits for its comparison with
    /// its array.
    Unverified,
    /// The drop waits because a directory has a fault that every drop meets.
    Suspended,
    /// A worker processes the drop, or will do so next.
    Working,
    /// npyd no longer tracks the path: the drop is done or gone, the path is not a drop, or its
    /// file belongs to the drop of another path.
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
    /// The file has no description.
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

    /// Returns the name of the kind in the ledger and in the log.
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

/// How npyd watches a drop directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchState {
    /// npyd uses inotify events and scans.
    Inotify,
    /// npyd only scans, as configured, or because inotify does not report changes by other
    /// machines.
    Polling,
    /// npyd only scans, because inotify is not available.
    PollingInstead {
        /// Why inotify is not available.
        error: String,
    },
    /// npyd only scans, because the inotify watches are exhausted.
    PollingFromNowOn,
    /// inotify failed for some paths. A scan finds the changes there.
    Incomplete {
        /// What failed.
        error: String,
    },
    /// The inotify queue overflowed. A scan replaces the lost events.
    EventsLost,
    /// npyd does not watch the directory, because it can't open it.
    Missing {
        /// Why npyd can't open the directory.
        error: String,
    },
    /// The thread of the directory ended, which only a bug can cause, and npyd starts it again. The
    /// drops of the directory have no state.
    Restarted,
    /// npyd no longer watches the directory: its settings changed, or npyd stops. The drops of the
    /// directory have no state.
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
    /// npyd read the configuration again, and uses it.
    Reloaded {
        /// Number of drop directories.
        drop_dirs: DropDirCount,
    },
    /// npyd could not read the configuration again, and still uses the old one.
    ReloadFailed {
        /// Why npyd could not read the configuration.
        error: String,
    },
    /// Some changed settings take effect only after a restart.
    NeedsRestart {
        /// Names of the settings.
        settings: Vec<&'static str>,
    },
    /// The sources of a drop directory are to be removed or archived from now on; those of finished
    /// arrays stay.
    Disposes {
        /// The drop directory.
        drop_dir: PathBuf,
        /// What happens to sources, as a participle.
        what: &'static str,
    },
    /// The daemon received a signal to stop.
    Stopping,
    /// The daemon exits.
    Stopped {
        /// Whether npyd interrupted work, which it repeats after the next start.
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
            DaemonState::Disposes { drop_dir, what } => write!(
                f,
                "sources in `{}` are {what} from now on; those whose arrays are finished stay: `npyd \
                 redo NAME` lets one go",
                shown(drop_dir)
            ),
            DaemonState::Stopping => f.write_str("stopping"),
            DaemonState::Stopped { has_work_left: false } => f.write_str("stopped"),
            DaemonState::Stopped { has_work_left: true } => {
                f.write_str("stopped with work under way; it will be done again")
            }
        }
    }
}
