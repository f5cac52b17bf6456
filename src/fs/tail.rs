//! The tail of a data file: the bytes behind an array, located with `SEEK_DATA` and `SEEK_HOLE`
//! (`lseek(2)`).

use std::ops::Range;
use std::path::Path;

use crate::fs::{DataFile, Dir, OpenWriters, Result, TempFile};
use crate::model::Stat;

/// Bytes per read.
const PIECE: u64 = 1 << 20;

impl DataFile {
    /// Returns the next range of data that ends behind `from`. Holes and unwritten extents separate
    /// two ranges; the file system may report their bounds in whole blocks.
    fn next_data_range(&self, from: u64) -> Result<Option<Range<u64>>> {
        let Some(start) = self.next_data(from)? else { return Ok(None) };
        let end = self.first_hole(start)?;
        Ok((start < end).then_some(start..end))
    }

    /// Returns the end of the last data behind `from`, or `from` if there are none.
    pub fn written_end(&self, from: u64) -> Result<u64> {
        let mut end = from;
        while let Some(data) = self.next_data_range(end)? {
            end = data.end;
        }
        Ok(end)
    }

    /// Returns the offset behind the last nonzero byte of `range`, or its start if all bytes are
    /// zero.
    pub fn nonzero_end(&self, range: Range<u64>) -> Result<u64> {
        let mut end = range.end;
        while end > range.start {
            let len = (end - range.start).min(PIECE);
            let bytes = self.read_at_most(end - len, len as usize)?;
            if let Some(last) = bytes.iter().rposition(|byte| *byte != 0) {
                return Ok(end - len + last as u64 + 1);
            }
            end -= len;
        }
        Ok(range.start)
    }

    /// Calls `work` with each piece of data within `range` until it returns `false`. Skips holes
    /// without reading them (rule F6).
    pub fn each_piece(
        &self,
        range: Range<u64>,
        mut work: impl FnMut(u64, &[u8]) -> Result<bool>,
    ) -> Result<bool> {
        let mut at = range.start;
        while let Some(data) = self.next_data_range(at)? {
            at = data.start;
            let end = data.end.min(range.end);
            while at < end {
                let len = (end - at).min(PIECE) as usize;
                let bytes = self.read_at_most(at, len)?;
                if bytes.len() < len {
                    return Err(self.changed());
                }
                if !work(at, &bytes)? {
                    return Ok(false);
                }
                at += len as u64;
            }
            if data.end >= range.end {
                break;
            }
        }
        Ok(true)
    }
}

impl TempFile {
    /// Sets the length of the new file. Bytes that are not written stay a hole.
    pub fn set_len(&self, len: u64) -> Result<()> {
        self.file().set_len(len)
    }
}

impl Dir {
    /// Truncates a file to `len` bytes and returns its metadata afterwards. Returns `None`, and
    /// changes nothing, if the name refers to another file, the file has changed since `before`, or
    /// no lease proves that there is no writer.
    ///
    /// The file has its private name meanwhile, so no process can open it by its name between the
    /// proof and the cut, when the lease has ended (rule F5).
    ///
    /// # Durability
    ///
    /// On success the new length is durable, but the restored name only after the caller syncs this
    /// directory (rule F2). An error of the sync is final for the file (rule F1).
    pub fn cut_if_unchanged(
        &self,
        name: &Path,
        file: &DataFile,
        before: &Stat,
        len: u64,
    ) -> Result<Option<Stat>> {
        let renamed =
            self.rename_private_if_unchanged(name, file, before, OpenWriters::ProvedAbsent)?;
        let Ok(private) = renamed else { return Ok(None) };
        let is_proven = private.is_unbroken();
        let private_name = private.end_lease();
        let cut = if is_proven { cut(file, before, len) } else { Ok(None) };
        let restored = if private_name == name {
            Ok(())
        } else {
            self.restore_name(&private_name, self, name)
        };
        match cut {
            // F1: a failed sync is reported, whatever else fails.
            Err(error) if error.is_of_sync() => Err(error),
            cut => restored.and(cut),
        }
    }
}

fn cut(file: &DataFile, before: &Stat, len: u64) -> Result<Option<Stat>> {
    let writable = file.writable()?;
    let now = writable.stat()?;
    if (now.size, now.mtime_ns) != (before.size, before.mtime_ns) {
        return Ok(None);
    }
    writable.set_len(len)?;
    let after = writable.stat()?;
    writable.sync_all()?;
    Ok(Some(after))
}

#[cfg(test)]
mod tests {
    use std::fs as std_fs;
    use std::os::unix::fs::FileExt;

    use super::*;

    const BLOCK: u64 = 1 << 16;

    fn file(size: u64, written: &[(u64, &[u8])]) -> (tempfile::TempDir, Dir, DataFile) {
        let temp = tempfile::tempdir().unwrap();
        let new = std_fs::File::create(temp.path().join("x")).unwrap();
        new.set_len(size).unwrap();
        for (at, bytes) in written {
            new.write_all_at(bytes, *at).unwrap();
        }
        drop(new);
        let dir = Dir::open(temp.path()).unwrap();
        let file = dir.open_file(Path::new("x")).unwrap().unwrap();
        (temp, dir, file)
    }

    #[test]
    fn only_what_was_written_is_found() {
        let (_temp, _dir, file) = file(9 * BLOCK, &[(3, b"a"), (4 * BLOCK, b"bc")]);
        let mut pieces = Vec::new();
        let all = file.each_piece(1..9 * BLOCK, |at, bytes| {
            pieces.push((at, bytes.len() as u64, bytes[0]));
            Ok(true)
        });
        assert!(all.unwrap());
        let end = file.written_end(1).unwrap();
        assert!((4 * BLOCK + 2..=5 * BLOCK).contains(&end), "{end}");
        assert_eq!(file.written_end(6 * BLOCK).unwrap(), 6 * BLOCK);
        assert_eq!(pieces.first().unwrap().0, 1);
        assert!(pieces.contains(&(4 * BLOCK, end - 4 * BLOCK, b'b')), "{pieces:?}");
        assert_eq!(file.nonzero_end(1..end).unwrap(), 4 * BLOCK + 2);
        assert_eq!(file.nonzero_end(1..4 * BLOCK).unwrap(), 4);
        assert_eq!(file.nonzero_end(7..4 * BLOCK).unwrap(), 7);
    }

    #[test]
    fn a_file_is_cut_only_where_nobody_writes_to_it() {
        let (temp, dir, file) = file(0, &[(0, b"123456")]);
        let (name, path) = (Path::new("x"), temp.path().join("x"));
        let before = file.stat().unwrap();
        let writer = std_fs::File::options().append(true).open(&path).unwrap();
        assert!(dir.cut_if_unchanged(name, &file, &before, 3).unwrap().is_none());
        drop(writer);
        let changed = Stat { size: 7, ..before };
        assert!(dir.cut_if_unchanged(name, &file, &changed, 3).unwrap().is_none());
        assert_eq!(std_fs::read(&path).unwrap(), b"123456");
        let before = file.stat().unwrap();
        let after = dir.cut_if_unchanged(name, &file, &before, 3).unwrap().unwrap();
        assert_eq!((after.size, after.ino), (3, before.ino));
        assert_eq!(std_fs::read(&path).unwrap(), b"123");
        assert_eq!(dir.entries().unwrap().len(), 1);
    }
}
