//! The rows of the ledger: one for each receipt and each note, with the triggers that keep what is
//! derived from them.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, params};

use crate::decide::fingerprint::Fingerprint;
use crate::events::receipt::Receipt;
use crate::events::receipt_event::ReceiptEvent;
use crate::events::source_fate::SourceFate;
use crate::ledger::packed_key::PackedKey;
use crate::ledger::row_kind::REFUSED;
use crate::ledger::stored_path::{StoredPath, StoredPathBuf};
use crate::ledger::stored_receipt::stored_json;
use crate::ledger::{Entry, RowKind, dirs, requests};

/// `at` is the time in milliseconds since 1970. `is_current` is 1 for the newest row of a file that
/// exists as far as npyd knows: such a row is never deleted. The table `totals` has the number of
/// rows, and of the current ones; `archives` has the directories that sources were archived in.
///
/// Each index ends with the id, so that the newest receipt of those that it selects is found at
/// once. `by_output` has a part of the name, because each byte of an index is stored for each
/// receipt. The conditions of the partial indexes are [`HAS_PARTS`], [`IS_DIR_FAULT`] and
/// [`IS_TROUBLE`].
pub(crate) const TABLE: &str = "
    CREATE TABLE IF NOT EXISTS receipts (
        id INTEGER PRIMARY KEY,
        at INTEGER NOT NULL,
        event TEXT NOT NULL,
        inbox INTEGER NOT NULL,
        source_dir INTEGER NOT NULL,
        source TEXT NOT NULL,
        output_dir INTEGER,
        output TEXT,
        receipt TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        is_current INTEGER NOT NULL
    );
    CREATE INDEX IF NOT EXISTS by_source ON receipts (source_dir, source);
    CREATE INDEX IF NOT EXISTS by_output ON receipts (output_dir, substr(output, -24, 20))
        WHERE output IS NOT NULL;
    CREATE INDEX IF NOT EXISTS by_drop_dir ON receipts (inbox);
    CREATE INDEX IF NOT EXISTS by_time ON receipts (is_current, at);
    CREATE INDEX IF NOT EXISTS by_parts ON receipts (source_dir)
        WHERE instr(receipt, '\"parts\":{') > 0;
    CREATE INDEX IF NOT EXISTS by_dir_fault ON receipts (inbox)
        WHERE event = 'failed' AND instr(receipt, '\"dir\":') > 0;
    CREATE INDEX IF NOT EXISTS by_trouble ON receipts (id)
        WHERE event NOT IN ('finalized', 'remade', 'found', 'unproven');
    CREATE TABLE IF NOT EXISTS totals (receipts INTEGER NOT NULL, current INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS archives (path TEXT PRIMARY KEY) WITHOUT ROWID;
    CREATE TRIGGER IF NOT EXISTS receipt_added AFTER INSERT ON receipts BEGIN
        UPDATE totals SET receipts = receipts + 1, current = current + NEW.is_current;
        UPDATE dirs SET uses = uses + 1 WHERE id IN (NEW.inbox, NEW.source_dir, NEW.output_dir);
        UPDATE receipts SET is_current = 0 WHERE is_current = 1 AND id = (
            SELECT id FROM receipts WHERE source_dir = NEW.source_dir AND source = NEW.source
            AND id < NEW.id AND event != 'refused' AND NEW.event != 'refused'
            ORDER BY id DESC LIMIT 1);
    END;
    CREATE TRIGGER IF NOT EXISTS receipt_changed AFTER UPDATE OF is_current ON receipts BEGIN
        UPDATE totals SET current = current + NEW.is_current - OLD.is_current;
    END;
    CREATE TRIGGER IF NOT EXISTS receipt_deleted AFTER DELETE ON receipts BEGIN
        UPDATE totals SET receipts = receipts - 1, current = current - OLD.is_current;
        UPDATE dirs SET uses = uses - 1 WHERE id IN (OLD.inbox, OLD.source_dir, OLD.output_dir);
        DELETE FROM dirs WHERE id IN (OLD.inbox, OLD.source_dir, OLD.output_dir) AND uses = 0;
    END;";

/// Begins to count the rows of a new database.
pub(crate) fn start_totals(db: &Connection) -> rusqlite::Result<()> {
    if !db.prepare("SELECT 1 FROM totals")?.exists([])? {
        // Another process may begin at the same time.
        db.execute_batch("INSERT INTO totals SELECT 0, 0 WHERE NOT EXISTS (SELECT 1 FROM totals)")?;
    }
    Ok(())
}

/// The columns of a row, from the table `receipts`, in the order in which [`Row::read`] reads them.
pub(crate) const COLUMNS: &str = "receipts.id, at, event,
    (SELECT path FROM dirs WHERE id = inbox), (SELECT path FROM dirs WHERE id = source_dir), source,
    (SELECT path FROM dirs WHERE id = output_dir), output, receipt, fingerprint, is_current";

/// The condition for the rows of a source, whose directory is `?1` and whose name is `?2`.
pub(crate) const OF_SOURCE: &str =
    "source_dir = (SELECT id FROM dirs WHERE path = ?1) AND source = ?2";

/// The condition for the rows with an array, whose directory is `?1` and whose name is `?2`.
pub(crate) const OF_OUTPUT: &str = "output_dir = (SELECT id FROM dirs WHERE path = ?1)
    AND substr(output, -24, 20) = substr(?2, -24, 20) AND output = ?2";

/// The condition for the rows of drops with several data files.
pub(crate) const HAS_PARTS: &str = "instr(receipt, '\"parts\":{') > 0";

/// The condition for failures that are the fault of a directory.
pub(crate) const IS_DIR_FAULT: &str = "event = 'failed' AND instr(receipt, '\"dir\":') > 0";

/// The condition for the rows that are about no array, which are few.
pub(crate) const IS_TROUBLE: &str = "event NOT IN ('finalized', 'remade', 'found', 'unproven')";

/// The parameters of [`OF_SOURCE`] and [`OF_OUTPUT`].
pub(crate) fn of_source(source: &Path) -> [StoredPath<'_>; 2] {
    let (dir, name) = dirs::split(source);
    [StoredPath(dir), StoredPath(name)]
}

/// A row with what the ledger stores, in a form that does not depend on other rows.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) at: i64,
    pub(crate) event: String,
    pub(crate) drop_dir: PathBuf,
    pub(crate) source: PathBuf,
    pub(crate) output: Option<PathBuf>,
    pub(crate) receipt: String,
    pub(crate) fingerprint: String,
    pub(crate) is_current: bool,
}

