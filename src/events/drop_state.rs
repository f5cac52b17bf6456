//! The state of drops: what a status display shows, and what the log gathers.

use std::path::PathBuf;

use crate::decide::reason::Reason;

/// The states of all drops of a drop directory.
#[derive(Debug, Clone)]
pub struct DirStates {
    /// The drop directory.
    pub drop_dir: PathBuf,
    /// The drops, in no order.
    pub drops: Vec<StateOfDrop>,
}

/// The state of one of several drops, with the fields of an event about its state.
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
