//! Paths in the ledger: TEXT if they are UTF-8, otherwise a BLOB of their bytes.
//!
//! SQLite never considers a TEXT equal to a BLOB and compares two values of one type byte by byte,
//! so that different paths stay different in every query. The columns have the affinity TEXT, which
//! leaves a BLOB as it is. Older versions stored every path as TEXT, a path that is not UTF-8 with
//! U+FFFD in place of bytes; npyd does not find such a row any more, as if it were lost.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rusqlite::ToSql;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};

/// A path as a parameter of a statement.
pub(crate) struct StoredPath<'a>(pub(crate) &'a Path);

impl ToSql for StoredPath<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let bytes = self.0.as_os_str().as_bytes();
        let is_text = self.0.to_str().is_some();
        let value = if is_text { ValueRef::Text(bytes) } else { ValueRef::Blob(bytes) };
        Ok(ToSqlOutput::Borrowed(value))
    }
}

/// A path from a row.
pub(crate) struct StoredPathBuf(pub(crate) PathBuf);

impl FromSql for StoredPathBuf {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value {
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
                Ok(StoredPathBuf(PathBuf::from(OsStr::from_bytes(bytes))))
            }
            _ => Err(FromSqlError::InvalidType),
        }
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;
    use crate::decide::fingerprint::Fingerprint;
    use crate::decide::reason::Reason;
    use crate::decide::request_kind::RequestKind;
    use crate::decide::request_target::RequestTarget;
    use crate::events::receipt::Receipt;
    use crate::events::receipt_event::ReceiptEvent;
    use crate::events::source_fate::SourceFate;
    use crate::ledger::Ledger;
    use crate::ledger::upgrade::OLD_TABLE;

    /// Directories that have one lossy path: the last one is that path.
    const DIRS: [&[u8]; 3] = [b"/in/\xff", b"/in/\xfe", "/in/\u{fffd}".as_bytes()];

    fn path(dir: &[u8], name: &str) -> PathBuf {
        Path::new(OsStr::from_bytes(dir)).join(name)
    }

    fn receipt(event: ReceiptEvent, dir: &[u8]) -> Receipt {
        let why = Reason::Gone;
        Receipt::without_output(event, path(dir, ""), path(dir, "a.raw"), &why)
    }

    fn key(settings_hash: u64) -> Fingerprint {
        Fingerprint { settings_hash, ..Fingerprint::default() }
    }

    fn settings_of(fingerprint: &str) -> u64 {
        Fingerprint::parse(fingerprint).unwrap().settings_hash
    }

    #[test]
    fn receipts_of_paths_that_differ_in_bytes_alone() {
        let ledger = Ledger::in_memory().unwrap();
        for (dir, settings_hash) in DIRS.into_iter().zip(1..) {
            let mut receipt = receipt(ReceiptEvent::Remade, dir);
            receipt.source_fate = Some(SourceFate::Kept);
            receipt.output = Some(path(dir, "a.npy"));
            ledger.record(&[(receipt, Some(key(settings_hash)))]).unwrap();
        }
        let mut seen = Vec::new();
        ledger.for_each(|entry| seen.push(entry)).unwrap();
        for ((dir, settings_hash), seen) in DIRS.into_iter().zip(1..).zip(seen) {
            let source = path(dir, "a.raw");
            assert_eq!(seen.source, source);
            assert_eq!(seen.output, Some(path(dir, "a.npy")));
            let latest = ledger.latest(&source).unwrap().unwrap();
            assert_eq!((&latest.source, &latest.drop_dir), (&source, &path(dir, "")));
            assert_eq!(settings_of(&latest.fingerprint), settings_hash);
            assert_eq!(ledger.earlier_arrays(&source, 0).unwrap().remakes, 1);
            let names = ["a.raw", "b.raw"].map(OsStr::new);
            let known = ledger.known_sources(&path(dir, ""), &names).unwrap();
            let [Some(known), None] = &known[..] else { panic!("{known:?}") };
            assert_eq!(known.fingerprint.settings_hash, settings_hash);
        }
    }

    #[test]
    fn rejections_of_paths_that_differ_in_bytes_alone() {
        let ledger = Ledger::in_memory().unwrap();
        ledger
            .record(&DIRS.map(|dir| (receipt(ReceiptEvent::Rejected, dir), Some(key(1)))))
            .unwrap();
        let entry = ledger.latest(&path(DIRS[1], "a.raw")).unwrap().unwrap();
        ledger.retry(&entry).unwrap();
        let sources: Vec<_> = ledger.rejected().unwrap().into_iter().map(|it| it.source).collect();
        assert_eq!(sources, [path(DIRS[0], "a.raw"), path(DIRS[2], "a.raw")]);
    }

    #[test]
    fn requests_for_paths_that_differ_in_bytes_alone() {
        let ledger = Ledger::in_memory().unwrap();
        for dir in DIRS {
            let (drop_dir, source) = (path(dir, ""), path(dir, "a.raw"));
            ledger
                .add_request(
                    RequestKind::Redo,
                    &drop_dir,
                    &source,
                    ("{}", &RequestTarget::default()),
                )
                .unwrap();
        }
        for (done, dir) in DIRS.into_iter().enumerate() {
            let requests = ledger.requests(&path(dir, "")).unwrap();
            assert_eq!(requests.len(), 1);
            assert_eq!(requests[0].source, path(dir, "a.raw"));
            ledger.accept_request(&requests[0], &path(dir, "a.raw"), Some("{}")).unwrap();
            for (at, dir) in DIRS.into_iter().enumerate() {
                let source = path(dir, "a.raw");
                assert_eq!(ledger.is_requested(&source).unwrap(), at <= done);
                assert_eq!(ledger.declared(&source).unwrap().is_some(), at <= done);
                assert_eq!(ledger.requests(&path(dir, "")).unwrap().is_empty(), at <= done);
            }
        }
        ledger.forget_declared(&path(DIRS[0], "a.raw")).unwrap();
        let declared = DIRS.map(|dir| ledger.declared(&path(dir, "a.raw")).unwrap().is_some());
        assert_eq!(declared, [false, true, true]);
    }

    /// An older npyd stored the directories `\xff` and `\xfe` under their common lossy path.
    #[test]
    fn a_ledger_with_lossy_paths() {
        let dir = tempfile::tempdir().unwrap();
        let lossy = String::from_utf8_lossy(DIRS[0]);
        let older = Connection::open(dir.path().join("ledger.sqlite")).unwrap();
        older.execute_batch(&format!("{OLD_TABLE}; PRAGMA user_version = 1;")).unwrap();
        older
            .execute(
                "INSERT INTO receipts (at, event, inbox, source, receipt, fingerprint)
                 VALUES ('', 'rejected', ?1, ?2, '{}', '')",
                [&*lossy, &format!("{lossy}/a.raw")],
            )
            .unwrap();
        drop(older);
        let ledger = Ledger::open(dir.path()).unwrap();
        let latest = DIRS.map(|dir| ledger.latest(&path(dir, "a.raw")).unwrap().is_some());
        assert_eq!(latest, [false, false, true]);
        assert_eq!(ledger.rejected().unwrap().len(), 1);
        ledger.record(&[(receipt(ReceiptEvent::Rejected, DIRS[0]), Some(key(1)))]).unwrap();
        assert_eq!(ledger.rejected().unwrap().len(), 2);
    }
}
