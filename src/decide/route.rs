//! A route: the way that the data of a drop take into the array.

use std::fmt;

use crate::decide::route_obstacle::RouteObstacle;

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
    /// All routes.
    pub const ALL: [Route; 4] = [Route::InPlace, Route::Reflink, Route::InsertRange, Route::Copy];

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

    /// Returns the route that has this name in receipts.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Route::ALL.into_iter().find(|route| route.as_str() == name)
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

/// A route that does not apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedRoute {
    /// The route.
    pub route: Route,
    /// Why it does not apply.
    pub why: RouteObstacle,
}

impl fmt::Display for SkippedRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not {}: {}", self.route, self.why)
    }
}
