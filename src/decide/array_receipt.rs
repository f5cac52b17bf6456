//! Decides whether a file is the array that a receipt is about.

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::decide::origin::Origin;
use crate::decide::request_problem::ArrayProblem;
use crate::decide::source_identity::SourceIdentity;
use crate::model::{FileName, Stat};

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
    /// The identity of the array, if npyd could not mark it, or found it.
    pub array_id: Option<ArrayId>,
    /// The length of its data in bytes, if the receipt is about the array as it was then.
    pub len: Option<u64>,
    /// The path of the source.
    pub source: PathBuf,
}

/// Identifies a file: by inode and time of creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArrayId {
    /// The inode number. Some file systems give their files other numbers at each mount.
    pub ino: u64,
    /// The time of creation; 0 if the file system does not have it.
    pub born_ns: i64,
}

impl ArrayId {
    /// Returns the identity of a file.
    #[must_use]
    pub fn of(stat: &Stat) -> Self {
        ArrayId { ino: stat.ino, born_ns: stat.born_ns }
    }

    /// Parses the text form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (ino, born_ns) = text.split_once(':')?;
        Some(ArrayId { ino: ino.parse().ok()?, born_ns: born_ns.parse().ok()? })
    }
}

impl fmt::Display for ArrayId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.ino, self.born_ns)
    }
}

/// A file that may be the array.
#[derive(Debug, Clone, Copy)]
pub struct FoundFile {
    /// Its identity.
    pub id: ArrayId,
    /// Its ctime.
    pub ctime_ns: i64,
    /// Its mtime, if this machine's clock gave it that.
    pub mtime_ns: Option<i64>,
    /// The length of its data in bytes, if it is a `.npy` file.
    pub len: Option<u64>,
    /// Whether it has no mark, although its file system could store one.
    pub lacks_mark: bool,
}

/// The resolution of the time of a receipt.
const RESOLUTION: Duration = Duration::from_millis(1);

/// Returns whether a time of a file is later than a receipt.
#[must_use]
pub fn is_later(time_ns: i64, at: SystemTime) -> bool {
    let since_epoch = Duration::from_nanos(time_ns.max(0).unsigned_abs());
    SystemTime::UNIX_EPOCH + since_epoch > at + RESOLUTION
}

impl ArrayReceipt {
    /// Returns why a file is not the array of the receipt. It is if its mark names the source. If
    /// npyd could not mark the array, or found one that another program had made, the receipt has
    /// the identity of the array. The receipt of an older npyd lacks that: then the file is the
    /// array if it has been unchanged since the receipt was written, because a rename changes the
    /// ctime as well. Receipts of several drops are written together, so a time does not help an
    /// array that was made with the mark of another drop.
    #[must_use]
    pub fn problem_of(
        &self,
        mark: Option<&SourceIdentity>,
        origin: Option<Origin>,
        found: &FoundFile,
    ) -> Option<ArrayProblem> {
        let may_lack_mark = mark.is_none() || self.is_found;
        if mark.is_some_and(|mark| self.is_marked(mark)) {
            return self.is_changed(found).then_some(ArrayProblem::Changed);
        }
        if may_lack_mark && self.is_known(found) {
            return None;
        }
        Some(match mark {
            Some(_) if origin.is_some() && origin == self.origin() => ArrayProblem::OtherOfSource,
            Some(_) => ArrayProblem::OfAnotherSource {
                of: origin.and_then(|it| FileName::try_from(it.name).ok()),
            },
            None => ArrayProblem::Unproven,
        })
    }
}

impl ArrayReceipt {
    /// Returns whether a mark names the source of the receipt.
    #[must_use]
    pub fn is_marked(&self, mark: &SourceIdentity) -> bool {
        let mut known = self.identities.iter();
        known.any(|it| it.is_of_data_files(mark) || self.became_array && it.ino() == mark.ino())
    }

    /// Returns the path of the source as an array stores it.
    fn origin(&self) -> Option<Origin> {
        FileName::of_path(&self.source).map(|name| Origin::of(&self.source, &name))
    }

    /// Returns whether the file was written to after the receipt. A program that saves another
    /// array over it keeps the file, and with it the mark. A file that is newer than the receipt is
    /// an array that npyd made again, and whose receipt is not stored yet.
    fn is_changed(&self, found: &FoundFile) -> bool {
        let Some(at) = self.at else { return false };
        let is_later = |time_ns: i64| is_later(time_ns, at);
        let has_other_len = self.len.zip(found.len).is_some_and(|(then, now)| then != now);
        !is_later(found.id.born_ns) && (has_other_len || found.mtime_ns.is_some_and(is_later))
    }

