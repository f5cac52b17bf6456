//! Opens and creates the ledger's database.

use std::fmt::Write;
use std::fs::{File, Permissions};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, MAIN_DB, OpenFlags};
use rustix::fs::{Access, AtFlags, CWD};

use crate::ledger::LedgerErrorKind;
use crate::ledger::changes::TABLE as CHANGES;
use crate::ledger::dirs::TABLE as DIRS;
use crate::ledger::layout::{LAYOUT, keep_log, known_layout, layout, rewrite_layout};
use crate::ledger::losses::TABLE as LOSSES;
use crate::ledger::open_files::check_kind;
use crate::ledger::reports::TABLE as REPORTS;
use crate::ledger::requests::{TABLE as REQUESTS, add_columns};
use crate::ledger::row::{TABLE as RECEIPTS, start_totals};
use crate::ledger::upgrade::{is_old, upgrade, upgraded_copy};
use crate::text::os_message::os_message;

/// Maximum wait for another process's lock.
const BUSY: Duration = Duration::from_secs(5);

/// The size in bytes to which SQLite cuts the log once all of it is in the database.
const LOG_SIZE_MAX: i64 = 8 << 20;

/// How often [`is_in_use`] reads the list of locks before it trusts that a lock is not there.
const LOOKS_AT_LOCKS: u32 = 3;

/// The result of opening a database.
pub(crate) type Opened<T> = Result<T, LedgerErrorKind>;

/// Opens the database, and creates its tables.
///
/// # Durability
///
/// Each commit through this connection is durable when it returns.
pub(crate) fn prepare(path: &Path) -> Opened<Connection> {
    check_kind(path).map_err(|error| unusable(&error))?;
    let is_new = !path.try_exists().map_err(|error| unusable(&error))?;
    let had_log = has_log(path)?;
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    // First, so that the files of another version stay as they are.
    if let Err(error @ LedgerErrorKind::Layout { .. }) = known_layout(&connection) {
        if had_log {
            keep_log(&connection);
        }
        return Err(error);
    }
    if is_new {
        give_to_owner_of_dir(path);
    }
    share_with_group(path);
    if connection.is_readonly(MAIN_DB)? {
        // SQLite falls back to read-only; npyd could then not store data losses.
        return Err(read_only().into());
    }
    check_shared_files(path)?;
    if connection.query_row("PRAGMA page_count", [], |row| row.get::<_, i64>(0))? == 0 {
        // Of another database this would write the first page again at each start.
        connection.pragma_update(None, "auto_vacuum", "incremental")?;
    }
    enable_wal(&connection)?;
    connection.pragma_update(None, "journal_size_limit", LOG_SIZE_MAX)?;
    connection.pragma_update(None, "synchronous", "normal")?;
    upgrade(path, &connection)?;
    let layout = known_layout(&connection)?;
    create_tables(&connection)?;
    if layout != LAYOUT {
        rewrite_layout(&connection)?;
    }
    // From now on each commit syncs the log once, with all that was written before.
    connection.pragma_update(None, "synchronous", "full")?;
    keep_plans(&connection)?;
    Ok(connection)
}

/// Checks that the files which SQLite shares exist or can be created. A member of the group may
/// write to them, but not create them in npyd's directory; SQLite would not say so.
fn check_shared_files(path: &Path) -> rusqlite::Result<()> {
    let shared = with_suffix(path, "-shm");
    let Some(dir) = path.parent().filter(|_| !shared.exists()) else { return Ok(()) };
    rustix::fs::accessat(CWD, dir, Access::WRITE_OK, AtFlags::EACCESS).map_err(|_| {
        let text = "while npyd is stopped, only the user that it runs as can write to it; start \
                    npyd, or run this command as that user";
        let cause = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_PERM);
        rusqlite::Error::SqliteFailure(cause, Some(text.to_owned()))
    })
}

/// Opens an empty database in memory.
pub(crate) fn in_memory() -> rusqlite::Result<Connection> {
    let connection = Connection::open_in_memory()?;
    create_tables(&connection)?;
    keep_plans(&connection)?;
    Ok(connection)
}

