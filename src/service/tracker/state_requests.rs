//! Requests for the states of all drops: a sink that lost events makes them, because it can't know
//! any more which of its drops still wait.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::events::bus::Bus;
use crate::events::drop_state::{DirStates, StateOfDrop};
use crate::events::event::Event;
use crate::service::tracker::Tracker;
use crate::service::tracker::entry::Entry;

/// Minimum time between two answers: a sink that often loses events must not keep npyd busy.
const INTERVAL: Duration = Duration::from_secs(1);

/// The requests that the tracker has answered.
pub(super) struct StateRequests {
    /// Their number, as the bus counts them.
    answered: u64,
    /// When the last answer was.
    answered_at: Option<Instant>,
}

impl StateRequests {
    /// A tracker that starts publishes the states of all its drops in any case.
    pub(super) fn new(bus: &Bus) -> Self {
        StateRequests { answered: bus.state_requests(), answered_at: None }
    }
}

impl Tracker {
    /// Publishes the states of all drops if a sink has asked for that.
    pub(super) fn publish_states_if_requested(&mut self, now: Instant) {
        let requested = self.context.bus().state_requests();
        let StateRequests { answered, answered_at } = self.state_requests;
        let is_due = answered_at.is_none_or(|at| now.duration_since(at) >= INTERVAL);
        if requested == answered || !is_due || self.drop_dir.in_force.is_superseded() {
            return;
        }
        self.state_requests = StateRequests { answered: requested, answered_at: Some(now) };
        let of_entry = |(rel, entry): (&PathBuf, &Entry)| StateOfDrop {
            source: self.drop_dir.path.join(rel),
            state: entry.state().kind(),
            reason: entry.state().reason().cloned(),
            bytes: entry.bytes,
        };
        let drops = self.entries.iter().map(of_entry).collect();
        let drop_dir = self.drop_dir.path.clone();
        self.context.publish(Event::States(Box::new(DirStates { drop_dir, drops })));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::drop_state::DropState;
    use crate::service::tracker::timeline::Timeline;

    impl Timeline {
        /// The states that were published together since the last call.
        fn states(&self) -> Vec<Vec<(String, DropState, Option<u64>)>> {
            let states = |event| match event {
                Event::States(states) => Some(states),
                _ => None,
            };
            let dirs = self.events().into_iter().filter_map(states).map(|states| {
                assert_eq!(states.drop_dir, self.path());
                let mut drops: Vec<_> = states
                    .drops
                    .into_iter()
                    .map(|drop| {
                        let rel = drop.source.strip_prefix(self.path()).unwrap().to_owned();
                        (rel.into_os_string().into_string().unwrap(), drop.state, drop.bytes)
                    })
                    .collect();
                drops.sort_by(|a, b| a.0.cmp(&b.0));
                drops
            });
            dirs.collect()
        }
    }

    #[test]
    fn all_states_are_published_on_request() {
        let manifest: &[u8] = b"dtype = '|u1'\nshape = [4]\n";
        let data: &[u8] = &[1; 2];
        let files = [("a.raw", data), ("a.raw.toml", manifest), ("b.raw.toml", manifest)];
        let mut time = Timeline::of(&files);
        time.scan_after(0);
        assert_eq!(time.states(), [[]; 0]);
        let waiting = |name: &str, bytes| (name.to_owned(), DropState::Waiting, bytes);
        let both = [waiting("a.raw", Some(2)), waiting("b.raw.toml", None)];
        time.request_states();
        time.scan_after(10);
        assert_eq!(time.states(), [both.to_vec()]);
        time.scan_after(20);
        assert_eq!(time.states(), [[]; 0]);

        time.remove("a.raw.toml");
        time.scan_after(30);
        time.request_states();
        time.request_states();
        time.scan_after(40);
        assert_eq!(time.states(), [both[1..].to_vec()]);
        // Not so often.
        time.request_states();
        time.scan_after(40);
        assert_eq!(time.states(), [[]; 0]);
        time.scan_after(41);
        assert_eq!(time.states(), [both[1..].to_vec()]);
    }
}
