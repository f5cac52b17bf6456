//! Listings in pieces: the names of a directory in bounded memory.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{self, RawDir, SeekFrom};

use crate::fs::{Dir, EntryKind, Operation, Result};

/// Size of the buffer for `getdents64(2)` in bytes. It bounds the number of names in a piece.
const BUFFER_LEN: usize = 32 << 10;

/// The position of a reader in the list of a directory's names. The order is that of the file
/// system.
#[derive(Debug, Default)]
pub struct Listing {
    /// The directory, open for reading.
    fd: Option<OwnedFd>,
    /// The position behind the names that were read (`d_off` in `getdents64(2)`).
    position: u64,
}

impl Listing {
    /// Returns the next names of the directory, without `.` and `..`, or `None` behind the last
    /// one. Each call passes the same directory.
    pub fn next_piece(&mut self, dir: &Dir) -> Result<Option<Vec<(OsString, EntryKind)>>> {
        let failed = |errno| dir.error(Operation::ListDir, errno);
        let fd = if let Some(fd) = self.fd.take() {
            fd
        } else {
            let fd = dir.readable().map_err(failed)?;
            if self.position > 0 {
                fs::seek(&fd, SeekFrom::Start(self.position)).map_err(failed)?;
            }
            fd
        };
        let mut buffer = Vec::with_capacity(BUFFER_LEN);
        let mut entries = RawDir::new(&fd, buffer.spare_capacity_mut());
        let mut piece = Vec::new();
        let is_at_end = loop {
            let Some(entry) = entries.next() else { break true };
            let entry = entry.map_err(failed)?;
            self.position = entry.next_entry_cookie();
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name != "." && name != ".." {
                piece.push((name.to_os_string(), dir.entry_kind(name, entry.file_type())?));
            }
            if entries.is_buffer_empty() && !piece.is_empty() {
                break false;
            }
        };
        self.fd = Some(fd);
        Ok(if is_at_end && piece.is_empty() { None } else { Some(piece) })
    }

    /// Closes the directory, so that the listing does not keep its mount busy. The next piece opens
    /// it again, and goes on at the same position.
    pub fn close(&mut self) {
        self.fd = None;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs as std_fs;

    use super::*;

    /// Each name is in one piece, also if the directory is closed in between.
    #[test]
    fn a_directory_in_pieces() {
        const FILES: usize = 3000;
        let temp = tempfile::tempdir().unwrap();
        for number in 0..FILES {
            std_fs::write(temp.path().join(format!("{number:040}")), "").unwrap();
        }
        let dir = Dir::open(temp.path()).unwrap();
        for closes in [false, true] {
            let (mut listing, mut names, mut pieces) = (Listing::default(), Vec::new(), 0);
            while let Some(piece) = listing.next_piece(&dir).unwrap() {
                assert!(piece.len() < FILES / 2, "{}", piece.len());
                names.extend(piece);
                pieces += 1;
                if closes {
                    listing.close();
                }
            }
            assert!(pieces > 2, "{pieces}");
            assert_eq!(names.len(), FILES);
            assert_eq!(names.into_iter().collect::<BTreeSet<_>>().len(), FILES);
        }
    }

    #[test]
    fn an_empty_directory_has_no_piece() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        assert!(Listing::default().next_piece(&dir).unwrap().is_none());
    }
}
