//! One array as a sidecar describes it, and the [`Dump`] that follows from it and from what was
//! measured of its files.

use crate::describe::DescribeError;
use crate::describe::Metadata;
use crate::describe::data_path::{Data, DataPath};
use crate::describe::declared_by::DeclaredBy;
use crate::describe::digest::Digest;
use crate::describe::dump::{Division, Dump};
use crate::describe::leading_bytes::LeadingBytes;
use crate::describe::sidecar::Format;
use crate::describe::sidecar_facts::{SidecarFacts, Unfinished};
use crate::model::FileName;
use crate::npy::Layout;

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
    pub unfinished: Option<Unfinished>,
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
    /// Describes data without bytes before or after them, and without further facts.
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
    pub fn offset(&self, found: Measured) -> Result<Option<u64>, DescribeError> {
        Ok(match self.skip {
            DataStart::Bytes(bytes) => Some(bytes),
            DataStart::Lines { lines, bytes } => match found.lines_end {
                Some(end) => end.checked_add(bytes),
                None => {
                    return Err(format!("it has fewer than {lines} lines before its data").into());
                }
            },
            DataStart::Rest => match self.share() {
                None => {
                    return Err("data at the end of the file need a complete shape".into());
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
    pub fn dump(
        self,
        format: &Format,
        data: &FileName,
        found: Measured,
    ) -> Result<Dump, DescribeError> {
        let data_len = self.layout.data_len();
        let offset = self.offset(found)?;
        if let (Data::Parts(parts), false) =
            (&self.data, data_len.is_some_and(|len| len % self.data.count() == 0))
        {
            return Err(format!("its data do not fill {} files of equal size", parts.len()).into());
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
            bits_or_bytes: None,
            facts: SidecarFacts {
                size_keys: format.size_keys,
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
                .into()),
        }
    }
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
