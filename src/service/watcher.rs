//! Inotify watcher of one drop directory. Its events are hints: a lost event delays a drop until
//! the next scan, and does no other harm.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Sender, TrySendError};
use notify::event::{AccessKind, AccessMode, CreateKind, ModifyKind, RenameMode};
use notify::{Config, Event, EventKind, INotifyWatcher, RecursiveMode, Watcher};

use crate::config::DropDir;
use crate::events::bus::Bus;
use crate::events::event::Event as BusEvent;
use crate::events::watch_state::WatchState;
use crate::service::tracker::PathEvent;
use crate::text::os_message::{os_message, thread_error};

/// An inotify watcher of a drop directory. Dropping it ends the watch.
pub struct DirWatcher {
    _watcher: INotifyWatcher,
    lost: Arc<Lost>,
}

/// What the watcher has missed.
#[derive(Default)]
struct Lost {
    /// Whether events were lost. A scan replaces them.
    some: AtomicBool,
    /// Whether the lost events may be about new directories, which then have no watch.
    dirs: AtomicBool,
    /// Whether the inotify watches are exhausted: some directories have none, and only polling
    /// finds their files.
    for_good: AtomicBool,
}

/// Why a directory cannot be watched with inotify.
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

impl std::error::Error for WatchError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

impl DirWatcher {
    /// Starts to send an event for each path that is closed after writing, created or renamed in
    /// the directory, except ignored paths. Ignored directories have watches as well, because
    /// notify cannot exclude them.
    ///
    /// # Errors
    ///
    /// Returns an error if inotify is not available, or its watches or instances are exhausted.
    pub fn start(
        drop_dir: &Arc<DropDir>,
        to: Sender<PathEvent>,
        bus: &Arc<Bus>,
    ) -> Result<Self, WatchError> {
        let lost = Arc::new(Lost::default());
        let filter = EventFilter {
            drop_dir: Arc::clone(drop_dir),
            to,
            lost: Arc::clone(&lost),
            bus: Arc::clone(bus),
        };
        let config = Config::default().with_follow_symlinks(false);
        let mode =
            if drop_dir.recursive { RecursiveMode::Recursive } else { RecursiveMode::NonRecursive };
        let mut watcher =
            INotifyWatcher::new(move |event| filter.accept(event), config).map_err(WatchError)?;
        // notify reports no error if it can't start its thread, and panics at the next call.
        // Without that thread the handler is gone, and with it the handler's reference.
        if Arc::strong_count(&lost) == 1 {
            std::mem::forget(watcher); // its destructor calls the thread
            let error = thread_error(std::io::Error::from_raw_os_error(libc::EAGAIN));
            return Err(WatchError(notify::Error::io(error)));
        }
        watcher.watch(&drop_dir.path, mode).map_err(WatchError)?;
        Ok(DirWatcher { _watcher: watcher, lost })
    }

    /// Returns whether events were lost since the last call; only a scan finds their paths.
    #[must_use]
    pub fn take_overflow(&self) -> bool {
        self.lost.some.swap(false, Ordering::AcqRel)
    }

    /// Returns whether subdirectories without a watch may have appeared since the last call; only a
    /// new watcher covers them.
    #[must_use]
    pub fn has_missed_dirs(&self) -> bool {
        self.lost.dirs.swap(false, Ordering::AcqRel)
    }

    /// Returns whether some subdirectories have no watch because the inotify watches are exhausted.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        self.lost.for_good.load(Ordering::Acquire)
    }
}

/// Accepts only events that may announce a drop: npyd's own reads and probes cause events as well.
struct EventFilter {
    drop_dir: Arc<DropDir>,
    to: Sender<PathEvent>,
    lost: Arc<Lost>,
    bus: Arc<Bus>,
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
                self.bus.publish(BusEvent::Watch {
                    drop_dir: self.drop_dir.path.clone(),
                    state: WatchState::Incomplete { error: WatchError(error).to_string() },
                });
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
