//! Failures: schedules the retry of a drop, or, if a directory has a fault, suspends the work on
//! all drops that need the directory. Reports failures of one cause together.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::config::DropDir;
use crate::decide::reason::Reason;
use crate::decide::wait::Wait;
use crate::events::drop_path::DropPath;
use crate::events::event::Event;
use crate::events::gathering::Gathering;
use crate::events::receipt::Receipt;
use crate::events::receipt_event::ReceiptEvent;
use crate::finalize::is_known;
use crate::fs::Dir;
use crate::model::{DirFault, DirFaultKind, parent_of};
use crate::probe::{data_named_by, may_describe};
use crate::service::tracker::entry::{Entry, State};
use crate::service::tracker::looks::is_external;
use crate::service::tracker::reminders::reminder;
use crate::service::tracker::{FAULT_MAX, FAULT_MIN, PROBES_PER_TURN, Tracker};
use crate::service::work::failure::{Cause, Failure};

/// What a job does with a drop. It determines which directories the job needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// It makes the array, or finishes that.
    Finalize,
    /// It sets the drop aside.
    Reject,
}

/// The failures that have a cause of their own each, by cause.
#[derive(Default)]
pub(crate) struct FailureReports(HashMap<Cause, FailureReport>);

struct FailureReport {
    drops: usize,
    timer: Gathering,
    /// The first of them that was not reported.
    example: Option<Box<Receipt>>,
    since: Instant,
    reminders: usize,
}

impl FailureReports {
    /// Adds a path that failed for the first time. A description is no drop of its own: its data
    /// file fails as well.
    fn add(&mut self, rel: &Path, cause: &Cause, receipt: &Receipt, now: Instant) {
        let new = || FailureReport {
            drops: 0,
            timer: Gathering::soon(),
            example: None,
            since: now,
            reminders: 0,
        };
        let report = self.0.entry(cause.clone()).or_insert_with(new);
        let name = rel.file_name().and_then(OsStr::to_str);
        report.drops += usize::from(!name.is_some_and(may_describe));
        report.timer.add(now);
        report.example.get_or_insert_with(|| Box::new(receipt.clone()));
    }

    /// Returns whether failures of this cause are to be reported again.
    fn remind(&mut self, cause: &Cause, now: Instant) -> bool {
        let Some(report) = self.0.get_mut(cause) else { return false };
        let is_due = now.saturating_duration_since(report.since) >= reminder(report.reminders);
        report.reminders += usize::from(is_due);
        is_due
    }

    /// Returns the reports that are due, or all of them.
    pub(crate) fn take(&mut self, now: Option<Instant>) -> Vec<Event> {
        let due = self.0.values_mut().filter_map(|report| {
            if !report.timer.take_due(now) {
                return None;
            }
            let drops = std::mem::take(&mut report.drops).max(1);
            let receipt = report.example.take()?;
            Some(Event::Failing { receipt, drops, is_again: false })
        });
        due.collect()
    }

    /// Forgets the causes that no drop has any more.
    pub(crate) fn retain<'a>(&mut self, entries: impl Iterator<Item = &'a Entry>) {
        if self.0.is_empty() {
            return;
        }
        let alive: std::collections::HashSet<_> =
            entries.filter_map(|entry| entry.cause.as_ref()).collect();
        self.0.retain(|cause, report| report.example.is_some() || alive.contains(cause));
    }
}

