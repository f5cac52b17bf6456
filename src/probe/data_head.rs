//! What a data file itself tells, before anybody says what it holds.

use std::path::PathBuf;

use crate::describe::{Dump, from_header};
use crate::fs::{self, DataFile};
use crate::model::{FileName, Stat};
use crate::npy::{self, Preamble};

/// How far into a file lines are counted that are to be skipped, in bytes.
const LINES_WITHIN: usize = 1 << 20;

/// A data file as it is when it is to be recognized.
pub(crate) struct DataHead {
    pub(crate) name: FileName,
    pub(crate) file: DataFile,
    pub(crate) stat: Stat,
    pub(crate) written: u64,
    pub(crate) sidecar_dir: Option<PathBuf>,
}

impl DataHead {
    /// Whether it begins as a `.npy` file does.
    pub(crate) fn is_npy(&self) -> fs::Result<bool> {
        // Reading what was never written would make it look like data.
        let is_written = self.written > 0 || self.stat.size == 0;
        Ok(is_written && self.file.read_at_most(0, 6)?.starts_with(&npy::MAGIC))
    }

    /// Where the `lines`th line of a file ends; `None` where it does not within reach.
    pub(crate) fn lines_end(&self, lines: u64) -> fs::Result<Option<u64>> {
        if lines == 0 {
            return Ok(Some(0)); // without reading, which would make zeros look like data
        }
        let text = self.file.read_at_most(0, LINES_WITHIN)?;
        let edge_hashes = text.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        Ok(match usize::try_from(lines) {
            Ok(lines) => edge_hashes.map(|(at, _)| at as u64 + 1).nth(lines - 1),
            Err(_) => None,
        })
    }

    /// The dump that a file's own pending header declares, if it has one.
    pub(crate) fn own_header(&self) -> fs::Result<Result<Option<Dump>, String>> {
        let DataHead { name, file, stat, written, .. } = self;
        if *written == 0 && stat.size > 0 {
            return Ok(Ok(None)); // zeros, which reading would make look like data
        }
        if self.is_npy()? && name.without_pending_suffix().is_none() {
            return Ok(Ok(None)); // nothing is left to do, even in a version that is not known here
        }
        let preamble = match Preamble::read(&file.read_at_most(0, Preamble::LEN)?) {
            Ok(Some(preamble)) => preamble,
            Ok(None) => return Ok(Ok(None)),
            Err(error) => return Ok(Err(error.to_string())),
        };
        let head_len = preamble.data_offset.min(stat.size).min(npy::HEADER_MAX);
        let head = file.read_at_most(0, head_len as usize)?;
        Ok(from_header(name, preamble, head, stat.size))
    }
}
