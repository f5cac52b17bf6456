//! Data files: opened once, and identified by their descriptor from then on.

use std::ffi::c_int;
use std::num::NonZeroU64;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{self, Access, AtFlags, Mode, OFlags, SeekFrom, XattrFlags};
use rustix::io::{self, Errno, retry_on_intr};

use crate::fs::fs_kind::FsFacts;
use crate::fs::lease::{self, Lease};
use crate::fs::{Dir, FsError, Operation, Result, has_proc, own_uid};
use crate::model::{FsInfo, Stat, Unprovable, Writer};

/// Maximum size of an extended attribute that npyd reads, in bytes.
const ATTR_MAX: usize = 4096;

/// Bytes that are written back between two checks of the stop flag.
const FLUSH_PIECE: u64 = 64 << 20;

/// The set-user-ID, set-group-ID and sticky bits.
const SPECIAL_BITS: u32 = 0o7000;

/// An open data file. All reads and writes take an offset; the file position is never used. A
/// clone shares the descriptor.
#[derive(Debug, Clone)]
pub struct DataFile {
    pub(crate) fd: Arc<OwnedFd>,
    path: PathBuf,
    fs: Arc<FsFacts>,
}

impl DataFile {
    /// Opens a file that the user named, for reading. Follows links.
    pub fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        retry_on_intr(|| fs::open(path, flags, Mode::empty()))
            .map(|fd| Self::from_fd(fd, path.to_path_buf()))
            .map_err(|errno| FsError::new(Operation::Open, path, errno))
    }

    pub(crate) fn from_fd(fd: OwnedFd, path: PathBuf) -> Self {
        DataFile { fd: fd.into(), path, fs: Arc::default() }
    }

    /// Makes the value of a file that was opened below `dir`, on the mount of it.
    pub(crate) fn in_dir(dir: &Dir, fd: OwnedFd, rel: &Path) -> Self {
        DataFile { fd: fd.into(), path: dir.path().join(rel), fs: Arc::clone(&dir.fs) }
    }

    /// Returns the path it was opened by, for messages.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn error(&self, operation: Operation, errno: Errno) -> FsError {
        FsError::new(operation, &self.path, errno)
    }

    /// Returns the error for a file that changed while it was being read.
    #[must_use]
    pub fn changed(&self) -> FsError {
        self.error(Operation::ReadStable, Errno::BUSY)
    }

    /// Returns the current metadata (`statx(2)`).
    pub fn stat(&self) -> Result<Stat> {
        Stat::of(&self.fd).map_err(|errno| self.error(Operation::StatFile, errno))
    }

    /// Reads exactly `buffer.len()` bytes at `offset`.
    ///
    /// # Errors
    ///
    /// If the file ends early, the error has the kind `UnexpectedEof` and names the offset of the
    /// end.
    pub fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        let read = self.read_at(buffer, offset)?;
        if read == buffer.len() {
            return Ok(());
        }
        let text = format!("it ends at byte {}", offset + read as u64);
        let cause = std::io::Error::new(std::io::ErrorKind::UnexpectedEof, text);
        Err(FsError::new(Operation::Read, &self.path, cause))
    }

    /// Returns whether `len` bytes at `offset` equal those of another file at its offset `at`.
    pub fn is_equal_at(&self, offset: u64, other: &DataFile, at: u64, len: u64) -> Result<bool> {
        let equal = self.compare_at(offset, (other, at), len, &mut |_| true)?;
        Ok(equal == Some(true))
    }

    /// Returns whether `len` bytes at `offset` equal those of another file at its offset. Passes
    /// the number of bytes compared to `goes_on`, and returns `None` once `goes_on` returns
    /// `false`.
    pub fn compare_at(
        &self,
        offset: u64,
        (other, at): (&DataFile, u64),
        len: u64,
        goes_on: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Option<bool>> {
        const PIECE: u64 = 1 << 20;
        let buffer = || vec![0; len.min(PIECE) as usize];
        let (mut own, mut others) = (buffer(), buffer());
        let mut done = 0;
        while done < len {
            let piece = (len - done).min(PIECE) as usize;
            let (own, others) = (&mut own[..piece], &mut others[..piece]);
            let read = self.read_at(own, offset + done)?;
            if read != piece || other.read_at(others, at + done)? != piece || own != others {
                return Ok(Some(false));
            }
            done += piece as u64;
            if !goes_on(done) {
                return Ok(None);
            }
        }
        Ok(Some(true))
    }

    /// Reads at most the first `len` bytes of the file, which had the metadata `stat` a moment ago:
    /// fewer if it ended before.
    pub fn read_head(&self, stat: &Stat, len: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; len.min(usize::try_from(stat.size).unwrap_or(usize::MAX))];
        let read = self.read_at(&mut bytes, 0)?;
        bytes.truncate(read);
        Ok(bytes)
    }

    /// Reads at most `len` bytes at `offset`; fewer if the file ends before.
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
                Err(errno) => return Err(self.error(Operation::Read, errno)),
            }
        }
        Ok(done)
    }

    /// Reopens the file for reading and writing.
    pub fn writable(&self) -> Result<DataFile> {
        self.reopen(OFlags::RDWR).map_err(|errno| self.error(Operation::OpenForWriting, errno))
    }

    /// Returns whether this user may write to the file. Checks without opening it (`faccessat(2)`),
    /// because an open is visible to other processes and breaks leases.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        is_writable(&self.fd)
    }

    /// Returns whether this user owns the file, or may act as its owner (`CAP_FOWNER`). Asks the
    /// kernel, by an open that only an owner may do: in a user namespace, capability bits mislead.
    pub(crate) fn is_own(&self) -> bool {
        self.stat().is_ok_and(|stat| stat.uid == own_uid())
            || self.reopen(OFlags::RDONLY | OFlags::NOATIME).is_ok()
    }

    /// Reopens the file for reading only.
    pub(crate) fn readable(&self) -> Result<DataFile> {
        self.reopen(OFlags::RDONLY).map_err(|errno| self.error(Operation::Open, errno))
    }

    /// Clears the set-user-ID, set-group-ID and sticky bits: an array must not inherit them from
    /// its raw file.
    pub fn clear_special_bits(&self) -> Result<()> {
        let mode = self.stat()?.mode;
        if mode & SPECIAL_BITS != 0 {
            fs::fchmod(&self.fd, Mode::from_raw_mode(mode & 0o777))
                .map_err(|errno| self.error(Operation::ClearSpecialBits, errno))?;
        }
        Ok(())
    }

    fn reopen(&self, mode: OFlags) -> io::Result<DataFile> {
        let link = format!("/proc/self/fd/{}", self.fd.as_raw_fd());
        let flags = mode | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        let fd = retry_on_intr(|| fs::open(&link, flags, Mode::empty()))?;
        Ok(DataFile { fd: fd.into(), path: self.path.clone(), fs: Arc::clone(&self.fs) })
    }

    /// Writes all bytes at `offset`.
    pub fn write_all_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        let mut done = 0;
        while done < bytes.len() {
            match io::pwrite(&self.fd, &bytes[done..], offset + done as u64) {
                Ok(0) => return Err(self.error(Operation::Write, Errno::IO)),
                Ok(written) => done += written,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(self.error(Operation::Write, errno)),
            }
        }
        Ok(())
    }

    /// Truncates the file, or extends it by a hole.
    pub(crate) fn set_len(&self, len: u64) -> Result<()> {
        retry_on_intr(|| fs::ftruncate(&self.fd, len))
            .map_err(|errno| self.error(Operation::SetLength, errno))
    }

    /// Syncs the content (`fdatasync(2)`).
    ///
    /// # Durability
    ///
    /// On success the content and the size are durable. An error is final for this file (rule F1).
    pub fn sync_data(&self) -> Result<()> {
        #[cfg(feature = "sabotage")]
        if crate::fs::skips("data-sync") {
            return Ok(());
        }
        retry_on_intr(|| fs::fdatasync(&self.fd))
            .map_err(|errno| self.error(Operation::Sync, errno))
    }

    /// Syncs content and metadata (`fsync(2)`).
    ///
    /// # Durability
    ///
    /// On success the content and all metadata are durable, but not the file's name (rule F2). An
    /// error is final for this file (rule F1).
    pub fn sync_all(&self) -> Result<()> {
        #[cfg(feature = "sabotage")]
        if crate::fs::skips("data-sync") {
            return Ok(());
        }
        retry_on_intr(|| fs::fsync(&self.fd)).map_err(|errno| self.error(Operation::Sync, errno))
    }

    /// Writes dirty pages back in pieces, so that npyd can stop in between and the sync that must
    /// follow is short. Returns `false` if `stop` returned `true`.
    ///
    /// # Durability
    ///
    /// Nothing is durable before a sync succeeds. An error is final for this file (rule F1).
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

    /// Returns the offset of the first data at or behind `from` (`SEEK_DATA`), or `None` if only a
    /// hole follows, which may be exabytes long. A file system that does not report holes reports
    /// all as data.
    pub(crate) fn next_data(&self, from: u64) -> Result<Option<u64>> {
        match fs::seek(&self.fd, SeekFrom::Data(from)) {
            Ok(data) => Ok(Some(data)),
            Err(Errno::NXIO) => Ok(None),
            Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok((from < self.stat()?.size).then_some(from)),
            Err(errno) => Err(self.error(Operation::FindData, errno)),
        }
    }

    /// Starts writeback of a range (`sync_file_range(2)`), and waits for it if `wait` is set. This
    /// makes nothing durable; an error is final for this file (F1).
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
            // Only an optimization: the sync that follows covers the whole file.
            Ok(()) | Err(Errno::NOSYS | Errno::INVAL | Errno::SPIPE | Errno::OPNOTSUPP) => Ok(()),
            Err(errno) => Err(self.error(Operation::Sync, errno)),
        }
    }

    /// Returns a pending writeback error (errseq) that has not been reported yet, and clears it.
    /// After such an error the kernel may have dropped the dirty pages and read the old content
    /// again. Does not wait for writeback in flight.
    ///
    /// # Durability
    ///
    /// Success proves nothing about pages that are not written back yet. An error is final for this
    /// file (rule F1).
    pub fn check_writeback_error(&self) -> Result<()> {
        match sync_file_range(self.fd.as_fd(), 0, 1, libc::SYNC_FILE_RANGE_WAIT_BEFORE) {
            Err(errno @ (Errno::IO | Errno::NOSPC | Errno::DQUOT)) => {
                Err(self.error(Operation::WriteBack, errno))
            }
            _ => Ok(()),
        }
    }

    /// Drops the clean pages of a range from the page cache (`POSIX_FADV_DONTNEED`).
    pub(crate) fn drop_cache(&self, offset: u64, len: u64) {
        // Only advice: a page that stays in the cache does no harm.
        let _ = fs::fadvise(&self.fd, offset, NonZeroU64::new(len), fs::Advice::DontNeed);
    }

    /// Returns whether any process has the file open for writing or mapped writable. The descriptor
    /// must be open for reading only (`fcntl(2)`, `F_SETLEASE`).
    pub fn writer(&self) -> Result<Writer> {
        let fs = self.file_system()?;
        Ok(match lease::probe(&self.fd) {
            // On such file systems a refused lease does not imply a writer, and a granted one does
            // not exclude writers on other hosts.
            Writer::Present if fs.leases_need_a_server() => Writer::Unknown(Unprovable::Network),
            Writer::None if fs.network => Writer::Unknown(Unprovable::Network),
            writer => writer,
        })
    }

    /// Returns what npyd has learned of its file system.
    pub(crate) fn fs_facts(&self) -> &FsFacts {
        &self.fs
    }

    /// Returns its file system.
    pub(crate) fn file_system(&self) -> Result<&FsInfo> {
        self.fs.info(self).map_err(|errno| self.error(Operation::GetFileSystem, errno))
    }

    /// Takes a read lease, which proves that no process writes to the file while the lease is
    /// unbroken. Returns `None` if there is a writer, or if a lease proves nothing on this file
    /// system.
    pub fn lease(&self) -> Result<Option<Lease<'_, DataFile>>> {
        Ok(if self.file_system()?.network { None } else { Lease::take(self) })
    }

    /// Returns the offset of the first hole at or behind `from` (`SEEK_HOLE`), or the size if there
    /// is no hole or the file system does not report holes.
    pub fn first_hole(&self, from: u64) -> Result<u64> {
        match fs::seek(&self.fd, SeekFrom::Hole(from)) {
            Ok(hole) => Ok(hole),
            Err(Errno::NXIO) => Ok(from.min(self.stat()?.size)),
            Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(self.stat()?.size),
            Err(errno) => Err(self.error(Operation::FindHoles, errno)),
        }
    }

    /// Sets an extended attribute of the `user.` namespace. Returns `false` if the file system has
    /// none, or npyd may not set it on this file.
    pub fn set_attr(&self, name: &str, value: &[u8]) -> Result<bool> {
        match fs::fsetxattr(&self.fd, name, value, XattrFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::OPNOTSUPP | Errno::NOSPC | Errno::PERM | Errno::ACCESS) => Ok(false),
            Err(errno) => Err(self.error(Operation::Mark, errno)),
        }
    }

    /// Removes an extended attribute, if the file has it and npyd may.
    pub(crate) fn remove_attr(&self, name: &str) {
        let _ = fs::fremovexattr(&self.fd, name);
    }

    /// Returns the value of an extended attribute, or `None` if the file does not have it.
    pub fn attr(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let mut value = vec![0; ATTR_MAX];
        match fs::fgetxattr(&self.fd, name, &mut value[..]) {
            Ok(len) => {
                value.truncate(len);
                Ok(Some(value))
            }
            Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::RANGE | Errno::ACCESS) => Ok(None),
            Err(errno) => Err(self.error(Operation::ReadMark, errno)),
        }
    }

    /// Returns whether it lacks an extended attribute that its file system could store.
    pub fn lacks_attr(&self, name: &str) -> Result<bool> {
        match fs::fgetxattr(&self.fd, name, &mut [0; 0]) {
            Err(Errno::NODATA) => Ok(true),
            Ok(_) | Err(Errno::OPNOTSUPP | Errno::RANGE | Errno::ACCESS) => Ok(false),
            Err(errno) => Err(self.error(Operation::ReadMark, errno)),
        }
    }
}

