//! The names that sources have while they are removed, replaced or moved: comparing a name's file
//! first and acting then would leave a moment for another file to take the name.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::fs::lease::Lease;
use crate::fs::{DataFile, Dir, Result, Writer};
use crate::model::Stat;

/// Begins the name of a source that is about to be removed or moved.
const TAKEN: &str = ".npyd-taken-";

/// The longest name a file can have, in bytes.
const NAME_MAX: usize = 255;

/// The most names that are tried for a file whose own is another's by now.
const NUMBER_MAX: u32 = 10_000;

fn taken_name(name: &Path) -> PathBuf {
    let mut taken = OsString::from(TAKEN);
    taken.push(name);
    PathBuf::from(taken)
}

/// Whether a file of that name is a source that npyd was about to remove or move.
pub(crate) fn is_taken_name(name: &OsStr) -> bool {
    name.as_bytes().starts_with(TAKEN.as_bytes())
}

/// What is asked of a file's writers before it is removed, moved or replaced: what they are about
/// to write would be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenWriters {
    /// A lease must be held, which proves that nobody can write to it.
    ProvedAbsent,
    /// Nobody may be seen to write to it. Where the kernel can't tell, it may go.
    NotSeen,
    /// They may have it open: its producer said that it is complete.
    Trusted,
}

/// What came of taking a file's name away.
pub type Guarded<T = ()> = std::result::Result<T, NotTaken>;

/// Why a file kept its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotTaken {
    /// The name means another file, or the file changed.
    Changed,
    /// Somebody writes to the file, or it can't be proved that nobody does.
    Unproven,
}

/// A file under its private name, while nobody can write to it.
pub(crate) struct PrivateName<'a> {
    pub(crate) name: PathBuf,
    lease: Option<Lease<'a, DataFile>>,
}

impl PrivateName<'_> {
    /// One that may be written to meanwhile.
    pub(crate) fn without_lease(name: PathBuf) -> Self {
        PrivateName { name, lease: None }
    }

    /// Whether nobody has wanted to write to it since.
    pub(crate) fn is_unbroken(&self) -> bool {
        self.lease.as_ref().is_none_or(Lease::is_unbroken)
    }

    /// Ends the lease and returns the private name.
    pub(crate) fn release(self) -> PathBuf {
        self.name
    }
}

impl Dir {
    /// Removes a file if the name still means it, and it is still what it was `before`. Nobody can
    /// write to it in between, where the kernel grants leases.
    pub fn remove_if_unchanged(
        &self,
        name: &Path,
        file: &DataFile,
        before: &Stat,
        writers: OpenWriters,
    ) -> Result<Guarded> {
        match self.take_if_unchanged(name, file, before, writers)? {
            Ok(taken) => self.unlink(&taken.name).map(Ok),
            Err(not) => Ok(Err(not)),
        }
    }

    /// Puts the `new` file in the place of such a one, and tells its name: the private one of the
    /// file, from which it is yet to be renamed. `None` where the file is not what it was.
    ///
    /// A crash leaves the file or the new one, whole, under a name that is given back as any
    /// source's is: nobody has to find out which of the two it is. To exchange the two would not
    /// free the name for a moment, but a crash would leave both, and no way to tell them apart that
    /// every file system has.
    pub(crate) fn replace_if_unchanged(
        &self,
        name: &Path,
        file: &DataFile,
        before: &Stat,
        (writers, new): (OpenWriters, &Path),
    ) -> Result<Option<PathBuf>> {
        let Ok(taken) = self.take_if_unchanged(name, file, before, writers)? else {
            return Ok(None);
        };
        if let Err(error) = self.rename_replace(new, self, &taken.name) {
            self.restore_name(&taken.name, self, name)?;
            return Err(error);
        }
        Ok(Some(taken.name))
    }

