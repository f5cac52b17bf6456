//! Failed system calls as values, which a reason can hold and compare.

use std::fmt;
use std::path::PathBuf;

use crate::model::{DirDenial, Operation, Protection};
use crate::text::os_message::os_message;

/// A system call that failed: what npyd was about to do, with which file, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemError {
    /// The failed operation.
    pub operation: Operation,
    /// The path of the file or directory.
    pub path: PathBuf,
    /// Why it failed.
    pub cause: SystemErrorCause,
    /// What to do, if npyd knows it.
    pub remedy: Option<SystemErrorRemedy>,
}

/// What the path of a file has as its name that has none yet (`O_TMPFILE`).
pub const UNNAMED: &str = "(unnamed)";

/// Why a system call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SystemErrorCause {
    /// An error number of the operating system.
    Os(i32),
    /// npyd or a library refused the call, and gives its own words for that.
    Own(String),
}

/// What to do about a failed system call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SystemErrorRemedy {
    /// Remove the protection of a file or directory.
    Unprotect {
        /// The path of the protected file or directory.
        path: PathBuf,
        /// The protection.
        protection: Protection,
    },
    /// Let npyd's user change the names in a directory.
    Permit {
        /// The directory.
        dir: PathBuf,
        /// Why it may not.
        denial: DirDenial,
    },
    /// Let npyd's user enter a directory above the file.
    Enter(PathBuf),
    /// Free space for a file that is larger than what is free.
    FreeSpace(Shortfall),
    /// Something else, in words.
    Words(&'static str),
}

/// A file that is larger than the space for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shortfall {
    /// How many bytes the file needs.
    pub needs: u64,
    /// How many bytes are free, if npyd knows it: a quota may leave less than the file system has.
    pub free: Option<u64>,
}

impl Shortfall {
    /// A disk with less free space than this is full: hardly another file fits.
    const FULL_BELOW: u64 = 1 << 20;

    /// Returns whether smaller files may fit, so that the file alone has to wait.
    #[must_use]
    pub fn is_of_file(self) -> bool {
        self.needs >= Self::FULL_BELOW && self.free.is_none_or(|free| free >= Self::FULL_BELOW)
    }
}

impl fmt::Display for Shortfall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let needs = indicatif::BinaryBytes(self.needs);
        match self.free.map(indicatif::BinaryBytes) {
            Some(free) => write!(f, "it needs {needs}, and {free} are free (df); free some space"),
            None => write!(f, "it needs {needs}; free some space, or raise the quota"),
        }
    }
}

impl fmt::Display for SystemErrorCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SystemErrorCause::Os(code) => {
                f.write_str(&os_message(&std::io::Error::from_raw_os_error(*code)))
            }
            SystemErrorCause::Own(words) => f.write_str(words),
        }
    }
}

impl fmt::Display for SystemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operation = self.operation.as_str();
        match self.path.parent().filter(|_| self.path.ends_with(UNNAMED)) {
            Some(dir) => write!(f, "failed to {operation} a new file in `{}`", dir.display())?,
            None => write!(f, "failed to {operation} `{}`", self.path.display())?,
        }
        write!(f, ": {}", self.cause)?;
        match &self.remedy {
            Some(SystemErrorRemedy::Unprotect { path, protection }) => {
                let (path, remedy) = (path.display(), protection.remedy());
                write!(f, "; `{path}` is {protection}: {remedy} lets npyd change it")
            }
            Some(SystemErrorRemedy::Permit { dir, denial }) => {
                let remedy = match denial {
                    DirDenial::NoWrite => "give it write permission",
                    DirDenial::Sticky => "`chmod -t` it, or make npyd's user its owner",
                };
                write!(f, "; the directory `{}` {denial}; {remedy}", dir.display())
            }
            Some(SystemErrorRemedy::Enter(dir)) => {
                let dir = dir.display();
                write!(
                    f,
                    "; `{dir}` is in the way: let the user that npyd runs as enter it (chmod o+x)"
                )
            }
            Some(SystemErrorRemedy::FreeSpace(shortfall)) => write!(f, "; {shortfall}"),
            Some(SystemErrorRemedy::Words(remedy)) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for SystemError {}
