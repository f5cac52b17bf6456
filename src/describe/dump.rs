//! A dump: raw bytes plus the declared layout (dtype, shape, order, offset).

use crate::describe::DescribeError;
use crate::describe::bits_or_bytes::BitsOrBytes;
use crate::describe::declared_by::DeclaredBy;
use crate::describe::digest::Digest;
use crate::describe::leading_bytes::LeadingBytes;
use crate::describe::sidecar_facts::SidecarFacts;
use crate::describe::size_fit::SizeFit;
use crate::describe::taken::Rows;
use crate::describe::text::Metadata;
use crate::model::FileName;
use crate::npy::{Header, Layout};

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
    /// How the declared dtype is read, if its text may count bits or bytes.
    pub bits_or_bytes: Option<BitsOrBytes>,
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
    /// byte that is not zero: a preallocated file contains zeros there that no process wrote. If
    /// every byte before `written` was written, `nonzero` is equal to it. A person may choose to
    /// take the declared records alone.
    #[must_use]
    pub fn salvaged_header(&self, written: u64, nonzero: u64, rows: Rows) -> Option<Header> {
        let records_to = |end: u64| self.layout.records_in(end.saturating_sub(self.data_offset));
        let (complete, _) = records_to(written);
        let (whole, begun) = records_to(nonzero);
        let nonzero = whole + u64::from(begun > 0);
        let records = match self.layout.records() {
            Some(declared) if rows == Rows::Common => complete.min(declared),
            Some(declared) => complete.min(declared.max(nonzero)),
            None => complete.min(nonzero),
        };
        let header = if records == 0 { None } else { self.layout.with_records(records).ok() };
        header.filter(|header| header.check_loadable().is_ok())
    }
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
    fn paths_and_invalid_names_are_rejected() {
        for text in ["", ".", "..", "../x", "/x", "a/b", "a\nb", "a\0b", &"x".repeat(256)] {
            assert!(FileName::try_from(text.to_owned()).is_err(), "{text:?}");
        }
    }
}
