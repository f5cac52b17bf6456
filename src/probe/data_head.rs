//! Reads what a data file itself reveals: .npy magic, pending header, end of skipped lines.

use std::path::Path;

use crate::describe::{DescribeError, Dump, from_header};
use crate::fs;
use crate::npy::{self, Preamble};
use crate::probe::input::InputFile;

/// Maximum offset up to which skipped lines are searched, in bytes.
const LINES_WITHIN: usize = 1 << 20;

/// A data file whose layout is to be determined.
pub(crate) struct DataHead<'a> {
    pub(crate) data: &'a InputFile,
    /// The directory of the file that describes it.
    pub(crate) sidecar_dir: Option<&'a Path>,
}

impl DataHead<'_> {
    /// Returns the offset behind the first `lines` lines, or `None` if they end beyond the limit.
    pub(crate) fn lines_end(&self, lines: u64) -> fs::Result<Option<u64>> {
        if lines == 0 {
            return Ok(Some(0)); // F6
        }
        let text = self.data.file.read_at_most(0, LINES_WITHIN)?;
        let line_ends = text.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        Ok(match usize::try_from(lines) {
            Ok(lines) => line_ends.map(|(at, _)| at as u64 + 1).nth(lines - 1),
            Err(_) => None,
        })
    }

    /// Returns the dump that the file's own pending header declares, if it has one.
    pub(crate) fn own_header(&self) -> fs::Result<Result<Option<Dump>, DescribeError>> {
        let InputFile { name, file, stat, written_end, .. } = self.data;
        if *written_end == 0 && stat.size > 0 {
            return Ok(Ok(None)); // F6: these are zeros
        }
        let front = file.read_head(stat, Preamble::LEN)?;
        if front.starts_with(&npy::MAGIC) && name.without_pending_suffix().is_none() {
            return Ok(Ok(None)); // it is final, even in an unknown version
        }
        let preamble = match Preamble::read(&front) {
            Ok(Some(preamble)) => preamble,
            Ok(None) => return Ok(Ok(None)),
            Err(error) => return Ok(Err(error.into())),
        };
        let head_len = preamble.data_offset.min(stat.size).min(npy::HEADER_MAX);
        let head = file.read_at_most(0, head_len as usize)?;
        Ok(from_header(name, preamble, head, stat.size))
    }
}
