//! Reports about a drop directory: what the log last said about the files in it that npyd leaves
//! alone. One row for each directory and kind, so that a restart does not repeat a report.

use std::path::Path;
use std::time::SystemTime;

use rusqlite::{OptionalExtension, params};

use crate::ledger::dirs::IDS_IN_RANGE;
use crate::ledger::stored_path::StoredPath;
use crate::ledger::{Ledger, Result, dirs};

pub(crate) const TABLE: &str = "
    CREATE TABLE IF NOT EXISTS reports (
        inbox TEXT NOT NULL,
        kind TEXT NOT NULL,
        at TEXT NOT NULL,
        count INTEGER NOT NULL,
        PRIMARY KEY (inbox, kind)
    ) WITHOUT ROWID;";

/// The last report of one kind about a drop directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastReport {
    /// When it was logged.
    pub at: SystemTime,
    /// The number of files in it, or the number that is left since.
    pub count: u32,
}

impl Ledger {
    /// Returns the last report of a kind about a drop directory.
    pub fn last_report(&self, drop_dir: &Path, kind: &str) -> Result<Option<LastReport>> {
        let row = self.run(|db| {
            db.prepare_cached("SELECT at, count FROM reports WHERE inbox = ?1 AND kind = ?2")?
                .query_row(params![StoredPath(drop_dir), kind], |row| {
                    Ok((row.get::<_, String>(0)?, row.get(1)?))
                })
                .optional()
        })?;
        Ok(row.and_then(|(at, count)| {
            humantime::parse_rfc3339(&at).ok().map(|at| LastReport { at, count })
        }))
    }

    /// Replaces the last report of a kind about a drop directory.
    pub fn set_last_report(&self, drop_dir: &Path, kind: &str, report: LastReport) -> Result<()> {
        self.run(|db| {
            db.prepare_cached(
                "INSERT OR REPLACE INTO reports (inbox, kind, at, count) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![
                StoredPath(drop_dir),
                kind,
                humantime::format_rfc3339_nanos(report.at).to_string(),
                report.count
            ])
        })
        .map(drop)
    }

    /// Returns whether there is a receipt about a source below a directory.
    pub fn has_sources_below(&self, dir: &Path) -> Result<bool> {
        let range = dirs::range_below(dir);
        self.run(|db| {
            db.prepare_cached(&format!(
                "SELECT 1 FROM receipts WHERE source_dir IN ({IDS_IN_RANGE}) LIMIT 1"
            ))?
            .exists(range.each_ref().map(|path| StoredPath(path)))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::time::Duration;

    use super::*;
    use crate::decide::reason::Reason;
    use crate::events::receipt::Receipt;
    use crate::events::receipt_event::ReceiptEvent;

    #[test]
    fn sources_below_a_directory() {
        let ledger = Ledger::in_memory().unwrap();
        let path = |bytes: &'static [u8]| Path::new(OsStr::from_bytes(bytes));
        let why = Reason::Gone;
        let source = path(b"/in/sub/\xff/a.raw").to_path_buf();
        let receipt = Receipt::without_output(ReceiptEvent::Rejected, "/in".into(), source, &why);
        ledger.record(&[(receipt, None)]).unwrap();
        let has_some = |dir| ledger.has_sources_below(path(dir)).unwrap();
        let dirs: [&[u8]; 6] =
            [b"/in", b"/in/sub", b"/in/sub/\xff", b"/in/sub/\xfe", b"/in/su", b"/in/sub0"];
        assert_eq!(dirs.map(has_some), [true, true, true, false, false, false]);
    }

    #[test]
    fn one_row_for_each_directory_and_kind() {
        let ledger = Ledger::in_memory().unwrap();
        let (a, b) = (Path::new("/a"), Path::new("/b"));
        let report = |seconds, count| LastReport {
            at: SystemTime::UNIX_EPOCH + Duration::new(seconds, 5),
            count,
        };
        assert_eq!(ledger.last_report(a, "x").unwrap(), None);
        ledger.set_last_report(a, "x", report(1, 3)).unwrap();
        ledger.set_last_report(a, "y", report(2, 4)).unwrap();
        ledger.set_last_report(b, "x", report(3, 5)).unwrap();
        ledger.set_last_report(a, "x", report(4, 6)).unwrap();
        assert_eq!(ledger.last_report(a, "x").unwrap(), Some(report(4, 6)));
        assert_eq!(ledger.last_report(a, "y").unwrap(), Some(report(2, 4)));
        assert_eq!(ledger.last_report(b, "x").unwrap(), Some(report(3, 5)));
        assert_eq!(ledger.last_report(b, "y").unwrap(), None);
    }
}
