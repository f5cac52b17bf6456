//! Interruptions: why a job ended without an array.

use crate::decide::change::Change;
use crate::decide::reason::Reason;
use crate::fs::FsError;

/// The reason why a job ended without a finished array.
#[derive(Debug)]
pub enum Interruption {
    /// The drop can't become an array as it is.
    Rejected(Reason),
    /// The data may be lost after a failed sync; the rejection is final (rule F1).
    DataLoss(Reason),
    /// The drop changed; assess it again.
    Retry(Reason),
    /// Another process works on the drop.
    Locked(Reason),
    /// The drop is gone: another process finished it, or its producer removed it.
    Vanished,
    /// npyd is stopping.
    Cancelled,
    /// A system call failed; a retry may succeed.
    Io(FsError),
}

impl Interruption {
    /// A file changed during the work.
    pub(crate) fn changed(what: Change) -> Self {
        Interruption::Retry(Reason::Changed(what))
    }

    /// Returns what happened, for a receipt.
    pub(crate) fn to_text(&self) -> Option<String> {
        match self {
            Interruption::Rejected(reason)
            | Interruption::DataLoss(reason)
            | Interruption::Retry(reason)
            | Interruption::Locked(reason) => Some(reason.to_string()),
            Interruption::Io(error) => Some(error.to_string()),
            Interruption::Vanished | Interruption::Cancelled => None,
        }
    }
}

impl From<FsError> for Interruption {
    fn from(error: FsError) -> Self {
        Interruption::Io(error)
    }
}
