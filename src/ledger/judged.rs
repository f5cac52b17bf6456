//! Rejections that are judged again by other settings, with one result.

use rusqlite::params;

use crate::decide::fingerprint::Fingerprint;
use crate::events::receipt::Receipt;
use crate::ledger::packed_key::PackedKey;
use crate::ledger::row::latest;
use crate::ledger::{Ledger, Result, dirs, lock};

impl Ledger {
    /// Notes in the newest receipt of a drop that the drop was judged again. Returns `false`, and
    /// changes nothing, unless that receipt is a rejection of these very files for that reason.
    ///
    /// # Errors
    /// The ledger can't be used.
    pub fn judge_again(&self, receipt: &Receipt, fingerprint: &Fingerprint) -> Result<bool> {
        if lock(&self.unsaved).is_some() {
            return Ok(false); // a newer receipt may be in memory
        }
        let kind = receipt.reason_kind;
        self.run(|db| {
            let Some(entry) = latest(db, &receipt.source)? else { return Ok(false) };
            let is_unchanged = entry.is_rejected()
                && !entry.is_lost()
                && entry.identity().is_some_and(|it| it == fingerprint.identity)
                && entry.reason_kind() == kind
                && Some(entry.reason()) == receipt.reason;
            if !is_unchanged {
                return Ok(false);
            }
            let (_, name) = dirs::split(&receipt.source);
            let key = PackedKey::of(&fingerprint.to_string(), name);
            db.prepare_cached("UPDATE receipts SET fingerprint = ?2 WHERE id = ?1")?
                .execute(params![entry.id, key])?;
            Ok(true)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::decide::reason::Reason;
    use crate::decide::source_identity::SourceIdentity;
    use crate::events::receipt_event::ReceiptEvent;

    #[test]
    fn only_the_very_rejection_is_judged_again() {
        let ledger = Ledger::in_memory().unwrap();
        let source = Path::new("/in/scan.raw");
        let receipt = |why: &Reason| {
            Receipt::without_output(ReceiptEvent::Rejected, "/in".into(), source.into(), why)
        };
        let key = |settings_hash, identity| {
            let identity = SourceIdentity::parse(identity);
            Fingerprint { settings_hash, identity }
        };
        let rejection = receipt(&Reason::IsArray);
        assert!(!ledger.judge_again(&rejection, &key(1, "1:2:3:4")).unwrap());
        ledger.record(&[(rejection.clone(), Some(key(1, "1:2:3:4")))]).unwrap();
        for (receipt, key) in [
            (receipt(&Reason::SeveralArrays), key(2, "1:2:3:4")),
            (rejection.clone(), key(2, "1:2:3:5")),
        ] {
            assert!(!ledger.judge_again(&receipt, &key).unwrap());
        }
        let settles = |hash| {
            let latest = ledger.latest(source).unwrap().unwrap();
            latest.settles(&SourceIdentity::parse("1:2:3:4"), hash)
        };
        assert!(settles(1) && !settles(2));
        assert!(ledger.judge_again(&rejection, &key(2, "1:2:3:4")).unwrap());
        assert!(settles(2) && !settles(1));
        ledger.record(&[(receipt(&Reason::Gone), Some(key(2, "1:2:3:4")))]).unwrap();
        assert!(!ledger.judge_again(&rejection, &key(2, "1:2:3:4")).unwrap());
    }
}
