//! Data files: opened once, and known by their descriptor from then on.

use std::ffi::c_int;
use std::num::NonZeroU64;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{self, Access, AtFlags, FlockOperation, Mode, OFlags, SeekFrom, XattrFlags};
use rustix::io::{self, Errno, retry_on_intr};

use crate::fs::error::{SYNC, WRITE_BACK};
use crate::fs::fs_kind::info_of;
use crate::fs::lease::{self, Lease, Unprovable, Writer};
use crate::fs::{FsError, Result};
use crate::model::Stat;

/// The longest attribute that is read, in bytes.
const ATTR_MAX: usize = 4096;

/// How much is flushed between two looks at whether to stop, in bytes.
const FLUSH_PIECE: u64 = 64 << 20;

/// Set user id, set group id, sticky.
const SPECIAL_BITS: u32 = 0o7000;

/// An open data file. Its position is never used.
#[derive(Debug)]
pub struct DataFile {
    fd: OwnedFd,
    path: PathBuf,
}

/// The lock on a file that is being worked on. It belongs to the open file: it ends when this and
/// the [`DataFile`] are both dropped, or with the process; the same open file may be claimed again.
#[derive(Debug)]
pub struct Claim {
    _fd: OwnedFd,
}

impl DataFile {
    /// Opens a file that a person named, for reading. Links are followed.
    pub fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        retry_on_intr(|| fs::open(path, flags, Mode::empty()))
            .map(|fd| Self::from_fd(fd, path.to_path_buf()))
            .map_err(|errno| FsError::new("open", path, errno))
    }

    pub(crate) fn from_fd(fd: OwnedFd, path: PathBuf) -> Self {
        DataFile { fd, path }
    }

    /// Where it was opened, for messages.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn error(&self, operation: &'static str, errno: Errno) -> FsError {
        FsError::new(operation, &self.path, errno)
    }

    /// The error of having changed while it was read.
    #[must_use]
    pub fn changed(&self) -> FsError {
        self.error("read the unchanging", Errno::BUSY)
    }

    /// What it is now.
    pub fn stat(&self) -> Result<Stat> {
        Stat::of(&self.fd).map_err(|errno| self.error("stat", errno))
    }

    /// Fills `buffer` with the bytes from `offset` on. An early end of the file is an error of the
    /// kind `UnexpectedEof` that says where it was.
    pub fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        let read = self.read_at(buffer, offset)?;
        if read == buffer.len() {
            return Ok(());
        }
        let text = format!("it ends at byte {}", offset + read as u64);
        let cause = std::io::Error::new(std::io::ErrorKind::UnexpectedEof, text);
        Err(FsError::new("read", &self.path, cause))
    }

    /// Whether `len` bytes are the same here from `offset` on as in another file from its `at` on.
    pub fn is_equal_at(&self, offset: u64, other: &DataFile, at: u64, len: u64) -> Result<bool> {
        const PIECE: u64 = 1 << 20;
        let buffer = || vec![0; len.min(PIECE) as usize];
        let (mut own, mut others) = (buffer(), buffer());
        let mut done = 0;
        while done < len {
            let piece = (len - done).min(PIECE) as usize;
            let (own, others) = (&mut own[..piece], &mut others[..piece]);
            let read = self.read_at(own, offset + done)?;
            if read != piece || other.read_at(others, at + done)? != piece || own != others {
                return Ok(false);
            }
            done += piece as u64;
        }
        Ok(true)
    }

    /// At most `len` bytes from `offset` on; fewer where the file ends.
    pub fn read_at_most(&self, offset: u64, len: usize) -> Result<Vec<u8>> {
        let left = self.stat()?.size.saturating_sub(offset);
        let mut bytes = vec![0; len.min(usize::try_from(left).unwrap_or(usize::MAX))];
        let read = self.read_at(&mut bytes, offset)?;
        bytes.truncate(read);
        Ok(bytes)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match io::pread(&self.fd, &mut buffer[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(self.error("read", errno)),
            }
        }
        Ok(done)
    }

    /// The same file, open for writing as well.
    pub fn writable(&self) -> Result<DataFile> {
        self.reopen(OFlags::RDWR).map_err(|errno| self.error("open for writing", errno))
    }

    /// Whether this user may write to it at all; asked without opening it, which others would see.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        is_writable(&self.fd)
    }

    /// The same file, open for reading only.
    pub(crate) fn readable(&self) -> Result<DataFile> {
        self.reopen(OFlags::RDONLY).map_err(|errno| self.error("open", errno))
    }

    /// Clears the bits that would let the file run with its owner's or group's rights, and the
    /// like: they were the raw file's, and must not become the array's.
    pub fn clear_special_bits(&self) -> Result<()> {
        let mode = self.stat()?.mode;
        if mode & SPECIAL_BITS != 0 {
            fs::fchmod(&self.fd, Mode::from_raw_mode(mode & 0o777))
                .map_err(|errno| self.error("clear the special bits of", errno))?;
        }
        Ok(())
    }

    fn reopen(&self, mode: OFlags) -> io::Result<DataFile> {
        let link = format!("/proc/self/fd/{}", self.fd.as_raw_fd());
        let flags = mode | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        let fd = retry_on_intr(|| fs::open(&link, flags, Mode::empty()))?;
        Ok(DataFile { fd, path: self.path.clone() })
    }

    /// Writes bytes over those at `offset`.
    pub fn write_all_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        let mut done = 0;
        while done < bytes.len() {
            match io::pwrite(&self.fd, &bytes[done..], offset + done as u64) {
                Ok(0) => return Err(self.error("write", Errno::IO)),
                Ok(written) => done += written,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(self.error("write", errno)),
            }
        }
        Ok(())
    }

    /// Cuts the file, or lengthens it by a hole.
    pub(crate) fn set_len(&self, len: u64) -> Result<()> {
        retry_on_intr(|| fs::ftruncate(&self.fd, len))
            .map_err(|errno| self.error("set the length of", errno))
    }

    /// Makes the content durable. An error is final for this file: another call may say that all is
    /// well when it is not.
    pub fn sync_data(&self) -> Result<()> {
        #[cfg(feature = "sabotage")]
        if crate::fs::skips("data-sync") {
            return Ok(());
        }
        retry_on_intr(|| fs::fdatasync(&self.fd)).map_err(|errno| self.error(SYNC, errno))
    }

    /// Makes content and attributes durable; an error is final, as for [`DataFile::sync_data`].
    pub fn sync_all(&self) -> Result<()> {
        #[cfg(feature = "sabotage")]
        if crate::fs::skips("data-sync") {
            return Ok(());
        }
        retry_on_intr(|| fs::fsync(&self.fd)).map_err(|errno| self.error(SYNC, errno))
    }

    /// Writes what is dirty to the disk, piece by piece, so that the sync that must follow is short
    /// and npyd can stop before. `false`: `stop` said so.
    pub fn flush_interruptibly(&self, stop: &dyn Fn() -> bool) -> Result<bool> {
        let mut at = 0;
        while let Some(data) = self.next_data(at)? {
            if stop() {
                return Ok(false);
            }
            self.flush(data, FLUSH_PIECE, true)?;
            at = data.saturating_add(FLUSH_PIECE);
        }
        Ok(true)
    }

    /// Where data begin at or behind `from`; `None` where nothing but a hole follows, which may be
    /// of exabytes. Where holes can't be told, all are data.
    pub(crate) fn next_data(&self, from: u64) -> Result<Option<u64>> {
        match fs::seek(&self.fd, SeekFrom::Data(from)) {
            Ok(data) => Ok(Some(data)),
            Err(Errno::NXIO) => Ok(None),
            Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok((from < self.stat()?.size).then_some(from)),
            Err(errno) => Err(self.error("find the data of", errno)),
        }
    }

    /// Has the kernel begin to write a range to the disk, and waits for it if told to. It makes
    /// nothing durable by itself; an error is final.
    pub(crate) fn flush(&self, offset: u64, len: u64, wait: bool) -> Result<()> {
        #[cfg(feature = "sabotage")]
        if crate::fs::skips("writeback") {
            return Ok(());
        }
        let mut flags = libc::SYNC_FILE_RANGE_WRITE;
        if wait {
            flags |= libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WAIT_AFTER;
        }
        let (Ok(offset), Ok(len)) = (i64::try_from(offset), i64::try_from(len)) else {
            return Ok(());
        };
        match sync_file_range(self.fd.as_fd(), offset, len, flags) {
            // Only a help: what can't do it is synced as a whole later.
            Ok(()) | Err(Errno::NOSYS | Errno::INVAL | Errno::SPIPE | Errno::OPNOTSUPP) => Ok(()),
            Err(errno) => Err(self.error(SYNC, errno)),
        }
    }

    /// An error if what was written to this file could not be brought to the disk, and nobody was
    /// told of it yet: the kernel may have let go of it, and read what was there before. What is
    /// still on its way is not waited for.
    pub fn check_writeback_error(&self) -> Result<()> {
        match sync_file_range(self.fd.as_fd(), 0, 1, libc::SYNC_FILE_RANGE_WAIT_BEFORE) {
            Err(errno @ (Errno::IO | Errno::NOSPC | Errno::DQUOT)) => {
                Err(self.error(WRITE_BACK, errno))
            }
            _ => Ok(()),
        }
    }

    /// Lets a range go from the page cache, as far as it is on the disk.
    pub(crate) fn release(&self, offset: u64, len: u64) {
        // Only advice: what stays in the cache does no harm.
        let _ = fs::fadvise(&self.fd, offset, NonZeroU64::new(len), fs::Advice::DontNeed);
    }

    /// Who has the file open for writing, or mapped so. It must be open for reading only.
    #[must_use]
    pub fn writer(&self) -> Writer {
        let writer = lease::probe(&self.fd);
        let Ok(fs) = info_of(&self.fd) else { return Writer::Unknown(Unprovable::NoLeases) };
        match writer {
            // Refused there, it says nothing about writers; and granted, nothing about those on
            // other hosts.
            Writer::Present if fs.leases_need_a_server() => Writer::Unknown(Unprovable::Network),
            Writer::None if fs.network => Writer::Unknown(Unprovable::Network),
            writer => writer,
        }
    }

    /// A lease: the proof that nobody writes to the file, for as long as it is held unbroken.
    /// `None` where somebody writes to it, or where no lease proves that nobody does.
    pub fn lease(&self) -> Result<Option<Lease<'_, DataFile>>> {
        let fs =
            info_of(&self.fd).map_err(|errno| self.error("ask for the file system of", errno))?;
        Ok(if fs.network { None } else { Lease::take(self) })
    }

    /// Locks the file for this process; `None` where another holds it. The lock is `flock(2)`'s,
    /// which a producer may hold, too.
    pub fn claim(&self) -> Result<Option<Claim>> {
        match Self::lock(&self.fd) {
            // NFS makes it a lock on a range, which needs the right to write.
            Err(Errno::BADF) => {
                let writable = self.writable()?;
                Self::lock(&writable.fd).map_err(|errno| self.error("lock", errno))
            }
            locked => locked.map_err(|errno| self.error("lock", errno)),
        }
    }

    fn lock(fd: &OwnedFd) -> io::Result<Option<Claim>> {
        match fs::flock(fd, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Claim { _fd: io::fcntl_dupfd_cloexec(fd, 0)? })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Where the first hole at or behind `from` begins: so far was written. The size where there is
    /// no hole, or none can be told.
    pub fn first_hole(&self, from: u64) -> Result<u64> {
        match fs::seek(&self.fd, SeekFrom::Hole(from)) {
            Ok(hole) => Ok(hole),
            Err(Errno::NXIO) => Ok(from.min(self.stat()?.size)),
            Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(self.stat()?.size),
            Err(errno) => Err(self.error("find the holes of", errno)),
        }
    }

    /// Sets an attribute of the user's namespace; `false` where the file system has none, or the
    /// file is not ours to mark.
    pub fn set_attr(&self, name: &str, value: &[u8]) -> Result<bool> {
        match fs::fsetxattr(&self.fd, name, value, XattrFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::OPNOTSUPP | Errno::NOSPC | Errno::PERM | Errno::ACCESS) => Ok(false),
            Err(errno) => Err(self.error("mark", errno)),
        }
    }

    /// An attribute, if it has it.
    pub fn attr(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let mut value = vec![0; ATTR_MAX];
        match fs::fgetxattr(&self.fd, name, &mut value[..]) {
            Ok(len) => {
                value.truncate(len);
                Ok(Some(value))
            }
            Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::RANGE | Errno::ACCESS) => Ok(None),
            Err(errno) => Err(self.error("read the mark of", errno)),
        }
    }
}

