//! Faults of directories: causes that stop the work on all files in a directory, not on a single
//! file.

use std::path::PathBuf;

/// A fault of a directory.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DirFault {
    /// The kind of the fault.
    pub kind: DirFaultKind,
    /// The directory.
    pub dir: PathBuf,
}

/// What is wrong with a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DirFaultKind {
    /// npyd's user lacks the permission.
    Denied,
    /// The directory does not exist, or is not the expected one.
    Missing,
    /// The file system is read-only.
    ReadOnly,
    /// The file system is full.
    Full,
    /// The quota is used up.
    Quota,
    /// The disk reports errors.
    Failing,
    /// The file system's server, or the device, is gone.
    Unreachable,
    /// The ledger can't be used.
    Ledger,
}

impl DirFaultKind {
    /// Returns whether all directories of the file system have the fault.
    #[must_use]
    pub fn is_of_file_system(self) -> bool {
        !matches!(self, DirFaultKind::Denied | DirFaultKind::Missing)
    }
}
