//! Inserts a gap at the front of a file by moving extents instead of bytes (`fallocate(2)`), and
//! removes it again after a crash at any point.
//!
//! `FALLOC_FL_INSERT_RANGE` first extends the file and then shifts its extents, the last one first,
//! in several transactions. A crash leaves a file of the new length with the gap somewhere: extents
//! before the gap have not moved yet, extents behind it have. No data are overwritten at any
//! moment. `FALLOC_FL_COLLAPSE_RANGE` at the gap undoes the work. If that is interrupted, the gap
//! is only at another offset.

use std::os::fd::AsFd;

use rustix::fs::{self, FallocateFlags, SeekFrom};
use rustix::io::Errno;
use xxhash_rust::xxh3::xxh3_64;

use crate::fs::{DataFile, Dir, Operation, Result, TempFile, lease};

/// Bytes at either end of a file that are hashed to recognize it.
const END: u64 = 4096;

/// Where the gap is that an interrupted insertion left.
enum Gap {
    /// Nowhere: the insertion had not begun.
    NotInserted,
    /// Nowhere: the insertion had only begun to extend the file. XFS writes the zeros to the end of
    /// the last block first.
    Extended,
    /// At this offset.
    At(u64),
}

impl Dir {
    /// Returns whether a gap of `len` bytes can be inserted at the front of a file here. Tries it
    /// on an unnamed file, because the kind of file system does not decide it: ext2 has the magic
    /// number of ext4, and where blocks are allocated in clusters, the gap must be a multiple of
    /// the cluster size.
    pub fn supports_insert_range(&self, len: u64) -> Result<bool> {
        let trial = TempFile::create(self, 0)?;
        trial.file().write_all_at(&[1], 0)?;
        trial.file().insert_gap(len)
    }
}

impl DataFile {
    /// Returns whether no other process has the file open or mapped, not even for reading, so that
    /// its bytes can move unnoticed. Also returns `false` where the kernel can't prove it.
    #[must_use]
    pub fn is_sole_opener(&self) -> bool {
        lease::is_sole_opener(self.as_fd())
    }

    /// Inserts a gap of `len` bytes at the front, and shifts all data back by `len`. Returns
    /// `false`, and changes nothing, if the file system does not support that at all or not with
    /// this length.
    ///
    /// # Durability
    ///
    /// The gap is not durable before a sync. A crash before can leave it at any offset; see
    /// [`DataFile::remove_gap`].
    pub fn insert_gap(&self, len: u64) -> Result<bool> {
        loop {
            match fs::fallocate(self, FallocateFlags::INSERT_RANGE, 0, len) {
                Ok(()) => return Ok(true),
                Err(Errno::INTR) => {}
                Err(
                    Errno::OPNOTSUPP
                    | Errno::INVAL
                    | Errno::NOSYS
                    | Errno::PERM
                    | Errno::TXTBSY
                    | Errno::FBIG,
                ) => return Ok(false),
                Err(errno) => return Err(self.error(Operation::InsertSpace, errno)),
            }
        }
    }

    /// Returns hashes of the first and the last 4096 bytes of a file of `size` bytes.
    pub fn edge_hashes(&self, size: u64) -> Result<(u64, u64)> {
        self.ends_around(size, size, 0)
    }

    /// Returns the hashes as they were before a gap of `len` bytes was inserted at `gap`.
    fn ends_around(&self, size: u64, gap: u64, len: u64) -> Result<(u64, u64)> {
        let hash = |from: u64| {
            let to = size.min(from + END);
            let gap = gap.clamp(from, to);
            let before = self.read_at_most(from, (gap - from) as usize)?;
            let behind = self.read_at_most(gap + len, (to - gap) as usize)?;
            Ok(xxh3_64(&[before, behind].concat()))
        };
        Ok((hash(0)?, hash(size.saturating_sub(END))?))
    }

    /// Removes a gap of `len` bytes from wherever it is, and syncs the file, which had `size`
    /// bytes, these hashes and no hole. Bytes that were appended since stay behind the original
    /// ones. Returns `false`, and changes nothing, if the file does not look like that.
    ///
    /// # Durability
    ///
    /// If this returns `true`, the original content is durable. An error of the sync is final for
    /// the file (rule F1).
    pub fn remove_gap(&self, size: u64, len: u64, edge_hashes: (u64, u64)) -> Result<bool> {
        let now = self.stat()?.size;
        match self.locate_gap(now, size, len, edge_hashes)? {
            None => return Ok(false),
            Some(Gap::NotInserted) => return Ok(true),
            Some(Gap::Extended) => self.set_len(size)?,
            Some(Gap::At(gap)) => {
                if gap.saturating_add(len) < now {
                    self.collapse(gap, len)?;
                }
                if now == size.saturating_add(len) {
                    // A gap at the end means that the insertion had only extended the file.
                    self.set_len(size)?;
                }
            }
        }
        self.sync_all()?;
        Ok(true)
    }

