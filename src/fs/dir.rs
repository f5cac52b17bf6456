//! Directories, and the names below them.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::{Errno, retry_on_intr};

use crate::fs::file::{is_writable, write_access};
use crate::fs::fs_kind::FsFacts;
use crate::fs::{DataFile, FsError, Operation, Result, own_uid};
use crate::model::{DirDenial, Stat};

/// Flags for opening a file: never follow a link, never block on a FIFO.
pub(crate) const OPEN_FLAGS: OFlags = OFlags::RDONLY
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC)
    .union(OFlags::NOCTTY);

/// Path resolution: stay below the directory and on its mount, and follow no links (`openat2(2)`).
const RESOLVE: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

pub(crate) const DIR_FLAGS: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// An open directory. It keeps its mount busy, so keep it only for the duration of one operation.
/// Clones share the descriptor, and what npyd has learned of the directory.
#[derive(Debug, Clone)]
pub struct Dir {
    pub(crate) fd: Arc<OwnedFd>,
    path: Arc<Path>,
    pub(crate) fs: Arc<FsFacts>,
    pub(crate) facts: Arc<DirFacts>,
}

/// What npyd has learned of an open directory.
#[derive(Debug, Default)]
pub(crate) struct DirFacts {
    /// Whether the directory ignores letter case. That can change only while it is empty.
    pub(crate) ignores_case: OnceLock<bool>,
    /// The path below it that was asked for last, and whether the directory there ignores letter
    /// case.
    pub(crate) ignores_case_below: Mutex<Option<(PathBuf, bool)>>,
    /// Its device and mount.
    mount: OnceLock<(u64, u64)>,
}

/// The type of a directory entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A link, a FIFO, a device or a socket.
    Other,
}

impl Dir {
    /// Opens a configured directory. Follows links in its path: the administrator made them.
    pub fn open(path: &Path) -> Result<Self> {
        retry_on_intr(|| fs::open(path, DIR_FLAGS, Mode::empty()))
            .map(|fd| Dir::from_fd(fd, path))
            .map_err(|errno| FsError::new(Operation::OpenDir, path, errno))
    }

    pub(crate) fn from_fd(fd: OwnedFd, path: &Path) -> Self {
        Dir { fd: Arc::new(fd), path: path.into(), fs: Arc::default(), facts: Arc::default() }
    }

    /// Opens a directory at a path below a configured one. An empty path opens the configured one.
    pub fn open_below(base: &Path, rel: &Path) -> Result<Self> {
        Dir::open(base)?.into_subdir(rel)
    }

    /// Opens a directory below this one. An empty path returns this one.
    pub fn into_subdir(self, rel: &Path) -> Result<Self> {
        if rel.as_os_str().is_empty() { Ok(self) } else { self.open_dir(rel) }
    }

    /// Opens a directory below this one.
    pub fn open_dir(&self, rel: &Path) -> Result<Self> {
        let fd = self.open_beneath(rel, DIR_FLAGS.union(OFlags::NOFOLLOW))?;
        Ok(Dir { fs: Arc::clone(&self.fs), ..Dir::from_fd(fd, &self.path.join(rel)) })
    }

    /// Opens a directory below this one, and creates the missing directories of the path.
    ///
    /// # Durability
    ///
    /// On success the names of all directories of the path are durable.
    pub fn make_dirs(&self, rel: &Path) -> Result<Self> {
        let mut dir = self.clone();
        for part in rel.components() {
            let Component::Normal(name) = part else {
                return Err(dir.error(Operation::OpenDirBelow, Errno::XDEV));
            };
            let is_new = match fs::mkdirat(&dir.fd, name, Mode::from_raw_mode(0o777)) {
                Ok(()) => true,
                Err(Errno::EXIST) => false,
                Err(errno) => return Err(dir.error_at(Operation::CreateDir, name, errno)),
            };
            let next = dir.open_dir(Path::new(name))?;
            dir.sync_name_of(&next, is_new)?;
            dir = next;
        }
        Ok(dir)
    }

    /// Returns the path it was opened by, for messages.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Fails if the path no longer leads to this directory: then the files in it are where nobody
    /// looks for them, or vanish with their file system.
    pub fn check_path(&self) -> Result<()> {
        let stat = self.stat_self()?;
        match Stat::of_path(&self.path) {
            Ok(there) if there.is_same_file(&stat) => Ok(()),
            Ok(_) | Err(Errno::NOENT | Errno::NOTDIR) => {
                let why = "it was unmounted, renamed or removed while npyd used it";
                Err(self.error(Operation::UseDir, std::io::Error::other(why)))
            }
            Err(errno) => Err(self.error(Operation::StatDir, errno)),
        }
    }

