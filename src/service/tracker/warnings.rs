//! Deduplicates the warnings of scans: each is logged once for as long as its cause lasts.

use std::collections::HashSet;

/// Maximum number of remembered warnings; further ones may be logged at every scan.
const WARNINGS_MAX: usize = 4096;

/// The warnings of this scan and of the last one. A warning that the last scan had as well is not
/// logged again.
#[derive(Default)]
pub(crate) struct WarningDedup {
    of_last_scan: HashSet<String>,
    of_this: HashSet<String>,
}

impl WarningDedup {
    /// Makes the warnings so far those of the last scan.
    pub(crate) fn begin_scan(&mut self) {
        self.of_last_scan = std::mem::take(&mut self.of_this);
    }

    /// Logs a warning, unless it is in this scan or the last one already.
    pub(crate) fn tell(&mut self, what: String) {
        if !self.of_last_scan.contains(&what) && !self.of_this.contains(&what) {
            tracing::warn!("{what}");
        }
        if self.of_this.len() < WARNINGS_MAX {
            self.of_this.insert(what);
        }
    }
}
