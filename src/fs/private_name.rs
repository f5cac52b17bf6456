//! Private names for sources that are being removed, replaced or moved. Renaming first and
//! verifying afterwards closes the race between check and action (rule F3).

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::facts::{self, Fact};
use crate::fs::lease::Lease;
use crate::fs::{DataFile, Dir, Operation, Result};
use crate::model::{NAME_MAX, NUMBER_MAX, Stat, Writer, cut, with_suffix};

/// Prefix of private names.
const PRIVATE_PREFIX: &str = ".npyd-taken-";

/// The extended attribute with the whole name of a file whose private name is cut, because with
/// the prefix it would be longer than a file name may be.
const NAME_ATTR: &str = "user.npyd.name";

/// Returns the private name of a file: the prefix and the name, cut to [`NAME_MAX`] bytes.
pub(crate) fn private_name(name: &OsStr) -> OsString {
    let mut private = OsString::from(PRIVATE_PREFIX);
    private.push(OsStr::from_bytes(cut(name.as_bytes(), NAME_MAX - PRIVATE_PREFIX.len())));
    private
}

/// Returns whether the private name does not hold the whole name.
pub(crate) fn is_cut(name: &OsStr) -> bool {
    PRIVATE_PREFIX.len() + name.len() > NAME_MAX
}

/// Returns whether this is a private name: npyd was about to remove or move its file.
pub(crate) fn is_private_name(name: &OsStr) -> bool {
    name.as_bytes().starts_with(PRIVATE_PREFIX.as_bytes())
}

/// Required evidence about writers before a file is removed, moved or replaced: bytes that they
/// write afterwards would be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenWriters {
    /// npyd must hold a lease, which proves that there is no writer.
    ProvedAbsent,
    /// No writer may be detected. If the kernel can't detect writers, npyd goes ahead.
    NotSeen,
    /// A writer may have it open: its producer declared the file complete.
    Trusted,
}

/// The result of removing or moving a file on conditions: that it is unchanged, and that no process
/// writes to it.
pub type Conditional<T = ()> = std::result::Result<T, Unmet>;

/// The condition that is not met, so that the file keeps its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmet {
    /// The name refers to another file, or the file changed.
    Changed,
    /// A process writes to the file, or npyd can't prove that none does.
    Unproven,
}

/// A file under its private name. As long as the lease is unbroken, no process can write to it.
pub(crate) struct PrivateName<'a> {
    pub(crate) name: PathBuf,
    lease: Option<Lease<'a, DataFile>>,
}

impl PrivateName<'_> {
    /// Creates a value without a lease: a process may write to the file meanwhile.
    pub(crate) fn without_lease(name: PathBuf) -> Self {
        PrivateName { name, lease: None }
    }

    /// Returns whether no process has tried to write to the file since the lease was taken.
    pub(crate) fn is_unbroken(&self) -> bool {
        self.lease.as_ref().is_none_or(Lease::is_unbroken)
    }

    /// Ends the lease and returns the private name.
    pub(crate) fn end_lease(self) -> PathBuf {
        self.name
    }
}

impl Dir {
    /// Removes a file if the name still refers to it and it has not changed since `before`. Where
    /// the kernel grants leases, no process can write to it in between.
    ///
    /// # Durability
    ///
    /// The removal is durable only after the caller syncs this directory (rule F2).
    pub fn remove_if_unchanged(
        &self,
        name: &Path,
        file: &DataFile,
        before: &Stat,
        writers: OpenWriters,
    ) -> Result<Conditional> {
        match self.rename_private_if_unchanged(name, file, before, writers)? {
            Ok(private) => self.remove_if_there(&private.name).map(Ok),
            Err(not) => Ok(Err(not)),
        }
    }

