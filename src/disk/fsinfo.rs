//! File systems: what they are, and what they allow.

use std::os::fd::AsFd;

use rustix::fs;
use rustix::io::retry_on_intr;

use super::{DataFile, Dir, Output, Result, Writer};

/// The block that abilities are tried with, in bytes: a multiple of every common block size, and
/// large enough to be allocated ahead.
const BLOCK: u64 = 512 << 10;

/// The room that is made for a header, in bytes.
const PAGE: u64 = 4096;

/// A file system.
#[derive(Debug, Clone)]
pub struct FsInfo {
    /// Its kind: `ext4`, or the number of one that has no name here.
    pub kind: String,
    /// Whether other hosts may write to it without this one's kernel noticing.
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

/// Kinds of file systems by `f_type` (`statfs(2)`, `linux/magic.h`), and whether each is a
/// network's.
const KINDS: [(u32, &str, bool); 23] = [
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
pub(super) fn info_of(file: impl AsFd) -> rustix::io::Result<FsInfo> {
    let told = retry_on_intr(|| fs::fstatfs(&file))?;
    let magic = u32::try_from(told.f_type).unwrap_or(0);
    let known = KINDS.iter().find(|(known, ..)| *known == magic);
    let free = told.f_bavail.saturating_mul(told.f_bsize.try_into().unwrap_or(0));
    Ok(match known {
        Some((_, kind, network)) => FsInfo { kind: (*kind).to_owned(), network: *network, free },
        None => FsInfo { kind: format!("{magic:#x}"), network: false, free },
    })
}

/// What a directory's file system allows to this user.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is an answer of its own")]
pub struct Abilities {
    /// Files can share blocks (`ioctl_ficlonerange(2)`).
    pub reflink: bool,
    /// Blocks can be opened up at the front of a file (`fallocate(2)`).
    pub insert_range: bool,
    /// Leases are granted (`fcntl(2)`).
    pub leases: bool,
    /// Files can exist without a name (`open(2)`, `O_TMPFILE`).
    pub unnamed_files: bool,
    /// Files carry attributes of the user's (`xattr(7)`).
    pub attributes: bool,
    /// A file's blocks can be allocated ahead.
    pub preallocate: bool,
}

/// Finds out by trying, on files that nobody sees.
pub fn abilities(dir: &Dir) -> Result<Abilities> {
    let (source, target) = (Output::create(dir, BLOCK)?, Output::create(dir, 0)?);
    source.file().write_all_at(&vec![1; BLOCK as usize], 0)?;
    source.file().sync_all()?;
    Ok(Abilities {
        reflink: fs::ioctl_ficlone(target.file(), source.file()).is_ok(),
        attributes: source.file().set_attr("user.npyd.check", b"1")?,
        preallocate: source.allocate(2 * BLOCK)?,
        unnamed_files: source.is_unnamed(),
        insert_range: dir.makes_room(PAGE)?,
        leases: leases(source.file())?,
    })
}

/// A lease is granted or refused for a reason, where they are known: npyd itself writes here.
fn leases(file: &DataFile) -> Result<bool> {
    Ok(matches!(file.readable()?.writer(), Writer::Present | Writer::None))
}
