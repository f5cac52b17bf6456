//! Constraints: what limits the choice of a route, and why one does not apply.

use crate::config::Readers;
use crate::decide::reason::Reason;
use crate::decide::route::Route;
use crate::model::{FileName, FsInfo};

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
