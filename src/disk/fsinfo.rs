//! File systems: what they are, and what they allow.

use std::fmt;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs;
use rustix::io::retry_on_intr;

use super::{DataFile, Dir, Output, Result, Unprovable, Writer, own_uid};

/// The block that abilities are tried with, in bytes: a multiple of every common block size, and
/// large enough to be allocated ahead.
const BLOCK: u64 = 512 << 10;

/// `nobody`: any user but this one serves.
const ANOTHER_UID: u32 = 65534;

/// The room that is made for a header, in bytes.
const PAGE: u64 = 4096;

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
pub(super) fn info_of(file: impl AsFd) -> rustix::io::Result<FsInfo> {
    let told = retry_on_intr(|| fs::fstatfs(&file))?;
    let magic = u32::try_from(told.f_type).unwrap_or(0);
    let known = KINDS.iter().find(|(known, ..)| *known == magic);
    let free = told.f_bavail.saturating_mul(told.f_bsize.try_into().unwrap_or(0));
    Ok(match known {
        Some((_, kind, network)) => FsInfo { kind: (*kind).to_owned(), network: *network, free },
        None => FsInfo { kind: format!("{magic:#x}"), network: true, free },
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
    /// A lease on a file of this user is granted, and proves that nobody writes to it (`fcntl(2)`).
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
        preallocate: source.allocate(0..2 * BLOCK)?,
        unnamed_files: source.is_unnamed(),
        insert_range: dir.makes_room(PAGE)?,
        leases: leases(source.file())?,
    })
}

/// Tries a lease on npyd's own file, which npyd itself has open for writing: a file system that
/// grants leases refuses this one for that reason, and no other.
fn leases(file: &DataFile) -> Result<bool> {
    let is_local = info_of(file).is_ok_and(|fs| !fs.network);
    Ok(is_local && file.readable()?.writer() == Writer::Present)
}

/// On whose files this process may take leases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseRight {
    /// On every user's.
    AnyFile,
    /// On those of its own user (`capabilities(7)`, `CAP_LEASE`).
    OwnFiles,
    /// No file of another user could be found to try it on.
    Unknown,
}

impl LeaseRight {
    /// Finds out by trying, because capability bits say nothing in a user namespace: on npyd's own
    /// executable where that is another user's, else on a file in `scratch` that is given away.
    #[must_use]
    pub fn probe(scratch: &Path) -> Self {
        let executable = DataFile::open(Path::new("/proc/self/exe")).ok();
        let executable = executable.filter(is_anothers);
        let tried = executable.or_else(|| given_away(scratch)).and_then(|file| may_lease(&file));
        match tried {
            Some(true) => LeaseRight::AnyFile,
            Some(false) => LeaseRight::OwnFiles,
            None => LeaseRight::Unknown,
        }
    }
}

impl fmt::Display for LeaseRight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LeaseRight::AnyFile => "leases on files of every user",
            LeaseRight::OwnFiles => {
                "leases only on files of its own user (no CAP_LEASE): whether another user's file \
                 is still written to can't be proved, and such a source is neither removed nor \
                 archived without a `digest` or a marker, or remove_unproven = true"
            }
            LeaseRight::Unknown => {
                "leases on files of its own user; whether on others' could not be tried"
            }
        })
    }
}

fn is_anothers(file: &DataFile) -> bool {
    file.stat().is_ok_and(|stat| stat.uid != own_uid())
}

/// A file without a name that another user owns, where this process may give files away.
fn given_away(scratch: &Path) -> Option<DataFile> {
    let output = Output::create(&Dir::open(scratch).ok()?, 0).ok()?;
    let file = output.file().readable().ok()?;
    fs::fchown(output.file(), Some(fs::Uid::from_raw(ANOTHER_UID)), None).ok()?;
    is_anothers(&file).then_some(file)
}

/// Whether a lease on another user's file is granted; `None` where its file system grants none.
fn may_lease(file: &DataFile) -> Option<bool> {
    match file.writer() {
        Writer::None | Writer::Present => Some(true),
        Writer::Unknown(Unprovable::NoRight) => Some(false),
        Writer::Unknown(_) => None,
    }
}
