//! Verdicts of `npyd explain`.

use serde::{Serialize, Serializer};
use serde_json::Value;

/// What npyd has done with a file, or will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
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

impl Verdict {
    /// Returns the name in reports.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Verdict::Finished => "finished",
            Verdict::Ready => "ready",
            Verdict::Waiting => "waiting",
            Verdict::Working => "working",
            Verdict::Failing => "failing",
            Verdict::Rejected => "rejected",
            Verdict::Ignored => "ignored",
            Verdict::Leftover => "leftover",
            Verdict::SeveralArrays => "several arrays",
            Verdict::Unknown => "unknown",
            Verdict::Gone => "gone",
        }
    }

    /// Returns whether a report has one of these verdicts.
    pub(super) fn is_one_of(report: &Value, verdicts: &[Verdict]) -> bool {
        let found = report["verdict"].as_str();
        verdicts.iter().any(|verdict| Some(verdict.as_str()) == found)
    }
}

impl Serialize for Verdict {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}
