//! Tracker: the pending drops of one drop directory, their states, and when each is probed next.
//!
//! Scans are authoritative. Watch events and the ledger only save work: a scan alone leads to the
//! same state, and it finds every entry that the tracker forgot.
//!
//! | state of an entry | meaning |
//! |---|---|
//! | `Unprobed` | found, but not probed yet |
//! | `Waiting` | not ready, or failed; has a reason, and a time at which it is probed again |
//! | `Backlog` | ready for a worker, but the worker queue is full |
//! | `Unverified` | finished, but its attributes changed; waits for its turn to be compared |
//! | `Suspended` | waits because a directory has a fault that every drop meets (`suspension`) |
//! | `Working` | in a job, or in the batch that is dispatched next |
//! | gone | the tracker has no entry for the path |
//!
//! | from | to | when |
//! |---|---|---|
//! | gone | `Unprobed` | an event, a scan, a request or a description leads to the path |
//! | `Unprobed`, `Waiting` | probed | its time has come; a further event brings the time forward |
//! | `Backlog` | probed | the worker queue has room |
//! | `Unverified` | probed | its turn has come, or an event or a scan leads to the path |
//! | probed | gone | it is missing, ignored or settled, or belongs to another entry |
//! | probed | `Waiting` | it is incomplete or leased, lacks data, or could not be probed |
//! | probed | `Working` | it is to be finalized, rejected, recovered or made again |
//! | probed | `Unverified` | it is to be compared with its array, and its turn has not come |
//! | probed | `Backlog` | as for `Working`, but the worker queue is full |
//! | probed, `Working` | `Suspended` | a directory has a fault, or the job failed by one |
//! | `Suspended` | probed | it is the one drop that is tried, or that one succeeded |
//! | `Working` | gone | the job is done |
//! | `Working` | `Unprobed` | the job is done, and the path was enqueued meanwhile |
//! | `Working` | `Waiting` | the job failed, or the drop must be tried again later |
//!
//! `Tracker::action` decides what follows a probe, `apply` carries it out, and
//! `Tracker::set_state`, `track` and `untrack` change the state and publish that.
//!
//! *Probed* is not a state: a probe ends in the call that starts it. A drop has one entry, under
//! the path of its data file; an entry of its description is merged into that one.

mod command_waits;
mod dispatch;
mod entry;
mod failures;
mod first_walk;
mod gate;
mod known_files;
mod listed_files;
mod looks;
mod misplaced;
mod recall;
mod recheck;
mod recovery;
mod reminders;
mod requests;
mod scan;
mod scan_report;
mod series;
mod similar_files;
mod start_checks;
mod state_requests;
mod suspension;
#[cfg(test)]
mod timeline;
mod undescribed_redo;
mod waits;
mod walk;
mod warnings;
mod watch_events;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use entry::{Entry, State};
use failures::{FailureReports, Work};
use first_walk::FirstWalk;
use gate::Action;
use looks::{Looks, WaitCounts};
use misplaced::MisplacedSearch;
use recheck::Rechecks;
use scan_report::ScanReport;
use state_requests::StateRequests;
use suspension::Suspensions;
use waits::Searches;
use walk::{DescriptionState, Walk};
use warnings::WarningDedup;

use crate::config::DropDir;
use crate::decide::file_snapshot::FileSnapshot;
use crate::decide::quiescence::Quiescence;
use crate::decide::wait::Wait;
use crate::finalize::Job;
use crate::fs::{self, Dir};
use crate::ledger::{Request, SourceCursor};
use crate::probe::{DescriptionIndex, may_describe, probe};
use crate::service::watch::RootWatch;
use crate::service::work::context::Context;
use crate::service::work::outcome::Record;
use crate::service::work::worker_pool::Queue;
use crate::throttle::rate::RateLimiter;

pub use dispatch::JobDone;
pub use recall::{after_rejected_parts, awaits_data};
pub use scan::{DEPTH_MAX, Progress, ScanCost};

/// Maximum number of entries of one drop directory. A scan waits until there is room for more.
const ENTRIES_MAX: usize = 65_536;

/// Longest delay until a waiting drop is probed again, if it can change without an event, and npyd
/// may look at so many drops.
const PROBE_DELAY_MAX: Duration = Duration::from_secs(5);

