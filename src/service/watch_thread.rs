//! Watch threads: each one runs the event loop of one or more drop directories, with one inotify
//! instance for all of them.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io;
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::config::DropDir;
use crate::fs::{MountInfo, MountTable};
use crate::service::place::Place;
use crate::service::supervisor::{Supervisor, Turn};
use crate::service::watch::{Instance, RootId, Wakeup};
use crate::text::os_message::thread_error;

/// Maximum number of threads for drop directories that use the same file systems. With fewer drop
/// directories each one has its own, so that a long scan of one delays no other.
const THREADS_PER_PLACE: usize = 4;

/// Longest wait of a thread; it has no work then.
const IDLE: Duration = Duration::from_mins(1);

/// The watch threads of the daemon.
pub(crate) struct WatchThreads {
    threads: Vec<WatchThread>,
    stop: Arc<AtomicBool>,
    moving_tx: Sender<(Supervisor, Place)>,
    moving: Receiver<(Supervisor, Place)>,
    /// Drop directories that left their threads while no other could be started.
    homeless: Vec<(Supervisor, Place)>,
}

/// Returns how many watch threads the daemon has for these drop directories.
pub fn count_threads<'a>(drop_dirs: impl IntoIterator<Item = &'a DropDir>) -> usize {
    let mounts = MountTable::read().ok();
    let mut places: Vec<(Place, usize)> = Vec::new();
    for drop_dir in drop_dirs {
        let place = Place::of(drop_dir, mounts.as_ref());
        match places.iter_mut().find(|(known, _)| *known == place) {
            Some((_, count)) => *count += 1,
            None => places.push((place, 1)),
        }
    }
    places.into_iter().map(|(_, count)| count.min(THREADS_PER_PLACE)).sum()
}

/// A handle to a watch thread.
struct WatchThread {
    place: Place,
    mailbox: Arc<Mailbox>,
    thread: JoinHandle<()>,
}

/// What others send to a watch thread.
pub(crate) struct Mailbox {
    wakeup: Wakeup,
    mail: Mutex<Mail>,
    /// Number of drop directories, with those on their way to the thread.
    load: AtomicUsize,
}

#[derive(Default)]
struct Mail {
    joining: Vec<Supervisor>,
    /// Drop directories that have commands or results of jobs.
    woken: Vec<RootId>,
    is_closed: bool,
}

impl Mailbox {
    fn lock(&self) -> MutexGuard<'_, Mail> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a drop directory to the thread.
    fn send(self: &Arc<Self>, mut root: Supervisor, place: Place) {
        root.enter(place, self);
        self.load.fetch_add(1, Ordering::SeqCst);
        self.lock().joining.push(root);
        self.wakeup.wake();
    }

    /// Gives a drop directory its turn.
    pub(crate) fn wake(&self, id: RootId) {
        self.lock().woken.push(id);
        self.wakeup.wake();
    }
}

impl WatchThreads {
    /// Creates no thread yet. All threads end once `stop` is set.
    pub(crate) fn new(stop: &Arc<AtomicBool>) -> Self {
        let (moving_tx, moving) = unbounded(); // bounded by the number of drop directories
        let (threads, homeless) = (Vec::new(), Vec::new());
        WatchThreads { threads, stop: Arc::clone(stop), moving_tx, moving, homeless }
    }

    /// Returns the channel of the drop directories that need another thread.
    pub(crate) fn moving(&self) -> Receiver<(Supervisor, Place)> {
        self.moving.clone()
    }

    /// Gives a drop directory to a thread for its place, which may have to be started.
    ///
    /// # Errors
    ///
    /// Returns an error if no thread can be started.
    pub(crate) fn add(&mut self, root: Supervisor, place: Place) -> io::Result<()> {
        let mailbox = self.mailbox_for(&place)?;
        mailbox.send(root, place);
        Ok(())
    }

    /// Gives a drop directory to another thread. If no thread can be started, the next tick tries
    /// again.
    pub(crate) fn move_to(&mut self, root: Supervisor, place: Place) {
        match self.mailbox_for(&place) {
            Ok(mailbox) => mailbox.send(root, place),
            Err(_) => self.homeless.push((root, place)),
        }
    }

