//! The layout of the ledger's database: a number that a version of npyd increases when it changes
//! the tables in a way that earlier versions can't use.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::ledger::LedgerErrorKind;
use crate::ledger::schema::{Opened, immutable_uri};

/// Layout number, stored as `user_version`.
pub(crate) const LAYOUT: i64 = 2;

/// The layout of an older npyd, which is upgraded.
pub(crate) const OLD_LAYOUT: i64 = 1;

/// Returns the layout number of a database. A new database has the number 0.
pub(crate) fn layout(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Returns the layout number of a database if this version of npyd can use that layout.
///
/// # Errors
///
/// Returns an error if the database can't be read, or has another layout.
pub(crate) fn known_layout(connection: &Connection) -> Opened<i64> {
    match layout(connection)? {
        layout @ (0 | OLD_LAYOUT | LAYOUT) => Ok(layout),
        found => Err(LedgerErrorKind::Layout { found, known: LAYOUT }),
    }
}

/// Writes the layout number again, to test whether the database can be written to.
///
/// # Errors
///
/// Returns an error also if another version of npyd has meanwhile changed the layout.
pub(crate) fn rewrite_layout(connection: &Connection) -> Opened<()> {
    known_layout(connection)?;
    Ok(connection.pragma_update(None, "user_version", LAYOUT)?)
}

/// Returns whether the file itself is not a database, whatever its log contains.
pub(crate) fn is_file_broken(path: &Path) -> bool {
    open_file_alone(path)
        .and_then(|connection| layout(&connection))
        .is_err_and(|error| LedgerErrorKind::from(error).is_broken())
}

/// Checks that the file itself, whatever its log contains, has no unknown layout. One that can't be
/// read has none.
pub(crate) fn check_file_layout(path: &Path) -> Opened<()> {
    // The layout may still be in the log alone.
    match open_file_alone(path).map_err(Into::into).and_then(|file| known_layout(&file)) {
        Err(error @ LedgerErrorKind::Layout { .. }) => Err(error),
        _ => Ok(()),
    }
}

fn open_file_alone(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(immutable_uri(path), flags)
}

/// Makes SQLite leave the write-ahead log as it is when it closes the database, instead of writing
/// it into the file.
pub(crate) fn keep_log(connection: &Connection) {
    // It only fails for a database that is closed.
    let _ = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::schema::prepare;
    use crate::ledger::{Ledger, LedgerError};

    fn set_layout(path: &Path, layout: i64) {
        Connection::open(path).unwrap().pragma_update(None, "user_version", layout).unwrap();
    }

    /// Such a ledger is intact: its data losses are stored only there.
    #[test]
    fn a_ledger_of_another_layout_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.sqlite");
        drop(Ledger::open(dir.path()).unwrap());
        let open: [fn(&Path) -> Option<LedgerError>; 4] = [
            |dir| Ledger::open(dir).err(),
            |dir| Ledger::open_to_read(dir).err(),
            |dir| Ledger::open_without_creating(dir).err(),
            |dir| Ledger::check(dir).err(),
        ];
        for layout in [3, 1000, -1] {
            set_layout(&path, layout);
            let before = std::fs::read(&path).unwrap();
            for open in open {
                let error = open(dir.path()).unwrap();
                let LedgerErrorKind::Layout { found, known: LAYOUT } = *error.kind() else {
                    panic!("{error}");
                };
                assert_eq!(found, layout);
                assert!(error.to_string().contains("set another state_dir"), "{error}");
                assert!(std::fs::read(&path).unwrap() == before, "{layout}");
            }
        }
        for layout in [0, OLD_LAYOUT, LAYOUT] {
            set_layout(&path, layout);
            Ledger::open(dir.path()).unwrap();
        }
        assert!(!dir.path().join("ledger.sqlite.broken").exists());
    }

    /// A later version was killed, so that its last commits are in the log alone.
    #[test]
    fn the_log_of_another_layout_stays_as_it_is() {
        let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let later = prepare(&dir.path().join("ledger.sqlite")).unwrap();
        later.pragma_update(None, "user_version", LAYOUT + 1).unwrap();
        let files = ["ledger.sqlite", "ledger.sqlite-wal"].map(|it| copy.path().join(it));
        for file in &files {
            std::fs::copy(dir.path().join(file.file_name().unwrap()), file).unwrap();
        }
        let read = || files.each_ref().map(|it| std::fs::read(it).unwrap());
        let before = read();
        assert!(!before[1].is_empty());
        assert!(Ledger::open(copy.path()).is_err());
        assert!(read() == before);
    }
}
