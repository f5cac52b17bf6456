//! Failures of jobs: the text for people, and the cause, by which the tracker tells a fault of a
//! directory from that of a single drop.

use crate::decide::reason::Reason;
use crate::decide::reason_kind::ReasonKind;
use crate::fs::{FsError, Operation};
use crate::ledger::LedgerError;
use crate::model::DirFault;

/// Why a job failed, and may succeed later.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    /// What npyd was about to do, and what failed.
    pub(crate) error: String,
    /// What failed; the text has the file and the remedy.
    pub(crate) failed_call: String,
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
    pub(crate) fn new(error: String, cause: Cause) -> Self {
        Failure { failed_call: error.clone(), error, cause }
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

    /// Returns the kind of its reason.
    pub(crate) fn kind(&self) -> ReasonKind {
        match self.cause {
            Cause::Reason(kind) => kind,
            Cause::Dir(_) | Cause::Ledger | Cause::Exhausted | Cause::File { .. } | Cause::Bug => {
                ReasonKind::Io
            }
        }
    }

    /// Adds what npyd was about to do.
    pub(crate) fn during(self, work: &str) -> Self {
        Failure { error: format!("{work}; {}", self.error), ..self }
    }
}

impl From<FsError> for Failure {
    fn from(error: FsError) -> Self {
        let cause = match (error.dir_fault(), error.io().raw_os_error()) {
            (Some(fault), _) => Cause::Dir(fault),
            (None, Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM)) => Cause::Exhausted,
            (None, code) => Cause::File { operation: error.operation(), error: code },
        };
        Failure::new(error.to_string(), cause)
    }
}

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        Failure::new(error.to_string(), Cause::Ledger)
    }
}

impl From<Reason> for Failure {
    fn from(reason: Reason) -> Self {
        Failure::new(reason.to_string(), Cause::Reason(reason.kind()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_has_the_kind_of_its_reason() {
        let failure = Failure::from(Reason::Description("wrong".to_owned()));
        assert_eq!(failure.kind(), ReasonKind::Description);
        assert_eq!(failure.clone().during("reading it").kind(), ReasonKind::Description);
        let kind = failure.kind();
        let why = Reason::Failed { error: failure.error, kind, retry_in: None };
        assert_eq!(why.kind(), ReasonKind::Description);
        for cause in [Cause::Ledger, Cause::Exhausted, Cause::Bug] {
            assert_eq!(Failure::new("why".to_owned(), cause).kind(), ReasonKind::Io);
        }
    }
}
