//! A dump: raw bytes plus the declared layout (dtype, shape, order, offset).

use std::fmt;
use std::path::Path;

use crate::describe::DescribeError;
use crate::describe::described::Axis;
use crate::describe::digest::Digest;
use crate::describe::text::Metadata;
use crate::model::{FileName, split_backup};
use crate::npy::{Header, Layout, Preamble};
use thiserror::Error;

/// The content of a data file, as a manifest, sidecar, template or pending header declares it.
/// [`crate::decide::completeness`] decides whether the file is complete.
#[derive(Debug, Clone)]
pub struct Dump {
    /// The kind of description that declared the dump.
    pub kind: DeclaredBy,
    /// Type, order and shape of the array.
    pub layout: Layout,
    /// How the data are divided if they are in several files.
    pub division: Division,
    /// Start of the data, in bytes from the start of the file.
    pub data_offset: u64,
    /// Number of declared bytes after the data.
    pub trailing: u64,
    /// The content of the bytes before the data.
    pub front: LeadingBytes,
    /// The marker: the first bytes of a file that its producer has completed.
    pub marker: Option<Vec<u8>>,
    /// The digest that the data file must have.
    pub digest: Option<Digest>,
    /// The name of the `.npy` file.
    pub output: FileName,
    /// The user's own keys of the manifest.
    pub metadata: Metadata,
    /// Warnings about values that may be wrong.
    pub warnings: Vec<String>,
    /// Facts that only an instrument's sidecar contains.
    pub facts: SidecarFacts,
}

/// How data in several files are divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Division {
    /// Each file has an equal share.
    EqualShares,
    /// Each file has only data between its leading and trailing bytes.
    FullFiles {
        /// Whether a glob matches the names, so that more files may come.
        is_glob: bool,
    },
}

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

/// The kind of description that declares a dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeclaredBy {
    /// A manifest beside the data.
    Manifest,
    /// An instrument's sidecar in the format with this name.
    Sidecar(&'static str),
    /// The file's own pending header.
    Pending,
    /// A template of the configuration.
    Template,
    /// The options of `npyd finalize`.
    Options,
}

impl fmt::Display for DeclaredBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DeclaredBy::Sidecar(format) => return write!(f, "{format} sidecar"),
            DeclaredBy::Manifest => "manifest",
            DeclaredBy::Pending => "pending header",
            DeclaredBy::Template => "template",
            DeclaredBy::Options => "options",
        })
    }
}

/// The content of the bytes before the data.
#[derive(Debug, Clone)]
pub enum LeadingBytes {
    /// Nothing that npyd may overwrite.
    Bare,
    /// This number of bytes, which are reserved for the header.
    Reserved(u64),
    /// A pending header, or a final one in a file that still has its pending name.
    Header(OwnHeader),
}

impl fmt::Display for LeadingBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LeadingBytes::Bare => f.write_str("nothing"),
            LeadingBytes::Reserved(bytes) => write!(f, "{bytes} reserved bytes"),
            LeadingBytes::Header(own) => {
                write!(f, "a header of {} bytes", own.preamble.data_offset)
            }
        }
    }
}

/// The header that the producer wrote into the data file.
#[derive(Debug, Clone)]
pub struct OwnHeader {
    /// Its parsed preamble.
    pub preamble: Preamble,
    /// All its bytes, including the preamble.
    pub bytes: Vec<u8>,
}

/// How a data file's size fits the declaration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SizeFit {
    /// The file has complete records, and beyond these only declared or tolerated bytes.
    Whole {
        /// Whether the size was declared. If not, it follows from the file.
        exact: bool,
    },
    /// Bytes are missing.
    TooShort {
        /// The actual size.
        size: u64,
        /// The minimum size.
        of: u64,
        /// The number of its bytes that are data.
        data: u64,
        /// Size of a complete record.
        record: u64,
        /// The declared number of records, if the size follows from it.
        records: Option<u64>,
    },
    /// There are more bytes than declared.
    TooLong {
        /// The actual size.
        size: u64,
        /// The declared size.
        of: u64,
    },
    /// The last record is incomplete.
    PartialRecord {
        /// Size of the incomplete record.
        bytes: u64,
        /// Size of a complete record.
        of: u64,
        /// The number of bytes of all records.
        data: u64,
    },
    /// There is no complete record yet.
    Empty,
    /// The number of records differs from the number that another file counts.
    CountMismatch {
        /// Number of records in the data file.
        records: u64,
        /// Number of records that the other file counts.
        counted: u64,
    },
    /// A record has no bytes, so the number of records does not follow from the size.
    Unsizable,
}

