//! What a scan of a drop directory saw, and what it took.

use std::path::PathBuf;
use std::time::Duration;

/// A scan of a drop directory that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scanned {
    /// The drop directory.
    pub drop_dir: PathBuf,
    /// Number of names that it saw.
    pub names: u64,
    /// Number of files that it found to be probed.
    pub drops: u64,
    /// The time from its begin to its end.
    pub elapsed: Duration,
    /// The CPU time that its steps took.
    pub cpu: Duration,
}
