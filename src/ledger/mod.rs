//! The ledger: every receipt, in an `SQLite` database in the state directory.
//!
//! It spares work, and answers `npyd history`; it is not the truth. The drop directories and the
//! outputs are. So it is written without waiting for the disk, and a lost or broken one is begun
//! anew. But for what nobody else remembers: whose content may be lost.

mod earlier;
mod losses;
mod requests;
mod schema;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::SystemTime;

use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, params};

use crate::decide::identity::LedgerKey;
use crate::events::receipt::{Event, Receipt, SourceFate};

pub use crate::ledger::earlier::Earlier;
use crate::ledger::losses::DataLoss;
use crate::ledger::requests::REFUSED;
pub use crate::ledger::requests::Request;
pub use crate::ledger::schema::is_in_use;
use crate::ledger::schema::{back_up_corrupt, is_broken, make_dir, open_to_read, prepare};

/// The newest receipts that are kept.
const ROWS_MAX: i64 = 1_000_000;

const TABLE: &str = "
    CREATE TABLE IF NOT EXISTS receipts (
        id INTEGER PRIMARY KEY,
        at TEXT NOT NULL,
        event TEXT NOT NULL,
        inbox TEXT NOT NULL,
        source TEXT NOT NULL,
        output TEXT,
        receipt TEXT NOT NULL,
        fingerprint TEXT NOT NULL
    );
    CREATE INDEX IF NOT EXISTS by_source ON receipts (source, id);
    CREATE INDEX IF NOT EXISTS by_event ON receipts (event, id);";

/// The open ledger. Threads share it.
pub struct Ledger {
    connection: Mutex<Connection>,
    /// What could not be written down yet.
    pending_losses: Mutex<Vec<DataLoss>>,
}

/// A receipt as the ledger holds it.
#[derive(Debug, Clone)]
pub struct Entry {
    /// When it was written, in RFC 3339, UTC.
    pub at: String,
    /// What happened.
    pub event: String,
    /// The drop directory.
    pub drop_dir: PathBuf,
    /// The data file.
    pub source: PathBuf,
    /// The `.npy` file.
    pub output: Option<PathBuf>,
    /// The receipt as JSON.
    pub receipt: String,
    /// What the source looked like then.
    pub fingerprint: String,
}

impl Entry {
    /// Whether a source that still looks like this needs no further work.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        is_settled(&self.event)
    }

    /// Whether it was rejected, for good or not.
    #[must_use]
    pub fn is_rejected(&self) -> bool {
        is_rejected(&self.event)
    }

    /// Whether its array was made, and the source stays for want of a proof.
    #[must_use]
    pub fn is_unproven(&self) -> bool {
        self.event == UNPROVEN
    }

    /// What happened, as the receipt says it.
    #[must_use]
    pub fn receipt_event(&self) -> String {
        match self.event.as_str() {
            LOST => Event::Lost.as_str().to_owned(),
            REFUSED => Event::Failed.as_str().to_owned(),
            UNPROVEN => self.receipt_value()["event"].as_str().unwrap_or_default().to_owned(),
            event => event.to_owned(),
        }
    }

    /// Whether it was rejected for good.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.event == LOST
    }

    /// Why it ended so; empty where that needed no words.
    #[must_use]
    pub fn reason(&self) -> String {
        self.receipt_value()["reason"].as_str().unwrap_or_default().to_owned()
    }

    /// What became of the source, where the receipt says it.
    #[must_use]
    pub fn source_fate(&self) -> Option<SourceFate> {
        self.receipt_value()["source_fate"].as_str().and_then(SourceFate::from_name)
    }

    fn receipt_value(&self) -> serde_json::Value {
        serde_json::from_str(&self.receipt).unwrap_or_default()
    }

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Entry {
            at: row.get(0)?,
            event: row.get(1)?,
            drop_dir: PathBuf::from(row.get::<_, String>(2)?),
            source: PathBuf::from(row.get::<_, String>(3)?),
            output: row.get::<_, Option<String>>(4)?.map(PathBuf::from),
            receipt: row.get(5)?,
            fingerprint: row.get(6)?,
        })
    }

    /// The receipt as one line of JSON, with its time.
    #[must_use]
    pub fn to_json(&self) -> String {
        match serde_json::from_str::<serde_json::Value>(&self.receipt) {
            Ok(serde_json::Value::Object(mut receipt)) => {
                receipt.insert("at".into(), self.at.clone().into());
                serde_json::Value::Object(receipt).to_string()
            }
            _ => self.receipt.clone(),
        }
    }
}