/// Whether this user may write to what is open.
pub(crate) fn is_writable(fd: impl AsFd) -> bool {
    let fd = format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd());
    let asked = fs::accessat(fs::CWD, fd, Access::WRITE_OK, AtFlags::EACCESS);
    !matches!(asked, Err(Errno::ACCESS | Errno::ROFS))
}

fn sync_file_range(fd: BorrowedFd<'_>, offset: i64, len: i64, flags: u32) -> io::Result<()> {
    // SAFETY: the descriptor is open for as long as it is borrowed; only integers are passed.
    let answer: c_int = unsafe { libc::sync_file_range(fd.as_raw_fd(), offset, len, flags) };
    if answer == 0 {
        Ok(())
    } else {
        Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO))
    }
}

impl AsFd for DataFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::fs as std_fs;
    use std::os::unix::fs::{FileExt, PermissionsExt};

    use memmap2::MmapMut;

    use super::*;

    fn file(content: &[u8]) -> (tempfile::TempDir, PathBuf, DataFile) {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("data");
        std_fs::write(&path, content).unwrap();
        let file = DataFile::open(&path).unwrap();
        (temp, path, file)
    }

    #[test]
    fn a_writer_is_seen_and_so_is_a_mapping() {
        let (_temp, path, file) = file(&[0; 8192]);
        assert_eq!(file.writer(), Writer::None);
        let writer = std_fs::File::options().read(true).write(true).open(&path).unwrap();
        assert_eq!(file.writer(), Writer::Present);
        // SAFETY: only this test knows the file, and does not truncate it.
        let mapping = unsafe { MmapMut::map_mut(&writer) }.unwrap();
        drop(writer);
        assert_eq!(file.writer(), Writer::Present, "through a mapping alone");
        drop(mapping);
        assert_eq!(file.writer(), Writer::None);
    }

    #[test]
    fn one_claim_at_a_time() {
        let (_temp, path, file) = file(b"data");
        let other = DataFile::open(&path).unwrap();
        let claim = file.claim().unwrap().unwrap();
        assert!(other.claim().unwrap().is_none());
        drop((claim, file));
        assert!(other.claim().unwrap().is_some());
    }

    #[test]
    fn an_early_end_says_where_it_is() {
        let (_temp, _, file) = file(b"0123456789");
        assert_eq!(file.read_at_most(8, 100).unwrap(), b"89");
        let error = file.read_exact_at(&mut [0; 4], 8).unwrap_err();
        assert_eq!(error.io().kind(), std::io::ErrorKind::UnexpectedEof);
        assert!(error.to_string().contains("ends at byte 10"), "{error}");
    }

    #[test]
    fn holes_tell_what_was_written() {
        let (_temp, path, file) = file(b"");
        let writer = std_fs::File::options().write(true).open(&path).unwrap();
        writer.set_len(1 << 20).unwrap();
        assert_eq!(file.first_hole(0).unwrap(), 0);
        writer.write_all_at(&vec![1; 65536], 0).unwrap();
        writer.write_all_at(&[1; 4096], 1 << 19).unwrap();
        assert_eq!(file.first_hole(0).unwrap(), 65536);
        assert_eq!(file.first_hole(2 << 20).unwrap(), 1 << 20);
    }

    #[test]
    fn special_bits_are_dropped() {
        let (_temp, path, file) = file(b"data");
        std_fs::set_permissions(&path, std_fs::Permissions::from_mode(0o4755)).unwrap();
        file.writable().unwrap().clear_special_bits().unwrap();
        assert_eq!(std_fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o755);
    }
}