    /// Replaces a file by the file `new`, if the old one has not changed since `before`. Returns
    /// the private name, from which the caller must rename `new`, or `None` if the old file
    /// changed.
    ///
    /// A crash leaves either file, whole, under a private name. Recovery restores that name without
    /// knowing which of the two files it is. Exchanging them (`RENAME_EXCHANGE`) would never free
    /// the name, but a crash would leave both, and not every file system offers a way to tell them
    /// apart.
    pub(crate) fn replace_if_unchanged(
        &self,
        name: &Path,
        file: &DataFile,
        before: &Stat,
        (writers, new): (OpenWriters, &Path),
    ) -> Result<Option<PathBuf>> {
        let Ok(private) = self.rename_private_if_unchanged(name, file, before, writers)? else {
            return Ok(None);
        };
        if let Err(error) = self.rename_replace(new, self, &private.name) {
            self.restore_name(&private.name, self, name)?;
            return Err(error);
        }
        Ok(Some(private.name))
    }

    /// Renames a file to its private name, if the name refers to the open file and the file has not
    /// changed since `before`.
    pub(crate) fn rename_private_if_unchanged<'a>(
        &self,
        name: &Path,
        file: &'a DataFile,
        before: &Stat,
        writers: OpenWriters,
    ) -> Result<Conditional<PrivateName<'a>>> {
        let lease = file.lease()?;
        // A process that opened it before the lease can still write.
        let may_go = match writers {
            OpenWriters::ProvedAbsent => lease.is_some(),
            OpenWriters::NotSeen => lease.is_some() || file.writer()? != Writer::Present,
            OpenWriters::Trusted => true,
        };
        if !may_go {
            return Ok(Err(Unmet::Unproven));
        }
        if !file.stat()?.is_unchanged_since(before) {
            return Ok(Err(Unmet::Changed));
        }
        let Some(private) = self.rename_private(name, file)? else {
            return Ok(Err(Unmet::Changed));
        };
        // The rename itself changed ctime, so compare only size and mtime.
        let content = |stat: &Stat| (stat.size, stat.mtime_ns);
        let private = PrivateName { name: private, lease };
        if private.is_unbroken() && content(&file.stat()?) == content(before) {
            return Ok(Ok(private));
        }
        self.restore_name(&private.name, self, name)?;
        Ok(Err(Unmet::Changed))
    }

    /// Renames a file to its private name, if the name refers to the open file. Returns the private
    /// name. A file that has one keeps it: recovery restores a name in one step.
    pub(crate) fn rename_private(&self, name: &Path, file: &DataFile) -> Result<Option<PathBuf>> {
        if is_private_name(name.as_os_str()) {
            return Ok(self.refers_to(name, file)?.then(|| name.to_path_buf()));
        }
        let private = PathBuf::from(private_name(name.as_os_str()));
        if is_cut(name.as_os_str()) {
            let whole = name.as_os_str().as_bytes();
            let is_stored = file.set_attr(NAME_ATTR, whole);
            if !is_stored.unwrap_or(false) || self.stat(&private)?.is_some() {
                // Recovery could not restore the name: accept the race.
                return Ok(self.refers_to(name, file)?.then(|| name.to_path_buf()));
            }
        }
        Ok(self.rename_private_as(name, file, &private)?.then_some(private))
    }

    /// Renames a file to the given private name. Returns `false` if the name refers to another file
    /// than the open one (rule F3).
    ///
    /// # Durability
    ///
    /// The new name is durable only after the caller syncs this directory (rule F2).
    pub fn rename_private_as(&self, name: &Path, file: &DataFile, private: &Path) -> Result<bool> {
        if !self.refers_to(name, file)? {
            return Ok(false);
        }
        match self.rename_noreplace(name, self, private) {
            Err(error) if error.is_missing() => return Ok(false), // removed or renamed just now
            renamed => {
                if !renamed? {
                    return Err(self.error_at(Operation::Rename, name, Errno::EXIST));
                }
            }
        }
        if self.refers_to(private, file)? {
            return Ok(true);
        }
        self.restore_name(private, self, name)?;
        Ok(false)
    }

    /// Renames a file from its private name back to `name` in `to_dir`. If another file has that
    /// name, the file gets the first free of `name.1`, `name.2`, …, which is noted as a fact.
    ///
    /// # Durability
    ///
    /// The name is durable only after the caller syncs `to_dir` (rule F2).
    pub fn restore_name(&self, private: &Path, to_dir: &Dir, name: &Path) -> Result<()> {
        // A file that could not get a private name has its own.
        let has_name = private == name && self.path() == to_dir.path();
        if has_name || self.rename_noreplace(private, to_dir, name)? {
            return Ok(());
        }
        for number in 1..=NUMBER_MAX {
            let other = with_suffix(name.as_os_str(), &format!(".{number}"));
            if self.rename_noreplace(private, to_dir, Path::new(&other))? {
                let [path, now] = [name, Path::new(&other)].map(|name| to_dir.path().join(name));
                facts::note(Fact::Renamed { path, now });
                return Ok(());
            }
        }
        Err(to_dir.names_exhausted(name))
    }

    /// Restores the name of a file that an interrupted npyd left under its private name. Leaves a
    /// locked file alone (F4). The file may have been on its way to one of the directories
    /// `elsewhere`.
    pub(crate) fn recover_name(&self, private: &OsStr, elsewhere: &[Dir]) -> Result<()> {
        let Some(name) = private.as_bytes().strip_prefix(PRIVATE_PREFIX.as_bytes()) else {
            return Ok(());
        };
        if name.is_empty() {
            return Ok(()); // npyd never makes such a name
        }
        let Some(file) = self.open_file(Path::new(private))? else { return Ok(()) };
        let Some(_claim) = file.claim()? else { return Ok(()) };
        let stat = file.stat()?;
        if !stat.is_file() {
            return Ok(()); // npyd never renames anything else
        }
        // Where RENAME_NOREPLACE is not supported, a rename is a link and an unlink, and a crash in
        // between leaves two names: keep the other one. A second name in any other directory may
        // belong to a snapshot and does not count.
        if stat.nlink > 1 && self.has_name_of(&stat, Some(private), elsewhere)? {
            self.unlink(Path::new(private))?;
        } else {
            let whole = whole_name(&file, private)?;
            let name = whole.as_deref().unwrap_or(OsStr::from_bytes(name));
            self.restore_name(Path::new(private), self, Path::new(name))?;
            forget_name(name, &file);
        }
        self.sync()
    }

    /// Returns whether a file has a name in this directory, except for `but`, or in one of
    /// `others`.
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

