//! Kinds of file systems, identified by `statfs(2)`.

use std::os::fd::AsFd;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;

use rustix::fs;
use rustix::io::retry_on_intr;

use crate::fs::{Dir, Operation, Result};
use crate::model::{FsInfo, FsKind, Stat};

const OVERLAY: FsKind = FsKind::Named("overlay");

/// Known file systems: `f_type` (`statfs(2)`, `linux/magic.h`), kind, and whether other hosts can
/// write to it.
const KINDS: [(u32, FsKind, bool); 27] = [
    (0xef53, FsKind::Ext4, false),
    (0x5846_5342, FsKind::Xfs, false),
    (0x9123_683e, FsKind::Btrfs, false),
    (0x0102_1994, FsKind::Tmpfs, false),
    (0x794c_7630, OVERLAY, false),
    (0x2fc1_2fc1, FsKind::Named("zfs"), false),
    (0xf2f5_2010, FsKind::F2fs, false),
    (0xca45_1a4e, FsKind::Named("bcachefs"), false),
    (0x4d44, FsKind::Vfat, false),
    (0x2011_bab0, FsKind::Exfat, false),
    (0x7366_746e, FsKind::Ntfs3, false),
    (0x8584_58f6, FsKind::Named("ramfs"), false),
    (0x3153_464a, FsKind::Named("jfs"), false),
    (0x3434, FsKind::Named("nilfs2"), false),
    (0x482b, FsKind::Named("hfsplus"), false),
    (0x6969, FsKind::Nfs, true),
    (0xff53_4d42, FsKind::Cifs, true),
    (0xfe53_4d42, FsKind::Smb2, true),
    (0x517b, FsKind::Smb, true),
    (0x6573_5546, FsKind::Fuse, true),
    (0x0102_1997, FsKind::Named("9p"), true),
    (0x00c3_6400, FsKind::Named("ceph"), true),
    (0x5346_414f, FsKind::Named("afs"), true),
    (0x0bd0_0bd0, FsKind::Named("lustre"), true),
    (0x4750_4653, FsKind::Named("gpfs"), true),
    (0x1983_0326, FsKind::Named("beegfs"), true),
    (0x7461_636f, FsKind::Named("ocfs2"), true),
];

/// What npyd has learned of a file system. A directory shares it with the directories and files
/// that are opened below it, because `openat2(2)` crosses no mount there.
#[derive(Debug, Default)]
pub(crate) struct FsFacts {
    info: OnceLock<FsInfo>,
    /// Whether a file with extents was seen. A file system that has extents is mounted as ext4.
    pub(crate) has_extents: AtomicBool,
}

impl FsFacts {
    /// Returns the file system of a file or directory that shares these facts.
    pub(crate) fn info(&self, file: impl AsFd) -> rustix::io::Result<&FsInfo> {
        match self.info.get() {
            Some(info) => Ok(info),
            None => info_of(file).map(|info| self.info.get_or_init(|| info)),
        }
    }
}

/// Returns the file system of a directory.
pub fn fs_info(dir: &Dir) -> Result<FsInfo> {
    let info = dir.fs.info(dir).map_err(|errno| dir.error(Operation::GetFileSystemOfDir, errno))?;
    Ok(*info)
}

/// Returns what identifies a directory on its file system: inode number and time of creation. On
/// overlayfs it is the number alone: a copy-up, which the first file written there causes, gives
/// the directory another time of creation.
pub fn dir_id(dir: &Dir, stat: &Stat) -> Result<(u64, i64)> {
    let is_overlay = fs_info(dir)?.kind == OVERLAY;
    Ok((stat.ino, if is_overlay { 0 } else { stat.born_ns }))
}

/// Returns how many bytes this user may still allocate on the file system of a directory; `None` if
/// that does not count its blocks, such as ramfs.
pub fn free_space(dir: &Dir) -> Result<Option<u64>> {
    let failed = |errno| dir.error(Operation::GetFileSystemOfDir, errno);
    let statfs = retry_on_intr(|| fs::fstatfs(dir)).map_err(failed)?;
    let free = statfs.f_bavail.saturating_mul(statfs.f_bsize.try_into().unwrap_or(0));
    Ok((statfs.f_blocks > 0).then_some(free))
}

/// Type and id of a file system, which stay the same when it is mounted again.
pub type FsId = (u64, u64);

/// Returns type and id of the file system of a directory.
pub fn fs_id(dir: &Dir) -> Result<FsId> {
    let failed = |errno| dir.error(Operation::GetFileSystemOfDir, errno);
    let kind = retry_on_intr(|| fs::fstatfs(dir)).map_err(failed)?.f_type;
    let id = retry_on_intr(|| fs::fstatvfs(dir)).map_err(failed)?.f_fsid;
    Ok((u64::try_from(kind).unwrap_or(0), id))
}

/// Returns the file systems of the directories above a path. One of them appears at the path if its
/// own file system is unmounted.
#[must_use]
pub fn fs_ids_above(path: &Path) -> Vec<FsId> {
    let id = |dir: &Path| {
        let kind = retry_on_intr(|| fs::statfs(dir)).ok()?.f_type;
        let id = retry_on_intr(|| fs::statvfs(dir)).ok()?.f_fsid;
        Some((u64::try_from(kind).unwrap_or(0), id))
    };
    path.ancestors().skip(1).filter_map(id).collect()
}

/// Returns the file system of an open file. An unknown one counts as a network file system, because
/// nothing is known about its leases and holes.
pub(crate) fn info_of(file: impl AsFd) -> rustix::io::Result<FsInfo> {
    let statfs = retry_on_intr(|| fs::fstatfs(&file))?;
    let magic = u32::try_from(statfs.f_type).unwrap_or(0);
    let known = KINDS.iter().find(|(known, ..)| *known == magic);
    Ok(match known {
        Some((_, kind, network)) => FsInfo { kind: *kind, network: *network },
        None => FsInfo { kind: FsKind::Unknown(magic), network: true },
    })
}
