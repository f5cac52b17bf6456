//! The ledger: all receipts, in an SQLite database in the state directory.
//!
//! It saves work, and answers `npyd history`, but it is not authoritative: the drop directories and
//! the outputs are. npyd replaces a corrupt ledger by an empty one, and goes on with its work while
//! the ledger can't be written to. Only data losses (`losses`) cannot be derived again.
//!
//! # Durability
//!
//! Each commit syncs the write-ahead log, so that a receipt is durable before it is reported. The
//! receipts of a batch of drops are one commit.

mod access;
mod earlier;
mod entry;
mod error;
mod known_drop;
mod known_source;
mod last_attempt;
mod layout;
mod lookup;
mod losses;
mod mend;
mod obstacle;
mod open_files;
mod outage;
mod reports;
mod requests;
mod row_copy;
mod row_kind;
mod schema;
mod stored_path;
mod user;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::SystemTime;

use rusqlite::{Connection, OptionalExtension, params};

use crate::decide::identity::Fingerprint;
use crate::events::receipt::Receipt;
use crate::events::source_fate::SourceFate;
use crate::events::stored::Stored;
use crate::facts::{self, Fact, LedgerEvent};

pub use crate::ledger::earlier::Earlier;
pub use crate::ledger::entry::Entry;
pub use crate::ledger::error::{LedgerError, LedgerErrorKind};
pub use crate::ledger::known_drop::KnownDrop;
pub use crate::ledger::known_source::KnownSource;
use crate::ledger::losses::DataLoss;
use crate::ledger::mend::newest;
pub use crate::ledger::obstacle::{other_owner, own_name};
use crate::ledger::open_files::OpenFiles;
use crate::ledger::outage::Outage;
pub use crate::ledger::reports::LastReport;
pub use crate::ledger::requests::Request;
pub use crate::ledger::row_kind::RowKind;
use crate::ledger::row_kind::{LOST, REFUSED};
pub use crate::ledger::schema::is_in_use;
use crate::ledger::schema::{back_up_corrupt, in_memory, make_dir, open_to_read, prepare};
use crate::ledger::stored_path::StoredPath;
pub use crate::ledger::user::User;

/// Maximum number of receipts; older ones are deleted.
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

/// The open ledger, shared by all threads.
pub struct Ledger {
    /// Path of the database.
    path: PathBuf,
    connection: Mutex<Connection>,
    /// The files that the connection has open.
    files: Mutex<OpenFiles>,
    /// Data losses that could not be written yet.
    pending_losses: Mutex<Vec<DataLoss>>,
    /// Receipts that could not be written yet, in a database in memory.
    unsaved: Mutex<Option<Connection>>,
    /// The state of an outage, if there is one.
    outage: Mutex<Option<Outage>>,
    /// Whether the open files are not reachable at the path. Receipts still go there, and are
    /// copied later.
    is_detached: AtomicBool,
    /// The newest receipt when the open files were last those at the path.
    newest_checked: AtomicI64,
}

fn insert(
    db: &Connection,
    receipt: &Receipt,
    fingerprint: Option<&Fingerprint>,
) -> rusqlite::Result<usize> {
    if receipt.source_fate.is_some_and(SourceFate::ends_drop) {
        // The next file of that name is another drop.
        requests::forget(db, &receipt.source)?;
    }
    let mut statement = db.prepare_cached(&format!(
        "INSERT INTO receipts ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"
    ))?;
    statement.execute(params![
        now(),
        RowKind::of(receipt),
        StoredPath(&receipt.drop),
        StoredPath(&receipt.source),
        receipt.output.as_deref().map(StoredPath),
        receipt.to_json(),
        fingerprint.map(Fingerprint::to_string).unwrap_or_default()
    ])
}

/// Inserts receipts in one transaction, and deletes all but the newest `rows_max`.
fn insert_all(
    db: &Connection,
    receipts: &[(Receipt, Option<Fingerprint>)],
    rows_max: i64,
) -> rusqlite::Result<()> {
    let transaction = db.unchecked_transaction()?;
    for (receipt, fingerprint) in receipts {
        insert(db, receipt, fingerprint.as_ref())?;
    }
    db.prepare_cached("DELETE FROM receipts WHERE id <= ?1")?
        .execute([db.last_insert_rowid() - rows_max])?;
    transaction.commit()
}

