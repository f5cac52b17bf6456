//! The status of a file, as `npyd explain` reports it under the key `verdict`.

use serde::{Serialize, Serializer};
use serde_json::Value;

/// What npyd has done with a file, or will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileStatus {
    /// An array was made.
    Finished,
    /// The drop is complete: npyd makes its array next.
    Ready,
    /// The drop waits.
    Waiting,
    /// npyd works on the drop.
    Working,
    /// The last attempt failed; npyd tries again.
    Failing,
    /// The drop can't become an array as it is.
    Rejected,
    /// The file is not a drop.
    Ignored,
    /// A description whose data became an array.
    Leftover,
    /// The file describes several arrays.
    SeveralArrays,
    /// This process can't see what decides.
    Unknown,
    /// The file does not exist, and the ledger knows nothing of it.
    Gone,
}

impl FileStatus {
    /// Returns the name in reports.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            FileStatus::Finished => "finished",
            FileStatus::Ready => "ready",
            FileStatus::Waiting => "waiting",
            FileStatus::Working => "working",
            FileStatus::Failing => "failing",
            FileStatus::Rejected => "rejected",
            FileStatus::Ignored => "ignored",
            FileStatus::Leftover => "leftover",
            FileStatus::SeveralArrays => "several arrays",
            FileStatus::Unknown => "unknown",
            FileStatus::Gone => "gone",
        }
    }

    /// Returns whether a report has one of these verdicts.
    pub(super) fn is_one_of(report: &Value, verdicts: &[FileStatus]) -> bool {
        let found = report["verdict"].as_str();
        verdicts.iter().any(|verdict| Some(verdict.as_str()) == found)
    }
}

impl Serialize for FileStatus {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}
