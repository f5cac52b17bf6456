//! Looks: probes of drops that wait for something outside npyd. Their number a second is bounded,
//! however many drops wait.
//!
//! An event or a scan that finds a change leads to a probe at once. A look finds what causes no
//! event: a producer that writes and does not close the file, a mapped file, a change on another
//! host. Half of the looks are for the drops that came last, each at its own time; the others are
//! for all drops, the one that has been due for longest first.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::service::tracker::Tracker;
use crate::service::tracker::entry::State;

/// The share of the time that one look has: there are 83 looks a second. A look takes 0.2 ms, so
/// that they take less than 2 % of a core.
const LOOK_INTERVAL: Duration = Duration::from_millis(12);

/// Maximum number of looks that were not needed and can be made later, all at once.
const LOOKS_MAX: u32 = 1000;

/// Number of looks that npyd wakes for if more drops are due than it may look at.
const LOOKS_AT_ONCE: u32 = 10;

/// Maximum number of drops that came last.
const RECENT_MAX: usize = 64;

/// The drops that wait for something outside npyd, and when to look at each.
#[derive(Default)]
pub(crate) struct Looks {
    due: BinaryHeap<Reverse<(Instant, PathBuf)>>,
    /// The drops that came last, newest first.
    recent: VecDeque<PathBuf>,
    /// All drops, in the order in which they came. Some do not wait any more.
    order: VecDeque<PathBuf>,
    /// Whether events lead to what changes.
    pub(super) sees_events: bool,
    /// The looks of the time before were made.
    used_until: Option<Instant>,
}

/// Numbers of entries that wait.
#[derive(Debug, Default)]
pub(crate) struct WaitCounts {
    /// Those that wait for something outside npyd.
    external: usize,
    /// Those that wait because a directory has a fault.
    suspended: usize,
}

impl WaitCounts {
    /// Counts that an entry has changed its state, or is gone.
    pub(crate) fn change(&mut self, before: Option<&State>, after: Option<&State>) {
        let is = |state: Option<&State>, is: fn(&State) -> bool| usize::from(state.is_some_and(is));
        self.external += is(after, is_external);
        self.external -= is(before, is_external);
        self.suspended += is(after, is_suspended);
        self.suspended -= is(before, is_suspended);
    }
}

impl Looks {
    /// Returns how many looks may be made now.
    fn available(&self, now: Instant) -> u32 {
        let Some(used) = self.used_until else { return LOOKS_MAX };
        let looks = now.saturating_duration_since(used).as_nanos() / LOOK_INTERVAL.as_nanos();
        u32::try_from(looks).unwrap_or(LOOKS_MAX).min(LOOKS_MAX)
    }

    /// Counts a look.
    fn count(&mut self, now: Instant) {
        let first = now.checked_sub(LOOK_INTERVAL * LOOKS_MAX).unwrap_or(now);
        let used = self.used_until.map_or(first, |used| used.max(first));
        self.used_until = Some(used + LOOK_INTERVAL);
    }

    /// Has no look be made before this time.
    #[cfg(test)]
    pub(crate) fn spend_until(&mut self, until: Instant) {
        self.used_until = Some(until);
    }

    /// Returns when the next looks may be made.
    pub(super) fn next(&self) -> Option<Instant> {
        let Reverse((due, _)) = self.due.peek()?;
        let free = self.used_until.map(|used| used + LOOK_INTERVAL * LOOKS_AT_ONCE);
        Some(free.map_or(*due, |free| free.max(*due)))
    }
}

impl Tracker {
    /// Makes the next look at a drop due at `at`, unless it is due earlier.
    pub(super) fn schedule_look(&mut self, rel: &Path, at: Instant) {
        if let Some(entry) = self.entries.get_mut(rel)
            && entry.look.is_none_or(|due| at < due)
        {
            entry.look = Some(at);
            self.looks.due.push(Reverse((at, rel.to_path_buf())));
        }
    }

    /// Notes a drop that has begun to wait, or that an event was about.
    pub(super) fn note_recent(&mut self, rel: &Path) {
        self.looks.recent.retain(|other| other.as_os_str() != rel.as_os_str()); // bytes, not parts
        self.looks.recent.truncate(RECENT_MAX - 1);
        self.looks.recent.push_front(rel.to_path_buf());
    }

    /// Notes a drop that has begun to wait.
    pub(super) fn note_wait(&mut self, rel: &Path) {
        self.note_recent(rel);
        let Looks { order, .. } = &mut self.looks;
        order.push_back(rel.to_path_buf());
        if order.len() > 2 * self.room {
            let entries = &self.entries;
            order.retain(|rel| entries.get(rel).is_some_and(|entry| is_external(entry.state())));
        }
    }

