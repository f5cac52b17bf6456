//! Safe renames: they never replace a file by accident, and move only the file that is open.

use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, RenameFlags};
use rustix::io::Errno;

use crate::fs::fs_kind::fs_info;
use crate::fs::private_name::{PrivateName, forget_name, is_cut, private_name};
use crate::fs::{
    Conditional, DataFile, Dir, OpenWriters, Operation, Result, Unmet, is_private_name,
};
use crate::model::{Stat, is_reserved_name};

/// The result of a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moved {
    /// The file moved.
    Moved,
    /// The name refers to another file, or the file changed; npyd left it alone.
    NotSame,
    /// A process writes to the file, or npyd can't prove that none does; npyd left it alone.
    Unproven,
    /// The new name is taken.
    TargetExists,
    /// The new name is on another file system.
    OtherFileSystem,
}

impl Dir {
    /// Renames a file (`renameat2(2)`, `RENAME_NOREPLACE`). Returns `false` if the new name is
    /// taken.
    ///
    /// # Durability
    ///
    /// The new name is durable only after the caller syncs `to_dir`, and the removal of the old one
    /// after the caller syncs this directory (rule F2).
    pub fn rename_noreplace(&self, from: &Path, to_dir: &Dir, to: &Path) -> Result<bool> {
        match fs::renameat_with(&self.fd, from, &to_dir.fd, to, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            // Not every file system supports the flag.
            Err(Errno::INVAL | Errno::NOSYS) => self.rename_by_steps(from, to_dir, to),
            Err(errno) => Err(self.error_at(Operation::Rename, from, errno)),
        }
    }

    /// Renames a file on a file system that can't refuse to replace one. No other program gives a
    /// file one of npyd's own names, so that a rename to it replaces nothing if it is free. For any
    /// other name npyd uses linkat, which also refuses a name that is taken, and then removes the
    /// old name, which must be one of npyd's own: a producer may have given any other name to
    /// another file since.
    fn rename_by_steps(&self, from: &Path, to_dir: &Dir, to: &Path) -> Result<bool> {
        if is_own_name(to) {
            if to_dir.stat(to)?.is_some() {
                return Ok(false);
            }
            return self.rename_replace(from, to_dir, to).map(|()| true);
        }
        if !is_own_name(from) && !is_cut(from.as_os_str()) {
            let private = PathBuf::from(private_name(from.as_os_str()));
            if !self.rename_by_steps(from, self, &private)? {
                return Err(self.error_at(Operation::Rename, &private, Errno::EXIST));
            }
            let renamed = self.rename_by_steps(&private, to_dir, to);
            if !matches!(renamed, Ok(true)) {
                self.restore_name(&private, self, from)?;
            }
            return renamed;
        }
        match fs::linkat(&self.fd, from, &to_dir.fd, to, AtFlags::empty()) {
            // The unlink completes the rename; if it fails, undo the link.
            Ok(()) => self.unlink(from).map(|()| true).inspect_err(|_| {
                let _ = to_dir.unlink(to);
            }),
            Err(Errno::EXIST) => Ok(false),
            Err(errno) => Err(self.error_at(Operation::Rename, from, errno)),
        }
    }

    /// Renames a file, and replaces any file that has the new name: only for names that no other
    /// program uses.
    ///
    /// # Durability
    ///
    /// As for [`Dir::rename_noreplace`].
    pub fn rename_replace(&self, from: &Path, to_dir: &Dir, to: &Path) -> Result<()> {
        fs::renameat(&self.fd, from, &to_dir.fd, to)
            .map_err(|errno| self.error_at(Operation::Rename, from, errno))
    }

    /// Moves a file if the name still refers to it, and the new name is free.
    ///
    /// # Durability
    ///
    /// The move is durable only after the caller syncs both directories (rule F2).
    pub fn move_if_same(
        &self,
        name: &Path,
        file: &DataFile,
        to_dir: &Dir,
        to: &Path,
    ) -> Result<Moved> {
        let rename = || {
            let private = self.rename_private(name, file)?;
            Ok(private.map(PrivateName::without_lease).ok_or(Unmet::Changed))
        };
        self.move_private((name, file), (to_dir, to), rename)
    }

    /// Moves a file like [`Dir::move_if_same`], and only if it has not changed since `before`.
    /// Where the kernel grants leases, no process can write to it in between.
    ///
    /// # Durability
    ///
    /// The move is durable only after the caller syncs both directories (rule F2).
    pub fn move_if_unchanged(
        &self,
        name: &Path,
        (file, before, writers): (&DataFile, &Stat, OpenWriters),
        to_dir: &Dir,
        to: &Path,
    ) -> Result<Moved> {
        let rename = || self.rename_private_if_unchanged(name, file, before, writers);
        self.move_private((name, file), (to_dir, to), rename)
    }

