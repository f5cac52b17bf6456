//! Timestamp granularity of file systems: two changes within one granule can leave identical mtime
//! and ctime.

use std::sync::LazyLock;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::fs::ioctl_getflags;

use crate::fs::DataFile;
use crate::model::{FsKind, Stat};

/// Granularity where timestamps are whole seconds: 1 s on ext2 and ext3, 2 s on vfat, plus the lag
/// of the kernel's coarse clock.
const WHOLE_SECONDS: Duration = Duration::from_millis(2020);

/// Granularity where timestamps come from the kernel's coarse clock: a tick of at most 10 ms, plus
/// a lag of as much.
const TICK: Duration = Duration::from_millis(20);

/// File systems with multigrain timestamps from Linux 6.13 on: after somebody has read a time, the
/// next change gets a different one (`Documentation/filesystems/multigrain-ts.rst`).
const FINE: [FsKind; 4] = [FsKind::Ext4, FsKind::Xfs, FsKind::Btrfs, FsKind::Tmpfs];

/// `EXT4_EXTENTS_FL`.
const EXTENTS: u32 = 0x0008_0000;

static HAS_FINE_TIMES: LazyLock<bool> = LazyLock::new(|| {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|it| it.parse().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (6, 13)
});

impl DataFile {
    /// Returns for how long after the last change a further one may leave the times of `stat`
    /// unchanged. Returns zero where each change gets its own time.
    #[must_use]
    pub fn timestamp_granularity(&self, stat: &Stat) -> Duration {
        const SECOND: i64 = 1_000_000_000;
        if stat.mtime_ns % SECOND == 0 && stat.ctime_ns % SECOND == 0 {
            return WHOLE_SECONDS;
        }
        let is_fine = *HAS_FINE_TIMES
            && self.file_system().is_ok_and(|fs| match fs.kind {
                FsKind::Ext4 => self.has_extents(),
                kind => FINE.contains(&kind),
            });
        if is_fine { Duration::ZERO } else { TICK }
    }

    /// Returns whether the file system has extents. ext2 and ext3 report the magic number of ext4,
    /// but have none. One file with extents proves it for all.
    fn has_extents(&self) -> bool {
        let is_known = &self.fs_facts().has_extents;
        let asked = || ioctl_getflags(self).is_ok_and(|flags| flags.bits() & EXTENTS != 0);
        let has_extents = is_known.load(Ordering::Relaxed) || asked();
        if has_extents {
            is_known.store(true, Ordering::Relaxed);
        }
        has_extents
    }
}
