//! Gathers what one log line reports: waits until no more of it comes.

use std::time::{Duration, Instant};

/// How long nothing must have been added before the line is due.
const CALM: Duration = Duration::from_secs(1);

/// Time after which the line is due even if more keeps coming.
const GATHER_MAX: Duration = Duration::from_secs(10);

/// A count that one log line will report.
#[derive(Debug, Default)]
pub(crate) struct Gathering {
    count: usize,
    /// When the first and the last was added.
    added: Option<(Instant, Instant)>,
}

impl Gathering {
    /// Adds to the count.
    pub(crate) fn add(&mut self, count: usize, now: Instant) {
        self.count += count;
        let first = self.added.map_or(now, |(first, _)| first);
        self.added = Some((first, now));
    }

    /// Returns whether the line is due.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.added.is_some_and(|(first, last)| {
            now.saturating_duration_since(last) >= CALM
                || now.saturating_duration_since(first) >= GATHER_MAX
        })
    }

    /// Returns the count if the line is due, and begins again.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<usize> {
        if self.is_due(now) { self.take() } else { None }
    }

    /// Returns the count, unless it is 0, and begins again.
    pub(crate) fn take(&mut self) -> Option<usize> {
        self.added = None;
        Some(std::mem::take(&mut self.count)).filter(|count| *count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_due_when_nothing_more_comes_or_after_long() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut gathering = Gathering::default();
        assert_eq!(gathering.take_due(at(60_000)), None);
        gathering.add(2, at(0));
        gathering.add(3, at(900));
        assert_eq!(gathering.take_due(at(1800)), None);
        assert_eq!(gathering.take_due(at(1900)), Some(5));
        assert_eq!(gathering.take_due(at(60_000)), None);
        for second in 0..10 {
            gathering.add(1, at(500 + 900 * second));
            assert_eq!(gathering.take_due(at(500 + 900 * second)), None);
        }
        assert_eq!(gathering.take_due(at(10_499)), Some(10), "calm");
        for tenth in 0..100 {
            gathering.add(1, at(20_000 + 100 * tenth));
        }
        gathering.add(1, at(30_000));
        assert_eq!(gathering.take_due(at(30_000)), Some(101), "long");
    }
}
