//! Replaces open files: a new file and the old one exchange their names (`renameat2(2)`,
//! `RENAME_EXCHANGE`), npyd checks what came out, and gives a name back that was another file's.

use std::path::{Path, PathBuf};

use rustix::fs::{self, RenameFlags};
use rustix::io::Errno;

use crate::fs::temp_file::temp_name;
use crate::fs::{DataFile, Dir, Operation, Result, TempFile};
use crate::model::ExchangeName;

impl TempFile {
    /// Exchanges this file with an open one and removes that (`renameat2(2)`, `RENAME_EXCHANGE`).
    /// At every moment the name refers to one of the two, if the file system can exchange names.
    /// Returns `false`, and changes nothing, if the name refers to a third file.
    ///
    /// # Durability
    ///
    /// Call [`TempFile::sync`] first. The name is durable only after the caller syncs the directory
    /// (rule F2).
    pub fn replace_file(&mut self, name: &Path, old: &DataFile) -> Result<bool> {
        self.replace_file_if(name, old, || Ok(true))
    }

    /// Exchanges this file with an open one like [`TempFile::replace_file`]. `may_go` says whether
    /// the old file may be removed; it is called when no other process can find that file by its
    /// name any more. If it may not, gives its name back and returns `false`.
    ///
    /// # Durability
    ///
    /// As for [`TempFile::replace_file`].
    pub fn replace_file_if(
        &mut self,
        name: &Path,
        old: &DataFile,
        may_go: impl FnOnce() -> Result<bool>,
    ) -> Result<bool> {
        if !self.dir.refers_to(name, old)? {
            return Ok(false);
        }
        let own = self.exchange_name(name, old)?;
        match self.dir.exchange(&own, name) {
            Ok(true) => self.remove_exchanged(&own, (name, old), may_go),
            Ok(false) => self.replace_by_steps((name, old), may_go),
            Err(error) if error.is_missing() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes the old file, which has the name `own` since the exchange. If another file has it,
    /// or the old one may not go, gives the name back to that file and returns `false`.
    fn remove_exchanged(
        &mut self,
        own: &Path,
        (name, old): (&Path, &DataFile),
        may_go: impl FnOnce() -> Result<bool>,
    ) -> Result<bool> {
        // The temporary name refers to the other file now, which must not be removed on drop.
        let temporary = self.temporary.take();
        let is_old = self.dir.refers_to(own, old).and_then(|is_old| Ok(is_old && may_go()?));
        if matches!(is_old, Ok(true)) {
            // If this fails, the next crash recovery removes it: the name has its inode.
            let _ = self.dir.unlink(own);
            return is_old;
        }
        // Another file took the name between check and exchange, or this one changed.
        self.dir.exchange(own, name)?;
        if self.dir.refers_to(own, &self.file)? {
            self.temporary = temporary;
        } else {
            // A third file took it before it was given back.
            self.dir.restore_name(own, &self.dir, name)?;
        }
        is_old
    }

    /// Replaces a file on a file system that can't exchange names: the old file gets a private name
    /// first, so that the name is free for a moment, and no file is replaced that was not checked.
    fn replace_by_steps(
        &mut self,
        (name, old): (&Path, &DataFile),
        may_go: impl FnOnce() -> Result<bool>,
    ) -> Result<bool> {
        let Some(_claim) = old.claim()? else {
            return Err(old.error(Operation::Lock, Errno::WOULDBLOCK)); // F4
        };
        let Some(private) = self.dir.rename_private(name, old)? else { return Ok(false) };
        if private == name {
            return Err(self.dir.error_at(Operation::Rename, name, Errno::OPNOTSUPP));
        }
        let may_go = may_go();
        if !matches!(may_go, Ok(true)) {
            self.dir.restore_name(&private, &self.dir, name)?;
            return may_go;
        }
        // Only now, when it is known to be the old file, a name whose file crash recovery removes.
        let removed = PathBuf::from(temp_name());
        let renamed = self.dir.rename_replace(&private, &self.dir, &removed);
        let at = if renamed.is_ok() { &removed } else { &private };
        let is_named = renamed.and_then(|()| self.link(name));
        if matches!(is_named, Ok(true)) {
            let _ = self.dir.unlink(&removed);
        } else {
            self.dir.restore_name(at, &self.dir, name)?;
        }
        is_named
    }

    /// Gives the file a temporary name that says which two files may have it, so that after a crash
    /// recovery removes no third one.
    fn exchange_name(&mut self, name: &Path, old: &DataFile) -> Result<PathBuf> {
        let (new, old) = (self.file.stat()?.ino, old.stat()?.ino);
        let name = name.to_str().unwrap_or("array");
        let own = PathBuf::from(ExchangeName { new, old, name }.in_name(&temp_name()));
        match &mut self.temporary {
            Some((temporary, _)) => {
                self.dir.rename_replace(temporary, &self.dir, &own)?;
                temporary.clone_from(&own);
                Ok(own)
            }
            None => self.name_temporarily(own),
        }
    }
}

impl Dir {
    /// Exchanges two names (`RENAME_EXCHANGE`). Returns `false` if the file system does not support
    /// it.
    fn exchange(&self, one: &Path, other: &Path) -> Result<bool> {
        match fs::renameat_with(self, one, self, other, RenameFlags::EXCHANGE) {
            Ok(()) => Ok(true),
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(false),
            Err(errno) => Err(self.error_at(Operation::Rename, one, errno)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::fs::recover_dir;
    use crate::fs::temp_file::tests::output;

    #[test]
    fn only_the_old_file_is_replaced() {
        for can_exchange in [true, false] {
            let temp = tempfile::tempdir().unwrap();
            let (dir, name) = (Dir::open(temp.path()).unwrap(), Path::new("x"));
            let replace = |old: &DataFile| {
                let mut new = output(&dir, "ours");
                if can_exchange {
                    return new.replace_file(name, old).unwrap();
                }
                new.temp_name().unwrap();
                new.replace_by_steps((name, old), || Ok(true)).unwrap()
            };
            fs::write(temp.path().join("x"), "old").unwrap();
            let old = dir.open_file(name).unwrap().unwrap();
            fs::write(temp.path().join("theirs"), "theirs").unwrap();
            fs::rename(temp.path().join("theirs"), temp.path().join("x")).unwrap();
            assert!(!replace(&old));
            assert_eq!(fs::read_to_string(temp.path().join("x")).unwrap(), "theirs");
            assert!(replace(&dir.open_file(name).unwrap().unwrap()));
            assert_eq!(fs::read_to_string(temp.path().join("x")).unwrap(), "ours");
            if can_exchange {
                assert!(replace(&dir.pin(name).unwrap().unwrap()));
            }
            assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);
        }
    }

    /// Between the exchange and the check of what came out, and once more before that is undone.
    #[test]
    fn a_third_file_that_takes_the_name_is_not_removed() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        let write = |name: &str, text| fs::write(temp.path().join(name), text).unwrap();
        write("x", "second");
        write("old", "old");
        let old = dir.open_file(Path::new("old")).unwrap().unwrap();
        let mut new = output(&dir, "ours");
        let own = new.temp_name().unwrap();
        assert!(dir.exchange(&own, Path::new("x")).unwrap());
        write("third", "third");
        fs::rename(temp.path().join("third"), temp.path().join("x")).unwrap();
        let replaced = new.remove_exchanged(&own, (Path::new("x"), &old), || Ok(true));
        assert!(!replaced.unwrap());
        drop(new);
        assert_eq!(fs::read_to_string(temp.path().join("x")).unwrap(), "second");
        assert_eq!(fs::read_to_string(temp.path().join("x.1")).unwrap(), "third");
    }

    #[test]
    fn an_old_file_that_may_not_go_keeps_its_name() {
        for can_exchange in [true, false] {
            let temp = tempfile::tempdir().unwrap();
            let (dir, name) = (Dir::open(temp.path()).unwrap(), Path::new("x"));
            let path = temp.path().join("x");
            fs::write(&path, "old").unwrap();
            let old = dir.open_file(name).unwrap().unwrap();
            let mut new = output(&dir, "ours");
            let may_go = || {
                // Nobody finds the old file by its name any more.
                let found = fs::read_to_string(&path).ok();
                assert_eq!(found.as_deref(), can_exchange.then_some("ours"));
                Ok(false)
            };
            let replaced = if can_exchange {
                new.replace_file_if(name, &old, may_go).unwrap()
            } else {
                new.temp_name().unwrap();
                new.replace_by_steps((name, &old), may_go).unwrap()
            };
            assert!(!replaced);
            drop(new);
            assert_eq!(fs::read_to_string(&path).unwrap(), "old");
            assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);
        }
    }

    /// A crash right after the exchange: the name of the temporary file refers to a third file, or
    /// to the old one.
    #[test]
    fn recovery_removes_no_third_file() {
        for has_temporary in [false, true] {
            for third in ["file", "directory", "symlink", "nothing"] {
                let temp = tempfile::tempdir().unwrap();
                let (dir, name) = (Dir::open(temp.path()).unwrap(), Path::new("x"));
                let path = |name: &str| temp.path().join(name);
                fs::write(path("x"), "old").unwrap();
                let old = dir.open_file(name).unwrap().unwrap();
                let mut new = output(&dir, "ours");
                if has_temporary {
                    new.temp_name().unwrap();
                }
                let own = new.exchange_name(name, &old).unwrap();
                match third {
                    "file" => {
                        fs::write(path("third"), "third").unwrap();
                        fs::rename(path("third"), path("x")).unwrap();
                    }
                    "directory" => {
                        fs::remove_file(path("x")).unwrap();
                        fs::create_dir(path("x")).unwrap();
                    }
                    "symlink" => {
                        fs::remove_file(path("x")).unwrap();
                        std::os::unix::fs::symlink("elsewhere", path("x")).unwrap();
                    }
                    _ => {}
                }
                assert!(dir.exchange(&own, name).unwrap());
                recover_dir(&dir, &[]).unwrap(); // the process still runs
                assert!(third == "nothing" || path("x.1").symlink_metadata().is_err());
                drop(new.temporary.take());
                drop(new); // it is killed
                recover_dir(&dir, &[]).unwrap();
                assert_eq!(fs::read_to_string(path("x")).unwrap(), "ours");
                let (left, kind) = (path("x.1").symlink_metadata(), third);
                let left = left.ok().map(|left| left.file_type());
                match kind {
                    "file" => assert_eq!(fs::read_to_string(path("x.1")).unwrap(), "third"),
                    "directory" => assert!(left.unwrap().is_dir()),
                    "symlink" => assert!(left.unwrap().is_symlink()),
                    _ => assert!(left.is_none()),
                }
                let names = 1 + usize::from(third != "nothing");
                assert_eq!(fs::read_dir(temp.path()).unwrap().count(), names, "{third}");
            }
        }
    }
}
