//! The mounts of this process, as `/proc/self/mountinfo` lists them (`proc_pid_mountinfo(5)`). To
//! read that table touches no file system, so it never blocks on one that hangs.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{self, Mode, OFlags, ResolveFlags};
use rustix::io::{Errno, retry_on_intr};

use crate::fs::dir::DIR_FLAGS;

/// A file system: its device number. Bind mounts of it have the same one.
pub type Device = (u32, u32);

/// The mounts that are visible to this process.
#[derive(Debug, Default)]
pub struct MountTable {
    mounts: HashMap<u32, Mount>,
    /// The mounts by the mount on which they are, and the path.
    above: HashMap<(u32, PathBuf), u32>,
    root: Option<u32>,
}

#[derive(Debug)]
struct Mount {
    point: PathBuf,
    device: Device,
    /// Whether a path below mounts another file system (autofs).
    is_automount: bool,
}

/// The mounts that the lookup of a path crosses. The last one contains it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountChain {
    /// The file systems, from that of `/` on.
    pub devices: Vec<Device>,
    /// Where the last file system is mounted.
    pub point: PathBuf,
    /// Whether the lookup may mount a further file system.
    pub is_automount: bool,
}

/// The open table, which becomes ready for `poll(2)` (`POLLPRI`) when a mount changes.
#[derive(Debug)]
pub struct MountInfo(File);

impl MountInfo {
    /// Opens the table of this process.
    pub fn open() -> io::Result<Self> {
        File::open("/proc/self/mountinfo").map(MountInfo)
    }
}

impl AsFd for MountInfo {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl MountTable {
    /// Reads the mounts of this process.
    pub fn read() -> io::Result<Self> {
        let mut text = Vec::new();
        File::open("/proc/self/mountinfo")?.read_to_end(&mut text)?;
        Ok(MountTable::parse(&text))
    }

    /// Parses the table. Skips lines that it can't parse.
    fn parse(text: &[u8]) -> Self {
        let mut table = MountTable::default();
        let mut parents = Vec::new();
        for line in text.split(|byte| *byte == b'\n') {
            let Some((id, parent, mount)) = parse_line(line) else { continue };
            parents.push((id, parent));
            table.above.insert((parent, mount.point.clone()), id);
            table.mounts.insert(id, mount);
        }
        let is_root = |(id, parent): &&(u32, u32)| {
            let is_top = id == parent || !table.mounts.contains_key(parent);
            is_top && table.mounts.get(id).is_some_and(|it| it.point == Path::new("/"))
        };
        table.root = parents.iter().find(is_root).map(|(id, _)| *id);
        table
    }

