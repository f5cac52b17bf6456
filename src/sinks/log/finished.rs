//! Log lines about finished drops: those whose arrays were there already, such as all drops after
//! the ledger was lost, and those that are compared with their arrays again. One line for many.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::events::drop_path::DropPath;
use crate::events::gathering::Gathering;
use crate::events::tally::Tally;
use crate::sinks::log::causes;
use crate::text::one_line::shown;

/// How long a line about found arrays waits for further drops, and its distance to the last one.
const FOUND_GATHER: Duration = Duration::from_secs(1);
const FOUND_INTERVAL: Duration = Duration::from_mins(1);

/// The finished drops that no line has reported, by drop directory.
#[derive(Debug, Default)]
pub(crate) struct Finished(BTreeMap<PathBuf, OfDir>);

#[derive(Debug)]
struct OfDir {
    found: Tally,
    found_timer: Gathering,
    rechecks: usize,
    rechecks_timer: Gathering,
}

impl Default for OfDir {
    fn default() -> Self {
        OfDir {
            found: Tally::default(),
            found_timer: Gathering::after(FOUND_GATHER, FOUND_INTERVAL),
            rechecks: 0,
            rechecks_timer: Gathering::later(),
        }
    }
}

impl Finished {
    /// Adds a drop whose array was there already.
    pub(crate) fn add_found(&mut self, path: &DropPath, now: Instant) {
        let dir = self.0.entry(path.drop_dir.clone()).or_default();
        dir.found.add(format!("`{}`", shown(path.rel())));
        dir.found_timer.add(now);
    }

    /// Adds a drop that is compared with its array.
    pub(crate) fn add_recheck(&mut self, path: &DropPath, now: Instant) {
        let dir = self.0.entry(path.drop_dir.clone()).or_default();
        dir.rechecks += 1;
        dir.rechecks_timer.add(now);
    }

    /// Returns when the next line is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let timers = self.0.values().flat_map(|dir| [&dir.found_timer, &dir.rechecks_timer]);
        timers.filter_map(Gathering::due_at).min()
    }

    /// Logs what is due.
    pub(crate) fn log_due(&mut self, now: Instant) {
        for (path, dir) in &mut self.0 {
            if dir.found_timer.take_due(Some(now)) {
                log_found(path, &std::mem::take(&mut dir.found));
            }
            if dir.rechecks_timer.take_due(Some(now)) {
                causes::rechecking(path, std::mem::take(&mut dir.rechecks));
            }
        }
    }

    /// Logs the rechecks of a drop directory that ends.
    pub(crate) fn end(&mut self, drop_dir: &Path) {
        let count = self.0.remove(drop_dir).map_or(0, |dir| dir.rechecks);
        if count > 0 {
            causes::rechecking(drop_dir, count);
        }
    }
}

fn log_found(drop_dir: &Path, drops: &Tally) {
    tracing::info!(
        drop = %drop_dir.display(),
        kind = "found",
        count = drops.count(),
        "`{}` has {} whose arrays were there already: {drops}; nothing was written",
        shown(drop_dir),
        drops.counted("drop")
    );
}
