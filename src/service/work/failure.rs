//! Failures of jobs: the text for people, and the cause, by which the tracker tells a fault of a
//! directory from that of a single drop.

use crate::decide::reason::Reason;
use crate::decide::reason_kind::ReasonKind;
use crate::decide::work_error::WorkError;
use crate::fs::{FsError, Operation};
use crate::ledger::LedgerError;
use crate::model::DirFault;

/// Why a job failed, and may succeed later.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    /// What failed, and what npyd was about to do.
    pub(crate) error: WorkError,
    /// The cause.
    pub(crate) cause: Cause,
}

/// The cause of a failure. Failures with equal causes are reported together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Cause {
    /// A fault of a directory, which other drops meet as well.
    Dir(DirFault),
    /// The ledger can't be used.
    Ledger,
    /// The process or the machine has no descriptors or no memory left for now.
    Exhausted,
    /// A system call on a file of the drop failed.
    File {
        /// The operation.
        operation: Operation,
        /// The error number.
        error: Option<i32>,
    },
    /// A reason of this kind.
    Reason(ReasonKind),
    /// A bug.
    Bug,
}

impl Failure {
    /// Creates a failure of a cause.
    pub(crate) fn new(error: WorkError, cause: Cause) -> Self {
        Failure { error, cause }
    }

    /// Returns the fault of a directory, if that is the cause.
    pub(crate) fn dir_fault(&self) -> Option<&DirFault> {
        match &self.cause {
            Cause::Dir(fault) => Some(fault),
            Cause::Ledger
            | Cause::Exhausted
            | Cause::File { .. }
            | Cause::Reason(_)
            | Cause::Bug => None,
        }
    }

    /// Adds that npyd was about to move a rejected drop to the quarantine.
    pub(crate) fn during_rejection(self, reason: Reason) -> Self {
        let (reason, source) = (Box::new(reason), Box::new(self.error));
        Failure { error: WorkError::Quarantine { reason, source }, ..self }
    }
}

impl From<FsError> for Failure {
    fn from(error: FsError) -> Self {
        let cause = match (error.dir_fault(), error.io().raw_os_error()) {
            (Some(fault), _) => Cause::Dir(fault),
            (None, Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM)) => Cause::Exhausted,
            (None, code) => Cause::File { operation: error.operation(), error: code },
        };
        Failure::new(WorkError::Call(error.into()), cause)
    }
}

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        Failure::new(WorkError::Ledger(error.to_string()), Cause::Ledger)
    }
}

impl From<Reason> for Failure {
    fn from(reason: Reason) -> Self {
        let cause = Cause::Reason(reason.kind());
        Failure::new(WorkError::Reason(Box::new(reason)), cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_has_the_kind_of_its_reason() {
        let failure = Failure::from(Reason::Description("wrong".into()));
        assert_eq!(failure.error.kind(), ReasonKind::Description);
        let rejected = failure.clone().during_rejection(Reason::IsArray);
        assert_eq!(rejected.error.kind(), ReasonKind::Description);
        assert_eq!(rejected.error.cause(), &failure.error);
        let why = Reason::Failed { error: failure.error, retry_in: None };
        assert_eq!(why.kind(), ReasonKind::Description);
        for error in [WorkError::Ledger(String::new()), WorkError::Bug] {
            assert_eq!(error.kind(), ReasonKind::Io);
        }
    }
}
