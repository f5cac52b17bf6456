//! Errors of system calls: operation, path and cause.

use std::path::{Path, PathBuf};
use std::{fmt, io};

use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::io::Errno;

use crate::fs::sandbox::hidden_by;
use crate::fs::{Dir, Operation, has_proc};
use crate::model::{Protection, Shortfall, Stat, SystemError, SystemErrorCause, SystemErrorRemedy};

/// A failed system call.
#[derive(Debug)]
pub struct FsError {
    operation: Operation,
    path: PathBuf,
    cause: io::Error,
    /// The protected file or directory that makes the kernel refuse the call.
    protected: Option<(PathBuf, Protection)>,
    shortfall: Option<Shortfall>,
}

/// The result of a system call on data.
pub type Result<T> = std::result::Result<T, FsError>;

impl FsError {
    pub(crate) fn new(operation: Operation, path: &Path, cause: impl Into<io::Error>) -> Self {
        let cause = cause.into();
        let is_refused = Errno::from_io_error(&cause) == Some(Errno::PERM);
        let protected = is_refused.then(|| find_protected(path)).flatten();
        FsError { operation, path: path.to_path_buf(), cause, protected, shortfall: None }
    }

    /// Adds that a file is larger than the space for it.
    #[must_use]
    pub(crate) fn with_shortfall(self, shortfall: Option<Shortfall>) -> Self {
        FsError { shortfall, ..self }
    }

    /// Returns how much space a file needs, if it is larger than the space for it.
    pub(crate) fn shortfall(&self) -> Option<Shortfall> {
        self.shortfall
    }

    /// Returns the failed operation.
    #[must_use]
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// Returns the path of the file or directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the error of the system call.
    #[must_use]
    pub fn io(&self) -> &io::Error {
        &self.cause
    }

    /// Returns the error of the system call, for an error about another path.
    pub(crate) fn into_cause(self) -> io::Error {
        self.cause
    }

    /// Returns whether a sync or writeback failed. The content may be lost even if a later sync
    /// succeeds (rule F1).
    #[must_use]
    pub fn is_of_sync(&self) -> bool {
        self.operation.is_sync()
    }

    /// Returns whether the file system has no sync: a read-only one, such as squashfs, which never
    /// has dirty pages.
    #[must_use]
    pub(crate) fn is_unsyncable(&self) -> bool {
        self.is_of_sync() && self.is(&[Errno::INVAL, Errno::ROFS])
    }

    /// Returns whether the file does not exist.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.is(&[Errno::NOENT])
    }

    /// Returns whether another process's lease blocks the call for the moment.
    #[must_use]
    pub fn is_leased(&self) -> bool {
        self.is(&[Errno::WOULDBLOCK])
    }

    /// Returns whether npyd's user lacks the permission.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        self.is(&[Errno::ACCESS, Errno::PERM])
    }

    /// Returns whether two paths are on different file systems.
    #[must_use]
    pub fn is_other_file_system(&self) -> bool {
        self.is(&[Errno::XDEV])
    }

    /// Returns whether the file system allows only shorter names. A retry can't succeed.
    #[must_use]
    pub fn is_name_too_long(&self) -> bool {
        self.is(&[Errno::NAMETOOLONG])
    }

    pub(crate) fn is(&self, errnos: &[Errno]) -> bool {
        Errno::from_io_error(&self.cause).is_some_and(|errno| errnos.contains(&errno))
    }

    /// Returns the error as a value that can be compared. Finds the remedy.
    #[must_use]
    pub fn to_value(&self) -> SystemError {
        let cause = match self.cause.raw_os_error() {
            Some(code) => SystemErrorCause::Os(code),
            None => SystemErrorCause::Own(self.cause.to_string()),
        };
        let unprotect = self.protected.clone();
        let unprotect =
            unprotect.map(|(path, protection)| SystemErrorRemedy::Unprotect { path, protection });
        let space = self.shortfall.map(SystemErrorRemedy::FreeSpace);
        let words = || self.remedy().map(SystemErrorRemedy::Words);
        let enter = || self.closed_dir().map(SystemErrorRemedy::Enter);
        let remedy = unprotect.or(space).or_else(|| self.permit()).or_else(enter).or_else(words);
        SystemError { operation: self.operation, path: self.path.clone(), cause, remedy }
    }

    /// Returns the remedy if the permissions of the directory forbid the change of a name. Fit for
    /// messages only, because the permissions may have changed since the call failed.
    fn permit(&self) -> Option<SystemErrorRemedy> {
        if !self.is_denied() || !self.operation.changes_name() || hidden_by(&self.path).is_some() {
            return None;
        }
        let path = self.path.parent()?;
        let dir = Dir::open(path).ok()?;
        let denial = dir.denial_if(|| self.is(&[Errno::PERM])).ok()??;
        Some(SystemErrorRemedy::Permit { dir: path.to_path_buf(), denial })
    }

    /// Returns the topmost directory above the path that npyd's user may not enter. Fit for
    /// messages only, because the permissions may have changed since the call failed.
    fn closed_dir(&self) -> Option<PathBuf> {
        if !self.is_denied() || hidden_by(&self.path).is_some() {
            return None;
        }
        let dirs: Vec<_> = self.path.ancestors().skip(1).collect();
        let is_closed = |dir: &&Path| {
            let entered = accessat(CWD, *dir, Access::EXEC_OK, AtFlags::EACCESS);
            entered == Err(Errno::ACCESS)
        };
        dirs.into_iter().rev().find(is_closed).map(Path::to_path_buf)
    }

    fn remedy(&self) -> Option<&'static str> {
        if (self.is_missing() || self.is_denied())
            && let Some(setting) = hidden_by(&self.path)
        {
            return Some(setting.remedy());
        }
        if self.operation == Operation::OpenDir && self.is_missing() {
            return Some("create it, or mount its file system");
        }
        Some(match Errno::from_io_error(&self.cause)? {
            Errno::NOENT if !has_proc() => "/proc is not mounted; mount it",
            Errno::NOSPC => "the disk is full (df) or out of inodes (df -i); free some space",
            Errno::DQUOT => "the quota is used up; free some space",
            Errno::IO => "the disk may be failing; see the kernel log (dmesg)",
            Errno::FBIG => {
                "raise the file size limit (LimitFSIZE=, ulimit -f), or use a file system that allows larger files"
            }
            Errno::MFILE | Errno::NFILE => "too many files are open; raise LimitNOFILE=",
            Errno::ROFS => {
                "mount it for writing, or under systemd list it in ReadWritePaths= and restart npyd"
            }
            Errno::ACCESS | Errno::PERM => "give the user that npyd runs as access to it",
            Errno::NAMETOOLONG => "its file system allows only shorter names; use a shorter one",
            Errno::LOOP | Errno::XDEV => "it is a symbolic link, or is on another file system",
            _ => return None,
        })
    }
}

impl fmt::Display for FsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_value().fmt(f)
    }
}

impl From<FsError> for SystemError {
    fn from(error: FsError) -> Self {
        error.to_value()
    }
}

/// Returns the file or the directory around it that is protected. Only for messages: the path may
/// refer to another file in the meantime.
fn find_protected(path: &Path) -> Option<(PathBuf, Protection)> {
    path.ancestors().take(2).find_map(|path| {
        let stat = Stat::at(CWD, path).ok()?;
        Some((path.to_path_buf(), stat.protection?))
    })
}

impl std::error::Error for FsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}
