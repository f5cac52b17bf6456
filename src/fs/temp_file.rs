//! New files that have no name until they are complete (`O_TMPFILE`, `linkat(2)`).

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{self, AtFlags, FallocateFlags, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

use crate::fs::{Claim, DataFile, Dir, FsError, OpenWriters, Operation, Result, has_proc};
use crate::model::{PREFIX, SUFFIX, Shortfall, Stat, UNNAMED};

/// Files up to this size are not preallocated: one write fills them, so preallocation reports a
/// full disk no earlier.
const SMALL: u64 = 256 << 10;

/// A new file of known length. Dropping it unpublished removes it.
#[derive(Debug)]
pub struct TempFile {
    pub(super) file: DataFile,
    pub(super) dir: Dir,
    /// Its temporary name and the lock on it, if the file system has no unnamed files (F4).
    pub(super) temporary: Option<(PathBuf, Claim)>,
    /// Whether its blocks were allocated when it was created.
    preallocated: bool,
    /// Whether a copy filled it through a mapping; `None` if no copy did.
    pub(super) mapped: Option<bool>,
    synced: bool,
}

impl TempFile {
    /// The mode of a new file, before the umask or the directory's default ACL applies.
    pub(crate) const MODE: u32 = 0o666;

    /// Creates a file of `len` bytes in a directory. Preallocates its blocks where the file system
    /// supports that, so that a full disk is reported before the file is filled.
    pub fn create(dir: &Dir, len: u64) -> Result<Self> {
        Self::create_with(dir, Self::MODE, len)
    }

    pub(crate) fn create_with(dir: &Dir, mode: u32, len: u64) -> Result<Self> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(mode);
        let dir = dir.clone();
        // An unnamed file gets its name through /proc.
        let unnamed = if has_proc() {
            retry_on_intr(|| fs::openat(&dir, ".", flags, mode))
        } else {
            Err(Errno::OPNOTSUPP)
        };
        let (file, temporary) = match unnamed {
            Ok(fd) => (DataFile::in_dir(&dir, fd, Path::new(UNNAMED)), None),
            // No O_TMPFILE here; an old kernel takes the call for an open of the directory.
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {
                let (file, name, claim) = create_named(&dir, mode)?;
                (file, Some((name, claim)))
            }
            Err(errno) => return Err(dir.error(Operation::CreateFileIn, errno)),
        };
        let mut output =
            TempFile { file, dir, temporary, preallocated: false, mapped: None, synced: false };
        if len > SMALL {
            output.preallocated = output.allocate(0..len)?;
        }
        Ok(output)
    }

    /// Preallocates a range (`fallocate(2)`). Returns `false` if the file system can't: a full disk
    /// then shows as a write error.
    pub(crate) fn allocate(&self, range: Range<u64>) -> Result<bool> {
        let len = range.end - range.start;
        // A failing fallocate first takes all free space away from other programs.
        self.check_space(len)?;
        loop {
            match fs::fallocate(&self.file, FallocateFlags::empty(), range.start, len) {
                Ok(()) => return Ok(true),
                Err(Errno::INTR) => {}
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(false),
                Err(errno) => return Err(self.no_space(len, errno)),
            }
        }
    }

    /// Fails with ENOSPC if the file system has less than `len` bytes free.
    pub(crate) fn check_space(&self, len: u64) -> Result<()> {
        let is_full = fs::fstatvfs(&self.file)
            .is_ok_and(|fs| fs.f_blocks > 0 && len / fs.f_frsize.max(1) > fs.f_bfree);
        if is_full { Err(self.no_space(len, Errno::NOSPC)) } else { Ok(()) }
    }

    /// Returns the error for a file of `len` bytes, with the free space if that is less.
    fn no_space(&self, len: u64, errno: Errno) -> FsError {
        let free = fs::fstatvfs(&self.file).ok().map(|fs| fs.f_bavail.saturating_mul(fs.f_frsize));
        let shortfall = match errno {
            Errno::NOSPC => free.filter(|free| *free < len).map(Some),
            Errno::DQUOT => Some(None),
            _ => None,
        };
        let shortfall = shortfall.map(|free| Shortfall { needs: len, free });
        self.dir.error(Operation::AllocateFileIn, errno).with_shortfall(shortfall)
    }

    /// Returns the file, for writing.
    #[must_use]
    pub fn file(&self) -> &DataFile {
        &self.file
    }

    /// Returns whether the file system supports unnamed files.
    pub(crate) fn is_unnamed(&self) -> bool {
        self.temporary.is_none()
    }

    /// Returns whether all its blocks were allocated when it was created.
    pub(crate) fn is_preallocated(&self) -> bool {
        self.preallocated
    }

    /// Returns whether a copy filled it through a mapping; `None` if no copy did.
    #[must_use]
    pub fn mapped(&self) -> Option<bool> {
        self.mapped
    }

    /// Syncs the file, gives it its name and syncs the directory. Returns `false` if the name is
    /// taken and `replace` is not set; the caller may try another name.
    ///
    /// # Durability
    ///
    /// On success content and name are durable. A failed sync is final for the file (rule F1).
    pub fn publish(&mut self, name: &Path, replace: bool) -> Result<bool> {
        self.sync()?;
        let named = self.name(name, replace)?;
        if named {
            self.dir.sync()?;
        }
        Ok(named)
    }

    /// Syncs the file, unless that was done already.
    ///
    /// # Durability
    ///
    /// On success the content is durable. An error is final for the file (rule F1).
    pub fn sync(&mut self) -> Result<()> {
        if !self.synced {
            self.file.sync_all()?;
            self.synced = true;
        }
        Ok(())
    }

    /// Gives the file its name (`linkat(2)`). Returns `false` if the name is taken and `replace` is
    /// not set; the caller may try another name.
    ///
    /// # Durability
    ///
    /// Call [`TempFile::sync`] first. The name is durable only after the caller syncs the directory
    /// (rule F2).
    pub fn name(&mut self, name: &Path, replace: bool) -> Result<bool> {
        if replace {
            self.replace(name)?;
            return Ok(true);
        }
        self.link(name)
    }

    pub(super) fn link(&mut self, name: &Path) -> Result<bool> {
        if let Some((temporary, _)) = &self.temporary {
            let renamed = self.dir.rename_noreplace(temporary, &self.dir, name)?;
            if renamed {
                self.temporary = None;
            }
            return Ok(renamed);
        }
        match link_unnamed(&self.file, &self.dir, name) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(errno) => Err(self.dir.error_at(Operation::Name, name, errno)),
        }
    }

    fn replace(&mut self, name: &Path) -> Result<()> {
        let own = self.temp_name()?;
        self.dir.rename_replace(&own, &self.dir, name)?;
        self.temporary = None;
        Ok(())
    }

    /// Replaces the file that has the first of these names, and returns the name this file gets:
    /// the first, or the next free one if another file took the first in the same moment. Returns
    /// `None`, and changes nothing, if the old file has changed since `before`.
    ///
    /// # Durability
    ///
    /// Call [`TempFile::sync`] first. The name is durable only after the caller syncs the directory
    /// (rule F2).
    pub fn take_over_name<Name: AsRef<Path>>(
        &mut self,
        (file, before, writers): (&DataFile, &Stat, OpenWriters),
        names: impl IntoIterator<Item = Name>,
    ) -> Result<Option<Name>> {
        let own = self.temp_name()?;
        let mut names = names.into_iter().peekable();
        let Some(first) = names.peek().map(|name| name.as_ref().to_path_buf()) else {
            return Ok(None);
        };
        let replaced = self.dir.replace_if_unchanged(&first, file, before, (writers, &own))?;
        let Some(private) = replaced else { return Ok(None) };
        // This file is now the only copy of the data, so it stays even after an error. It is locked
        // until it has a name that recovery does not remove (F4).
        let _claim = self.temporary.take();
        for name in names {
            let to = name.as_ref();
            if private == to || self.dir.rename_noreplace(&private, &self.dir, to)? {
                return Ok(Some(name));
            }
        }
        Err(self.dir.names_exhausted(&first))
    }

    /// Returns the temporary name. An unnamed file gets one first, because linkat can't replace a
    /// file.
    pub(super) fn temp_name(&mut self) -> Result<PathBuf> {
        if let Some((name, _)) = &self.temporary {
            return Ok(name.clone());
        }
        self.name_temporarily(PathBuf::from(temp_name()))
    }

    /// Gives an unnamed file a temporary name.
    pub(super) fn name_temporarily(&mut self, own: PathBuf) -> Result<PathBuf> {
        // F4: lock it before it gets a name.
        let Some(claim) = self.file.claim()? else {
            return Err(self.file.error(Operation::Lock, Errno::WOULDBLOCK));
        };
        link_unnamed(&self.file, &self.dir, &own)
            .map_err(|errno| self.dir.error_at(Operation::Name, &own, errno))?;
        self.temporary = Some((own.clone(), claim));
        Ok(own)
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        if let Some((name, _)) = &self.temporary
            && matches!(self.dir.refers_to(name, &self.file), Ok(true))
        {
            // If this fails, the next crash recovery removes it: the lock ends with this value.
            let _ = self.dir.unlink(name);
        }
    }
}