/// Longest delay until a waiting drop is probed again that an event or a scan leads to.
const EVENT_DELAY_MAX: Duration = Duration::from_mins(10);

/// Delay of the probe after `IN_CREATE`: `IN_CLOSE_WRITE` usually follows. A file that was
/// published with `linkat(2)` has no close event.
const CLOSE_GRACE: Duration = Duration::from_millis(20);

/// Maximum number of new directories that wait for their scan; the next full scan covers the rest.
const NEW_DIRS_MAX: usize = 4096;

/// Minimum interval between two events about the long wait of one drop, if its reason changes.
const LOG_INTERVAL: Duration = Duration::from_secs(30);

/// First and longest delay before a retry after a failure, of a drop or of a suspended directory;
/// the delay doubles with each failure.
const FAULT_MIN: Duration = Duration::from_secs(1);
const FAULT_MAX: Duration = Duration::from_mins(1);

/// After this many observed changes a drop counts as active, and a sweep does not wait for it.
const ACTIVE_AFTER_CHANGES: u32 = 3;

/// How long a sweep waits for a drop whose quiet time was extended because it was made again.
const SWEEP_WAIT_MAX: Duration = Duration::from_secs(10);

/// Maximum number of due probes per iteration of the event loop.
const PROBES_PER_TURN: usize = 256;

/// The tracker of one drop directory.
pub struct Tracker {
    drop_dir: Arc<DropDir>,
    context: Context,
    queue: Queue,
    /// Takes the results of jobs.
    ended: Arc<dyn Fn(JobDone) + Send + Sync>,
    /// The watches, which each scan brings up to date.
    watch: Option<Arc<RootWatch>>,
    pace: Arc<RateLimiter>,
    /// A hash of the settings; a rejection holds only under the settings it was made with.
    settings_hash: u64,
    trusts_clock: bool,
    recovered: bool,
    entries: HashMap<PathBuf, Entry>,
    due: BinaryHeap<Reverse<(Instant, PathBuf)>>,
    /// Entries that are ready for a worker, in the order in which they came.
    backlog: VecDeque<PathBuf>,
    /// Small drops that one worker finalizes together, so that they share their syncs.
    batch: Vec<Job>,
    rechecks: Rechecks,
    suspensions: Suspensions,
    /// When to check next whether missing directories are there again.
    next_dir_check: Instant,
    failure_reports: FailureReports,
    /// The drop directory, while a scan or a turn of probes has it open.
    root: Option<Dir>,
    /// The descriptions of data files that cannot be found by name.
    index: DescriptionIndex,
    /// Receipts of first failures, which are recorded together.
    failed: Vec<Record>,
    /// Redo requests, by the paths of their sources.
    requests: HashMap<PathBuf, Request>,
    /// Number of requests in the ledger that wait until others about their sources are carried out.
    deferred_requests: usize,
    /// The scan of the drop directory that has begun.
    pass: Option<Walk>,
    /// The scans of new directories, in their order.
    side_walks: VecDeque<Walk>,
    descriptions: DescriptionState,
    /// When a scan goes on that had no descriptors or memory left.
    step_after: Option<Instant>,
    /// What the first walk of the current scan has found.
    first_walk: FirstWalk,
    /// The descriptions of series that the current scan has found settled, as far as there is room.
    settled_series: HashSet<PathBuf>,
    looks: Looks,
    waits: WaitCounts,
    /// Maximum number of entries.
    room: usize,
    /// Whether a path was left out because there were too many entries.
    overflowed: bool,
    /// The next files of which the ledger has receipts and whose existence a scan checks.
    known_files: SourceCursor,
    warnings: WarningDedup,
    report: ScanReport,
    misplaced: MisplacedSearch,
    searches: Searches,
    state_requests: StateRequests,
}

