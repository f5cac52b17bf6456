//! Mends the ledger of a running npyd, whose file may be removed, replaced or overwritten.
//!
//! SQLite goes on with a removed file without an error. Its rows are therefore still there and are
//! copied into the new file. To begin with an empty ledger, stop npyd before you remove it.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use rusqlite::Connection;

use crate::facts::LedgerEvent;
use crate::ledger::layout::{check_file_layout, is_file_broken, keep_log};
use crate::ledger::open_files::OpenFiles;
use crate::ledger::row_copy::{copy_newer, copy_readable};
use crate::ledger::schema::{back_up_corrupt, in_memory, make_dir, prepare, unusable, with_suffix};
use crate::ledger::{IN_MEMORY, Ledger, LedgerError, LedgerErrorKind, Result, lock};

/// The result of a step of mending.
type Mended<T> = std::result::Result<T, LedgerErrorKind>;

/// What happened to the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Damage {
    /// There is no database.
    Removed,
    /// Another file has its name.
    Replaced,
    /// SQLite can't read it, or another version of npyd has overwritten it.
    Broken,
    /// The log or the shared memory is gone.
    LogRemoved,
}

impl Ledger {
    /// Checks that the ledger's files are still those that are open, mends what can be mended, and
    /// notes that. The daemon calls it about once per second, from a thread of its own.
    pub fn attend(&self) {
        let newest = newest(&lock(&self.connection));
        let mended = match self.damage() {
            Ok(None) => {
                self.newest_checked.store(newest, Ordering::Relaxed);
                return self.end_detachment();
            }
            Ok(Some(damage)) => self.mend(damage),
            Err(error) => Err(unusable(&error).into()),
        };
        match mended {
            Ok(what) => {
                self.note(what);
                self.is_detached.store(false, Ordering::Relaxed);
                lock(&self.outage).take();
                if let Err(error) = self.store_unsaved() {
                    self.note_failure(&error);
                }
            }
            Err(cause) => self.detach(cause),
        }
    }

    /// Reports that the ledger can't be reached at its path, unless that is known. npyd goes on
    /// with the files that it has open; without them, receipts are kept in memory.
    fn detach(&self, cause: LedgerErrorKind) {
        if is_in_memory(&lock(&self.connection)) {
            let is_known = self.is_out();
            let error = self.failure(cause).kept_in_memory();
            if !is_known {
                self.note_failure(&error);
            }
        } else if !self.is_detached.swap(true, Ordering::Relaxed) {
            let error = LedgerError::new(&self.path, cause);
            let error = format!("{error}; until then npyd goes on with the files that it has open");
            self.note(LedgerEvent::Failed { error });
        }
    }

    /// Reports that the ledger can be reached again, and stores what is kept in memory.
    fn end_detachment(&self) {
        let was_detached = self.is_detached.swap(false, Ordering::Relaxed);
        if self.is_out() || self.has_unsaved() {
            let _ = self.try_to_end_outage(); // the outage was reported when it began
        } else if was_detached {
            self.note(LedgerEvent::Usable);
        }
    }

    /// Returns an error if the open files are not those at the path, or can't be reached there.
    pub(crate) fn check_files(&self) -> Result<()> {
        let cause = match self.damage() {
            Ok(None) => return Ok(()),
            Ok(Some(_)) => {
                check_file_layout(&self.path)
                    .map_err(|cause| LedgerError::new(&self.path, cause))?;
                ErrorKind::NotFound.into()
            }
            Err(error) => error,
        };
        Err(LedgerError::new(&self.path, unusable(&cause)))
    }

