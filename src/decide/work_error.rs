//! Failures of work that npyd tries again.

use thiserror::Error;

use crate::decide::reason::Reason;
use crate::decide::reason_kind::ReasonKind;
use crate::model::SystemError;

/// What failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WorkError {
    /// A system call.
    #[error(transparent)]
    Call(#[from] SystemError),
    /// npyd can't use its ledger. The text is that of the ledger's error, which this layer does not
    /// know.
    #[error("{0}")]
    Ledger(String),
    /// The work can't go on for a reason.
    #[error(transparent)]
    Reason(#[from] Box<Reason>),
    /// npyd could not move a rejected drop to the quarantine.
    #[error("it was to be moved to `rejects`, because {reason}; {source}")]
    Quarantine {
        /// Why the drop was rejected.
        reason: Box<Reason>,
        /// What failed.
        source: Box<WorkError>,
    },
    /// A thread of npyd panicked.
    #[error("npyd has a bug (its log tells where)")]
    Bug,
}

impl WorkError {
    /// Returns the kind of the reason.
    #[must_use]
    pub fn kind(&self) -> ReasonKind {
        match self {
            WorkError::Reason(reason) => reason.kind(),
            WorkError::Quarantine { source, .. } => source.kind(),
            WorkError::Call(_) | WorkError::Ledger(_) | WorkError::Bug => ReasonKind::Io,
        }
    }

    /// Returns what failed, without what npyd was about to do.
    #[must_use]
    pub fn cause(&self) -> &WorkError {
        match self {
            WorkError::Quarantine { source, .. } => source.cause(),
            error => error,
        }
    }
}

/// Why the disk may have lost data of a drop.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DataLoss {
    /// A sync failed.
    #[error("{error}; its data may be lost: drop the file again{}", others(*has_other_files))]
    Sync {
        /// The failed call.
        #[source]
        error: SystemError,
        /// Whether the data are in several files, which are lost together.
        has_other_files: bool,
    },
    /// An earlier failure. The ledger stores its text alone.
    #[error("{0}")]
    Recorded(String),
}

impl DataLoss {
    /// Adds that the data are in several files.
    #[must_use]
    pub fn of_several_files(self) -> Self {
        match self {
            DataLoss::Sync { error, .. } => DataLoss::Sync { error, has_other_files: true },
            DataLoss::Recorded(text) => DataLoss::Recorded(text),
        }
    }
}

fn others(has_other_files: bool) -> &'static str {
    if has_other_files { ", with the other files of its data" } else { "" }
}
