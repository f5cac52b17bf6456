//! Quiescence: how long an observed state has been unchanged.

use std::time::{Duration, Instant};

/// How long something has been as it is, by the looks of it.
#[derive(Debug, Clone)]
pub struct Quiescence<S> {
    snapshot: S,
    since: Instant,
    seen: Instant,
    changes: u32,
}

impl<S: PartialEq> Quiescence<S> {
    /// Seen for the first time. `age` is how long ago the file system says the last change was,
    /// where its clock is ours and can be trusted.
    pub fn new(snapshot: S, now: Instant, age: Option<Duration>) -> Self {
        let since = now.checked_sub(age.unwrap_or_default()).unwrap_or(now);
        Quiescence { snapshot, since, seen: now, changes: 0 }
    }

    /// Seen again: how long it has been unchanged. What changed did so after the last look, however
    /// old its times say that it is: the wall clock may have been set forward meanwhile, and goes
    /// on while the machine sleeps, with all who write.
    pub fn observe(&mut self, snapshot: S, now: Instant, age: Option<Duration>) -> Duration {
        if snapshot != self.snapshot {
            let (earliest, changes) = (self.seen, self.changes.saturating_add(1));
            *self = Quiescence { changes, ..Quiescence::new(snapshot, now, age) };
            self.since = self.since.max(earliest);
        }
        self.seen = now;
        now.saturating_duration_since(self.since)
    }

    /// How often it was seen to have changed.
    pub fn changes(&self) -> u32 {
        self.changes
    }
}
