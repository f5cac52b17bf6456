//! The file systems that are measured: the working one, and others on images that lie on it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;

use crate::Fallible;

/// Bytes of an image; it takes only the room that is used.
const IMAGE: u64 = 16 << 30;

/// A kind of file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// The one that the directory of all this lies on
    Work,
    /// ext4 on an image
    Ext4,
    /// xfs on an image
    Xfs,
    /// btrfs on an image
    Btrfs,
    /// tmpfs, in memory
    Tmpfs,
}

/// A directory of a file system; unmounted and removed when dropped.
pub(crate) struct FileSystem {
    root: PathBuf,
    image: Option<PathBuf>,
    is_mounted: bool,
}

impl FileSystem {
    /// Makes one below `dir`.
    pub(crate) fn make(kind: Kind, dir: &Path) -> Fallible<Self> {
        let root = dir.join(kind.name());
        fs::create_dir(&root)?;
        let mut made = FileSystem { root, image: None, is_mounted: false };
        let root = made.root.clone();
        match kind {
            Kind::Work => return Ok(made),
            Kind::Tmpfs => run(Command::new("mount").args(["-t", "tmpfs", "npyd"]).arg(root))?,
            Kind::Ext4 | Kind::Xfs | Kind::Btrfs => {
                let image = made.image.insert(dir.join(format!("{}.image", kind.name())));
                File::create(&*image)?.set_len(IMAGE)?;
                let force = if kind == Kind::Ext4 { "-F" } else { "-f" };
                run(Command::new(format!("mkfs.{}", kind.name()))
                    .args(["-q", force])
                    .arg(&*image))?;
                let mount = ["-t", kind.name(), "-o", "loop"];
                run(Command::new("mount").args(mount).arg(image).arg(root))?;
            }
        }
        made.is_mounted = true;
        Ok(made)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Work => "work",
            Kind::Ext4 => "ext4",
            Kind::Xfs => "xfs",
            Kind::Btrfs => "btrfs",
            Kind::Tmpfs => "tmpfs",
        }
    }

    /// The name for people.
    pub(crate) fn title(self) -> String {
        match self {
            Kind::Work => "the working file system".to_owned(),
            Kind::Tmpfs => "tmpfs".to_owned(),
            kind => format!("{} on a loop device", kind.name()),
        }
    }
}

impl Drop for FileSystem {
    fn drop(&mut self) {
        // Nothing is left to be done about a failure: the mount ends with this program, and the
        // directory around it is removed last.
        if self.is_mounted {
            let _ = Command::new("umount").arg(&self.root).status();
        }
        if let Some(image) = &self.image {
            let _ = fs::remove_file(image);
        }
    }
}

/// Runs a command to its end, which must be a good one.
pub(crate) fn run(command: &mut Command) -> Fallible<()> {
    let output = command.output().map_err(|error| format!("failed to run {command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(format!("{command:?}: {}: {error}", output.status).into())
}
