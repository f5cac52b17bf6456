//! A route: the way the data take into the array, its steps, and what limits the choice.

use std::fmt;

use crate::config::Readers;
use crate::decide::reason::Reason;
use crate::describe::{Dump, LeadingBytes};
use crate::model::{FileName, FsInfo};

/// The way that the data of a drop take into the array.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Route {
    /// The header is written into room at the front of the data file.
    InPlace,
    /// A new file shares the data's blocks behind its header.
    Reflink,
    /// The file system inserts room for the header at the front of the data file.
    InsertRange,
    /// The data are copied behind a new header.
    Copy,
}

impl Route {
    /// Returns the name in receipts.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Route::InPlace => "in-place",
            Route::Reflink => "reflink",
            Route::InsertRange => "insert-range",
            Route::Copy => "copy",
        }
    }

    /// Returns whether the data file itself becomes the array.
    #[must_use]
    pub fn consumes_source(self) -> bool {
        matches!(self, Route::InPlace | Route::InsertRange)
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The steps of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Steps {
    /// The data are synced, then each of these writes is made and synced.
    InPlace(Vec<Write>),
    /// A new file with this header shares the blocks of the data.
    Reflink(NewFile),
    /// This header is written into a range inserted at the front of the data file.
    Insert(Vec<u8>),
    /// The data are copied into a new file behind this header.
    Copy(NewFile),
}

impl Steps {
    /// Returns the header as it will be in the file.
    pub(crate) fn head(&self, dump: &Dump) -> Vec<u8> {
        let writes = match self {
            Steps::Reflink(new) | Steps::Copy(new) => return new.head.clone(),
            Steps::Insert(head) => return head.clone(),
            Steps::InPlace(writes) => writes,
        };
        let mut head = match &dump.front {
            LeadingBytes::Header(own) => own.bytes.clone(),
            _ => vec![0; dump.data_offset as usize],
        };
        for Write { at, bytes } in writes {
            head[*at as usize..][..bytes.len()].copy_from_slice(bytes);
        }
        head
    }
}

/// A route that does not apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedRoute {
    /// The route.
    pub route: Route,
    /// Why it does not apply.
    pub why: String,
    /// Whether the receipt says so, because neither the settings nor the file system explain it.
    pub is_noteworthy: bool,
}

impl fmt::Display for SkippedRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not {}: {}", self.route, self.why)
    }
}

/// A file to be made: a header, and a range of the source behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFile {
    /// The header.
    pub head: Vec<u8>,
    /// Offset of the data in the source, in bytes.
    pub offset: u64,
    /// Length of the data, in all files together, in bytes.
    pub len: u64,
}

/// Bytes that overwrite those at an offset of the data file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The offset, in bytes.
    pub at: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// What limits the choice of a route.
#[derive(Debug, Clone)]
pub struct Constraints {
    /// Which readers must accept the header.
    pub readers: Readers,
    /// Whether the data file can be renamed to its final name.
    pub same_file_system: bool,
    /// The file system of the output directory.
    pub file_system: FsInfo,
    /// Number of files that hold the data.
    pub files: usize,
    /// Whether the data file must stay as it is.
    pub keeps_source: bool,
    /// Whether there is an intent log, which insert-range needs.
    pub can_journal: bool,
    /// The name of the data file if the array is to have it, so that no other file can get it.
    pub own_name: Option<FileName>,
    /// Routes that were found not to work for this drop, and why.
    pub excluded: Vec<(Route, String)>,
}

impl Constraints {
    /// Excludes a route.
    pub(crate) fn exclude(&mut self, route: Route, why: impl Into<String>) {
        self.excluded.push((route, why.into()));
    }

    /// Excludes the routes by which the data file itself becomes the array.
    pub(crate) fn exclude_consuming(&mut self, why: &str) {
        for route in [Route::InPlace, Route::InsertRange] {
            self.exclude(route, why);
        }
    }

    /// Fails if the route was excluded.
    pub(crate) fn allow(&self, route: Route) -> Result<(), Obstacle> {
        let found = self.excluded.iter().find(|(excluded, _)| *excluded == route);
        found.map_or(Ok(()), |(_, why)| Err(why.clone().into()))
    }
}

/// Why a route does not apply.
pub(crate) enum Obstacle {
    /// The next route is tried.
    Skip { why: String, is_noteworthy: bool },
    /// This route alone may make the array, so that no other is tried.
    Refuse(Reason),
}

/// Fails with an obstacle that follows from the settings or the file system, so that receipts need
/// not name it.
pub(crate) fn expected<T>(why: &str) -> Result<T, Obstacle> {
    Err(Obstacle::Skip { why: why.to_owned(), is_noteworthy: false })
}

impl From<String> for Obstacle {
    fn from(why: String) -> Self {
        Obstacle::Skip { why, is_noteworthy: true }
    }
}
