//! Pause between the scans that replace lost events. It grows while events are lost again, so that
//! a flood of events does not keep npyd scanning.

use std::time::{Duration, Instant};

/// First and longest pause.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_mins(1);

/// Minimum ratio of the pause to the duration of the scan.
const SCANS_SHARE: u32 = 20;

/// When the next scan may replace lost events.
#[derive(Debug)]
pub(super) struct OverflowPause {
    until: Instant,
    pause: Duration,
}

impl OverflowPause {
    /// Returns a pause that is over.
    pub(super) fn new(now: Instant) -> Self {
        OverflowPause { until: now, pause: Duration::ZERO }
    }

    /// Returns when the pause is over.
    pub(super) fn until(&self) -> Instant {
        self.until
    }

    /// Begins a pause after a scan. It doubles if the last one ended shortly before that scan.
    pub(super) fn extend(&mut self, began: Instant, ended: Instant) {
        let is_soon = self.pause > Duration::ZERO && began <= self.until + self.pause;
        let pause = if is_soon { 2 * self.pause } else { PAUSE_MIN };
        self.pause = pause.max(SCANS_SHARE * ended.duration_since(began)).min(PAUSE_MAX);
        self.until = ended + self.pause;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_while_events_are_lost_again() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut pause = OverflowPause::new(start);
        let mut extend = |began, ended| {
            pause.extend(at(began), at(ended));
            pause.until().duration_since(start).as_secs()
        };
        assert_eq!(extend(0, 0), 1);
        assert_eq!(extend(1, 1), 3);
        assert_eq!(extend(3, 3), 7);
        assert_eq!(extend(11, 11), 19); // not later than the last pause lasted
        assert_eq!(extend(40, 40), 41);
        assert_eq!(extend(41, 42), 62); // a long scan
        assert_eq!(extend(62, 62), 102);
        assert_eq!(extend(102, 102), 162);
        assert_eq!(extend(162, 162), 222);
    }
}