impl Tracker {
    /// Records a failure that may pass, and schedules a retry after a delay that grows.
    pub(crate) fn on_failure(&mut self, rel: &Path, failure: &Failure, now: Instant) {
        self.suspensions.end_trial_unless(rel, failure.dir_fault().is_some());
        if self.suspend(rel, failure, now) {
            return;
        }
        let Some(entry) = self.entries.get_mut(rel) else { return };
        let pause = FAULT_MIN.saturating_mul(1 << entry.failures.min(16)).min(FAULT_MAX);
        entry.failures += 1;
        let is_first = entry.failures == 1;
        let is_listed = entry.is_listed;
        let is_new = !is_external(entry.state());
        let mut is_recorded = std::mem::replace(&mut entry.is_recorded, true);
        entry.cause = Some(failure.cause.clone());
        let retry_in = self.context.retries.then_some(pause);
        let why = Reason::Failed { error: failure.error.clone(), retry_in };
        entry.due = None;
        self.set_state(rel, State::Waiting(Wait::on_external(why.clone())));
        self.schedule(rel.to_path_buf(), now + pause);
        if is_new {
            self.note_wait(rel);
        }
        let receipt = self.failed(rel, &why);
        let leaves = is_listed && self.has_enough_waits();
        if leaves && !is_recorded && self.context.retries {
            is_recorded = self.has_recorded(rel, &receipt);
        }
        if is_first {
            self.failure_reports.add(rel, &failure.cause, &receipt, now);
        } else if self.failure_reports.remind(&failure.cause, now) {
            let has_cause = |entry: &&Entry| entry.cause.as_ref() == Some(&failure.cause);
            let drops = self.entries.values().filter(has_cause).count();
            let receipt = Box::new(receipt.clone());
            self.context.publish(Event::Failing { receipt, drops, is_again: true });
        }
        if is_recorded {
            self.context.publish(Event::FailedAgain(Box::new(receipt)));
        } else if !self.fails_with_data(rel, &failure.cause) {
            // The delay is over when somebody reads the ledger.
            let why = Reason::Failed { error: failure.error.clone(), retry_in: None };
            self.failed.push((self.failed(rel, &why), None));
        }
        if leaves {
            self.leave_to_scan(rel);
        }
    }

    /// Returns whether the ledger has this failure as the newest receipt of a drop, because a scan
    /// tried it before and had no room to keep it.
    fn has_recorded(&self, rel: &Path, receipt: &Receipt) -> bool {
        self.latest(rel)
            .is_some_and(|known| known.is_failure() && Some(known.reason()) == receipt.reason)
    }

    /// Returns whether a path is that of a description whose data file fails for the same cause:
    /// the receipt of the data file is enough.
    fn fails_with_data(&self, rel: &Path, cause: &Cause) -> bool {
        let name = rel.file_name().and_then(OsStr::to_str).filter(|name| may_describe(name));
        let names = name.map(data_named_by).unwrap_or_default();
        names.iter().any(|data| {
            let entry = self.entries.get(&rel.with_file_name(data));
            entry.is_some_and(|entry| entry.cause.as_ref() == Some(cause))
        })
    }

    fn failed(&self, rel: &Path, why: &Reason) -> Receipt {
        let DropPath { drop_dir, source } = self.drop_path(rel);
        Receipt::without_output(ReceiptEvent::Failed, drop_dir, source, why)
    }

    /// Suspends the work on all drops that meet the fault of a directory. Returns `false` if the
    /// drop alone has a fault. A sweep tries each drop once instead.
    fn suspend(&mut self, rel: &Path, failure: &Failure, now: Instant) -> bool {
        let Some(fault) = self.fault_of(failure).filter(|_| self.context.retries) else {
            return false;
        };
        let Some(entry) = self.entries.get_mut(rel) else { return true };
        if !self.suspensions.fail(rel, &fault, failure.error.cause(), now) {
            return false;
        }
        entry.due = None;
        let is_recorded = std::mem::replace(&mut entry.is_recorded, true);
        let why = Reason::Suspended { error: failure.error.clone() };
        if !is_recorded {
            let receipt = Receipt { dir: Some(fault.dir), ..self.failed(rel, &why) };
            self.failed.push((receipt, None));
        }
        self.set_state(rel, State::Suspended(why));
        true
    }

    /// Returns the fault of a directory that caused the failure, if any. If a file system has the
    /// fault, returns it as the fault of the configured directory in that file system.
    fn fault_of(&self, failure: &Failure) -> Option<DirFault> {
        let root = &self.drop_dir.path;
        let fault = match &failure.cause {
            // Without rights there, npyd still makes the arrays, and can't dispose of the sources.
            Cause::Dir(fault) if self.is_of_sources_alone(fault) => return None,
            Cause::Dir(fault) => fault.clone(),
            Cause::Ledger => DirFault { kind: DirFaultKind::Ledger, dir: root.clone() },
            Cause::Exhausted | Cause::File { .. } | Cause::Reason(_) | Cause::Bug => return None,
        };
        let dir = match fault.kind {
            kind if kind.is_of_file_system() => {
                let dirs = self.drop_dir.managed_dirs().chain([root.as_path()]);
                let roots = dirs.filter(|dir| fault.dir.starts_with(dir));
                let longest = roots.max_by_key(|dir| dir.components().count());
                longest.map_or(fault.dir, Path::to_path_buf)
            }
            _ => fault.dir,
        };
        Some(DirFault { kind: fault.kind, dir })
    }