/// Removes the attribute with the whole name, if the file has it. A leftover does no harm.
pub(crate) fn forget_name(name: &OsStr, file: &DataFile) {
    if is_cut(name) {
        file.remove_attr(NAME_ATTR);
    }
}

/// Returns the whole name of a file whose private name is cut. Any user who can write to the file
/// can change the attribute, so a name counts only if the private name begins like it.
fn whole_name(file: &DataFile, private: &OsStr) -> Result<Option<OsString>> {
    let name = file.attr(NAME_ATTR)?.map(OsString::from_vec);
    let is_plain = |name: &OsString| !name.as_bytes().contains(&b'/') && name.len() <= NAME_MAX;
    Ok(name.filter(|name| is_cut(name) && is_plain(name) && private_name(name) == private))
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
            assert_eq!(removed, Err(Unmet::Unproven));
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
    fn a_private_source_that_has_another_name_already_keeps_that() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        let private = temp.path().join(private_name(OsStr::new("scan.raw")));
        fs::write(&private, "data").unwrap();
        fs::hard_link(&private, temp.path().join("scan.npy")).unwrap();
        recover_dir(&dir, &[]).unwrap();
        assert_eq!(dir.entries().unwrap(), [("scan.npy".into(), EntryKind::File)]);
    }

    #[test]
    fn a_private_source_that_is_named_where_it_was_to_go_stays_there() {
        let temp = tempfile::tempdir().unwrap();
        for name in ["in", "out"] {
            fs::create_dir(temp.path().join(name)).unwrap();
        }
        let [dir, out] = ["in", "out"].map(|name| Dir::open(&temp.path().join(name)).unwrap());
        let private = temp.path().join("in").join(private_name(OsStr::new("scan.raw")));
        fs::write(&private, "data").unwrap();
        fs::hard_link(&private, temp.path().join("out/scan.npy")).unwrap();
        recover_dir(&dir, &[out]).unwrap();
        assert!(dir.entries().unwrap().is_empty());
    }

    #[test]
    fn a_private_source_of_which_somebody_has_a_snapshot_is_a_drop_still() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        let private = temp.path().join(private_name(OsStr::new("scan.raw")));
        fs::write(&private, "data").unwrap();
        fs::create_dir(temp.path().join("snapshot")).unwrap();
        fs::hard_link(&private, temp.path().join("snapshot/scan.raw")).unwrap();
        recover_dir(&dir, &[]).unwrap();
        assert_eq!(fs::read(temp.path().join("scan.raw")).unwrap(), b"data");
        assert!(!private.exists());
    }

    #[test]
    fn a_private_source_whose_name_is_another_files_gets_the_next() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        fs::write(temp.path().join("scan.raw"), "newer").unwrap();
        fs::write(temp.path().join("scan.raw.1"), "theirs").unwrap();
        fs::write(temp.path().join(private_name(OsStr::new("scan.raw"))), "older").unwrap();
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
    fn a_private_source_gets_its_name_back_unless_it_is_worked_on() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        let private = private_name(OsStr::new("scan.raw"));
        fs::write(temp.path().join(&private), "data").unwrap();
        let worked_on = dir.open_file(Path::new(&private)).unwrap().unwrap();
        let claim = worked_on.claim().unwrap().unwrap();
        recover_dir(&dir, &[]).unwrap();
        assert!(temp.path().join(&private).exists());
        drop((claim, worked_on));
        recover_dir(&dir, &[]).unwrap();
        assert!(temp.path().join("scan.raw").exists());
    }

    /// With the prefix, a name of 244 bytes is too long.
    #[test]
    fn a_long_name_is_restored_as_a_whole() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        for (len, first) in [(243, b'x'), (244, b'x'), (255, b'x'), (255, 0xff)] {
            let name = OsString::from_vec([&vec![first; len - 4][..], b".raw"].concat());
            fs::write(temp.path().join(&name), "data").unwrap();
            let file = dir.open_file(Path::new(&name)).unwrap().unwrap();
            let private = dir.rename_private(Path::new(&name), &file).unwrap().unwrap();
            assert!(is_private_name(private.as_os_str()), "{len}: {}", private.display());
            drop(file);
            recover_dir(&dir, &[]).unwrap();
            assert_eq!(dir.entries().unwrap(), [(name.clone(), EntryKind::File)]);

            // If another file has the name by then, the file gets one that is as long.
            let file = dir.open_file(Path::new(&name)).unwrap().unwrap();
            dir.rename_private(Path::new(&name), &file).unwrap().unwrap();
            fs::write(temp.path().join(&name), "newer").unwrap();
            drop(file);
            recover_dir(&dir, &[]).unwrap();
            let other = with_suffix(&name, ".1");
            assert_eq!(fs::read(temp.path().join(&name)).unwrap(), b"newer");
            assert_eq!(fs::read(temp.path().join(&other)).unwrap(), b"data");
            for name in [name, other] {
                fs::remove_file(temp.path().join(name)).unwrap();
            }
        }
    }

    #[test]
    fn a_private_name_is_restored_only_to_a_name_that_begins_like_it() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        let private = private_name(&OsString::from("x".repeat(255)));
        let cut = "x".repeat(243);
        let long = "y".repeat(255);
        for forged in ["scan.raw", &long, "../scan.raw", ""] {
            fs::write(temp.path().join(&private), "data").unwrap();
            let file = dir.open_file(Path::new(&private)).unwrap().unwrap();
            file.set_attr(NAME_ATTR, forged.as_bytes()).unwrap();
            drop(file);
            recover_dir(&dir, &[]).unwrap();
            assert_eq!(dir.entries().unwrap(), [(OsString::from(&cut), EntryKind::File)]);
            fs::remove_file(temp.path().join(&cut)).unwrap();
        }
    }
}
