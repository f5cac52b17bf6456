//! Shared blocks: a new file whose data are the source's own, until one of the two is changed.

use std::os::fd::{AsFd, AsRawFd};

use rustix::io::Errno;

use crate::fs::{DataFile, FsError, Result, TempFile};

/// The argument of `FICLONERANGE` (`ioctl_ficlonerange(2)`).
#[repr(C)]
struct CloneRange {
    source: i64,
    source_offset: u64,
    /// 0: to the end of the source.
    len: u64,
    target_offset: u64,
}

/// `_IOW(0x94, 13, struct file_clone_range)` of `linux/fs.h`.
const FICLONERANGE: libc::Ioctl = 0x4020_940d;

impl TempFile {
    /// Shares the source's blocks from `offset` to its end with this file, from `at` on, and cuts
    /// the file to `at + len` bytes. `false`: the file system can't do that, or not with these
    /// offsets; the output is as it was.
    ///
    /// Both offsets must be multiples of the file system's block size. What the source has not
    /// written to the disk yet is written first.
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
                    return Err(FsError::new("share the data of", source.path(), errno));
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
        // the structure, which is laid out as `linux/fs.h` declares it, and keeps no pointer to it.
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
