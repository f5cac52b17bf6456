//! Decides whether a file is the array that a receipt is about.

use std::time::{Duration, SystemTime};

use crate::decide::identity::{Origin, SourceIdentity};
use crate::decide::request_problem::ArrayProblem;
use crate::model::FileName;

/// What the ledger knows of an array.
#[derive(Debug, Clone, Default)]
pub struct ArrayReceipt {
    /// What the source looked like each time that the array was made or found.
    pub identities: Vec<SourceIdentity>,
    /// When the newest receipt was written.
    pub at: Option<SystemTime>,
    /// Whether that receipt is about an array that was there already, perhaps with another mark.
    pub is_found: bool,
    /// Whether the source itself became the array: the mark was set before npyd wrote the header.
    pub became_array: bool,
}

/// The resolution of the time of a receipt.
const RESOLUTION: Duration = Duration::from_millis(1);

impl ArrayReceipt {
    /// Returns why a file is not the array of the receipt. It is if its mark names the source.
    /// Without such a mark it is if it has been unchanged since the receipt was written: a rename
    /// changes the ctime as well. Receipts of several drops are written together, so a time does
    /// not help an array that was made with the mark of another drop.
    #[must_use]
    pub fn problem_of(
        &self,
        mark: Option<&SourceIdentity>,
        origin: Option<Origin>,
        ctime_ns: i64,
    ) -> Option<ArrayProblem> {
        let is_named = |mark: &SourceIdentity| {
            let mut known = self.identities.iter();
            known.any(|it| it.is_of_data_files(mark) || self.became_array && it.ino() == mark.ino())
        };
        let changed = SystemTime::UNIX_EPOCH + Duration::from_nanos(ctime_ns.max(0).unsigned_abs());
        let is_unchanged = self.at.is_some_and(|at| changed <= at + RESOLUTION);
        let may_lack_mark = mark.is_none() || self.is_found;
        if mark.is_some_and(is_named) || may_lack_mark && is_unchanged {
            return None;
        }
        Some(match mark {
            Some(_) => ArrayProblem::OfAnotherSource {
                of: origin.and_then(|it| FileName::try_from(it.name).ok()),
            },
            None => ArrayProblem::Unproven,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_file_is_the_array() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(5);
        let identities = ["1:2:3:4", "1:2:9:9"].map(SourceIdentity::parse).to_vec();
        let receipt = ArrayReceipt { identities, at: Some(at), ..ArrayReceipt::default() };
        let (before, after) = (5_000_999_999, 5_001_000_001);
        let other = Some(ArrayProblem::OfAnotherSource { of: None });
        for (mark, ctime_ns, problem) in [
            (Some("1:2:3:4"), after, None),
            (Some("1:2:3:7 5:6:7:8 a.toml"), after, None),
            (Some("1:2:9:1"), after, None),
            (Some("1:2:4:4"), after, other.clone()),
            (Some("2:2:3:4"), after, other.clone()),
            (Some("2:2:3:4"), before, other),
            (None, before, None),
            (None, after, Some(ArrayProblem::Unproven)),
        ] {
            let parsed = mark.map(SourceIdentity::parse);
            let found = receipt.problem_of(parsed.as_ref(), None, ctime_ns);
            assert_eq!(found, problem, "{mark:?} {ctime_ns}");
        }
        let became = ArrayReceipt { became_array: true, ..receipt.clone() };
        for (mark, is_array) in [("1:9:9:9", true), ("2:2:3:4", false)] {
            let problem = became.problem_of(Some(&SourceIdentity::parse(mark)), None, after);
            assert_eq!(problem.is_none(), is_array, "{mark}");
        }
        let found = ArrayReceipt { is_found: true, ..receipt };
        let other = SourceIdentity::parse("2:2:3:4");
        assert_eq!(found.problem_of(Some(&other), None, before), None);
        assert!(found.problem_of(Some(&other), None, after).is_some());
        let mark = SourceIdentity::parse("1:2:3:4");
        assert!(ArrayReceipt::default().problem_of(Some(&mark), None, before).is_some());
    }
}
