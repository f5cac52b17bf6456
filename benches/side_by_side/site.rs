//! A site on a file system: a drop directory, where its arrays go, a ledger, a configuration.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::Fallible;
use crate::filesystem::{FileSystem, Kind};

/// The site.
pub(crate) struct Site {
    file_system: FileSystem,
    pub(crate) kind: Kind,
}

impl Site {
    /// Makes one on a new file system below `dir`.
    pub(crate) fn on(kind: Kind, dir: &Path) -> Fallible<Self> {
        let site = Site { file_system: FileSystem::make(kind, dir)?, kind };
        site.clear()?;
        Ok(site)
    }

    /// The path of a name in it.
    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.file_system.root().join(name)
    }

    /// Empties it, ledger and all, and waits for the disk to be at rest.
    pub(crate) fn clear(&self) -> io::Result<()> {
        for name in ["in", "out", "state"] {
            match fs::remove_dir_all(self.path(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => fs::create_dir(self.path(name))?,
            }
        }
        self.sync()
    }

    /// The same, but what it held is kept under other names: some file systems take long to make
    /// files right after many were removed, ext4 without a journal for minutes.
    pub(crate) fn begin_anew(&self) -> io::Result<()> {
        let before = (0..).map(|number| self.path(format!("before-{number}")));
        let aside = before.into_iter().find(|path| !path.exists()).unwrap_or_default();
        fs::create_dir(&aside)?;
        for name in ["in", "out", "state"] {
            fs::rename(self.path(name), aside.join(name))?;
        }
        self.clear()
    }

    /// Removes all drops and arrays.
    pub(crate) fn clear_files(&self) -> io::Result<()> {
        for name in ["in", "out"] {
            for entry in fs::read_dir(self.path(name))? {
                fs::remove_file(entry?.path())?;
            }
        }
        self.sync()
    }

    /// Has all of the file system written to the disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(File::open(self.file_system.root())?)?)
    }

    /// Writes the configuration: the defaults, and these settings of its one drop.
    pub(crate) fn configure(&self, settings: &str) -> io::Result<PathBuf> {
        let [input, output, state] =
            ["in", "out", "state"].map(|name| self.path(name).display().to_string());
        let path = self.path("npyd.toml");
        let text = format!(
            "state_dir = {state:?}\n\n[[drop]]\npath = {input:?}\noutput = {output:?}\n{settings}\n"
        );
        fs::write(&path, text)?;
        Ok(path)
    }

    /// Whether there is room for so many bytes and some to spare.
    pub(crate) fn has_room(&self, bytes: u64) -> io::Result<bool> {
        let stat = rustix::fs::statvfs(self.file_system.root())?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize) > bytes + (1 << 30))
    }
}
