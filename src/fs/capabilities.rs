//! Capabilities of the file system and the kernel, probed by trying them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use rustix::fs;
use rustix::io::Errno;

use crate::fs::{DataFile, Dir, Result, TempFile, own_uid};
use crate::model::{Unprovable, Writer};
use crate::text::missing_features::OWN_LEASES;

/// Size of the test file, in bytes: a multiple of every common block size, and large enough to be
/// preallocated.
const BLOCK: u64 = 512 << 10;

/// `nobody`; any other user would do.
const ANOTHER_UID: u32 = 65534;

/// Size of the test gap, in bytes: that of a padded header.
const PAGE: u64 = 4096;

/// Capabilities of a directory's file system for this user.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is an answer of its own")]
pub struct Capabilities {
    /// Files can share blocks (`ioctl_ficlonerange(2)`).
    pub reflink: bool,
    /// Space can be inserted at the front of a file (`fallocate(2)`, `FALLOC_FL_INSERT_RANGE`).
    pub insert_range: bool,
    /// The kernel grants a lease on a file of this user, which proves that there is no writer
    /// (`fcntl(2)`).
    pub leases: bool,
    /// Files can exist without a name (`open(2)`, `O_TMPFILE`).
    pub unnamed_files: bool,
    /// Files can have extended attributes of the `user.` namespace (`xattr(7)`).
    pub attributes: bool,
    /// Blocks can be preallocated (`fallocate(2)`).
    pub preallocate: bool,
}

/// Probes a directory's file system with unnamed files.
fn capabilities(dir: &Dir) -> Result<Capabilities> {
    let (source, target) = (TempFile::create(dir, BLOCK)?, TempFile::create(dir, 0)?);
    source.file().write_all_at(&vec![1; BLOCK as usize], 0)?;
    source.file().sync_all()?;
    Ok(Capabilities {
        reflink: fs::ioctl_ficlone(target.file(), source.file()).is_ok(),
        attributes: source.file().set_attr("user.npyd.check", b"1")?,
        preallocate: source.allocate(0..2 * BLOCK)?,
        unnamed_files: source.is_unnamed(),
        insert_range: dir.supports_insert_range(PAGE)?,
        leases: leases(source.file())?,
    })
}

/// What decides on the capabilities of a directory: its mount and its inode's attributes, because a
/// file system may, for example, encrypt some directories.
type DirKey = (u64, u64, u32);

/// The capabilities of places that were probed. A probe syncs a file, and many directories are on
/// one file system.
#[derive(Debug, Default)]
pub struct ProbedPlaces(RefCell<HashMap<DirKey, Capabilities>>);

impl ProbedPlaces {
    /// Returns the capabilities of a directory. Creates a file there in any case, so that a
    /// directory that this user may not write to is an error.
    pub fn capabilities(&self, dir: &Dir) -> Result<Capabilities> {
        let place = place(dir)?;
        let known = self.0.borrow().get(&place).copied();
        if let Some(known) = known {
            TempFile::create(dir, BLOCK)?;
            return Ok(known);
        }
        let probed = capabilities(dir)?;
        self.0.borrow_mut().insert(place, probed);
        Ok(probed)
    }

    /// Returns what the kernel allows from one directory to another.
    pub fn crossing(&self, from: &Dir, to: &Dir) -> Result<Crossing> {
        if from.is_writable() && place(from)? == place(to)? {
            let reflink = self.capabilities(to)?.reflink;
            return Ok(Crossing { rename: can_rename(from, to), reflink });
        }
        crossing(from, to)
    }
}

fn place(dir: &Dir) -> Result<DirKey> {
    let stat = dir.stat_self()?;
    let attributes = fs::ioctl_getflags(dir).map(|flags| flags.bits()).unwrap_or_default();
    Ok((stat.dev, stat.mount, attributes))
}

/// What the kernel allows between two directories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crossing {
    /// A file of one can be renamed to the other: they are on one mount.
    pub rename: bool,
    /// Files of one can share blocks with files of the other.
    pub reflink: bool,
}

