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
//! as a file that is larger than the free space. It does not suspend the others again, unless
//! several such drops fail in a row.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::decide::work_error::WorkError;
use crate::events::event::Event;
use crate::events::gathering::Gathering;
use crate::model::DirFault;
use crate::service::tracker::reminders::reminder;
use crate::service::tracker::{FAULT_MAX, FAULT_MIN};

/// After so many failures in a row, without a success between, the fault is back.
const FAILURES_IN_ROW: u32 = 3;

/// All suspensions of one drop directory: one for each directory with a fault.
#[derive(Default)]
pub(crate) struct Suspensions(Vec<Suspension>);

struct Suspension {
    fault: DirFault,
    /// What failed, with the remedy.
    error: WorkError,
    began: Instant,
    is_resumed: bool,
    delay: Duration,
    next_trial: Instant,
    trial: Option<PathBuf>,
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
        let others = self.0.iter_mut().filter(|it| it.fault.dir != fault.dir);
        for other in others.filter(|it| it.trial.as_deref() == Some(rel)) {
            other.trial = None;
        }
        let Some(at) = self.0.iter().position(|it| it.fault.dir == fault.dir) else {
            let mut new = Suspension::new(fault, error, now);
            new.failures_in_row = 1;
            new.affect(rel, Some(0), now);
            new.failed.push_back(rel.to_path_buf());
            self.0.push(new);
            return true;
        };
        let known = &mut self.0[at];
        known.failures_in_row += 1;
        let failed_at = known.affected.get(rel).copied().flatten();
        let has_it_alone = failed_at.is_some_and(|before| known.successes > before);
        if known.is_resumed && has_it_alone && known.failures_in_row < FAILURES_IN_ROW {
            known.affected.remove(rel);
            self.remove_ended();
            return false;
        }
        known.fail(rel, fault, error, now);
        true
    }

    /// Returns whether no directory has a fault.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Suspends a drop if its job uses a directory that has a fault. Returns the error then.
    pub(crate) fn hold(&mut self, rel: &Path, dirs: &[PathBuf], now: Instant) -> Option<WorkError> {
        if self.is_trial(rel) {
            return None;
        }
        let it = self.0.iter_mut().find(|it| it.holds(dirs))?;
        it.hold(rel, now);
        Some(it.error.clone())
    }

    fn is_trial(&self, rel: &Path) -> bool {
        self.0.iter().any(|it| it.trial.as_deref() == Some(rel))
    }

    /// Returns the drop to try a suspended directory with, if a trial is due. Call
    /// [`Suspensions::end_trial`] if the trial does not come about.
    pub(crate) fn next_trial(&mut self, now: Instant) -> Option<PathBuf> {
        let is_due = |it: &&mut Suspension| {
            let is_any = !it.held.is_empty() || !it.failed.is_empty();
            !it.is_resumed && it.trial.is_none() && it.next_trial <= now && is_any
        };
        let due = self.0.iter_mut().find(is_due)?;
        due.trial = due.held.pop_front().or_else(|| due.failed.pop_front());
        due.trial.clone()
    }

    /// Ends a trial that ended otherwise than by the fault of a directory, and so proved nothing.
    pub(crate) fn end_trial_unless(&mut self, rel: &Path, has_fault: bool) {
        if !has_fault {
            self.end_trial(rel);
        }
    }

    /// Ends a trial that proved nothing; the next one may follow at once.
    pub(crate) fn end_trial(&mut self, rel: &Path) {
        for it in self.0.iter_mut().filter(|it| it.trial.as_deref() == Some(rel)) {
            it.trial = None;
        }
    }

    /// Notes that a drop is done. Returns the drops that need not wait any more.
    pub(crate) fn succeed(&mut self, rel: &Path, now: Instant) -> Vec<PathBuf> {
        let mut resumed = Vec::new();
        for it in &mut self.0 {
            if it.affected.remove(rel).is_some() {
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
        for it in &mut self.0 {
            it.affected.remove(rel);
        }
        self.remove_ended();
    }

    /// Returns the events that are due now, or all that were not published.
    pub(crate) fn take_events(&mut self, drop_dir: &Path, now: Option<Instant>) -> Vec<Event> {
        let events = self.0.iter_mut().flat_map(|it| it.take_events(drop_dir, now)).collect();
        self.remove_ended();
        events
    }

    /// Removes the suspensions that are over: they affect no drop, and nothing is left to report.
    fn remove_ended(&mut self) {
        self.0.retain(|it| !it.is_resumed || !it.affected.is_empty() || it.resumed.is_some());
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
        !self.is_resumed && dirs.iter().any(|dir| dir.starts_with(&self.fault.dir))
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
                retry_in: self.delay,
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
mod tests {
    use super::*;
    use crate::model::DirFaultKind;

    /// Suspensions at work on a clock of milliseconds.
    struct Case {
        suspensions: Suspensions,
        start: Instant,
    }

    fn error(text: &str) -> WorkError {
        WorkError::Ledger(text.to_owned())
    }

    fn fault(kind: DirFaultKind, dir: &str) -> DirFault {
        DirFault { kind, dir: dir.into() }
    }

    fn dirs(dir: &str) -> [PathBuf; 1] {
        [dir.into()]
    }

    impl Case {
        fn new() -> Self {
            Case { suspensions: Suspensions::default(), start: Instant::now() }
        }

        fn at(&self, milliseconds: u64) -> Instant {
            self.start + Duration::from_millis(milliseconds)
        }

        fn fail(&mut self, rel: &str, at: u64) -> bool {
            let (now, full) = (self.at(at), fault(DirFaultKind::Full, "/out"));
            self.suspensions.fail(Path::new(rel), &full, &error("full"), now)
        }

        fn is_held(&mut self, rel: &str, dir: &str, at: u64) -> bool {
            let now = self.at(at);
            self.suspensions.hold(Path::new(rel), &dirs(dir), now).is_some()
        }

        fn trial(&mut self, at: u64) -> Option<String> {
            let now = self.at(at);
            self.suspensions.next_trial(now).map(|rel| rel.display().to_string())
        }

        fn succeed(&mut self, rel: &str, at: u64) -> Vec<String> {
            let now = self.at(at);
            let resumed = self.suspensions.succeed(Path::new(rel), now);
            resumed.iter().map(|rel| rel.display().to_string()).collect()
        }

        /// The events in short: `+` suspended, `!` still so, `-` resumed; each with its count.
        fn events(&mut self, at: u64) -> String {
            let now = self.at(at);
            let short = |event: Event| match event {
                Event::Suspended { drops, lasted: None, .. } => format!("+{drops}"),
                Event::Suspended { drops, lasted: Some(_), .. } => format!("!{drops}"),
                Event::Resumed { drops, .. } => format!("-{drops}"),
                other => panic!("{other:?}"),
            };
            self.suspensions
                .take_events(Path::new("/in"), Some(now))
                .into_iter()
                .map(short)
                .collect()
        }
    }

    #[test]
    fn one_drop_at_a_time_after_a_growing_delay() {
        let mut case = Case::new();
        assert!(case.fail("a", 0) && case.fail("b", 10));
        assert!(case.is_held("c", "/out", 20) && case.is_held("d", "/out/below", 30));
        assert!(!case.is_held("e", "/other", 30) && !case.is_held("e", "/output", 30));
        assert_eq!(case.events(500), "", "more may come");
        assert_eq!(case.events(1030), "+4");
        // Those that have not met the fault come first.
        let mut now = 1030;
        for (trial, delay) in [("c", 2), ("d", 4), ("a", 8), ("b", 16), ("c", 32), ("d", 60)] {
            assert_eq!(case.trial(now).as_deref(), Some(trial));
            assert!(!case.is_held(trial, "/out", now));
            assert_eq!(case.trial(now + 100_000), None, "one at a time");
            assert!(case.fail(trial, now));
            assert_eq!(case.trial(now + delay * 1000 - 1), None, "{trial}");
            now += delay * 1000;
        }
        assert_eq!(case.events(now), "");
        assert_eq!(case.trial(now).as_deref(), Some("a"));
        assert_eq!(case.succeed("a", now), ["b", "c", "d"]);
        assert_eq!(case.events(now), "-4");
        assert!(!case.is_held("b", "/out", now));
        for drop in ["b", "c", "d"] {
            assert!(!case.suspensions.0.is_empty());
            case.succeed(drop, now);
        }
        assert!(case.suspensions.0.is_empty());
    }

    #[test]
    fn a_fault_that_comes_back() {
        let mut case = Case::new();
        case.fail("a", 0);
        case.is_held("b", "/out", 0);
        case.is_held("c", "/out", 0);
        assert_eq!(case.trial(1000).as_deref(), Some("b"));
        assert_eq!(case.succeed("b", 1000), ["c", "a"]);
        assert_eq!(case.events(1000), "+3-3");
        assert!(case.fail("c", 1100), "it has not met the fault before");
        assert!(case.is_held("d", "/out", 1200));
        assert_eq!(case.events(2300), "+3");
        assert_eq!(case.trial(3000), None, "the delay has grown");
        assert_eq!(case.trial(3100).as_deref(), Some("d"));
    }

    /// A file that is larger than the space that is left.
    #[test]
    fn a_drop_that_has_the_fault_alone() {
        let mut case = Case::new();
        case.fail("large", 0);
        case.is_held("small", "/out", 10);
        assert_eq!(case.trial(1000).as_deref(), Some("small"));
        assert_eq!(case.succeed("small", 1000), ["large"]);
        assert_eq!(case.events(1000), "+2-2");
        assert!(!case.fail("large", 1100));
        assert!(case.suspensions.0.is_empty());
        assert!(!case.is_held("next", "/out", 1100));
    }

    #[test]
    fn drops_that_fail_in_a_row() {
        let mut case = Case::new();
        for drop in ["a", "b", "c", "d"] {
            case.fail(drop, 0);
        }
        assert_eq!(case.trial(1000).as_deref(), Some("a"));
        assert_eq!(case.succeed("a", 1000), ["b", "c", "d"]);
        assert!(!case.fail("b", 1100) && !case.fail("c", 1100));
        assert!(case.fail("d", 1100), "it is the directory's fault again");
        assert!(case.is_held("e", "/out", 1200));
    }

    #[test]
    fn trials_that_prove_nothing() {
        let mut case = Case::new();
        case.fail("a", 0);
        case.is_held("b", "/out", 0);
        assert_eq!(case.trial(1000).as_deref(), Some("b"));
        case.suspensions.end_trial(Path::new("b"));
        assert_eq!(case.trial(1000).as_deref(), Some("a"), "at once");
        case.suspensions.forget(Path::new("a"));
        assert_eq!(case.trial(1000), None);
        assert!(case.is_held("c", "/out", 1000), "nothing has shown that it is over");
        assert_eq!(case.trial(1000).as_deref(), Some("c"));
    }

    #[test]
    fn other_successes_end_no_suspension() {
        let mut case = Case::new();
        case.fail("a", 0);
        assert!(case.succeed("begun before", 100).is_empty());
        assert!(case.is_held("b", "/out", 200));
    }

    #[test]
    fn each_directory_has_its_own() {
        let mut case = Case::new();
        let start = case.start;
        let denied = fault(DirFaultKind::Denied, "/out/a");
        assert!(case.suspensions.fail(Path::new("a/x"), &denied, &error("denied"), start));
        assert!(case.is_held("a/y", "/out/a", 0) && !case.is_held("b/y", "/out/b", 0));
        assert!(case.fail("b/y", 0));
        assert_eq!(case.suspensions.0.len(), 2);
        assert_eq!(case.trial(1000).as_deref(), Some("a/y"));
        assert!(!case.is_held("a/y", "/out/a", 1000), "the trial passes both");
        assert!(case.fail("a/y", 1000));
        assert!(case.is_held("a/z", "/out/a", 1000));
        assert_eq!(case.trial(1000).as_deref(), Some("a/z"), "the other is tried with another");
    }

    #[test]
    fn one_that_lasts_is_reported_again() {
        const HOUR: u64 = 3_600_000;
        let mut case = Case::new();
        case.fail("a", 0);
        let mut reports = Vec::new();
        for minute in 0..72 * 60 {
            if !case.events(minute * 60_000 + 2000).is_empty() {
                reports.push(minute);
            }
        }
        assert_eq!(reports, [0, 10, 60, 24 * 60, 48 * 60]);
        // Another fault of the directory is news.
        let now = case.at(72 * HOUR);
        let denied = fault(DirFaultKind::Denied, "/out");
        assert!(case.suspensions.fail(Path::new("a"), &denied, &error("denied"), now));
        assert_eq!(case.events(72 * HOUR + 1000), "+1");
    }
}
