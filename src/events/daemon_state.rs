//! The state of the daemon and of its configuration.

use std::fmt;
use std::path::PathBuf;

use crate::text::count::counted;
use crate::text::one_line::shown;

/// The state of the daemon or of its configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DaemonState {
    /// The first scans are done.
    Ready {
        /// Number of drop directories.
        drop_dirs: DropDirCount,
    },
    /// npyd read the configuration again, and uses it.
    Reloaded {
        /// Number of drop directories.
        drop_dirs: DropDirCount,
    },
    /// npyd could not read the configuration again, and still uses the old one.
    ReloadFailed {
        /// Why npyd could not read the configuration.
        error: String,
    },
    /// Some changed settings take effect only after a restart.
    NeedsRestart {
        /// Names of the settings.
        settings: Vec<&'static str>,
    },
    /// The sources of a drop directory are to be removed or archived from now on; those of finished
    /// arrays stay.
    Disposes {
        /// The drop directory.
        drop_dir: PathBuf,
        /// What happens to sources, as a participle.
        what: &'static str,
    },
    /// A new configuration lacks a drop directory.
    LeftOut {
        /// The drop directory.
        drop_dir: PathBuf,
    },
    /// The daemon received a signal to stop.
    Stopping,
    /// The daemon exits.
    Stopped {
        /// Whether npyd interrupted work, which it repeats after the next start.
        has_work_left: bool,
    },
}

/// A number of drop directories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DropDirCount(pub usize);

impl fmt::Display for DropDirCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&counted(self.0, "drop directory"))
    }
}

impl fmt::Display for DaemonState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DaemonState::Ready { drop_dirs } => write!(f, "ready: {drop_dirs}"),
            DaemonState::Reloaded { drop_dirs } => {
                write!(f, "configuration read again: {drop_dirs}")
            }
            DaemonState::ReloadFailed { error } => {
                write!(f, "the configuration is kept as it was: {error}")
            }
            DaemonState::NeedsRestart { settings } => {
                write!(f, "restart npyd to apply what changed in {}", settings.join(", "))
            }
            DaemonState::Disposes { drop_dir, what } => write!(
                f,
                "sources in `{}` are {what} from now on; those whose arrays are finished stay: `npyd \
                 redo NAME` lets one go",
                shown(drop_dir)
            ),
            DaemonState::LeftOut { drop_dir } => write!(
                f,
                "`{}` is not in the configuration any more: its files stay as they are",
                shown(drop_dir)
            ),
            DaemonState::Stopping => f.write_str("stopping"),
            DaemonState::Stopped { has_work_left: false } => f.write_str("stopped"),
            DaemonState::Stopped { has_work_left: true } => {
                f.write_str("stopped with work under way; it will be done again")
            }
        }
    }
}