    /// Compares the open files with those at the path.
    ///
    /// # Errors
    ///
    /// Returns an error if the path can't be reached; the files may then be unharmed.
    fn damage(&self) -> io::Result<Option<Damage>> {
        if self.path == Path::new(IN_MEMORY) {
            return Ok(None);
        }
        let found = OpenFiles::examine(&self.path)?;
        let mut known = lock(&self.files);
        let has_changed = found.checked != known.checked;
        let is_gone = |at: usize| known.ids[at].is_some() && known.ids[at] != found.ids[at];
        let is_broken = || {
            lock(&self.outage).as_ref().is_some_and(|outage| outage.is_broken)
                || has_changed
                    && (found.checked.0 == 0
                        || is_file_broken(&self.path)
                        || check_file_layout(&self.path).is_err())
        };
        let damage = if found.ids[0].is_none() {
            Some(Damage::Removed)
        } else if found.ids[0] != known.ids[0] {
            Some(Damage::Replaced)
        } else if is_broken() {
            Some(Damage::Broken)
        } else if is_gone(1) || is_gone(2) {
            Some(Damage::LogRemoved)
        } else {
            *known = found;
            None
        };
        Ok(damage)
    }

    /// Opens the database again, or a new one in its place. Returns which of them it did.
    fn mend(&self, damage: Damage) -> Mended<LedgerEvent> {
        let mut connection = lock(&self.connection);
        let mended = self.mend_connection(&mut connection, damage);
        match &mended {
            Ok(_) => {
                *lock(&self.files) = OpenFiles::of(&self.path);
                self.newest_checked.store(newest(&connection), Ordering::Relaxed);
            }
            Err(cause) if damage == Damage::Broken && !is_in_memory(&connection) => {
                if matches!(cause, LedgerErrorKind::Layout { .. }) {
                    // The log holds pages of another database than the file.
                    keep_log(&connection);
                }
                // npyd works with what can be read until the file can be replaced.
                let memory = in_memory()?;
                copy_readable(&connection, &memory)?;
                *connection = memory;
            }
            Err(_) => {}
        }
        mended
    }

    fn mend_connection(&self, connection: &mut Connection, damage: Damage) -> Mended<LedgerEvent> {
        if damage == Damage::LogRemoved {
            // SQLite writes the log into the database when it closes it, and could not open a new
            // one beside the old one.
            *connection = in_memory()?;
        }
        let mut aside = None;
        match damage {
            Damage::Broken => aside = Some(self.set_aside()?),
            Damage::Removed | Damage::Replaced => self.remove_old_log(),
            Damage::LogRemoved => {}
        }
        make_dir(self.path.parent().unwrap_or(Path::new("/")))?;
        let new = match prepare(&self.path) {
            Err(cause) if cause.is_broken() => {
                aside = Some(self.set_aside()?);
                prepare(&self.path)?
            }
            opened => opened?,
        };
        let copied = if is_empty(&new)? || is_in_memory(connection) {
            Some(copy_readable(connection, &new)?)
        } else {
            // Those in the new ledger are older, for example from a backup.
            copy_newer(connection, &new, self.newest_checked.load(Ordering::Relaxed))?;
            None
        };
        *connection = new;
        Ok(match (damage, aside, copied) {
            (_, Some(aside), Some(receipts)) => LedgerEvent::Salvaged { aside, receipts },
            (Damage::LogRemoved, ..) => LedgerEvent::LogRewritten,
            (_, _, Some(receipts)) => LedgerEvent::Rewritten { receipts },
            _ => LedgerEvent::Replaced,
        })
    }

    /// Removes the names of the log and the shared memory that the connection has open, because
    /// SQLite would take them for those of the new file.
    fn remove_old_log(&self) {
        let (known, found) = (*lock(&self.files), OpenFiles::of(&self.path));
        for (at, suffix) in [(1, "-wal"), (2, "-shm")] {
            if known.ids[at].is_some() && known.ids[at] == found.ids[at] {
                // If that fails, so does the creation of new ones.
                let _ = std::fs::remove_file(with_suffix(&self.path, suffix));
            }
        }
    }

    /// Renames the database. One of another version of npyd keeps its name.
    fn set_aside(&self) -> Mended<PathBuf> {
        check_file_layout(&self.path)?;
        let aside = self.path.with_extension("sqlite.broken");
        back_up_corrupt(&self.path, &aside)?;
        Ok(aside)
    }
}