/// Returns whether this user may write to the open file or directory.
pub(crate) fn is_writable(fd: impl AsFd) -> bool {
    !matches!(write_access(fd), Err(Errno::ACCESS | Errno::ROFS))
}

/// Asks whether this user may write to the open file or directory. `EACCES`: its permissions do not
/// allow it; `EROFS`: its file system or mount is read-only.
pub(crate) fn write_access(fd: impl AsFd) -> io::Result<()> {
    let link = format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd());
    if has_proc() {
        fs::accessat(fs::CWD, link, Access::WRITE_OK, AtFlags::EACCESS)
    } else {
        // Linux 5.8 and later.
        fs::accessat(fd, "", Access::WRITE_OK, AtFlags::EACCESS | AtFlags::EMPTY_PATH)
    }
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
        assert_eq!(file.writer().unwrap(), Writer::None);
        let writer = std_fs::File::options().read(true).write(true).open(&path).unwrap();
        assert_eq!(file.writer().unwrap(), Writer::Present);
        // SAFETY: only this test uses the file, and it does not truncate it.
        let mapping = unsafe { MmapMut::map_mut(&writer) }.unwrap();
        drop(writer);
        assert_eq!(file.writer().unwrap(), Writer::Present, "through a mapping alone");
        drop(mapping);
        assert_eq!(file.writer().unwrap(), Writer::None);
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