/// A name that no file system accepts, so that no file can have it.
const NO_NAME_LEN: usize = 1000;

/// Probes what the kernel allows from one directory to another. A bind mount counts as a mount of
/// its own, also within one file system.
fn crossing(from: &Dir, to: &Dir) -> Result<Crossing> {
    Ok(Crossing { rename: can_rename(from, to), reflink: can_share(from, to)? })
}

fn can_rename(from: &Dir, to: &Dir) -> bool {
    // The kernel compares the mounts before it looks for the file.
    let name = "x".repeat(NO_NAME_LEN);
    let flags = fs::RenameFlags::NOREPLACE;
    fs::renameat_with(from, &name, to, &name, flags) != Err(Errno::XDEV)
}

/// Tries to share the blocks of a file in one directory with a file in the other. If this user may
/// not write to the first one, the two must be on one device.
fn can_share(from: &Dir, to: &Dir) -> Result<bool> {
    let target = TempFile::create(to, 0)?;
    let place = if from.is_writable() {
        from
    } else if from.stat_self()?.dev == to.stat_self()?.dev {
        to
    } else {
        return Ok(false);
    };
    let source = TempFile::create(place, BLOCK)?;
    source.file().write_all_at(&vec![1; BLOCK as usize], 0)?;
    source.file().sync_all()?;
    Ok(fs::ioctl_ficlone(target.file(), source.file()).is_ok())
}

/// Tries a lease on npyd's own file while npyd has it open for writing: a file system that grants
/// leases must report the writer.
fn leases(file: &DataFile) -> Result<bool> {
    let is_local = file.file_system().is_ok_and(|fs| !fs.network);
    Ok(is_local && file.readable()?.writer()? == Writer::Present)
}

/// The files on which this process may take leases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseRight {
    /// Files of every user.
    AnyFile,
    /// Only files of its own user: it lacks `CAP_LEASE` (`capabilities(7)`).
    OwnFiles,
    /// Unknown, because no file of another user was found to test.
    Unknown,
}

impl LeaseRight {
    /// Probes by trying, because capability bits do not apply across user namespaces: on npyd's own
    /// executable if another user owns it, otherwise on a file in `scratch` whose owner npyd
    /// changes.
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
            LeaseRight::OwnFiles => OWN_LEASES,
            LeaseRight::Unknown => {
                "leases on files of its own user; files of other users could not be tested"
            }
        })
    }
}

/// Returns whether this process may do with other users' files what only their owner may
/// (`CAP_FOWNER`), such as removing them from a sticky directory. Probes as [`LeaseRight::probe`]
/// does. Without a file to test, the process has no such rights.
#[must_use]
pub fn may_act_as_owner(scratch: &Path) -> bool {
    let executable = DataFile::open(Path::new("/proc/self/exe")).ok();
    let anothers = executable.filter(is_anothers).or_else(|| given_away(scratch));
    anothers.is_some_and(|file| file.is_own())
}

fn is_anothers(file: &DataFile) -> bool {
    file.stat().is_ok_and(|stat| stat.uid != own_uid())
}

/// Creates an unnamed file and gives it to another user, if this process may do that.
fn given_away(scratch: &Path) -> Option<DataFile> {
    let output = TempFile::create(&Dir::open(scratch).ok()?, 0).ok()?;
    let file = output.file().readable().ok()?;
    fs::fchown(output.file(), Some(fs::Uid::from_raw(ANOTHER_UID)), None).ok()?;
    is_anothers(&file).then_some(file)
}

/// Returns whether the kernel grants a lease on another user's file, or `None` if the file system
/// has no leases.
fn may_lease(file: &DataFile) -> Option<bool> {
    match file.writer().ok()? {
        Writer::None | Writer::Present => Some(true),
        Writer::Unknown(Unprovable::NoRight) => Some(false),
        Writer::Unknown(_) => None,
    }
}
