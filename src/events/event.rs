//! Events: values that say what npyd found and did. Sinks show them or forward them.

use std::path::PathBuf;
use std::time::Duration;

use crate::decide::reason::Reason;
use crate::decide::request_kind::RequestKind;
use crate::decide::work_error::WorkError;
use crate::events::daemon_state::DaemonState;
use crate::events::drop_path::DropPath;
use crate::events::drop_state::{DirStates, DropState, WaitAge};
use crate::events::left_alone::LeftAlone;
use crate::events::problem::Problem;
use crate::events::progress::WorkProgress;
use crate::events::receipt::Receipt;
use crate::events::scanned::Scanned;
use crate::events::stored::Stored;
use crate::events::watch_state::WatchState;
use crate::facts::Fact;

/// When npyd tries a directory that has a fault with one drop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trial {
    /// After this time.
    In(Duration),
    /// The drop is at work, or about to be.
    Now,
    /// The drop succeeded: the fault is over.
    Succeeded,
}

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
        /// When npyd tries the directory with one drop.
        trial: Trial,
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
    /// A scan of a drop directory has ended.
    Scanned(Scanned),
    /// A drop directory has files that npyd leaves alone although somebody may expect an array.
    LeftAlone(Box<LeftAlone>),
    /// A fact, which belongs to no receipt and no state of a drop.
    Fact(Fact),
    /// A failure that concerns no single drop.
    Problem(Problem),
    /// The state of the daemon or of its configuration changed.
    Daemon(DaemonState),
}
