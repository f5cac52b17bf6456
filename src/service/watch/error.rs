//! Why a directory cannot be watched with inotify.

use std::fmt;
use std::io;

use crate::text::os_message::os_message;

/// Why a directory cannot be watched with inotify.
#[derive(Debug)]
pub enum WatchError {
    /// inotify failed.
    Os(io::Error),
    /// Another drop directory of the same instance contains the directory as well, by another
    /// mount; an instance reports the events of a directory once.
    Shared,
}

impl WatchError {
    /// Returns whether the user's watches are exhausted.
    pub(super) fn is_exhausted(&self) -> bool {
        matches!(self, WatchError::Os(error) if error.raw_os_error() == Some(libc::ENOSPC))
    }
}

impl From<io::Error> for WatchError {
    fn from(error: io::Error) -> Self {
        WatchError::Os(error)
    }
}

impl fmt::Display for WatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WatchError::Os(_) if self.is_exhausted() => f.write_str(
                "no inotify watches are left (the disk is not full): \
                 raise fs.inotify.max_user_watches",
            ),
            WatchError::Os(error) if error.raw_os_error() == Some(libc::EMFILE) => f.write_str(
                "no inotify instances or descriptors are left: \
                 raise fs.inotify.max_user_instances or LimitNOFILE",
            ),
            WatchError::Os(error) => f.write_str(&os_message(error)),
            WatchError::Shared => f.write_str("another drop directory contains it as well"),
        }
    }
}

impl std::error::Error for WatchError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            WatchError::Os(error) => Some(error),
            WatchError::Shared => None,
        }
    }
}
