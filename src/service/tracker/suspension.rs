//! Suspensions: while a directory has a fault that every drop meets, npyd tries it with one drop at
//! a time, after a delay that grows, and holds all others. Pure state; the tracker probes and
//! dispatches.
//!
//! | state | held drops | ends when |
//! |---|---|---|
//! | suspended | wait | the *trial*, the one drop that is let through, succeeds |
//! | resumed | none | all drops that met the fault are done; the fault may come back before |
//!
//! If a drop meets the fault again after others succeeded, the fault concerns that drop alone, such
//! as a file that is larger than its quota. It does not suspend the others again until it succeeds,
//! unless several such drops fail in a row.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::decide::work_error::WorkError;
use crate::events::event::{Event, Trial};
use crate::events::gathering::Gathering;
use crate::model::{DirFault, DirFaultKind};
use crate::service::tracker::reminders::reminder;
use crate::service::tracker::{FAULT_MAX, FAULT_MIN};

/// After so many failures in a row, without a success between, the fault is back.
const FAILURES_IN_ROW: u32 = 3;

/// All suspensions of one drop directory: one for each directory with a fault.
#[derive(Default)]
pub(crate) struct Suspensions {
    all: Vec<Suspension>,
    /// The drops that had a fault alone when they failed last.
    alone: HashSet<PathBuf>,
}

struct Suspension {
    fault: DirFault,
    /// What failed, with the remedy.
    error: WorkError,
    began: Instant,
    is_resumed: bool,
    delay: Duration,
    next_trial: Instant,
    trial: Option<PathBuf>,
    /// Whether the directory was there when that was last checked, if it is missing.
    is_there: bool,
    /// Drops that wait and have not met the fault, in order. npyd tries these drops first.
    held: VecDeque<PathBuf>,
    /// Drops that wait and met the fault, in order.
    failed: VecDeque<PathBuf>,
    /// The drops that met the fault or waited and are not done. The number is how many drops had
    /// succeeded when the drop itself failed, if it did.
    affected: HashMap<PathBuf, Option<u64>>,
    /// Number of drops that met the fault or waited since it began.
    count: usize,
    successes: u64,
    /// Number of failures since the last success.
    failures_in_row: u32,
    /// Times the event about drops that none has reported.
    unreported: Gathering,
    is_reported: bool,
    reminders: usize,
    /// How many drops met the fault or waited, and how long it lasted, once the work goes on.
    resumed: Option<(usize, Duration)>,
}

impl Suspensions {
    /// Notes that a drop failed by a fault. Returns whether the drop waits; if not, it alone has
    /// the fault.
    pub(crate) fn fail(
        &mut self,
        rel: &Path,
        fault: &DirFault,
        error: &WorkError,
        now: Instant,
    ) -> bool {
        // It was the trial of another directory as well. There its failure proves nothing.
        let others = self.all.iter_mut().filter(|it| it.fault.dir != fault.dir);
        for other in others.filter(|it| it.trial.as_deref() == Some(rel)) {
            other.trial = None;
        }
        if self.alone.contains(rel) {
            return false;
        }
        let Some(at) = self.all.iter().position(|it| it.fault.dir == fault.dir) else {
            let mut new = Suspension::new(fault, error, now);
            new.failures_in_row = 1;
            new.affect(rel, Some(0), now);
            new.failed.push_back(rel.to_path_buf());
            self.all.push(new);
            return true;
        };
        let known = &mut self.all[at];
        known.failures_in_row += 1;
        let failed_at = known.affected.get(rel).copied().flatten();
        let has_it_alone = failed_at.is_some_and(|before| known.successes > before);
        if known.is_resumed && has_it_alone && known.failures_in_row < FAILURES_IN_ROW {
            known.affected.remove(rel);
            self.alone.insert(rel.to_path_buf());
            self.remove_ended();
            return false;
        }
        known.fail(rel, fault, error, now);
        true
    }

    /// Returns whether no directory has a fault.
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Suspends a drop if its job uses a directory that has a fault. Returns the error then.
    pub(crate) fn hold(&mut self, rel: &Path, dirs: &[PathBuf], now: Instant) -> Option<WorkError> {
        if self.is_trial(rel) {
            return None;
        }
        let it = self.all.iter_mut().find(|it| it.holds(dirs))?;
        it.hold(rel, now);
        Some(it.error.clone())
    }

