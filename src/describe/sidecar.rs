//! Sidecars: the files that instruments and their programs write beside raw dumps, each in a
//! format of its own.
//!
//! One file a format, which holds one [`Format`]; the list is in [`crate::describe::formats`]. A
//! format reads text and says what the data are. Whether they are there, whole, and no longer
//! written to, is for the caller to find out: that a sidecar exists says nothing about that.

use std::fmt;
use std::path::{Component, Path, PathBuf};

use crate::describe::digest::Digest;
use crate::describe::dump::{DeclaredBy, Dump, LeadingBytes, Metadata, SidecarFacts};
use crate::model::FileName;
use crate::npy::Layout;
use crate::text::sanitize::sanitize;

/// The largest text that is read as a sidecar, in bytes.
pub const SIZE_MAX: u64 = 16 << 20;

/// The most data files that one sidecar may list.
pub const FILES_MAX: usize = 16_384;

/// A format of sidecars.
pub struct Format {
    /// Its name, as people know it.
    pub name: &'static str,
    /// How its files are named: the sidecar's and the data's.
    pub files: &'static str,
    /// What of it is read, and what is refused.
    pub reads: &'static str,
    /// What proves that the data are complete.
    pub proof: &'static str,
    /// Whether a file of this name may be such a sidecar: what its content must then show.
    pub is_named: fn(&str) -> bool,
    /// The data files, relative to the sidecar, that one of this name describes where its text does
    /// not tell; the likeliest first.
    pub data_of: fn(&str) -> Vec<String>,
    /// The sidecars that may describe the data file at this path.
    pub sidecars_of: fn(&Path) -> Vec<PathBuf>,
    /// Reads the sidecar of that name. `Ok(None)`: it is something else, in spite of its name. The
    /// error says line and remedy.
    pub read: fn(&FileName, &[u8]) -> Reading,
}

/// What came of reading a sidecar.
pub type Reading = Result<Option<Vec<Described>>, String>;

impl Format {
    /// Reads a sidecar, whose text may be anything: what is quoted of it in an error or a doubt is
    /// fit to be shown.
    pub fn describe(&self, name: &FileName, text: &[u8]) -> Reading {
        let mut arrays = match (self.read)(name, text) {
            Ok(Some(arrays)) => arrays,
            Ok(None) => return Ok(None),
            Err(reason) => return Err(sanitize(&reason)),
        };
        let is_itself = |path: &DataPath| path.as_path() == Path::new(name.as_str());
        if arrays.iter().flat_map(|array| array.data.paths()).any(is_itself) {
            return Err(
                "it names itself: data behind a header can't be taken as they are, so save \
                        them beside it"
                    .to_owned(),
            );
        }
        for doubt in arrays.iter_mut().flat_map(|array| &mut array.warnings) {
            *doubt = sanitize(doubt);
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
    /// Where its data are.
    pub data: Data,
    /// Dtype, order and shape; the shape may be open on any one axis.
    pub layout: Layout,
    /// What stands before the data, in each of their files.
    pub skip: DataStart,
    /// Bytes behind the data.
    pub trailing: u64,
    /// The whole size of the data file, where the sidecar tells it.
    pub file_len: Option<u64>,
    /// What the whole data file must hash to.
    pub digest: Option<Digest>,
    /// The `.npy` file's name, where it does not follow from the data's.
    pub output: Option<FileName>,
    /// By its own word the recording goes on: what is missing in the sidecar until it ends.
    pub unfinished: Option<String>,
    /// A `.npy` file, relative to the sidecar, that has a row for each record once the data are
    /// complete; the first of these that is there.
    pub row_counts: Vec<DataPath>,
    /// Whether people read the data with the sidecar: then they must stay as they are.
    pub has_live_readers: bool,
    /// What the axes are, in the array's order; empty where the format does not say.
    pub axes: Vec<Axis>,
    /// Factors and offsets that the values were to be multiplied by and added to: they are kept
    /// here, not applied.
    pub unapplied: Metadata,
    /// The sidecar's fields, as the format names them.
    pub fields: Metadata,
    /// How many records it says there are, which readers don't rely on.
    pub told_records: Option<u64>,
    /// What may not be meant as it is written.
    pub warnings: Vec<String>,
}

impl Described {
    /// Data with nothing around them, and nothing else told.
    #[must_use]
    pub fn new(data: Data, layout: Layout) -> Self {
        Described {
            data,
            layout,
            skip: DataStart::Bytes(0),
            trailing: 0,
            file_len: None,
            digest: None,
            output: None,
            unfinished: None,
            row_counts: Vec::new(),
            has_live_readers: false,
            axes: Vec::new(),
            unapplied: Metadata::new(),
            fields: Metadata::new(),
            told_records: None,
            warnings: Vec::new(),
        }
    }
}

/// What is found in the file system of what a sidecar describes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Measured {
    /// Bytes of the data file; where there are several, of each.
    pub file_len: u64,
    /// Where the lines to be skipped end, if they are all there.
    pub lines_end: Option<u64>,
    /// Records that another file counts; 0 where there is none yet.
    pub counted: u64,
}

impl Described {
    /// How many bytes of data each of their files has, where the shape is known.
    #[must_use]
    pub fn share(&self) -> Option<u64> {
        self.layout.data_len().map(|len| len / self.data.count())
    }