impl Row {
    /// Creates the row of a receipt that is stored as `kind`, and of the key of its source.
    fn new(kind: RowKind, receipt: &Receipt, fingerprint: Option<&Fingerprint>) -> Self {
        Row {
            at: now_millis(),
            event: kind.to_string(),
            drop_dir: receipt.drop.clone(),
            source: receipt.source.clone(),
            output: receipt.output.clone(),
            receipt: stored_json(receipt, kind),
            fingerprint: fingerprint.map(Fingerprint::to_string).unwrap_or_default(),
            is_current: may_be_current(
                kind,
                receipt.source_fate,
                receipt.output.as_ref() == Some(&receipt.source),
            ),
        }
    }

    /// Reads a row with [`COLUMNS`].
    pub(crate) fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        let path = |at| row.get::<_, Option<StoredPathBuf>>(at).map(|path| path.map(|it| it.0));
        let file = |dir, name| -> rusqlite::Result<Option<PathBuf>> {
            Ok(path(dir)?.zip(path(name)?).map(|(dir, name)| dirs::join(dir, &name)))
        };
        let name = path(5)?.unwrap_or_default();
        let fingerprint = PackedKey::text(row.get_ref(9)?, &name)
            .map_err(|_| rusqlite::Error::InvalidColumnType(9, "fingerprint".into(), Type::Blob))?;
        Ok(Row {
            at: row.get(1)?,
            event: row.get(2)?,
            drop_dir: path(3)?.unwrap_or_default(),
            source: file(4, 5)?.unwrap_or_default(),
            output: file(6, 7)?,
            receipt: row.get(8)?,
            fingerprint,
            is_current: row.get(10)?,
        })
    }

    /// Inserts the row as the newest one.
    pub(crate) fn insert(&self, db: &Connection) -> rusqlite::Result<usize> {
        if let Some(archive) = archive_of(&self.receipt) {
            db.prepare_cached("INSERT OR IGNORE INTO archives (path) VALUES (?1)")?
                .execute([archive])?;
        }
        let (dir, name) = dirs::split(&self.source);
        let output = self.output.as_deref().map(dirs::split);
        for dir in [self.drop_dir.as_path(), dir].into_iter().chain(output.map(|(dir, _)| dir)) {
            dirs::add(db, dir)?;
        }
        db.prepare_cached(
            "INSERT INTO receipts (at, event, inbox, source_dir, source, output_dir, output,
             receipt, fingerprint, is_current) VALUES (?1, ?2,
             (SELECT id FROM dirs WHERE path = ?3), (SELECT id FROM dirs WHERE path = ?4), ?5,
             (SELECT id FROM dirs WHERE path = ?6), ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            self.at,
            self.event,
            StoredPath(&self.drop_dir),
            StoredPath(dir),
            StoredPath(name),
            output.map(|(dir, _)| StoredPath(dir)),
            output.map(|(_, name)| StoredPath(name)),
            self.receipt,
            PackedKey::of(&self.fingerprint, name),
            self.is_current
        ])
    }
}

/// Returns the directory that a source was archived in, as its receipt says.
fn archive_of(receipt: &str) -> Option<String> {
    // Few receipts have one, and the others are not parsed.
    let value = || serde_json::from_str::<serde_json::Value>(receipt).unwrap_or_default();
    let archive = receipt.contains("\"archive\":").then(|| value()["archive"].take())?;
    archive.as_str().map(str::to_owned)
}

