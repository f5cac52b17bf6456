//! Waits: moves entries to the state `Waiting`, and reports lasting ones together, because one
//! cause often holds up many drops.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use crate::decide::completeness::Wait;
use crate::decide::reason::Reason;
use crate::events::event::{DropPath, Event};
use crate::service::tracker::entry::State;
use crate::service::tracker::gathering::{Gathering, LATER};
use crate::service::tracker::{LOG_INTERVAL, PROBE_DELAY_MAX, PROBE_DELAY_MIN, Tracker};

/// The lasting waits that no event has reported together, by the kind of their reasons.
#[derive(Default)]
pub(crate) struct WaitReports(BTreeMap<&'static str, WaitReport>);

struct WaitReport {
    drops: Gathering,
    /// The first of them.
    example: Option<(DropPath, Reason)>,
}

impl WaitReports {
    fn add(&mut self, path: DropPath, reason: Reason, now: Instant) {
        let empty = || WaitReport { drops: Gathering::within(LATER), example: None };
        let report = self.0.entry(reason.kind()).or_insert_with(empty);
        report.drops.add(1, now);
        report.example.get_or_insert((path, reason));
    }

    /// Returns the reports that are due, or all of them.
    fn take(&mut self, now: Option<Instant>) -> Vec<Event> {
        let due = self.0.values_mut().filter_map(|report| {
            let drops = report.drops.take_due_or_any(now)?;
            let (path, reason) = report.example.take()?;
            Some(Event::Waits { path, reason, drops })
        });
        due.collect()
    }
}

impl Tracker {
    /// Moves an entry to the state [`State::Waiting`], and schedules its next probe.
    pub(crate) fn wait(&mut self, rel: &Path, wait: Wait, now: Instant) {
        self.note_wait(rel, &wait, now);
        let path = self.drop_path(rel);
        let Some(entry) = self.entries.get_mut(rel) else { return };
        let waited = now.saturating_duration_since(entry.since);
        let pause = match wait.ready_in {
            Some(ready_in) => ready_in.min(PROBE_DELAY_MAX),
            None => (waited / 10).clamp(PROBE_DELAY_MIN, PROBE_DELAY_MAX),
        };
        // Most waits end before anyone could read of them, so one counts as lasting only once it
        // has lasted for `quiet`, and again only if the reason changes.
        let news = !matches!(entry.state(), State::Waiting(before) if before.why == wait.why);
        let due = entry
            .last_logged
            .is_none_or(|last_logged| now.saturating_duration_since(last_logged) >= LOG_INTERVAL);
        let untold = news || entry.last_logged.is_none();
        let is_lasting = untold && due && wait.ready_in.is_none() && waited >= self.drop_dir.quiet;
        if is_lasting {
            entry.last_logged = Some(now);
            self.wait_reports.add(path, wait.why.clone(), now);
        }
        self.set_state(rel, State::Waiting(wait));
        self.schedule(rel.to_path_buf(), now + pause);
    }

    /// Publishes the reports about several drops that are due, or all of them.
    pub(crate) fn publish_reports(&mut self, now: Option<Instant>) {
        let mut events = self.wait_reports.take(now);
        events.extend(self.failure_reports.take(now));
        events.extend(self.take_suspension_events(now));
        for event in events {
            self.context.publish(event);
        }
    }
}
