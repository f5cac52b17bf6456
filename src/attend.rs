//! One thread for each drop directory: it watches, scans and tends, so that a mount that hangs or
//! vanishes is nobody else's trouble.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, select, unbounded};

use crate::config::{Inbox, Watch};
use crate::disk::{self, Dir, FsInfo, Stat};
use crate::patrol::{Common, Ended, Patrol};
use crate::pool::Queue;
use crate::watch::{Sighting, Watching};

/// How often the root is looked at: is it still there, and still the same?
const ROOT_CHECK: Duration = Duration::from_secs(1);

/// How often a directory without events is listed at the most.
const POLL: Duration = Duration::from_secs(1);

/// Sightings that may wait to be taken in; more of them make a scan.
const SIGHTINGS_MAX: usize = 8192;

/// Words to a drop directory's thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// List the directory now.
    Scan,
    /// Take it out of care.
    Leave,
}

/// A drop directory's thread.
pub struct Attendant {
    /// The directory's settings.
    pub inbox: Arc<Inbox>,
    orders: Sender<Order>,
    thread: JoinHandle<()>,
}

impl Attendant {
    /// Starts a thread for a directory. It sends one word through `attending` once it has scanned
    /// the directory, or found that it is not there.
    #[must_use]
    pub fn start(inbox: Arc<Inbox>, common: Common, queue: Queue, attending: Sender<()>) -> Self {
        let (orders, to_follow) = bounded(16);
        let of = Arc::clone(&inbox);
        let thread =
            thread::spawn(move || Round::new(of, common, queue, attending).walk(&to_follow));
        Attendant { inbox, orders, thread }
    }

    /// Gives an order; a thread that is too busy to take it will scan anyway.
    pub fn order(&self, order: Order) {
        let _ = self.orders.try_send(order);
    }

    /// Whether the thread has ended.
    #[must_use]
    pub fn has_left(&self) -> bool {
        self.thread.is_finished()
    }
}

/// How the directory is watched at present.
enum Sight {
    /// It is not there.
    Absent,
    /// By events.
    Events { watching: Watching, root: RootId },
    /// By listing it.
    Polling { root: RootId },
}

/// What tells a directory from one that was made, or mounted, in its place. A new one is often
/// given the number of the old one, whose watch is dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct RootId {
    dev: u64,
    ino: u64,
    born_ns: i64,
    mount: u64,
}

struct Round {
    inbox: Arc<Inbox>,
    common: Common,
    patrol: Patrol,
    ended: Receiver<Ended>,
    sightings: Receiver<Sighting>,
    sighting_sender: Sender<Sighting>,
    attending: Option<Sender<()>>,
    sight: Sight,
    next_scan: Instant,
    next_root_check: Instant,
    complained: bool,
}

impl Round {
    fn new(inbox: Arc<Inbox>, common: Common, queue: Queue, attending: Sender<()>) -> Self {
        let (ended_sender, ended) = unbounded(); // as many as the pool takes from here
        let (sighting_sender, sightings) = bounded(SIGHTINGS_MAX);
        let now = Instant::now();
        Round {
            patrol: Patrol::new(Arc::clone(&inbox), common.clone(), queue, ended_sender),
            inbox,
            common,
            ended,
            sightings,
            sighting_sender,
            attending: Some(attending),
            sight: Sight::Absent,
            next_scan: now,
            next_root_check: now,
            complained: false,
        }
    }

    fn walk(mut self, orders: &Receiver<Order>) {
        while !self.common.stop.load(Ordering::Relaxed) {
            self.check_root(Instant::now());
            self.scan_if_due(Instant::now());
            self.attending = None; // dropped: the word that the first round was made
            self.patrol.tend(Instant::now());
            let now = Instant::now();
            let due = [self.patrol.next_due(), Some(self.next_scan), Some(self.next_root_check)];
            let pause =
                due.into_iter().flatten().min().map_or(ROOT_CHECK, |at| at.duration_since(now));
            select! {
                recv(self.sightings) -> sighting => {
                    let now = Instant::now();
                    for sighting in sighting.into_iter().chain(self.sightings.try_iter()) {
                        self.patrol.sight_event(sighting, now);
                    }
                }
                recv(self.ended) -> ended => {
                    let now = Instant::now();
                    for ended in ended.into_iter().chain(self.ended.try_iter()) {
                        self.patrol.end(ended, now);
                    }
                }
                recv(orders) -> order => match order {
                    Ok(Order::Scan) => self.next_scan = Instant::now(),
                    Ok(Order::Leave) | Err(_) => return,
                },
                default(pause) => {}
            }
        }
    }

