//! Quiescence: how long an observed state has been unchanged.

use std::time::{Duration, Instant};

/// Tracks how long an observed state has been unchanged.
#[derive(Debug, Clone)]
pub struct Quiescence<S> {
    snapshot: S,
    since: Instant,
    seen: Instant,
    changes: u32,
}

impl<S: PartialEq> Quiescence<S> {
    /// Starts with the first observation. `age` is the time since the last change by the file's own
    /// timestamps, if the file system's clock is this machine's.
    pub fn new(snapshot: S, now: Instant, age: Option<Duration>) -> Self {
        let since = now.checked_sub(age.unwrap_or_default()).unwrap_or(now);
        Quiescence { snapshot, since, seen: now, changes: 0 }
    }

    /// Adds an observation and returns how long the state has been unchanged. A change counts from
    /// the last observation at the earliest, whatever its timestamps say: the wall clock may have
    /// been set forward, and it advances while the machine is suspended.
    pub fn observe(&mut self, snapshot: S, now: Instant, age: Option<Duration>) -> Duration {
        if snapshot != self.snapshot {
            let (earliest, changes) = (self.seen, self.changes.saturating_add(1));
            *self = Quiescence { changes, ..Quiescence::new(snapshot, now, age) };
            self.since = self.since.max(earliest);
        }
        self.seen = now;
        self.unchanged(now)
    }

    /// Returns how long the state has been unchanged if it still is as last observed.
    pub fn unchanged(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }

    /// Returns the state that was observed last.
    pub fn snapshot(&self) -> &S {
        &self.snapshot
    }

    /// Returns how many changes were observed.
    pub fn changes(&self) -> u32 {
        self.changes
    }
}
