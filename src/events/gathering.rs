//! Gathering: decides when one line about many drops is due. Waits until no more drops are added,
//! and keeps a minimum interval to the last line.

use std::time::{Duration, Instant};

/// The usual distance between two lines of one kind.
const INTERVAL: Duration = Duration::from_secs(30);

/// The usual time in which nothing must have been added before a line is due.
const CALM: Duration = Duration::from_secs(1);

/// Times a line.
#[derive(Debug)]
pub(crate) struct Gathering {
    calm: Duration,
    longest: Duration,
    interval: Duration,
    /// When the first and the last was added.
    added: Option<(Instant, Instant)>,
    /// When the next line may come.
    earliest: Option<Instant>,
}

impl Gathering {
    /// Creates a gathering for events that people should know soon: due after ten seconds at the
    /// latest.
    pub(crate) fn soon() -> Self {
        Self::with(CALM, Duration::from_secs(10), INTERVAL)
    }

    /// For what can wait: due after a minute at the latest.
    pub(crate) fn later() -> Self {
        Self::with(CALM, Duration::from_mins(1), INTERVAL)
    }

    /// Due at a time after the first was added, and `interval` after the last line.
    pub(crate) fn after(time: Duration, interval: Duration) -> Self {
        Self::with(time, time, interval)
    }

    /// Due when nothing was added for the time `calm`, or `longest` after the first was added.
    fn with(calm: Duration, longest: Duration, interval: Duration) -> Self {
        Gathering { calm, longest, interval, added: None, earliest: None }
    }

    /// Notes that something was added.
    pub(crate) fn add(&mut self, now: Instant) {
        let first = self.added.map_or(now, |(first, _)| first);
        self.added = Some((first, now));
    }

    /// Returns when the line is due, if anything was added.
    pub(crate) fn due_at(&self) -> Option<Instant> {
        let (first, last) = self.added?;
        let at = (last + self.calm).min(first + self.longest);
        Some(self.earliest.map_or(at, |earliest| at.max(earliest)))
    }

    /// Returns whether the line is due.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.due_at().is_some_and(|at| at <= now)
    }

    /// Returns whether the line is due at that time, or without a time whether anything was added.
    /// Begins again then.
    pub(crate) fn take_due(&mut self, now: Option<Instant>) -> bool {
        match now {
            Some(now) if !self.is_due(now) => return false,
            Some(now) => self.earliest = Some(now + self.interval),
            None => {}
        }
        self.cancel()
    }

    /// Begins again without a line. Returns whether anything was added.
    pub(crate) fn cancel(&mut self) -> bool {
        self.added.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_due_when_nothing_more_comes_or_after_long() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let is_due = |gathering: &mut Gathering, time| gathering.take_due(Some(at(time)));
        let mut gathering = Gathering::soon();
        assert!(!is_due(&mut gathering, 0));
        gathering.add(at(0));
        gathering.add(at(900));
        assert!(!is_due(&mut gathering, 1800));
        assert!(is_due(&mut gathering, 1900));
        gathering.add(at(2000));
        assert!(!is_due(&mut gathering, 31_800), "too soon after the last");
        assert_eq!(gathering.due_at(), Some(at(31_900)));
        assert!(is_due(&mut gathering, 31_900));
        for tenth in 0..100 {
            assert!(!is_due(&mut gathering, 90_000 + 100 * tenth));
            gathering.add(at(90_000 + 100 * tenth));
        }
        assert!(is_due(&mut gathering, 100_000), "long");
        assert!(!is_due(&mut gathering, 200_000));
        assert!(!gathering.take_due(None));
        gathering.add(at(200_000));
        assert!(gathering.take_due(None));
    }

    #[test]
    fn one_that_counts_from_the_first() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let is_due = |gathering: &mut Gathering, time| gathering.take_due(Some(at(time)));
        let mut gathering = Gathering::after(Duration::from_secs(5), Duration::from_mins(1));
        assert!(!is_due(&mut gathering, 1000));
        gathering.add(at(1000));
        gathering.add(at(1004));
        assert!(!is_due(&mut gathering, 1004));
        assert!(is_due(&mut gathering, 1005));
        assert!(!is_due(&mut gathering, 1006));
        gathering.add(at(1007));
        assert!(!is_due(&mut gathering, 1064));
        assert!(is_due(&mut gathering, 1065));
        gathering.add(at(2000));
        assert!(gathering.cancel());
        assert!(!is_due(&mut gathering, 2005));
    }
}
