//! I/O pressure of other processes, by the kernel's pressure stall information (PSI, see
//! `Documentation/accounting/psi.rst` of the kernel).

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::facts::{self, Fact};
use crate::model::Limit;

/// How long a reading is cached.
const CACHE_TTL: Duration = Duration::from_secs(1);

/// Pressure of the whole system.
const SYSTEM_PSI: &str = "/proc/pressure/io";

/// Mount points of control groups of version 2, alone and beside version 1.
const GROUPS: &[&str] = &["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

/// A limit on the I/O pressure of other processes.
pub struct Pressure {
    limit: Limit,
    gauges: Vec<PathBuf>,
    last: Mutex<Option<(Instant, bool)>>,
}

impl Pressure {
    /// Makes a limit; `None` if this kernel does not measure the pressure.
    #[must_use]
    pub fn new(limit: Limit) -> Option<Self> {
        let gauges = gauges();
        read(&gauges).map(|_| Pressure { limit, gauges, last: Mutex::new(None) })
    }

    /// Returns whether the pressure exceeds the limit.
    #[must_use]
    pub fn is_too_high(&self) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let before = last.is_some_and(|(_, too_high)| too_high);
        if last.is_some_and(|(at, _)| at.elapsed() < CACHE_TTL) {
            return before;
        }
        let percent = read(&self.gauges).unwrap_or(0.0);
        let now = percent > f64::from(self.limit.0);
        *last = Some((Instant::now(), now));
        let limit = self.limit.0;
        match (before, now) {
            (false, true) => facts::note(Fact::Paused { percent, limit }),
            (true, false) => facts::note(Fact::Unpaused),
            _ => {}
        }
        now
    }
}

/// Returns the highest pressure in any of these files, in percent.
fn read(gauges: &[PathBuf]) -> Option<f64> {
    let texts = gauges.iter().filter_map(|gauge| fs::read_to_string(gauge).ok());
    texts.filter_map(|text| some_avg10(&text)).reduce(f64::max)
}

/// Parses `some avg10=1.23 …`: the percentage of the last ten seconds in which a process waited.
fn some_avg10(text: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix("some "))?;
    line.split_whitespace().find_map(|word| word.strip_prefix("avg10="))?.parse().ok()
}

/// Returns the PSI files to read. With a control group of its own, as under systemd, npyd reads
/// only the sibling groups on each level, so that its own stalls do not count.
fn gauges() -> Vec<PathBuf> {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let own = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    let mut beside = GROUPS.iter().map(|root| groups_beside(Path::new(root), Path::new(own)));
    let siblings = beside.find(|gauges| !gauges.is_empty());
    siblings.unwrap_or_else(|| vec![PathBuf::from(SYSTEM_PSI)])
}

/// Returns the PSI files of the siblings of `own` and of its ancestors below `root`.
fn groups_beside(root: &Path, own: &Path) -> Vec<PathBuf> {
    let own = root.join(own);
    let mut gauges = Vec::new();
    if !own.join("io.pressure").exists() {
        return gauges; // what lies here are not the groups, but what holds them all
    }
    for group in own.ancestors().take_while(|group| group != &root) {
        let Some(Ok(beside)) = group.parent().map(fs::read_dir) else { continue };
        let others = beside.flatten().map(|entry| entry.path()).filter(|path| path != group);
        gauges.extend(others.map(|path| path.join("io.pressure")).filter(|gauge| gauge.exists()));
    }
    gauges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_ten_seconds_is_read() {
        let text = "some avg10=12.34 avg60=1.00 avg300=0.10 total=5\nfull avg10=1.00 avg60=0.00";
        assert_eq!(some_avg10(text), Some(12.34));
        assert_eq!(some_avg10("full avg10=1.00"), None);
        assert_eq!(some_avg10(""), None);
    }

    #[test]
    fn the_groups_of_others_count() {
        let temp = tempfile::tempdir().unwrap();
        let gauge = |group: &str, percent: &str| {
            let dir = temp.path().join(group);
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join("io.pressure"), format!("some avg10={percent} total=0\n")).unwrap();
        };
        gauge("user.slice", "3.5");
        gauge("user.slice/deeper", "50.0"); // which the one above includes
        gauge("system.slice", "99.0");
        gauge("system.slice/npyd.service", "98.0");
        gauge("system.slice/camera.service", "7.25");
        let found = groups_beside(temp.path(), Path::new("system.slice/npyd.service"));
        assert_eq!(found.len(), 2);
        assert_eq!(read(&found), Some(7.25));
        assert!(groups_beside(temp.path(), Path::new("")).is_empty());
        // Where both versions of control groups are mounted, the root of one lies in the other's.
        assert!(groups_beside(temp.path(), Path::new("npyd.service")).is_empty());
    }
}
