//! Problems of the arguments of `npyd finalize`.

use std::path::PathBuf;

use thiserror::Error;

use crate::model::{FileName, FileNameError};

/// Why a command can't finalize the file that an argument names.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ArgumentProblem {
    /// The file is a directory.
    #[error("it is a directory: add -r to finalize all drops below it")]
    Directory,
    /// The path has no last part.
    #[error("it has no file name")]
    NoFileName,
    /// The current directory, or the empty path, has no absolute path. The text is that of the
    /// operating system.
    #[error("{0}")]
    NoAbsolutePath(String),
    /// The output is a directory.
    #[error("-o {} is a directory; give the path of a file in it, or --output-dir", .0.display())]
    OutputDirectory(PathBuf),
    /// The output is standard output.
    #[error(
        "-o - is not possible: npyd writes an array to a file, so that it is durable under its name"
    )]
    StandardOutput,
    /// The output has a name that npyd does not take.
    #[error(transparent)]
    OutputName(#[from] FileNameError),
    /// The output has a private name of npyd's.
    #[error("-o {0} is a name that npyd reserves for its own files; choose another name")]
    ReservedName(FileName),
}
