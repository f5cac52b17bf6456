//! Supervisor: one thread per drop directory, which watches it, scans it and runs its tracker. A
//! hung or unmounted file system blocks only its own thread.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, select, unbounded};

use crate::config::{DropDir, Watch};
use crate::events::event::Event;
use crate::events::problem::Problem;
use crate::events::watch_state::WatchState;
use crate::finalize::OTHER_FILE_SYSTEM;
use crate::fs::{self, Dir, FsError, FsId, Operation};
use crate::model::{FsInfo, Stat};
use crate::service::tracker::PathEvent;
use crate::service::tracker::{JobDone, Tracker};
use crate::service::watcher::DirWatcher;
use crate::service::work::context::Context;
use crate::service::work::worker_pool::Queue;
use crate::text::os_message::thread_error;

/// Interval of the checks that the root directory exists and was not replaced.
const ROOT_CHECK: Duration = Duration::from_secs(1);

/// Minimum interval between two scans of a polled directory.
const POLL: Duration = Duration::from_secs(1);

/// Capacity of the channel of watch events. Events beyond it are lost, and a scan replaces them.
const PATH_EVENTS_MAX: usize = 8192;

/// Commands for the thread of a drop directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Scan the directory now.
    Rescan,
    /// Stop watching the directory, and exit.
    Stop,
}

/// A handle to the thread of one drop directory.
pub struct DropDirHandle {
    /// The settings of the drop directory.
    pub drop_dir: Arc<DropDir>,
    commands: Sender<Command>,
    thread: JoinHandle<()>,
}

impl DropDirHandle {
    /// Starts the thread. It drops `ready_tx` after the first scan, or once the directory is known
    /// to be missing.
    ///
    /// # Errors
    ///
    /// Returns an error if the thread can't be started.
    pub fn start(
        drop_dir: Arc<DropDir>,
        context: Context,
        queue: Queue,
        ready_tx: Sender<()>,
    ) -> io::Result<Self> {
        let (commands, commands_rx) = bounded(16);
        let of = Arc::clone(&drop_dir);
        let run = move || DropDirLoop::new(of, context, queue, ready_tx).run(&commands_rx);
        let thread = thread::Builder::new().spawn(run).map_err(thread_error)?;
        Ok(DropDirHandle { drop_dir, commands, thread })
    }

    /// Sends a command without blocking; drops the command if the channel is full. The loss does no
    /// harm: a full channel contains a rescan already, and the thread also stops when its handle is
    /// dropped.
    pub fn send(&self, send: Command) {
        let _ = self.commands.try_send(send);
    }

    /// Returns whether the thread has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }
}

/// How the directory is watched.
enum WatchMode {
    /// The directory does not exist.
    Missing,
    /// The thread handles inotify events, and scans at the interval `rescan`.
    Inotify { watcher: DirWatcher, root: RootId },
    /// The thread only scans, frequently.
    Polling { root: RootId },
}

/// Identifies the root directory, to notice when another one was made or mounted in its place. The
/// inode number is not enough: a new directory often gets the number of the old one, whose watch
/// is dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct RootId {
    dev: u64,
    ino: u64,
    born_ns: i64,
    mount: u64,
}

/// The file system of the root directory, to notice that it was unmounted: its mount point remains
/// as a directory, and drops in it are not those of the file system.
struct RootFs {
    id: FsId,
    /// The file systems of the directories above, of which one contains the mount point.
    above: Vec<FsId>,
}

impl RootFs {
    /// Returns whether the path now leads to the directory below the mount point, because its file
    /// system was unmounted. npyd works with another file system that is mounted there instead or
    /// later.
    fn is_unmounted(&self, now: FsId) -> bool {
        now != self.id && self.above.contains(&now)
    }
}

/// The event loop of a drop directory's thread.
struct DropDirLoop {
    drop_dir: Arc<DropDir>,
    context: Context,
    tracker: Tracker,
    ended: Receiver<JobDone>,
    path_events: Receiver<PathEvent>,
    path_event_tx: Sender<PathEvent>,
    ready_tx: Option<Sender<()>>,
    watch_mode: WatchMode,
    next_scan: Instant,
    next_root_check: Instant,
    warned_missing: bool,
    root_fs: Option<RootFs>,
    /// Whether that file system was unmounted, so that the path leads to the mount point.
    is_unmounted: bool,
}

