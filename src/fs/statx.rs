//! File metadata by `statx(2)`.

use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Statx, StatxAttributes, StatxFlags, StatxTimestamp, statx};
use rustix::io;

use crate::model::{Protection, Stat};

/// `STATX_MNT_ID_UNIQUE`; older kernels ignore it and return a mount id that can be reused.
const MNT_ID_UNIQUE: StatxFlags = StatxFlags::from_bits_retain(0x4000);

impl Stat {
    /// Returns the metadata of an open file or directory.
    pub(crate) fn of(fd: impl AsFd) -> io::Result<Self> {
        Self::at(fd, Path::new(""))
    }

    /// Returns the metadata of a name in a directory without following a link, or of the descriptor
    /// itself if the name is empty.
    pub(crate) fn at(fd: impl AsFd, name: &Path) -> io::Result<Self> {
        call(fd, name, AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW)
    }

    /// Returns the metadata of what a path leads to, also through a link.
    pub(crate) fn of_path(path: &Path) -> io::Result<Self> {
        call(CWD, path, AtFlags::empty())
    }
}

fn call(fd: impl AsFd, name: &Path, flags: AtFlags) -> io::Result<Stat> {
    let wanted = StatxFlags::BASIC_STATS | StatxFlags::BTIME | StatxFlags::MNT_ID;
    statx(fd, name, flags | AtFlags::NO_AUTOMOUNT, wanted | MNT_ID_UNIQUE)
        .map(|statx| Stat::from(&statx))
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
            protection: protection(statx.stx_attributes),
            mount: statx.stx_mnt_id,
        }
    }
}

fn protection(attributes: StatxAttributes) -> Option<Protection> {
    if attributes.contains(StatxAttributes::IMMUTABLE) {
        Some(Protection::Immutable)
    } else if attributes.contains(StatxAttributes::APPEND) {
        Some(Protection::AppendOnly)
    } else {
        None
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