/// Returns whether a new row of this kind is that of a file that exists. A pending file may become
/// the array under its own name.
pub(crate) fn may_be_current(kind: RowKind, fate: Option<SourceFate>, has_same_name: bool) -> bool {
    kind != REFUSED && (has_same_name || !fate.is_some_and(SourceFate::ends_drop))
}

/// Inserts a receipt, with the key of its source.
pub(crate) fn insert(
    db: &Connection,
    receipt: &Receipt,
    fingerprint: Option<&Fingerprint>,
) -> rusqlite::Result<usize> {
    insert_as(db, RowKind::of(receipt), receipt, fingerprint)
}

/// Inserts a receipt that is stored as `kind`.
pub(crate) fn insert_as(
    db: &Connection,
    kind: RowKind,
    receipt: &Receipt,
    fingerprint: Option<&Fingerprint>,
) -> rusqlite::Result<usize> {
    if receipt.source_fate.is_some_and(SourceFate::ends_drop) {
        // The next file of that name is another drop.
        requests::forget(db, &receipt.source)?;
    }
    Row::new(kind, receipt, fingerprint).insert(db)
}

/// Inserts receipts in one transaction.
pub(crate) fn insert_all(
    db: &Connection,
    receipts: &[(Receipt, Option<Fingerprint>)],
) -> rusqlite::Result<()> {
    let transaction = db.unchecked_transaction()?;
    for (receipt, fingerprint) in receipts {
        insert(db, receipt, fingerprint.as_ref())?;
    }
    transaction.commit()
}

/// Inserts the note of an event without an array, such as a retry.
pub(crate) fn insert_note(
    db: &Connection,
    kind: RowKind,
    drop_dir: &Path,
    source: &Path,
    reason: Option<&str>,
) -> rusqlite::Result<usize> {
    // The kind of the row stands for the event.
    let note = Receipt::bare(ReceiptEvent::Waiting, drop_dir.into(), source.into());
    insert_as(db, kind, &Receipt { reason: reason.map(str::to_owned), ..note }, None)
}

/// Returns the newest entry of a source.
pub(crate) fn latest(db: &Connection, source: &Path) -> rusqlite::Result<Option<Entry>> {
    db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM receipts WHERE {OF_SOURCE} AND event != '{REFUSED}'
         ORDER BY receipts.id DESC LIMIT 1"
    ))?
    .query_row(of_source(source), Entry::from_row)
    .optional()
}

/// Returns the time of a new row, in milliseconds since 1970.
fn now_millis() -> i64 {
    millis(SystemTime::now())
}

/// Returns a time in milliseconds since 1970, as rows have it.
pub(crate) fn millis(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Returns the time of a row as text: RFC 3339, UTC.
pub(crate) fn time_text(millis: i64) -> String {
    let since = Duration::from_millis(u64::try_from(millis).unwrap_or_default());
    // The year 9999 is the last one that the format has.
    let max = Duration::from_secs(253_402_300_799);
    humantime::format_rfc3339_millis(SystemTime::UNIX_EPOCH + since.min(max)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::evidence::Evidence;
    use crate::decide::reason::Reason;
    use crate::decide::route::Route;
    use crate::decide::source_identity::SourceIdentity;
    use crate::ledger::Ledger;

    /// All indexes included.
    #[test]
    fn a_receipt_takes_400_bytes_at_most() {
        const COUNT: usize = 4000;
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(dir.path()).unwrap();
        let receipts: Vec<_> = (0..COUNT)
            .map(|at| {
                let path = |top: &str, end: &str| {
                    let name = format!("scan_{at:010}.{end}");
                    let below = "x".repeat(98 - top.len() - name.len());
                    PathBuf::from(format!("{top}/{below}/{name}"))
                };
                let source = path("/in", "raw");
                assert_eq!(source.as_os_str().len(), 100);
                let receipt = Receipt::without_output(
                    ReceiptEvent::Finalized,
                    "/in".into(),
                    source,
                    &Reason::Gone,
                );
                let receipt = Receipt {
                    output: Some(path("/out", "npy")),
                    route: Some(Route::Copy),
                    bytes: 123_456_789,
                    seconds: Duration::from_micros(123_456),
                    evidence: Some(Evidence::Size),
                    source_fate: Some(SourceFate::Kept),
                    reason: None,
                    reason_kind: None,
                    ..receipt
                };
                let file =
                    format!("{}:123456789:1764444444123456789:1764444444123999999", 7_340_039 + at);
                let identity = SourceIdentity {
                    data: file.clone(),
                    sidecar: Some((format!("scan_{at:010}.raw.toml"), file)),
                };
                (receipt, Some(Fingerprint { settings_hash: u64::MAX / 3, identity }))
            })
            .collect();
        ledger.record(&receipts).unwrap();
        let pages: usize = ledger
            .run(|db| db.query_row("PRAGMA page_count", [], |row| row.get::<_, i64>(0)))
            .unwrap()
            .try_into()
            .unwrap();
        assert!((200..=400).contains(&(pages * 4096 / COUNT)), "{}", pages * 4096 / COUNT);
    }
}
