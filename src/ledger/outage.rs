//! Outages: times in which the ledger's file can't be written to, for example because its disk is
//! full. npyd goes on with its work and keeps the newest receipts in memory. It reports an outage
//! once, and its end.

use rusqlite::Connection;

use crate::decide::fingerprint::Fingerprint;
use crate::events::receipt::Receipt;
use crate::facts::LedgerEvent;
use crate::ledger::layout::rewrite_layout;
use crate::ledger::row::insert_all;
use crate::ledger::row_copy::copy_receipts;
use crate::ledger::schema::in_memory;
use crate::ledger::{Ledger, LedgerError, LedgerErrorKind, Result, lock};

/// Maximum number of receipts that are kept in memory; older ones are lost.
const UNSAVED_MAX: i64 = 16_384;

/// The state of an outage.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    /// Whether SQLite can't read the database.
    pub(crate) is_broken: bool,
}

impl Ledger {
    /// Makes an error of an operation that failed. A failure of the database begins an outage.
    pub(crate) fn failure(&self, cause: impl Into<LedgerErrorKind>) -> LedgerError {
        let cause = cause.into();
        if cause.is_of_database() {
            let mut outage = lock(&self.outage);
            outage.get_or_insert_default().is_broken |= cause.is_broken();
        }
        LedgerError::new(&self.path, cause)
    }

    /// Returns whether an outage has begun and was not ended.
    pub(crate) fn is_out(&self) -> bool {
        lock(&self.outage).is_some()
    }

    /// Keeps receipts in memory until they can be stored.
    pub(crate) fn keep_unsaved(&self, receipts: &[(Receipt, Option<Fingerprint>)]) -> Result<()> {
        let mut unsaved = lock(&self.unsaved);
        let kept = match &*unsaved {
            Some(db) => insert_unsaved(db, receipts),
            None => in_memory().and_then(|db| {
                insert_unsaved(&db, receipts)?;
                *unsaved = Some(db);
                Ok(())
            }),
        };
        kept.map_err(|cause| LedgerError::new(&self.path, cause))
    }

    /// Reads receipts that are kept in memory; returns the default if there are none.
    pub(crate) fn read_unsaved<T: Default>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T> {
        let unsaved = lock(&self.unsaved);
        let result = unsaved.as_ref().map_or_else(|| Ok(T::default()), read);
        result.map_err(|cause| LedgerError::new(&self.path, cause))
    }

    /// Stores the receipts that are kept in memory.
    pub(crate) fn store_unsaved(&self) -> Result<()> {
        let mut unsaved = lock(&self.unsaved);
        if let Some(from) = &*unsaved {
            self.run(|to| {
                let transaction = to.unchecked_transaction()?;
                copy_receipts(from, to, 0)?;
                transaction.commit()
            })?;
            *unsaved = None;
        }
        Ok(())
    }

    /// Returns whether receipts are kept in memory.
    pub(crate) fn has_unsaved(&self) -> bool {
        lock(&self.unsaved).is_some()
    }

    /// Tries to end an outage: tests whether the file can be written to, and stores what is kept in
    /// memory.
    ///
    /// # Errors
    ///
    /// Returns an error also if the open database is not the one at the path, although SQLite can
    /// still write to it: [`Ledger::attend`] mends that first.
    pub(crate) fn try_to_end_outage(&self) -> Result<()> {
        self.check_files()?;
        let rewritten = rewrite_layout(&lock(&self.connection));
        rewritten.map_err(|cause| self.failure(cause))?;
        self.write_losses(&mut lock(&self.pending_losses))?;
        self.store_unsaved()?;
        if lock(&self.outage).take().is_some() {
            self.note(LedgerEvent::Usable);
        }
        Ok(())
    }
}

