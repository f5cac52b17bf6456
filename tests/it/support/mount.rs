//! File systems that a test mounts on its site.

use std::path::PathBuf;
use std::process::{Command, Output};

use super::{Site, left_out, wait_until};

/// A file system at a directory of the site; unmounted when dropped.
pub(crate) struct Mounted(PathBuf);

impl Mounted {
    /// Mounts on that directory of the site; `None` where it can't be done.
    pub(crate) fn with(site: &Site, name: &str, program: &str, args: &[&str]) -> Option<Self> {
        let at = site.path(name);
        match Command::new(program).args(args).arg(&at).output() {
            Ok(output) if output.status.success() => return Some(Self(at)),
            Ok(output) => left_out(&format!("{program} {args:?}: {}", told(&output))),
            Err(error) => left_out(&format!("{program}: {error}")),
        }
        None
    }

    /// A file system in memory.
    pub(crate) fn memory(site: &Site, name: &str) -> Option<Self> {
        Self::with(site, name, "mount", &["-t", "tmpfs", "npyd"])
    }

    /// Unmounts it as soon as nobody has anything open on it; nobody may for long.
    pub(crate) fn unmount(self) {
        let unmount = || Command::new("umount").arg(&self.0).output().unwrap();
        wait_until("nothing to be open on it", || told(&unmount()), || unmount().status.success());
        std::mem::forget(self);
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let status = Command::new("umount").arg("--lazy").arg(&self.0).status().unwrap();
        assert!(status.success() || std::thread::panicking(), "umount {}", self.0.display());
    }
}

fn told(output: &Output) -> String {
    format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr))
}
