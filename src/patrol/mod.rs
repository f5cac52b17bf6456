//! A drop directory under care: what was sighted, what waits and why, and when to look again.
//!
//! The directory is the truth. Sightings and the ledger only spare work: a scan alone reaches the
//! same state, and whatever is forgotten here is found by the next one.

mod handover;
mod recall;
mod scan;
mod work;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::Sender;

use crate::candidate::{Candidate, Decision};
use crate::config::Inbox;
use crate::finalize::Settled;
use crate::ledger::Earlier;
use crate::look::{DescriptionIndex, Outlook, look};
use crate::pace::Pace;
use crate::pool::Queue;
use crate::receipt::{Event, Receipt};
use crate::settle::{Stillness, Wait};
use crate::stamp::Stamp;
use crate::watch::Sighting;

use scan::Complaints;

pub use scan::DEPTH_MAX;

pub use handover::Ended;
pub use work::{Common, Tell};

/// The most dumps of one directory that are kept in mind; the rest is left to later scans.
const ENTRIES_MAX: usize = 65_536;

/// The shortest and the longest time until something that waits is looked at again.
const LOOK_MIN: Duration = Duration::from_millis(100);
const LOOK_MAX: Duration = Duration::from_secs(5);

/// How long a new file is left alone, for its close will tell more. One that was linked to its name
/// has none.
const CLOSE_WITHIN: Duration = Duration::from_millis(20);

/// How long a new directory's watch may take: what lands there before is found by a second look.
const WATCH_WITHIN: Duration = Duration::from_secs(1);

/// The most new directories that are looked at twice; with more of them, everything is.
const NEW_DIRS_MAX: usize = 4096;

/// How long people are left alone about something that waits.
const TELL_AGAIN: Duration = Duration::from_secs(30);

/// The first and the longest pause after a fault that may pass.
const FAULT_MIN: Duration = Duration::from_secs(1);
const FAULT_MAX: Duration = Duration::from_mins(1);

/// After how many changes a dump counts as being written to: time alone proves nothing then.
const RESTLESS: u32 = 3;

/// How long a sweep waits for a drop whose quiet time is longer than the configured one.
const SWEEP_WAIT_MAX: Duration = Duration::from_secs(10);

/// The most looks between two glances at what else has happened.
const LOOKS_AT_ONCE: usize = 256;

/// One drop directory under care.
pub struct Patrol {
    inbox: Arc<Inbox>,
    common: Common,
    queue: Queue,
    ended: Sender<Ended>,
    pace: Arc<Pace>,
    /// A hash of the settings: what decides about a rejection besides the files.
    settings: u64,
    trusts_clock: bool,
    tidied: bool,
    entries: HashMap<PathBuf, Entry>,
    due: BinaryHeap<Reverse<(Instant, PathBuf)>>,
    /// Complete, but the workers are busy.
    backlog: VecDeque<PathBuf>,
    /// Directories that appeared, and when each is to be listed once more.
    new_dirs: VecDeque<(Instant, PathBuf)>,
    /// Small ones that are handed to a worker together, so that they share their syncs.
    batch: Vec<Settled>,
    /// What describes files whose names do not show it.
    index: DescriptionIndex,
    forgot: bool,
    complaints: Complaints,
}

struct Entry {
    state: State,
    stillness: Option<Stillness<Stamp>>,
    since: Instant,
    due: Option<Instant>,
    told: Option<Instant>,
    faults: u32,
}

impl Entry {
    fn new(now: Instant) -> Self {
        Entry { state: State::New, stillness: None, since: now, due: None, told: None, faults: 0 }
    }

    fn is_restless(&self) -> bool {
        self.stillness.as_ref().is_some_and(|stillness| stillness.changes() >= RESTLESS)
    }
}

enum State {
    /// Not looked at yet.
    New,
    /// Waiting, for this reason; time alone may prove it complete.
    Waiting(Wait),
    /// Complete, and queued here until the workers have room.
    Backlog,
    /// With a worker; whether it was sighted meanwhile.
    Working { again: bool },
}

