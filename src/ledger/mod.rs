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
mod changes;
mod dirs;
mod disposals;
mod earlier;
mod entry;
mod error;
mod history;
mod judged;
mod known_drop;
mod known_source;
mod last_attempt;
mod layout;
mod lookup;
mod losses;
mod mend;
mod named;
mod obstacle;
mod open_files;
mod outage;
mod packed_key;
#[cfg(test)]
mod plans;
mod reports;
mod requests;
mod retention;
mod row;
mod row_copy;
mod row_kind;
mod schema;
mod search;
mod stored_path;
mod stored_receipt;
mod upgrade;
mod user;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

use crate::decide::fingerprint::Fingerprint;
use crate::events::receipt::Receipt;
use crate::events::stored::Stored;
use crate::facts::{self, Fact, LedgerEvent};

pub use crate::ledger::changes::SeenChanges;
pub use crate::ledger::earlier::Earlier;
pub use crate::ledger::entry::Entry;
pub use crate::ledger::error::{LedgerError, LedgerErrorKind};
pub use crate::ledger::history::HistoryFilter;
pub use crate::ledger::known_drop::KnownDrop;
pub use crate::ledger::known_source::KnownSource;
use crate::ledger::losses::LossRow;
use crate::ledger::mend::newest;
pub use crate::ledger::obstacle::{other_owner, own_name};
use crate::ledger::open_files::OpenFiles;
use crate::ledger::outage::Outage;
pub use crate::ledger::reports::LastReport;
pub use crate::ledger::requests::Request;
pub use crate::ledger::retention::{NewestReceipt, Retention, SourceCursor};
use crate::ledger::row::{insert_all, latest};
pub use crate::ledger::row_kind::RowKind;
pub use crate::ledger::schema::is_in_use;
use crate::ledger::schema::{back_up_corrupt, in_memory, make_dir, open_to_read, prepare};
pub use crate::ledger::user::User;

/// The open ledger, shared by all threads.
pub struct Ledger {
    /// Path of the database.
    path: PathBuf,
    connection: Mutex<Connection>,
    /// The files that the connection has open.
    files: Mutex<OpenFiles>,
    /// Data losses that could not be written yet.
    pending_losses: Mutex<Vec<LossRow>>,
    /// Receipts that could not be written yet, in a database in memory.
    unsaved: Mutex<Option<Connection>>,
    /// The state of an outage, if there is one.
    outage: Mutex<Option<Outage>>,
    /// Whether the open files are not reachable at the path. Receipts still go there, and are
    /// copied later.
    is_detached: AtomicBool,
    /// Which receipts stay; all of them until it is set.
    retention: Mutex<Option<Retention>>,
    /// The newest receipt when the open files were last those at the path.
    newest_checked: AtomicI64,
}

/// The path of a ledger that has no file.
const IN_MEMORY: &str = ":memory:";

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

    /// Returns the state directory.
    #[must_use]
    pub fn state_dir(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
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
            retention: Mutex::default(),
            path,
        }
    }

    fn note(&self, event: LedgerEvent) {
        facts::note(Fact::Ledger { path: self.path.clone(), event });
    }

    fn note_failure(&self, error: &LedgerError) {
        self.note(LedgerEvent::Failed { error: error.to_string() });
    }

    /// Stores receipts, each with the key of its source. If that fails, keeps the receipts in
    /// memory, and stores them once that is possible.
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
        self.run(|db| insert_all(db, receipts))
    }

    /// Returns the newest receipt of a source.
    pub fn latest(&self, source: &Path) -> Result<Option<Entry>> {
        match self.read_unsaved(|db| latest(db, source))? {
            Some(entry) => Ok(Some(entry)),
            None => self.run(|db| latest(db, source)),
        }
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
