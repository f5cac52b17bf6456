//! Deduplicates the warnings of scans: each is published once for as long as its cause lasts.

use std::collections::HashSet;

use crate::events::problem::Problem;

/// Maximum number of remembered warnings; further warnings may be published at every scan.
const WARNINGS_MAX: usize = 4096;

/// The warnings of this scan and of the last one. A warning that the last scan had as well is not
/// published again.
#[derive(Default)]
pub(crate) struct WarningDedup {
    of_last_scan: HashSet<Problem>,
    of_this: HashSet<Problem>,
}

impl WarningDedup {
    /// Makes the warnings so far those of the last scan.
    pub(crate) fn begin_scan(&mut self) {
        self.of_last_scan = std::mem::take(&mut self.of_this);
    }

    /// Returns whether a warning is in neither this scan nor the last one. Remembers it.
    pub(crate) fn is_new(&mut self, problem: &Problem) -> bool {
        let is_new = !self.of_last_scan.contains(problem) && !self.of_this.contains(problem);
        if self.of_this.len() < WARNINGS_MAX {
            self.of_this.insert(problem.clone());
        }
        is_new
    }
}