/// The result of adding a second name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Linked {
    /// The file has the second name.
    Done,
    /// Another file has that name.
    NameTaken,
    /// The file was unlinked and can't get a name again.
    FileGone,
    /// The file system has no hard links, or the file has the maximum number of them.
    Unsupported,
}

impl Dir {
    /// Adds a second name in this directory to an open file of the same file system (`linkat(2)`).
    ///
    /// # Durability
    ///
    /// The name is durable only after the caller syncs this directory (rule F2).
    pub fn link(&self, file: &DataFile, name: &Path) -> Result<Linked> {
        match link_unnamed(file, self, name) {
            Ok(()) => Ok(Linked::Done),
            Err(Errno::EXIST) => Ok(Linked::NameTaken),
            Err(Errno::NOENT) if has_proc() => Ok(Linked::FileGone),
            Err(Errno::NOENT | Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK) => {
                Ok(Linked::Unsupported)
            }
            Err(errno) => Err(self.error_at(Operation::Link, name, errno)),
        }
    }
}

fn link_unnamed(file: &DataFile, dir: &Dir, name: &Path) -> rustix::io::Result<()> {
    use std::os::fd::{AsFd, AsRawFd};
    let link = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
    fs::linkat(fs::CWD, link, dir, name, AtFlags::SYMLINK_FOLLOW)
}

