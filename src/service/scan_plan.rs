//! When the next scan of a drop directory begins.

use std::time::{Duration, Instant};

use crate::service::tracker::ScanCost;

/// Minimum interval between two scans of a polled directory.
const POLL: Duration = Duration::from_secs(1);

/// After a scan, npyd waits for this many times the time that the scan took before it scans a
/// polled directory again, or one in which a scan missed something.
const PAUSE_OF_POLLING: u32 = 20;

/// After a scan, npyd waits for this many times the CPU time that the scan took before it scans a
/// watched directory again.
const PAUSE: u32 = 100;

/// How many times the CPU time it waits before it scans a polled directory again, in which only a
/// scan finds a new drop.
const CPU_PAUSE_OF_POLLING: u32 = 50;

/// When the next scan begins.
pub(super) struct ScanPlan {
    next: Instant,
    /// Whether something was missed that a scan has to find, which begins at this time.
    missed: Option<Instant>,
    /// When a scan that has to find something may begin.
    earliest: Instant,
}

impl ScanPlan {
    pub(super) fn new(now: Instant) -> Self {
        ScanPlan { next: now, missed: None, earliest: now }
    }

    /// Has a scan begin, because something was missed that it has to find. Scans that follow one
    /// another have pauses.
    pub(super) fn miss(&mut self, now: Instant) {
        let at = self.earliest.max(now);
        self.missed = Some(self.missed.map_or(at, |missed| missed.min(at)));
    }

    /// Returns when the next scan begins.
    pub(super) fn due(&self) -> Instant {
        self.missed.map_or(self.next, |at| at.max(self.earliest).min(self.next))
    }

    /// Notes that a scan begins.
    pub(super) fn begin(&mut self) {
        self.missed = None;
    }

    /// Puts the next scan off to this time.
    pub(super) fn put_off(&mut self, until: Instant) {
        *self = ScanPlan { next: until, missed: None, ..*self };
    }

    /// Plans the next scan after one that has ended. `rescan` is the minimum interval of the scans
    /// of a watched directory, `None` for a polled one.
    pub(super) fn end(&mut self, cost: ScanCost, rescan: Option<Duration>, now: Instant) {
        let pause = cost.elapsed.saturating_mul(PAUSE_OF_POLLING);
        self.earliest = now + pause;
        self.next = now
            + match rescan {
                Some(rescan) => rescan.max(cost.cpu.saturating_mul(PAUSE)),
                None => POLL.max(pause).max(cost.cpu.saturating_mul(CPU_PAUSE_OF_POLLING)),
            };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scans_have_pauses() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let cost = |seconds| {
            let seconds = Duration::from_secs(seconds);
            ScanCost { elapsed: 2 * seconds, cpu: seconds }
        };
        let rescan = Some(Duration::from_mins(1));
        let mut plan = ScanPlan::new(start);
        for (cost, rescan, due, if_missed) in [
            (cost(0), rescan, 60, 0),
            (cost(2), rescan, 200, 80),
            (cost(0), None, 1, 0),
            (cost(2), None, 100, 80),
        ] {
            plan.end(cost, rescan, start);
            assert_eq!(plan.due(), at(due));
            plan.miss(start);
            assert_eq!(plan.due(), at(if_missed));
            plan.begin();
            assert_eq!(plan.due(), at(due));
        }
        plan.miss(at(1));
        plan.put_off(at(5));
        assert_eq!(plan.due(), at(5));
    }
}
