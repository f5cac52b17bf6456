//! Sidecars: the files in which instruments and their programs describe raw dumps.
//!
//! Each format is one [`Format`] in a file of its own, listed in [`crate::describe::formats`]. A
//! format parses a text into a description. The caller has to check whether the data exist, are
//! complete, and are no longer written, because the existence of a sidecar proves none of this.

use std::fmt;
use std::path::{Component, Path, PathBuf};

use crate::describe::digest::Digest;
use crate::describe::dump::{DeclaredBy, Division, Dump, LeadingBytes, Metadata, SidecarFacts};
use crate::describe::near_miss::Mark;
use crate::model::FileName;
use crate::npy::Layout;
use crate::npy::sanitize::sanitize;

/// Maximum size of a sidecar, in bytes.
pub const SIZE_MAX: u64 = 16 << 20;

/// Maximum number of data files that a sidecar may list.
pub const FILES_MAX: usize = 16_384;

/// A sidecar format.
pub struct Format {
    /// The common name of the format.
    pub name: &'static str,
    /// The names of the sidecar and of its data files, for people.
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
pub type ReadResult = Result<Option<Vec<Described>>, String>;

impl Format {
    /// Parses a sidecar. The text may be anything; all errors and warnings that quote it are
    /// sanitized.
    ///
    /// # Errors
    /// The text has this format, but is not valid or names itself as data.
    pub fn describe(&self, name: &FileName, text: &[u8]) -> ReadResult {
        let mut arrays = match (self.read)(name, text) {
            Ok(Some(arrays)) => arrays,
            Ok(None) => return Ok(None),
            Err(reason) => return Err(sanitize(&reason)),
        };
        let is_itself = |path: &DataPath| path.as_path() == Path::new(name.as_str());
        if arrays.iter().flat_map(|array| array.data.paths()).any(is_itself) {
            return Err(
                "it names itself as data: data after the header can't be read, so save them in \
                        a file beside it"
                    .to_owned(),
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

/// One array that a sidecar describes.
#[derive(Debug, Clone)]
pub struct Described {
    /// The files that hold its data.
    pub data: Data,
    /// Dtype, order and shape. Any one axis of the shape may be open.
    pub layout: Layout,
    /// Where the data begin in each of their files.
    pub skip: DataStart,
    /// Bytes after the data.
    pub trailing: u64,
    /// The total size of the data file, if the sidecar contains it.
    pub file_len: Option<u64>,
    /// The total size of the data file, if the sidecar may end in the middle of that number. A data
    /// file of that size is complete once it is quiet.
    pub unsure_len: Option<u64>,
    /// The digest that the data file must have.
    pub digest: Option<Digest>,
    /// The `.npy` file's name, if it does not follow from the name of the data file.
    pub output: Option<FileName>,
    /// A message that the recording continues, if the sidecar shows that.
    pub unfinished: Option<String>,
    /// `.npy` files, relative to the sidecar. The first one that exists has a row for each record
    /// once the data are complete.
    pub row_counts: Vec<DataPath>,
    /// Whether other programs read the data with the sidecar, so that npyd must not change them.
    pub has_live_readers: bool,
    /// The axes, in the array's order; empty if the format does not describe them.
    pub axes: Vec<Axis>,
    /// Factors and offsets for the values. npyd stores them as metadata and does not apply them.
    pub unapplied: Metadata,
    /// The sidecar's fields, with the format's own names.
    pub fields: Metadata,
    /// The number of records that the sidecar states. Other readers do not rely on it.
    pub stated_records: Option<u64>,
    /// Warnings about values that may be wrong.
    pub warnings: Vec<String>,
}

impl Described {
    /// Describes data with nothing before and after them, and with no further facts.
    #[must_use]
    pub fn new(data: Data, layout: Layout) -> Self {
        Described {
            data,
            layout,
            skip: DataStart::Bytes(0),
            trailing: 0,
            file_len: None,
            unsure_len: None,
            digest: None,
            output: None,
            unfinished: None,
            row_counts: Vec::new(),
            has_live_readers: false,
            axes: Vec::new(),
            unapplied: Metadata::new(),
            fields: Metadata::new(),
            stated_records: None,
            warnings: Vec::new(),
        }
    }
}

/// Measurements of the files that a sidecar describes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Measured {
    /// Size in bytes of the data file, or of each data file if the array has several.
    pub file_len: u64,
    /// End of the lines that npyd skips, if the file has that many lines.
    pub lines_end: Option<u64>,
    /// Number of records that another file counts; 0 if it does not exist yet.
    pub counted: u64,
}

impl Described {
    /// Returns the number of data bytes in each file; `None` if the shape is open.
    #[must_use]
    pub fn share(&self) -> Option<u64> {
        self.layout.data_len().map(|len| len / self.data.count())
    }

    /// Returns the start of the data in each file; `None` if it is beyond the largest file size.
    ///
    /// # Errors
    /// The file has too few lines, or the start depends on a shape that is open.
    pub fn offset(&self, found: Measured) -> Result<Option<u64>, String> {
        Ok(match self.skip {
            DataStart::Bytes(bytes) => Some(bytes),
            DataStart::Lines { lines, bytes } => match found.lines_end {
                Some(end) => end.checked_add(bytes),
                None => {
                    return Err(format!("it has fewer than {lines} lines before its data"));
                }
            },
            DataStart::Rest => match self.share() {
                None => {
                    return Err("data at the end of the file need a complete shape".to_owned());
                }
                // A file that is too short is noticed later, by its size.
                Some(share) => {
                    Some(found.file_len.saturating_sub(share.saturating_add(self.trailing)))
                }
            },
        })
    }

    /// Returns the dump of the data file, or of the first of several.
    ///
    /// # Errors
    /// The description does not match the files, or its sizes are too large for a file.
    pub fn dump(self, format: &Format, data: &FileName, found: Measured) -> Result<Dump, String> {
        let data_len = self.layout.data_len();
        let offset = self.offset(found)?;
        if let (Data::Parts(parts), false) =
            (&self.data, data_len.is_some_and(|len| len % self.data.count() == 0))
        {
            return Err(format!("its data do not fill {} files of equal size", parts.len()));
        }
        let around = offset.unwrap_or(0).saturating_add(self.trailing);
        let (records, _) = self.layout.records_in(found.file_len.saturating_sub(around));
        let mut warnings = self.warnings;
        if let Some(stated) = self.stated_records.filter(|stated| *stated != records) {
            warnings.push(format!("its sidecar states {stated} records, but it has {records}"));
        }
        let dump = Dump {
            kind: DeclaredBy::Sidecar(format.name),
            layout: self.layout,
            division: Division::EqualShares,
            data_offset: offset.unwrap_or(u64::MAX),
            trailing: self.trailing,
            front: LeadingBytes::Bare,
            marker: None,
            digest: self.digest,
            output: self.output.unwrap_or_else(|| data.as_npy()),
            metadata: self.fields,
            warnings,
            facts: SidecarFacts {
                at_the_end: self.skip == DataStart::Rest,
                file_len: self.file_len,
                counted: (!self.row_counts.is_empty()).then_some(found.counted),
                unfinished: self.unfinished.filter(|_| self.unsure_len != Some(found.file_len)),
                has_live_readers: self.has_live_readers,
                axes: self.axes,
                unapplied: self.unapplied,
            },
        };
        match dump.least_file_len() {
            Some(_) => Ok(dump),
            None => Err("the data and the bytes before and after them exceed 2^63 bytes: \
                         correct the sidecar"
                .to_owned()),
        }
    }
}

impl Data {
    /// Returns the number of files.
    #[must_use]
    pub fn count(&self) -> u64 {
        match self {
            Data::FirstOf(_) => 1,
            Data::Parts(parts) => parts.len().max(1) as u64,
        }
    }

    /// Returns all files, or all candidates for the one file.
    #[must_use]
    pub fn paths(&self) -> &[DataPath] {
        match self {
            Data::FirstOf(paths) | Data::Parts(paths) => paths,
        }
    }
}

/// The files that hold an array's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// The first of these files that exists.
    FirstOf(Vec<DataPath>),
    /// All of these files, concatenated. Each file contains an equal number of data bytes.
    Parts(Vec<DataPath>),
}

/// Where the data begin in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataStart {
    /// After this number of bytes.
    Bytes(u64),
    /// After lines of text and a number of bytes.
    Lines {
        /// Number of lines, each ended by a newline.
        lines: u64,
        /// Number of bytes after the lines.
        bytes: u64,
    },
    /// Where they must begin so that the data and the trailing bytes end with the file.
    Rest,
}

/// An axis of an array.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub struct Axis {
    /// The name of the axis, such as `bands`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The unit of its steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// The length of one step, in that unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<f64>,
}

impl Axis {
    /// Returns the axis of the samples. `rate` is their number per second.
    #[must_use]
    pub fn samples(rate: Option<f64>) -> Self {
        Axis {
            unit: rate.map(|_| "s".to_owned()),
            step: rate.map(f64::recip),
            ..Axis::named("sample")
        }
    }