    /// Returns whether [`DataFile::remove_gap`] would find the original content. Changes nothing.
    pub fn is_restorable(&self, size: u64, len: u64, edge_hashes: (u64, u64)) -> Result<bool> {
        Ok(self.locate_gap(self.stat()?.size, size, len, edge_hashes)?.is_some())
    }

    /// Returns the offset of the hole that an insertion of `len` bytes left, if the file has that
    /// hole and no other one.
    pub fn hole_of(&self, len: u64) -> Result<Option<u64>> {
        let now = self.stat()?.size;
        if self.first_hole(0)? >= now { Ok(None) } else { self.gap(now, len) }
    }

    /// Returns where the gap is in a file of `now` bytes that had `size` bytes with these hashes;
    /// `None` if the file does not look like that.
    fn locate_gap(
        &self,
        now: u64,
        size: u64,
        len: u64,
        edge_hashes: (u64, u64),
    ) -> Result<Option<Gap>> {
        if now == size {
            return Ok((self.edge_hashes(size)? == edge_hashes).then_some(Gap::NotInserted));
        }
        if size.checked_add(len).is_none_or(|extended| extended > now) {
            if now < size || self.edge_hashes(size)? != edge_hashes {
                return Ok(None);
            }
            let is_zero = self.nonzero_end(size..now)? == size;
            return Ok(Some(if is_zero { Gap::Extended } else { Gap::NotInserted }));
        }
        let Some(gap) = self.gap(now, len)? else { return Ok(None) };
        let is_it = self.ends_around(size, gap, len)? == edge_hashes;
        Ok(is_it.then_some(Gap::At(gap)))
    }

    /// Returns the offset of the gap: the hole, or the front if the header was already written
    /// there.
    fn gap(&self, size: u64, len: u64) -> Result<Option<u64>> {
        let hole = self.first_hole(0)?;
        if hole >= size {
            return Ok(Some(0));
        }
        let end = match fs::seek(self, SeekFrom::Data(hole)) {
            Ok(data) => data,
            Err(Errno::NXIO) => size,
            Err(errno) => return Err(self.error(Operation::FindHoles, errno)),
        };
        if end <= len {
            return Ok(Some(0)); // partly filled: the blocks are smaller than the gap
        }
        let is_gap = if end == size {
            hole.saturating_add(len) >= size // no data byte is missing
        } else {
            end - hole == len && self.first_hole(end)? >= size
        };
        Ok(is_gap.then_some(hole))
    }