    /// Fails if this is the directory `drop_dir`, under another path.
    pub fn check_is_not(&self, drop_dir: &Dir) -> Result<()> {
        let is_it = self.stat_self()?.is_same_file(&drop_dir.stat_self()?);
        if is_it { Err(self.is_drop_dir()) } else { Ok(()) }
    }

    /// Returns the error for a directory that is the drop directory, under another path.
    pub(super) fn is_drop_dir(&self) -> FsError {
        let why = "it is the drop directory itself, under another path";
        self.error(Operation::UseDir, std::io::Error::other(why))
    }

    /// Opens a file of any type below this directory. Returns `None` if it does not exist.
    pub fn open_file(&self, rel: &Path) -> Result<Option<DataFile>> {
        match self.open_beneath(rel, OPEN_FLAGS) {
            Ok(fd) => Ok(Some(DataFile::in_dir(self, fd, rel))),
            Err(error) if error.is_missing() || error.is(&[Errno::NAMETOOLONG]) => Ok(None),
            // A link or a socket exists, but npyd does not process it.
            Err(error) if error.is(&[Errno::LOOP, Errno::NXIO, Errno::NOTDIR]) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Opens a name of any type without access to its content (`O_PATH`), so that no other file
    /// gets its inode number. Returns `None` if it does not exist.
    pub fn pin(&self, name: &Path) -> Result<Option<DataFile>> {
        self.check_plain(name)?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match retry_on_intr(|| fs::openat(&self.fd, name, flags, Mode::empty())) {
            Ok(fd) => Ok(Some(DataFile::in_dir(self, fd, name))),
            Err(Errno::NOENT | Errno::NAMETOOLONG) => Ok(None),
            Err(errno) => Err(self.error_at(Operation::Open, name, errno)),
        }
    }

    fn open_beneath(&self, rel: &Path, flags: OFlags) -> Result<OwnedFd> {
        self.check_plain(rel)?;
        let opened =
            match retry_on_intr(|| fs::openat2(&self.fd, rel, flags, Mode::empty(), RESOLVE)) {
                // systemd's RestrictSUIDSGID= and some containers block openat2.
                Err(Errno::NOSYS | Errno::PERM) => self.open_by_steps(rel, flags),
                opened => opened,
            };
        opened.map_err(|errno| self.error_at(Operation::Open, rel, errno))
    }

    /// Opens a path without `openat2`: one component after the other, none of them a link, and all
    /// on one mount.
    fn open_by_steps(&self, rel: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let mount = Stat::of(&self.fd)?.mount;
        let mut at: Option<OwnedFd> = None;
        let mut names = rel.iter().peekable();
        while let Some(name) = names.next() {
            let flags = if names.peek().is_some() { DIR_FLAGS } else { flags };
            let from = at.as_ref().unwrap_or(&self.fd);
            let flags = flags | OFlags::NOFOLLOW;
            let next = retry_on_intr(|| fs::openat(from, name, flags, Mode::empty()))?;
            if Stat::of(&next)?.mount != mount {
                return Err(Errno::XDEV);
            }
            at = Some(next);
        }
        at.ok_or(Errno::NOENT)
    }

    /// Rejects paths like `sub/../sub/x`, which `RESOLVE_BENEATH` allows.
    fn check_plain(&self, rel: &Path) -> Result<()> {
        let plain = |part| matches!(part, Component::Normal(_));
        if rel.as_os_str().is_empty() || !rel.components().all(plain) {
            return Err(self.error_at(Operation::Open, rel, Errno::XDEV));
        }
        Ok(())
    }

    /// Returns the metadata of a name without following a link, or `None` if it does not exist. A
    /// name that is too long does not.
    pub fn stat(&self, rel: &Path) -> Result<Option<Stat>> {
        self.check_plain(rel)?;
        match rel.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            Some(parent) => match self.open_dir(parent) {
                Ok(dir) => dir.stat(Path::new(rel.file_name().unwrap_or_default())),
                Err(error) if error.is_missing() => Ok(None),
                Err(error) => Err(error),
            },
            None => match Stat::at(&self.fd, rel) {
                Ok(stat) => Ok(Some(stat)),
                Err(Errno::NOENT | Errno::NAMETOOLONG) => Ok(None),
                Err(errno) => Err(self.error_at(Operation::StatName, rel, errno)),
            },
        }
    }

    /// Returns the metadata of the directory itself.
    pub fn stat_self(&self) -> Result<Stat> {
        Stat::of(&self.fd).map_err(|errno| self.error(Operation::StatDir, errno))
    }

    /// Returns whether this user may create and remove names in the directory.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        is_writable(&self.fd)
    }