    /// Returns an axis with a name, but without unit and step.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Axis { name: Some(name.to_owned()), ..Axis::default() }
    }
}

/// The path of a data file relative to its sidecar's directory, without `..`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DataPath(PathBuf);

impl DataPath {
    /// Parses the path of a file in the sidecar's own directory: `x.raw` or `./x.raw`.
    ///
    /// # Errors
    /// The text is not the name of a file, or names another directory.
    pub fn beside(text: &str) -> Result<Self, String> {
        let path = Self::below(text)?;
        if path.0.components().count() > 1 {
            return Err(format!(
                "`{text}` is in another directory: put data and sidecar into one directory"
            ));
        }
        Ok(path)
    }

    /// Parses the path of a file in the sidecar's own directory or one below. Uses only the file
    /// name of a Windows path, because the data came from another computer, and adds a warning.
    ///
    /// # Errors
    /// The text is not the name of a file, or leads out of the directory.
    pub fn moved(text: &str, warnings: &mut Vec<String>) -> Result<Self, String> {
        let name = match text.as_bytes() {
            [letter, b':', b'/' | b'\\', ..] if letter.is_ascii_alphabetic() => {
                text.rsplit(['/', '\\']).next()
            }
            _ => text.rsplit_once('\\').map(|(_, name)| name),
        };
        let Some(name) = name else { return Self::below(text) };
        let path = Self::beside(name)?;
        warnings
            .push(format!("`{text}` is a path of Windows: npyd takes `{path}` beside the sidecar"));
        Ok(path)
    }

