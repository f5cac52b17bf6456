//! Removes a file of which there is a copy on another file system.

use std::path::Path;

use crate::fs::{Conditional, DataFile, Dir, OpenWriters, Result};
use crate::model::Stat;

impl Dir {
    /// Like [`Dir::remove_if_unchanged`], for a file of which there is a copy on another file
    /// system. The copy must be there also while the file has its private name: it may be the file
    /// itself, which another mount of its directory shows under the path of the copy.
    ///
    /// # Errors
    ///
    /// The copy is not there then; the file keeps its name.
    ///
    /// # Durability
    ///
    /// The removal is durable only after the caller syncs this directory (rule F2).
    pub fn remove_if_copied(
        &self,
        name: &Path,
        (file, before, writers): (&DataFile, &Stat, OpenWriters),
        (copy_dir, copy): (&Dir, &Path),
    ) -> Result<Conditional> {
        let private = match self.rename_private_if_unchanged(name, file, before, writers)? {
            Ok(private) => private,
            Err(not) => return Ok(Err(not)),
        };
        let is_copied = copy_dir.has_copy(copy, file, before);
        if !matches!(is_copied, Ok(true)) {
            self.restore_name(&private.name, self, name)?;
            self.sync()?;
            is_copied?;
            return Err(copy_dir.is_drop_dir());
        }
        self.remove_if_there(&private.name).map(Ok)
    }

    /// Returns whether this directory has a copy of a file of this name. Opens it, because a
    /// network file system may show for a while that a file has a name that it lost.
    fn has_copy(&self, name: &Path, file: &DataFile, before: &Stat) -> Result<bool> {
        let stat = match self.open_file(name) {
            // The copy has the owner and the permissions of the file.
            Err(error) if error.is_denied() => self.stat(name)?,
            opened => opened?.map(|copy| copy.stat()).transpose()?,
        };
        let file = file.stat()?;
        Ok(stat.is_some_and(|copy| copy.size == before.size && !copy.is_same_file(&file)))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// The copy's directory is that of the file, under another path.
    #[test]
    fn a_file_that_is_its_own_copy_is_not_removed() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        let (name, path) = (Path::new("scan.raw"), temp.path().join("scan.raw"));
        fs::write(&path, "data").unwrap();
        let file = dir.open_file(name).unwrap().unwrap();
        let source = || (&file, file.stat().unwrap(), OpenWriters::Trusted);
        let remove = |copy: &str| {
            let (file, before, writers) = source();
            dir.remove_if_copied(name, (file, &before, writers), (&dir, Path::new(copy)))
        };
        assert!(remove("scan.raw").is_err());
        fs::hard_link(&path, temp.path().join("link.raw")).unwrap();
        assert!(remove("link.raw").is_err());
        fs::remove_file(temp.path().join("link.raw")).unwrap();
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);
        assert_eq!(fs::read(&path).unwrap(), b"data");
        fs::write(temp.path().join("copy.raw"), "data").unwrap();
        assert_eq!(remove("copy.raw").unwrap(), Ok(()));
        assert!(!path.exists());
    }
}
