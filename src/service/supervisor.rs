//! Supervisor of one drop directory: it watches the directory, scans it and runs its tracker. A
//! watch thread gives it its turns.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded, unbounded};

use crate::config::{DropDir, Watch};
use crate::events::event::Event;
use crate::events::problem::Problem;
use crate::events::watch_state::WatchState;
use crate::finalize::OTHER_FILE_SYSTEM;
use crate::fs::{self, Dir, FsError, Operation};
use crate::model::FsInfo;
use crate::service::handle::{Command, DropDirHandle, Link};
use crate::service::overflow_pause::OverflowPause;
use crate::service::place::Place;
use crate::service::root_check::{DirIdentity, ROOT_CHECK, RootCheck, RootFs};
use crate::service::scan_plan::ScanPlan;
use crate::service::tracker::{JobDone, Progress, ScanCost, Tracker};
use crate::service::watch::{Instance, RootId, RootWatch, WatchError};
use crate::service::watch_thread::Mailbox;
use crate::service::work::context::Context;
use crate::service::work::worker_pool::Queue;

/// What a supervisor wants after its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// The next turn at this time, or earlier if something happens.
    NextAt(Instant),
    /// A thread that it shares with no other drop directory.
    NeedsOwnThread,
    /// To end.
    Stopped,
}

/// How the directory is watched.
enum WatchMode {
    /// The directory does not exist.
    Missing,
    /// npyd handles inotify events, and scans at the interval `rescan`.
    Inotify { watch: Arc<RootWatch>, root: DirIdentity },
    /// npyd only scans, frequently.
    Polling { root: DirIdentity },
}

/// The supervisor of a drop directory.
pub(crate) struct Supervisor {
    drop_dir: Arc<DropDir>,
    context: Context,
    tracker: Tracker,
    ended: Receiver<JobDone>,
    commands: Receiver<Command>,
    link: Arc<Link>,
    place: Place,
    instance: Arc<Instance>,
    ready_tx: Option<Sender<()>>,
    watch_mode: WatchMode,
    scan_plan: ScanPlan,
    /// When the scan began that replaces lost events.
    replaces_lost: Option<Instant>,
    scan_progress: Progress,
    root_check: RootCheck,
    /// Number of drop directories of its thread.
    roots: usize,
    overflow_pause: OverflowPause,
    warned_missing: bool,
    root_fs: Option<RootFs>,
    /// Whether that file system was unmounted, so that the path leads to the mount point.
    is_unmounted: bool,
    /// Whether another drop directory of its thread contains the directory as well.
    needs_own_thread: bool,
    _handle: Arc<()>,
}

impl Supervisor {
    /// Creates the supervisor and its handle. The supervisor drops `ready_tx` once the first scan
    /// has read the descriptions, or the directory is known to be missing. Makes no system call on
    /// the directory.
    pub(crate) fn new(
        (id, drop_dir): (RootId, Arc<DropDir>),
        context: Context,
        queue: Queue,
        ready_tx: Sender<()>,
    ) -> (Self, DropDirHandle) {
        let (ended_tx, ended) = unbounded(); // the worker queue limits the number of tasks
        let (commands_tx, commands) = bounded(16);
        let link = Arc::new(Link::new(id));
        let own = Arc::clone(&link);
        let on_job_done = move |done| {
            let _ = ended_tx.send(done); // the receiver is gone if the supervisor has ended
            own.wake();
        };
        let alive = Arc::new(());
        let handle = DropDirHandle {
            drop_dir: Arc::clone(&drop_dir),
            commands: commands_tx,
            link: Arc::clone(&link),
            supervisor: Arc::downgrade(&alive),
        };
        let now = Instant::now();
        let supervisor = Supervisor {
            tracker: Tracker::new(Arc::clone(&drop_dir), context.clone(), queue, on_job_done),
            place: Place::own(&drop_dir),
            drop_dir,
            context,
            ended,
            commands,
            link,
            instance: Arc::default(),
            ready_tx: Some(ready_tx),
            watch_mode: WatchMode::Missing,
            scan_plan: ScanPlan::new(now),
            replaces_lost: None,
            scan_progress: Progress::Idle,
            root_check: RootCheck::new(now),
            roots: 1,
            overflow_pause: OverflowPause::new(now),
            warned_missing: false,
            root_fs: None,
            is_unmounted: false,
            needs_own_thread: false,
            _handle: alive,
        };
        (supervisor, handle)
    }

    pub(crate) fn id(&self) -> RootId {
        self.link.id
    }

    pub(crate) fn drop_dir(&self) -> &DropDir {
        &self.drop_dir
    }

    /// Returns the place for which its thread was chosen.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Returns the place in a thread of its own.
    pub(crate) fn own_place(&self) -> Place {
        Place::own(&self.drop_dir)
    }