    /// Returns the mailbox of a thread for a place: of a new one while there are few, else of the
    /// one with the fewest drop directories.
    fn mailbox_for(&mut self, place: &Place) -> io::Result<Arc<Mailbox>> {
        let of_place = self.threads.iter().filter(|it| it.place == *place && it.is_alive());
        let count = of_place.clone().count();
        let least = of_place.min_by_key(|it| it.load());
        if let Some(thread) = least
            && (thread.load() == 0 || count >= THREADS_PER_PLACE)
        {
            return Ok(Arc::clone(&thread.mailbox));
        }
        match WatchThread::start(place.clone(), &self.stop, &self.moving_tx) {
            Ok(thread) => {
                let mailbox = Arc::clone(&thread.mailbox);
                self.threads.push(thread);
                Ok(mailbox)
            }
            Err(error) => least.map(|it| Arc::clone(&it.mailbox)).ok_or(error),
        }
    }

    /// Tries again to find threads for drop directories, and ends the threads without one.
    pub(crate) fn on_tick(&mut self) {
        for (root, place) in std::mem::take(&mut self.homeless) {
            self.move_to(root, place);
        }
        self.end_idle();
    }

    /// Ends the threads without a drop directory.
    fn end_idle(&mut self) {
        self.threads.retain(|thread| {
            let is_needed = thread.is_alive() && thread.load() > 0;
            if !is_needed {
                thread.mailbox.lock().is_closed = true;
                thread.mailbox.wakeup.wake();
            }
            is_needed
        });
    }

    /// Wakes all threads, so that they notice `stop`. Returns whether all have ended.
    pub(crate) fn have_stopped(&self) -> bool {
        self.threads.iter().for_each(|it| it.mailbox.wakeup.wake());
        self.threads.iter().all(|it| !it.is_alive())
    }
}

impl WatchThread {
    fn start(
        place: Place,
        stop: &Arc<AtomicBool>,
        moving: &Sender<(Supervisor, Place)>,
    ) -> io::Result<Self> {
        let mailbox = Arc::new(Mailbox {
            wakeup: Wakeup::new()?,
            mail: Mutex::default(),
            load: AtomicUsize::new(0),
        });
        let run = EventLoop {
            mailbox: Arc::clone(&mailbox),
            stop: Arc::clone(stop),
            moving: moving.clone(),
            instance: Arc::default(),
            mount_info: MountInfo::open().ok(),
            is_unchecked: false,
            roots: HashMap::new(),
            due: BinaryHeap::new(),
        };
        let builder = thread::Builder::new().name("npyd-watch".to_owned());
        let thread = builder.spawn(move || run.run()).map_err(thread_error)?;
        Ok(WatchThread { place, mailbox, thread })
    }

    fn is_alive(&self) -> bool {
        !self.thread.is_finished()
    }

    fn load(&self) -> usize {
        self.mailbox.load.load(Ordering::SeqCst)
    }
}

/// The event loop of a watch thread.
struct EventLoop {
    mailbox: Arc<Mailbox>,
    stop: Arc<AtomicBool>,
    moving: Sender<(Supervisor, Place)>,
    instance: Arc<Instance>,
    mount_info: Option<MountInfo>,
    /// Whether the mounts could not be read, so that they must be checked later.
    is_unchecked: bool,
    roots: HashMap<RootId, Watched>,
    /// When drop directories have their next turns. Also has outdated entries.
    due: BinaryHeap<Reverse<(Instant, RootId)>>,
}

/// A drop directory, and when it has its next turn.
struct Watched {
    root: Supervisor,
    due: Instant,
}

impl EventLoop {
    /// Gives each drop directory its turns until `stop` is set or the thread is not needed.
    fn run(mut self) {
        loop {
            let (joining, woken, is_closed) = {
                let mut mail = self.mailbox.lock();
                (std::mem::take(&mut mail.joining), std::mem::take(&mut mail.woken), mail.is_closed)
            };
            self.join(joining);
            if self.stop.load(Ordering::Relaxed) {
                return self.roots.into_values().for_each(|it| it.root.end());
            }
            if is_closed && self.roots.is_empty() {
                return;
            }
            self.instance.read_events();
            for id in woken.into_iter().chain(self.instance.take_ready()) {
                self.schedule(id, Instant::now());
            }
            for id in self.take_due() {
                self.turn(id);
            }
            self.wait();
        }
    }

    /// Waits until a drop directory is due, has an event or a message, or a mount changes.
    fn wait(&mut self) {
        let due = self.due.peek().map(|Reverse((at, _))| at.duration_since(Instant::now()));
        let inotify = self.instance.inotify();
        let events = inotify.as_ref().map(|it| it.as_fd());
        let mounts = self.mount_info.as_ref().map(AsFd::as_fd);
        let limit = due.unwrap_or(IDLE).min(IDLE);
        if self.mailbox.wakeup.wait(events, mounts, limit) || self.is_unchecked {
            self.check_places();
        }
    }

