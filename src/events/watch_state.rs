//! How npyd watches a drop directory.

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
