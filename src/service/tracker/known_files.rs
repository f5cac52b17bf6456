//! Checks which of the files that the ledger knows still exist: the ledger keeps the newest receipt
//! of such a file for good. Each scan checks some of them, in turn, because there may be millions.

use std::sync::Arc;

use crate::finalize::{RejectedDrop, rejected_paths};
use crate::fs::Dir;
use crate::ledger::{Entry, Ledger, LedgerError, NewestReceipt};
use crate::service::tracker::Tracker;

impl Tracker {
    /// Stores which of some files that the ledger knows exist.
    pub(super) fn check_known_files(&mut self, root: &Dir) {
        // The mount point of a file system that is not mounted is empty.
        if !root.any_entry(|_, _| true).unwrap_or(false) {
            return;
        }
        let ledger = Arc::clone(self.context.ledger());
        let known = ledger.next_sources(&self.drop_dir.path, &mut self.known_files);
        let stored = known.and_then(|known| {
            let (mut gone, mut back) = (Vec::new(), Vec::new());
            for receipt in known {
                match self.exists(root, &receipt, &ledger)? {
                    Some(false) if receipt.is_current => gone.push(receipt),
                    Some(true) if !receipt.is_current => back.push(receipt),
                    _ => {}
                }
            }
            ledger.set_current(&gone, false)?;
            ledger.set_current(&back, true)
        });
        if let Err(error) = stored {
            self.context.report_ledger(&error);
        }
    }

    /// Returns whether the file of a receipt exists, in its place or where npyd moves rejected
    /// files. Returns `None` if it can't be examined, or this drop directory does not include it.
    fn exists(
        &self,
        root: &Dir,
        receipt: &NewestReceipt,
        ledger: &Ledger,
    ) -> Result<Option<bool>, LedgerError> {
        let Ok(rel) = receipt.source.strip_prefix(&self.drop_dir.path) else { return Ok(None) };
        match self.has_standing_file(root, rel) {
            Some(false) if self.drop_dir.rejects.is_some() && receipt.is_current => {
                self.is_rejected_file(receipt, ledger)
            }
            exists => Ok(exists),
        }
    }

    /// Returns whether npyd moved the file of a receipt to `rejects`, and it still is there.
    fn is_rejected_file(
        &self,
        receipt: &NewestReceipt,
        ledger: &Ledger,
    ) -> Result<Option<bool>, LedgerError> {
        let Some(entry) = ledger.latest(&receipt.source)?.filter(Entry::is_rejected) else {
            return Ok(Some(false));
        };
        let (identity, parts) = (entry.identity(), entry.parts());
        let rejected = RejectedDrop { source: entry.source, identity, parts };
        Ok(rejected_paths(&self.drop_dir, &rejected).ok().map(|paths| !paths.is_empty()))
    }
}
