//! The daemon lock: each daemon holds a shared lock (`flock(2)`) on its state directory, by which
//! commands and other daemons find it. It prevents nothing.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

/// How often [`find_daemons`] reads the list of locks before it trusts that a lock is not there: if
/// other locks end meanwhile, the kernel can skip one.
const LOOKS_AT_LOCKS: u32 = 3;

/// The lock of a daemon. It ends with the process.
#[derive(Debug)]
pub struct DaemonLock(File);

impl DaemonLock {
    /// Locks the state directory. Returns `None` if its file system can't.
    #[must_use]
    pub fn hold(state_dir: &Path) -> Option<Self> {
        let dir = File::open(state_dir).ok()?;
        flock(&dir, FlockOperation::NonBlockingLockShared).ok()?;
        Some(DaemonLock(dir))
    }

    /// Locks the state directory again if another directory has its path now.
    #[must_use]
    pub fn renew(self, state_dir: &Path) -> Option<Self> {
        let inode = |stat: io::Result<Metadata>| stat.map(|stat| (stat.dev(), stat.ino())).ok();
        let now = inode(std::fs::metadata(state_dir));
        if now.is_none() || now == inode(self.0.metadata()) {
            return Some(self);
        }
        Self::hold(state_dir)
    }
}

/// Returns the process IDs of the daemons that use the state directory. Returns `None` if that
/// can't be told: `/proc/locks` can't be read, or a container hides processes outside it.
#[must_use]
pub fn find_daemons(state_dir: &Path) -> Option<Vec<u32>> {
    let stat = std::fs::metadata(state_dir).ok()?;
    let mut readable = false;
    for _ in 0..LOOKS_AT_LOCKS {
        let Ok(locks) = std::fs::read_to_string("/proc/locks") else { continue };
        readable = true;
        let holders = holders_in(&locks, stat.ino());
        if !holders.is_empty() {
            return Some(holders);
        }
    }
    readable.then(Vec::new)
}

/// Returns the process IDs that hold a shared lock on the file of this inode, from the text of
/// `/proc/locks` (`proc_locks(5)`).
fn holders_in(locks: &str, ino: u64) -> Vec<u32> {
    let of_file = format!(":{ino}");
    let mut holders: Vec<_> = locks
        .lines()
        .filter_map(|line| {
            let fields: Vec<_> = line.split_whitespace().skip(1).collect();
            match fields[..] {
                ["FLOCK", _, "READ", pid, file, ..] if file.ends_with(&of_file) => pid.parse().ok(),
                _ => None,
            }
        })
        .collect();
    holders.sort_unstable();
    holders.dedup();
    holders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holders_of_a_lock() {
        let locks = "1: POSIX  ADVISORY  READ 7 fd:01:12 0 EOF\n\
                     2: FLOCK  ADVISORY  READ 9 fd:01:12 0 EOF\n\
                     2: -> FLOCK  ADVISORY  READ 10 fd:01:12 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 11 fd:01:12 0 EOF\n\
                     4: FLOCK  ADVISORY  READ 8 fd:01:12 0 EOF\n\
                     5: FLOCK  ADVISORY  READ 12 fd:01:112 0 EOF\n\
                     6: FLOCK  ADVISORY  READ -1 fd:01:12 0 EOF\n";
        assert_eq!(holders_in(locks, 12), [8, 9]);
        assert_eq!(holders_in(locks, 2), [0_u32; 0]);
    }

    #[test]
    fn a_daemon_is_found_while_it_holds_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(find_daemons(dir.path()), Some(Vec::new()));
        let lock = DaemonLock::hold(dir.path()).unwrap();
        let second = DaemonLock::hold(dir.path()).unwrap();
        assert_eq!(find_daemons(dir.path()), Some(vec![std::process::id()]));
        drop(lock);
        assert_eq!(find_daemons(dir.path()), Some(vec![std::process::id()]));
        drop(second);
        assert_eq!(find_daemons(dir.path()), Some(Vec::new()));
    }
}
