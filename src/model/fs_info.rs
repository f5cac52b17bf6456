//! File systems: their kind, and the behavior that npyd derives from it.

use crate::model::FsKind;

/// A file system.
#[derive(Debug, Clone, Copy)]
pub struct FsInfo {
    /// The kind of the file system.
    pub kind: FsKind,
    /// Whether other hosts may write to the file system unnoticed by this host's kernel. An unknown
    /// kind counts as a network file system, because a lease may prove nothing there.
    pub network: bool,
}

impl FsInfo {
    /// Returns whether files may share blocks (reflinks). Only kinds that never do are excluded.
    #[must_use]
    pub fn may_share(&self) -> bool {
        use FsKind::{Exfat, Ext4, F2fs, Fuse, Ntfs3, Tmpfs, Vfat};
        !matches!(self.kind, Ext4 | Tmpfs | Vfat | Exfat | F2fs | Ntfs3 | Fuse)
    }

    /// Returns whether a client grants a lease only if the server has granted one to the client.
    #[must_use]
    pub fn leases_need_a_server(&self) -> bool {
        matches!(self.kind, FsKind::Nfs | FsKind::Cifs | FsKind::Smb | FsKind::Smb2)
    }

    /// Returns whether a file that moved to another directory may also have its old name after a
    /// crash, although the new directory was synced.
    #[must_use]
    pub fn keeps_old_names(&self) -> bool {
        self.kind == FsKind::Btrfs
    }

    /// Returns whether the insert-range route is possible: the file system inserts ranges, and an
    /// insertion that a crash interrupted can be undone.
    #[must_use]
    pub fn may_insert(&self) -> bool {
        matches!(self.kind, FsKind::Ext4 | FsKind::Xfs)
    }
}
