//! How the ledger's database is opened, and begun where there is none.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode};

use super::TABLE;
use super::loss::TABLE as LOSSES;

/// Written into the database; another number belongs to another layout.
const LAYOUT: i64 = 1;

/// How long another process may keep the ledger locked.
const BUSY: Duration = Duration::from_secs(5);

/// Opens the database, and makes it a ledger.
pub(super) fn prepare(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    keep_a_log(&connection)?;
    connection.pragma_update(None, "synchronous", "normal")?;
    let layout: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if layout != 0 && layout != LAYOUT {
        let text = format!("it has layout {layout}, this npyd writes {LAYOUT}");
        return Err(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_NOTADB),
            Some(text),
        ));
    }
    connection.execute_batch(TABLE)?;
    connection.execute_batch(LOSSES)?;
    if layout != LAYOUT {
        connection.pragma_update(None, "user_version", LAYOUT)?;
    }
    Ok(connection)
}

/// Has `SQLite` keep a write-ahead log. It does not wait for another that does the same to a new
/// database.
fn keep_a_log(connection: &Connection) -> rusqlite::Result<()> {
    let deadline = Instant::now() + BUSY;
    loop {
        match connection.pragma_update(None, "journal_mode", "wal") {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && Instant::now() < deadline =>
            {
                thread::sleep(Duration::from_millis(10));
            }
            done => return done,
        }
    }
}

/// Whether it is no database that can be read.
pub(super) fn is_broken(cause: &rusqlite::Error) -> bool {
    matches!(cause.sqlite_error_code(), Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt))
}

pub(super) fn make_dir(dir: &Path) -> rusqlite::Result<()> {
    std::fs::create_dir_all(dir).map_err(|error| unusable(&error))
}

/// Moves the database and the files `SQLite` keeps beside it.
pub(super) fn set_aside(path: &Path, aside: &Path) -> rusqlite::Result<()> {
    for suffix in ["", "-wal", "-shm"] {
        let with = |path: &Path| PathBuf::from(format!("{}{suffix}", path.display()));
        match std::fs::rename(with(path), with(aside)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(unusable(&error));
            }
            _ => {}
        }
    }
    Ok(())
}

fn unusable(error: &std::io::Error) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(
        rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN),
        Some(crate::disk::in_words(error)),
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::super::Ledger;
    use super::*;

    /// The daemon and a sweep, started by the same boot.
    #[test]
    fn a_ledger_that_several_begin_at_once() {
        for _ in 0..30 {
            let dir = tempfile::tempdir().unwrap();
            let all_are_here = Barrier::new(8);
            thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        all_are_here.wait();
                        Ledger::open(dir.path()).unwrap();
                    });
                }
            });
        }
    }
}
