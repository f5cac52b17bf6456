//! Report timer: when one log line about many drops is due.

use std::time::{Duration, Instant};

/// Makes a report wait for further drops, and keeps a minimum time between two reports.
#[derive(Debug)]
pub(crate) struct ReportTimer {
    gather: Duration,
    interval: Duration,
    due: Option<Instant>,
    not_before: Option<Instant>,
}

impl ReportTimer {
    /// Creates a timer. A report is due `gather` after its first drop, and at the earliest
    /// `interval` after the report before.
    pub(crate) fn new(gather: Duration, interval: Duration) -> Self {
        ReportTimer { gather, interval, due: None, not_before: None }
    }

    /// Starts the timer when a drop was added, unless it runs.
    pub(crate) fn start(&mut self, now: Instant) {
        let at = now + self.gather;
        self.due.get_or_insert(self.not_before.map_or(at, |not_before| at.max(not_before)));
    }

    /// Returns whether the report is due, and stops the timer then.
    pub(crate) fn take_due(&mut self, now: Instant) -> bool {
        let is_due = self.due.take_if(|due| *due <= now).is_some();
        if is_due {
            self.not_before = Some(now + self.interval);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_gathers_and_keeps_its_distance() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut timer = ReportTimer::new(Duration::from_secs(5), Duration::from_mins(1));
        assert!(!timer.take_due(at(1000)));
        timer.start(at(1000));
        timer.start(at(1004));
        assert!(!timer.take_due(at(1004)));
        assert!(timer.take_due(at(1005)));
        assert!(!timer.take_due(at(1006)));
        timer.start(at(1007));
        assert!(!timer.take_due(at(1064)));
        assert!(timer.take_due(at(1065)));
        timer.start(at(2000));
        assert!(!timer.take_due(at(2004)));
        assert!(timer.take_due(at(2005)));
    }
}
