//! Changes of a drop's files that npyd notices during its work.

use thiserror::Error;

use crate::model::FileName;

/// What changed during the work, and when.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Change {
    /// A data file, between the probe and the work.
    #[error("it changed")]
    Before,
    /// A data file, while it was synced.
    #[error("it changed while it was synced")]
    DuringSync,
    /// A data file, while npyd read it.
    #[error("it changed while npyd read it")]
    DuringRead,
    /// A data file, while it was copied.
    #[error("it changed while it was copied")]
    DuringCopy,
    /// A data file, while the header was inserted.
    #[error("it changed meanwhile")]
    DuringInsert,
    /// A data file, while its array took its name.
    #[error("it changed while npyd replaced it")]
    DuringReplacement,
    /// A data file, before the bytes after its records were cut off.
    #[error("it changed before its rest was cut off")]
    BeforeCut,
    /// A data file got shorter while it was read.
    #[error("it was truncated while it was read")]
    Truncated,
    /// A data file got shorter while it was copied.
    #[error("it was truncated to {0} bytes while it was copied")]
    TruncatedTo(u64),
    /// The header of a pending file.
    #[error("its header changed")]
    Header,
    /// The file that describes the data.
    #[error("`{0}` changed")]
    Description(FileName),
    /// Another description or data file arrived.
    #[error("another description or data file arrived meanwhile")]
    Redescribed,
    /// The old array, after it was compared.
    #[error("its old array changed")]
    OldArray,
    /// The old array, while it was compared.
    #[error("its old array changed while it was compared")]
    OldArrayDuringComparison,
    /// The array that has the bytes of the source, before the source was disposed of.
    #[error("`{0}`, which has its bytes, was changed, replaced or deleted meanwhile")]
    StandingArray(FileName),
    /// The array that was made again from itself.
    #[error("`{0}` changed while it was made again")]
    Array(FileName),
}

/// A file that a process has open for writing, although its drop was complete.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OpenFile {
    /// A data file.
    #[error("a process opened it for writing")]
    Data,
    /// A data file, which npyd was reading.
    #[error("a process opened it for writing while npyd read it")]
    DataDuringRead,
    /// The array that is to be made again.
    #[error("`{0}` is open for writing")]
    Array(FileName),
    /// A file that has the content of the array.
    #[error("`{0}`, which has the same content, is open for writing")]
    EqualArray(FileName),
}
