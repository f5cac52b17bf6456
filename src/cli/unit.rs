//! The installed unit of the daemon, as far as its files say what its sandbox denies
//! (`systemd.unit(5)`, `systemd.exec(5)`). `npyd check` runs outside that sandbox.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{env, fs};

use crate::fs::HidingSetting;

/// The unit's name.
pub(crate) const NAME: &str = "npyd.service";

/// Where systemd looks for units, first match first.
const DIRS: &str = "/etc/systemd/system:/run/systemd/system:/usr/local/lib/systemd/system:\
                    /usr/lib/systemd/system:/lib/systemd/system";

/// Directories that no `ProtectSystem=strict` makes read-only.
const NOT_PROTECTED: &[&str] = &["/dev", "/proc", "/sys"];

/// The settings of the unit's files that concern the daemon's directories.
#[derive(Debug, Default)]
pub(crate) struct Unit {
    protect_home: String,
    private_tmp: String,
    protect_system: String,
    writable: Vec<PathBuf>,
    config: Option<PathBuf>,
    /// `User=`.
    pub(crate) user: Option<String>,
    /// Whether its capabilities let it rename and remove files of others in sticky directories.
    pub(crate) has_fowner: bool,
}

impl Unit {
    /// Reads the unit that starts npyd with this configuration. Returns `None` if there is no unit,
    /// or if this process runs in that unit and is itself subject to its restrictions.
    ///
    /// # Errors
    /// The unit starts npyd with another configuration, which is returned.
    pub(crate) fn of_config(config: &Path) -> Result<Option<Self>, PathBuf> {
        let cgroup = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        if cgroup.lines().any(|line| line.ends_with(&format!("/{NAME}"))) {
            return Ok(None);
        }
        let Some(unit) = Self::read(&unit_dirs()) else { return Ok(None) };
        let theirs = unit.config.as_deref().unwrap_or(Path::new(crate::config::DEFAULT_PATH));
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        if real(theirs) == real(config) { Ok(Some(unit)) } else { Err(theirs.to_path_buf()) }
    }

    fn read(dirs: &[PathBuf]) -> Option<Self> {
        let main = dirs.iter().find_map(|dir| fs::read_to_string(dir.join(NAME)).ok())?;
        let mut overrides: Vec<(OsString, PathBuf)> = Vec::new();
        for dir in dirs {
            let entries = fs::read_dir(dir.join(format!("{NAME}.d")));
            for entry in entries.into_iter().flatten().flatten() {
                let name = entry.file_name();
                let is_known = overrides.iter().any(|(known, _)| *known == name);
                if !is_known && Path::new(&name).extension().is_some_and(|it| it == "conf") {
                    overrides.push((name, entry.path()));
                }
            }
        }
        overrides.sort();
        let mut unit = Unit::default();
        unit.parse(&main);
        for (_, path) in overrides {
            unit.parse(&fs::read_to_string(path).unwrap_or_default());
        }
        Some(unit)
    }

    fn parse(&mut self, text: &str) {
        let text = text.replace("\\\n", " ");
        let mut section = "";
        for line in text.lines().map(str::trim) {
            if line.starts_with('[') {
                section = line;
            } else if section == "[Service]"
                && !line.starts_with(['#', ';'])
                && let Some((key, value)) = line.split_once('=')
            {
                self.set(key.trim(), value.trim());
            }
        }
    }

    fn set(&mut self, key: &str, value: &str) {
        match key {
            "ProtectHome" => value.clone_into(&mut self.protect_home),
            "PrivateTmp" => value.clone_into(&mut self.private_tmp),
            "ProtectSystem" => value.clone_into(&mut self.protect_system),
            "AmbientCapabilities" => {
                self.has_fowner =
                    !value.is_empty() && (self.has_fowner || value.contains("CAP_FOWNER"));
            }
            "User" => self.user = Some(value.to_owned()).filter(|user| !user.is_empty()),
            "ReadWritePaths" | "BindPaths" if value.is_empty() => self.writable.clear(),
            "ReadWritePaths" | "BindPaths" => {
                let paths = value.split_ascii_whitespace().map(|path| path.trim_matches('"'));
                let paths = paths.map(|path| path.trim_start_matches(['-', '+']));
                // Of a bind mount, only the path inside counts.
                let inside = paths.map(|path| path.split(':').nth(1).unwrap_or(path));
                self.writable.extend(inside.map(PathBuf::from));
            }
            "StateDirectory" => {
                let names = value.split_ascii_whitespace();
                self.writable.extend(names.map(|name| Path::new("/var/lib").join(name)));
            }
            "ExecStart" => {
                let mut words = value.split_ascii_whitespace();
                let option = words.find_map(|word| match word.strip_prefix("--config") {
                    Some("") => Some(None),
                    Some(rest) => Some(rest.strip_prefix('=')),
                    None => None,
                });
                self.config = option.and_then(|it| it.or_else(|| words.next())).map(PathBuf::from);
            }
            _ => {}
        }
    }

    /// Returns whether the sandbox has two directories on different mounts, between which no file
    /// can be renamed: each path of `ReadWritePaths=` that is in no other one becomes a mount.
    pub(crate) fn separates(&self, one: &Path, other: &Path) -> bool {
        let mount_of = |path: &Path| {
            let paths = self.writable.iter().filter(|it| path.starts_with(it));
            paths.min_by_key(|it| it.as_os_str().len())
        };
        mount_of(one) != mount_of(other)
    }

