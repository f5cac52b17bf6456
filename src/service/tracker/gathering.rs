//! Gathers what one log line reports: waits until no more of it comes, and keeps a distance to the
//! last line.

use std::time::{Duration, Instant};

/// How long nothing must have been added before the line is due.
const CALM: Duration = Duration::from_secs(1);

/// Minimum time between two lines of one kind.
const INTERVAL: Duration = Duration::from_secs(30);

/// Time after which a line is due even if more keeps coming: for what people should know soon, and
/// for what can wait.
pub(crate) const SOON: Duration = Duration::from_secs(10);
pub(crate) const LATER: Duration = Duration::from_mins(1);

/// A count that one log line will report.
#[derive(Debug)]
pub(crate) struct Gathering {
    count: usize,
    /// When the first and the last was added.
    added: Option<(Instant, Instant)>,
    /// When the next line may come.
    earliest: Option<Instant>,
    longest: Duration,
}

impl Gathering {
    /// Creates an empty count, which is due after `longest` at the latest.
    pub(crate) fn within(longest: Duration) -> Self {
        Gathering { count: 0, added: None, earliest: None, longest }
    }

    /// Adds to the count.
    pub(crate) fn add(&mut self, count: usize, now: Instant) {
        self.count += count;
        let first = self.added.map_or(now, |(first, _)| first);
        self.added = Some((first, now));
    }

    /// Returns whether the line is due.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        let since = |then| now.saturating_duration_since(then);
        self.earliest.is_none_or(|earliest| now >= earliest)
            && self
                .added
                .is_some_and(|(first, last)| since(last) >= CALM || since(first) >= self.longest)
    }

    /// Returns the count if the line is due, and begins again.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<usize> {
        if !self.is_due(now) {
            return None;
        }
        self.earliest = Some(now + INTERVAL);
        self.take()
    }

    /// Returns the count if the line is due at that time, or in any case without a time.
    pub(crate) fn take_due_or_any(&mut self, now: Option<Instant>) -> Option<usize> {
        match now {
            Some(now) => self.take_due(now),
            None => self.take(),
        }
    }

    /// Returns the count, if anything was added, and begins again.
    pub(crate) fn take(&mut self) -> Option<usize> {
        self.added.take().map(|_| std::mem::take(&mut self.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_due_when_nothing_more_comes_or_after_long() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut gathering = Gathering::within(SOON);
        assert_eq!(gathering.take_due(at(0)), None);
        gathering.add(2, at(0));
        gathering.add(3, at(900));
        assert_eq!(gathering.take_due(at(1800)), None);
        assert_eq!(gathering.take_due(at(1900)), Some(5));
        gathering.add(1, at(2000));
        assert_eq!(gathering.take_due(at(31_800)), None, "too soon after the last");
        assert_eq!(gathering.take_due(at(31_900)), Some(1));
        for tenth in 0..100 {
            assert_eq!(gathering.take_due(at(90_000 + 100 * tenth)), None);
            gathering.add(1, at(90_000 + 100 * tenth));
        }
        assert_eq!(gathering.take_due(at(100_000)), Some(100), "long");
        assert_eq!(gathering.take_due(at(200_000)), None);
    }
}
