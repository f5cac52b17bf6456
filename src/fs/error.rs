//! Errors that name the operation and the path.

use std::path::{Path, PathBuf};
use std::{fmt, io};

use rustix::io::Errno;

use crate::text::sanitize::os_message;

/// A system call that failed.
#[derive(Debug)]
pub struct FsError {
    operation: &'static str,
    path: PathBuf,
    cause: io::Error,
}

/// The result of a system call on data.
pub type Result<T> = std::result::Result<T, FsError>;

/// The operation of opening a directory, which people can do something about.
pub(crate) const OPEN_DIR: &str = "open the directory";

/// The operation of making a file's content durable, whose failure is final for it.
pub(crate) const SYNC: &str = "sync";

/// The kernel's own, some time after a write; its failure is just as final.
pub(crate) const WRITE_BACK: &str = "write back";

impl FsError {
    pub(crate) fn new(operation: &'static str, path: &Path, cause: impl Into<io::Error>) -> Self {
        FsError { operation, path: path.to_path_buf(), cause: cause.into() }
    }

    /// What was to be done, in the infinitive: "open", "sync".
    #[must_use]
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// To what.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the kernel said.
    #[must_use]
    pub fn io(&self) -> &io::Error {
        &self.cause
    }

    /// Whether content could not be made durable. It may be lost, whatever a later sync says.
    #[must_use]
    pub fn is_of_sync(&self) -> bool {
        [SYNC, WRITE_BACK].contains(&self.operation)
    }

    /// Whether there is no such file.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.is(&[Errno::NOENT])
    }

    /// Whether somebody's lease stands in the way for the moment.
    #[must_use]
    pub fn is_leased(&self) -> bool {
        self.is(&[Errno::WOULDBLOCK])
    }

    /// Whether npyd's user lacks the right to it.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        self.is(&[Errno::ACCESS, Errno::PERM])
    }

    /// Whether two places lie on different file systems.
    #[must_use]
    pub fn is_other_file_system(&self) -> bool {
        self.is(&[Errno::XDEV])
    }

    pub(crate) fn is(&self, errnos: &[Errno]) -> bool {
        Errno::from_io_error(&self.cause).is_some_and(|errno| errnos.contains(&errno))
    }

    fn remedy(&self) -> Option<&'static str> {
        if self.operation == OPEN_DIR && self.is_missing() {
            return Some("make it, or mount what it is on");
        }
        Some(match Errno::from_io_error(&self.cause)? {
            Errno::NOSPC => "the disk is full (df), or out of inodes (df -i): make room",
            Errno::DQUOT => "the quota is used up: make room",
            Errno::IO => "the disk may be failing: see the kernel's log (dmesg)",
            Errno::FBIG => {
                "raise the limit on a file's size (LimitFSIZE, ulimit -f), or use a file system that takes it"
            }
            Errno::MFILE | Errno::NFILE => "too many files are open: raise LimitNOFILE",
            Errno::ROFS => {
                "mount it for writing, or name it in ReadWritePaths= where systemd protects it"
            }
            Errno::ACCESS | Errno::PERM => "give the user that npyd runs as the right to it",
            Errno::LOOP | Errno::XDEV => "it is a symbolic link, or leads to another file system",
            _ => return None,
        })
    }
}

impl fmt::Display for FsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "failed to {} `{}`: {}",
            self.operation,
            self.path.display(),
            os_message(&self.cause)
        )?;
        match self.remedy() {
            Some(remedy) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for FsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}
