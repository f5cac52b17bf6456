//! Facts that only an instrument's sidecar contains.

use thiserror::Error;

use crate::describe::described::Axis;
use crate::describe::text::Metadata;

/// What in a sidecar shows that the recording continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Unfinished {
    /// It ends in the middle of a line.
    #[error("its meta file ends in the middle of line {line}")]
    CutOff {
        /// The number of the line, from 1.
        line: usize,
    },
    /// It does not have the size of the data yet.
    #[error("the recording continues: its meta file has no fileSizeBytes yet")]
    NoFileSize,
}

/// Facts that only an instrument's sidecar contains. For other dumps they are empty.
#[derive(Debug, Clone, Default)]
pub struct SidecarFacts {
    /// The keys that declare the size of the data, as a list for people.
    pub size_keys: &'static str,
    /// Whether the data, and the trailing bytes after them, are at the end of the file.
    pub at_the_end: bool,
    /// The size of the complete data file.
    pub file_len: Option<u64>,
    /// The number of complete records, which another file counts.
    pub counted: Option<u64>,
    /// What shows that the recording continues, if the sidecar does.
    pub unfinished: Option<Unfinished>,
    /// Whether other programs read the data with the sidecar, so that npyd must not change them.
    pub has_live_readers: bool,
    /// The axes, in the array's order.
    pub axes: Vec<Axis>,
    /// Factors and offsets for the values, which npyd does not apply.
    pub unapplied: Metadata,
}
