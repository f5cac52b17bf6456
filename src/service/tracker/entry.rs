//! Entries of the tracker: one path each, with its state and the time of its next probe.

use std::path::Path;

use crate::decide::reason::Reason;
use crate::decide::source_identity::identity_of;
use crate::events::drop_path::DropPath;
use crate::events::drop_state::{DropState, WaitAge};
use crate::events::event::Event;
use crate::model::Stat;
use crate::service::tracker::{
    ACTIVE_AFTER_CHANGES, FileSnapshot, Instant, Quiescence, Tracker, Wait,
};
use crate::service::work::failure::Cause;

/// One tracked path.
pub(crate) struct Entry {
    /// The state; [`Tracker::set_state`] alone changes it.
    state: State,
    /// The length of the data files in bytes when they were last probed.
    pub(crate) bytes: Option<u64>,
    /// How long the drop has been unchanged; `None` before it was first evaluated.
    pub(crate) quiescence: Option<Quiescence<FileSnapshot>>,
    /// The reason for which the data must wait that do not have their digest, and the number of
    /// changes that were observed when npyd read them.
    pub(crate) mismatch: Option<(Reason, u32)>,
    /// When the entry was created.
    pub(crate) since: Instant,
    /// Whether a scan listed the path since it was last probed.
    pub(crate) is_listed: bool,
    /// When the next probe is due.
    pub(crate) due: Option<Instant>,
    /// When the next look is due: a probe for which nothing gives a reason.
    pub(crate) look: Option<Instant>,
    /// Whether only something that causes an event can end the wait.
    pub(crate) awaits_event: bool,
    /// When an event last reported that the drop has waited for long.
    pub(crate) last_reported: Option<Instant>,
    /// Why the drop waited when that was last considered for a report.
    pub(crate) last_wait: Option<Reason>,
    /// The greatest of the ages at which a wait is reported again that it has reached.
    pub(crate) reported_age: Option<WaitAge>,
    /// The cause of the last failure.
    pub(crate) cause: Option<Cause>,
    /// Whether the ledger has a receipt of a failure.
    pub(crate) is_recorded: bool,
    /// Number of failures so far; the delay before a retry grows with it.
    pub(crate) failures: u32,
}

impl Entry {
    fn new(now: Instant) -> Self {
        Entry {
            state: State::Unprobed,
            bytes: None,
            quiescence: None,
            mismatch: None,
            since: now,
            is_listed: false,
            due: None,
            look: None,
            awaits_event: false,
            last_reported: None,
            last_wait: None,
            reported_age: None,
            cause: None,
            is_recorded: false,
            failures: 0,
        }
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// Returns whether the path is with a worker, or waits for something other than a probe of its
    /// own.
    pub(crate) fn is_held(&self) -> bool {
        matches!(self.state, State::Working { .. } | State::Backlog | State::Suspended(_))
    }

    /// Has a path that is with a worker probed again after that.
    pub(crate) fn note_again(&mut self) {
        if let State::Working { again } = &mut self.state {
            *again = true;
        }
    }

    /// Notes that the data do not have their digest, if that is why they wait.
    pub(crate) fn note_mismatch(&mut self, why: &Reason) {
        let changes = self.quiescence.as_ref().map(Quiescence::changes);
        self.mismatch =
            matches!(why, Reason::DigestYet(_)).then(|| Some((why.clone(), changes?))).flatten();
    }

    /// Returns why a drop must wait that has not changed since npyd read it in vain.
    pub(crate) fn mismatch_of_unchanged(&self) -> Option<&Reason> {
        let (why, changes) = self.mismatch.as_ref()?;
        (self.quiescence.as_ref()?.changes() == *changes).then_some(why)
    }

    /// Returns whether a file differs from the files that the last probe saw.
    pub(crate) fn has_changed(&self, stat: &Stat) -> bool {
        let Some(quiescence) = &self.quiescence else { return false };
        let FileSnapshot { files, sidecar, .. } = quiescence.snapshot();
        let mut seen = files.iter().chain(sidecar.iter().map(|(_, stat)| stat));
        !seen.any(|seen| identity_of(seen) == identity_of(stat))
    }

    /// Returns since when a path is tracked that a scan has listed, and that was not probed yet.
    pub(crate) fn newly_listed(&self) -> Option<Instant> {
        (self.is_listed && matches!(self.state, State::Unprobed)).then_some(self.since)
    }

    /// Returns whether a producer seems to be writing to the drop: waiting alone may not make it
    /// ready.
    pub(crate) fn is_active(&self) -> bool {
        self.quiescence
            .as_ref()
            .is_some_and(|quiescence| quiescence.changes() >= ACTIVE_AFTER_CHANGES)
    }
}

/// The state of an entry.
pub(crate) enum State {
    /// Found, but not probed yet.
    Unprobed,
    /// Probed and not ready, or failed; the wait holds the reason.
    Waiting(Wait),
    /// Ready for a worker, but the worker queue is full.
    Backlog,
    /// Finished, but its attributes changed: waits for its turn to be compared with its array.
    Unverified,
    /// Waits because a directory has a fault that every drop meets; the reason names it.
    Suspended(Reason),
    /// A job or the next batch contains the drop. `again` is set if the path was enqueued
    /// meanwhile.
    Working { again: bool },
}

impl State {
    /// Returns the state as other layers know it.
    pub(crate) fn kind(&self) -> DropState {
        match self {
            State::Unprobed => DropState::Unprobed,
            State::Waiting(_) => DropState::Waiting,
            State::Backlog => DropState::Backlog,
            State::Unverified => DropState::Unverified,
            State::Suspended(_) => DropState::Suspended,
            State::Working { .. } => DropState::Working,
        }
    }