impl Tracker {
    /// Creates the tracker of a drop directory. Workers pass the results of jobs to `ended`; the
    /// caller passes them to [`Tracker::on_job_done`].
    #[must_use]
    pub fn new(
        drop_dir: Arc<DropDir>,
        context: Context,
        queue: Queue,
        ended: impl Fn(JobDone) + Send + Sync + 'static,
    ) -> Self {
        let settings_hash = drop_dir.settings_hash;
        let state_requests = StateRequests::new(context.bus());
        let pressure = context.pressure.clone();
        let pace = context.limiters.of(&drop_dir.path, drop_dir.max_rate, pressure);
        Tracker {
            drop_dir,
            context,
            pace,
            queue,
            ended: Arc::new(ended),
            watch: None,
            settings_hash,
            trusts_clock: false,
            recovered: false,
            entries: HashMap::new(),
            due: BinaryHeap::new(),
            backlog: VecDeque::new(),
            batch: Vec::new(),
            rechecks: Rechecks::default(),
            suspensions: Suspensions::default(),
            next_dir_check: Instant::now(),
            failure_reports: FailureReports::default(),
            root: None,
            index: DescriptionIndex::with_room(ENTRIES_MAX),
            failed: Vec::new(),
            requests: HashMap::new(),
            deferred_requests: 0,
            pass: None,
            side_walks: VecDeque::new(),
            descriptions: DescriptionState::Unread,
            step_after: None,
            first_walk: FirstWalk::default(),
            settled_series: HashSet::new(),
            looks: Looks::default(),
            waits: WaitCounts::default(),
            room: ENTRIES_MAX,
            overflowed: false,
            known_files: SourceCursor::default(),
            warnings: WarningDedup::default(),
            report: ScanReport::default(),
            misplaced: MisplacedSearch::default(),
            searches: Searches::default(),
            state_requests,
        }
    }

    /// Sets the watches: scans watch each directory before they list it.
    pub fn set_watch(&mut self, watch: Option<Arc<RootWatch>>) {
        self.looks.sees_events = watch.is_some();
        self.watch = watch;
    }

    /// Opens the drop directory, unless it is open.
    fn root(&self) -> fs::Result<Dir> {
        let of_scan = || self.pass.as_ref().and_then(|pass| pass.root.clone());
        self.root.clone().or_else(of_scan).map_or_else(|| Dir::open(&self.drop_dir.path), Ok)
    }

    /// Enqueues a path below the drop directory, to be probed at the time `at`.
    pub fn enqueue(&mut self, rel: PathBuf, at: Instant) {
        if self.drop_dir.is_managed(&rel) || self.drop_dir.ignore.ignores_path(&rel) {
            return;
        }
        // Before its data file is probed, so that a conflict with another description is found.
        // The probe of this path reports an error.
        let describes = rel.file_name().and_then(|name| name.to_str()).is_some_and(may_describe);
        if describes && let Ok(root) = self.root() {
            let _ = self.index.learn((&self.drop_dir, &root), &rel);
        }
        self.insert(rel, at);
    }

    /// Enqueues a path that is neither ignored nor npyd's own. If it is a description, the index
    /// has it.
    fn insert(&mut self, rel: PathBuf, at: Instant) {
        match self.entries.get_mut(&rel) {
            Some(entry) if entry.is_held() => entry.note_again(),
            Some(_) => self.schedule(rel, at),
            None => {
                self.track(&rel, at);
                self.schedule(rel, at);
            }
        }
    }

    /// Makes the next probe of an entry due at `at`, unless it is due earlier.
    fn schedule(&mut self, rel: PathBuf, at: Instant) {
        if let Some(entry) = self.entries.get_mut(&rel)
            && entry.due.is_none_or(|due| at < due)
        {
            entry.due = Some(at);
            self.due.push(Reverse((at, rel)));
        }
    }

