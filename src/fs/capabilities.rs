//! What a file system and the kernel allow to this process, found out by trying.

use std::fmt;
use std::path::Path;

use rustix::fs;

use crate::fs::fs_kind::info_of;
use crate::fs::{DataFile, Dir, Result, TempFile, Unprovable, Writer, own_uid};

/// The block that abilities are tried with, in bytes: a multiple of every common block size, and
/// large enough to be allocated ahead.
const BLOCK: u64 = 512 << 10;

/// `nobody`: any user but this one serves.
const ANOTHER_UID: u32 = 65534;

/// The room that is made for a header, in bytes.
const PAGE: u64 = 4096;

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
    let (source, target) = (TempFile::create(dir, BLOCK)?, TempFile::create(dir, 0)?);
    source.file().write_all_at(&vec![1; BLOCK as usize], 0)?;
    source.file().sync_all()?;
    Ok(Abilities {
        reflink: fs::ioctl_ficlone(target.file(), source.file()).is_ok(),
        attributes: source.file().set_attr("user.npyd.check", b"1")?,
        preallocate: source.allocate(0..2 * BLOCK)?,
        unnamed_files: source.is_unnamed(),
        insert_range: dir.supports_insert_range(PAGE)?,
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
    let output = TempFile::create(&Dir::open(scratch).ok()?, 0).ok()?;
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