/// A source as a scan needs to know it.
#[derive(Debug, Clone)]
pub struct KnownSource {
    /// The data file's path.
    pub source: String,
    /// Whether one that still looks like this needs no further work.
    pub is_settled: bool,
    /// Whether it was rejected, and new settings may judge it otherwise.
    pub is_rejected: bool,
    /// Whether it is still to be removed or archived, once nobody is proved to write to it.
    pub is_unproven: bool,
    /// What it looked like then.
    pub fingerprint: LedgerKey,
}

/// What a receipt of such an event is filed under, which says `rejected` itself.
const LOST: &str = "lost";

/// The event under which the ledger stores an array whose source stays for want of a proof; the
/// receipt itself says `finalized` or `found`. Each scan tries to remove such a source again.
const UNPROVEN: &str = "unproven";

fn storage_key(receipt: &Receipt) -> &'static str {
    match (receipt.event, receipt.source_fate) {
        (Event::Lost, _) => LOST,
        (_, Some(SourceFate::Unproven)) => UNPROVEN,
        (event, _) => event.as_str(),
    }
}

fn is_settled(event: &str) -> bool {
    is_rejected(event)
        || event == UNPROVEN
        || [Event::Finalized, Event::Remade, Event::Found].iter().any(|it| it.as_str() == event)
}

fn is_rejected(event: &str) -> bool {
    [Event::Rejected.as_str(), LOST].contains(&event)
}

fn insert(
    db: &Connection,
    receipt: &Receipt,
    fingerprint: Option<&LedgerKey>,
) -> rusqlite::Result<usize> {
    if receipt.source_fate.is_some_and(SourceFate::ends_drop) {
        // The next file of that name is another drop.
        requests::forget(db, &receipt.source)?;
    }
    let mut statement = db.prepare_cached(&format!(
        "INSERT INTO receipts ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"
    ))?;
    statement.execute(params![
        humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
        storage_key(receipt),
        receipt.drop.to_string_lossy(),
        receipt.source.to_string_lossy(),
        receipt.output.as_ref().map(|path| path.to_string_lossy()),
        receipt.to_json(),
        fingerprint.map(LedgerKey::to_string).unwrap_or_default()
    ])
}

/// How many sources a scan reads from the ledger at once.
const PAGE: i64 = 4096;

const COLUMNS: &str = "at, event, inbox, source, output, receipt, fingerprint";

/// Why the ledger could not be used.
#[derive(Debug)]
pub struct LedgerError {
    path: PathBuf,
    cause: rusqlite::Error,
}

