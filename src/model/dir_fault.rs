//! Faults of directories: causes that stop the work on all files in a directory, not on a single
//! file.

use std::fmt;
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

/// Why a user may not remove or rename a file, where the directory decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DirDenial {
    /// The user may not write to the directory.
    NoWrite,
    /// The directory has the sticky bit, and the user owns neither it nor the file.
    Sticky,
}

/// Describes the directory, to follow its name.
impl fmt::Display for DirDenial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DirDenial::NoWrite => "is one that npyd's user may not write to",
            DirDenial::Sticky => {
                "is sticky (chmod +t): only their owners may remove or rename files there"
            }
        })
    }
}
