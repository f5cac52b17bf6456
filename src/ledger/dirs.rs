//! The paths of directories: the ledger stores each of them once, because many files share one, and
//! a receipt has their ids.
//!
//! The directory of a file includes the slash at its end, so that directory and name together are
//! exactly the path of the file.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension};

use crate::ledger::stored_path::StoredPath;

/// `uses` is the number of receipts with that directory, which the triggers of the receipts keep.
pub(crate) const TABLE: &str = "
    CREATE TABLE IF NOT EXISTS dirs (
        id INTEGER PRIMARY KEY,
        path TEXT NOT NULL UNIQUE,
        uses INTEGER NOT NULL DEFAULT 0
    );";

/// Splits the path of a file into its directory and its name.
pub(crate) fn split(path: &Path) -> (&Path, &Path) {
    let bytes = path.as_os_str().as_bytes();
    let at = bytes.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    let (dir, name) = bytes.split_at(at);
    (Path::new(OsStr::from_bytes(dir)), Path::new(OsStr::from_bytes(name)))
}

/// Returns the path of a file from its directory and its name.
pub(crate) fn join(dir: PathBuf, name: &Path) -> PathBuf {
    let mut path = dir.into_os_string();
    path.push(name);
    path.into()
}

/// Returns the first directory at or below `dir`, and what follows the last one, in the order of
/// their bytes. '0' is the character after '/'.
pub(crate) fn range_below(dir: &Path) -> [PathBuf; 2] {
    let dir = dir.as_os_str().as_bytes();
    let dir = dir.strip_suffix(b"/").unwrap_or(dir);
    [b'/', b'0'].map(|end| PathBuf::from(OsStr::from_bytes(&[dir, &[end]].concat())))
}

/// Selects the ids of the directories between `?1` and `?2`. Paths that are not UTF-8 are BLOBs,
/// also below a directory whose path is UTF-8.
pub(crate) const IDS_IN_RANGE: &str = "SELECT id FROM dirs WHERE path >= ?1 AND path < ?2
     OR path >= CAST(?1 AS BLOB) AND path < CAST(?2 AS BLOB)";

/// Returns the id of a directory of files, with or without the slash at its end.
pub(crate) fn id_of(db: &Connection, dir: &Path) -> rusqlite::Result<Option<i64>> {
    let dir = dir.join("");
    db.prepare_cached("SELECT id FROM dirs WHERE path = ?1")?
        .query_row([StoredPath(&dir)], |row| row.get(0))
        .optional()
}

/// Adds a directory unless the table has it.
pub(crate) fn add(db: &Connection, dir: &Path) -> rusqlite::Result<usize> {
    db.prepare_cached("INSERT OR IGNORE INTO dirs (path) VALUES (?1)")?.execute([StoredPath(dir)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_its_directory_and_its_name() {
        for (path, dir, name) in [
            ("/in/a", "/in/", "a"),
            ("/a", "/", "a"),
            ("/in//a", "/in//", "a"),
            ("/in/", "/in/", ""),
            ("a", "", "a"),
        ] {
            let path = Path::new(path);
            let (found, file) = split(path);
            assert_eq!([found.as_os_str(), file.as_os_str()], [dir, name]);
            assert_eq!(join(found.to_path_buf(), file).as_os_str(), path.as_os_str());
        }
        for dir in ["/in", "/in/"] {
            assert_eq!(range_below(Path::new(dir)).map(PathBuf::into_os_string), ["/in/", "/in0"]);
        }
        assert_eq!(range_below(Path::new("/")).map(PathBuf::into_os_string), ["/", "0"]);
    }
}