/// Makes SQLite keep the plan of a prepared query. Otherwise it would parse and plan a query again
/// each time another path is bound to it, in case that the statistics advise another plan.
fn keep_plans(connection: &Connection) -> rusqlite::Result<bool> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
}

pub(crate) fn create_tables(connection: &Connection) -> rusqlite::Result<()> {
    [DIRS, RECEIPTS, LOSSES, REQUESTS, REPORTS, CHANGES]
        .into_iter()
        .try_for_each(|tables| connection.execute_batch(tables))?;
    start_totals(connection)?;
    add_columns(connection)
}

/// Gives a new ledger that root creates to the owner of the state directory: to the user that npyd
/// runs as, who could not write to root's file. SQLite gives its other files the same owner.
fn give_to_owner_of_dir(path: &Path) {
    let Some(Ok(dir)) = path.parent().map(std::fs::metadata) else { return };
    if std::fs::metadata(path).is_ok_and(|file| file.uid() != dir.uid()) {
        // Only root may give a file away. Another user creates it in a directory that both use.
        let _ = chown(path, Some(dir.uid()), Some(dir.gid()));
    }
}

/// Checks whether this user may write to the ledger, or create it with its directory.
pub(crate) fn check(path: &Path) -> Opened<()> {
    let connection = open_to_read(path)?;
    let writable = if connection.is_some() {
        Some(path)
    } else {
        path.ancestors().skip(1).find(|dir| dir.exists())
    };
    let Some(writable) = writable else { return Ok(()) };
    rustix::fs::accessat(CWD, writable, Access::WRITE_OK, AtFlags::EACCESS).map_err(|error| {
        let error = if writable == path { read_only() } else { unusable(&error.into()) };
        error.into()
    })
}

fn read_only() -> rusqlite::Error {
    let cause = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_READONLY);
    rusqlite::Error::SqliteFailure(cause, Some("this user may not write to it".to_owned()))
}

/// Gives the group of the state directory write permission on the ledger, if no other group may
/// enter the directory. Its members can then make requests. SQLite gives its other files the same
/// mode.
fn share_with_group(path: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        let file = with_suffix(path, suffix);
        let Some(Ok(dir)) = path.parent().map(std::fs::metadata) else { return };
        let Ok(stat) = std::fs::metadata(&file) else { continue };
        let mode = stat.permissions().mode();
        let is_for_group = dir.permissions().mode() & 0o011 == 0o010 && dir.gid() == stat.gid();
        if is_for_group && mode & 0o060 != 0o060 {
            // Only the owner can do that; another user has all the permissions it needs.
            let _ = std::fs::set_permissions(&file, Permissions::from_mode(mode & 0o7777 | 0o060));
        }
    }
}

/// Enables the write-ahead log. SQLite does not apply its busy timeout here while another process
/// enables it for a new database.
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

/// Returns whether another process, such as a daemon, has the ledger in `state_dir` open: such a
/// process holds a lock on SQLite's shared memory, which `/proc/locks` lists.
///
/// For messages alone. If there are many locks, the kernel returns the list in pieces, and a lock
/// is missing in the next piece if others ended since the last one: so this looks again. It never
/// shows a lock that nobody has.
#[must_use]
pub fn is_in_use(state_dir: &Path) -> bool {
    let Ok(shared) = std::fs::metadata(state_dir.join("ledger.sqlite-shm")) else { return false };
    let inode = format!(":{}", shared.ino());
    (0..LOOKS_AT_LOCKS).any(|_| {
        let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
        locks.split_whitespace().any(|field| field.ends_with(&inode))
    })
}