    /// Renames a file to a private name of its own, if it is the one that is open and is still
    /// what it was `before`.
    pub(crate) fn take_if_unchanged<'a>(
        &self,
        name: &Path,
        file: &'a DataFile,
        before: &Stat,
        writers: OpenWriters,
    ) -> Result<Guarded<PrivateName<'a>>> {
        let lease = file.lease()?;
        // Who opened it before that can write to it yet.
        let may_go = match writers {
            OpenWriters::ProvedAbsent => lease.is_some(),
            OpenWriters::NotSeen => lease.is_some() || file.writer() != Writer::Present,
            OpenWriters::Trusted => true,
        };
        if !may_go {
            return Ok(Err(NotTaken::Unproven));
        }
        if !file.stat()?.is_unchanged_since(before) {
            return Ok(Err(NotTaken::Changed));
        }
        let Some(private) = self.rename_private(name, file)? else {
            return Ok(Err(NotTaken::Changed));
        };
        // The renaming itself has changed the time of the last change.
        let content = |stat: &Stat| (stat.size, stat.mtime_ns);
        let taken = PrivateName { name: private, lease };
        if taken.is_unbroken() && content(&file.stat()?) == content(before) {
            return Ok(Ok(taken));
        }
        self.restore_name(&taken.name, self, name)?;
        Ok(Err(NotTaken::Changed))
    }

    /// Renames a file to a private name of its own, if it is the one that is open.
    pub(crate) fn rename_private(&self, name: &Path, file: &DataFile) -> Result<Option<PathBuf>> {
        let private = taken_name(name);
        if private.as_os_str().len() > NAME_MAX {
            let is_same = self.refers_to(name, file)?;
            return Ok(is_same.then(|| name.to_path_buf())); // the moment must be risked
        }
        Ok(self.rename_private_as(name, file, &private)?.then_some(private))
    }

    /// Renames a file to this private name, if it is the one that is open; `false` where it is
    /// another. Comparing first and acting then would leave a moment for another file to take the
    /// name.
    pub fn rename_private_as(&self, name: &Path, file: &DataFile, private: &Path) -> Result<bool> {
        if !self.refers_to(name, file)? {
            return Ok(false);
        }
        if !self.rename_noreplace(name, self, private)? {
            return Err(self.error_at("rename", name, Errno::EXIST));
        }
        if self.refers_to(private, file)? {
            return Ok(true);
        }
        self.restore_name(private, self, name)?;
        Ok(false)
    }

    /// Gives a file that has a private name here its own in `to_dir` again, or, where another file
    /// has that by now, the first that is free of `name.1`, `name.2`, …: then the log says so.
    pub fn restore_name(&self, private: &Path, to_dir: &Dir, name: &Path) -> Result<()> {
        if self.rename_noreplace(private, to_dir, name)? {
            return Ok(());
        }
        for number in 1..NUMBER_MAX {
            let mut other = name.as_os_str().to_owned();
            other.push(format!(".{number}"));
            if self.rename_noreplace(private, to_dir, Path::new(&other))? {
                tracing::warn!(
                    "`{}` is another file by now: the one that npyd was working on, or was ended at, is `{}`",
                    to_dir.path().join(name).display(),
                    to_dir.path().join(other).display()
                );
                return Ok(());
            }
        }
        Err(to_dir.names_exhausted(name))
    }

    /// Gives a file its name back that npyd had taken when it was ended. Whoever still works on it
    /// holds it locked. It may have been on its way to one of the directories `elsewhere`.
    pub(crate) fn recover_name(&self, private: &OsStr, elsewhere: &[Dir]) -> Result<()> {
        let Some(name) = private.as_bytes().strip_prefix(TAKEN.as_bytes()) else { return Ok(()) };
        if name.is_empty() {
            return Ok(()); // never taken by npyd
        }
        let Some(file) = self.open_file(Path::new(private))? else { return Ok(()) };
        let Some(_claim) = file.claim()? else { return Ok(()) };
        let stat = file.stat()?;
        if !stat.is_file() {
            return Ok(()); // nor this
        }
        // Without a rename that refuses to replace, it was ended between two names: the other one
        // stays. A second name that somebody else gave it may be a snapshot's, and is none.
        if stat.nlink > 1 && self.has_name_of(&stat, Some(private), elsewhere)? {
            self.unlink(Path::new(private))?;
        } else {
            self.restore_name(Path::new(private), self, Path::new(OsStr::from_bytes(name)))?;
        }
        self.sync()
    }

    /// Whether a file has a name here, but for this one, or in one of the others.
    fn has_name_of(&self, file: &Stat, but: Option<&OsStr>, others: &[Dir]) -> Result<bool> {
        for (name, _) in self.entries()? {
            let is_it = |stat: Stat| stat.is_same_file(file);
            if Some(name.as_os_str()) != but && self.stat(Path::new(&name))?.is_some_and(is_it) {
                return Ok(true);
            }
        }
        match others {
            [] => Ok(false),
            [next, others @ ..] => next.has_name_of(file, but, others),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::fs::{EntryKind, recover_dir};

    #[test]
    fn a_file_that_somebody_opened_for_writing_is_not_removed() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        let (name, path) = (Path::new("scan.raw"), temp.path().join("scan.raw"));
        fs::write(&path, "data").unwrap();
        let file = dir.open_file(name).unwrap().unwrap();
        let writer = fs::File::options().append(true).open(&path).unwrap();
        let before = file.stat().unwrap();
        for writers in [OpenWriters::ProvedAbsent, OpenWriters::NotSeen] {
            let removed = dir.remove_if_unchanged(name, &file, &before, writers).unwrap();
            assert_eq!(removed, Err(NotTaken::Unproven));
        }
        assert!(path.exists());
        assert_eq!(
            dir.remove_if_unchanged(name, &file, &before, OpenWriters::Trusted).unwrap(),
            Ok(())
        );
        assert!(!path.exists());
        drop(writer);
    }

    #[test]
    fn a_taken_source_that_has_another_name_already_keeps_that() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        let taken = temp.path().join(taken_name(Path::new("scan.raw")));
        fs::write(&taken, "data").unwrap();
        fs::hard_link(&taken, temp.path().join("scan.npy")).unwrap();
        recover_dir(&dir, &[]).unwrap();
        assert_eq!(dir.entries().unwrap(), [("scan.npy".into(), EntryKind::File)]);
    }

    #[test]
    fn a_taken_source_that_is_named_where_it_was_to_go_stays_there() {
        let temp = tempfile::tempdir().unwrap();
        for name in ["in", "out"] {
            fs::create_dir(temp.path().join(name)).unwrap();
        }
        let [dir, out] = ["in", "out"].map(|name| Dir::open(&temp.path().join(name)).unwrap());
        let taken = temp.path().join("in").join(taken_name(Path::new("scan.raw")));
        fs::write(&taken, "data").unwrap();
        fs::hard_link(&taken, temp.path().join("out/scan.npy")).unwrap();
        recover_dir(&dir, &[out]).unwrap();
        assert!(dir.entries().unwrap().is_empty());
    }

    #[test]
    fn a_taken_source_of_which_somebody_has_a_snapshot_is_a_drop_still() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        let taken = temp.path().join(taken_name(Path::new("scan.raw")));
        fs::write(&taken, "data").unwrap();
        fs::create_dir(temp.path().join("snapshot")).unwrap();
        fs::hard_link(&taken, temp.path().join("snapshot/scan.raw")).unwrap();
        recover_dir(&dir, &[]).unwrap();
        assert_eq!(fs::read(temp.path().join("scan.raw")).unwrap(), b"data");
        assert!(!taken.exists());
    }

    #[test]
    fn a_taken_source_whose_name_is_another_files_gets_the_next() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        fs::write(temp.path().join("scan.raw"), "newer").unwrap();
        fs::write(temp.path().join("scan.raw.1"), "theirs").unwrap();
        fs::write(temp.path().join(taken_name(Path::new("scan.raw"))), "older").unwrap();
        recover_dir(&dir, &[]).unwrap();
        for (name, text) in
            [("scan.raw", "newer"), ("scan.raw.1", "theirs"), ("scan.raw.2", "older")]
        {
            assert_eq!(fs::read_to_string(temp.path().join(name)).unwrap(), text);
        }
        assert_eq!(dir.entries().unwrap().len(), 3);
    }

    #[test]
    fn another_file_is_not_taken() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        let (name, private) = (Path::new("scan.raw"), Path::new("private"));
        fs::write(temp.path().join(name), "older").unwrap();
        let older = dir.open_file(name).unwrap().unwrap();
        fs::write(temp.path().join("newer"), "newer").unwrap();
        fs::rename(temp.path().join("newer"), temp.path().join(name)).unwrap();
        assert!(!dir.rename_private_as(name, &older, private).unwrap());
        let newer = dir.open_file(name).unwrap().unwrap();
        assert!(dir.rename_private_as(name, &newer, private).unwrap());
        fs::write(temp.path().join(name), "newest").unwrap();
        let newest = dir.open_file(name).unwrap().unwrap();
        assert!(dir.rename_private_as(name, &newest, private).is_err());
        assert_eq!(fs::read(temp.path().join(private)).unwrap(), b"newer");
    }

    #[test]
    fn a_taken_source_gets_its_name_back_unless_it_is_worked_on() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        let taken = taken_name(Path::new("scan.raw"));
        fs::write(temp.path().join(&taken), "data").unwrap();
        let worked_on = dir.open_file(&taken).unwrap().unwrap();
        let claim = worked_on.claim().unwrap().unwrap();
        recover_dir(&dir, &[]).unwrap();
        assert!(temp.path().join(&taken).exists());
        drop((claim, worked_on));
        recover_dir(&dir, &[]).unwrap();
        assert!(temp.path().join("scan.raw").exists());
    }
}
