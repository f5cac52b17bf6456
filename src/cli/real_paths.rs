//! Resolves the symlinks in the configured paths, once, so that each directory has one path: npyd
//! compares paths to recognize its own directories, and inotify does not follow symlinks.

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::config::{Config, ConfigError};

/// Maximum time to resolve the paths of a configuration. On a hung mount they stay as they are.
const RESOLVE_WITHIN: Duration = Duration::from_secs(2);

/// The paths of a drop directory: its own, output, archive and rejects.
type Paths = (PathBuf, [Option<PathBuf>; 3]);

/// Resolves all paths of a configuration, and checks again those that depend on each other.
pub(super) fn resolve(config: &mut Config, name: &Path) -> Result<(), ConfigError> {
    let paths: Vec<Paths> =
        config.drop_dirs.iter().map(|it| (it.path.clone(), it.dirs())).collect();
    let (to, from) = mpsc::channel();
    let resolved = thread::Builder::new()
        .spawn(move || to.send(paths.into_iter().map(real_paths).collect::<Vec<_>>()))
        .ok()
        .and_then(|_| from.recv_timeout(RESOLVE_WITHIN).ok());
    for (drop_dir, (path, dirs)) in config.drop_dirs.iter_mut().zip(resolved.into_iter().flatten())
    {
        drop_dir.set_paths(path, dirs);
    }
    config.find_neighbors();
    config.check_paths(name)
}

fn real_paths((path, dirs): Paths) -> Paths {
    let real = path.canonicalize().unwrap_or_else(|_| path.clone());
    let dirs = dirs.map(|dir| dir.map(|dir| real_path(&dir, &path, &real)));
    (real, dirs)
}

/// Resolves the path of a directory outside the drop directory. Does not resolve links inside the
/// drop directory: its users may have made them, and npyd follows none of them.
fn real_path(dir: &Path, drop: &Path, real_drop: &Path) -> PathBuf {
    if let Ok(inside) = dir.strip_prefix(drop) {
        return if inside.as_os_str().is_empty() {
            real_drop.into()
        } else {
            real_drop.join(inside)
        };
    }
    let mut real = PathBuf::new();
    for part in dir {
        real.push(part);
        if !real.starts_with(real_drop)
            && let Ok(resolved) = real.canonicalize()
        {
            real = resolved;
        }
    }
    real
}

#[cfg(test)]
mod tests {
    use std::fs::create_dir_all;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_inside_the_drop_directory_stay() {
        let temp = tempfile::tempdir().unwrap();
        let at = |name: &str| temp.path().canonicalize().unwrap().join(name);
        create_dir_all(at("in/archive")).unwrap();
        create_dir_all(at("elsewhere")).unwrap();
        symlink("in", at("link")).unwrap();
        symlink("../elsewhere", at("in/trap")).unwrap();
        for (named, real) in [
            ("in/archive", "in/archive"),
            ("link/archive", "in/archive"),
            ("in/trap", "in/trap"),
            ("link/trap", "in/trap"),
            ("link/missing", "in/missing"),
            ("missing/dir", "missing/dir"),
            ("elsewhere", "elsewhere"),
        ] {
            for drop in ["in", "link"] {
                assert_eq!(real_path(&at(named), &at(drop), &at("in")), at(real), "{named} {drop}");
            }
        }
    }
}
