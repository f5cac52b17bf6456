//! File systems: what they are, and what they allow.

use std::os::fd::AsFd;

use rustix::fs;
use rustix::io::retry_on_intr;

use crate::fs::{Dir, Result};
use crate::model::FsInfo;

/// Kinds of file systems by `f_type` (`statfs(2)`, `linux/magic.h`), and whether each is a
/// network's.
const KINDS: [(u32, &str, bool); 27] = [
    (0xef53, "ext4", false),
    (0x5846_5342, "xfs", false),
    (0x9123_683e, "btrfs", false),
    (0x0102_1994, "tmpfs", false),
    (0x794c_7630, "overlay", false),
    (0x2fc1_2fc1, "zfs", false),
    (0xf2f5_2010, "f2fs", false),
    (0xca45_1a4e, "bcachefs", false),
    (0x4d44, "vfat", false),
    (0x2011_bab0, "exfat", false),
    (0x7366_746e, "ntfs3", false),
    (0x8584_58f6, "ramfs", false),
    (0x3153_464a, "jfs", false),
    (0x3434, "nilfs2", false),
    (0x482b, "hfsplus", false),
    (0x6969, "nfs", true),
    (0xff53_4d42, "cifs", true),
    (0xfe53_4d42, "smb2", true),
    (0x517b, "smb", true),
    (0x6573_5546, "fuse", true),
    (0x0102_1997, "9p", true),
    (0x00c3_6400, "ceph", true),
    (0x5346_414f, "afs", true),
    (0x0bd0_0bd0, "lustre", true),
    (0x4750_4653, "gpfs", true),
    (0x1983_0326, "beegfs", true),
    (0x7461_636f, "ocfs2", true),
];

/// What file system a directory is on.
pub fn fs_info(dir: &Dir) -> Result<FsInfo> {
    info_of(dir.as_fd()).map_err(|errno| dir.error("ask for the file system of", errno))
}

/// What file system an open file is on; if it does not say, it is none that is known.
pub(crate) fn info_of(file: impl AsFd) -> rustix::io::Result<FsInfo> {
    let told = retry_on_intr(|| fs::fstatfs(&file))?;
    let magic = u32::try_from(told.f_type).unwrap_or(0);
    let known = KINDS.iter().find(|(known, ..)| *known == magic);
    let free = told.f_bavail.saturating_mul(told.f_bsize.try_into().unwrap_or(0));
    Ok(match known {
        Some((_, kind, network)) => FsInfo { kind: (*kind).to_owned(), network: *network, free },
        None => FsInfo { kind: format!("{magic:#x}"), network: true, free },
    })
}
