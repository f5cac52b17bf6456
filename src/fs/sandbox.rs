//! systemd's sandbox: which directories it hides from this process (`systemd.exec(5)`), as
//! `/proc/self/mountinfo` shows. Without this, a hidden directory looks like one that is missing or
//! lacks permissions.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// A setting of a unit that hides directories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HidingSetting {
    /// `ProtectHome=yes` or `tmpfs`.
    ProtectHome,
    /// `PrivateTmp=yes`.
    PrivateTmp,
}

impl HidingSetting {
    /// Returns the setting that concerns a path.
    #[must_use]
    pub fn about(path: &Path) -> Option<Self> {
        let is_below = |dirs: &[&str]| dirs.iter().any(|dir| path.starts_with(dir));
        if is_below(HOMES) {
            Some(HidingSetting::ProtectHome)
        } else if is_below(TEMPORARY) {
            Some(HidingSetting::PrivateTmp)
        } else {
            None
        }
    }

    /// Returns what hides the directory, and what to do.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        match self {
            HidingSetting::ProtectHome => {
                "ProtectHome= of the unit hides it: set ProtectHome=no (systemctl edit npyd)"
            }
            HidingSetting::PrivateTmp => {
                "PrivateTmp= of the unit hides it: use another directory, or set PrivateTmp=no \
                 (systemctl edit npyd)"
            }
        }
    }
}

/// The directories that `ProtectHome=` concerns.
const HOMES: &[&str] = &["/home", "/root", "/run/user"];

/// The directories that `PrivateTmp=` concerns.
const TEMPORARY: &[&str] = &["/tmp", "/var/tmp"];

/// Returns the setting that hides a path from this process. A unit's mounts do not change while it
/// runs, so that they are read once.
#[must_use]
pub fn hidden_by(path: &Path) -> Option<HidingSetting> {
    static HIDDEN: OnceLock<Vec<PathBuf>> = OnceLock::new();
    let setting = HidingSetting::about(path)?;
    let hidden = HIDDEN.get_or_init(|| {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        mounts.lines().filter_map(hidden_dir).collect()
    });
    hidden.iter().any(|dir| path.starts_with(dir)).then_some(setting)
}

/// Returns the directory that a line of `mountinfo` hides. systemd mounts an inaccessible directory
/// or an empty read-only tmpfs over homes, and a directory of the unit's own over temporary ones.
fn hidden_dir(line: &str) -> Option<PathBuf> {
    let (mount, source) = line.split_once(" - ")?;
    let mut fields = mount.split(' ').skip(3);
    let (root, dir, options) = (fields.next()?, fields.next()?, fields.next()?);
    let is_empty = source.starts_with("tmpfs ") && options.split(',').any(|it| it == "ro");
    let is_hidden = match HidingSetting::about(Path::new(dir))? {
        HidingSetting::ProtectHome => {
            root.ends_with("/systemd/inaccessible/dir") || is_empty && HOMES.contains(&dir)
        }
        HidingSetting::PrivateTmp => root.contains("/systemd-private-") && TEMPORARY.contains(&dir),
    };
    is_hidden.then(|| PathBuf::from(dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_of_a_unit() {
        let hidden = |root: &str, dir: &str, source: &str| {
            let line = format!("90 40 0:25 {root} {dir} ro,nosuid shared:9 - {source} rw,size=1k");
            hidden_dir(&line).is_some()
        };
        assert!(hidden("/systemd/inaccessible/dir", "/home", "tmpfs tmpfs"));
        assert!(hidden("/run/systemd/inaccessible/dir", "/run/user", "ext4 /dev/sda"));
        assert!(hidden("/", "/root", "tmpfs tmpfs"));
        assert!(hidden("/tmp/systemd-private-1-npyd.service-2/tmp", "/tmp", "ext4 /dev/sda"));
        assert!(hidden("/var/tmp/systemd-private-1-x/tmp", "/var/tmp", "xfs /dev/sda"));
        assert!(!hidden("/", "/home", "ext4 /dev/sda"));
        assert!(!hidden("/", "/home/alice", "tmpfs tmpfs"));
        assert!(!hidden("/", "/tmp", "tmpfs tmpfs"));
        assert!(!hidden("/systemd/inaccessible/dir", "/sys/kernel", "tmpfs tmpfs"));
        assert_eq!(hidden_dir(""), None);
    }

    #[test]
    fn whom_a_setting_concerns() {
        for (path, setting) in [
            ("/home/alice/in", Some(HidingSetting::ProtectHome)),
            ("/run/user/1000", Some(HidingSetting::ProtectHome)),
            ("/tmp/in", Some(HidingSetting::PrivateTmp)),
            ("/homes/in", None),
            ("/run/in", None),
            ("/data/home", None),
        ] {
            assert_eq!(HidingSetting::about(Path::new(path)), setting, "{path}");
        }
    }
}