    /// Looks at drops that are due, as many as may be looked at now.
    pub(super) fn process_looks(&mut self, now: Instant) {
        let looks = self.looks.available(now);
        if self.looks.due.peek().is_none_or(|Reverse((at, _))| *at > now) || looks == 0 {
            return;
        }
        let is_due = |rel: &&PathBuf| {
            self.entries.get(*rel).is_some_and(|entry| entry.look.is_some_and(|at| at <= now))
        };
        let share = looks.div_ceil(2) as usize;
        let recent = self.looks.recent.iter().filter(is_due).take(share);
        let recent: Vec<PathBuf> = recent.cloned().collect();
        let others = looks as usize - recent.len();
        for rel in recent {
            self.look(&rel, now);
        }
        for _ in 0..others {
            while let Some(Reverse((at, rel))) = self.looks.due.peek()
                && self.entries.get(rel).is_none_or(|entry| entry.look != Some(*at))
            {
                self.looks.due.pop(); // it was looked at since, or is gone
            }
            if self.looks.due.peek().is_none_or(|Reverse((at, _))| *at > now) {
                return;
            }
            let Some(Reverse((_, rel))) = self.looks.due.pop() else { return };
            self.look(&rel, now);
        }
    }

    fn look(&mut self, rel: &Path, now: Instant) {
        self.looks.count(now);
        self.probe_now(rel, now);
    }

    /// Makes room for so many drops: leaves those to the next scan that have waited for longest.
    /// Returns whether there is room.
    pub(super) fn make_room(&mut self, count: usize) -> bool {
        while self.entries.len() + count > self.room {
            let Some(rel) = self.looks.order.pop_front() else { return false };
            if self.entries.get(&rel).is_some_and(|entry| is_external(entry.state())) {
                self.leave_to_scan(&rel);
            }
        }
        true
    }

    /// Returns whether so many drops wait that the tracker keeps only those that an event was
    /// about. The others leave room for drops that need work; each scan looks at them again.
    pub(super) fn has_enough_waits(&self) -> bool {
        self.waits.external + self.waits.suspended > self.room - self.room / 4
    }

    /// Leaves a waiting drop to the next scan.
    pub(super) fn leave_to_scan(&mut self, rel: &Path) {
        if !self.context.retries {
            self.publish_wait(rel);
        }
        self.untrack(rel, None);
    }
}

/// Returns whether a drop waits for something outside npyd: it is not ready, or has failed.
pub(super) fn is_external(state: &State) -> bool {
    matches!(state, State::Waiting(wait) if wait.ready_in.is_none())
}

fn is_suspended(state: &State) -> bool {
    matches!(state, State::Suspended(_))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::tracker::timeline::Timeline;
    use crate::service::watch::PathEvent;

    #[test]
    fn looks_are_bounded() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut looks = Looks::default();
        assert_eq!(looks.available(at(0)), LOOKS_MAX);
        for _ in 0..LOOKS_MAX {
            looks.count(at(0));
        }
        for (ms, available) in
            [(0, 0), (11, 0), (12, 1), (120, 10), (1200, 100), (60_000, LOOKS_MAX)]
        {
            assert_eq!(looks.available(at(ms)), available, "{ms} ms");
        }
        looks.due.push(Reverse((at(1), "a".into())));
        assert_eq!(looks.next(), Some(at(120)));
        looks.count(at(60_000));
        assert_eq!(looks.available(at(60_000)), LOOKS_MAX - 1);
    }

    fn name(number: usize) -> PathBuf {
        PathBuf::from(format!("{number}.raw.toml"))
    }

    fn waiting(drops: usize) -> Timeline {
        let time = Timeline::of(&[]);
        for number in 0..drops {
            time.write(name(number).to_str().unwrap(), b"dtype = '|u1'\nshape = [4]\n");
        }
        time
    }

    /// However many drops wait, only so many are looked at. The newest ones are among them.
    #[test]
    fn only_some_of_many_are_looked_at() {
        const DROPS: usize = 60;
        let mut time = waiting(DROPS);
        time.scan_after(0);
        let used = time.start + Duration::from_hours(1);
        time.tracker.looks.spend_until(used);
        let later = used + 10 * LOOK_INTERVAL;
        let before: Vec<_> = (0..DROPS).map(|at| time.tracker.entries[&name(at)].look).collect();
        let newest = time.tracker.looks.recent[0].clone();
        time.tracker.process_due(later);
        let is_looked_at = |at: &usize| time.tracker.entries[&name(*at)].look != before[*at];
        assert_eq!((0..DROPS).filter(is_looked_at).count(), 10);
        assert!(time.tracker.entries[&newest].look > Some(later));
    }

    /// A new drop has room beside drops that wait; the one that came first makes way.
    #[test]
    fn a_new_drop_has_room() {
        let mut time = waiting(5);
        time.scan_after(0);
        time.tracker.room = 5;
        let first = time.tracker.looks.order[0].clone();
        let rel = PathBuf::from("new.raw.toml");
        time.tracker.on_watch_event(PathEvent { rel: rel.clone(), is_new: false }, time.start);
        assert!(time.tracker.entries.contains_key(&rel));
        assert!(!time.tracker.entries.contains_key(&first));
        assert_eq!((time.tracker.entries.len(), time.tracker.waits.external), (5, 4));
        assert!(!time.tracker.wants_scan());
    }
}
