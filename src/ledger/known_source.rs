//! Known sources: what a scan needs to know about each file that it lists.

use std::ffi::OsStr;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension, params};

use crate::decide::fingerprint::Fingerprint;
use crate::ledger::packed_key::PackedKey;
use crate::ledger::row_kind::REFUSED;
use crate::ledger::stored_path::StoredPath;
use crate::ledger::{Ledger, Result, RowKind, dirs};

/// Number of names that are looked up in one transaction. SQLite locks the file for each
/// transaction, and receipts that are to be stored wait for it.
const NAMES_AT_ONCE: usize = 256;

/// What a scan needs to know about a source: its newest receipt that is not the refusal of a
/// request.
#[derive(Debug, Clone)]
pub struct KnownSource {
    /// Whether it needs no further work while it is unchanged.
    pub is_settled: bool,
    /// Whether it was rejected, so that new settings may change the result.
    pub is_rejected: bool,
    /// Whether it is still to be removed or archived, once npyd can prove that it has no writer.
    pub is_unproven: bool,
    /// Its key at that time.
    pub fingerprint: Fingerprint,
}

impl KnownSource {
    fn new(kind: RowKind, fingerprint: Fingerprint) -> Self {
        KnownSource {
            is_settled: kind.is_settled(),
            is_rejected: kind.is_rejected(),
            is_unproven: kind == RowKind::Unproven,
            fingerprint,
        }
    }
}

impl Ledger {
    /// Returns what the ledger has about the files `names` of a directory, in their order; `None`
    /// for a file without a receipt. Receipts that are kept in memory count.
    pub fn known_sources(&self, dir: &Path, names: &[&OsStr]) -> Result<Vec<Option<KnownSource>>> {
        let mut found = Vec::with_capacity(names.len());
        for names in names.chunks(NAMES_AT_ONCE) {
            let mut known = self.run(|db| {
                let transaction = db.unchecked_transaction()?;
                let known = newest(db, dir, names)?;
                transaction.finish()?;
                Ok(known)
            })?;
            // Those in memory are newer.
            for (known, unsaved) in
                known.iter_mut().zip(self.read_unsaved(|db| newest(db, dir, names))?)
            {
                *known = unsaved.or_else(|| known.take());
            }
            found.extend(known);
        }
        Ok(found)
    }

    /// Returns what a scan needs to know about a source, if its newest receipt is kept in memory.
    #[cfg(test)]
    pub(crate) fn known_unsaved(&self, source: &Path) -> Result<Option<KnownSource>> {
        let (dir, name) = dirs::split(source);
        let known = self.read_unsaved(|db| newest(db, dir, &[name.as_os_str()]))?;
        Ok(known.into_iter().flatten().next())
    }
}