    /// Returns when the next probe or step of a scan is due.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        let looks = self.due.peek().map(|Reverse((at, _))| *at);
        looks.into_iter().chain(self.looks.next()).chain(self.step_after).min()
    }

    /// Returns whether the tracker left paths out for lack of room, and now has room for them, so
    /// that a further scan is to find them.
    #[must_use]
    pub fn wants_scan(&self) -> bool {
        self.overflowed && !self.is_scanning() && self.entries.len() < self.room / 2
    }

    /// Returns whether nothing is left that could finish without outside input. A drop whose quiet
    /// time was extended because it was made again is left to the next sweep, which computes from
    /// the file's times how long it has been unchanged.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        if self.due.peek().is_some_and(|Reverse((at, _))| *at <= Instant::now()) {
            return false;
        }
        let wait_max = self.drop_dir.quiet.max(SWEEP_WAIT_MAX);
        let is_left = |left: Duration| self.trusts_clock && left > wait_max;
        self.backlog.is_empty()
            && self.entries.values().all(|entry| match entry.state() {
                State::Waiting(wait) => wait.ready_in.is_none_or(is_left) || entry.is_active(),
                State::Suspended(_) => true,
                State::Unprobed | State::Backlog | State::Unverified | State::Working { .. } => {
                    false
                }
            })
    }

    /// Returns the drops that may become ready by waiting alone.
    pub fn waiting_for_time(&self) -> impl Iterator<Item = PathBuf> {
        self.entries.iter().filter_map(|(rel, entry)| match entry.state() {
            State::Waiting(Wait { ready_in: Some(_), .. }) => Some(self.drop_dir.path.join(rel)),
            _ => None,
        })
    }

    /// Probes the entries that are due, and dispatches those that are ready to the workers.
    pub fn process_due(&mut self, now: Instant) {
        if self.descriptions != DescriptionState::Unread {
            self.count_repeated_probes(|tracker| tracker.probe_due(now));
            self.process_looks(now);
            self.root = None;
            self.process_suspensions(now);
        }
        self.dispatch_batch();
        self.record_failures();
        if self.due.peek().is_none_or(|Reverse((at, _))| *at > now) {
            self.complete_report();
        }
        self.process_rechecks(now);
        self.publish_reports(Some(now));
        self.publish_states_if_requested(now);
    }

    /// Probes the entries whose time has come. They share one open drop directory.
    fn probe_due(&mut self, now: Instant) {
        let has_due = self.due.peek().is_some_and(|Reverse((at, _))| *at <= now);
        if has_due || !self.backlog.is_empty() {
            self.root = self.root().ok(); // a probe reports an error
        }
        while let Some(rel) = self.backlog.front()
            && self.queue.has_room()
        {
            let rel = rel.clone();
            self.backlog.pop_front();
            self.probe_now(&rel, now);
        }
        for _ in 0..PROBES_PER_TURN {
            if self.due.peek().is_none_or(|Reverse((at, _))| *at > now) {
                break;
            }
            let Some(Reverse((at, rel))) = self.due.pop() else { break };
            // Stale if the entry was forgotten or rescheduled since.
            if self.entries.get(&rel).is_some_and(|entry| entry.due == Some(at)) {
                self.probe_now(&rel, now);
            }
        }
    }

    /// Probes a path, and moves its entry to the state that follows.
    fn probe_now(&mut self, rel: &Path, now: Instant) {
        if let Some(entry) = self.entries.get_mut(rel) {
            entry.due = None;
            entry.look = None;
        }
        let root = self.root();
        let result = root.and_then(|root| probe((&self.drop_dir, &root), rel, &self.index));
        let result = self.described_by_redo(rel, result);
        if self.redo_without_source(rel, &result) {
            return;
        }
        let (rel, action) = self.action(rel, result, now);
        self.apply(&rel, action, now);
    }

    /// Carries out an action.
    fn apply(&mut self, rel: &Path, action: Action, now: Instant) {
        match action {
            Action::Forget => self.forget(rel),
            Action::Ignore(why) => {
                self.note_ignored(rel, &why);
                self.untrack(rel, Some(why));
                self.scan_if_dir(rel, now);
            }
            Action::Split(data) => {
                self.forget(rel);
                for data in data {
                    self.enqueue(data, now);
                }
            }
            Action::Enqueue => self.enqueue(rel.to_path_buf(), now),
            Action::Probe => self.probe_now(rel, now),
            Action::Recover(_) | Action::Dispatch(_) if self.hold(rel, Work::Finalize, now) => {}
            Action::Recover(residue) => self.recover_residue(rel, residue),
            Action::Dispatch(job) if job.is_recheck => self.dispatch_recheck(*job),
            Action::Dispatch(job) => self.dispatch(*job),
            Action::Wait(wait) => self.wait(rel, wait, now),
            Action::Reject { .. } if self.hold(rel, Work::Reject, now) => {}
            Action::Reject { candidate, event, reason } => self.reject(*candidate, event, reason),
            Action::Fail(failure) => self.on_failure(rel, &failure, now),
        }
    }

    fn forget(&mut self, rel: &Path) {
        self.untrack(rel, None);
    }

    /// Returns whether a template matches the name of a file.
    fn has_template(&self, rel: &Path) -> bool {
        let name = rel.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| self.drop_dir.template_of(name).is_some())
    }
}