    /// Parses the path of a file in the sidecar's own directory or one below.
    ///
    /// # Errors
    /// The text is not the name of a file, or leads out of the directory.
    pub fn below(text: &str) -> Result<Self, String> {
        let mut path = PathBuf::new();
        for component in Path::new(text).components() {
            match component {
                Component::CurDir => {}
                Component::Normal(name) => {
                    let name = name.to_string_lossy().into_owned();
                    path.push(FileName::try_from(name)?.as_str());
                }
                _ => {
                    return Err(format!(
                        "{text:?} is outside the sidecar's directory: put the data beside it, and name them without a directory"
                    ));
                }
            }
        }
        if path.as_os_str().is_empty() || text.ends_with('/') {
            return Err(format!("{text:?} does not name a file"));
        }
        Ok(DataPath(path))
    }

    /// Returns the path.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        &self.0
    }
}

impl From<FileName> for DataPath {
    fn from(name: FileName) -> Self {
        DataPath(PathBuf::from(name.as_str()))
    }
}

impl fmt::Display for DataPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_paths_stay_below_the_sidecars_directory() {
        for (text, path) in [("x.raw", "x.raw"), ("./x.raw", "x.raw")] {
            assert_eq!(DataPath::beside(text).unwrap().as_path(), Path::new(path));
        }
        assert_eq!(DataPath::below("a/b//x").unwrap().as_path(), Path::new("a/b/x"));
        for text in ["", ".", "/x", "../x", "a/../x", "a/", "a\nb", "a\0"] {
            assert!(DataPath::below(text).is_err(), "{text:?}");
        }
        assert!(DataPath::beside("a/x").is_err());
    }

    #[test]
    fn of_a_path_of_windows_the_name_counts() {
        let mut warnings = Vec::new();
        for text in [
            "C:\\Users\\x\\w.raw",
            "c:/Users/x/w.raw",
            "D:\\x/w.raw",
            "..\\w.raw",
            "\\\\nas\\share\\w.raw",
        ] {
            let path = DataPath::moved(text, &mut warnings).unwrap();
            assert_eq!(path.as_path(), Path::new("w.raw"));
            assert!(warnings.pop().unwrap().contains("beside the sidecar"));
        }
        for text in ["a/w.raw", "a:b.raw", "C:w.raw"] {
            assert_eq!(DataPath::moved(text, &mut warnings).unwrap().to_string(), text);
        }
        assert!(warnings.is_empty());
        for text in ["/w.raw", "../w.raw", "C:\\", "C:\\..", "C:/..", "..\\a/w.raw"] {
            assert!(DataPath::moved(text, &mut warnings).is_err(), "{text}");
        }
    }
}