/// Returns what the newest receipt of each of these files of a directory says, if there is one.
fn newest(
    db: &Connection,
    dir: &Path,
    names: &[&OsStr],
) -> rusqlite::Result<Vec<Option<KnownSource>>> {
    let Some(dir) = dirs::id_of(db, dir)? else { return Ok(vec![None; names.len()]) };
    let mut select = db.prepare_cached(&format!(
        "SELECT event, fingerprint FROM receipts WHERE source_dir = ?1 AND source = ?2
         AND event != '{REFUSED}' ORDER BY id DESC LIMIT 1"
    ))?;
    let mut newest = |name: &OsStr| {
        let name = Path::new(name);
        select
            .query_row(params![dir, StoredPath(name)], |row| {
                let key = PackedKey::fingerprint(row.get_ref(1)?, name)?;
                Ok(KnownSource::new(row.get(0)?, key))
            })
            .optional()
    };
    names.iter().map(|name| newest(name)).collect()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStrExt;

    use super::*;
    use crate::decide::reason::Reason;
    use crate::decide::request_kind::RequestKind;
    use crate::decide::request_target::RequestTarget;
    use crate::events::receipt::Receipt;
    use crate::events::receipt_event::ReceiptEvent;
    use crate::ledger::lock;

    fn record(ledger: &Ledger, event: ReceiptEvent, source: &OsStr, settings_hash: u64) {
        let source = Path::new("/in").join(source);
        let receipt = Receipt::without_output(event, "/in".into(), source, &Reason::Gone);
        let key = Fingerprint { settings_hash, ..Fingerprint::default() };
        let _ = ledger.record(&[(receipt, Some(key))]); // an outage is an error
    }

    /// Returns the settings of the newest receipt of each name, and whether it settles the file.
    fn known(ledger: &Ledger, names: &[&OsStr]) -> Vec<Option<(u64, bool)>> {
        known_in(ledger, "/in", names)
    }

    fn known_in(ledger: &Ledger, dir: &str, names: &[&OsStr]) -> Vec<Option<(u64, bool)>> {
        let known = ledger.known_sources(Path::new(dir), names).unwrap();
        let known = known.into_iter();
        known.map(|it| it.map(|it| (it.fingerprint.settings_hash, it.is_settled))).collect()
    }

    #[test]
    fn the_newest_receipt_of_each_name() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(dir.path()).unwrap();
        let ([a, b, c], odd) = (["a", "b", "c"].map(OsStr::new), OsStr::from_bytes(b"\xff"));
        assert_eq!(known(&ledger, &[a, b]), [None, None]);
        record(&ledger, ReceiptEvent::Rejected, a, 1);
        record(&ledger, ReceiptEvent::Finalized, OsStr::new("below/c"), 2);
        record(&ledger, ReceiptEvent::Failed, a, 3);
        record(&ledger, ReceiptEvent::Finalized, odd, 4);
        let expected = [None, Some((3, false)), Some((4, true)), None];
        assert_eq!(known(&ledger, &[b, a, odd, c]), expected);
        assert_eq!(known(&ledger, &[]), []);
        assert_eq!(known_in(&ledger, "/in/below", &[a, c]), [None, Some((2, true))]);

        // A refusal says nothing about the file.
        let request = ("{}", &RequestTarget::default());
        let (drop_dir, source) = (Path::new("/in"), Path::new("/in/below/c"));
        ledger.add_request(RequestKind::Redo, drop_dir, source, request).unwrap();
        let request = ledger.requests(drop_dir).unwrap().remove(0);
        let failed = Receipt::without_output(
            ReceiptEvent::Failed,
            drop_dir.into(),
            source.into(),
            &Reason::Gone,
        );
        ledger.end_request(&request, &failed, None).unwrap();
        assert_eq!(known_in(&ledger, "/in/below", &[c]), [Some((2, true))]);

        // Those in memory count.
        lock(&ledger.connection).pragma_update(None, "query_only", true).unwrap();
        record(&ledger, ReceiptEvent::Remade, a, 5);
        assert_eq!(known(&ledger, &[a, b]), [Some((5, true)), None]);
        assert_eq!(known_in(&ledger, "/in/below", &[c]), [Some((2, true))]);
    }

    #[test]
    fn more_names_than_are_looked_up_at_once() {
        let ledger = Ledger::in_memory().unwrap();
        let names: Vec<_> =
            (0..=2 * NAMES_AT_ONCE).map(|at| OsString::from(at.to_string())).collect();
        for at in [0, NAMES_AT_ONCE - 1, NAMES_AT_ONCE, 2 * NAMES_AT_ONCE] {
            record(&ledger, ReceiptEvent::Rejected, &names[at], at as u64);
        }
        let names: Vec<_> = names.iter().map(OsString::as_os_str).collect();
        let known = known(&ledger, &names);
        assert_eq!(known.len(), names.len());
        for (at, known) in known.into_iter().enumerate() {
            let is_known = [0, NAMES_AT_ONCE - 1, NAMES_AT_ONCE, 2 * NAMES_AT_ONCE].contains(&at);
            assert_eq!(known, is_known.then_some((at as u64, true)));
        }
    }
}
