//! Interruptions: why a job ended without an array.

use crate::fs::FsError;

/// Why there is no receipt of a finished array.
#[derive(Debug)]
pub enum Interruption {
    /// It can't become an array as it is.
    Rejected(String),
    /// The same for good: the disk may have lost what was written to it.
    DataLoss(String),
    /// It must settle once more: it changed.
    Retry(String),
    /// Another process has it.
    Locked(String),
    /// It is gone; another process was faster, or its producer took it away.
    Vanished,
    /// npyd is ending.
    Cancelled,
    /// A call failed; the fault may pass.
    Io(FsError),
}

impl From<FsError> for Interruption {
    fn from(error: FsError) -> Self {
        Interruption::Io(error)
    }
}
