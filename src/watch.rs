//! Noticing that something happened in a drop directory. What comes from here are hints: a lost one
//! delays a dump until the next scan, and does no harm otherwise.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::config::Inbox;
use crate::disk::in_words;
use crossbeam_channel::{Sender, TrySendError};
use notify::event::{AccessKind, AccessMode, CreateKind, ModifyKind, RenameMode};
use notify::{Config, Event, EventKind, INotifyWatcher, RecursiveMode, Watcher};

/// Something may have landed in the drop directory.
pub struct Sighting {
    /// Its path below.
    pub rel: PathBuf,
    /// Whether it was only just made: whoever writes it will close it, which is a sighting, too.
    pub is_new: bool,
}

/// An inotify watch on a drop directory. It ends when dropped.
pub struct Watching {
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
            notify::ErrorKind::Io(error) => f.write_str(&in_words(error)),
            _ => write!(f, "{}", self.0),
        }
    }
}

impl std::error::Error for WatchError {}

impl Watching {
    /// Begins to send a sighting for whatever closes, appears or is renamed in the directory, but
    /// for what is ignored there. Directories that are ignored have watches, too: notify offers no
    /// choice.
    pub fn start(inbox: &Arc<Inbox>, to: Sender<Sighting>) -> Result<Self, WatchError> {
        let lost = Arc::new(Lost::default());
        let sieve = Sieve { inbox: Arc::clone(inbox), to, lost: Arc::clone(&lost) };
        let config = Config::default().with_follow_symlinks(false);
        let mode =
            if inbox.recursive { RecursiveMode::Recursive } else { RecursiveMode::NonRecursive };
        let mut watcher =
            INotifyWatcher::new(move |event| sieve.pass(event), config).map_err(WatchError)?;
        watcher.watch(&inbox.path, mode).map_err(WatchError)?;
        Ok(Watching { _watcher: watcher, lost })
    }

    /// Whether events were lost since the last call: then only a scan can tell what happened.
    #[must_use]
    pub fn missed_some(&self) -> bool {
        self.lost.some.swap(false, Ordering::AcqRel)
    }

    /// Whether directories below may have appeared since the last call that are not watched: then
    /// only a new watch sees what lands there.
    #[must_use]
    pub fn missed_dirs(&self) -> bool {
        self.lost.dirs.swap(false, Ordering::AcqRel)
    }

    /// Whether directories below can't be watched any more.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        self.lost.for_good.load(Ordering::Acquire)
    }
}

/// Lets pass what may be a dump; our own reads and probes are events, too.
struct Sieve {
    inbox: Arc<Inbox>,
    to: Sender<Sighting>,
    lost: Arc<Lost>,
}

impl Sieve {
    fn pass(&self, event: notify::Result<Event>) {
        let event = match event {
            Ok(event) if event.need_rescan() => {
                self.lost.dirs.store(true, Ordering::Release);
                return self.lost.some.store(true, Ordering::Release);
            }
            Ok(event) => event,
            Err(error) => {
                let exhausted = matches!(error.kind, notify::ErrorKind::MaxFilesWatch);
                self.lost.for_good.fetch_or(exhausted, Ordering::AcqRel);
                tracing::warn!("watching `{}`: {}", self.inbox.path.display(), WatchError(error));
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
            if let Ok(rel) = path.strip_prefix(&self.inbox.path)
                && !rel.as_os_str().is_empty()
                && !self.inbox.ignore.ignores_path(rel)
                && let Err(TrySendError::Full(_)) =
                    self.to.try_send(Sighting { rel: rel.to_path_buf(), is_new })
            {
                self.lost.some.store(true, Ordering::Release);
            }
        }
    }
}
