//! Errors of descriptions: why a manifest, a sidecar, a template or a header describes no data.

use thiserror::Error;

use crate::model::{FileName, FileNameError};
use crate::npy::sanitize::sanitize;
use crate::npy::{DtypeError, HeaderError, LayoutError};

/// Why a description can't be used, for the person whose file was rejected. The text quotes what
/// others wrote, so that it is sanitized.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DescribeError {
    /// What a parser found, with the remedy. Each parser has its own texts, because only the format
    /// knows what was meant; a program needs no more than [`crate::decide::reason::Reason::kind`].
    #[error("{}", sanitize(.0))]
    Text(String),
    /// A line of the description is wrong.
    #[error("{}", sanitize(&format!("line {number}, `{line}`: {source}")))]
    Line {
        /// The number of the line, from 1.
        number: usize,
        /// The line, as a message quotes it.
        line: String,
        /// What is wrong, with the remedy.
        source: Box<DescribeError>,
    },
    /// npyd can't use a manifest.
    #[error("the manifest `{name}` can't be used: {source}")]
    Manifest {
        /// Its name.
        name: FileName,
        /// Why.
        source: Box<DescribeError>,
    },
    /// npyd can't use a sidecar of an instrument.
    #[error("the {format} sidecar `{name}` can't be used: {source}")]
    Sidecar {
        /// The name of its format.
        format: &'static str,
        /// Its name.
        name: FileName,
        /// Why.
        source: Box<DescribeError>,
    },
    /// The glob of a manifest matches more files than an array can have.
    #[error("more than {max} files match `{glob}`")]
    TooManyFiles {
        /// The glob.
        glob: String,
        /// The maximum.
        max: usize,
    },
    /// The data file is an array that npyd made.
    #[error("`{0}` is an array of npyd's: leave it out of `data`")]
    OwnArray(FileName),
    /// The manifest has no bytes.
    #[error("its manifest `{0}` is empty: write it again")]
    EmptyManifest(FileName),
    /// The type of the items is not valid.
    #[error("{}", sanitize(&.0.to_string()))]
    Dtype(#[from] DtypeError),
    /// Type, shape and order do not fit together.
    #[error("{}", sanitize(&.0.to_string()))]
    Layout(#[from] LayoutError),
    /// No reader would accept the header.
    #[error("{}", sanitize(&.0.to_string()))]
    Header(#[from] HeaderError),
    /// A name is not the name of a file.
    #[error("{}", sanitize(&.0.to_string()))]
    FileName(#[from] FileNameError),
}

impl DescribeError {
    /// Adds that a manifest can't be used because of this error.
    #[must_use]
    pub fn of_manifest(self, name: FileName) -> Self {
        DescribeError::Manifest { name, source: Box::new(self) }
    }
}

impl From<String> for DescribeError {
    fn from(text: String) -> Self {
        DescribeError::Text(text)
    }
}

impl From<&str> for DescribeError {
    fn from(text: &str) -> Self {
        DescribeError::Text(text.to_owned())
    }
}
