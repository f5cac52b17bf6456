//! Waits in a command: it prints a receipt for each drop that waits at its end.

use std::path::{Path, PathBuf};

use crate::decide::reason::Reason;
use crate::events::event::Event;
use crate::events::receipt::Receipt;
use crate::events::receipt_event::ReceiptEvent;
use crate::events::stored::Stored;
use crate::service::tracker::Tracker;
use crate::service::tracker::entry::State;

impl Tracker {
    /// Returns the drops that wait, and the reasons. Failures are left out: they were reported.
    fn waiting(&self) -> impl Iterator<Item = (PathBuf, &Reason)> {
        self.entries.iter().filter_map(|(rel, entry)| match entry.state() {
            State::Waiting(wait) if entry.failures == 0 => {
                Some((self.drop_dir.path.join(rel), &wait.why))
            }
            _ => None,
        })
    }

    /// Publishes the receipts of a command about the drops that wait.
    pub fn publish_waits(&self) {
        for (path, why) in self.waiting() {
            self.publish_wait_at(path, why);
        }
    }

    /// Publishes the receipt of a command about a drop that waits, unless it failed: that was
    /// reported.
    pub(super) fn publish_wait(&self, rel: &Path) {
        if let Some(entry) = self.entries.get(rel).filter(|entry| entry.failures == 0)
            && let State::Waiting(wait) = entry.state()
        {
            self.publish_wait_at(self.drop_dir.path.join(rel), &wait.why);
        }
    }

    fn publish_wait_at(&self, path: PathBuf, why: &Reason) {
        let drop_dir = self.drop_dir.path.clone();
        let receipt = Receipt::without_output(ReceiptEvent::Waiting, drop_dir, path, why);
        let receipt = Box::new(receipt);
        self.context.publish(Event::Receipt { receipt, stored: Stored::NotMeant });
    }

    /// Leaves all drops that wait to the next scan: a sweep has no room for others, and these are
    /// not ready.
    pub fn leave_waits(&mut self) {
        let waits = self.entries.iter().filter(|(_, it)| matches!(it.state(), State::Waiting(_)));
        let rels: Vec<PathBuf> = waits.map(|(rel, _)| rel.clone()).collect();
        for rel in &rels {
            self.leave_to_scan(rel);
        }
    }
}