    /// Returns why a drop waits.
    pub(crate) fn reason(&self) -> Option<&Reason> {
        match self {
            State::Waiting(wait) => Some(&wait.why),
            State::Suspended(reason) => Some(reason),
            State::Unprobed | State::Backlog | State::Unverified | State::Working { .. } => None,
        }
    }
}

/// Every change of a drop's state is made and published here.
impl Tracker {
    /// Makes an entry for a path.
    pub(crate) fn track(&mut self, rel: &Path, at: Instant) {
        self.entries.insert(rel.to_path_buf(), Entry::new(at));
        self.publish_state(rel, (None, DropState::Unprobed), None, None);
    }

    /// Returns the state of a path.
    pub(crate) fn state(&self, rel: &Path) -> Option<&State> {
        self.entries.get(rel).map(Entry::state)
    }

    /// Moves an entry to a state. Returns `false` if the path has no entry.
    pub(crate) fn set_state(&mut self, rel: &Path, state: State) -> bool {
        let Some(entry) = self.entries.get_mut(rel) else { return false };
        let before = std::mem::replace(&mut entry.state, state);
        self.waits.change(Some(&before), Some(&entry.state));
        let (state, reason, bytes) = (entry.state.kind(), entry.state.reason(), entry.bytes);
        if (before.kind(), before.reason()) != (state, reason) {
            let reason = reason.cloned();
            self.publish_state(rel, (Some(before.kind()), state), reason, bytes);
        }
        true
    }

    /// Removes the entry of a path; the reason says why the path is no drop, if it exists.
    pub(crate) fn untrack(&mut self, rel: &Path, reason: Option<Reason>) {
        if let Some(entry) = self.entries.remove(rel) {
            self.suspensions.forget(rel);
            self.waits.change(Some(&entry.state), None);
            let before = Some(entry.state.kind());
            self.publish_state(rel, (before, DropState::Gone), reason, entry.bytes);
        }
    }

    fn publish_state(
        &self,
        rel: &Path,
        (before, state): (Option<DropState>, DropState),
        reason: Option<Reason>,
        bytes: Option<u64>,
    ) {
        // Newer settings have a tracker of their own, which knows the states.
        if !self.drop_dir.in_force.is_superseded() {
            let path = self.drop_path(rel);
            self.context.publish(Event::State { path, before, state, reason, bytes });
        }
    }

    pub(crate) fn drop_path(&self, rel: &Path) -> DropPath {
        let drop_dir = self.drop_dir.path.clone();
        DropPath { source: drop_dir.join(rel), drop_dir }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::tracker::timeline::Timeline;
    use crate::service::watch::PathEvent;

    const MANIFEST: &[u8] = b"dtype = '|u1'\nshape = [4]\n";

    impl Timeline {
        /// The changes of a drop's state since the last call: state, bytes, kind of the reason.
        fn changes(&self, name: &str) -> Vec<(DropState, Option<u64>, &'static str)> {
            let source = self.path().join(name);
            let change = |event| match event {
                Event::State { path, state, reason, bytes, .. } if path.source == source => {
                    Some((state, bytes, reason.map_or("", |reason| reason.kind().as_str())))
                }
                _ => None,
            };
            self.events().into_iter().filter_map(change).collect()
        }
    }

    #[test]
    fn each_change_of_a_state_is_published_once() {
        let mut time = Timeline::of(&[("a.raw.toml", MANIFEST)]);
        time.scan_after(0);
        assert_eq!(
            time.changes("a.raw.toml"),
            [(DropState::Unprobed, None, ""), (DropState::Waiting, None, "no-data")]
        );
        time.scan_after(10);
        assert_eq!(time.changes("a.raw.toml"), []);

        time.write("a.raw", &[1; 2]);
        time.scan_after(20);
        let waiting = |bytes| (DropState::Waiting, Some(bytes), "size");
        assert_eq!(time.changes("a.raw"), [(DropState::Unprobed, None, ""), waiting(2)]);
        time.scan_after(30);
        assert_eq!(time.changes("a.raw"), []);
        time.write("a.raw", &[1; 3]);
        time.scan_after(40);
        assert_eq!(time.changes("a.raw"), [waiting(3)]);

        time.write("a.raw", &[1; 4]);
        while !matches!(time.tracker.state(Path::new("a.raw")), Some(State::Working { .. })) {
            time.scan_after(50);
        }
        assert_eq!(time.changes("a.raw").last(), Some(&(DropState::Working, Some(4), "")));
        time.end_job_after(60);
        assert_eq!(time.changes("a.raw"), [(DropState::Gone, Some(4), "")]);
    }

    /// A description has an entry until its data file is found.
    #[test]
    fn what_is_no_drop_is_untracked() {
        let data: &[u8] = &[1; 2];
        let mut time =
            Timeline::of(&[("a.raw", data), ("a.raw.toml", MANIFEST), ("notes.txt", b"")]);
        time.scan_after(0);
        assert_eq!(time.changes("notes.txt"), [], "a scan drops the name");
        let event = PathEvent { rel: "notes.txt".into(), is_new: false };
        time.tracker.on_watch_event(event, time.start);
        time.tracker.process_due(time.start);
        assert_eq!(
            time.changes("notes.txt"),
            [(DropState::Unprobed, None, ""), (DropState::Gone, None, "undescribed")]
        );
        assert!(time.tracker.state(Path::new("a.raw.toml")).is_none());
        assert!(time.tracker.state(Path::new("a.raw")).is_some());
    }
}