    /// Returns whether [`Suspensions::hold`] would suspend a drop.
    pub(crate) fn would_hold(&self, rel: &Path, dirs: &[PathBuf]) -> bool {
        !self.is_trial(rel) && self.all.iter().any(|it| it.holds(dirs))
    }

    fn is_trial(&self, rel: &Path) -> bool {
        self.all.iter().any(|it| it.trial.as_deref() == Some(rel))
    }

    /// Returns the drop to try a suspended directory with, if a trial is due. Call
    /// [`Suspensions::end_trial`] if the trial does not come about.
    pub(crate) fn next_trial(&mut self, now: Instant) -> Option<PathBuf> {
        let is_due = |it: &&mut Suspension| {
            let is_any = !it.held.is_empty() || !it.failed.is_empty();
            !it.is_resumed && it.trial.is_none() && it.next_trial <= now && is_any
        };
        let due = self.all.iter_mut().find(is_due)?;
        due.trial = due.held.pop_front().or_else(|| due.failed.pop_front());
        due.trial.clone()
    }

    /// Makes a trial due for each missing directory that is there again. If the trial fails all the
    /// same, the directory must vanish before this makes another one due.
    pub(crate) fn try_those_that_are_back(
        &mut self,
        is_there: impl Fn(&Path) -> bool,
        now: Instant,
    ) {
        let is_missing = |it: &&mut Suspension| {
            it.fault.kind == DirFaultKind::Missing && !it.is_resumed && it.trial.is_none()
        };
        for it in self.all.iter_mut().filter(is_missing) {
            let was_there = std::mem::replace(&mut it.is_there, is_there(&it.fault.dir));
            if it.is_there && !was_there {
                it.next_trial = now;
            }
        }
    }

    /// Ends a trial that ended otherwise than by the fault of a directory, and so proved nothing.
    pub(crate) fn end_trial_unless(&mut self, rel: &Path, has_fault: bool) {
        if !has_fault {
            self.end_trial(rel);
        }
    }

    /// Ends a trial that proved nothing; the next one may follow at once.
    pub(crate) fn end_trial(&mut self, rel: &Path) {
        for it in self.all.iter_mut().filter(|it| it.trial.as_deref() == Some(rel)) {
            it.trial = None;
        }
    }

    /// Notes that a drop is done, by a job that used these directories. Returns the drops that need
    /// not wait any more.
    pub(crate) fn succeed(&mut self, rel: &Path, dirs: &[PathBuf], now: Instant) -> Vec<PathBuf> {
        self.alone.remove(rel);
        let mut resumed = Vec::new();
        for it in &mut self.all {
            let is_affected = it.affected.remove(rel).is_some();
            if !it.is_used_by(dirs) {
                // Nothing shows that this directory has no fault any more.
                it.trial = it.trial.take().filter(|trial| trial != rel);
                continue;
            }
            if is_affected {
                it.successes += 1;
                it.failures_in_row = 0;
            }
            if it.trial.as_deref() == Some(rel) {
                resumed.extend(it.resume(now));
            }
        }
        self.remove_ended();
        resumed
    }

    /// Notes that a drop is gone.
    pub(crate) fn forget(&mut self, rel: &Path) {
        self.end_trial(rel);
        self.alone.remove(rel);
        for it in &mut self.all {
            it.affected.remove(rel);
        }
        self.remove_ended();
    }

    /// Returns the events that are due now, or all that were not published.
    pub(crate) fn take_events(&mut self, drop_dir: &Path, now: Option<Instant>) -> Vec<Event> {
        let events = self.all.iter_mut().flat_map(|it| it.take_events(drop_dir, now)).collect();
        self.remove_ended();
        events
    }

    /// Removes the suspensions that are over: they affect no drop, and nothing is left to report.
    fn remove_ended(&mut self) {
        self.all.retain(|it| !it.is_resumed || !it.affected.is_empty() || it.resumed.is_some());
    }
}

