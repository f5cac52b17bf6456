//! Found arrays: reports the drops whose arrays were there already, although the ledger has no
//! earlier receipt of them. One log line for many, such as all drops after the ledger was lost.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::events::event::{Event, Report};
use crate::service::tracker::Tracker;
use crate::service::tracker::report_timer::ReportTimer;
use crate::service::tracker::tally::Tally;

/// How long a report waits for further drops.
const GATHER: Duration = Duration::from_secs(1);

/// Minimum time between two reports about one drop directory.
const INTERVAL: Duration = Duration::from_mins(1);

/// The drops whose arrays were found and are to be reported.
#[derive(Debug)]
pub(crate) struct FoundArrays {
    drops: Tally,
    timer: ReportTimer,
}

impl Default for FoundArrays {
    fn default() -> Self {
        FoundArrays { drops: Tally::default(), timer: ReportTimer::new(GATHER, INTERVAL) }
    }
}

impl FoundArrays {
    /// Adds a drop.
    pub(crate) fn add(&mut self, rel: &Path, now: Instant) {
        self.drops.add(format!("`{}`", rel.display()));
        self.timer.start(now);
    }

    /// Returns the report if it is due.
    fn take_due(&mut self, dir: &Path, now: Instant) -> Option<Report> {
        if !self.timer.take_due(now) {
            return None;
        }
        let drops = std::mem::take(&mut self.drops);
        let text = format!(
            "`{}` has {} whose arrays were there already: {drops}; nothing was written",
            dir.display(),
            drops.counted("drop")
        );
        let (drop_dir, count) = (dir.to_path_buf(), drops.count());
        Some(Report { drop_dir, kind: "found", count, text, is_warning: false })
    }
}

impl Tracker {
    /// Reports the drops whose arrays were found.
    pub(crate) fn report_found(&mut self, now: Instant) {
        if let Some(report) = self.found_arrays.take_due(&self.drop_dir.path, now) {
            self.context.publish(Event::Report(Box::new(report)));
        }
    }
}
