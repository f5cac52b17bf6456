//! Kinds of file systems.

use std::fmt;

/// The kind of a file system, by its magic number (`statfs(2)`, `linux/magic.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FsKind {
    /// ext4; ext2 and ext3 have its number.
    Ext4,
    /// XFS.
    Xfs,
    /// Btrfs.
    Btrfs,
    /// tmpfs.
    Tmpfs,
    /// F2FS.
    F2fs,
    /// FAT.
    Vfat,
    /// exFAT.
    Exfat,
    /// NTFS, by the driver ntfs3.
    Ntfs3,
    /// NFS.
    Nfs,
    /// SMB, by the driver of Linux.
    Cifs,
    /// SMB of version 2 and later.
    Smb2,
    /// SMB of version 1.
    Smb,
    /// A file system in user space.
    Fuse,
    /// Another kind with a name. npyd treats all of these alike, except that some are network file
    /// systems.
    Named(&'static str),
    /// A kind without a name.
    Unknown(u32),
}

impl fmt::Display for FsKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FsKind::Ext4 => "ext4",
            FsKind::Xfs => "xfs",
            FsKind::Btrfs => "btrfs",
            FsKind::Tmpfs => "tmpfs",
            FsKind::F2fs => "f2fs",
            FsKind::Vfat => "vfat",
            FsKind::Exfat => "exfat",
            FsKind::Ntfs3 => "ntfs3",
            FsKind::Nfs => "nfs",
            FsKind::Cifs => "cifs",
            FsKind::Smb2 => "smb2",
            FsKind::Smb => "smb",
            FsKind::Fuse => "fuse",
            FsKind::Named(name) => name,
            FsKind::Unknown(magic) => return write!(f, "{magic:#x}"),
        })
    }
}
