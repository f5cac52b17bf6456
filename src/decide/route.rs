//! A route: the way the data take into the array, and what limits the choice.

use std::fmt;

use crate::config::Readers;
use crate::model::FsInfo;

/// The way the data take, or don't.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Route {
    /// The header is written before the data, where there is room for it.
    InPlace,
    /// A new file shares the data's blocks behind its header.
    Reflink,
    /// The file system opens up room for the header at the front of the data file.
    InsertRange,
    /// The data are copied behind a new header.
    Copy,
}

impl Route {
    /// The name in receipts.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Route::InPlace => "in-place",
            Route::Reflink => "reflink",
            Route::InsertRange => "insert-range",
            Route::Copy => "copy",
        }
    }

    /// Whether the data file itself becomes the array.
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

/// A route that was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedRoute {
    /// The route.
    pub route: Route,
    /// Why not.
    pub why: String,
    /// Whether somebody who knows the settings and the file system could wonder about it.
    pub is_noteworthy: bool,
}

impl fmt::Display for SkippedRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not {}: {}", self.route, self.why)
    }
}

/// A file to be made: a header, and behind it so many bytes of the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFile {
    /// The new file's header.
    pub head: Vec<u8>,
    /// Where the data begin in the source.
    pub offset: u64,
    /// How many bytes they have; where they are in several files, all together.
    pub len: u64,
}

/// Bytes to be written over those at an offset of the data file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The offset.
    pub at: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// What limits the choice of a route.
#[derive(Debug, Clone)]
pub struct Constraints {
    /// Who must be able to read the header.
    pub readers: Readers,
    /// Whether the data file can be renamed to its final name.
    pub same_file_system: bool,
    /// The file system that the array goes to.
    pub file_system: FsInfo,
    /// How many files the data are in.
    pub files: usize,
    /// Whether the data file is needed as it is.
    pub keeps_source: bool,
    /// Whether there is a place to note down what a crash would leave half done.
    pub can_journal: bool,
    /// Routes that turned out to be none, and why.
    pub excluded: Vec<(Route, String)>,
}

impl Constraints {
    pub(crate) fn allow(&self, route: Route) -> Result<(), Why> {
        let found = self.excluded.iter().find(|(excluded, _)| *excluded == route);
        found.map_or(Ok(()), |(_, why)| Err(why.clone().into()))
    }
}

/// Why a route is none.
pub(crate) struct Why {
    pub(crate) why: String,
    pub(crate) is_noteworthy: bool,
}

/// What the settings or the file system rule out for every drop alike.
pub(crate) fn expected<T>(why: &str) -> Result<T, Why> {
    Err(Why { why: why.to_owned(), is_noteworthy: false })
}

impl From<String> for Why {
    fn from(why: String) -> Self {
        Why { why, is_noteworthy: true }
    }
}
