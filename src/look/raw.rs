//! What a data file itself tells, before anybody says what it holds.

use std::path::PathBuf;

use crate::disk::{self, DataFile, Stat};
use crate::npy::{self, Preamble};
use crate::recognize::{Dump, FileName, from_header};

/// How far into a file lines are counted that are to be skipped, in bytes.
const LINES_WITHIN: usize = 1 << 20;

/// A data file as it is when it is to be recognized.
pub(super) struct Raw {
    pub(super) name: FileName,
    pub(super) file: DataFile,
    pub(super) stat: Stat,
    pub(super) written: u64,
    pub(super) sidecar_dir: Option<PathBuf>,
}

impl Raw {
    /// Whether it begins as a `.npy` file does.
    pub(super) fn is_npy(&self) -> disk::Result<bool> {
        // Reading what was never written would make it look like data.
        let is_written = self.written > 0 || self.stat.size == 0;
        Ok(is_written && self.file.read_at_most(0, 6)?.starts_with(&npy::MAGIC))
    }

    /// Where the `lines`th line of a file ends; `None` where it does not within reach.
    pub(super) fn lines_end(&self, lines: u64) -> disk::Result<Option<u64>> {
        if lines == 0 {
            return Ok(Some(0)); // without reading, which would make zeros look like data
        }
        let text = self.file.read_at_most(0, LINES_WITHIN)?;
        let ends = text.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        Ok(match usize::try_from(lines) {
            Ok(lines) => ends.map(|(at, _)| at as u64 + 1).nth(lines - 1),
            Err(_) => None,
        })
    }

    /// The dump that a file's own pending header declares, if it has one.
    pub(super) fn own_header(&self) -> disk::Result<Result<Option<Dump>, String>> {
        let Raw { name, file, stat, written, .. } = self;
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
        let head_len = preamble.data_offset.min(stat.size).min(npy::HEADER_CAP);
        let head = file.read_at_most(0, head_len as usize)?;
        Ok(from_header(name, preamble, head, stat.size))
    }
}