    /// Returns what the daemon's sandbox denies for a directory, and the remedy. `whole` is the
    /// directory that has all directories of its drops, if there is one: between two paths of
    /// `ReadWritePaths=` npyd could rename no file.
    pub(crate) fn denies(
        &self,
        path: &Path,
        is_written: bool,
        whole: Option<&Path>,
    ) -> Option<String> {
        let is_writable = self.writable.iter().any(|it| path.starts_with(it));
        let hides = match HidingSetting::about(path) {
            Some(HidingSetting::ProtectHome) => {
                is_on(&self.protect_home) || self.protect_home == "tmpfs" && !is_writable
            }
            Some(HidingSetting::PrivateTmp) => {
                is_on(&self.private_tmp) || self.private_tmp == "disconnected"
            }
            None => false,
        };
        if hides {
            return HidingSetting::about(path).map(|setting| setting.remedy().to_owned());
        }
        let is_free = NOT_PROTECTED.iter().any(|dir| path.starts_with(dir));
        let is_protected = self.protect_system == "strict" && !is_free;
        (is_written && is_protected && !is_writable).then(|| {
            format!(
                "the unit lets npyd only read it (ProtectSystem=strict): add ReadWritePaths=-{} \
                 (systemctl edit npyd)",
                whole.unwrap_or(path).display()
            )
        })
    }
}

/// Returns the directory that has all of these, if there is one below the root directory.
pub(crate) fn common_parent<'a>(dirs: impl IntoIterator<Item = &'a Path>) -> Option<&'a Path> {
    let mut dirs = dirs.into_iter();
    let first = dirs.next()?;
    let common = dirs
        .try_fold(first, |common, dir| common.ancestors().find(|above| dir.starts_with(above)))?;
    common.parent().map(|_| common)
}

/// Returns the directories with unit files, as systemd's own `SYSTEMD_UNIT_PATH` sets them.
fn unit_dirs() -> Vec<PathBuf> {
    let mut dirs = env::var_os("SYSTEMD_UNIT_PATH").unwrap_or_default();
    let text = dirs.to_string_lossy();
    if text.is_empty() || text.ends_with(':') {
        dirs.push(DIRS);
    }
    env::split_paths(&dirs).collect()
}

fn is_on(value: &str) -> bool {
    ["yes", "true", "1", "on"].contains(&value.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(text: &str) -> Unit {
        let mut unit = Unit::default();
        unit.parse(include_str!("../../systemd/npyd.service"));
        unit.parse(text);
        unit
    }

    #[test]
    fn the_shipped_unit() {
        let unit = unit("");
        assert_eq!(unit.config.as_deref(), Some(Path::new("/etc/npyd/npyd.toml")));
        assert_eq!(unit.user.as_deref(), Some("npyd"));
        let denies = |path: &str, is_written| unit.denies(Path::new(path), is_written, None);
        for (path, words) in [
            ("/home/alice/in", "ProtectHome=no"),
            ("/root/in", "ProtectHome=no"),
            ("/tmp/in", "PrivateTmp=no"),
            ("/data/in", "ReadWritePaths=-/data/in"),
        ] {
            assert!(denies(path, true).is_some_and(|it| it.contains(words)), "{path}");
        }
        assert!(denies("/home/alice/in", false).is_some());
        let whole = unit.denies("/data/in".as_ref(), true, Some("/data".as_ref()));
        assert!(whole.is_some_and(|it| it.contains("ReadWritePaths=-/data ")));
        for (path, is_written) in [("/data/in", false), ("/var/lib/npyd/out", true)] {
            assert_eq!(denies(path, is_written), None, "{path}");
        }
    }

    #[test]
    fn mounts_of_the_sandbox() {
        let paths = "-/data/in -/data/out /mnt/lab /mnt/lab/npy /data/in2";
        let unit = unit(&format!("[Service]\nReadWritePaths={paths}\n"));
        for (one, other, expected) in [
            ("/data/in", "/data/out", true),
            ("/data/in", "/data/in/npy", false),
            ("/data/in/a", "/data/in2", true),
            ("/mnt/lab/in", "/mnt/lab/npy", false),
            ("/data/in", "/srv/out", true),
            ("/srv/in", "/srv/out", false),
        ] {
            assert_eq!(unit.separates(one.as_ref(), other.as_ref()), expected, "{one} {other}");
        }
    }

    #[test]
    fn the_directory_that_has_all() {
        for (dirs, expected) in [
            (&["/data/in"][..], Some("/data/in")),
            (&["/data/camera/in", "/data/camera/npy"], Some("/data/camera")),
            (&["/data/camera/in", "/data/camera"], Some("/data/camera")),
            (&["/data/cam/in", "/data/camera/in", "/data/old"], Some("/data")),
            (&["/data/in", "/srv/npy"], None),
        ] {
            let dirs = dirs.iter().map(Path::new);
            assert_eq!(common_parent(dirs), expected.map(Path::new));
        }
    }

    #[test]
    fn overrides() {
        let text = "[Unit]\nReadWritePaths=/data\n[Service]\n# PrivateTmp=yes\nPrivateTmp=no\n\
                    ProtectHome=tmpfs\nReadWritePaths=-/data/camera \\\n  \"/mnt\"\n\
                    BindPaths=/srv/x:/home/alice/in\n\
                    ExecStart=\nExecStart=/usr/bin/npyd run --config=/etc/other.toml\n";
        let unit = unit(text);
        assert_eq!(unit.config.as_deref(), Some(Path::new("/etc/other.toml")));
        for path in ["/tmp/in", "/mnt/a", "/data/camera/in", "/home/alice/in/npy"] {
            let is_tmp = path.starts_with("/tmp");
            assert_eq!(unit.denies(Path::new(path), !is_tmp, None), None, "{path}");
        }
        for path in ["/data/other", "/home/bob/in", "/tmp/in"] {
            assert!(unit.denies(Path::new(path), true, None).is_some(), "{path}");
        }
    }
}
