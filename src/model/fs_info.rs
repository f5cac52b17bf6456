//! File systems: their kind, and the behavior that npyd derives from it.

/// A file system.
#[derive(Debug, Clone)]
pub struct FsInfo {
    /// The kind of the file system, such as `ext4`; the magic number of `statfs(2)` if npyd has no
    /// name for the kind.
    pub kind: String,
    /// Whether other hosts may write to the file system unnoticed by this host's kernel. An unknown
    /// kind counts as a network file system, because a lease may prove nothing there.
    pub network: bool,
}

impl FsInfo {
    /// Returns whether files may share blocks (reflinks). Only kinds that never do are excluded.
    #[must_use]
    pub fn may_share(&self) -> bool {
        !["ext4", "tmpfs", "vfat", "exfat", "f2fs", "ntfs3", "fuse"].contains(&self.kind.as_str())
    }

    /// Returns whether a client grants a lease only if the server has granted one to the client.
    #[must_use]
    pub fn leases_need_a_server(&self) -> bool {
        ["nfs", "cifs", "smb", "smb2"].contains(&self.kind.as_str())
    }

    /// Returns whether a file that moved to another directory may also have its old name after a
    /// crash, although the new directory was synced.
    #[must_use]
    pub fn keeps_old_names(&self) -> bool {
        self.kind == "btrfs"
    }

    /// Returns whether the insert-range route is possible: the file system inserts ranges, and an
    /// insertion that a crash interrupted can be undone.
    #[must_use]
    pub fn may_insert(&self) -> bool {
        ["ext4", "xfs"].contains(&self.kind.as_str())
    }
}