fn create_named(dir: &Dir, mode: Mode) -> Result<(DataFile, PathBuf, Claim)> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::RDWR | OFlags::CLOEXEC;
    loop {
        let name = PathBuf::from(temp_name());
        match retry_on_intr(|| fs::openat(dir, &name, flags, mode)) {
            Ok(fd) => {
                let file = DataFile::in_dir(dir, fd, &name);
                match file.claim() {
                    // Another npyd may have removed it before it was locked.
                    Ok(Some(claim)) if file.stat()?.nlink > 0 => return Ok((file, name, claim)),
                    Ok(_) => {}
                    Err(error) => {
                        let _ = dir.unlink(&name); // report the first error
                        return Err(error);
                    }
                }
            }
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(dir.error_at(Operation::CreateEntry, &name, errno)),
        }
    }
}

/// Returns a unique reserved name: prefix, process id, time and counter.
pub(super) fn temp_name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let clock = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    let process = rustix::process::getpid();
    format!("{PREFIX}{process}-{:x}{:08x}-{number}{SUFFIX}", clock.tv_sec, clock.tv_nsec)
}

#[cfg(test)]
pub(super) mod tests {
    use crate::fs::recover_dir;
    use crate::model::is_reserved_name;
    use std::fs;

    use super::*;

    pub(in crate::fs) fn output(dir: &Dir, text: &str) -> TempFile {
        let output = TempFile::create(dir, text.len() as u64).unwrap();
        output.file().write_all_at(text.as_bytes(), 0).unwrap();
        output
    }

    #[test]
    fn a_taken_name_is_not_lost() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        fs::write(temp.path().join("x"), "theirs").unwrap();
        let mut new = output(&dir, "ours");
        assert!(!new.publish(Path::new("x"), false).unwrap());
        assert_eq!(fs::read_to_string(temp.path().join("x")).unwrap(), "theirs");
        assert!(new.publish(Path::new("y"), false).unwrap());
        assert!(output(&dir, "newer").publish(Path::new("x"), true).unwrap());
        drop(output(&dir, "never published"));
        assert_eq!(fs::read_to_string(temp.path().join("x")).unwrap(), "newer");
        assert_eq!(fs::read_to_string(temp.path().join("y")).unwrap(), "ours");
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_named_temporary_file_goes_with_its_output() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        let (file, name, claim) = create_named(&dir, Mode::from_raw_mode(0o666)).unwrap();
        assert!(is_reserved_name(name.to_str().unwrap()) && temp.path().join(&name).exists());
        recover_dir(&dir, &[]).unwrap(); // it is locked
        assert!(temp.path().join(&name).exists());
        let dir = dir.clone();
        drop(TempFile {
            file,
            dir,
            temporary: Some((name, claim)),
            preallocated: false,
            mapped: None,
            synced: false,
        });
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_directory_is_never_replaced() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        fs::create_dir(temp.path().join("x")).unwrap();
        assert!(output(&dir, "ours").publish(Path::new("x"), true).is_err());
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);
    }
}