impl fmt::Display for LedgerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failed to use the ledger `{}`: {}", self.path.display(), self.cause)?;
        match self.cause.sqlite_error_code() {
            Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly) => f.write_str(
                "; name a directory that this user may write to as state_dir, or be the user that \
                 npyd runs as",
            ),
            Some(ErrorCode::DiskFull) => f.write_str("; make room for it"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for LedgerError {}

type Result<T> = std::result::Result<T, LedgerError>;

impl Ledger {
    /// Opens the ledger in the state directory, which is made where it is missing. One that
    /// `SQLite` can't read is set aside, and a new one begun.
    pub fn open(state_dir: &Path) -> Result<Self> {
        let path = state_dir.join("ledger.sqlite");
        let failed = |cause| LedgerError { path: path.clone(), cause };
        make_dir(state_dir).map_err(failed)?;
        match prepare(&path) {
            Ok(connection) => Ok(Self::with(connection)),
            Err(cause) if is_broken(&cause) => {
                let aside = path.with_extension("sqlite.broken");
                tracing::warn!(
                    "the ledger `{}` can't be read ({cause}): it is set aside as `{}`, and a new one begun",
                    path.display(),
                    aside.display()
                );
                back_up_corrupt(&path, &aside).map_err(failed)?;
                prepare(&path).map(Self::with).map_err(failed)
            }
            Err(cause) => Err(failed(cause)),
        }
    }

    /// Opens the ledger only to read; `Ok(None)` where there is none yet.
    pub fn open_to_read(state_dir: &Path) -> Result<Option<Self>> {
        let path = state_dir.join("ledger.sqlite");
        let opened = open_to_read(&path).map(|ledger| ledger.map(Self::with));
        opened.map_err(|cause| LedgerError { path, cause })
    }

    /// A ledger in memory.
    #[cfg(test)]
    fn in_memory() -> Result<Self> {
        let failed = |cause| LedgerError { path: PathBuf::from(":memory:"), cause };
        let connection = Connection::open_in_memory().map_err(failed)?;
        connection.execute_batch(TABLE).map_err(failed)?;
        connection.execute_batch(losses::TABLE).map_err(failed)?;
        connection.execute_batch(requests::TABLE).map_err(failed)?;
        Ok(Self::with(connection))
    }

    fn with(connection: Connection) -> Self {
        Ledger { connection: Mutex::new(connection), pending_losses: Mutex::default() }
    }

    /// Writes receipts down, each with what its source looked like; those older than the newest
    /// million go.
    pub fn record(&self, receipts: &[(Receipt, Option<LedgerKey>)]) -> Result<()> {
        self.write_losses(&mut lock(&self.pending_losses))?;
        self.run(|db| {
            let together = db.unchecked_transaction()?;
            for (receipt, fingerprint) in receipts {
                insert(db, receipt, fingerprint.as_ref())?;
            }
            db.prepare_cached("DELETE FROM receipts WHERE id <= ?1")?
                .execute([db.last_insert_rowid() - ROWS_MAX])?;
            together.commit()
        })
    }

    /// The newest receipt of a source.
    pub fn latest(&self, source: &Path) -> Result<Option<Entry>> {
        self.run(|db| {
            db.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM receipts WHERE source = ?1 AND event != '{REFUSED}'
                 ORDER BY id DESC LIMIT 1"
            ))?
            .query_row([source.to_string_lossy()], Entry::from_row)
            .optional()
        })
    }

    /// The settled sources whose paths begin with `prefix`, a directory and a slash, and come after
    /// `after`: so many as are read at once, in the order of their paths.
    pub fn settled_below(&self, prefix: &str, after: &str) -> Result<Vec<KnownSource>> {
        // What begins with the directory and a slash comes before the same with the next character.
        let end = format!("{}0", prefix.trim_end_matches('/'));
        self.run(|db| {
            let mut page = Vec::new();
            let mut statement = db.prepare_cached(
                // The other columns are those of the row that has the maximum (`SQLite`'s rule).
                "SELECT source, event, fingerprint, max(id) FROM receipts
                 WHERE source > ?1 AND source < ?2 AND event != 'refused' GROUP BY source ORDER BY source LIMIT ?3",
            )?;
            let mut rows = statement.query(params![after, end, PAGE])?;
            while let Some(row) = rows.next()? {
                let event: String = row.get(1)?;
                page.push(KnownSource {
                    source: row.get(0)?,
                    is_settled: is_settled(&event),
                    is_rejected: is_rejected(&event),
                    is_unproven: event == UNPROVEN,
                    fingerprint: LedgerKey::parse(&row.get::<_, String>(2)?).unwrap_or_default(),
                });
            }
            Ok(page)
        })
    }

    /// Every receipt, the oldest first.
    pub fn for_each(&self, mut see: impl FnMut(Entry)) -> Result<()> {
        self.run(|db| {
            let mut statement =
                db.prepare(&format!("SELECT {COLUMNS} FROM receipts ORDER BY id"))?;
            for entry in statement.query_map([], Entry::from_row)? {
                see(entry?);
            }
            Ok(())
        })
    }

    /// The sources whose newest receipt is a rejection.
    pub fn rejected(&self) -> Result<Vec<Entry>> {
        self.run(|db| {
            db.prepare(&format!(
                "SELECT {COLUMNS} FROM receipts AS r WHERE event IN ('rejected', '{LOST}') AND id =
                 (SELECT max(id) FROM receipts WHERE source = r.source AND event != '{REFUSED}')
                 ORDER BY id"
            ))?
            .query_map([], Entry::from_row)?
            .collect()
        })
    }

    /// Makes a rejected source count as never seen.
    pub fn retry(&self, entry: &Entry) -> Result<()> {
        self.run(|db| {
            db.execute(
                "INSERT INTO receipts (at, event, inbox, source, output, receipt, fingerprint)
                 VALUES (?1, 'retried', ?2, ?3, NULL, ?4, '')",
                params![
                    humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
                    entry.drop_dir.to_string_lossy(),
                    entry.source.to_string_lossy(),
                    serde_json::json!({
                        "event": "retried", "drop": entry.drop_dir, "source": entry.source,
                        "output": null, "route": null, "bytes": 0, "seconds": 0.0,
                        "evidence": null, "reason": null
                    })
                    .to_string()
                ],
            )
        })
        .map(drop)
    }

    /// A number that changes when another process has written to the ledger; `None` while a thread
    /// uses it, which may have to wait for another process: who asks has better to do than that.
    pub fn data_version(&self) -> Result<Option<i64>> {
        let connection = match self.connection.try_lock() {
            Ok(connection) => connection,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(None),
        };
        let version = connection.query_row("PRAGMA data_version", [], |row| row.get(0));
        version.map(Some).map_err(|cause| failed_with(&connection, cause))
    }

    fn run<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        let connection = lock(&self.connection);
        work(&connection).map_err(|cause| failed_with(&connection, cause))
    }
}

