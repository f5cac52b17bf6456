//! Decides which drop directories may share a watch thread. A system call on a hung mount never
//! returns, so drop directories share a thread only if they use the same file systems.

use std::path::{Path, PathBuf};

use crate::config::DropDir;
use crate::fs::{Device, MountTable};

/// Where a drop directory is watched: drop directories with equal places may share a thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a thread for these file systems: those that the lookups of the drop directory's paths
    /// cross.
    Shared(Vec<Device>),
    /// In a thread of its own, because it is not known which file systems its paths lead to.
    Own(PathBuf),
}

impl Place {
    /// Returns the place of a drop directory. Touches none of its file systems. Links in its paths
    /// are resolved already, except those that lead nowhere or to a file system that hangs:
    /// [`Place::leads_elsewhere`] finds these.
    pub(crate) fn of(drop_dir: &DropDir, mounts: Option<&MountTable>) -> Self {
        let devices = mounts.and_then(|mounts| {
            let mut devices = Vec::new();
            for path in paths(drop_dir) {
                let chain = mounts.chain(path).filter(|chain| !chain.is_automount)?;
                devices.extend(chain.devices);
            }
            devices.sort_unstable();
            devices.dedup();
            Some(devices)
        });
        devices.map_or_else(|| Place::own(drop_dir), Place::Shared)
    }

    /// Returns the place in a thread of its own.
    pub(crate) fn own(drop_dir: &DropDir) -> Self {
        Place::Own(drop_dir.path.clone())
    }

    /// Returns whether a link leads from a path of the drop directory to another file system than
    /// its name says. To be called in the thread for its file systems.
    pub(crate) fn leads_elsewhere(drop_dir: &DropDir, mounts: &MountTable) -> bool {
        let is_inside = |path| mounts.chain(path).is_some_and(|chain| chain.contains(path));
        !paths(drop_dir).all(is_inside)
    }
}

/// Returns the paths that the tracker of a drop directory uses.
fn paths(drop_dir: &DropDir) -> impl Iterator<Item = &Path> {
    [drop_dir.path.as_path()].into_iter().chain(drop_dir.managed_dirs())
}
