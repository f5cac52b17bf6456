//! Entries of the tracker: one path each, with its state and the time of its next probe.

use crate::service::failure::Cause;
use crate::service::tracker::{ACTIVE_AFTER_CHANGES, FileSnapshot, Instant, Quiescence, Wait};

/// One tracked path.
pub(crate) struct Entry {
    /// The state; the module doc of the tracker lists the transitions.
    pub(crate) state: State,
    /// How long the drop has been unchanged; `None` before it was first evaluated.
    pub(crate) quiescence: Option<Quiescence<FileSnapshot>>,
    /// When the entry was created.
    pub(crate) since: Instant,
    /// Whether a scan listed the path since it was last probed.
    pub(crate) is_listed: bool,
    /// When the next probe is due.
    pub(crate) due: Option<Instant>,
    /// When the log last mentioned at level info that the drop is waiting.
    pub(crate) last_logged: Option<Instant>,
    /// How many of the ages at which a wait is reported again it has reached.
    pub(crate) reported_age: usize,
    /// The cause of the last failure.
    pub(crate) cause: Option<Cause>,
    /// Whether the ledger has a receipt of a failure.
    pub(crate) is_recorded: bool,
    /// Number of failures so far; the delay before a retry grows with it.
    pub(crate) failures: u32,
}

impl Entry {
    /// Creates an entry in the state [`State::Unprobed`].
    pub(crate) fn new(now: Instant) -> Self {
        Entry {
            state: State::Unprobed,
            quiescence: None,
            since: now,
            is_listed: false,
            due: None,
            last_logged: None,
            reported_age: 0,
            cause: None,
            is_recorded: false,
            failures: 0,
        }
    }

    /// Returns whether a producer seems to be writing to the drop: waiting alone may not make it
    /// ready.
    pub(crate) fn is_active(&self) -> bool {
        self.quiescence
            .as_ref()
            .is_some_and(|quiescence| quiescence.changes() >= ACTIVE_AFTER_CHANGES)
    }
}

/// The state of an entry.
pub(crate) enum State {
    /// Found, but not probed yet.
    Unprobed,
    /// Probed and not ready, or failed; the wait holds the reason.
    Waiting(Wait),
    /// Ready for a worker, but the worker queue is full.
    Backlog,
    /// Finished, but its attributes changed: waits for its turn to be compared with its array.
    Unverified,
    /// Waits because a directory has a fault that every drop meets.
    Suspended,
    /// In a job or in the next batch; `again` is set if the path was enqueued meanwhile.
    Working { again: bool },
}