fn failed_with(connection: &Connection, cause: rusqlite::Error) -> LedgerError {
    LedgerError { path: connection.path().map(PathBuf::from).unwrap_or_default(), cause }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt(event: Event, source: &str) -> Receipt {
        Receipt::without_output(event, "/in".into(), source.into(), "why".into())
    }

    #[test]
    fn the_newest_receipt_of_a_source_counts() {
        let ledger = Ledger::in_memory().unwrap();
        let seen = |settings| Some(LedgerKey { settings, ..LedgerKey::default() });
        let (a, b) = (receipt(Event::Rejected, "/in/a"), receipt(Event::Rejected, "/in/b"));
        ledger.record(&[(a.clone(), seen(1)), (b, seen(2)), (a, seen(3))]).unwrap();
        let entry = ledger.latest(Path::new("/in/a")).unwrap().unwrap();
        assert_eq!(LedgerKey::parse(&entry.fingerprint), seen(3));
        assert!(entry.is_settled());
        ledger.retry(&entry).unwrap();
        assert!(!ledger.latest(Path::new("/in/a")).unwrap().unwrap().is_settled());
        let rejected = ledger.rejected().unwrap();
        assert_eq!(
            rejected.iter().map(|e| e.source.as_path()).collect::<Vec<_>>(),
            [Path::new("/in/b")]
        );
    }

    #[test]
    fn the_oldest_receipts_go() {
        let ledger = Ledger::in_memory().unwrap();
        let record = |source| {
            ledger.record(&[(receipt(Event::Rejected, source), None)]).unwrap();
        };
        record("/in/a");
        record("/in/b");
        let sql = format!("UPDATE receipts SET id = {ROWS_MAX} WHERE source = '/in/b'");
        lock(&ledger.connection).execute_batch(&sql).unwrap();
        record("/in/c");
        let known = ["/in/a", "/in/b", "/in/c"].map(|it| ledger.latest(Path::new(it)).unwrap());
        assert_eq!(known.map(|it| it.is_some()), [false, true, true]);
    }

    /// The thread that feeds the watchdog and hears of signals asks.
    #[test]
    fn nobody_waits_to_hear_of_changes() {
        let ledger = Ledger::in_memory().unwrap();
        assert!(ledger.data_version().unwrap().is_some());
        let in_use = lock(&ledger.connection);
        assert_eq!(ledger.data_version().unwrap(), None);
        drop(in_use);
    }

    #[test]
    fn a_broken_ledger_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ledger.sqlite"), "not a database".repeat(1000)).unwrap();
        let ledger = Ledger::open(dir.path()).unwrap();
        ledger.record(&[(receipt(Event::Failed, "/in/a"), None)]).unwrap();
        assert!(dir.path().join("ledger.sqlite.broken").exists());
        drop(ledger);
        assert!(
            Ledger::open_to_read(dir.path())
                .unwrap()
                .unwrap()
                .latest(Path::new("/in/a"))
                .unwrap()
                .is_some()
        );
    }
}
