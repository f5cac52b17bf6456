//! Holes of sparse files: found by `lseek(2)` with `SEEK_DATA` and `SEEK_HOLE`.

use std::ops::Range;

use crate::fs::fs_kind::info_of;
use crate::fs::{DataFile, Result};

/// The shortest hole that a copy keeps, in bytes. Shorter ones are cheaper to write than to find.
pub(crate) const HOLE_MIN: u64 = 64 << 10;

/// The file systems whose answer counts: there a test compares it with what was written, also
/// while that is in memory only. Elsewhere it may be another kernel's (network, overlay), or take
/// unwritten data for a hole (ZFS before 2.2.2).
const TRUSTED: [&str; 4] = ["ext4", "xfs", "btrfs", "tmpfs"];

/// How a copy finds the holes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holes {
    /// It has no hole that is worth it: all its blocks are allocated.
    None,
    /// The file system reports them; they are not read.
    Reported,
    /// They are read, and show as zeros.
    Read,
}

impl DataFile {
    /// Returns how its holes are found, and how many bytes are allocated.
    pub(crate) fn holes(&self) -> Result<(Holes, u64)> {
        let stat = self.stat()?;
        let allocated = stat.blocks.saturating_mul(512);
        if stat.size.saturating_sub(allocated) < HOLE_MIN {
            return Ok((Holes::None, allocated));
        }
        let fs = info_of(self).map_err(|errno| self.error("ask for the file system of", errno))?;
        let is_trusted = TRUSTED.contains(&fs.kind.as_str());
        Ok((if is_trusted { Holes::Reported } else { Holes::Read }, allocated))
    }

    /// Returns the first data in a range, and counts holes shorter than [`HOLE_MIN`] as data. Where
    /// only a hole follows, the result is empty and lies at the end of the range.
    pub(crate) fn data_within(&self, range: Range<u64>) -> Result<Range<u64>> {
        let end = range.end;
        let next_data = |from| Ok(self.next_data(from)?.unwrap_or(end).min(end));
        let data = next_data(range.start)?;
        let start = if data - range.start < HOLE_MIN { range.start } else { data };
        let mut from = data;
        while from < end {
            let hole = self.first_hole(from)?.min(end);
            if hole <= from {
                break; // it was cut in this moment, which reading shows
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

    /// A file of 1 MiB with data in these ranges.
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
