//! File systems that a test mounts below its site.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rustix::io::Errno;

use super::{Site, left_out, wait_until};

/// A file system at a directory of the site; unmounted when dropped.
pub(crate) struct Mounted(PathBuf);

impl Mounted {
    /// Mounts on that directory of the site; `None` where it can't be done.
    pub(crate) fn with(site: &Site, name: &str, program: &str, args: &[&str]) -> Option<Self> {
        let at = site.path(name);
        succeeds(program, &[args, &[at.to_str().unwrap()]].concat()).then(|| Self(at))
    }

    /// A file system in memory.
    pub(crate) fn memory(site: &Site, name: &str) -> Option<Self> {
        Self::with(site, name, "mount", &["-t", "tmpfs", "npyd"])
    }

    /// A new file system of a kind, on an image of so many MiB, with options for the program that
    /// makes it; the directory is made, too.
    pub(crate) fn image(
        site: &Site,
        name: &str,
        kind: &str,
        mebibytes: u64,
        options: &[&str],
    ) -> Option<Self> {
        let image = site.path(format!("{name}.image"));
        File::create(&image).unwrap().set_len(mebibytes << 20).unwrap();
        std::fs::create_dir_all(site.path(name)).unwrap();
        let program = format!("mkfs.{kind}");
        let force = if kind.starts_with("ext") { "-F" } else { "-f" };
        let image = image.to_str().unwrap();
        succeeds(&program, &[&["-q", force], options, &[image]].concat())
            .then(|| Self::with(site, name, "mount", &["-t", kind, "-o", "loop", image]))
            .flatten()
    }

    /// Where it is mounted.
    pub(crate) fn at(&self) -> &Path {
        &self.0
    }

    /// Unmounts it as soon as nobody has anything open on it; nobody may for long.
    pub(crate) fn unmount(self) {
        let unmount = || Command::new("umount").arg(&self.0).output().unwrap();
        wait_until("nothing to be open on it", || told(&unmount()), || unmount().status.success());
        std::mem::forget(self);
    }
}

impl Drop for Mounted {
    /// Unmounts it although files may be open on it.
    fn drop(&mut self) {
        let status = Command::new("umount").arg("--lazy").arg(&self.0).status().unwrap();
        assert!(status.success() || std::thread::panicking(), "umount {}", self.0.display());
    }
}

/// Takes all space of a file system but for so many bytes.
pub(crate) fn fill(dir: &Path, but: u64) {
    let file = File::create(dir.join("filler")).unwrap();
    let stat = rustix::fs::fstatvfs(&file).unwrap();
    let mut piece = (stat.f_bavail * stat.f_frsize).saturating_sub(but);
    let mut len = 0;
    while piece >= 4096 {
        match rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), len, piece) {
            Ok(()) => len += piece,
            Err(Errno::OPNOTSUPP) => {
                file.write_all_at(&vec![1; piece as usize], len).unwrap();
                len += piece;
            }
            Err(_) => piece /= 2,
        }
        let stat = rustix::fs::fstatvfs(&file).unwrap();
        piece = piece.min((stat.f_bavail * stat.f_frsize).saturating_sub(but));
    }
    file.sync_all().unwrap();
}

/// Whether a program ends well; recorded as left out where it doesn't.
pub(crate) fn succeeds(program: &str, args: &[&str]) -> bool {
    match Command::new(program).args(args).output() {
        Ok(output) if output.status.success() => return true,
        Ok(output) => left_out(&format!("{program} {args:?}: {}", told(&output))),
        Err(error) => left_out(&format!("{program}: {error}")),
    }
    false
}

fn told(output: &Output) -> String {
    format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr))
}
