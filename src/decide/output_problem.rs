//! Problems with the name or the directory of an array.

use thiserror::Error;

use crate::model::{FileName, NUMBER_MAX};

/// Why an array can't have its name, or can't be in its directory.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OutputProblem {
    /// The name is longer than a file system allows.
    #[error("its output name would be too long: set a shorter one with the key `output`")]
    NameTooLong,
    /// All numbered names are taken.
    #[error("there are already {NUMBER_MAX} files named like `{0}`: move them away")]
    NamesExhausted(FileName),
    /// No number is left above those of the backups of the array that would be replaced.
    #[error(
        "`{name}` has a backup with the highest number, `{}` or above it: move that away",
        name.backup(NUMBER_MAX)
    )]
    BackupsExhausted {
        /// The name of the array.
        name: FileName,
    },
    /// A pending file is to get its pending name, and another file has that.
    #[error("`{0}` exists as well: remove one of the two")]
    PendingTwice(FileName),
}
