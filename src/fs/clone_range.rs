//! Reflinks: a new file that shares the source's blocks copy-on-write (`FICLONERANGE`,
//! `ioctl_ficlonerange(2)`).

use std::os::fd::{AsFd, AsRawFd};

use rustix::io::Errno;

use crate::fs::{DataFile, FsError, Operation, Result, TempFile};

/// The argument of `FICLONERANGE` (`struct file_clone_range`).
#[repr(C)]
struct CloneRange {
    source: i64,
    source_offset: u64,
    /// 0 means: to the end of the source.
    len: u64,
    target_offset: u64,
}

/// `_IOW(0x94, 13, struct file_clone_range)` of `linux/fs.h`.
const FICLONERANGE: libc::Ioctl = 0x4020_940d;

impl TempFile {
    /// Shares the source's blocks from `offset` to its end with this file at `at`, and truncates
    /// this file to `at + len` bytes. Returns `false`, and changes nothing, if the file system does
    /// not support that at all or not with these offsets, which must be multiples of its block
    /// size.
    ///
    /// # Durability
    ///
    /// The kernel first writes the source's dirty pages back. The new file is not durable before
    /// [`TempFile::sync`].
    pub fn share(&self, source: &DataFile, offset: u64, at: u64, len: u64) -> Result<bool> {
        if len > 0 {
            match clone_range(self.file(), source, offset, at) {
                Ok(()) => {}
                Err(
                    Errno::OPNOTSUPP
                    | Errno::XDEV
                    | Errno::INVAL
                    | Errno::NOTTY
                    | Errno::PERM
                    | Errno::TXTBSY,
                ) => return Ok(false),
                Err(errno) => {
                    return Err(FsError::new(Operation::ShareData, source.path(), errno));
                }
            }
        }
        // The source may have bytes behind the data.
        self.file().set_len(at + len)?;
        Ok(true)
    }
}

fn clone_range(
    target: &DataFile,
    source: &DataFile,
    offset: u64,
    at: u64,
) -> rustix::io::Result<()> {
    let range = CloneRange {
        source: source.as_fd().as_raw_fd().into(),
        source_offset: offset,
        len: 0,
        target_offset: at,
    };
    loop {
        // SAFETY: both descriptors are open for as long as they are borrowed; the kernel only reads
        // the structure, which has the layout that `linux/fs.h` declares, and keeps no pointer to
        // it.
        let answer =
            unsafe { libc::ioctl(target.as_fd().as_raw_fd(), FICLONERANGE, &raw const range) };
        if answer == 0 {
            return Ok(());
        }
        match Errno::from_io_error(&std::io::Error::last_os_error()) {
            Some(Errno::INTR) => {}
            errno => return Err(errno.unwrap_or(Errno::IO)),
        }
    }
}
