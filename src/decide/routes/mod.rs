//! The routes, the pure half: when each one applies, and which steps it takes. One file a route;
//! a new one is a file and a line in `ROUTES`.

mod copy;
mod in_place;
mod insert_range;
mod page_header;
pub mod plan;
mod reflink;

use crate::decide::constraints::Constraints;
use crate::decide::route::{Route, Steps};
use crate::decide::route_obstacle::RouteObstacle;
use crate::describe::Dump;
use crate::npy::Header;

pub use in_place::SECTOR;
pub(crate) use insert_range::WORTH_INSERTING;

/// The array that is to be made, and what limits the choice of a route.
pub(crate) struct RouteInput<'a> {
    pub(crate) dump: &'a Dump,
    /// How the bytes of the source are laid out.
    pub(crate) source_header: &'a Header,
    /// Size of the data file in bytes; in salvage, the size once the rest is cut off.
    pub(crate) size: u64,
    pub(crate) constraints: &'a Constraints,
}

impl RouteInput<'_> {
    /// Outlines an array that holds the bytes of the source, and therefore has their header.
    fn with_source_bytes(&self, steps: Steps) -> Outline {
        Outline { header: self.source_header.clone(), holds_source_bytes: true, steps }
    }
}

/// The array that a route makes, and how.
pub(crate) struct Outline {
    /// The header of the array.
    pub(crate) header: Header,
    /// Whether the data of the array are the bytes of the source. A route that converts them says
    /// no: its arrays are never compared with their sources.
    pub(crate) holds_source_bytes: bool,
    pub(crate) steps: Steps,
}

/// A route that can be chosen.
#[derive(Clone, Copy)]
pub(crate) struct RouteRule {
    pub(crate) route: Route,
    /// Whether `npyd redo` can make an array again from itself by this route. If so, its steps are
    /// [`Steps::Reflink`] or [`Steps::Copy`].
    pub(crate) can_remake_array: bool,
    /// Returns the array that the route makes, or why it does not apply.
    pub(crate) outline: fn(&RouteInput<'_>) -> Result<Outline, RouteObstacle>,
}

/// The routes in the order in which they are tried. The one that moves the fewest bytes comes
/// first. The copy is last, because it always applies.
pub(crate) const ROUTES: [RouteRule; 4] =
    [in_place::RULE, reflink::RULE, insert_range::RULE, copy::RULE];