impl Suspension {
    fn new(fault: &DirFault, error: &WorkError, now: Instant) -> Self {
        Suspension {
            fault: fault.clone(),
            error: error.clone(),
            began: now,
            is_resumed: false,
            delay: FAULT_MIN,
            next_trial: now + FAULT_MIN,
            trial: None,
            is_there: false,
            held: VecDeque::new(),
            failed: VecDeque::new(),
            affected: HashMap::new(),
            count: 0,
            successes: 0,
            failures_in_row: 0,
            unreported: Gathering::soon(),
            is_reported: false,
            reminders: 0,
            resumed: None,
        }
    }

    fn holds(&self, dirs: &[PathBuf]) -> bool {
        !self.is_resumed && self.is_used_by(dirs)
    }

    fn is_used_by(&self, dirs: &[PathBuf]) -> bool {
        dirs.iter().any(|dir| dir.starts_with(&self.fault.dir))
    }

    /// Suspends a drop that has not met the fault itself since npyd suspended the work.
    fn hold(&mut self, rel: &Path, now: Instant) {
        let failed_at = self.affected.get(rel).copied().flatten();
        self.affect(rel, failed_at, now);
        self.held.push_back(rel.to_path_buf());
    }

    fn affect(&mut self, rel: &Path, failed_at: Option<u64>, now: Instant) {
        if self.affected.insert(rel.to_path_buf(), failed_at).is_none() {
            self.count += 1;
            self.unreported.add(now);
        }
    }

    fn fail(&mut self, rel: &Path, fault: &DirFault, error: &WorkError, now: Instant) {
        let is_trial = self.trial.as_deref() == Some(rel);
        if self.is_resumed {
            // The delay keeps its length and grows further, because the fault comes and goes.
            self.failures_in_row = 0;
            self.is_resumed = false;
            self.began = now;
            self.count = self.affected.len();
            self.unreported.add(now);
            self.is_reported = false;
            self.reminders = 0;
        }
        if self.fault.kind != fault.kind {
            self.unreported.add(now);
            self.is_reported = false;
        }
        if is_trial || self.next_trial <= now {
            self.delay = (2 * self.delay).min(FAULT_MAX);
            self.next_trial = now + self.delay;
            self.trial = self.trial.take().filter(|_| !is_trial);
        }
        self.fault.kind = fault.kind;
        self.error = error.clone();
        self.affect(rel, Some(self.successes), now);
        self.failed.push_back(rel.to_path_buf());
    }

    fn resume(&mut self, now: Instant) -> impl Iterator<Item = PathBuf> + use<> {
        self.trial = None;
        self.is_resumed = true;
        self.resumed = Some((self.count, now.saturating_duration_since(self.began)));
        let failed = std::mem::take(&mut self.failed);
        std::mem::take(&mut self.held).into_iter().chain(failed)
    }

    /// Returns when the next trial is, seen from that time.
    fn trial_at(&self, now: Option<Instant>) -> Trial {
        let left = now.map_or(self.delay, |now| self.next_trial.saturating_duration_since(now));
        if self.is_resumed {
            Trial::Succeeded
        } else if self.trial.is_some() || left.is_zero() {
            Trial::Now
        } else {
            Trial::In(left)
        }
    }

    fn take_events(&mut self, drop_dir: &Path, now: Option<Instant>) -> Vec<Event> {
        let lasted = now.map_or(Duration::ZERO, |now| now.saturating_duration_since(self.began));
        let is_reminder_due = self.is_reported && lasted >= reminder(self.reminders);
        let is_due = now.is_none_or(|now| self.unreported.is_due(now)) || self.resumed.is_some();
        let (drop_dir, dir) = (drop_dir.to_path_buf(), self.fault.dir.clone());
        let mut events = Vec::new();
        if !self.is_reported && is_due || is_reminder_due && !self.is_resumed {
            events.push(Event::Suspended {
                drop_dir: drop_dir.clone(),
                dir: dir.clone(),
                error: self.error.clone(),
                drops: if self.is_resumed { self.count } else { self.affected.len() },
                trial: self.trial_at(now),
                lasted: is_reminder_due.then_some(lasted),
            });
            self.reminders += usize::from(is_reminder_due);
            self.is_reported = true;
        }
        if is_due {
            self.unreported.cancel();
        }
        let resumed = self.resumed.take();
        events.extend(resumed.map(|(drops, lasted)| Event::Resumed {
            drop_dir,
            dir,
            drops,
            lasted,
        }));
        events
    }
}

#[cfg(test)]
mod tests;