    /// Returns why this user may not unlink a file, as far as permissions and the sticky bit tell.
    /// A read-only file system is no matter of rights: the call itself fails.
    pub fn unlink_denial(&self, file: &DataFile) -> Result<Option<DirDenial>> {
        self.denial_if(|| !file.is_own())
    }

    /// Returns why this user may not change a name in the directory. The sticky bit counts only if
    /// `sticky_forbids` returns `true`.
    pub(crate) fn denial_if(
        &self,
        sticky_forbids: impl FnOnce() -> bool,
    ) -> Result<Option<DirDenial>> {
        if write_access(&self.fd) == Err(Errno::ACCESS) {
            return Ok(Some(DirDenial::NoWrite));
        }
        let is_denied = self.is_sticky()? && sticky_forbids();
        Ok(is_denied.then_some(DirDenial::Sticky))
    }

    /// Returns whether this user may not unlink files of others, because the directory has the
    /// sticky bit.
    pub fn is_sticky(&self) -> Result<bool> {
        self.is_sticky_for(own_uid())
    }

    /// Returns whether this user, without a capability, may not unlink files of others, because the
    /// directory has the sticky bit.
    pub fn is_sticky_for(&self, uid: u32) -> Result<bool> {
        let stat = self.stat_self()?;
        let is_sticky = Mode::from_raw_mode(stat.mode).contains(Mode::SVTX);
        Ok(is_sticky && stat.uid != uid)
    }

    /// Returns whether files can be renamed between the two directories.
    pub fn is_on_mount_of(&self, other: &Dir) -> Result<bool> {
        Ok(self.mount()? == other.mount()?)
    }

    /// Returns the device and the mount of the directory, which never change while it is open.
    fn mount(&self) -> Result<(u64, u64)> {
        if let Some(mount) = self.facts.mount.get() {
            return Ok(*mount);
        }
        let stat = self.stat_self()?;
        Ok(*self.facts.mount.get_or_init(|| (stat.dev, stat.mount)))
    }

    /// Returns all entries, unordered.
    pub fn entries(&self) -> Result<Vec<(OsString, EntryKind)>> {
        let mut entries = Vec::new();
        self.any_entry(|name, kind| {
            entries.push((name.to_os_string(), kind));
            false
        })?;
        Ok(entries)
    }