    /// Takes in drop directories, but not those of which a link leads to other file systems.
    fn join(&mut self, joining: Vec<Supervisor>) {
        if joining.is_empty() {
            return;
        }
        let mounts = self.mounts();
        for mut root in joining {
            if let Some(place) = mounts.as_ref().and_then(|mounts| new_place(&root, mounts)) {
                self.send_away(root, place);
                continue;
            }
            root.watch_in(&self.instance);
            let id = root.id();
            self.roots.insert(id, Watched { root, due: Instant::now() + IDLE });
            self.schedule(id, Instant::now());
        }
    }

    /// Reads the mounts, which fails only for lack of descriptors or memory.
    fn mounts(&mut self) -> Option<MountTable> {
        let mounts = MountTable::read().ok();
        self.is_unchecked = mounts.is_none() && self.mount_info.is_some();
        mounts
    }

    fn schedule(&mut self, id: RootId, at: Instant) {
        if let Some(watched) = self.roots.get_mut(&id) {
            watched.due = at;
            self.due.push(Reverse((at, id)));
        }
    }

    /// Returns the drop directories that are due, each once.
    fn take_due(&mut self) -> Vec<RootId> {
        let now = Instant::now();
        let mut taken = Vec::new();
        while self.due.peek().is_some_and(|Reverse((at, _))| *at <= now)
            && let Some(Reverse((at, id))) = self.due.pop()
        {
            let is_current = |it: &&mut Watched| it.due == at;
            if let Some(watched) = self.roots.get_mut(&id).filter(is_current) {
                watched.due = now + IDLE; // no other entry is current
                taken.push(id);
            }
        }
        taken
    }

    /// Gives a drop directory its turn. One that panics is dropped, and the daemon starts it again.
    fn turn(&mut self, id: RootId) {
        let count = self.roots.len();
        let Some(watched) = self.roots.get_mut(&id) else { return };
        match catch_unwind(AssertUnwindSafe(|| watched.root.turn(count))) {
            Ok(Turn::NextAt(at)) => self.schedule(id, at),
            Ok(Turn::NeedsOwnThread) => {
                if let Some(Watched { root, .. }) = self.remove(id) {
                    let place = root.own_place();
                    self.send_away(root, place);
                }
            }
            Ok(Turn::Stopped) => {
                if let Some(Watched { root, .. }) = self.remove(id) {
                    root.end();
                    self.mailbox.load.fetch_sub(1, Ordering::SeqCst);
                }
            }
            Err(_) => {
                drop(self.remove(id));
                self.mailbox.load.fetch_sub(1, Ordering::SeqCst);
            }
        }
    }

    fn remove(&mut self, id: RootId) -> Option<Watched> {
        self.roots.remove(&id)
    }

    /// Sends a drop directory to the daemon, which gives it to another thread.
    fn send_away(&self, mut root: Supervisor, place: Place) {
        root.leave();
        self.mailbox.load.fetch_sub(1, Ordering::SeqCst);
        let _ = self.moving.send((root, place)); // the daemon has ended otherwise
    }

    /// Sends away the drop directories whose file systems are others since a mount changed, before
    /// a system call on them could hang.
    fn check_places(&mut self) {
        let Some(mounts) = self.mounts() else { return };
        let moved = self.roots.iter().filter_map(|(id, watched)| {
            new_place(&watched.root, &mounts).map(|place| (*id, place))
        });
        for (id, place) in moved.collect::<Vec<_>>() {
            if let Some(Watched { root, .. }) = self.remove(id) {
                self.send_away(root, place);
            }
        }
        // Another file system may be mounted at one of them.
        let hasten = |(id, watched): (&RootId, &mut Watched)| {
            let at = watched.root.check_root_soon();
            (at < watched.due).then_some((*id, at))
        };
        for (id, at) in self.roots.iter_mut().filter_map(hasten).collect::<Vec<_>>() {
            self.schedule(id, at);
        }
    }
}

/// Returns the place where a drop directory is to be watched, if that is another than its present
/// one. A drop directory in a thread of its own stays there.
fn new_place(root: &Supervisor, mounts: &MountTable) -> Option<Place> {
    if matches!(root.place(), Place::Own(_)) {
        return None;
    }
    let drop_dir = root.drop_dir();
    let place = Place::of(drop_dir, Some(mounts));
    if place != *root.place() {
        return Some(place);
    }
    Place::leads_elsewhere(drop_dir, mounts).then(|| Place::own(drop_dir))
}
