//! Safe renames: they never replace a file by accident, and move only the file that is open.

use std::path::Path;

use rustix::fs::{self, AtFlags, RenameFlags};
use rustix::io::Errno;

use crate::fs::fs_kind::fs_info;
use crate::fs::private_name::{PrivateName, forget_name};
use crate::fs::{Conditional, DataFile, Dir, OpenWriters, Operation, Result, Unmet};
use crate::model::Stat;

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
            // Not every file system supports the flag. linkat also refuses a name that is taken.
            Err(Errno::INVAL | Errno::NOSYS) => {
                match fs::linkat(&self.fd, from, &to_dir.fd, to, AtFlags::empty()) {
                    // The unlink completes the rename; if it fails, undo the link.
                    Ok(()) => self.unlink(from).map(|()| true).inspect_err(|_| {
                        let _ = to_dir.unlink(to);
                    }),
                    Err(Errno::EXIST) => Ok(false),
                    Err(errno) => Err(self.error_at(Operation::Rename, from, errno)),
                }
            }
            Err(errno) => Err(self.error_at(Operation::Rename, from, errno)),
        }
    }

    /// Renames a file, and replaces the file that has the new name.
    ///
    /// # Durability
    ///
    /// As for [`Dir::rename_noreplace`].
    pub fn rename_replace(&self, from: &Path, to_dir: &Dir, to: &Path) -> Result<()> {
        fs::renameat(&self.fd, from, &to_dir.fd, to)
            .map_err(|errno| self.error_at(Operation::Rename, from, errno))
    }

    /// Moves a file if the name still refers to it, and the new name is free or `replace` is set.
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
        replace: bool,
    ) -> Result<Moved> {
        let rename = || {
            let private = self.rename_private(name, file)?;
            Ok(private.map(PrivateName::without_lease).ok_or(Unmet::Changed))
        };
        self.move_private((name, file), (to_dir, to), replace, rename)
    }

    /// Moves a file like [`Dir::move_if_same`], without replacing, and only if it has not changed
    /// since `before`. Where the kernel grants leases, no process can write to it in between.
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
        self.move_private((name, file), (to_dir, to), false, rename)
    }

    fn move_private<'a>(
        &self,
        (name, file): (&Path, &DataFile),
        (to_dir, to): (&Dir, &Path),
        replace: bool,
        rename: impl FnOnce() -> Result<Conditional<PrivateName<'a>>>,
    ) -> Result<Moved> {
        if !self.refers_to(name, file)? {
            return Ok(Moved::NotSame);
        }
        if !to_dir.is_on_mount_of(self)? {
            return Ok(Moved::OtherFileSystem);
        }
        if !replace && to_dir.stat(to)?.is_some() {
            return Ok(Moved::TargetExists);
        }
        let private = match rename()? {
            Ok(private) => private,
            Err(Unmet::Changed) => return Ok(Moved::NotSame),
            Err(Unmet::Unproven) => return Ok(Moved::Unproven),
        };
        let from = &private.name;
        let synced = self.sync_private(to_dir);
        let moved = if let Err(error) = synced {
            Err(error)
        } else if replace {
            self.rename_replace(from, to_dir, to).map(|()| true)
        } else {
            self.rename_noreplace(from, to_dir, to)
        };
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

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::fs as std_fs;

    use super::*;
    use crate::fs::EntryKind;

    fn open(dir: &Dir, name: &str) -> Option<DataFile> {
        dir.open_file(Path::new(name)).unwrap()
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
        assert_eq!(
            dir.move_if_same(name, &old, &dir, "c".as_ref(), false).unwrap(),
            Moved::NotSame
        );
        assert_eq!(std_fs::read_to_string(&a).unwrap(), "new");

        let new = open(&dir, "a").unwrap();
        std_fs::write(&b, "in the way").unwrap();
        assert_eq!(
            dir.move_if_same(name, &new, &dir, "b".as_ref(), false).unwrap(),
            Moved::TargetExists
        );
        assert_eq!(dir.move_if_same(name, &new, &dir, "c".as_ref(), false).unwrap(), Moved::Moved);
        let (name, before) = (Path::new("c"), new.stat().unwrap());
        std_fs::write(temp.path().join("c"), "newer").unwrap();
        assert_eq!(remove(name, &new, &before), Err(Unmet::Changed));
        assert_eq!(remove(name, &new, &new.stat().unwrap()), Ok(()));
        assert_eq!(dir.entries().unwrap(), [(OsString::from("b"), EntryKind::File)]);
    }
}
