//! Watch events: the paths that they lead to. An event is a hint; a scan finds whatever it missed.

use std::time::Instant;

use crate::events::event::Event;
use crate::service::tracker::entry::State;
use crate::service::tracker::{CLOSE_GRACE, Tracker};
use crate::service::watch::PathEvent;
use crate::service::work::outcome::PROBE_DELAY_MIN;

impl Tracker {
    /// Enqueues the path of a watch event. npyd's own unnamed files cause such events as well.
    pub fn on_watch_event(&mut self, PathEvent { rel, is_new }: PathEvent, now: Instant) {
        if self.entries.contains_key(&rel) {
            self.note_recent(&rel);
        } else if !self.make_room(1) {
            return self.leave_out();
        }
        let wholes = self.standing_paths(&rel);
        self.enqueue(rel, if is_new { now + CLOSE_GRACE } else { now });
        for whole in wholes {
            // A description that waits is probed again anyway, and not once for each of its parts.
            let entry = self.entries.get(&whole);
            if entry.is_none_or(|it| matches!(it.state(), State::Working { .. })) {
                self.enqueue(whole, now + PROBE_DELAY_MIN);
            }
        }
    }

    /// Leaves a path to the next scan, because there is no room for it.
    fn leave_out(&mut self) {
        if !self.overflowed {
            let drop_dir = self.drop_dir.path.clone();
            self.context.publish(Event::Overflowed { drop_dir });
        }
        self.overflowed = true;
    }
}