/// Returns the newest receipt with this path in a column.
fn latest_in(db: &Connection, column: &str, path: &Path) -> rusqlite::Result<Option<Entry>> {
    db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM receipts WHERE {column} = ?1 AND event != '{REFUSED}'
         ORDER BY id DESC LIMIT 1"
    ))?
    .query_row([StoredPath(path)], Entry::from_row)
    .optional()
}

/// Inserts the receipt of an event without an array, such as a retry.
fn insert_note(
    db: &Connection,
    kind: RowKind,
    drop_dir: &Path,
    source: &Path,
    reason: Option<&str>,
) -> rusqlite::Result<usize> {
    let receipt = serde_json::json!({
        "event": kind.as_str(), "drop": drop_dir.to_string_lossy(), "source": source.to_string_lossy(),
        "output": null, "route": null, "bytes": 0, "seconds": 0.0, "evidence": null,
        "reason": reason
    });
    db.prepare_cached(&format!(
        "INSERT INTO receipts ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, NULL, ?5, '')"
    ))?
    .execute(params![
        now(),
        kind,
        StoredPath(drop_dir),
        StoredPath(source),
        receipt.to_string()
    ])
}

/// Returns the time of a new row.
fn now() -> String {
    humantime::format_rfc3339_millis(SystemTime::now()).to_string()
}

/// The path of a ledger that has no file.
const IN_MEMORY: &str = ":memory:";

const COLUMNS: &str = "at, event, inbox, source, output, receipt, fingerprint";

type Result<T> = std::result::Result<T, LedgerError>;

impl Ledger {
    /// Opens the ledger in the state directory, and creates both if missing. Renames a database
    /// that SQLite can't read and creates a new one. Leaves one of an unknown layout as it is, and
    /// returns an error.
    pub fn open(state_dir: &Path) -> Result<Self> {
        let path = state_dir.join("ledger.sqlite");
        let failed = |cause: LedgerErrorKind| LedgerError::new(&path, cause);
        make_dir(state_dir).map_err(|cause| failed(cause.into()))?;
        match prepare(&path) {
            Ok(connection) => Ok(Self::with(path, connection)),
            Err(cause) if cause.is_broken() => {
                let aside = path.with_extension("sqlite.broken");
                back_up_corrupt(&path, &aside).map_err(|cause| failed(cause.into()))?;
                let ledger = Self::with(path.clone(), prepare(&path).map_err(failed)?);
                ledger.note(LedgerEvent::Emptied { error: cause.to_string(), aside });
                Ok(ledger)
            }
            Err(cause) => Err(failed(cause)),
        }
    }

    /// Opens the ledger read-only. Returns `Ok(None)` if there is none yet.
    pub fn open_to_read(state_dir: &Path) -> Result<Option<Self>> {
        let path = state_dir.join("ledger.sqlite");
        match open_to_read(&path) {
            Ok(connection) => Ok(connection.map(|connection| Self::with(path, connection))),
            Err(cause) => Err(LedgerError::new(&path, cause)),
        }
    }

    /// Opens an empty ledger in memory.
    fn in_memory() -> Result<Self> {
        let path = PathBuf::from(IN_MEMORY);
        match in_memory() {
            Ok(connection) => Ok(Self::with(path, connection)),
            Err(cause) => Err(LedgerError::new(&path, cause)),
        }
    }

    fn with(path: PathBuf, connection: Connection) -> Self {
        Ledger {
            newest_checked: AtomicI64::new(newest(&connection)),
            connection: Mutex::new(connection),
            files: Mutex::new(OpenFiles::of(&path)),
            pending_losses: Mutex::default(),
            unsaved: Mutex::default(),
            outage: Mutex::default(),
            is_detached: AtomicBool::new(false),
            path,
        }
    }

    fn note(&self, event: LedgerEvent) {
        facts::note(Fact::Ledger { path: self.path.clone(), event });
    }

    fn note_failure(&self, error: &LedgerError) {
        self.note(LedgerEvent::Failed { error: error.to_string() });
    }