    /// Has what wakes it go to another thread.
    pub(crate) fn enter(&mut self, place: Place, mailbox: &Arc<Mailbox>) {
        self.place = place;
        self.link.lead_to(mailbox);
    }

    /// Watches with the instance of its thread from now on.
    pub(crate) fn watch_in(&mut self, instance: &Arc<Instance>) {
        self.instance = Arc::clone(instance);
    }

    /// Ends the watches of this thread. In the next thread the directory is watched and scanned
    /// again.
    pub(crate) fn leave(&mut self) {
        self.tracker.abort_scan();
        self.set_mode(WatchMode::Missing);
        self.instance = Arc::default();
        self.needs_own_thread = false;
    }

    /// Ends the tracker.
    pub(crate) fn end(mut self) {
        self.set_mode(WatchMode::Missing);
        self.tracker.end();
    }

    /// Has the root checked soon, because a mount has changed. Returns when.
    pub(crate) fn check_root_soon(&mut self) -> Instant {
        self.root_check.hasten();
        self.root_check.due()
    }

    /// Does what is due. Scans before it takes the first event. `roots` is the number of drop
    /// directories of the thread.
    pub(crate) fn turn(&mut self, roots: usize) -> Turn {
        self.roots = roots;
        self.link.begin_turn();
        loop {
            match self.commands.try_recv() {
                Ok(Command::Rescan) => {
                    let now = Instant::now();
                    self.tracker.read_requests_now(now);
                    self.scan_plan.miss(now);
                }
                Ok(Command::Stop) | Err(TryRecvError::Disconnected) => return Turn::Stopped,
                Err(TryRecvError::Empty) => break,
            }
        }
        let now = Instant::now();
        for ended in self.ended.try_iter() {
            self.tracker.on_job_done(ended, now);
        }
        self.check_root(now);
        if self.needs_own_thread {
            return Turn::NeedsOwnThread;
        }
        if self.scan_if_due(Instant::now()) {
            // A listing can miss a name that was made during it, and return later ones. The events
            // of such names come before any drop of the listing is probed.
            self.instance.read_events();
        }
        if self.scan_progress != Progress::More || self.tracker.has_read_descriptions() {
            self.ready_tx = None; // dropping it signals that drops are served
        }
        self.take_path_events();
        if !self.is_unmounted {
            // Otherwise the paths of its drops may lead to other files.
            self.tracker.process_due(Instant::now());
        }
        let next = self.tracker.next_due().filter(|_| !self.is_unmounted);
        let scan = if self.tracker.wants_step() {
            Some(now)
        } else {
            let scans = [Some(self.scan_plan.due()), self.overflow_scan()].into_iter().flatten();
            scans.min().filter(|_| !self.tracker.is_scanning())
        };
        let due = [next, scan, Some(self.root_check.due())];
        Turn::NextAt(due.into_iter().flatten().min().unwrap_or(now + ROOT_CHECK))
    }

    fn take_path_events(&mut self) {
        if let WatchMode::Inotify { watch, .. } = &self.watch_mode {
            let now = Instant::now();
            for event in watch.take_events() {
                self.tracker.on_watch_event(event, now);
            }
        }
    }

    /// Returns when to scan because events were lost, if any were.
    fn overflow_scan(&self) -> Option<Instant> {
        let WatchMode::Inotify { watch, .. } = &self.watch_mode else { return None };
        watch.has_overflow().then(|| self.overflow_pause.until())
    }

    fn set_mode(&mut self, mode: WatchMode) {
        let watch = match &mode {
            WatchMode::Inotify { watch, .. } => Some(Arc::clone(watch)),
            WatchMode::Missing | WatchMode::Polling { .. } => None,
        };
        self.watch_mode = mode;
        self.tracker.set_watch(watch);
    }

    /// Detects whether the root directory appeared, vanished or was replaced. Checks that also
    /// before each scan, and before anything else while it is missing.
    fn check_root(&mut self, now: Instant) {
        let is_missing = matches!(self.watch_mode, WatchMode::Missing);
        let will_scan = !self.tracker.is_scanning() && now >= self.scan_plan.due();
        let has_moved =
            matches!(&self.watch_mode, WatchMode::Inotify { watch, .. } if watch.take_root_event());
        if now < self.root_check.due() && !is_missing && !will_scan && !has_moved {
            return;
        }
        self.root_check.plan(self.roots, now);
        let was_unmounted = self.is_unmounted;
        let found = DirIdentity::of(&self.drop_dir.path).and_then(|id| self.check_file_system(id));
        let known = match &self.watch_mode {
            WatchMode::Missing => None,
            WatchMode::Inotify { root, .. } | WatchMode::Polling { root } => Some(*root),
        };
        match found {
            Ok(found) if Some(found) == known => {
                if let WatchMode::Inotify { watch, .. } = &self.watch_mode {
                    watch.end_moved();
                    self.needs_own_thread |= watch.is_shared();
                }
            }
            Ok(found) => {
                self.tracker.abort_scan();
                self.start_watching(found, now);
            }
            Err(error) => {
                let is_news = self.is_unmounted && !was_unmounted;
                if known.is_some() || !self.warned_missing || is_news {
                    self.warned_missing = true;
                    self.publish(WatchState::Missing { error: error.to_string() });
                }
                self.tracker.abort_scan();
                self.set_mode(WatchMode::Missing);
            }
        }
    }

