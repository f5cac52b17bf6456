//! Why a file can't be removed or moved now, and what changes that.

use std::fmt;

use crate::decide::route_obstacle::RouteObstacle;
use crate::fs::{self, DataFile, Unprovable};
use crate::model::{DirDenial, FileName, Protection};

/// The obstacle to removing or moving a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unproven {
    file: FileName,
    why: Obstacle,
}

/// Why a file stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Obstacle {
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
            fs::Writer::Unknown(why) => Obstacle::NoLease(why),
            fs::Writer::Present | fs::Writer::None => Obstacle::Writer,
        };
        Ok(Unproven { file: name.clone(), why })
    }

    /// Returns the value for a file that a flag protects.
    pub(crate) fn protected(name: &FileName, flag: Protection) -> Self {
        Unproven { file: name.clone(), why: Obstacle::Protected(flag) }
    }

    /// Returns the value for a file in a directory that a flag protects.
    pub(crate) fn in_protected_dir(name: &FileName, flag: Protection) -> Self {
        Unproven { file: name.clone(), why: Obstacle::DirProtected(flag) }
    }

    /// Returns the value for a file in a directory whose rights keep it there.
    pub(crate) fn denied(name: &FileName, denial: DirDenial) -> Self {
        Unproven { file: name.clone(), why: Obstacle::Denied(denial) }
    }

    /// Returns the value for a file that a process opened for writing during the work.
    #[must_use]
    pub fn opened(name: &FileName) -> Self {
        Unproven { file: name.clone(), why: Obstacle::Writer }
    }

    /// Returns why the file can't become the array itself.
    #[must_use]
    pub fn to_route_obstacle(&self) -> RouteObstacle {
        let file = self.file.clone();
        match self.why {
            Obstacle::Protected(flag) => RouteObstacle::Protected { file, flag },
            Obstacle::DirProtected(flag) => RouteObstacle::DirProtected { file, flag },
            Obstacle::Denied(denial) => RouteObstacle::Denied { file, denial },
            Obstacle::Writer | Obstacle::NoLease(_) => RouteObstacle::Unproven,
        }
    }

    /// Returns what makes npyd remove or archive the file.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self.why {
            Obstacle::Writer => "it goes once it is closed",
            Obstacle::Protected(Protection::Immutable) => "`chattr -i` lets it go",
            Obstacle::Protected(Protection::AppendOnly) => "`chattr -a` lets it go",
            Obstacle::DirProtected(Protection::Immutable) => {
                "`chattr -i` on the directory lets it go"
            }
            Obstacle::DirProtected(Protection::AppendOnly) => {
                "`chattr -a` on the directory lets it go"
            }
            Obstacle::Denied(DirDenial::Sticky) => {
                "`chmod -t` on the directory, or making npyd's user its owner, lets it go"
            }
            Obstacle::Denied(DirDenial::NoWrite) => "write permission on the directory lets it go",
            Obstacle::NoLease(Unprovable::NoRight) => {
                "CAP_LEASE, a `digest` in its manifest, a marker, or remove_unproven = true lets it go"
            }
            Obstacle::NoLease(Unprovable::Network | Unprovable::NoLeases) => {
                "a `digest` in its manifest, a marker, or remove_unproven = true lets it go"
            }
        }
    }
}

impl fmt::Display for Unproven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = &self.file;
        match self.why {
            Obstacle::Writer => write!(f, "`{file}` is open for writing"),
            Obstacle::NoLease(why) => {
                write!(f, "npyd can't tell whether `{file}` is still written to: {why}")
            }
            Obstacle::Protected(flag) => write!(f, "`{file}` is {flag}"),
            Obstacle::Denied(denial) => write!(f, "the directory of `{file}` {denial}"),
            Obstacle::DirProtected(flag) => write!(f, "the directory of `{file}` is {flag}"),
        }
    }
}
