//! Known sources: what a scan needs to know about each file that it lists.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use rusqlite::{Connection, OptionalExtension};

use crate::decide::fingerprint::Fingerprint;
use crate::ledger::packed_key::PackedKey;
use crate::ledger::row::{OF_SOURCE, of_source};
use crate::ledger::row_kind::REFUSED;
use crate::ledger::{Ledger, Result, RowKind, dirs};

/// Number of names that are looked up in one transaction. SQLite locks the file for each
/// transaction, and receipts that are to be stored wait for it.
const NAMES_AT_ONCE: usize = 256;

/// What a scan needs to know about a source: its newest receipt that is not the refusal of a
/// request.
#[derive(Debug, Clone)]
pub struct KnownSource {
    /// The data file's path.
    pub source: OsString,
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
    fn new(source: OsString, kind: RowKind, fingerprint: &str) -> Self {
        KnownSource {
            source,
            is_settled: kind.is_settled(),
            is_rejected: kind.is_rejected(),
            is_unproven: kind == RowKind::Unproven,
            fingerprint: Fingerprint::parse(fingerprint).unwrap_or_default(),
        }
    }
}

impl Ledger {
    /// Returns what the ledger has about the files `names` of a directory, in their order; `None`
    /// for a file without a receipt. Receipts that are kept in memory count.
    pub fn known_sources(&self, dir: &Path, names: &[&OsStr]) -> Result<Vec<Option<KnownSource>>> {
        let mut found = Vec::with_capacity(names.len());
        for names in names.chunks(NAMES_AT_ONCE) {
            let start = found.len();
            self.run(|db| {
                let transaction = db.unchecked_transaction()?;
                for name in names {
                    found.push(newest(db, &dir.join(name))?);
                }
                transaction.finish()
            })?;
            // Those in memory are newer.
            self.read_unsaved(|db| {
                for (name, found) in names.iter().zip(&mut found[start..]) {
                    if let Some(known) = newest(db, &dir.join(name))? {
                        *found = Some(known);
                    }
                }
                Ok(())
            })?;
        }
        Ok(found)
    }

    /// Returns what a scan needs to know about a source, if its newest receipt is kept in memory.
    #[cfg(test)]
    pub(crate) fn known_unsaved(&self, source: &Path) -> Result<Option<KnownSource>> {
        self.read_unsaved(|db| newest(db, source))
    }
}

/// Returns what the newest receipt of a source says, if there is one.
fn newest(db: &Connection, source: &Path) -> rusqlite::Result<Option<KnownSource>> {
    let (_, name) = dirs::split(source);
    db.prepare_cached(&format!(
        "SELECT event, fingerprint FROM receipts WHERE {OF_SOURCE} AND event != '{REFUSED}'
         ORDER BY id DESC LIMIT 1"
    ))?
    .query_row(of_source(source), |row| {
        let key = PackedKey::text(row.get_ref(1)?, name)?;
        Ok(KnownSource::new(source.as_os_str().to_owned(), row.get(0)?, &key))
    })
    .optional()
}

#[cfg(test)]
mod tests {
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
        let known = ledger.known_sources(Path::new("/in"), names).unwrap();
        for (known, name) in known.iter().zip(names) {
            if let Some(known) = known {
                assert_eq!(known.source, Path::new("/in").join(name).as_os_str());
            }
        }
        let known = known.into_iter();
        known.map(|it| it.map(|it| (it.fingerprint.settings_hash, it.is_settled))).collect()
    }

    #[test]
    fn the_newest_receipt_of_each_name() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(dir.path()).unwrap();
        let ([a, b, c], odd) = (["a", "b", "below/c"].map(OsStr::new), OsStr::from_bytes(b"\xff"));
        assert_eq!(known(&ledger, &[a, b]), [None, None]);
        record(&ledger, ReceiptEvent::Rejected, a, 1);
        record(&ledger, ReceiptEvent::Finalized, c, 2);
        record(&ledger, ReceiptEvent::Failed, a, 3);
        record(&ledger, ReceiptEvent::Finalized, odd, 4);
        let expected = [None, Some((3, false)), Some((4, true)), Some((2, true)), None];
        assert_eq!(known(&ledger, &[b, a, odd, c, OsStr::new("c")]), expected);
        assert_eq!(known(&ledger, &[]), []);

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
        assert_eq!(known(&ledger, &[c]), [Some((2, true))]);

        // Those in memory count.
        lock(&ledger.connection).pragma_update(None, "query_only", true).unwrap();
        record(&ledger, ReceiptEvent::Remade, a, 5);
        assert_eq!(known(&ledger, &[a, b, c]), [Some((5, true)), None, Some((2, true))]);
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
