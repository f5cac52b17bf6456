//! Noticing that something happened in a drop directory. What comes from here are hints: a lost one
//! delays a dump until the next scan, and does no harm otherwise.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Sender, TrySendError};
use notify::event::{AccessKind, AccessMode, CreateKind, ModifyKind, RenameMode};
use notify::{Config, Event, EventKind, INotifyWatcher, RecursiveMode, Watcher};

use crate::config::DropDir;
use crate::text::sanitize::os_message;

/// Something may have landed in the drop directory.
pub struct PathEvent {
    /// Its path below.
    pub rel: PathBuf,
    /// Whether it was only just made: whoever writes it will close it, which is a sighting, too.
    pub is_new: bool,
}

/// An inotify watch on a drop directory. It ends when dropped.
pub struct DirWatcher {
    _watcher: INotifyWatcher,
    lost: Arc<Lost>,
}

/// What the watch could not see.
#[derive(Default)]
struct Lost {
    /// Events; a scan makes up for them.
    some: AtomicBool,
    /// Perhaps those of directories that appeared: these are not watched.
    dirs: AtomicBool,
    /// Whole directories, for no watches are left; only polling sees them.
    for_good: AtomicBool,
}

/// Why a directory can't be watched by events.
#[derive(Debug)]
pub struct WatchError(notify::Error);

impl fmt::Display for WatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let too_many = |error: &std::io::Error| error.raw_os_error() == Some(libc::EMFILE);
        match &self.0.kind {
            notify::ErrorKind::MaxFilesWatch => f.write_str(
                "no inotify watches are left (the disk is not full): \
                 raise fs.inotify.max_user_watches",
            ),
            notify::ErrorKind::Io(error) if too_many(error) => f.write_str(
                "no inotify instances or descriptors are left: \
                 raise fs.inotify.max_user_instances or LimitNOFILE",
            ),
            notify::ErrorKind::Io(error) => f.write_str(&os_message(error)),
            _ => write!(f, "{}", self.0),
        }
    }
}

impl std::error::Error for WatchError {}

impl DirWatcher {
    /// Begins to send a sighting for whatever closes, appears or is renamed in the directory, but
    /// for what is ignored there. Directories that are ignored have watches, too: notify offers no
    /// choice.
    pub fn start(drop_dir: &Arc<DropDir>, to: Sender<PathEvent>) -> Result<Self, WatchError> {
        let lost = Arc::new(Lost::default());
        let sieve = EventFilter { drop_dir: Arc::clone(drop_dir), to, lost: Arc::clone(&lost) };
        let config = Config::default().with_follow_symlinks(false);
        let mode =
            if drop_dir.recursive { RecursiveMode::Recursive } else { RecursiveMode::NonRecursive };
        let mut watcher =
            INotifyWatcher::new(move |event| sieve.accept(event), config).map_err(WatchError)?;
        watcher.watch(&drop_dir.path, mode).map_err(WatchError)?;
        Ok(DirWatcher { _watcher: watcher, lost })
    }

    /// Whether events were lost since the last call: then only a scan can tell what happened.
    #[must_use]
    pub fn take_overflow(&self) -> bool {
        self.lost.some.swap(false, Ordering::AcqRel)
    }

    /// Whether directories below may have appeared since the last call that are not watched: then
    /// only a new watch sees what lands there.
    #[must_use]
    pub fn has_missed_dirs(&self) -> bool {
        self.lost.dirs.swap(false, Ordering::AcqRel)
    }

    /// Whether directories below can't be watched any more.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        self.lost.for_good.load(Ordering::Acquire)
    }
}

/// Lets pass what may be a dump; our own reads and probes are events, too.
struct EventFilter {
    drop_dir: Arc<DropDir>,
    to: Sender<PathEvent>,
    lost: Arc<Lost>,
}

impl EventFilter {
    fn accept(&self, event: notify::Result<Event>) {
        let event = match event {
            Ok(event) if event.need_rescan() => {
                self.lost.dirs.store(true, Ordering::Release);
                return self.lost.some.store(true, Ordering::Release);
            }
            Ok(event) => event,
            Err(error) => {
                let exhausted = matches!(error.kind, notify::ErrorKind::MaxFilesWatch);
                self.lost.for_good.fetch_or(exhausted, Ordering::AcqRel);
                tracing::warn!(
                    "watching `{}`: {}",
                    self.drop_dir.path.display(),
                    WatchError(error)
                );
                return self.lost.some.store(true, Ordering::Release);
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
        let is_new = matches!(event.kind, EventKind::Create(CreateKind::File));
        for path in &event.paths {
            if let Ok(rel) = path.strip_prefix(&self.drop_dir.path)
                && !rel.as_os_str().is_empty()
                && !self.drop_dir.ignore.ignores_path(rel)
                && let Err(TrySendError::Full(_)) =
                    self.to.try_send(PathEvent { rel: rel.to_path_buf(), is_new })
            {
                self.lost.some.store(true, Ordering::Release);
            }
        }
    }
}
