//! Holes of sparse files, found with `SEEK_DATA` and `SEEK_HOLE` (`lseek(2)`).

use std::ops::Range;

use crate::fs::{DataFile, Result};
use crate::model::FsKind;

/// Minimum size of a hole that a copy preserves, in bytes. Shorter ones are cheaper to write than
/// to find.
pub(crate) const HOLE_MIN: u64 = 64 << 10;

/// The file systems whose reported holes npyd trusts: tests compare them with what was written,
/// also while it is only in memory. Elsewhere the answer can come from another kernel (network,
/// overlay), or report data in memory as a hole (ZFS before 2.2.2).
const TRUSTED: [FsKind; 4] = [FsKind::Ext4, FsKind::Xfs, FsKind::Btrfs, FsKind::Tmpfs];

/// How a copy finds the holes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holes {
    /// Not at all: nearly all its blocks are allocated.
    None,
    /// The file system reports them; the copy does not read them.
    Reported,
    /// The copy reads them and treats zeros as a hole.
    Read,
}

impl DataFile {
    /// Returns how a copy finds the holes of this file, and how many bytes are allocated.
    pub(crate) fn holes(&self) -> Result<(Holes, u64)> {
        let stat = self.stat()?;
        let allocated = stat.blocks.saturating_mul(512);
        if stat.size.saturating_sub(allocated) < HOLE_MIN {
            return Ok((Holes::None, allocated));
        }
        let fs = self.file_system()?;
        let is_trusted = TRUSTED.contains(&fs.kind);
        Ok((if is_trusted { Holes::Reported } else { Holes::Read }, allocated))
    }

    /// Returns the first range of data within `range`, counting holes shorter than [`HOLE_MIN`] as
    /// data. If only a hole follows, the result is empty and lies at the end of `range`.
    pub(crate) fn data_within(&self, range: Range<u64>) -> Result<Range<u64>> {
        let end = range.end;
        let next_data = |from| Ok(self.next_data(from)?.unwrap_or(end).min(end));
        let data = next_data(range.start)?;
        let start = if data - range.start < HOLE_MIN { range.start } else { data };
        let mut from = data;
        while from < end {
            let hole = self.first_hole(from)?.min(end);
            if hole <= from {
                break; // truncated in this moment; the read will report it
            }
            from = next_data(hole)?;
            if from - hole >= HOLE_MIN {
                return Ok(start..hole);
            }
        }
        Ok(start..end)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::FileExt;

    use super::*;

    /// Creates a file of 1 MiB with data in these ranges.
    fn sparse(data: &[Range<u64>]) -> (tempfile::TempDir, DataFile) {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("x");
        let file = fs::File::create(&path).unwrap();
        file.set_len(1 << 20).unwrap();
        for range in data {
            let bytes = vec![7; (range.end - range.start) as usize];
            file.write_all_at(&bytes, range.start).unwrap();
        }
        (temp, DataFile::open(&path).unwrap())
    }

    #[test]
    fn long_holes_end_data_and_short_ones_do_not() {
        const KIB: u64 = 1 << 10;
        let (_temp, file) = sparse(&[0..4 * KIB, 8 * KIB..16 * KIB, 512 * KIB..516 * KIB]);
        assert_eq!(file.data_within(0..1 << 20).unwrap(), 0..16 * KIB);
        assert_eq!(file.data_within(16 * KIB..1 << 20).unwrap(), 512 * KIB..516 * KIB);
        assert_eq!(file.data_within(500 * KIB..514 * KIB).unwrap(), 500 * KIB..514 * KIB);
        assert_eq!(file.data_within(516 * KIB..1 << 20).unwrap(), 1 << 20..1 << 20);
        assert_eq!(file.data_within(516 * KIB..517 * KIB).unwrap(), 516 * KIB..517 * KIB);
        assert_eq!(file.data_within(512 * KIB..1 << 20).unwrap(), 512 * KIB..516 * KIB);
    }

    #[test]
    fn an_allocated_file_is_not_asked_for_holes() {
        let (_temp, file) = sparse(&[0..1 << 19, 1 << 19..1 << 20]);
        assert_eq!(file.holes().unwrap().0, Holes::None);
        let (_temp, file) = sparse(&[0..1 << 18, 1 << 19..1 << 20]);
        assert_ne!(file.holes().unwrap().0, Holes::None);
    }
}
