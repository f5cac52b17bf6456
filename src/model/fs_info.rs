//! A file system: its kind, and what follows from it.

/// A file system.
#[derive(Debug, Clone)]
pub struct FsInfo {
    /// Its kind: `ext4`, or the number of one that has no name here.
    pub kind: String,
    /// Whether other hosts may write to it without this one's kernel noticing. A kind that is not
    /// known here counts as such a one, because a lease proves nothing there.
    pub network: bool,
    /// Free bytes for this user.
    pub free: u64,
}

impl FsInfo {
    /// Whether files may share blocks here; only those are named that never do.
    #[must_use]
    pub fn may_share(&self) -> bool {
        !["ext4", "tmpfs", "vfat", "exfat", "f2fs", "ntfs3", "fuse"].contains(&self.kind.as_str())
    }

    /// Whether its clients grant a lease only where the server has given them one.
    #[must_use]
    pub fn leases_need_a_server(&self) -> bool {
        ["nfs", "cifs", "smb", "smb2"].contains(&self.kind.as_str())
    }

    /// Whether a crash may leave a file that moved to another directory its old name, too, where
    /// only the other directory was synced.
    #[must_use]
    pub fn keeps_old_names(&self) -> bool {
        self.kind == "btrfs"
    }

    /// Whether room can be made at the front of a file here, and a crash in the middle be mended.
    #[must_use]
    pub fn may_insert(&self) -> bool {
        ["ext4", "xfs"].contains(&self.kind.as_str())
    }
}
