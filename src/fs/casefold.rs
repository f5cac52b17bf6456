//! Directories that ignore letter case (`chattr +F` on ext4, f2fs and tmpfs): they find a file
//! under names that they do not list, and inotify reports such names as well. npyd takes a file
//! only under the name that is listed, so that each drop has one path.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use rustix::fs::ioctl_getflags;

use crate::fs::{Dir, Result};
use crate::model::FsKind;

/// `FS_CASEFOLD_FL` (`linux/fs.h`).
const CASEFOLD: u32 = 0x4000_0000;

/// File systems that ignore letter case in all directories.
const ALWAYS: [FsKind; 2] = [FsKind::Vfat, FsKind::Exfat];

impl Dir {
    /// Returns whether an existing file at a path below this directory is listed under this very
    /// name, and so are the directories above it that ignore letter case.
    pub fn has_exact_name(&self, rel: &Path) -> Result<bool> {
        let (Some(parent), Some(name)) = (rel.parent(), rel.file_name()) else { return Ok(true) };
        if !self.ignores_case_at(parent)? {
            return Ok(true);
        }
        let dir = self.clone().into_subdir(parent)?;
        Ok(dir.any_entry(|listed, _| listed == name)? && self.has_exact_name(parent)?)
    }

    /// Returns the path under which a directory that ignores letter case lists the file `rel`.
    /// Returns `None` if there is no such file, or if the directory lists it as `rel`.
    pub fn listed_path(&self, rel: &Path) -> Result<Option<PathBuf>> {
        let (Some(parent), Some(name)) = (rel.parent(), rel.file_name()) else { return Ok(None) };
        match self.ignores_case_at(parent) {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(error) if error.is_missing() => return Ok(None),
            Err(error) => return Err(error),
        }
        let Some(stat) = self.stat(rel)? else { return Ok(None) };
        if self.has_exact_name(rel)? {
            return Ok(None);
        }
        let fold = |name: &OsStr| name.to_string_lossy().to_lowercase();
        let mut listed = self.clone().into_subdir(parent)?.entries()?;
        listed.retain(|(listed, _)| fold(listed) == fold(name));
        for (listed, _) in listed {
            let path = parent.join(listed);
            if self.stat(&path)?.is_some_and(|it| (it.dev, it.ino) == (stat.dev, stat.ino)) {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    /// Returns whether the directory at a path below this one ignores letter case. Asks again only
    /// about another path than before, because each probe of a drop needs it several times.
    pub fn ignores_case_at(&self, rel: &Path) -> Result<bool> {
        if rel.as_os_str().is_empty() {
            return Ok(self.ignores_case());
        }
        let mut last = self.facts.ignores_case_below.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((path, ignores)) if path == rel => Ok(*ignores),
            _ => {
                let ignores = self.open_dir(rel)?.ignores_case();
                *last = Some((rel.to_path_buf(), ignores));
                Ok(ignores)
            }
        }
    }

    /// Returns whether this directory ignores letter case. Asks the file system once, because each
    /// probe of a drop needs it several times.
    #[must_use]
    pub fn ignores_case(&self) -> bool {
        *self.facts.ignores_case.get_or_init(|| {
            let Ok(dir) = self.readable() else { return false };
            ioctl_getflags(&dir).is_ok_and(|flags| flags.bits() & CASEFOLD != 0)
                || self.fs.info(&dir).is_ok_and(|fs| ALWAYS.contains(&fs.kind))
        })
    }
}