impl Patrol {
    /// Takes a drop directory into care. `ended` receives each task's end, to be handed back to
    /// [`Patrol::end`].
    #[must_use]
    pub fn new(inbox: Arc<Inbox>, common: Common, queue: Queue, ended: Sender<Ended>) -> Self {
        let settings = inbox.settings;
        let pace = Arc::new(Pace::new(inbox.max_rate, common.pressure.clone()));
        Patrol {
            inbox,
            common,
            pace,
            queue,
            ended,
            settings,
            trusts_clock: false,
            tidied: false,
            entries: HashMap::new(),
            due: BinaryHeap::new(),
            backlog: VecDeque::new(),
            new_dirs: VecDeque::new(),
            batch: Vec::new(),
            index: DescriptionIndex::with_room(ENTRIES_MAX),
            forgot: false,
            complaints: Complaints::default(),
        }
    }

    /// Whether a path lies where npyd itself puts files.
    fn is_own(&self, rel: &Path) -> bool {
        let path = self.inbox.path.join(rel);
        self.inbox.own_dirs().any(|dir| path.starts_with(dir) && dir != self.inbox.path)
    }

    /// Something may have landed at this path below the drop directory, to be looked at then.
    pub fn sight(&mut self, rel: PathBuf, at: Instant) {
        if self.is_own(&rel) || self.inbox.ignore.ignores_path(&rel) {
            return;
        }
        // Before anything is looked at that it describes, and that may have another description.
        if let Err(error) = self.index.learn(&self.inbox, &rel) {
            tracing::debug!("{error}"); // its own look tells
        }
        let known = self.entries.len();
        match self.entries.get_mut(&rel) {
            Some(Entry { state: State::Working { again }, .. }) => *again = true,
            Some(Entry { state: State::Backlog, .. }) => {}
            Some(_) => self.look_at(rel, at),
            None if known >= ENTRIES_MAX => self.forgot = true,
            None => {
                let entry = Entry::new(at);
                self.entries.insert(rel.clone(), entry);
                self.look_at(rel, at);
            }
        }
    }

    /// Takes in what the watch reports; npyd's own unnamed files close there, too.
    pub fn sight_event(&mut self, Sighting { rel, is_new }: Sighting, now: Instant) {
        self.sight(rel, if is_new { now + CLOSE_WITHIN } else { now });
    }

    fn look_at(&mut self, rel: PathBuf, at: Instant) {
        if let Some(entry) = self.entries.get_mut(&rel)
            && entry.due.is_none_or(|due| at < due)
        {
            entry.due = Some(at);
            self.due.push(Reverse((at, rel)));
        }
    }