    fn move_private<'a>(
        &self,
        (name, file): (&Path, &DataFile),
        (to_dir, to): (&Dir, &Path),
        rename: impl FnOnce() -> Result<Conditional<PrivateName<'a>>>,
    ) -> Result<Moved> {
        if !self.refers_to(name, file)? {
            return Ok(Moved::NotSame);
        }
        if !to_dir.is_on_mount_of(self)? {
            return Ok(Moved::OtherFileSystem);
        }
        if to_dir.stat(to)?.is_some() {
            return Ok(Moved::TargetExists);
        }
        let private = match rename()? {
            Ok(private) => private,
            Err(Unmet::Changed) => return Ok(Moved::NotSame),
            Err(Unmet::Unproven) => return Ok(Moved::Unproven),
        };
        let from = &private.name;
        let synced = self.sync_private(to_dir);
        let moved = synced.and_then(|()| self.rename_noreplace(from, to_dir, to));
        if !matches!(moved, Ok(true)) {
            self.restore_name(from, self, name)?;
        }
        match moved {
            Ok(true) if !private.is_unbroken() || !to_dir.refers_to(to, file)? => {
                // The owner of the directory can rename even a private name. Give the wrong file
                // its name back, and likewise a file that a process is about to write to.
                to_dir.restore_name(to, self, name)?;
                Ok(Moved::NotSame)
            }
            Ok(true) => {
                forget_name(name.as_os_str(), file);
                Ok(Moved::Moved)
            }
            Ok(false) => Ok(Moved::TargetExists),
            Err(error) if error.is_other_file_system() => Ok(Moved::OtherFileSystem),
            // The private name says nothing to anybody: the other directory is at fault.
            Err(error)
                if error.is(&[Errno::ACCESS, Errno::PERM, Errno::ROFS])
                    && !to_dir.is_writable() =>
            {
                Err(to_dir.error_at(Operation::Rename, to, error.into_cause()))
            }
            Err(error) => Err(error),
        }
    }

    /// Syncs the private name where the file system may bring an old name back after a crash.
    /// Recovery then recognizes it, and the file keeps its new name.
    fn sync_private(&self, to_dir: &Dir) -> Result<()> {
        let comes_back = self.path() != to_dir.path() && fs_info(self)?.keeps_old_names();
        if comes_back { self.sync() } else { Ok(()) }
    }
}

/// Returns whether a name is one of those that only npyd gives to files.
fn is_own_name(name: &Path) -> bool {
    name.to_str().is_some_and(is_reserved_name) || is_private_name(name.as_os_str())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::fs as std_fs;

    use super::*;
    use crate::fs::EntryKind;

    fn open(dir: &Dir, name: &str) -> Option<DataFile> {
        dir.open_file(Path::new(name)).unwrap()
    }

    /// As on NFS, and on FUSE file systems that know no flags.
    #[test]
    fn without_the_flag_nothing_is_replaced_either() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        let write = |name: &str| std_fs::write(temp.path().join(name), name).unwrap();
        let names = || {
            let mut names: Vec<_> =
                dir.entries().unwrap().into_iter().map(|(name, _)| name).collect();
            names.sort();
            names
        };
        let rename = |from: &str, to: &str| dir.rename_by_steps(from.as_ref(), &dir, to.as_ref());
        let private = ".npyd-taken-a";
        write("a");
        assert!(rename("a", private).unwrap());
        write("a");
        assert!(!rename("a", private).unwrap(), "another file has the private name");
        assert!(!rename(private, "a").unwrap());
        assert!(rename(private, "b").unwrap());
        assert_eq!(names(), ["a", "b"]);
        assert!(!rename("a", "b").unwrap());
        assert_eq!(names(), ["a", "b"]);
        assert!(rename("a", "c").unwrap());
        assert_eq!(names(), ["b", "c"]);
    }

    #[test]
    fn only_the_file_that_is_open_is_removed_or_moved() {
        let temp = tempfile::tempdir().unwrap();
        let (a, b) = (temp.path().join("a"), temp.path().join("b"));
        let dir = Dir::open(temp.path()).unwrap();
        let name = Path::new("a");
        std_fs::write(&a, "old").unwrap();
        let old = open(&dir, "a").unwrap();
        std_fs::write(&b, "new").unwrap();
        std_fs::rename(&b, &a).unwrap();
        let remove = |name, file: &DataFile, before: &Stat| {
            dir.remove_if_unchanged(name, file, before, OpenWriters::ProvedAbsent).unwrap()
        };
        assert_eq!(remove(name, &old, &old.stat().unwrap()), Err(Unmet::Changed));
        assert_eq!(dir.move_if_same(name, &old, &dir, "c".as_ref()).unwrap(), Moved::NotSame);
        assert_eq!(std_fs::read_to_string(&a).unwrap(), "new");

        let new = open(&dir, "a").unwrap();
        std_fs::write(&b, "in the way").unwrap();
        assert_eq!(dir.move_if_same(name, &new, &dir, "b".as_ref()).unwrap(), Moved::TargetExists);
        assert_eq!(dir.move_if_same(name, &new, &dir, "c".as_ref()).unwrap(), Moved::Moved);
        let (name, before) = (Path::new("c"), new.stat().unwrap());
        std_fs::write(temp.path().join("c"), "newer").unwrap();
        assert_eq!(remove(name, &new, &before), Err(Unmet::Changed));
        assert_eq!(remove(name, &new, &new.stat().unwrap()), Ok(()));
        assert_eq!(dir.entries().unwrap(), [(OsString::from("b"), EntryKind::File)]);
    }
}