    fn collapse(&self, at: u64, len: u64) -> Result<()> {
        loop {
            match fs::fallocate(self, FallocateFlags::COLLAPSE_RANGE, at, len) {
                Err(Errno::INTR) => {}
                done => {
                    return done.map_err(|errno| self.error(Operation::RemoveSpace, errno));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs as std_fs;
    use std::io::Write;

    use super::*;

    const LEN: u64 = 4096;

    /// Records that this test was skipped, like the integration tests do.
    fn left_out() {
        let line = "fs::insert_range: the temporary directory's file system can't insert ranges\n";
        if let Some(list) = std::env::var_os("NPYD_TEST_LEFT_OUT") {
            let mut list = std_fs::File::options().append(true).create(true).open(list).unwrap();
            list.write_all(line.as_bytes()).unwrap();
        }
        assert!(std::env::var("NPYD_TEST_ALL").as_deref() != Ok("1"), "left out: {line}");
    }

    fn file(blocks: u64, rest: usize) -> (tempfile::TempDir, DataFile, Vec<u8>) {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("data");
        let len = (blocks * LEN) as usize + rest;
        let bytes: Vec<u8> = (0..len).map(|at| (at / 4096 + at % 251 + 1) as u8).collect();
        std_fs::write(&path, &bytes).unwrap();
        let file = DataFile::open(&path).unwrap().writable().unwrap();
        file.sync_all().unwrap();
        (temp, file, bytes)
    }

    fn content(file: &DataFile) -> Vec<u8> {
        file.read_at_most(0, usize::MAX).unwrap()
    }

    /// XFS has extended the file to the end of its last block; or somebody appended bytes to a file
    /// of which the insertion had not begun.
    #[test]
    fn a_file_that_is_a_little_longer() {
        for (appended, is_kept) in [(&[0; 4079][..], false), (b"\0more", true)] {
            let (temp, file, bytes) = file(5, 17);
            let size = bytes.len() as u64;
            let edge_hashes = file.edge_hashes(size).unwrap();
            let path = temp.path().join("data");
            std_fs::write(&path, [&bytes[..], appended].concat()).unwrap();
            assert!(!file.remove_gap(size, LEN, (edge_hashes.0, !edge_hashes.1)).unwrap());
            assert!(file.is_restorable(size, LEN, edge_hashes).unwrap());
            assert!(file.remove_gap(size, LEN, edge_hashes).unwrap());
            let rest = if is_kept { appended } else { &[] };
            assert!(content(&file) == [&bytes[..], rest].concat());
        }
    }

    #[test]
    fn room_is_taken_back_from_wherever_it_got_to() {
        for rest in [0, 17, 4095] {
            for gap in 0..=5 {
                let (_temp, file, bytes) = file(5, rest);
                let size = bytes.len() as u64;
                let edge_hashes = file.edge_hashes(size).unwrap();
                // The state after a crash: the file is longer, with a gap in the middle.
                let made = fs::fallocate(&file, FallocateFlags::INSERT_RANGE, gap * LEN, LEN);
                if made == Err(Errno::OPNOTSUPP) {
                    return left_out();
                }
                if gap * LEN >= size {
                    file.set_len(size + LEN).unwrap(); // only the first step
                } else {
                    made.unwrap();
                }
                assert!(!file.remove_gap(size, LEN, (edge_hashes.0, !edge_hashes.1)).unwrap());
                assert!(!file.remove_gap(size, LEN, (!edge_hashes.0, edge_hashes.1)).unwrap());
                assert_eq!(file.stat().unwrap().size, size + LEN, "left as it is");
                assert!(file.remove_gap(size, LEN, edge_hashes).unwrap(), "{rest} {gap}");
                assert!(content(&file) == bytes, "{rest} {gap}");
            }
        }
    }

    #[test]
    fn room_that_was_filled_is_taken_back_too() {
        let (_temp, file, bytes) = file(3, 5);
        let (size, edge_hashes) =
            (bytes.len() as u64, file.edge_hashes(bytes.len() as u64).unwrap());
        if !file.insert_gap(LEN).unwrap() {
            return left_out();
        }
        file.write_all_at(&[7; LEN as usize], 0).unwrap();
        assert!(content(&file)[LEN as usize..] == bytes);
        assert!(file.remove_gap(size, LEN, edge_hashes).unwrap());
        assert!(content(&file) == bytes);
        assert!(file.remove_gap(size, LEN, edge_hashes).unwrap(), "once more does no harm");
    }

    #[test]
    fn what_was_appended_since_stays_behind_the_data() {
        for (gap, rest) in [(0, 17), (2, 0)] {
            let (_temp, file, bytes) = file(3, rest);
            let size = bytes.len() as u64;
            let edge_hashes = file.edge_hashes(size).unwrap();
            let made = fs::fallocate(&file, FallocateFlags::INSERT_RANGE, gap * LEN, LEN);
            if made == Err(Errno::OPNOTSUPP) {
                return left_out();
            }
            made.unwrap();
            file.write_all_at(b"appended", size + LEN).unwrap();
            assert!(file.remove_gap(size, LEN, edge_hashes).unwrap(), "gap at block {gap}");
            assert!(content(&file) == [&bytes[..], b"appended"].concat(), "gap at block {gap}");
        }
    }

    #[test]
    fn what_looks_otherwise_is_left_alone() {
        let (_temp, file, bytes) = file(3, 0);
        let size = bytes.len() as u64;
        let edge_hashes = file.edge_hashes(size).unwrap();
        assert!(!file.remove_gap(size + 1, LEN, edge_hashes).unwrap());
        file.set_len(size + 2 * LEN).unwrap();
        let edge_hashes = file.edge_hashes(size + LEN).unwrap();
        let is_taken = file.remove_gap(size + LEN, LEN, edge_hashes).unwrap();
        assert!(!is_taken, "data are missing before the end");
        assert!(file.stat().unwrap().size == size + 2 * LEN);
    }
}
