//! Root checks: whether the root of a drop directory exists, and is the directory and on the file
//! system that it was.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::fs::{self, Dir, FsId};
use crate::model::Stat;

/// Minimum interval of the checks of one root directory.
pub(super) const ROOT_CHECK: Duration = Duration::from_secs(1);

/// Maximum number of checks a second in one watch thread, so that many drop directories at rest
/// cost no more than some of them. A check takes 30 µs.
const CHECKS_A_SECOND: u32 = 25;

/// When the root directory is checked. An event of the directory itself, or of a mount, leads to a
/// check earlier; without one, a directory above it may have been renamed.
pub(super) struct RootCheck {
    last: Instant,
    next: Instant,
}

impl RootCheck {
    /// Has the root checked at once.
    pub(super) fn new(now: Instant) -> Self {
        RootCheck { last: now, next: now }
    }

    pub(super) fn due(&self) -> Instant {
        self.next
    }

    /// Notes a check. `roots` is the number of drop directories of the thread.
    pub(super) fn plan(&mut self, roots: usize, now: Instant) {
        *self = RootCheck { last: now, next: now + interval(roots) };
    }

    /// Has the root checked earlier, because it may have changed.
    pub(super) fn hasten(&mut self) {
        self.next = self.next.min(self.last + ROOT_CHECK);
    }
}

/// Returns the interval of the checks of each root in a thread with so many.
pub(super) fn interval(roots: usize) -> Duration {
    let roots = u32::try_from(roots).unwrap_or(u32::MAX);
    ROOT_CHECK.max(ROOT_CHECK * roots / CHECKS_A_SECOND)
}

/// Identifies the root directory, to notice when another one was made or mounted in its place. The
/// inode number is not enough: a new directory often gets the number of the old one, whose watch
/// is dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DirIdentity {
    dev: u64,
    ino: u64,
    born_ns: i64,
    mount: u64,
}

impl DirIdentity {
    pub(super) fn of(path: &Path) -> fs::Result<Self> {
        let dir = Dir::open(path)?;
        let stat = dir.stat_self()?;
        let (Stat { dev, mount, .. }, (ino, born_ns)) = (stat, fs::dir_id(&dir, &stat)?);
        Ok(DirIdentity { dev, ino, born_ns, mount })
    }
}

/// The file system of the root directory, to notice that it was unmounted: its mount point remains
/// as a directory, and drops in it are not those of the file system.
pub(super) struct RootFs {
    pub(super) id: FsId,
    /// The file systems of the directories above, of which one contains the mount point.
    pub(super) above: Vec<FsId>,
}

impl RootFs {
    /// Returns whether the path now leads to the directory below the mount point, because its file
    /// system was unmounted. npyd works with another file system that is mounted there instead or
    /// later.
    pub(super) fn is_unmounted(&self, now: FsId) -> bool {
        now != self.id && self.above.contains(&now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_a_second_are_bounded() {
        for (roots, seconds) in [(0, 1), (1, 1), (25, 1), (50, 2), (250, 10), (1000, 40)] {
            assert_eq!(interval(roots), Duration::from_secs(seconds), "{roots}");
        }
    }

    #[test]
    fn an_event_hastens_a_check() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut check = RootCheck::new(start);
        assert_eq!(check.due(), start);
        check.plan(250, at(5));
        assert_eq!(check.due(), at(15));
        check.hasten();
        assert_eq!(check.due(), at(6));
        check.plan(1, at(7));
        check.hasten();
        assert_eq!(check.due(), at(8));
    }
}