    /// When the next look is due.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        let looks = self.due.peek().map(|Reverse((at, _))| *at);
        let dirs = self.new_dirs.front().map(|(at, _)| *at);
        looks.into_iter().chain(dirs).min()
    }

    /// Whether sightings had to be forgotten for want of room, and there is room for a scan now.
    #[must_use]
    pub fn wants_scan(&self) -> bool {
        self.forgot && self.entries.len() < ENTRIES_MAX / 2
    }

    /// Whether everything that work or time alone can bring about has come about. What must be
    /// unchanged for long because it was made again is left to the next sweep: the file's times
    /// tell that one how long it has been unchanged.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        let wait_max = self.inbox.quiet.max(SWEEP_WAIT_MAX);
        let is_left = |left: Duration| self.trusts_clock && left > wait_max;
        self.backlog.is_empty()
            && self.entries.values().all(|entry| match &entry.state {
                State::Waiting(wait) => wait.proof_in.is_none_or(is_left) || entry.is_restless(),
                State::New | State::Backlog | State::Working { .. } => false,
            })
    }

    /// What waits, and why; what failed was told already.
    pub fn waiting(&self) -> impl Iterator<Item = (PathBuf, &str)> {
        self.entries.iter().filter_map(|(rel, entry)| match &entry.state {
            State::Waiting(wait) if entry.faults == 0 => {
                Some((self.inbox.path.join(rel), wait.why.as_str()))
            }
            _ => None,
        })
    }

    /// What time alone will bring about.
    pub fn waiting_for_time(&self) -> impl Iterator<Item = PathBuf> {
        self.entries.iter().filter_map(|(rel, entry)| match &entry.state {
            State::Waiting(Wait { proof_in: Some(_), .. }) => Some(self.inbox.path.join(rel)),
            _ => None,
        })
    }

    /// Looks at whatever is due, and hands to the workers what is complete.
    pub fn tend(&mut self, now: Instant) {
        while let Some(rel) = self.backlog.front()
            && self.queue.has_room()
        {
            let rel = rel.clone();
            self.backlog.pop_front();
            self.look_now(&rel, now);
        }
        while let Some((_, dir)) = self.new_dirs.pop_front_if(|(at, _)| *at <= now) {
            self.scan_if_dir(&dir, now);
        }
        for _ in 0..LOOKS_AT_ONCE {
            if self.due.peek().is_none_or(|Reverse((at, _))| *at > now) {
                break;
            }
            let Some(Reverse((at, rel))) = self.due.pop() else { break };
            // Entries may have been forgotten, or made due anew, since this was put down.
            if self.entries.get(&rel).is_some_and(|entry| entry.due == Some(at)) {
                self.look_now(&rel, now);
            }
        }
        self.hand_over_batch();
    }

    fn look_now(&mut self, rel: &Path, now: Instant) {
        if let Some(entry) = self.entries.get_mut(rel) {
            entry.due = None;
        }
        match look(&self.inbox, rel, &self.index) {
            Ok(Outlook::Gone) => self.forget(rel),
            Ok(Outlook::NotOurs(why)) => {
                tracing::debug!("ignored `{}`: {why}", self.inbox.path.join(rel).display());
                self.forget(rel);
                if self.scan_if_dir(rel, now) && self.new_dirs.len() < NEW_DIRS_MAX {
                    self.new_dirs.push_back((now + WATCH_WITHIN, rel.to_path_buf()));
                }
            }
            Ok(Outlook::WithoutData { manifest, data, parts, why }) => {
                self.index.add_parts(&manifest, &parts);
                let mut why = why;
                if let Some(data) = data {
                    self.index.add(&data, &manifest);
                    why.push_str(&self.earlier_array(&data));
                }
                self.wait(rel, Wait::for_somebody(why), now);
            }
            Ok(Outlook::Leads { sidecar, data }) => {
                self.forget(rel);
                for data in data {
                    self.index.add(&data, &sidecar);
                    self.sight(data, now);
                }
            }
            Ok(Outlook::Leftover(leftover)) => self.tidy_leftover(rel, leftover),
            // Its sidecar's own look takes it, with the others.
            Ok(Outlook::Candidate(candidate))
                if candidate.sidecar.is_none()
                    && self.has_template(rel)
                    && self.index.whole_of(rel).is_some() =>
            {
                self.forget(rel);
            }
            Ok(Outlook::Candidate(candidate)) => self.consider(rel, *candidate, now),
            Err(error) if error.is_missing() => self.forget(rel),
            // A worker has it, or another process probes it.
            Err(error) if error.is_leased() => {
                let why = "another process holds a lease on it".to_owned();
                let since = self.entries.get(rel).map_or(now, |entry| entry.since);
                let is_brief = now.saturating_duration_since(since) < FAULT_MIN;
                self.wait(rel, Wait { why, proof_in: is_brief.then_some(LOOK_MIN) }, now);
            }
            Err(error) => self.fault(rel, &error.to_string(), now),
        }
    }

    fn forget(&mut self, rel: &Path) {
        self.entries.remove(rel);
    }

    /// Whether a template speaks of a file's name.
    fn has_template(&self, rel: &Path) -> bool {
        let name = rel.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| self.inbox.templates.iter().any(|it| it.matches(name)))
    }

    /// A manifest's look leads to its data: care for them under their own name.
    fn rename_entry(&mut self, from: &Path, to: &Path, now: Instant) -> bool {
        if from == to {
            return true;
        }
        self.entries.remove(from);
        match self.entries.get(to) {
            Some(Entry { state: State::Working { .. } | State::Backlog, .. }) => {
                self.sight(to.to_path_buf(), now);
                return false;
            }
            Some(_) => {}
            None => {
                let entry = Entry::new(now);
                self.entries.insert(to.to_path_buf(), entry);
            }
        }
        true
    }

    fn consider(&mut self, seen: &Path, candidate: Candidate, now: Instant) {
        let rel = candidate.rel.clone();
        if let Some(sidecar) = &candidate.sidecar {
            self.index.add(&rel, &sidecar.rel);
            let parts: Vec<_> = candidate.parts.iter().map(|part| part.rel.clone()).collect();
            self.index.add_parts(&sidecar.rel, &parts);
            if !sidecar.is_shared {
                // A sighting of its own would only lead here again.
                self.entries.remove(&sidecar.rel);
            }
        }
        if !self.rename_entry(seen, &rel, now) {
            return;
        }
        let stamp = candidate.stamp();
        let known = self.last_settled(&rel);
        if known.as_ref().is_some_and(|known| self.is_as_known(known, &stamp, &candidate)) {
            self.forget(&rel);
            return;
        }
        if known.is_some_and(|known| self.recall_description(&known, &candidate)) {
            return self.look_now(&rel, now);
        }
        let source = self.inbox.path.join(&rel);
        let earlier = match self.common.ledger.earlier_arrays(&source, stamp.data.ino) {
            Ok(earlier) => earlier,
            Err(error) => return self.fault(&rel, &error.to_string(), now),
        };
        match self.common.ledger.loss_of(stamp.contents()) {
            Ok(None) => {}
            // Whatever changed since: it is not looked at any further.
            Ok(Some(reason)) => return self.reject(candidate, Event::Lost, reason),
            Err(error) => return self.fault(&rel, &error.to_string(), now),
        }
        let Some(entry) = self.entries.get_mut(&rel) else { return };
        let age = if self.trusts_clock { candidate.age(SystemTime::now()) } else { None };
        let first = || Stillness::new(stamp.clone(), now, age);
        let unchanged = entry.stillness.get_or_insert_with(first).observe(stamp, now, age);
        let still = unchanged >= self.inbox.quiet;
        let Earlier { identities: earlier, remakes } = earlier;
        match candidate.decide(&self.inbox, unchanged, remakes) {
            Ok(Decision::Finalize { header, evidence, remark }) => {
                let Ok(dump) = candidate.dump.clone() else { return };
                let inbox = Arc::clone(&self.inbox);
                let header = *header;
                let intents = Some(Arc::clone(&self.common.intents));
                self.hand_over(Settled {
                    inbox,
                    candidate,
                    dump,
                    header,
                    evidence,
                    remark,
                    still,
                    earlier,
                    intents,
                });
            }
            Ok(Decision::Wait(wait)) => self.wait(&rel, wait, now),
            Ok(Decision::Reject(reason)) => self.reject(candidate, Event::Rejected, reason),
            Err(error) => self.fault(&rel, &error.to_string(), now),
        }
    }

    fn wait(&mut self, rel: &Path, wait: Wait, now: Instant) {
        let path = self.inbox.path.join(rel);
        let Some(entry) = self.entries.get_mut(rel) else { return };
        let waited = now.saturating_duration_since(entry.since);
        let pause = match wait.proof_in {
            Some(proof_in) => proof_in.min(LOOK_MAX),
            None => (waited / 10).clamp(LOOK_MIN, LOOK_MAX),
        };
        // Told once it has lasted, for most waits are over before anybody could read of them; and
        // again when it has something new to tell, but not at every look.
        let news = !matches!(&entry.state, State::Waiting(before) if before.why == wait.why);
        let due = entry.told.is_none_or(|told| now.saturating_duration_since(told) >= TELL_AGAIN);
        let untold = news || entry.told.is_none();
        if untold && due && wait.proof_in.is_none() && waited >= self.inbox.quiet {
            entry.told = Some(now);
            tracing::info!("waiting for {}: {}", path.display(), wait.why);
        } else if news {
            tracing::debug!("waiting for {}: {}", path.display(), wait.why);
        }
        entry.state = State::Waiting(wait);
        self.look_at(rel.to_path_buf(), now + pause);
    }

    /// A fault that may pass: tried again, after pauses that grow.
    fn fault(&mut self, rel: &Path, error: &str, now: Instant) {
        let path = self.inbox.path.join(rel);
        let Some(entry) = self.entries.get_mut(rel) else { return };
        let pause = FAULT_MIN.saturating_mul(1 << entry.faults.min(16)).min(FAULT_MAX);
        entry.faults += 1;
        let first = entry.faults == 1;
        let why = match self.common.tell {
            Tell::Log => {
                format!("{error}; trying again in {}", humantime::format_duration(pause))
            }
            // One pass, and no other.
            Tell::Lines | Tell::Json => error.to_owned(),
        };
        entry.state = State::Waiting(Wait::for_somebody(why.as_str()));
        entry.due = None;
        self.look_at(rel.to_path_buf(), now + pause);
        if first {
            let receipt =
                Receipt::without_output(Event::Failed, self.inbox.path.clone(), path, why);
            self.common.record(receipt, None);
        } else {
            tracing::warn!("failed again with {}: {why}", path.display());
        }
    }
}
