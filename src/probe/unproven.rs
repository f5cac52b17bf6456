//! Why a file can't be removed or moved now, and what changes that.

use std::fmt;

use crate::decide::route_obstacle::RouteObstacle;
use crate::fs::{self, DataFile};
use crate::model::{DirDenial, FileName, Protection, Unprovable, Writer};

/// Why a file can't be removed or moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unproven {
    file: FileName,
    why: StayReason,
}

/// Why a file stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StayReason {
    /// A process writes to it.
    Writer,
    /// The kernel can't detect writers.
    NoLease(Unprovable),
    /// A flag forbids it.
    Protected(Protection),
    /// A flag of its directory forbids it.
    DirProtected(Protection),
    /// The rights of its directory forbid it.
    Denied(DirDenial),
}

impl Unproven {
    /// Returns why the kernel grants no lease on a file.
    pub(crate) fn of(name: &FileName, file: &DataFile) -> fs::Result<Self> {
        let why = match file.writer()? {
            Writer::Unknown(why) => StayReason::NoLease(why),
            Writer::Present | Writer::None => StayReason::Writer,
        };
        Ok(Unproven { file: name.clone(), why })
    }

    /// Returns the value for a file that a flag protects.
    pub(crate) fn protected(name: &FileName, flag: Protection) -> Self {
        Unproven { file: name.clone(), why: StayReason::Protected(flag) }
    }

    /// Returns the value for a file in a directory that a flag protects.
    pub(crate) fn in_protected_dir(name: &FileName, flag: Protection) -> Self {
        Unproven { file: name.clone(), why: StayReason::DirProtected(flag) }
    }

    /// Returns the value for a file in a directory whose rights keep it there.
    pub(crate) fn denied(name: &FileName, denial: DirDenial) -> Self {
        Unproven { file: name.clone(), why: StayReason::Denied(denial) }
    }

    /// Returns the value for a file that a process opened for writing during the work.
    #[must_use]
    pub fn opened(name: &FileName) -> Self {
        Unproven { file: name.clone(), why: StayReason::Writer }
    }

    /// Returns why the file can't become the array itself.
    #[must_use]
    pub fn to_route_obstacle(&self) -> RouteObstacle {
        let file = self.file.clone();
        match self.why {
            StayReason::Protected(flag) => RouteObstacle::Protected { file, flag },
            StayReason::DirProtected(flag) => RouteObstacle::DirProtected { file, flag },
            StayReason::Denied(denial) => RouteObstacle::Denied { file, denial },
            StayReason::Writer | StayReason::NoLease(_) => RouteObstacle::Unproven,
        }
    }

    /// Returns what makes npyd remove or archive the file.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self.why {
            StayReason::Writer => "it goes once it is closed",
            StayReason::Protected(Protection::Immutable) => "`chattr -i` lets it go",
            StayReason::Protected(Protection::AppendOnly) => "`chattr -a` lets it go",
            StayReason::DirProtected(Protection::Immutable) => {
                "`chattr -i` on the directory lets it go"
            }
            StayReason::DirProtected(Protection::AppendOnly) => {
                "`chattr -a` on the directory lets it go"
            }
            StayReason::Denied(DirDenial::Sticky) => {
                "`chmod -t` on the directory, or making npyd's user its owner, lets it go"
            }
            StayReason::Denied(DirDenial::NoWrite) => {
                "write permission on the directory lets it go"
            }
            StayReason::NoLease(Unprovable::NoRight) => {
                "CAP_LEASE, a `digest` in its manifest, a marker, or remove_unproven = true in the \
                 configuration lets it go"
            }
            StayReason::NoLease(Unprovable::Network | Unprovable::NoLeases) => {
                "a `digest` in its manifest, a marker, or remove_unproven = true in the configuration lets \
                 it go"
            }
        }
    }
}

impl fmt::Display for Unproven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = &self.file;
        match self.why {
            StayReason::Writer => write!(f, "`{file}` is open for writing"),
            StayReason::NoLease(why) => {
                write!(f, "npyd can't tell whether `{file}` is still written to: {why}")
            }
            StayReason::Protected(flag) => write!(f, "`{file}` is {flag}"),
            StayReason::Denied(denial) => write!(f, "the directory of `{file}` {denial}"),
            StayReason::DirProtected(flag) => write!(f, "the directory of `{file}` is {flag}"),
        }
    }
}