impl DropDirLoop {
    fn new(drop_dir: Arc<DropDir>, context: Context, queue: Queue, ready_tx: Sender<()>) -> Self {
        let (ended_sender, ended) = unbounded(); // the worker queue limits the number of tasks
        let (path_event_tx, path_events) = bounded(PATH_EVENTS_MAX);
        let now = Instant::now();
        DropDirLoop {
            tracker: Tracker::new(Arc::clone(&drop_dir), context.clone(), queue, ended_sender),
            drop_dir,
            context,
            ended,
            path_events,
            path_event_tx,
            ready_tx: Some(ready_tx),
            watch_mode: WatchMode::Missing,
            next_scan: now,
            next_root_check: now,
            warned_missing: false,
            root_fs: None,
            is_unmounted: false,
        }
    }

    /// Runs until a command or `stop` ends it.
    fn run(mut self, commands: &Receiver<Command>) {
        self.run_until_stopped(commands);
        self.tracker.end();
    }

    /// Scans before it waits for the first event.
    fn run_until_stopped(&mut self, commands: &Receiver<Command>) {
        while !self.context.stop.load(Ordering::Relaxed) {
            self.check_root(Instant::now());
            self.scan_if_due(Instant::now());
            self.ready_tx = None; // dropping it signals that the first scan has finished
            // A listing can miss a name that was made during it, and return later ones. The events
            // of such names come before any drop of the listing is probed.
            self.take_path_events(None);
            if !self.is_unmounted {
                // Otherwise the paths of its drops may lead to other files.
                self.tracker.process_due(Instant::now());
            }
            let now = Instant::now();
            let next = self.tracker.next_due().filter(|_| !self.is_unmounted);
            let due = [next, Some(self.next_scan), Some(self.next_root_check)];
            let pause =
                due.into_iter().flatten().min().map_or(ROOT_CHECK, |at| at.duration_since(now));
            select! {
                recv(self.path_events) -> event => self.take_path_events(event.ok()),
                recv(self.ended) -> ended => {
                    let now = Instant::now();
                    for ended in ended.into_iter().chain(self.ended.try_iter()) {
                        self.tracker.on_job_done(ended, now);
                    }
                }
                recv(commands) -> send => match send {
                    Ok(Command::Rescan) => self.next_scan = Instant::now(),
                    Ok(Command::Stop) | Err(_) => return,
                },
                default(pause) => {}
            }
        }
    }

    fn take_path_events(&mut self, first: Option<PathEvent>) {
        let now = Instant::now();
        for event in first.into_iter().chain(self.path_events.try_iter()) {
            self.tracker.on_watch_event(event, now);
        }
    }

    /// Detects whether the root directory appeared, vanished or was replaced. Checks that also
    /// before each scan, and before anything else while it is missing.
    fn check_root(&mut self, now: Instant) {
        let is_missing = matches!(self.watch_mode, WatchMode::Missing);
        let will_scan = now >= self.next_scan || self.tracker.wants_scan();
        if now < self.next_root_check && !is_missing && !will_scan {
            return;
        }
        self.next_root_check = now + ROOT_CHECK;
        let was_unmounted = self.is_unmounted;
        let found = root_id(&self.drop_dir.path).and_then(|id| self.check_file_system(id));
        let known = match &self.watch_mode {
            WatchMode::Missing => None,
            WatchMode::Inotify { root, .. } | WatchMode::Polling { root } => Some(*root),
        };
        match found {
            Ok(found) if Some(found) == known => {}
            Ok(found) => self.start_watching(found, now),
            Err(error) => {
                let is_news = self.is_unmounted && !was_unmounted;
                if known.is_some() || !self.warned_missing || is_news {
                    self.warned_missing = true;
                    self.publish(WatchState::Missing { error: error.to_string() });
                }
                self.watch_mode = WatchMode::Missing;
            }
        }
    }