    /// Checks that the file system of the root directory was not unmounted.
    fn check_file_system(&mut self, root: DirIdentity) -> fs::Result<DirIdentity> {
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
    fn start_watching(&mut self, root: DirIdentity, now: Instant) {
        self.warned_missing = false;
        self.tracker.distrust_descriptions();
        self.scan_plan.miss(now);
        let polls = match (self.drop_dir.watch, file_system(&self.drop_dir.path)) {
            (Watch::Poll, _) => true,
            (Watch::Inotify, _) | (Watch::Auto, None) => false,
            (Watch::Auto, Some(fs)) => fs.network,
        };
        self.set_mode(WatchMode::Missing); // ends the watches of another directory
        if polls {
            self.publish(WatchState::Polling);
            return self.set_mode(WatchMode::Polling { root });
        }
        match self.watch() {
            Ok(watch) => {
                self.publish(WatchState::Inotify);
                self.set_mode(WatchMode::Inotify { watch: Arc::new(watch), root });
            }
            Err(WatchError::Shared) => self.needs_own_thread = true,
            Err(error) => {
                self.publish(WatchState::PollingInstead { error: error.to_string() });
                self.set_mode(WatchMode::Polling { root });
            }
        }
    }

    fn watch(&self) -> Result<RootWatch, WatchError> {
        let path = &self.drop_dir.path;
        let dir = Dir::open(path).map_err(|error| io::Error::other(error.to_string()))?;
        let instance = (Arc::clone(&self.instance), self.id());
        RootWatch::start(instance, &self.drop_dir, self.context.bus(), &dir)
    }

    /// Begins a scan if the interval is over, if events were lost, or if the tracker asks for a
    /// scan, and goes on with one that has begun. Returns whether it scanned.
    fn scan_if_due(&mut self, now: Instant) -> bool {
        if let WatchMode::Inotify { watch, root } = &self.watch_mode
            && watch.is_exhausted()
        {
            let root = *root;
            self.publish(WatchState::PollingFromNowOn);
            self.set_mode(WatchMode::Polling { root });
            self.scan_plan.miss(now);
        }
        if matches!(self.watch_mode, WatchMode::Missing) {
            self.scan_progress = Progress::Idle;
            self.scan_plan.put_off(self.root_check.due());
            return false;
        }
        let mut begun = Ok(());
        if !self.tracker.is_scanning() {
            begun = self.begin_scan_if_due(now);
        }
        match begun.and_then(|()| self.tracker.scan_step(now)) {
            Ok(progress) => self.scan_progress = progress,
            Err(error) => {
                self.tracker.warn(Problem::Dir { error: error.to_string() });
                let none = ScanCost { elapsed: Duration::ZERO, cpu: Duration::ZERO };
                self.scan_progress = Progress::Ended(none);
            }
        }
        if let Progress::Ended(cost) = self.scan_progress {
            self.plan_scan(cost);
        }
        self.scan_progress != Progress::Idle
    }

    fn begin_scan_if_due(&mut self, now: Instant) -> fs::Result<()> {
        let is_lost = self.overflow_scan().is_some_and(|at| at <= now);
        if is_lost {
            self.publish(WatchState::EventsLost);
            self.tracker.distrust_descriptions();
            self.replaces_lost = Some(now);
        }
        if self.tracker.wants_scan() {
            self.scan_plan.miss(now);
        }
        if !is_lost && now < self.scan_plan.due() {
            return Ok(());
        }
        self.scan_plan.begin();
        if let WatchMode::Inotify { watch, .. } = &self.watch_mode {
            watch.forget_overflow();
        }
        self.tracker.begin_scan(now)
    }

    /// Plans the next scan, after one that has ended.
    fn plan_scan(&mut self, cost: ScanCost) {
        let now = Instant::now();
        if let Some(began) = self.replaces_lost.take() {
            self.overflow_pause.extend(began, now);
        }
        let is_polled = matches!(self.watch_mode, WatchMode::Polling { .. });
        self.scan_plan.end(cost, Some(self.drop_dir.rescan).filter(|_| !is_polled), now);
    }
}

fn file_system(path: &Path) -> Option<FsInfo> {
    Dir::open(path).and_then(|dir| fs::fs_info(&dir)).ok()
}
