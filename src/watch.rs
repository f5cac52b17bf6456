//! Noticing that something happened in a drop directory. What comes from here are hints: a lost one
//! delays a dump until the next scan, and does no harm otherwise.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Sender, TrySendError};
use notify::event::{AccessKind, AccessMode, CreateKind, ModifyKind, RenameMode};
use notify::{Config, Event, EventKind, INotifyWatcher, RecursiveMode, Watcher};

/// A path below the drop directory at which something may have landed.
pub type Sighting = PathBuf;

/// An inotify watch on a drop directory. It ends when dropped.
pub struct Watching {
    _watcher: INotifyWatcher,
    missed: Arc<AtomicBool>,
}

/// Why a directory can't be watched by events.
#[derive(Debug)]
pub struct WatchError(notify::Error);

impl fmt::Display for WatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.kind {
            notify::ErrorKind::MaxFilesWatch => f.write_str(
                "no inotify watches are left (this is not a full disk): raise fs.inotify.max_user_watches",
            ),
            notify::ErrorKind::Io(error) if error.raw_os_error() == Some(libc::EMFILE) => f.write_str(
                "no inotify instances are left: raise fs.inotify.max_user_instances",
            ),
            _ => write!(f, "{}", self.0),
        }
    }
}

impl std::error::Error for WatchError {}

impl Watching {
    /// Begins to send a sighting for whatever closes, appears or is renamed in the directory.
    pub fn start(root: &Path, recursive: bool, to: Sender<Sighting>) -> Result<Self, WatchError> {
        let missed = Arc::new(AtomicBool::new(false));
        let sieve = Sieve { root: root.to_path_buf(), to, missed: Arc::clone(&missed) };
        let config = Config::default().with_follow_symlinks(false);
        let mode = if recursive { RecursiveMode::Recursive } else { RecursiveMode::NonRecursive };
        let mut watcher =
            INotifyWatcher::new(move |event| sieve.pass(event), config).map_err(WatchError)?;
        watcher.watch(root, mode).map_err(WatchError)?;
        Ok(Watching { _watcher: watcher, missed })
    }

    /// Whether events were lost since the last call: then only a scan can tell what happened.
    #[must_use]
    pub fn missed_some(&self) -> bool {
        self.missed.swap(false, Ordering::AcqRel)
    }
}

/// Lets pass what may be a dump; our own reads and probes are events, too.
struct Sieve {
    root: PathBuf,
    to: Sender<Sighting>,
    missed: Arc<AtomicBool>,
}

impl Sieve {
    fn pass(&self, event: notify::Result<Event>) {
        let event = match event {
            Ok(event) if event.need_rescan() => return self.missed.store(true, Ordering::Release),
            Ok(event) => event,
            Err(error) => {
                tracing::warn!("watching `{}`: {}", self.root.display(), WatchError(error));
                return self.missed.store(true, Ordering::Release);
            }
        };
        let matters = matches!(
            event.kind,
            EventKind::Access(AccessKind::Close(AccessMode::Write))
                | EventKind::Create(CreateKind::File | CreateKind::Folder)
                | EventKind::Modify(ModifyKind::Name(RenameMode::To))
        );
        if !matters {
            return;
        }
        for path in &event.paths {
            if let Ok(rel) = path.strip_prefix(&self.root)
                && !rel.as_os_str().is_empty()
                && let Err(TrySendError::Full(_)) = self.to.try_send(rel.to_path_buf())
            {
                self.missed.store(true, Ordering::Release);
            }
        }
    }
}
