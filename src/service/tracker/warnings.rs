//! Warnings of scans, each logged once for as long as its cause lasts.

use std::collections::HashSet;

/// The most complaints that are kept in mind, lest they be told again by the next scan.
const WARNINGS_MAX: usize = 4096;

/// What a scan could not do. It is told when it is new, and not at every scan.
#[derive(Default)]
pub(crate) struct WarningDedup {
    of_last_scan: HashSet<String>,
    of_this: HashSet<String>,
}

impl WarningDedup {
    pub(crate) fn begin_scan(&mut self) {
        self.of_last_scan = std::mem::take(&mut self.of_this);
    }

    pub(crate) fn tell(&mut self, what: String) {
        if !self.of_last_scan.contains(&what) && !self.of_this.contains(&what) {
            tracing::warn!("{what}");
        }
        if self.of_this.len() < WARNINGS_MAX {
            self.of_this.insert(what);
        }
    }
}
