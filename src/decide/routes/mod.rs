//! The routes, the pure half: when each one applies, and which steps it takes. One file a route;
//! a new one is a file and a line in `CHEAPEST_FIRST`.

mod copy;
mod in_place;
mod insert_range;
mod page_header;
mod reflink;

use crate::decide::plan::Steps;
use crate::decide::route::{Constraints, Obstacle, Route};
use crate::describe::Dump;
use crate::npy::Header;

pub(crate) use copy::steps as copy_steps;
pub use in_place::SECTOR;

/// The array that is to be made, and what limits the choice of a route.
pub(crate) struct Request<'a> {
    pub(crate) dump: &'a Dump,
    pub(crate) header: &'a Header,
    /// Size of the data file in bytes; in salvage, the size once the rest is cut off.
    pub(crate) size: u64,
    pub(crate) constraints: &'a Constraints,
}

/// A route that does not apply to every drop.
pub(crate) struct Candidate {
    pub(crate) route: Route,
    /// Returns the steps of the route, or why it does not apply.
    pub(crate) steps: fn(&Request<'_>) -> Result<Steps, Obstacle>,
}

/// The routes that are tried before the copy, which always applies; the one that moves the fewest
/// bytes comes first.
pub(crate) const CHEAPEST_FIRST: [Candidate; 3] =
    [in_place::CANDIDATE, reflink::CANDIDATE, insert_range::CANDIDATE];
