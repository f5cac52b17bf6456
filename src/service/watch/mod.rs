//! Watches of directories by inotify. Events are hints: a lost event delays a drop until the next
//! scan, and does no other harm.
//!
//! Each watch thread has one inotify instance for all its drop directories. A scan watches each
//! directory before it lists it, so that a file is in the listing or has an event, and no directory
//! is walked for its watch alone. After lost events a scan therefore also watches what is new.

mod error;
mod instance;
mod root_watch;
mod wakeup;

use std::path::PathBuf;

pub use error::WatchError;
pub use instance::Instance;
pub use root_watch::RootWatch;
pub(crate) use wakeup::Wakeup;

/// Identifies a drop directory among those of the process.
pub type RootId = u32;

/// An event about a path below the drop directory: a file may have arrived there.
#[derive(Debug, PartialEq, Eq)]
pub struct PathEvent {
    /// The path, relative to the drop directory.
    pub rel: PathBuf,
    /// Whether the file was created just now: a close event usually follows.
    pub is_new: bool,
}
