//! Notes about sources that stayed at first and are to be removed or archived now.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};

use crate::events::receipt_event::ReceiptEvent;
use crate::ledger::entry::DISPOSING;
use crate::ledger::row::{OF_SOURCE, of_source};
use crate::ledger::row_kind::UNPROVEN;
use crate::ledger::{Ledger, Result};

impl Ledger {
    /// Notes in the newest receipts of arrays that npyd is about to dispose of their sources. The
    /// next receipts say what became of these; without them, a crash came in between.
    ///
    /// # Durability
    ///
    /// On success the notes are durable.
    ///
    /// # Errors
    /// The ledger can't be written to.
    pub fn note_disposals(&self, sources: &[PathBuf]) -> Result<()> {
        self.run(|db| {
            let transaction = db.unchecked_transaction()?;
            for source in sources {
                note(db, source)?;
            }
            transaction.commit()
        })
    }
}

fn note(db: &Connection, source: &Path) -> rusqlite::Result<usize> {
    let [dir, name] = of_source(source);
    db.prepare_cached(&format!(
        "UPDATE receipts SET receipt = json_set(receipt, '$.{DISPOSING}', json('true'))
         WHERE json_valid(receipt) AND id = (
            SELECT receipts.id FROM receipts WHERE {OF_SOURCE}
            AND event IN ('{}', '{}', '{}', '{UNPROVEN}') ORDER BY receipts.id DESC LIMIT 1)",
        ReceiptEvent::Finalized.as_str(),
        ReceiptEvent::Remade.as_str(),
        ReceiptEvent::Found.as_str()
    ))?
    .execute(params![dir, name])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::fingerprint::Fingerprint;
    use crate::decide::reason::Reason;
    use crate::events::receipt::Receipt;
    use crate::events::source_fate::SourceFate;

    #[test]
    fn the_next_receipt_ends_it() {
        let ledger = Ledger::in_memory().unwrap();
        let source = Path::new("/in/scan.raw");
        let record = |event, fate| {
            let receipt =
                Receipt::without_output(event, "/in".into(), source.into(), &Reason::Gone);
            let receipt = Receipt { source_fate: Some(fate), ..receipt };
            ledger.record(&[(receipt, Some(Fingerprint::default()))]).unwrap();
        };
        let latest = || ledger.latest(source).unwrap().unwrap();
        record(ReceiptEvent::Finalized, SourceFate::Unproven);
        let before = latest().to_json();
        assert!(!latest().is_disposing());
        ledger.note_disposals(&[source.into(), "/in/other.raw".into()]).unwrap();
        assert!(latest().is_disposing() && latest().is_unproven());
        assert_eq!(latest().to_json(), before);
        record(ReceiptEvent::Found, SourceFate::Removed);
        assert!(!latest().is_disposing());
    }
}
