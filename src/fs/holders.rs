//! Processes that have a file open, mapped or locked, from `/proc` (`proc(5)`). For messages alone:
//! a process can hide its descriptors, and others may come and go meanwhile.

use std::ffi::OsStr;
use std::fs::{self, read_to_string};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{OFlags, major, makedev};

use crate::fs::DataFile;
use crate::model::Stat;

/// How a process uses a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileUse {
    /// It has the file open for reading.
    Reads,
    /// It has the file open for writing, or mapped writable.
    Writes,
}

/// A process that uses a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The process id, or 0 for a process of another PID namespace.
    pub pid: u32,
    /// The name of its program, as `ps` shows it; empty if it is unknown.
    pub name: String,
}

/// The processes that use a file, as far as this process may see them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holders {
    /// The processes, each with the strongest use, in the order of their ids.
    pub found: Vec<(Holder, FileUse)>,
    /// Whether this process may see the open files of every process.
    pub is_complete: bool,
}

impl Holder {
    fn of(pid: u32) -> Self {
        let name = read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        Holder { pid, name: name.trim_end().to_owned() }
    }

    /// Returns whether it is a process of npyd.
    #[must_use]
    pub fn is_npyd(&self) -> bool {
        self.name == env!("CARGO_PKG_NAME")
    }
}

impl DataFile {
    /// Returns the other processes that have the file open or mapped writable. Without
    /// `CAP_SYS_PTRACE` only processes of this user can be seen. Asks nothing of the files that
    /// processes have open unless their names are equal, because a file on a hung mount would never
    /// answer.
    #[must_use]
    pub fn holders(&self) -> Holders {
        let (Ok(stat), Some(name)) = (self.stat(), self.path().file_name()) else {
            return Holders::default();
        };
        let Ok(processes) = fs::read_dir("/proc") else { return Holders::default() };
        let names = processes.flatten().map(|entry| entry.file_name());
        let mut pids: Vec<u32> = names.filter_map(|name| name.to_str()?.parse().ok()).collect();
        pids.retain(|pid| *pid != std::process::id());
        pids.sort_unstable();
        let mut holders = Holders { found: Vec::new(), is_complete: !pids.is_empty() };
        for pid in pids {
            match use_of(pid, name, &stat) {
                Ok(Some(how)) => holders.found.push((Holder::of(pid), how)),
                // The process has ended.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                Ok(None) => {}
                Err(_) => holders.is_complete = false,
            }
        }
        holders
    }

    /// Returns the process that holds the lock on the file (`flock(2)`), if any. If there are many
    /// locks, the list may lack one while others end.
    #[must_use]
    pub fn lock_holder(&self) -> Option<Holder> {
        let stat = self.stat().ok()?;
        let locks = read_to_string("/proc/locks").ok()?;
        let pid = locks.lines().find_map(|line| pid_of_lock(line, &stat))?;
        (pid != std::process::id()).then(|| Holder::of(pid))
    }
}

/// Returns how a process uses a file of that name.
fn use_of(pid: u32, name: &OsStr, stat: &Stat) -> std::io::Result<Option<FileUse>> {
    let mut strongest = None;
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        let path = entry?.path();
        let is_named = |target: &Path| {
            let target = target.as_os_str().as_bytes();
            let target = target.strip_suffix(b" (deleted)").unwrap_or(target);
            Path::new(OsStr::from_bytes(target)).file_name() == Some(name)
        };
        if !fs::read_link(&path).is_ok_and(|target| is_named(&target))
            || !fs::metadata(&path).is_ok_and(|it| (it.dev(), it.ino()) == (stat.dev, stat.ino))
        {
            continue;
        }
        let fd = path.file_name().unwrap_or_default().display();
        let how = read_to_string(format!("/proc/{pid}/fdinfo/{fd}")).ok();
        strongest = strongest.max(how.and_then(|info| use_of_descriptor(&info)));
    }
    let maps = || read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    if strongest != Some(FileUse::Writes) && maps().lines().any(|line| maps_writable(line, stat)) {
        strongest = Some(FileUse::Writes);
    }
    Ok(strongest)
}

/// Parses the flags of a descriptor. `None` for one that only names the file (`O_PATH`).
fn use_of_descriptor(info: &str) -> Option<FileUse> {
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?;
    let flags = OFlags::from_bits_retain(u32::from_str_radix(flags.trim(), 8).ok()?);
    if flags.contains(OFlags::PATH) {
        return None;
    }
    let reads = flags.intersection(OFlags::RWMODE) == OFlags::RDONLY;
    Some(if reads { FileUse::Reads } else { FileUse::Writes })
}