    /// Notices that the root appeared, vanished, or is another directory than before.
    fn check_root(&mut self, now: Instant) {
        if now < self.next_root_check {
            return;
        }
        self.next_root_check = now + ROOT_CHECK;
        let found = root_id(&self.inbox.path);
        let known = match &self.sight {
            Sight::Absent => None,
            Sight::Events { root, .. } | Sight::Polling { root } => Some(*root),
        };
        match found {
            Ok(found) if Some(found) == known => {}
            Ok(found) => self.begin(found, now),
            Err(error) => {
                if known.is_some() || !self.complained {
                    self.complained = true;
                    tracing::warn!("waiting for the drop directory: {error}");
                }
                self.sight = Sight::Absent;
            }
        }
    }

    /// Watches first, scans then: what lands in between is seen twice rather than never.
    fn begin(&mut self, root: RootId, now: Instant) {
        self.complained = false;
        self.next_scan = now;
        let path = self.inbox.path.display();
        let polls = match (self.inbox.watch, file_system(&self.inbox.path)) {
            (Watch::Poll, _) => true,
            (Watch::Inotify, _) | (Watch::Auto, None) => false,
            (Watch::Auto, Some(fs)) => fs.network,
        };
        self.sight = if polls {
            tracing::info!("polling `{path}`");
            Sight::Polling { root }
        } else {
            match Watching::start(&self.inbox, self.sighting_sender.clone()) {
                Ok(watching) => {
                    tracing::info!("watching `{path}`");
                    Sight::Events { watching, root }
                }
                Err(error) => {
                    tracing::warn!("polling `{path}` instead of watching it: {error}");
                    Sight::Polling { root }
                }
            }
        };
    }

    fn scan_if_due(&mut self, now: Instant) {
        if let Sight::Events { watching, root } = &self.sight
            && watching.is_exhausted()
        {
            tracing::warn!("polling `{}` from now on", self.inbox.path.display());
            self.sight = Sight::Polling { root: *root };
            self.next_scan = now;
        }
        let missed = match &self.sight {
            Sight::Absent => {
                self.next_scan = now + ROOT_CHECK;
                return;
            }
            Sight::Events { watching, root } if watching.missed_some() => {
                Some((*root, watching.missed_dirs()))
            }
            Sight::Events { .. } | Sight::Polling { .. } => None,
        };
        if let Some((root, may_miss_dirs)) = missed {
            tracing::info!("events were lost in `{}`: scanning it", self.inbox.path.display());
            if may_miss_dirs && self.inbox.recursive {
                self.begin(root, now);
            }
        }
        if missed.is_none() && !self.patrol.wants_scan() && now < self.next_scan {
            return;
        }
        if let Err(error) = self.patrol.scan(now) {
            self.patrol.complain(error.to_string());
        }
        let took = now.elapsed();
        let interval = match self.sight {
            // A directory that takes long to list is listed less often.
            Sight::Polling { .. } => POLL.max(20 * took).min(self.inbox.rescan.max(POLL)),
            _ => self.inbox.rescan,
        };
        self.next_scan = Instant::now() + interval;
    }
}

fn root_id(path: &Path) -> disk::Result<RootId> {
    let Stat { dev, ino, born_ns, mount, .. } = Dir::open(path)?.stat_self()?;
    Ok(RootId { dev, ino, born_ns, mount })
}

fn file_system(path: &Path) -> Option<FsInfo> {
    Dir::open(path).and_then(|dir| disk::fs_info(&dir)).ok()
}