impl fmt::Display for SizeFit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SizeFit::Whole { .. } => f.write_str("its size fits"),
            SizeFit::TooShort { size, of, .. } => write!(f, "it has {size} of {of} bytes"),
            SizeFit::TooLong { size, of } => write!(
                f,
                "it has {size} bytes, not the declared {of}: correct dtype, shape, offset or trailing, \
                 set allow_trailing, or use `npyd take`"
            ),
            SizeFit::PartialRecord { bytes, of, .. } => {
                write!(f, "its last record is incomplete: it has {bytes} of {of} bytes")
            }
            SizeFit::Empty => f.write_str("it has no complete record yet"),
            SizeFit::CountMismatch { records, counted } => write!(
                f,
                "it has {records} records, but {counted} are counted: the recording continues, or was cut off"
            ),
            SizeFit::Unsizable => f.write_str(
                "its records have no bytes, so their number does not follow from its size: declare the whole shape",
            ),
        }
    }
}

impl SizeFit {
    /// Returns what is wrong if no more bytes follow, in records.
    #[must_use]
    pub fn if_complete(&self) -> Option<String> {
        let (data, record, declared) = match *self {
            SizeFit::TooShort { data, record, records, .. } => (data, record, records),
            SizeFit::PartialRecord { of, data, .. } => (data, of, None),
            _ => return None,
        };
        let declared = declared.map_or_else(String::new, |records| format!(", not {records}"));
        let found = match data {
            0 => "there are no bytes after the offset".to_owned(),
            data => format!("{data} bytes are {}{declared}", in_records(data, record)?),
        };
        Some(format!("if it is complete, dtype, shape or offset is wrong: {found}"))
    }
}

/// Returns a number of bytes in records, with at most three decimals.
fn in_records(data: u64, record: u64) -> Option<String> {
    let (whole, rest) = (data.checked_div(record)?, data % record);
    let thousandths = (u128::from(rest) * 1000 + u128::from(record / 2)) / u128::from(record);
    Some(match thousandths {
        _ if rest == 0 && whole == 1 => "1 record".to_owned(),
        _ if rest == 0 => format!("{whole} records"),
        // Rounded, it would be a whole number.
        0 | 1000 => format!("{whole} records and {rest} of {record} bytes"),
        _ => {
            let decimals = format!("{thousandths:03}");
            format!("{whole}.{} records", decimals.trim_end_matches('0'))
        }
    })
}

impl Dump {
    /// Returns the minimum size of the data file in bytes, which is its exact size unless the shape
    /// is open. `None` if it exceeds the largest file size.
    #[must_use]
    pub fn least_file_len(&self) -> Option<u64> {
        let data = self.layout.data_len().unwrap_or(0);
        let len = self.data_offset.checked_add(data)?.checked_add(self.trailing)?;
        i64::try_from(len).is_ok().then_some(len)
    }

    /// Returns the start of the data in a file of `size` bytes that holds `share` bytes of data.
    #[must_use]
    pub fn offset_in(&self, size: u64, share: u64) -> u64 {
        if self.facts.at_the_end {
            size.saturating_sub(share.saturating_add(self.trailing))
        } else {
            self.data_offset
        }
    }

    /// Returns how a data file of `size` bytes fits this declaration.
    #[must_use]
    pub fn fit(&self, size: u64, allow_trailing: bool) -> SizeFit {
        match self.facts.file_len {
            Some(of) if size < of => return self.too_short(size, of, None),
            Some(of) if size > of => return SizeFit::TooLong { size, of },
            _ => {}
        }
        match self.fit_of_shape(size, allow_trailing) {
            SizeFit::Whole { exact } => {
                let records = self.layout.records_in(size - self.around()).0;
                match self.facts.counted {
                    Some(counted) if counted != records => {
                        SizeFit::CountMismatch { records, counted }
                    }
                    counted => {
                        let is_stated = counted.is_some() || self.facts.file_len.is_some();
                        SizeFit::Whole { exact: exact || is_stated }
                    }
                }
            }
            misfit => misfit,
        }
    }