fn is_in_memory(connection: &Connection) -> bool {
    connection.path().is_none_or(str::is_empty)
}

/// Returns the id of the newest receipt; the maximum if that can't be read.
pub(crate) fn newest(connection: &Connection) -> i64 {
    connection
        .query_row("SELECT coalesce(max(id), 0) FROM receipts", [], |row| row.get(0))
        .unwrap_or(i64::MAX)
}

pub(crate) fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT NOT EXISTS (SELECT 1 FROM receipts)", [], |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};

    use tempfile::TempDir;

    use super::*;
    use crate::decide::reason::Reason;
    use crate::decide::{request_kind::RequestKind, request_target::RequestTarget};
    use crate::events::{receipt::Receipt, receipt_event::ReceiptEvent};

    fn record(ledger: &Ledger, source: &str) {
        let why = Reason::Gone;
        let receipt =
            Receipt::without_output(ReceiptEvent::Rejected, "/in".into(), source.into(), &why);
        ledger.record(&[(receipt, None)]).unwrap();
    }

    /// Returns the sources in the ledger on disk, as another process sees them.
    fn stored(state_dir: &Path) -> Vec<String> {
        let mut sources = Vec::new();
        let ledger = Ledger::open_to_read(state_dir).unwrap().unwrap();
        ledger.for_each(|entry| sources.push(entry.source.display().to_string())).unwrap();
        sources
    }

    /// A ledger with one receipt and one request, and the directory above its own.
    fn ledger() -> (TempDir, PathBuf, Ledger) {
        let top = tempfile::tempdir().unwrap();
        let state_dir = top.path().join("state");
        let ledger = Ledger::open(&state_dir).unwrap();
        record(&ledger, "/in/a");
        let (drop_dir, source) = (Path::new("/in"), Path::new("/in/a"));
        let request = ("{}", &RequestTarget::default());
        ledger.add_request(RequestKind::Redo, drop_dir, source, request).unwrap();
        ledger.attend();
        assert_eq!(stored(&state_dir), ["/in/a"]);
        (top, state_dir, ledger)
    }

    /// POSIX locks of a process end when it closes any descriptor of the file, unless SQLite takes
    /// care of that. Another process would then remove the log under this one.
    #[test]
    fn a_check_keeps_the_locks() {
        let (_top, state_dir, ledger) = ledger();
        let database = state_dir.join("ledger.sqlite");
        let inode = format!(":{} ", fs::metadata(&database).unwrap().ino());
        // A read of `/proc/locks` may skip a lock while others end, but never shows one too many.
        let is_listed = || fs::read_to_string("/proc/locks").unwrap().contains(&inode);
        let has_locks = || (0..100).any(|_| is_listed());
        assert!(has_locks());
        assert!(!is_file_broken(&database));
        assert!(has_locks());
        record(&ledger, "/in/b");
    }

    #[test]
    fn a_removed_directory() {
        let (_top, state_dir, ledger) = ledger();
        fs::remove_dir_all(&state_dir).unwrap();
        record(&ledger, "/in/b");
        ledger.attend();
        record(&ledger, "/in/c");
        assert_eq!(stored(&state_dir), ["/in/a", "/in/b", "/in/c"]);
        assert_eq!(ledger.requests(Path::new("/in")).unwrap().len(), 1);
        assert!(!ledger.is_out());
    }

    #[test]
    fn a_removed_database() {
        let (_top, state_dir, ledger) = ledger();
        fs::remove_file(state_dir.join("ledger.sqlite")).unwrap();
        ledger.attend();
        record(&ledger, "/in/b");
        assert_eq!(stored(&state_dir), ["/in/a", "/in/b"]);
    }

    /// What can take the place of the state directory.
    fn obstruct(state_dir: &Path, how: &str) {
        match how {
            "file" => fs::write(state_dir, "no directory").unwrap(),
            "dangling" => symlink("nowhere", state_dir).unwrap(),
            "loop" => symlink(state_dir, state_dir).unwrap(),
            _ => panic!("{how}"),
        }
    }

    #[test]
    fn a_directory_that_is_moved_away_and_back() {
        for how in ["file", "dangling", "loop"] {
            let (top, state_dir, ledger) = ledger();
            let aside = top.path().join("aside");
            fs::rename(&state_dir, &aside).unwrap();
            obstruct(&state_dir, how);
            ledger.attend();
            assert!(ledger.is_detached.load(Ordering::Relaxed), "{how}");
            record(&ledger, "/in/b");
            ledger.attend();
            assert_eq!(stored(&aside), ["/in/a", "/in/b"], "{how}"); // also after a crash
            fs::remove_file(&state_dir).unwrap();
            fs::rename(&aside, &state_dir).unwrap();
            ledger.attend();
            assert!(!ledger.is_detached.load(Ordering::Relaxed), "{how}");
            record(&ledger, "/in/c");
            assert_eq!(stored(&state_dir), ["/in/a", "/in/b", "/in/c"], "{how}");
        }
    }

    #[test]
    fn a_directory_that_can_not_be_made_again() {
        for how in ["file", "dangling", "loop"] {
            let (_top, state_dir, ledger) = ledger();
            fs::remove_dir_all(&state_dir).unwrap();
            obstruct(&state_dir, how);
            ledger.attend();
            record(&ledger, "/in/b");
            assert!(ledger.latest(Path::new("/in/b")).unwrap().is_some(), "{how}");
            fs::remove_file(&state_dir).unwrap();
            ledger.attend();
            assert_eq!(stored(&state_dir), ["/in/a", "/in/b"], "{how}");
            assert!(!ledger.is_out() && !ledger.is_detached.load(Ordering::Relaxed), "{how}");
        }
    }

    /// SQLite could still write to the files that it has open.
    #[test]
    fn an_outage_does_not_end_without_the_ledger() {
        let (top, state_dir, ledger) = ledger();
        lock(&ledger.connection).pragma_update(None, "query_only", true).unwrap();
        let why = Reason::Gone;
        let receipt =
            Receipt::without_output(ReceiptEvent::Rejected, "/in".into(), "/in/b".into(), &why);
        ledger.record(&[(receipt, None)]).unwrap_err();
        let aside = top.path().join("aside");
        fs::rename(&state_dir, &aside).unwrap();
        obstruct(&state_dir, "dangling");
        lock(&ledger.connection).pragma_update(None, "query_only", false).unwrap();
        ledger.attend();
        record(&ledger, "/in/c");
        assert!(ledger.is_out());
        fs::remove_file(&state_dir).unwrap();
        ledger.attend();
        assert_eq!(stored(&state_dir), ["/in/a", "/in/b", "/in/c"]);
        assert!(!ledger.is_out());
    }

    /// It has the receipts of the time before, and the open files those since.
    #[test]
    fn a_copy_of_the_directory_in_its_place() {
        let (top, state_dir, ledger) = ledger();
        let copy = top.path().join("copy");
        fs::create_dir(&copy).unwrap();
        for name in ["ledger.sqlite", "ledger.sqlite-wal"] {
            fs::copy(state_dir.join(name), copy.join(name)).unwrap();
        }
        fs::rename(&state_dir, top.path().join("aside")).unwrap();
        obstruct(&state_dir, "file");
        record(&ledger, "/in/b"); // before anybody noticed
        ledger.attend();
        record(&ledger, "/in/c");
        fs::remove_file(&state_dir).unwrap();
        fs::rename(&copy, &state_dir).unwrap();
        ledger.attend();
        record(&ledger, "/in/d");
        assert_eq!(stored(&state_dir), ["/in/a", "/in/b", "/in/c", "/in/d"]);
    }

    #[test]
    fn a_file_of_garbage_in_its_place() {
        let (_top, state_dir, ledger) = ledger();
        let garbage = state_dir.join("garbage");
        fs::write(&garbage, "garbage".repeat(4096)).unwrap();
        fs::rename(&garbage, state_dir.join("ledger.sqlite")).unwrap();
        ledger.attend();
        record(&ledger, "/in/b");
        assert_eq!(stored(&state_dir), ["/in/a", "/in/b"]);
        assert!(state_dir.join("ledger.sqlite.broken").exists());
    }

    /// What can be read then depends on SQLite's cache.
    #[test]
    fn garbage_in_the_file_itself() {
        for garbage in [String::new(), "garbage".repeat(4096)] {
            let (_top, state_dir, ledger) = ledger();
            fs::write(state_dir.join("ledger.sqlite"), &garbage).unwrap();
            ledger.attend();
            record(&ledger, "/in/b");
            assert_eq!(stored(&state_dir).last().unwrap(), "/in/b");
            let aside = fs::read_to_string(state_dir.join("ledger.sqlite.broken")).unwrap();
            assert_eq!(aside, garbage);
        }
    }

    #[test]
    fn a_removed_log() {
        for suffix in ["-wal", "-shm"] {
            let (_top, state_dir, ledger) = ledger();
            fs::remove_file(state_dir.join(format!("ledger.sqlite{suffix}"))).unwrap();
            record(&ledger, "/in/b");
            ledger.attend();
            record(&ledger, "/in/c");
            assert_eq!(stored(&state_dir), ["/in/a", "/in/b", "/in/c"], "{suffix}");
        }
    }

    /// For example from a backup.
    #[test]
    fn another_ledger_in_its_place() {
        let (_top, state_dir, ledger) = ledger();
        let (_other_top, other_dir, other) = self::ledger();
        record(&other, "/in/other");
        drop(other);
        fs::rename(other_dir.join("ledger.sqlite"), state_dir.join("ledger.sqlite")).unwrap();
        ledger.attend();
        record(&ledger, "/in/b");
        assert_eq!(stored(&state_dir), ["/in/a", "/in/other", "/in/b"]);
    }

    /// Returns the bytes of a ledger that a later version of npyd wrote.
    fn newer_ledger() -> Vec<u8> {
        let (_top, state_dir, ledger) = ledger();
        drop(ledger);
        let database = state_dir.join("ledger.sqlite");
        Connection::open(&database).unwrap().pragma_update(None, "user_version", 3).unwrap();
        fs::read(database).unwrap()
    }

    /// npyd goes on with what it has, until its own ledger is back.
    #[test]
    fn a_ledger_of_a_later_version_in_its_place() {
        for in_place in [false, true] {
            let ((top, state_dir, ledger), newer) = (ledger(), newer_ledger());
            let [database, aside] = ["state/ledger.sqlite", "aside"].map(|it| top.path().join(it));
            fs::copy(&database, &aside).unwrap();
            if !in_place {
                fs::remove_file(&database).unwrap();
            }
            fs::write(&database, &newer).unwrap();
            for source in ["/in/b", "/in/c"] {
                ledger.attend();
                record(&ledger, source);
                assert!(ledger.latest(Path::new(source)).unwrap().is_some(), "{in_place}");
                assert!(fs::read(&database).unwrap() == newer, "{in_place}");
                assert!(!state_dir.join("ledger.sqlite.broken").exists(), "{in_place}");
            }
            fs::rename(&aside, &database).unwrap();
            ledger.attend();
            record(&ledger, "/in/d");
            assert!(stored(&state_dir).ends_with(&["/in/b", "/in/c", "/in/d"].map(str::to_owned)));
        }
    }

    #[test]
    fn a_ledger_of_a_later_version_stays_at_the_end() {
        for in_place in [false, true] {
            let ((_top, state_dir, ledger), newer) = (ledger(), newer_ledger());
            let database = state_dir.join("ledger.sqlite");
            if !in_place {
                fs::remove_file(&database).unwrap();
            }
            fs::write(&database, &newer).unwrap();
            ledger.attend();
            record(&ledger, "/in/b");
            drop(ledger);
            assert!(fs::read(&database).unwrap() == newer, "{in_place}");
        }
    }
}
