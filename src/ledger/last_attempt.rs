//! The last attempt to store what an outage kept from the ledger, before npyd ends.

use std::sync::atomic::Ordering;

use rusqlite::Connection;

use crate::facts::LedgerEvent;
use crate::ledger::{Ledger, lock};

impl Ledger {
    /// Tries a last time to store what is missing in the ledger, and notes what npyd could not
    /// store. Call it before the process ends; it may take as long as the disk does.
    pub fn finish(&self) {
        if let Some(event) = self.store_at_end() {
            self.note(event);
        }
    }

    /// Returns whether the ledger at its path may lack receipts. Does not wait for the disk.
    #[must_use]
    pub fn may_lack_receipts(&self) -> bool {
        self.is_out() || self.is_detached.load(Ordering::Relaxed)
    }

    fn store_at_end(&self) -> Option<LedgerEvent> {
        let is_complete = || !self.has_unsaved() && lock(&self.pending_losses).is_empty();
        if !self.may_lack_receipts() && is_complete() {
            return None;
        }
        self.attend();
        let error = self.try_to_end_outage().err()?;
        let kept = lock(&self.unsaved).as_ref().map_or(0, |db| count_after(db, 0));
        // Those in open files that have lost their name.
        let detached = if self.is_detached.load(Ordering::Relaxed) {
            let newest_checked = self.newest_checked.load(Ordering::Relaxed);
            count_after(&lock(&self.connection), newest_checked)
        } else {
            0
        };
        let (receipts, losses) = (kept + detached, lock(&self.pending_losses).len());
        let error = error.to_string();
        (receipts > 0 || losses > 0).then_some(LedgerEvent::NotStored { receipts, losses, error })
    }
}

/// Returns the number of receipts with ids above `after`.
pub(crate) fn count_after(db: &Connection, after: i64) -> usize {
    let count = "SELECT count(*) FROM receipts WHERE id > ?1";
    db.query_row(count, [after], |row| row.get::<_, i64>(0))
        .ok()
        .and_then(|count| count.try_into().ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::decide::reason::Reason;
    use crate::events::receipt::Receipt;
    use crate::events::receipt_event::ReceiptEvent;

    fn record(ledger: &Ledger, source: &str) {
        let why = Reason::Gone;
        let receipt =
            Receipt::without_output(ReceiptEvent::Rejected, "/in".into(), source.into(), &why);
        let _ = ledger.record(&[(receipt, None)]); // an outage is an error
    }

    fn refuse_writes(ledger: &Ledger, refused: bool) {
        lock(&ledger.connection).pragma_update(None, "query_only", refused).unwrap();
    }

    fn count(state_dir: &Path) -> usize {
        let mut count = 0;
        let ledger = Ledger::open_to_read(state_dir).unwrap().unwrap();
        ledger.for_each(|_| count += 1).unwrap();
        count
    }

    #[test]
    fn an_outage_that_never_ends() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(dir.path()).unwrap();
        record(&ledger, "/in/a");
        assert_eq!(ledger.store_at_end(), None);
        refuse_writes(&ledger, true);
        record(&ledger, "/in/b");
        record(&ledger, "/in/c");
        ledger.record_data_loss(["1:2".to_owned()].into_iter(), "why").unwrap_err();
        let Some(LedgerEvent::NotStored { receipts: 2, losses: 1, error }) = ledger.store_at_end()
        else {
            panic!();
        };
        assert!(error.contains("ledger.sqlite"), "{error}");
        assert_eq!(count(dir.path()), 1);
        refuse_writes(&ledger, false);
        assert_eq!(ledger.store_at_end(), None);
        assert_eq!(count(dir.path()), 3);
        assert!(ledger.data_loss_of(["1:2".to_owned()].into_iter()).unwrap().is_some());
    }

    #[test]
    fn receipts_in_files_without_a_name() {
        let top = tempfile::tempdir().unwrap();
        let state_dir = top.path().join("state");
        let ledger = Ledger::open(&state_dir).unwrap();
        record(&ledger, "/in/a");
        ledger.attend();
        fs::rename(&state_dir, top.path().join("aside")).unwrap();
        fs::write(&state_dir, "no directory").unwrap();
        ledger.attend();
        assert_eq!(ledger.store_at_end(), None);
        record(&ledger, "/in/b");
        let event = ledger.store_at_end();
        assert!(
            matches!(event, Some(LedgerEvent::NotStored { receipts: 1, losses: 0, .. })),
            "{event:?}"
        );
    }
}
