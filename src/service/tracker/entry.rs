//! An entry: one path that the tracker watches over, and its state.

use crate::service::tracker::{ACTIVE_AFTER_CHANGES, FileSnapshot, Instant, Quiescence, Wait};

pub(crate) struct Entry {
    pub(crate) state: State,
    pub(crate) quiescence: Option<Quiescence<FileSnapshot>>,
    pub(crate) since: Instant,
    pub(crate) due: Option<Instant>,
    pub(crate) last_logged: Option<Instant>,
    pub(crate) failures: u32,
}

impl Entry {
    pub(crate) fn new(now: Instant) -> Self {
        Entry {
            state: State::Unprobed,
            quiescence: None,
            since: now,
            due: None,
            last_logged: None,
            failures: 0,
        }
    }

    pub(crate) fn is_active(&self) -> bool {
        self.quiescence
            .as_ref()
            .is_some_and(|quiescence| quiescence.changes() >= ACTIVE_AFTER_CHANGES)
    }
}

pub(crate) enum State {
    /// Not looked at yet.
    Unprobed,
    /// Waiting, for this reason; time alone may prove it complete.
    Waiting(Wait),
    /// Complete, and queued here until the workers have room.
    Backlog,
    /// With a worker; whether it was sighted meanwhile.
    Working { again: bool },
}
