//! What the file system says about a file.

use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Statx, StatxFlags, StatxTimestamp, statx};
use rustix::io;

/// `STATX_MNT_ID_UNIQUE`; kernels that don't know it answer as without it.
const MNT_ID_UNIQUE: StatxFlags = StatxFlags::from_bits_retain(0x4000);

/// A file's attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Device.
    pub dev: u64,
    /// Inode.
    pub ino: u64,
    /// Size in bytes.
    pub size: u64,
    /// Blocks of 512 bytes that are allocated.
    pub blocks: u64,
    /// Last change of the content, in nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Last change of content or attributes, in nanoseconds since 1970.
    pub ctime_ns: i64,
    /// When it was made, in nanoseconds since 1970; 0 where the file system does not tell.
    pub born_ns: i64,
    /// How many names it has.
    pub nlink: u64,
    /// Owner.
    pub uid: u32,
    /// Type and rights.
    pub mode: u32,
    /// The mount it was reached through; its number is never used again from Linux 6.8 on.
    pub mount: u64,
}

impl Stat {
    pub(super) fn of(fd: impl AsFd) -> io::Result<Self> {
        Self::at(fd, Path::new(""))
    }

    /// Of a name in a directory, not following a link; of the descriptor itself where it is empty.
    pub(super) fn at(fd: impl AsFd, name: &Path) -> io::Result<Self> {
        let flags = AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        let wanted = StatxFlags::BASIC_STATS | StatxFlags::BTIME | StatxFlags::MNT_ID;
        statx(fd, name, flags, wanted | MNT_ID_UNIQUE).map(|statx| Self::from(&statx))
    }

    /// Whether it is a regular file.
    #[must_use]
    pub fn is_file(&self) -> bool {
        FileType::from_raw_mode(self.mode) == FileType::RegularFile
    }

    /// Whether it is a directory.
    #[must_use]
    pub fn is_dir(&self) -> bool {
        FileType::from_raw_mode(self.mode) == FileType::Directory
    }

    /// Whether it is the same file, and neither content nor attributes changed. The blocks don't
    /// count: writing back what is in memory moves them, long after the last change. It is sure
    /// where the last change was older than the clock's grain at the look `before`.
    #[must_use]
    pub fn is_unchanged_since(&self, before: &Stat) -> bool {
        let state = |stat: &Stat| (stat.size, stat.mtime_ns, stat.ctime_ns);
        self.is_same_file(before) && state(self) == state(before)
    }

    /// Whether both are of one file, changed or not.
    #[must_use]
    pub fn is_same_file(&self, other: &Stat) -> bool {
        (self.dev, self.ino) == (other.dev, other.ino)
    }
}

impl From<&Statx> for Stat {
    fn from(statx: &Statx) -> Self {
        Stat {
            dev: rustix::fs::makedev(statx.stx_dev_major, statx.stx_dev_minor),
            ino: statx.stx_ino,
            size: statx.stx_size,
            blocks: statx.stx_blocks,
            mtime_ns: nanoseconds(&statx.stx_mtime),
            ctime_ns: nanoseconds(&statx.stx_ctime),
            born_ns: nanoseconds(&statx.stx_btime),
            nlink: statx.stx_nlink.into(),
            uid: statx.stx_uid,
            mode: statx.stx_mode.into(),
            mount: statx.stx_mnt_id,
        }
    }
}

fn nanoseconds(time: &StatxTimestamp) -> i64 {
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writing_back_is_no_change() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("x");
        std::fs::write(&path, "x").unwrap();
        let before = Stat::of(std::fs::File::open(&path).unwrap()).unwrap();
        assert!(Stat { blocks: before.blocks + 8, ..before }.is_unchanged_since(&before));
        for changed in [
            Stat { ino: before.ino + 1, ..before },
            Stat { size: before.size + 1, ..before },
            Stat { mtime_ns: before.mtime_ns + 1, ..before },
            Stat { ctime_ns: before.ctime_ns + 1, ..before },
        ] {
            assert!(!changed.is_unchanged_since(&before), "{changed:?}");
        }
    }
}