    /// Returns whether the file is the array, whatever its mark.
    fn is_known(&self, found: &FoundFile) -> bool {
        let is_unchanged = self.at.is_some_and(|at| !is_later(found.ctime_ns, at));
        match self.array_id {
            Some(id) if id == found.id => true,
            Some(id) => is_unchanged && id.born_ns == found.id.born_ns && id.born_ns != 0,
            None if self.became_array && found.lacks_mark => {
                is_unchanged && self.identities.iter().any(|it| it.is_of_inode(found.id.ino))
            }
            // npyd marks what it makes where it can.
            None => is_unchanged && (self.is_found || !found.lacks_mark),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(ino: u64, born_ns: i64, ctime_ns: i64) -> FoundFile {
        let id = ArrayId { ino, born_ns };
        FoundFile { id, ctime_ns, mtime_ns: None, len: None, lacks_mark: false }
    }

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
            let found = receipt.problem_of(parsed.as_ref(), None, &found(7, 7, ctime_ns));
            assert_eq!(found, problem, "{mark:?} {ctime_ns}");
        }
        let became = ArrayReceipt { became_array: true, ..receipt.clone() };
        for (mark, is_array) in [("1:9:9:9", true), ("2:2:3:4", false)] {
            let problem =
                became.problem_of(Some(&SourceIdentity::parse(mark)), None, &found(7, 7, after));
            assert_eq!(problem.is_none(), is_array, "{mark}");
        }
        let (before, after) = (found(7, 7, before), found(7, 7, after));
        let found = ArrayReceipt { is_found: true, ..receipt };
        let other = SourceIdentity::parse("2:2:3:4");
        assert_eq!(found.problem_of(Some(&other), None, &before), None);
        assert!(found.problem_of(Some(&other), None, &after).is_some());
        let mark = SourceIdentity::parse("1:2:3:4");
        assert!(ArrayReceipt::default().problem_of(Some(&mark), None, &before).is_some());
    }

    /// A program saved something else over the array, or its names were exchanged.
    #[test]
    fn a_file_that_was_written_to_after_the_receipt() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(5);
        let mark = SourceIdentity::parse("1:2:3:4");
        let source = PathBuf::from("/in/a.raw");
        let identities = vec![mark.clone()];
        let receipt = ArrayReceipt {
            identities,
            at: Some(at),
            len: Some(24),
            source,
            ..ArrayReceipt::default()
        };
        let origin = receipt.origin();
        assert!(origin.is_some());
        let changed = Some(ArrayProblem::Changed);
        for (mtime_ns, len, problem) in [
            (Some(5_000_000_000), Some(24), None),
            (None, Some(24), None),
            (None, None, None),
            (Some(5_001_000_001), Some(24), changed.clone()),
            (Some(1), Some(12), changed.clone()),
            (None, Some(48), changed),
        ] {
            let file = FoundFile { mtime_ns, len, ..found(7, 7, i64::MAX) };
            assert_eq!(receipt.problem_of(Some(&mark), origin.clone(), &file), problem, "{file:?}");
            let newer = FoundFile { id: ArrayId { ino: 7, born_ns: 6_000_000_000 }, ..file };
            assert_eq!(receipt.problem_of(Some(&mark), origin.clone(), &newer), None);
        }
        let other = SourceIdentity::parse("9:2:3:4");
        let file = found(7, 7, i64::MAX);
        let problem = receipt.problem_of(Some(&other), origin, &file);
        assert_eq!(problem, Some(ArrayProblem::OtherOfSource));
    }

    /// A file without a mark, by its identity; `before` and `after` are times around the receipt.
    #[test]
    fn a_file_without_a_mark() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(5);
        let (before, after) = (5_000_000_000, 5_001_000_001);
        let by_id = ArrayReceipt {
            at: Some(at),
            array_id: ArrayId::parse("7:9"),
            ..ArrayReceipt::default()
        };
        for (file, is_array) in [
            (found(7, 9, before), true),
            (found(7, 9, after), true),
            (found(8, 9, before), true), // mounted again
            (found(8, 9, after), false),
            (found(7, 8, before), false),
            (found(8, 8, before), false),
        ] {
            assert_eq!(by_id.problem_of(None, None, &file).is_none(), is_array, "{file:?}");
        }
        let without_id = ArrayReceipt { array_id: None, ..by_id };
        let lacking = FoundFile { lacks_mark: true, ..found(7, 9, before) };
        assert!(without_id.problem_of(None, None, &found(7, 9, before)).is_none());
        assert!(without_id.problem_of(None, None, &lacking).is_some());
        // A source that became the array keeps its inode.
        for (ino, is_array) in [(7, true), (8, false)] {
            let identities = vec![SourceIdentity::parse(&format!("{ino}:2:3:4"))];
            let became = ArrayReceipt { identities, became_array: true, ..without_id.clone() };
            assert_eq!(became.problem_of(None, None, &lacking).is_none(), is_array, "{ino}");
        }
        let by_bytes = ArrayReceipt { is_found: true, ..without_id };
        assert!(by_bytes.problem_of(None, None, &lacking).is_none());
        assert_eq!(ArrayId::parse(&ArrayId { ino: 7, born_ns: 9 }.to_string()), by_id.array_id);
    }
}
