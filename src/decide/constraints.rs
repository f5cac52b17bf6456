//! Constraints: what limits the choice of a route.

use crate::config::RouteWishes;
use crate::decide::route::Route;
use crate::decide::route_obstacle::RouteObstacle;
use crate::model::{FileName, FsInfo};

/// What limits the choice of a route.
#[derive(Debug, Clone)]
pub struct Constraints {
    /// What the settings ask of the route.
    pub wishes: RouteWishes,
    /// Whether the data file can be renamed to its final name.
    pub same_file_system: bool,
    /// The file system of the output directory.
    pub file_system: FsInfo,
    /// Number of files that hold the data.
    pub files: usize,
    /// Whether there is an intent log, which insert-range needs.
    pub can_journal: bool,
    /// The name of the data file if the array is to have it, so that no other file can get it.
    pub own_name: Option<FileName>,
    /// Routes that were found not to work for this drop, and why.
    pub excluded: Vec<(Route, RouteObstacle)>,
}

impl Constraints {
    /// Returns the fewest constraints on this file system: for data in one file that npyd may
    /// change and rename. A caller sets the fields that it knows, so that a new field changes no
    /// caller.
    #[must_use]
    pub fn on(file_system: FsInfo) -> Self {
        Constraints {
            wishes: RouteWishes::any(),
            same_file_system: true,
            file_system,
            files: 1,
            can_journal: true,
            own_name: None,
            excluded: Vec::new(),
        }
    }

    /// Excludes a route.
    pub(crate) fn exclude(&mut self, route: Route, why: RouteObstacle) {
        self.excluded.push((route, why));
    }

    /// Excludes the routes by which the data file itself becomes the array.
    pub(crate) fn exclude_consuming(&mut self, why: &RouteObstacle) {
        for route in Route::ALL.into_iter().filter(|route| route.consumes_source()) {
            self.exclude(route, why.clone());
        }
    }

    /// Fails if the route was excluded.
    pub(crate) fn allow(&self, route: Route) -> Result<(), RouteObstacle> {
        let found = self.excluded.iter().find(|(excluded, _)| *excluded == route);
        found.map_or(Ok(()), |(_, why)| Err(why.clone()))
    }
}
