//! The names that sources have while they are removed or moved: comparing a name's file first and
//! acting then would leave a moment for another file to take the name.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::{Dir, Result};

/// Begins the name of a source that is about to be removed or moved.
const TAKEN: &str = ".npyd-taken-";

/// The longest name a file can have, in bytes.
pub(super) const NAME_MAX: usize = 255;

pub(super) fn taken_name(name: &Path) -> PathBuf {
    let mut taken = OsString::from(TAKEN);
    taken.push(name);
    PathBuf::from(taken)
}

/// Whether a file of that name is a source that npyd was about to remove or move.
pub(super) fn is_taken_name(name: &OsStr) -> bool {
    name.as_bytes().starts_with(TAKEN.as_bytes())
}

impl Dir {
    /// Gives a file its name back that npyd had taken when it was ended. Whoever still works on it
    /// holds it locked.
    pub(super) fn give_back(&self, private: &OsStr) -> Result<()> {
        let Some(name) = private.as_bytes().strip_prefix(TAKEN.as_bytes()) else { return Ok(()) };
        if name.is_empty() {
            return Ok(()); // never taken by npyd
        }
        let Some(file) = self.open_file(Path::new(private))? else { return Ok(()) };
        if let Some(_claim) = file.claim()? {
            // Without a rename that refuses to replace, it was ended between two names: the other
            // one stays.
            if file.stat()?.nlink > 1 {
                self.unlink(Path::new(private))?;
                return self.sync();
            }
            self.rename_noreplace(Path::new(private), self, Path::new(OsStr::from_bytes(name)))?;
            self.sync()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::{EntryKind, tidy};
    use super::*;

    #[test]
    fn a_taken_source_that_has_another_name_already_keeps_that() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        let taken = temp.path().join(taken_name(Path::new("scan.raw")));
        fs::write(&taken, "data").unwrap();
        fs::hard_link(&taken, temp.path().join("scan.npy")).unwrap();
        tidy(&dir).unwrap();
        assert_eq!(dir.entries().unwrap(), [("scan.npy".into(), EntryKind::File)]);
    }

    #[test]
    fn a_taken_source_gets_its_name_back_unless_it_is_worked_on() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        let taken = taken_name(Path::new("scan.raw"));
        fs::write(temp.path().join(&taken), "data").unwrap();
        let worked_on = dir.open_file(&taken).unwrap().unwrap();
        let claim = worked_on.claim().unwrap().unwrap();
        tidy(&dir).unwrap();
        assert!(temp.path().join(&taken).exists());
        drop((claim, worked_on));
        tidy(&dir).unwrap();
        assert!(temp.path().join("scan.raw").exists());
    }
}