/// Inserts receipts into the database in memory, and deletes all but the newest.
pub(crate) fn insert_unsaved(
    db: &Connection,
    receipts: &[(Receipt, Option<Fingerprint>)],
) -> rusqlite::Result<()> {
    insert_all(db, receipts)?;
    db.prepare_cached("DELETE FROM receipts WHERE id <= (SELECT max(id) - ?1 FROM receipts)")?
        .execute([UNSAVED_MAX])
        .map(drop)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::decide::reason::Reason;
    use crate::decide::source_identity::SourceIdentity;
    use crate::events::receipt_event::ReceiptEvent;
    use crate::events::source_fate::SourceFate;
    use crate::events::stored::Stored;

    fn receipt(event: ReceiptEvent, source: &str) -> (Receipt, Option<Fingerprint>) {
        let why = Reason::Gone;
        let mut receipt = Receipt::without_output(event, "/in".into(), source.into(), &why);
        receipt.source_fate = Some(SourceFate::Kept);
        let identity = SourceIdentity::parse("1:2:3:4");
        (receipt, Some(Fingerprint { settings_hash: 1, identity }))
    }

    fn events(ledger: &Ledger) -> Vec<String> {
        let mut events = Vec::new();
        ledger.for_each(|entry| events.push(entry.kind.to_string())).unwrap();
        events
    }

    fn refuse_writes(ledger: &Ledger, refused: bool) {
        lock(&ledger.connection).pragma_update(None, "query_only", refused).unwrap();
    }

    #[test]
    fn receipts_in_memory_count_and_are_stored_later() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(dir.path()).unwrap();
        let a = Path::new("/in/a");
        let record = |event, source| ledger.record(&[receipt(event, source)]);
        assert_eq!(record(ReceiptEvent::Finalized, "/in/a").unwrap(), Stored::Durable);
        refuse_writes(&ledger, true);
        let first = record(ReceiptEvent::Remade, "/in/a").unwrap_err();
        assert!(first.to_string().contains("receipts are kept in memory"), "{first}");
        assert_eq!(first.stored(), Stored::NotYet);
        assert_eq!(record(ReceiptEvent::Rejected, "/in/b").unwrap(), Stored::NotYet);
        ledger.attend();
        assert_eq!(events(&ledger), ["finalized"]);

        assert_eq!(ledger.latest(a).unwrap().unwrap().kind.as_str(), "remade");
        assert_eq!(ledger.earlier_arrays(a, 1).unwrap().remakes, 1);
        assert_eq!(ledger.earlier_arrays(a, 1).unwrap().identities.len(), 1);
        assert!(ledger.known_unsaved(a).unwrap().unwrap().is_settled);
        assert!(ledger.known_unsaved(Path::new("/in/c")).unwrap().is_none());

        refuse_writes(&ledger, false);
        ledger.attend();
        assert_eq!(events(&ledger), ["finalized", "remade", "rejected"]);
        assert!(!ledger.is_out() && ledger.known_unsaved(a).unwrap().is_none());
        assert_eq!(record(ReceiptEvent::Rejected, "/in/c").unwrap(), Stored::Durable);
    }

    /// In a sweep, for example, no thread calls `attend`.
    #[test]
    fn the_next_receipt_ends_an_outage() {
        let ledger = Ledger::in_memory().unwrap();
        refuse_writes(&ledger, true);
        ledger.record(&[receipt(ReceiptEvent::Finalized, "/in/a")]).unwrap_err();
        refuse_writes(&ledger, false);
        ledger.record(&[receipt(ReceiptEvent::Rejected, "/in/a")]).unwrap();
        assert_eq!(events(&ledger), ["finalized", "rejected"]);
        refuse_writes(&ledger, true);
        ledger.record(&[receipt(ReceiptEvent::Finalized, "/in/a")]).unwrap_err();
    }

    #[test]
    fn the_oldest_receipts_in_memory_are_lost() {
        let ledger = Ledger::in_memory().unwrap();
        refuse_writes(&ledger, true);
        let many = usize::try_from(UNSAVED_MAX).unwrap() + 10;
        let receipts: Vec<_> =
            (0..many).map(|at| receipt(ReceiptEvent::Rejected, &format!("/in/{at}"))).collect();
        ledger.record(&receipts).unwrap_err();
        let is_known =
            |at: usize| ledger.known_unsaved(Path::new(&format!("/in/{at}"))).unwrap().is_some();
        assert_eq!([9, 10, many - 1].map(is_known), [false, true, true]);
    }

    /// A later version has begun to use the ledger while this one runs.
    #[test]
    fn the_end_of_an_outage_does_not_change_the_layout_back() {
        let ledger = Ledger::in_memory().unwrap();
        lock(&ledger.connection).pragma_update(None, "user_version", 3).unwrap();
        let error = ledger.try_to_end_outage().unwrap_err();
        assert!(matches!(error.kind(), LedgerErrorKind::Layout { found: 3, known: 2 }), "{error}");
    }
}
