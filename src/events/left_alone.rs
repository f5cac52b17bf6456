//! Files that npyd leaves alone although somebody may expect an array.

use std::path::PathBuf;

use crate::events::tally::Tally;

/// Files of a drop directory that npyd leaves alone for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftAlone {
    /// The drop directory.
    pub drop_dir: PathBuf,
    /// The directory that has the files: the drop directory, or that of its arrays.
    pub dir: PathBuf,
    /// The reason.
    pub kind: LeftAloneKind,
    /// The files, by their paths below that directory.
    pub files: Tally,
}

/// Why npyd leaves a file or directory alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftAloneKind {
    /// The file has no description.
    Undescribed,
    /// The file has a name that npyd does not take.
    BadName,
    /// The file is an array already, and npyd did not make it.
    Array,
    /// The directory is not watched, because `recursive` is not set.
    Subdirectory,
    /// The drop lies in the directory that npyd puts its arrays into.
    Misplaced,
}

impl LeftAloneKind {
    /// The kinds that a scan of a drop directory finds.
    pub const OF_SCANS: [Self; 4] =
        [Self::Undescribed, Self::BadName, Self::Array, Self::Subdirectory];

    /// Returns the name of the kind in the ledger and in the log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            LeftAloneKind::Undescribed => "undescribed",
            LeftAloneKind::BadName => "name",
            LeftAloneKind::Array => "array",
            LeftAloneKind::Subdirectory => "subdirectory",
            LeftAloneKind::Misplaced => "misplaced",
        }
    }
}