    /// Returns whether only the sources are in a directory, and npyd may not change it.
    fn is_of_sources_alone(&self, fault: &DirFault) -> bool {
        let holds = |dir: &Path| fault.dir.starts_with(dir);
        matches!(fault.kind, DirFaultKind::Denied | DirFaultKind::ReadOnly)
            && self.drop_dir.output.is_some()
            && holds(&self.drop_dir.path)
            && !self.drop_dir.managed_dirs().any(|dir| dir != self.drop_dir.path && holds(dir))
    }

    /// Holds a drop if a directory that its job needs has a fault. Returns whether the drop waits.
    pub(crate) fn hold(&mut self, rel: &Path, work: Work, now: Instant) -> bool {
        if self.suspensions.is_empty() {
            return false;
        }
        let dirs = self.dirs_of(rel, work);
        if self.has_enough_waits() && self.suspensions.would_hold(rel, &dirs) {
            self.overflowed = true; // a scan finds it once others are done
            self.untrack(rel, None);
            return true;
        }
        let Some(error) = self.suspensions.hold(rel, &dirs, now) else { return false };
        if let Some(entry) = self.entries.get_mut(rel) {
            entry.due = None;
        }
        self.set_state(rel, State::Suspended(Reason::Suspended { error }));
        true
    }

    /// Returns the directories that a job of a drop uses.
    fn dirs_of(&self, rel: &Path, work: Work) -> Vec<PathBuf> {
        let below = parent_of(rel);
        let own = match work {
            Work::Finalize => [&self.drop_dir.output, &self.drop_dir.archive],
            Work::Reject => [&self.drop_dir.rejects, &None],
        };
        let own = own.into_iter().flatten();
        own.chain([&self.drop_dir.path]).map(|dir| dir.join(below)).collect()
    }

    /// Tries each suspended directory with one drop.
    pub(crate) fn process_suspensions(&mut self, now: Instant) {
        if !self.suspensions.is_empty() && now >= self.next_dir_check {
            self.next_dir_check = now + FAULT_MIN;
            let drop_dir = &self.drop_dir;
            self.suspensions.try_those_that_are_back(|dir| is_there(drop_dir, dir), now);
        }
        for _ in 0..PROBES_PER_TURN {
            let Some(rel) = self.suspensions.next_trial(now) else { return };
            if matches!(self.state(&rel), Some(State::Suspended(_))) {
                self.probe_now(&rel, now);
            }
            let is_dispatched =
                matches!(self.state(&rel), Some(State::Working { .. } | State::Backlog));
            if !is_dispatched {
                self.suspensions.end_trial(&rel);
            }
        }
    }

    /// Notes that a job of a drop succeeded, and goes on with those that waited for a directory
    /// that the job used.
    pub(crate) fn resume_after(&mut self, rel: &Path, work: Work, now: Instant) {
        if self.suspensions.is_empty() {
            return;
        }
        let dirs = self.dirs_of(rel, work);
        for rel in self.suspensions.succeed(rel, &dirs, now) {
            if matches!(self.state(&rel), Some(State::Suspended(_))) {
                self.set_state(&rel, State::Unprobed);
                self.schedule(rel, now);
            }
        }
    }
}

/// Returns whether a directory exists and, if npyd writes to it, is on the file system that it was
/// on before.
fn is_there(drop_dir: &DropDir, dir: &Path) -> bool {
    if drop_dir.managed_dirs().any(|own| own == dir) {
        is_known(drop_dir, dir)
    } else {
        Dir::open(dir).is_ok()
    }
}