    /// Checks that the file system of the root directory was not unmounted.
    fn check_file_system(&mut self, root: RootId) -> fs::Result<RootId> {
        let path = &self.drop_dir.path;
        if matches!(&self.watch_mode, WatchMode::Inotify { root: known, .. }
            | WatchMode::Polling { root: known } if *known == root)
        {
            return Ok(root);
        }
        let id = fs::fs_id(&Dir::open(path)?)?;
        self.is_unmounted = self.root_fs.as_ref().is_some_and(|known| known.is_unmounted(id));
        if self.is_unmounted {
            return Err(FsError::new(Operation::UseDir, path, io::Error::other(OTHER_FILE_SYSTEM)));
        }
        if let Some(known) = self.root_fs.as_ref().filter(|known| known.id != id) {
            self.drop_dir.in_force.replace_file_system(known.id, id);
        }
        self.root_fs = Some(RootFs { id, above: fs::fs_ids_above(path) });
        Ok(root)
    }

    fn publish(&self, state: WatchState) {
        let drop_dir = self.drop_dir.path.clone();
        self.context.publish(Event::Watch { drop_dir, state });
    }

    /// Starts the watch before it makes a scan due, so that a file that arrives in between is seen
    /// twice rather than never.
    fn start_watching(&mut self, root: RootId, now: Instant) {
        self.warned_missing = false;
        self.next_scan = now;
        let polls = match (self.drop_dir.watch, file_system(&self.drop_dir.path)) {
            (Watch::Poll, _) => true,
            (Watch::Inotify, _) | (Watch::Auto, None) => false,
            (Watch::Auto, Some(fs)) => fs.network,
        };
        self.watch_mode = if polls {
            self.publish(WatchState::Polling);
            WatchMode::Polling { root }
        } else {
            match DirWatcher::start(&self.drop_dir, self.path_event_tx.clone(), self.context.bus())
            {
                Ok(watcher) => {
                    self.publish(WatchState::Inotify);
                    WatchMode::Inotify { watcher, root }
                }
                Err(error) => {
                    self.publish(WatchState::PollingInstead { error: error.to_string() });
                    WatchMode::Polling { root }
                }
            }
        };
    }

    /// Scans if the interval is over, if events were lost, or if the tracker asks for a scan.
    fn scan_if_due(&mut self, now: Instant) {
        if let WatchMode::Inotify { watcher, root } = &self.watch_mode
            && watcher.is_exhausted()
        {
            let root = *root;
            self.publish(WatchState::PollingFromNowOn);
            self.watch_mode = WatchMode::Polling { root };
            self.next_scan = now;
        }
        let missed = match &self.watch_mode {
            WatchMode::Missing => {
                self.next_scan = now + ROOT_CHECK;
                return;
            }
            WatchMode::Inotify { watcher, root } if watcher.take_overflow() => {
                Some((*root, watcher.has_missed_dirs()))
            }
            WatchMode::Inotify { .. } | WatchMode::Polling { .. } => None,
        };
        if let Some((root, may_miss_dirs)) = missed {
            self.publish(WatchState::EventsLost);
            if may_miss_dirs && self.drop_dir.recursive {
                self.start_watching(root, now);
            }
        }
        if missed.is_none() && !self.tracker.wants_scan() && now < self.next_scan {
            return;
        }
        if let Err(error) = self.tracker.scan(now) {
            self.tracker.warn(Problem::Dir { error: error.to_string() });
        }
        let took = now.elapsed();
        let interval = match self.watch_mode {
            // A directory whose scans take long is scanned less often: 5 % of the time at most.
            WatchMode::Polling { .. } => POLL.max(20 * took).min(self.drop_dir.rescan.max(POLL)),
            _ => self.drop_dir.rescan,
        };
        self.next_scan = Instant::now() + interval;
    }
}

fn root_id(path: &Path) -> fs::Result<RootId> {
    let Stat { dev, ino, born_ns, mount, .. } = Dir::open(path)?.stat_self()?;
    Ok(RootId { dev, ino, born_ns, mount })
}

fn file_system(path: &Path) -> Option<FsInfo> {
    Dir::open(path).and_then(|dir| fs::fs_info(&dir)).ok()
}
