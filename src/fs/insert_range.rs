//! Room at the front of a file, made by moving its blocks instead of its bytes; and the way back,
//! whole, from wherever a crash stopped it.
//!
//! `FALLOC_FL_INSERT_RANGE` first makes the file longer and then moves its extents back, the last
//! one first, several transactions long. Cut short, it leaves a file of the new length with a gap
//! somewhere: what stands before the gap has not moved, what stands behind it has. Nothing is
//! overwritten at any moment. `FALLOC_FL_COLLAPSE_RANGE` at the gap is the way back, and when it is
//! cut short itself, the gap is only elsewhere.

use std::os::fd::AsFd;

use rustix::fs::{self, FallocateFlags, SeekFrom};
use rustix::io::Errno;
use xxhash_rust::xxh3::xxh3_64;

use crate::fs::{DataFile, Dir, Result, TempFile, lease};

/// How many bytes at either end of a file tell whether it is itself.
const END: u64 = 4096;

impl Dir {
    /// Whether room of so many bytes can be made at the front of a file here; tried with one that
    /// nobody sees. Kinds of file systems do not tell: ext2 is as ext4 in name, and where blocks
    /// are allocated in clusters, room must be as large as one.
    pub fn supports_insert_range(&self, len: u64) -> Result<bool> {
        let trial = TempFile::create(self, 0)?;
        trial.file().write_all_at(&[1], 0)?;
        trial.file().insert_gap(len)
    }
}

impl DataFile {
    /// Whether no other process has the file open or mapped, be it only to read it: its bytes can
    /// move without anybody noticing. `false`, too, where that can't be learned.
    #[must_use]
    pub fn is_sole_opener(&self) -> bool {
        lease::is_sole_opener(self.as_fd())
    }

    /// Makes room of so many bytes at the front; all others move back by as much. `false`: the file
    /// system can't do that, or not by so much, and the file is as it was.
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
                Err(errno) => return Err(self.error("make room at the front of", errno)),
            }
        }
    }

    /// Hashes of what a file of `size` bytes has at its front and at its end.
    pub fn edge_hashes(&self, size: u64) -> Result<(u64, u64)> {
        self.ends_around(size, size, 0)
    }

    /// The same hashes where room of `len` bytes was made at `gap`.
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

    /// Takes the room of so many bytes back, wherever it is by now, from a file that had `size`
    /// bytes, these ends and no hole. `false`: it does not look like one that such room was made
    /// in, and is left as it is.
    pub fn remove_gap(&self, size: u64, len: u64, edge_hashes: (u64, u64)) -> Result<bool> {
        let now = self.stat()?.size;
        if now == size {
            return Ok(self.edge_hashes(size)? == edge_hashes); // nothing had been done yet
        }
        if Some(now) != size.checked_add(len) {
            return Ok(false);
        }
        let Some(gap) = self.gap(now, len)? else { return Ok(false) };
        if self.ends_around(size, gap, len)? != edge_hashes {
            return Ok(false);
        }
        if gap.saturating_add(len) < now {
            self.collapse(gap, len)?;
        }
        // Where the gap reached the end, all it had done was to make the file longer.
        self.set_len(size)?;
        self.sync_all()?;
        Ok(true)
    }

    /// Where the one gap of a file begins: the hole, or the front where it was filled already.
    fn gap(&self, size: u64, len: u64) -> Result<Option<u64>> {
        let hole = self.first_hole(0)?;
        if hole >= size {
            return Ok(Some(0));
        }
        let end = match fs::seek(self, SeekFrom::Data(hole)) {
            Ok(data) => data,
            Err(Errno::NXIO) => size,
            Err(errno) => return Err(self.error("find the holes of", errno)),
        };
        if end <= len {
            return Ok(Some(0)); // filled in part, with blocks smaller than the room
        }
        let is_room = if end == size {
            hole.saturating_add(len) >= size // no byte of the data is missing
        } else {
            end - hole == len && self.first_hole(end)? >= size
        };
        Ok(is_room.then_some(hole))
    }

    fn collapse(&self, at: u64, len: u64) -> Result<()> {
        loop {
            match fs::fallocate(self, FallocateFlags::COLLAPSE_RANGE, at, len) {
                Err(Errno::INTR) => {}
                done => return done.map_err(|errno| self.error("take the room back from", errno)),
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

    /// Records, as the tests of the whole program do, that this one was left out.
    fn left_out() {
        let line = "disk::insert: the temporary directory's file system makes no room in files\n";
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

    #[test]
    fn room_is_taken_back_from_wherever_it_got_to() {
        for rest in [0, 17, 4095] {
            for gap in 0..=5 {
                let (_temp, file, bytes) = file(5, rest);
                let size = bytes.len() as u64;
                let edge_hashes = file.edge_hashes(size).unwrap();
                // As a crash leaves it: longer, with a gap in the middle.
                let made = fs::fallocate(&file, FallocateFlags::INSERT_RANGE, gap * LEN, LEN);
                if made == Err(Errno::OPNOTSUPP) {
                    return left_out();
                }
                if gap * LEN >= size {
                    file.set_len(size + LEN).unwrap(); // the first step alone
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
