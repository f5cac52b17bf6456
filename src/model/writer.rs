//! Whether a process writes to a file, as far as the kernel tells.

use std::fmt;

/// Whether a process writes to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    /// No process writes to it.
    None,
    /// A process has it open for writing, or mapped writable.
    Present,
    /// The kernel can't detect writers.
    Unknown(Unprovable),
}

/// Why npyd can't detect writers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unprovable {
    /// The file belongs to another user, and this process may not take a lease on it (no
    /// `CAP_LEASE`).
    NoRight,
    /// Other hosts may write to the file.
    Network,
    /// The file system grants no leases.
    NoLeases,
}

impl fmt::Display for Unprovable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unprovable::NoRight => "it belongs to another user, and npyd has no CAP_LEASE",
            Unprovable::Network => "other hosts may write to its file system",
            Unprovable::NoLeases => "its file system grants no leases",
        })
    }
}
