//! Sidecars: the files in which instruments and their programs describe raw dumps.
//!
//! Each format is one [`Format`] in a file of its own, listed in [`crate::describe::formats`]. A
//! format parses a text into a description. The caller has to check whether the data exist, are
//! complete, and are no longer written, because the existence of a sidecar proves none of this.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::describe::DescribeError;
use crate::describe::data_path::DataPath;
use crate::describe::described::Described;
use crate::describe::near_miss::Mark;
use crate::model::FileName;
use crate::npy::sanitize::sanitize;

/// Maximum size of a sidecar, in bytes.
pub const SIZE_MAX: u64 = 16 << 20;

/// A sidecar format.
pub struct Format {
    /// The common name of the format.
    pub name: &'static str,
    /// The names of the sidecar and of its data files, for people. Begins with a name of a sidecar.
    pub files: &'static str,
    /// What npyd reads and what it rejects, for people.
    pub reads: &'static str,
    /// What proves that the data are complete, for people.
    pub proof: &'static str,
    /// Returns whether a file with this name may be a sidecar of this format. The content of the
    /// file decides.
    pub is_named: fn(&str) -> bool,
    /// Returns the data files, relative to the sidecar, that a sidecar with this name describes if
    /// its text names none; the most likely first.
    pub data_of: fn(&str) -> Vec<String>,
    /// Returns the sidecars that may describe the data file at this path.
    pub sidecars_of: fn(&Path) -> Vec<PathBuf>,
    /// The keys that declare the size of the data, for people.
    pub size_keys: &'static str,
    /// The mark by which npyd knows its sidecars, for messages about files that lack it.
    pub mark: Mark,
    /// Parses the sidecar with this name. Returns `Ok(None)` if the text has another format. An
    /// error names the line and the remedy.
    pub read: fn(&FileName, &[u8]) -> ReadResult,
}

/// The result of parsing a sidecar: its arrays, or `None` if the text has another format.
pub type ReadResult = Result<Option<Vec<Described>>, DescribeError>;

impl Format {
    /// Returns a name that a sidecar of this format may have.
    #[must_use]
    pub fn sample_name(&self) -> &'static str {
        self.files.split(' ').next().unwrap_or_default()
    }

    /// Parses a sidecar. The text may be anything; all errors and warnings that quote it are
    /// sanitized.
    ///
    /// # Errors
    /// The text has this format, but is not valid or names itself as data.
    pub fn describe(&self, name: &FileName, text: &[u8]) -> ReadResult {
        let mut arrays = match (self.read)(name, text) {
            Ok(Some(arrays)) => arrays,
            Ok(None) => return Ok(None),
            Err(error) => return Err(error),
        };
        let is_itself = |path: &DataPath| path.as_path() == Path::new(name.as_str());
        if arrays.iter().flat_map(|array| array.data.paths()).any(is_itself) {
            return Err(
                "it names itself as data: data after the header can't be read, so save them in \
                        a file beside it"
                    .into(),
            );
        }
        for warning in arrays.iter_mut().flat_map(|array| &mut array.warnings) {
            *warning = sanitize(warning);
        }
        Ok(Some(arrays))
    }
}

impl fmt::Debug for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