    /// Where the data begin in a file of theirs; `None`: beyond any file.
    pub fn offset(&self, found: Measured) -> Result<Option<u64>, String> {
        Ok(match self.skip {
            DataStart::Bytes(bytes) => Some(bytes),
            DataStart::Lines { lines, bytes } => match found.lines_end {
                Some(end) => end.checked_add(bytes),
                None => return Err(format!("it has no {lines} lines before its data")),
            },
            DataStart::Rest => match self.share() {
                None => return Err("data at the file's end need a shape that is known".to_owned()),
                // Too short a file is known by its size.
                Some(share) => {
                    Some(found.file_len.saturating_sub(share.saturating_add(self.trailing)))
                }
            },
        })
    }

    /// The dump that the data file is, or the first of several.
    pub fn dump(self, format: &Format, data: &FileName, found: Measured) -> Result<Dump, String> {
        let data_len = self.layout.data_len();
        let offset = self.offset(found)?;
        if let (Data::Parts(parts), false) =
            (&self.data, data_len.is_some_and(|len| len % self.data.count() == 0))
        {
            return Err(format!("its data can't be in {} files of equal size", parts.len()));
        }
        let around = offset.unwrap_or(0).saturating_add(self.trailing);
        let (records, _) = self.layout.records_in(found.file_len.saturating_sub(around));
        let mut warnings = self.warnings;
        if let Some(facts) = self.told_records.filter(|facts| *facts != records) {
            warnings.push(format!("it is said to have {facts} records, and has {records}"));
        }
        let dump = Dump {
            kind: DeclaredBy::Sidecar(format.name),
            layout: self.layout,
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
                unfinished: self.unfinished,
                has_live_readers: self.has_live_readers,
                axes: self.axes,
                unapplied: self.unapplied,
            },
        };
        match dump.least_file_len() {
            Some(_) => Ok(dump),
            None => Err("what stands before the data, the data and what stands behind them \
                         exceed 2^63 bytes together: correct the sidecar"
                .to_owned()),
        }
    }
}

impl Data {
    /// In how many files they are.
    #[must_use]
    pub fn count(&self) -> u64 {
        match self {
            Data::FirstOf(_) => 1,
            Data::Parts(parts) => parts.len().max(1) as u64,
        }
    }

    /// All files that could be meant.
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
    /// One file: the first of these that is there.
    FirstOf(Vec<DataPath>),
    /// All of these, one behind another, each with an equal share.
    Parts(Vec<DataPath>),
}

/// What stands before the data of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataStart {
    /// So many bytes.
    Bytes(u64),
    /// So many lines of text, and behind them so many bytes.
    Lines {
        /// Lines, each ended by a newline.
        lines: u64,
        /// Bytes.
        bytes: u64,
    },
    /// All that the data and what stands behind them don't need.
    Rest,
}

/// An axis of an array.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub struct Axis {
    /// What it is, such as `bands`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The unit of its steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// How far one step goes, in that unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<f64>,
}

impl Axis {
    /// The axis along which samples follow each other, so many a second.
    #[must_use]
    pub fn samples(rate: Option<f64>) -> Self {
        Axis {
            unit: rate.map(|_| "s".to_owned()),
            step: rate.map(f64::recip),
            ..Axis::named("sample")
        }
    }

    /// An axis of which only the name is known.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Axis { name: Some(name.to_owned()), ..Axis::default() }
    }
}

/// The path of a data file from its sidecar's directory: never absolute, never climbing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DataPath(PathBuf);

impl DataPath {
    /// A file in the sidecar's own directory, as sidecars name it: `x.raw` or `./x.raw`.
    pub fn beside(text: &str) -> Result<Self, String> {
        let path = Self::below(text)?;
        if path.0.components().count() > 1 {
            return Err(format!(
                "`{text}` lies in another directory: put data and sidecar into the same"
            ));
        }
        Ok(path)
    }

    /// A file in the sidecar's own directory or one below.
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
                        "{text:?} leads out of the sidecar's directory: put the data beside it, and name them without a directory"
                    ));
                }
            }
        }
        if path.as_os_str().is_empty() || text.ends_with('/') {
            return Err(format!("{text:?} does not name a file"));
        }
        Ok(DataPath(path))
    }

    /// The path.
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
    fn data_stay_near_their_sidecar() {
        for (text, path) in [("x.raw", "x.raw"), ("./x.raw", "x.raw")] {
            assert_eq!(DataPath::beside(text).unwrap().as_path(), Path::new(path));
        }
        assert_eq!(DataPath::below("a/b//x").unwrap().as_path(), Path::new("a/b/x"));
        for text in ["", ".", "/x", "../x", "a/../x", "a/", "a\nb", "a\0"] {
            assert!(DataPath::below(text).is_err(), "{text:?}");
        }
        assert!(DataPath::beside("a/x").is_err());
    }
}