/// Opens the database read-only. Returns `None` if it has no ledger yet.
pub(crate) fn open_to_read(path: &Path) -> Opened<Option<Connection>> {
    if !path.try_exists().map_err(|error| unusable(&error))? {
        let is_dangling = |dir: &Path| dir.is_symlink() && !dir.exists();
        return if path.ancestors().any(is_dangling) {
            Err(unusable(&ErrorKind::NotFound.into()).into())
        } else {
            Ok(None)
        };
    }
    check_kind(path).map_err(|error| unusable(&error))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    if layout(&connection).is_err_and(|error| needs_shared_memory(&error)) && !has_log(path)? {
        // Nobody has it open, and this user may not create the files that SQLite shares.
        let uri = immutable_uri(path);
        connection = Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI)?;
    }
    // A database that is just being created has no layout yet.
    if known_layout(&connection)? == 0 {
        return Ok(None);
    }
    Ok(Some(if is_old(&connection)? { upgraded_copy(&connection)? } else { connection }))
}

/// Returns whether SQLite could not create the files that it keeps beside an open database.
fn needs_shared_memory(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen))
}

/// Returns whether there is a write-ahead log: a process has the ledger open, or ended abruptly.
fn has_log(path: &Path) -> rusqlite::Result<bool> {
    with_suffix(path, "-wal").try_exists().map_err(|error| unusable(&error))
}

/// Returns a URI that makes SQLite read the file alone, with neither locks nor shared memory.
pub(crate) fn immutable_uri(path: &Path) -> String {
    let mut uri = "file:".to_owned();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'%' | b'?' | b'#' | 0x80.. => write!(uri, "%{byte:02x}").unwrap_or_default(),
            _ => uri.push(char::from(*byte)),
        }
    }
    uri + "?immutable=1"
}

/// Returns the path of a file that SQLite keeps beside the database.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

/// Creates the state directory, and those above it that are missing.
///
/// # Durability
///
/// The names of new directories are synced, as far as the file system can. SQLite syncs those of
/// its files.
pub(crate) fn make_dir(dir: &Path) -> rusqlite::Result<()> {
    let is_missing = |dir: &&Path| !dir.exists();
    let above_new: Vec<_> =
        dir.ancestors().take_while(is_missing).filter_map(Path::parent).collect();
    std::fs::create_dir_all(dir).map_err(|error| cannot_create(dir, &error))?;
    for dir in above_new {
        // A directory that can't be synced or read must not keep npyd from working.
        let _ = File::open(dir).and_then(|dir| dir.sync_all());
    }
    Ok(())
}

/// Renames the database and the files that SQLite keeps beside it.
pub(crate) fn back_up_corrupt(path: &Path, aside: &Path) -> rusqlite::Result<()> {
    for suffix in ["", "-wal", "-shm"] {
        match std::fs::rename(with_suffix(path, suffix), with_suffix(aside, suffix)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(unusable(&error));
            }
            _ => {}
        }
    }
    Ok(())
}

pub(crate) fn unusable(error: &std::io::Error) -> rusqlite::Error {
    cannot_open(os_message(error))
}

/// Returns the error if a state directory can't be created, for example because its file system
/// allows no new directories, as that of `/proc`. If a permission is missing, the obstacle has a
/// better remedy.
fn cannot_create(dir: &Path, error: &std::io::Error) -> rusqlite::Error {
    let (dir, why) = (dir.display(), os_message(error));
    cannot_open(format!("can't create the directory `{dir}`: {why}; set another state_dir"))
}

fn cannot_open(message: String) -> rusqlite::Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN);
    rusqlite::Error::SqliteFailure(code, Some(message))
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use rusqlite::StatementStatus;

    use super::*;
    use crate::ledger::Ledger;

    /// Each probe of a drop looks up its path.
    #[test]
    fn a_query_about_another_path_is_not_planned_again() {
        let dir = tempfile::tempdir().unwrap();
        for connection in [prepare(&dir.path().join("ledger.sqlite")), Ok(in_memory().unwrap())] {
            let connection = connection.unwrap();
            let sql = "SELECT id FROM receipts WHERE source_dir = 1 AND source = ?1
                       ORDER BY id DESC LIMIT 1";
            let mut statement = connection.prepare(sql).unwrap();
            for source in ["/in/a", "/in/b", "/in/c"] {
                assert!(!statement.exists([source]).unwrap());
            }
            assert_eq!(statement.get_status(StatementStatus::RePrepare), 0);
        }
    }

    /// For example, a daemon and a sweep start at the same boot.
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
