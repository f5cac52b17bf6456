//! Errors of the ledger.

use std::fmt;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use crate::events::stored::Stored;
use crate::ledger::obstacle::{find_obstacle, lacks_space, reached_file_size};

/// An error of the ledger's database.
#[derive(Debug)]
pub struct LedgerError {
    path: PathBuf,
    kind: LedgerErrorKind,
    /// What at the ledger's path causes the error, and what to do about it.
    obstacle: Option<String>,
    /// Whether the disk is full.
    is_full: bool,
    /// Whether the receipts that could not be stored are kept in memory.
    is_kept: bool,
}

/// Why the ledger can't be used.
#[derive(Debug)]
pub enum LedgerErrorKind {
    /// SQLite returned an error.
    Sqlite(rusqlite::Error),
    /// Another version of npyd wrote the database, and this one does not know its layout. The
    /// database is intact, so it stays as it is.
    Layout {
        /// The number of the layout.
        found: i64,
        /// The number of the layout that this version knows.
        known: i64,
    },
}

impl LedgerErrorKind {
    /// Returns whether the file is not a readable database.
    pub(crate) fn is_broken(&self) -> bool {
        let code = self.sqlite_code();
        matches!(code, Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt))
    }

    /// Returns whether the database failed, not for example the conversion of a value.
    pub(crate) fn is_of_database(&self) -> bool {
        matches!(self, LedgerErrorKind::Layout { .. }) || self.sqlite_code().is_some()
    }

    fn sqlite_code(&self) -> Option<ErrorCode> {
        match self {
            LedgerErrorKind::Sqlite(error) => error.sqlite_error_code(),
            LedgerErrorKind::Layout { .. } => None,
        }
    }
}

impl From<rusqlite::Error> for LedgerErrorKind {
    fn from(error: rusqlite::Error) -> Self {
        LedgerErrorKind::Sqlite(error)
    }
}

impl fmt::Display for LedgerErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LedgerErrorKind::Sqlite(error) => error.fmt(f),
            LedgerErrorKind::Layout { found, known } => write!(
                f,
                "another version of npyd wrote it, with layout {found}, but this version knows only \
                 layout {known}; install that version again, or set another state_dir"
            ),
        }
    }
}

impl LedgerError {
    pub(crate) fn new(path: &Path, kind: impl Into<LedgerErrorKind>) -> Self {
        let kind = kind.into();
        let obstacle = match kind.sqlite_code() {
            Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly) => find_obstacle(path),
            Some(ErrorCode::SystemIoFailure) => reached_file_size(path),
            _ => None,
        };
        let is_full = match kind.sqlite_code() {
            Some(ErrorCode::DiskFull) => true,
            // SQLite reports so that the file of its shared memory got no room.
            Some(ErrorCode::SystemIoFailure) => lacks_space(path),
            _ => false,
        };
        LedgerError { path: path.to_path_buf(), kind, obstacle, is_full, is_kept: false }
    }

    /// Returns the error of a ledger that can't be created because its disk is full.
    pub(crate) fn full(path: &Path) -> Self {
        let full = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL);
        Self::new(path, rusqlite::Error::SqliteFailure(full, None))
    }

    /// Adds that the receipts are kept in memory until the ledger can be used.
    pub(crate) fn kept_in_memory(self) -> Self {
        LedgerError { is_kept: true, ..self }
    }

    /// Returns what became of the receipts that were to be stored.
    #[must_use]
    pub fn stored(&self) -> Stored {
        if self.is_kept { Stored::NotYet } else { Stored::No }
    }

    /// Returns why the ledger can't be used.
    #[must_use]
    pub fn kind(&self) -> &LedgerErrorKind {
        &self.kind
    }
}

impl fmt::Display for LedgerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failed to use the ledger `{}`: ", self.path.display())?;
        match &self.obstacle {
            Some(obstacle) => f.write_str(obstacle)?,
            None if self.is_full => f.write_str("its disk is full; free some space")?,
            None => write!(f, "{}", self.kind)?,
        }
        if self.is_kept { f.write_str("; until then receipts are kept in memory") } else { Ok(()) }
    }
}

impl std::error::Error for LedgerError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.kind {
            LedgerErrorKind::Sqlite(error) => Some(error),
            LedgerErrorKind::Layout { .. } => None,
        }
    }
}