    /// Returns the mounts that the lookup of an absolute path without links crosses.
    #[must_use]
    pub fn chain(&self, path: &Path) -> Option<MountChain> {
        let mut at = self.root?;
        let mut chain = vec![at];
        let mut above: Vec<&Path> = path.ancestors().collect();
        above.reverse();
        for prefix in above {
            // Several may be mounted on one place, each on the one before.
            while let Some(next) = self.above.get(&(at, prefix.to_path_buf()))
                && !chain.contains(next)
            {
                at = *next;
                chain.push(at);
            }
        }
        let mounts: Vec<&Mount> = chain.iter().filter_map(|id| self.mounts.get(id)).collect();
        Some(MountChain {
            devices: mounts.iter().map(|it| it.device).collect(),
            point: mounts.last()?.point.clone(),
            is_automount: mounts.iter().any(|it| it.is_automount),
        })
    }
}

impl MountChain {
    /// Returns whether the lookup of a path stays on the file system that contains it by its name,
    /// so that no link leads to another. Touches no other file system. A path that does not exist
    /// leads nowhere else.
    #[must_use]
    pub fn contains(&self, path: &Path) -> bool {
        let Ok(rel) = path.strip_prefix(&self.point) else { return false };
        if rel.components().any(|part| !matches!(part, Component::Normal(_))) {
            return false;
        }
        let rel = if rel.as_os_str().is_empty() { Path::new(".") } else { rel };
        let open = || {
            let point = fs::open(&self.point, DIR_FLAGS, Mode::empty())?;
            let flags = OFlags::PATH | OFlags::CLOEXEC;
            fs::openat2(&point, rel, flags, Mode::empty(), ResolveFlags::NO_XDEV)
        };
        !matches!(retry_on_intr(open), Err(Errno::XDEV | Errno::NOSYS | Errno::PERM))
    }
}

/// Parses a line: the mount's number, that of the mount below it, and the mount.
fn parse_line(line: &[u8]) -> Option<(u32, u32, Mount)> {
    let mut fields = line.split(|byte| *byte == b' ');
    let mut number = || std::str::from_utf8(fields.next()?).ok()?.parse().ok();
    let (id, parent) = (number()?, number()?);
    let device = std::str::from_utf8(fields.next()?).ok()?;
    let (major, minor) = device.split_once(':')?;
    let point = unescape(fields.nth(1)?);
    let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
    let device = (major.parse().ok()?, minor.parse().ok()?);
    Some((id, parent, Mount { point, device, is_automount: kind == b"autofs" }))
}

/// Replaces the escapes of the kernel, a backslash and three octal digits.
fn unescape(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..3).and_then(|it| std::str::from_utf8(it).ok());
        let escaped = digits.filter(|_| *first == b'\\');
        if let Some(byte) = escaped.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            bytes.push(byte);
            rest = &after[3..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 27 8:1 / /data rw - xfs /dev/sda1 rw
31 30 0:50 / /data/nfs\\040share rw - nfs4 server:/x rw
32 27 8:1 /labs/a /srv/a rw - xfs /dev/sda1 rw
33 27 0:60 / /hidden/deep rw - tmpfs tmpfs rw
34 27 0:61 / /hidden rw - tmpfs tmpfs rw
35 34 0:62 / /hidden rw - tmpfs tmpfs rw
36 27 0:70 / /net rw - autofs auto.net rw
no mount at all
";

    #[test]
    fn the_mounts_on_the_way_to_a_path() {
        let table = MountTable::parse(TABLE.as_bytes());
        let chain = |path| table.chain(Path::new(path)).unwrap();
        for (path, point, devices) in [
            ("/", "/", &[(254, 0)][..]),
            ("/database", "/", &[(254, 0)]),
            ("/data", "/data", &[(254, 0), (8, 1)]),
            ("/data/x/y", "/data", &[(254, 0), (8, 1)]),
            ("/data/nfs share/x", "/data/nfs share", &[(254, 0), (8, 1), (0, 50)]),
            ("/srv/a/in", "/srv/a", &[(254, 0), (8, 1)]),
            ("/srv/b", "/", &[(254, 0)]),
            ("/hidden/deep/x", "/hidden", &[(254, 0), (0, 61), (0, 62)]),
        ] {
            let chain = chain(path);
            assert_eq!((&*chain.point, &*chain.devices), (Path::new(point), devices), "{path}");
            assert!(!chain.is_automount);
        }
        assert!(chain("/net/host/x").is_automount);
        assert_eq!(MountTable::parse(b"").chain(Path::new("/")), None);
    }

    #[test]
    fn a_link_to_another_file_system_is_found() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir(temp.path().join("in")).unwrap();
        std::os::unix::fs::symlink("/proc", temp.path().join("proc")).unwrap();
        std::os::unix::fs::symlink("in", temp.path().join("link")).unwrap();
        let real = temp.path().canonicalize().unwrap();
        let table = MountTable::read().unwrap();
        let stays = |name: &str| {
            let path = real.join(name);
            table.chain(&path).unwrap().contains(&path)
        };
        assert!(stays("in") && stays("link") && stays("missing"));
        assert!(!stays("proc") && !stays("proc/self") && !stays("in/../in"));
    }
}