    /// Returns the number of bytes before and after the data in a file.
    #[must_use]
    pub fn around(&self) -> u64 {
        self.data_offset.saturating_add(self.trailing)
    }

    /// Returns whether further files may belong to the array, without a limit on their number.
    #[must_use]
    pub fn may_grow(&self) -> bool {
        self.division == Division::FullFiles { is_glob: true } && self.layout.shape.is_open()
    }

    /// Returns the misfit of a file that has too few bytes.
    pub(crate) fn too_short(&self, size: u64, of: u64, records: Option<u64>) -> SizeFit {
        let (data, record) = (size.saturating_sub(self.around()), self.layout.record_len());
        SizeFit::TooShort { size, of, data, record, records }
    }

    fn fit_of_shape(&self, size: u64, allow_trailing: bool) -> SizeFit {
        let least = self.least_file_len().unwrap_or(u64::MAX);
        let Some(beyond) = size.checked_sub(least) else {
            return self.too_short(size, least, self.layout.records());
        };
        let exact = !self.layout.shape.is_open();
        let record = self.layout.record_len();
        let may_trail = allow_trailing && self.layout.has_whole_records();
        match beyond {
            0 if exact => SizeFit::Whole { exact: !self.facts.at_the_end },
            _ if exact && !allow_trailing => SizeFit::TooLong { size, of: least },
            _ if exact => SizeFit::Whole { exact: false },
            _ if record == 0 => SizeFit::Unsizable,
            0 => SizeFit::Empty,
            data if data < record => SizeFit::PartialRecord { bytes: data, of: record, data },
            data if data % record == 0 || may_trail => SizeFit::Whole { exact },
            data => SizeFit::PartialRecord { bytes: data % record, of: record, data },
        }
    }

    /// Returns the array's header for a data file of `size` bytes. If the size does not fit, the
    /// header covers the complete records.
    ///
    /// # Errors
    /// The array would be too large, or np.load would reject the header.
    pub fn header(&self, size: u64) -> Result<Header, DescribeError> {
        let (records, _) = self.layout.records_in(size.saturating_sub(self.around()));
        let header = match self.layout.header() {
            Some(header) => header,
            None => self.layout.with_records(records)?,
        };
        header.check_loadable()?;
        Ok(header)
    }

    /// Returns where the data end in the file of an array with this header.
    #[must_use]
    pub fn end_of(&self, header: &Header) -> u64 {
        self.data_offset.saturating_add(header.data_len())
    }

    /// Returns the header of the complete records that a dead writer left; `None` if there are no
    /// records, or if np.load would reject the header. The file must have no hole before `written`.
    ///
    /// The count in the header is not a limit, because the writer may have died before it updated
    /// the count. After that count, npyd takes records only up to `nonzero`, the end of the last
    /// byte that is not zero: a preallocated file contains zeros there that no process wrote.
    #[must_use]
    pub fn salvaged_header(&self, written: u64, nonzero: u64) -> Option<Header> {
        let records_to = |end: u64| self.layout.records_in(end.saturating_sub(self.data_offset));
        let (complete, _) = records_to(written);
        let records = match self.layout.records() {
            Some(declared) if declared < complete => {
                let (whole, begun) = records_to(nonzero);
                complete.min(declared.max(whole + u64::from(begun > 0)))
            }
            _ => complete,
        };
        let header = if records == 0 { None } else { self.layout.with_records(records).ok() };
        header.filter(|header| header.check_loadable().is_ok())
    }
}