/// Returns whether a line of `/proc/PID/maps` is a shared writable mapping of the file.
fn maps_writable(line: &str, stat: &Stat) -> bool {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (rights, _offset, dev, ino) = (fields.next(), fields.next(), fields.next(), fields.next());
    let is_shared = rights.is_some_and(|it| it.as_bytes().get(1..4) == Some(b"w-s"))
        || rights.is_some_and(|it| it.as_bytes().get(1..4) == Some(b"wxs"));
    is_shared && is_of_file(dev, ino, stat)
}

/// Returns the process id in a line of `/proc/locks`, if it is a granted lock on the file:
/// `1: FLOCK  ADVISORY  WRITE 4711 08:01:123 0 EOF`.
fn pid_of_lock(line: &str, stat: &Stat) -> Option<u32> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    if fields.next() != Some("FLOCK") {
        return None;
    }
    let (pid, file) = (fields.nth(2)?, fields.next()?);
    let (dev, ino) = file.rsplit_once(':')?;
    // The kernel writes -1 for some remote locks.
    is_of_file(Some(dev), Some(ino), stat).then(|| pid.parse().unwrap_or(0))
}

/// Compares a device and an inode number as the kernel writes them. Device numbers without a disk
/// differ from those of `stat(2)` on btrfs and overlayfs.
fn is_of_file(dev: Option<&str>, ino: Option<&str>, stat: &Stat) -> bool {
    let device = |text: &str| {
        let (major, minor) = text.split_once(':')?;
        let hex = |text| u32::from_str_radix(text, 16).ok();
        Some(makedev(hex(major)?, hex(minor)?))
    };
    let is_same = |dev| dev == stat.dev || (major(dev) == 0 && major(stat.dev) == 0);
    ino.and_then(|ino| ino.parse().ok()) == Some(stat.ino)
        && dev.and_then(device).is_some_and(is_same)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    fn stat(dev: (u32, u32), ino: u64) -> Stat {
        let file = tempfile::tempfile().unwrap();
        Stat { dev: makedev(dev.0, dev.1), ino, ..Stat::of(&file).unwrap() }
    }

    #[test]
    fn lines_of_the_kernel() {
        let file = stat((8, 17), 4711);
        let line = "3: FLOCK  ADVISORY  WRITE 99 08:11:4711 0 EOF";
        assert_eq!(pid_of_lock(line, &file), Some(99));
        assert_eq!(pid_of_lock(&line.replace(" 99 ", " -1 "), &file), Some(0));
        for other in [
            line.replace("FLOCK", "POSIX"),
            line.replace("3: ", "3: -> "),
            line.replace("4711", "4712"),
            line.replace("08:11", "08:12"),
            line.replace("08:11", "00:11"),
            String::new(),
        ] {
            assert_eq!(pid_of_lock(&other, &file), None, "{other}");
        }
        // btrfs
        assert_eq!(pid_of_lock(&line.replace("08:11", "00:2a"), &stat((0, 31), 4711)), Some(99));
        let map = "7f00-7f10 rw-s 00000000 08:11 4711    /in/scan.raw";
        assert!(maps_writable(map, &file));
        for other in ["rw-p", "r--s", "r-xs"] {
            assert!(!maps_writable(&map.replace("rw-s", other), &file), "{other}");
        }
    }

    #[test]
    fn descriptors() {
        for (flags, how) in [
            ("0100000", Some(FileUse::Reads)),
            ("0100001", Some(FileUse::Writes)),
            ("02102002", Some(FileUse::Writes)),
            ("012000000", None),
        ] {
            let info = format!("pos:\t0\nflags:\t{flags}\nmnt_id:\t30\nino:\t1\n");
            assert_eq!(use_of_descriptor(&info), how, "{flags}");
        }
        assert_eq!(use_of_descriptor("pos:\t0\n"), None);
    }

    #[test]
    fn a_process_with_the_file_open() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("scan.raw");
        fs::write(&path, "data").unwrap();
        let file = DataFile::open(&path).unwrap();
        let other = fs::File::options().append(true).open(&path).unwrap();
        let mut holder = Command::new("cat").stdin(Stdio::piped()).stdout(other).spawn().unwrap();
        let found = file.holders().found;
        let expected = Holder { pid: holder.id(), name: "cat".to_owned() };
        drop(holder.stdin.take());
        holder.wait().unwrap();
        // Other tests start processes, which have all files of this one open for a moment.
        assert!(found.contains(&(expected.clone(), FileUse::Writes)), "{found:?}");
        let found = file.holders().found;
        assert!(!found.iter().any(|(holder, _)| holder.pid == expected.pid), "{found:?}");
    }
}