    /// Stores receipts, each with the key of its source, and deletes all but the newest million. If
    /// that fails, keeps the receipts in memory, and stores them once that is possible.
    ///
    /// # Durability
    ///
    /// The receipts are durable if the result is [`Stored::Durable`].
    ///
    /// # Errors
    ///
    /// Returns an error for the first failure alone, until the ledger can be written to again;
    /// [`LedgerError::stored`] says whether the receipts are kept.
    pub fn record(&self, receipts: &[(Receipt, Option<Fingerprint>)]) -> Result<Stored> {
        let is_known = self.is_out();
        let Err(error) = self.store(receipts) else { return Ok(self.stored_now()) };
        self.keep_unsaved(receipts)?;
        if is_known { Ok(Stored::NotYet) } else { Err(error.kept_in_memory()) }
    }

    /// Returns what became of receipts that the open database has.
    fn stored_now(&self) -> Stored {
        if self.may_lack_receipts() { Stored::NotYet } else { Stored::Durable }
    }

    fn store(&self, receipts: &[(Receipt, Option<Fingerprint>)]) -> Result<()> {
        if self.is_out() {
            self.try_to_end_outage()?;
        }
        self.write_losses(&mut lock(&self.pending_losses))?;
        self.run(|db| insert_all(db, receipts, ROWS_MAX))
    }

    /// Returns the newest receipt of a source.
    pub fn latest(&self, source: &Path) -> Result<Option<Entry>> {
        match self.read_unsaved(|db| latest_in(db, "source", source))? {
            Some(entry) => Ok(Some(entry)),
            None => self.run(|db| latest_in(db, "source", source)),
        }
    }

    /// Calls `see` with each receipt, oldest first.
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

    /// Returns the sources whose newest receipt is a rejection.
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

    /// Makes npyd treat a rejected source as new.
    pub fn retry(&self, entry: &Entry) -> Result<()> {
        self.run(|db| insert_note(db, RowKind::Retried, &entry.drop_dir, &entry.source, None))
            .map(drop)
    }

    /// Returns SQLite's `data_version`, which changes when another process writes. Returns `None`
    /// if a thread holds the lock, so that the caller never blocks.
    pub fn data_version(&self) -> Result<Option<i64>> {
        let connection = match self.connection.try_lock() {
            Ok(connection) => connection,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(None),
        };
        let version = connection.query_row("PRAGMA data_version", [], |row| row.get(0));
        version.map(Some).map_err(|cause| self.failure(cause))
    }

    fn run<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        work(&lock(&self.connection)).map_err(|cause| self.failure(cause))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::reason::Reason;
    use crate::events::receipt_event::ReceiptEvent;

    fn receipt(event: ReceiptEvent, source: &str) -> Receipt {
        Receipt::without_output(event, "/in".into(), source.into(), &Reason::Gone)
    }

    #[test]
    fn the_newest_receipt_of_a_source_counts() {
        let ledger = Ledger::in_memory().unwrap();
        let seen = |settings_hash| Some(Fingerprint { settings_hash, ..Fingerprint::default() });
        let (a, b) =
            (receipt(ReceiptEvent::Rejected, "/in/a"), receipt(ReceiptEvent::Rejected, "/in/b"));
        ledger.record(&[(a.clone(), seen(1)), (b, seen(2)), (a, seen(3))]).unwrap();
        let entry = ledger.latest(Path::new("/in/a")).unwrap().unwrap();
        assert_eq!(Fingerprint::parse(&entry.fingerprint), seen(3));
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
            ledger.record(&[(receipt(ReceiptEvent::Rejected, source), None)]).unwrap();
        };
        record("/in/a");
        record("/in/b");
        let sql = format!("UPDATE receipts SET id = {ROWS_MAX} WHERE source = '/in/b'");
        lock(&ledger.connection).execute_batch(&sql).unwrap();
        record("/in/c");
        let known = ["/in/a", "/in/b", "/in/c"].map(|it| ledger.latest(Path::new(it)).unwrap());
        assert_eq!(known.map(|it| it.is_some()), [false, true, true]);
    }

    /// The thread that feeds the watchdog and handles signals calls it.
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
        ledger.record(&[(receipt(ReceiptEvent::Failed, "/in/a"), None)]).unwrap();
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