/// Returns whether a file with this name is the backup of an array: `*.npy.~N~`.
#[must_use]
pub fn is_array_backup(name: &str) -> bool {
    let is_array = |stem: &str| Path::new(stem).extension().is_some_and(|it| it == "npy");
    split_backup(name).is_some_and(|(stem, _)| is_array(stem))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> FileName {
        FileName::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn output_names() {
        for (data, output) in [
            ("scan.raw", "scan.npy"),
            ("scan", "scan.npy"),
            ("x.npy", "x.npy"),
            ("x.npy.pending", "x.npy"),
            ("x.pending", "x.npy"),
            ("x.npy.part", "x.npy"),
            ("run.imec0.ap.bin", "run.imec0.ap.npy"),
            (".part", ".part.npy"),
            (".hidden", ".hidden.npy"),
            ("scan.", "scan.npy"),
        ] {
            assert_eq!(name(data).as_npy().as_str(), output);
        }
        assert_eq!(name("scan.npy").numbered(2).as_str(), "scan-2.npy");
        assert_eq!(name(".scan").numbered(1).as_str(), ".scan-1");
    }

    /// Data files whose names differ only after a decimal point become arrays with different names.
    #[test]
    fn a_decimal_point_does_not_begin_an_extension() {
        for (data, output) in [
            ("scene_0.5m", "scene_0.5m.npy"),
            ("scene_0.25m", "scene_0.25m.npy"),
            ("scene_0.5m.img", "scene_0.5m.npy"),
            ("scene_0.5m.npy", "scene_0.5m.npy"),
            ("scene_0.5m.part", "scene_0.5m.npy"),
            ("scene_0.5m.npy.pending", "scene_0.5m.npy"),
            ("frame.001", "frame.001.npy"),
            ("model.3dm", "model.3dm.npy"),
            ("x_1.0", "x_1.0.npy"),
            ("x_-.5", "x_-.5.npy"),
            ("x.-5", "x.-5.npy"),
            (".5m", ".5m.npy"),
            ("T=4.2K", "T=4.2K.npy"),
            ("2026-01-02 03.04.05", "2026-01-02 03.04.05.npy"),
            ("scan no. 7", "scan no. 7.npy"),
            ("scan.u16", "scan.npy"),
            ("scan_v1.2.f32", "scan_v1.2.npy"),
            ("x.sigmf-data", "x.npy"),
            ("run_g0_t0.nidq.bin", "run_g0_t0.nidq.npy"),
        ] {
            assert_eq!(name(data).as_npy().as_str(), output);
        }
        assert_eq!(name("scene_0.5m.npy").numbered(1).as_str(), "scene_0.5m-1.npy");
    }

    #[test]
    fn numbers_of_records() {
        for (data, record, text) in [
            (144, 120, "1.2 records"),
            (6, 8, "0.75 records"),
            (120, 120, "1 record"),
            (240, 120, "2 records"),
            (10, 3, "3.333 records"),
            (11, 3, "3.667 records"),
            (8 * 1001, 8000, "1.001 records"),
            (1_000_001, 1000, "1000.001 records"),
            (10_000_001, 10_000, "1000 records and 1 of 10000 bytes"),
            (10_009_999, 10_000, "1000 records and 9999 of 10000 bytes"),
            (u64::MAX, 2, "9223372036854775807.5 records"),
        ] {
            assert_eq!(in_records(data, record).as_deref(), Some(text));
        }
        assert_eq!(in_records(1, 0), None);
    }

    #[test]
    fn what_is_wrong_with_a_complete_file() {
        let short = |data, record, records| {
            SizeFit::TooShort { size: 16 + data, of: 1000, data, record, records }.if_complete()
        };
        let wrong = |found: &str| {
            Some(format!("if it is complete, dtype, shape or offset is wrong: {found}"))
        };
        assert_eq!(short(144, 120, Some(2)), wrong("144 bytes are 1.2 records, not 2"));
        assert_eq!(short(144, 120, None), wrong("144 bytes are 1.2 records"));
        assert_eq!(short(0, 120, Some(2)), wrong("there are no bytes after the offset"));
        assert_eq!(short(144, 0, None), None);
        let partial = SizeFit::PartialRecord { bytes: 24, of: 120, data: 144 };
        assert_eq!(partial.if_complete(), wrong("144 bytes are 1.2 records"));
        for other in [SizeFit::Empty, SizeFit::TooLong { size: 2, of: 1 }, SizeFit::Unsizable] {
            assert_eq!(other.if_complete(), None);
        }
    }

    #[test]
    fn paths_and_invalid_names_are_rejected() {
        for text in ["", ".", "..", "../x", "/x", "a/b", "a\nb", "a\0b", &"x".repeat(256)] {
            assert!(FileName::try_from(text.to_owned()).is_err(), "{text:?}");
        }
    }
}
