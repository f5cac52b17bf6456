//! How the ledger's database is opened, and begun where there is none.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, MAIN_DB, OpenFlags};

use crate::ledger::TABLE;
use crate::ledger::losses::TABLE as LOSSES;
use crate::ledger::requests::TABLE as REQUESTS;
use crate::text::sanitize::os_message;

/// Written into the database; another number belongs to another layout.
const LAYOUT: i64 = 1;

/// How long another process may keep the ledger locked.
const BUSY: Duration = Duration::from_secs(5);

/// Opens the database, and makes it a ledger.
pub(crate) fn prepare(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    share_with_group(path);
    if connection.is_readonly(MAIN_DB)? {
        // `SQLite` makes do with reading; what may be lost could not be written down then.
        let readonly = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_READONLY);
        let text = "this user may not write to it".to_owned();
        return Err(rusqlite::Error::SqliteFailure(readonly, Some(text)));
    }
    connection.busy_timeout(BUSY)?;
    enable_wal(&connection)?;
    connection.pragma_update(None, "synchronous", "normal")?;
    let layout = layout(&connection)?;
    if layout != 0 && layout != LAYOUT {
        let text = format!("it has layout {layout}, this npyd writes {LAYOUT}");
        return Err(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_NOTADB),
            Some(text),
        ));
    }
    connection.execute_batch(TABLE)?;
    connection.execute_batch(LOSSES)?;
    connection.execute_batch(REQUESTS)?;
    if layout != LAYOUT {
        connection.pragma_update(None, "user_version", LAYOUT)?;
    }
    Ok(connection)
}

/// Lets the group of the state directory write to the ledger, where only that group may enter the
/// directory. The members can then make requests. `SQLite` gives its other files the same rights.
fn share_with_group(path: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        let file = PathBuf::from(format!("{}{suffix}", path.display()));
        let Some(Ok(dir)) = path.parent().map(std::fs::metadata) else { return };
        let Ok(stat) = std::fs::metadata(&file) else { continue };
        let mode = stat.permissions().mode();
        let is_for_group = dir.permissions().mode() & 0o011 == 0o010 && dir.gid() == stat.gid();
        if is_for_group && mode & 0o060 != 0o060 {
            // Only the owner may do that, and the others need no more than they have.
            let _ = std::fs::set_permissions(&file, Permissions::from_mode(mode & 0o7777 | 0o060));
        }
    }
}

/// Has `SQLite` keep a write-ahead log. It does not wait for another that does the same to a new
/// database.
fn enable_wal(connection: &Connection) -> rusqlite::Result<()> {
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

/// Whether another process has the ledger in `state_dir` open, as a daemon does all the time, as
/// far as `/proc` shows. A process that has it open holds a lock on `SQLite`'s shared memory.
#[must_use]
pub fn is_in_use(state_dir: &Path) -> bool {
    let Ok(shared) = std::fs::metadata(state_dir.join("ledger.sqlite-shm")) else { return false };
    let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
    let inode = format!(":{}", shared.ino());
    locks.split_whitespace().any(|field| field.ends_with(&inode))
}

/// Opens the database only to read; `None` where there is no ledger in it yet.
pub(crate) fn open_to_read(path: &Path) -> rusqlite::Result<Option<Connection>> {
    if !path.try_exists().map_err(|error| unusable(&error))? {
        return Ok(None);
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    // One that was only just begun has no layout, and nothing in it.
    Ok((layout(&connection)? != 0).then_some(connection))
}

/// The number of the layout; 0 where there is none yet.
fn layout(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Whether it is no database that can be read.
pub(crate) fn is_broken(cause: &rusqlite::Error) -> bool {
    matches!(cause.sqlite_error_code(), Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt))
}

pub(crate) fn make_dir(dir: &Path) -> rusqlite::Result<()> {
    std::fs::create_dir_all(dir).map_err(|error| unusable(&error))
}

/// Moves the database and the files `SQLite` keeps beside it.
pub(crate) fn back_up_corrupt(path: &Path, aside: &Path) -> rusqlite::Result<()> {
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
        Some(os_message(error)),
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;
    use crate::ledger::Ledger;

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