    /// Returns whether `is_wanted` returns `true` for an entry. Reads no further then.
    pub fn any_entry(&self, mut is_wanted: impl FnMut(&OsStr, EntryKind) -> bool) -> Result<bool> {
        let failed = |errno| self.error(Operation::ListDir, errno);
        let listing = self.readable().and_then(fs::Dir::new).map_err(failed)?;
        for entry in listing {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            let name = OsStr::from_bytes(name);
            let kind = self.entry_kind(name, entry.file_type())?;
            if is_wanted(name, kind) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns the type of an entry for which a listing reports this type. Not every file system
    /// reports types.
    pub(crate) fn entry_kind(&self, name: &OsStr, listed: FileType) -> Result<EntryKind> {
        Ok(match listed {
            FileType::RegularFile => EntryKind::File,
            FileType::Directory => EntryKind::Dir,
            FileType::Unknown => match self.stat(Path::new(name))? {
                Some(stat) if stat.is_file() => EntryKind::File,
                Some(stat) if stat.is_dir() => EntryKind::Dir,
                _ => EntryKind::Other,
            },
            _ => EntryKind::Other,
        })
    }

    /// Syncs the directory.
    ///
    /// # Durability
    ///
    /// On success the names in the directory are durable (rule F2). A file system that can't sync
    /// directories reports success.
    pub fn sync(&self) -> Result<()> {
        #[cfg(feature = "sabotage")]
        if crate::fs::skips("directory-sync") {
            return Ok(());
        }
        match self.readable().and_then(|dir| retry_on_intr(|| fs::fsync(&dir))) {
            // This file system can't sync directories (`fsync(2)`, EINVAL).
            Ok(()) | Err(Errno::INVAL) => Ok(()),
            Err(errno) => Err(self.error(Operation::SyncDir, errno)),
        }
    }

    /// Reopens the directory for reading: an `O_PATH` descriptor can neither list nor sync it.
    pub(crate) fn readable(&self) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        retry_on_intr(|| fs::openat(&self.fd, ".", flags, Mode::empty()))
    }

    /// Removes a name. The removal is durable only after the caller syncs the directory (F2).
    pub(crate) fn unlink(&self, name: &Path) -> Result<()> {
        fs::unlinkat(&self.fd, name, AtFlags::empty())
            .map_err(|errno| self.error_at(Operation::Remove, name, errno))
    }

    /// Removes a name if it exists.
    ///
    /// # Durability
    ///
    /// The removal is durable only after the caller syncs the directory (rule F2).
    pub fn remove_if_there(&self, name: &Path) -> Result<()> {
        match self.unlink(name) {
            Err(error) if error.is_missing() => Ok(()),
            removed => removed,
        }
    }

    /// Returns whether a name refers to the open file.
    pub fn refers_to(&self, name: &Path, file: &DataFile) -> Result<bool> {
        let wanted = file.stat()?;
        Ok(self.stat(name)?.is_some_and(|stat| stat.is_same_file(&wanted)))
    }

    /// Returns the error for a name of which all numbered variants are taken.
    #[must_use]
    pub fn names_exhausted(&self, name: &Path) -> FsError {
        self.error_at(Operation::FindFreeName, name, Errno::EXIST)
    }

    pub(crate) fn error(&self, operation: Operation, cause: impl Into<std::io::Error>) -> FsError {
        FsError::new(operation, &self.path, cause)
    }

    pub(crate) fn error_at(
        &self,
        operation: Operation,
        name: impl AsRef<OsStr>,
        cause: impl Into<std::io::Error>,
    ) -> FsError {
        let name = OsStr::from_bytes(name.as_ref().as_bytes());
        FsError::new(operation, &self.path.join(name), cause)
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::fs as std_fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn open(dir: &Dir, name: &str) -> Option<DataFile> {
        dir.open_file(Path::new(name)).unwrap()
    }

    #[test]
    fn names_lead_nowhere_else() {
        let temp = tempfile::tempdir().unwrap();
        std_fs::create_dir_all(temp.path().join("root/sub")).unwrap();
        std_fs::write(temp.path().join("outside"), "secret").unwrap();
        std_fs::write(temp.path().join("root/sub/inside"), "data").unwrap();
        symlink("../outside", temp.path().join("root/link")).unwrap();
        symlink("sub", temp.path().join("root/linked-dir")).unwrap();
        let dir = Dir::open(&temp.path().join("root")).unwrap();
        assert!(open(&dir, "sub/inside").is_some());
        assert!(open(&dir, "nothing").is_none());
        assert!(open(&dir, "link").is_none() && open(&dir, "linked-dir/inside").is_none());
        for climbing in
            ["../outside", "sub/../../outside", "sub/../sub/inside", "/etc/passwd", "", "."]
        {
            assert!(dir.open_file(Path::new(climbing)).is_err(), "{climbing}");
            assert!(dir.stat(Path::new(climbing)).is_err(), "{climbing}");
        }
        assert!(dir.open_dir(Path::new("linked-dir")).is_err());

        let by_steps = |rel| dir.open_by_steps(Path::new(rel), OPEN_FLAGS);
        assert!(by_steps("sub/inside").is_ok());
        for elsewhere in ["nothing", "link", "linked-dir/inside"] {
            assert!(by_steps(elsewhere).is_err(), "{elsewhere}");
        }
    }

    #[test]
    fn a_fifo_is_no_file_and_nobody_waits_for_it() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("fifo");
        fs::mknodat(fs::CWD, &path, FileType::Fifo, Mode::RWXU, 0).unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        assert!(!open(&dir, "fifo").unwrap().stat().unwrap().is_file());
        assert_eq!(dir.entries().unwrap(), [(OsString::from("fifo"), EntryKind::Other)]);
    }
}
