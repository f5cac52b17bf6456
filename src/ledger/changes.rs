//! Changes that other processes make for the daemon: requests and retries. The ledger counts them
//! for each drop directory, so that the daemon scans only those that a change concerns, whatever
//! else is written to the ledger.

use std::path::{Path, PathBuf};
use std::sync::TryLockError;

use rusqlite::Connection;

use crate::ledger::stored_path::{StoredPath, StoredPathBuf};
use crate::ledger::{Ledger, Result};

pub(crate) const TABLE: &str = "
    CREATE TABLE IF NOT EXISTS changes (
        inbox TEXT PRIMARY KEY,
        count INTEGER NOT NULL
    ) WITHOUT ROWID;";

/// The changes that a daemon has seen.
#[derive(Debug, Default)]
pub struct SeenChanges {
    /// SQLite's `data_version`, which changes when another process writes.
    version: Option<i64>,
    counts: Vec<(PathBuf, i64)>,
}

/// Counts a change for a drop directory.
pub(crate) fn count_change(db: &Connection, drop_dir: &Path) -> rusqlite::Result<usize> {
    db.prepare_cached(
        "INSERT INTO changes (inbox, count) VALUES (?1, 1)
         ON CONFLICT (inbox) DO UPDATE SET count = count + 1",
    )?
    .execute([StoredPath(drop_dir)])
}

fn counts(db: &Connection) -> rusqlite::Result<Vec<(PathBuf, i64)>> {
    let mut statement = db.prepare_cached("SELECT inbox, count FROM changes")?;
    let rows =
        statement.query_map([], |row| Ok((row.get::<_, StoredPathBuf>(0)?.0, row.get(1)?)))?;
    rows.collect()
}

impl Ledger {
    /// Returns the drop directories for which there are changes that were not seen yet; all that
    /// ever had one if `seen` is empty. Never blocks: while a thread uses the ledger, it returns
    /// none, and finds them the next time.
    pub fn new_changes(&self, seen: &mut SeenChanges) -> Result<Vec<PathBuf>> {
        let connection = match self.connection.try_lock() {
            Ok(connection) => connection,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(Vec::new()),
        };
        let read = || -> rusqlite::Result<_> {
            let version = connection.query_row("PRAGMA data_version", [], |row| row.get(0))?;
            if seen.version == Some(version) {
                return Ok(None);
            }
            Ok(Some((version, counts(&connection)?)))
        };
        let Some((version, counts)) = read().map_err(|cause| self.failure(cause))? else {
            return Ok(Vec::new());
        };
        let is_new = |change: &&(PathBuf, i64)| !seen.counts.contains(change);
        let new = counts.iter().filter(is_new).map(|(dir, _)| dir.clone()).collect();
        *seen = SeenChanges { version: Some(version), counts };
        Ok(new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::reason::Reason;
    use crate::decide::request_kind::RequestKind;
    use crate::decide::request_target::RequestTarget;
    use crate::events::receipt::Receipt;
    use crate::events::receipt_event::ReceiptEvent;
    use crate::ledger::lock;

    #[test]
    fn only_requests_and_retries_concern_a_drop_directory() {
        let dir = tempfile::tempdir().unwrap();
        let (ledger, other) =
            (Ledger::open(dir.path()).unwrap(), Ledger::open(dir.path()).unwrap());
        let mut seen = SeenChanges::default();
        let mut new = || ledger.new_changes(&mut seen).unwrap();
        assert!(new().is_empty());
        let [a, b] = ["/a", "/b"].map(PathBuf::from);
        let why = Reason::Gone;
        let receipt = Receipt::without_output(ReceiptEvent::Rejected, b.clone(), b.join("x"), &why);
        other.record(&[(receipt, None)]).unwrap();
        assert!(new().is_empty());
        let request = ("{}", &RequestTarget::default());
        other.add_request(RequestKind::Redo, &a, &a.join("x"), request).unwrap();
        assert_eq!(new(), [PathBuf::from("/a")]);
        assert!(new().is_empty());
        other.retry(&other.latest(&b.join("x")).unwrap().unwrap()).unwrap();
        other.add_request(RequestKind::Take, &a, &a.join("y"), request).unwrap();
        assert_eq!(new(), [a.clone(), b.clone()]);
        assert!(new().is_empty());
        assert_eq!(ledger.new_changes(&mut SeenChanges::default()).unwrap(), [a, b]);
    }

    /// The thread that feeds the watchdog and handles signals calls it.
    #[test]
    fn nobody_waits_to_hear_of_changes() {
        let ledger = Ledger::in_memory().unwrap();
        let mut seen = SeenChanges::default();
        let request = ("{}", &RequestTarget::default());
        ledger.add_request(RequestKind::Redo, Path::new("/a"), Path::new("/a/x"), request).unwrap();
        let in_use = lock(&ledger.connection);
        assert!(ledger.new_changes(&mut seen).unwrap().is_empty());
        drop(in_use);
        assert_eq!(ledger.new_changes(&mut seen).unwrap(), [PathBuf::from("/a")]);
    }
}
