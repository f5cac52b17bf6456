//! How coarse a file system's clock is: two changes within its grain may leave the same times.

use std::sync::LazyLock;
use std::time::Duration;

use rustix::fs::ioctl_getflags;

use crate::fs::DataFile;
use crate::fs::fs_kind::info_of;
use crate::model::Stat;

/// Where times have no fraction of a second: 1 s on ext2 and ext3, 2 s on vfat, and what the clock
/// that they are taken from lags behind.
const WHOLE_SECONDS: Duration = Duration::from_millis(2020);

/// Where the clock goes on with the kernel's ticks: each 10 ms at the least, and as much behind.
const TICK: Duration = Duration::from_millis(20);

/// Those whose files get a new time by each change after somebody asked for the last, from Linux
/// 6.13 on (`Documentation/filesystems/multigrain-ts.rst`).
const FINE: [&str; 4] = ["ext4", "xfs", "btrfs", "tmpfs"];

/// `EXT4_EXTENTS_FL`.
const EXTENTS: u32 = 0x0008_0000;

static HAS_FINE_TIMES: LazyLock<bool> = LazyLock::new(|| {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|it| it.parse().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (6, 13)
});

impl DataFile {
    /// Within how long after its last change a further one may leave the file's times as they
    /// were by `stat`. Zero where that can't be.
    #[must_use]
    pub fn timestamp_granularity(&self, stat: &Stat) -> Duration {
        const SECOND: i64 = 1_000_000_000;
        if stat.mtime_ns % SECOND == 0 && stat.ctime_ns % SECOND == 0 {
            return WHOLE_SECONDS;
        }
        let is_fine = *HAS_FINE_TIMES
            && info_of(self).is_ok_and(|fs| match fs.kind.as_str() {
                "ext4" => self.has_extents(),
                kind => FINE.contains(&kind),
            });
        if is_fine { Duration::ZERO } else { TICK }
    }

    /// What is mounted as ext2 or ext3 calls itself as ext4 does, and has no extents.
    fn has_extents(&self) -> bool {
        ioctl_getflags(self).is_ok_and(|flags| flags.bits() & EXTENTS != 0)
    }
}
