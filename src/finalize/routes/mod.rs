//! The routes: carries out the steps. Each route is one file; a new route needs a file and a line
//! in [`carry_out`]. `decide/routes/` decides whether a route applies, and which steps it takes.

pub(crate) mod copy;
pub(crate) mod in_place;
pub(crate) mod insert_range;
pub(crate) mod reflink;

use crate::decide::plan::Plan;
use crate::decide::route_obstacle::RouteObstacle;
use crate::decide::steps::Steps;
use crate::finalize::locations::Locations;
use crate::finalize::{Interruption, Job};
use crate::fs::TempFile;
use crate::model::FileName;
use crate::throttle::meter::Meter;

/// The arguments of a route.
pub(crate) struct RouteWork<'a> {
    pub(crate) job: &'a Job,
    pub(crate) at: &'a Locations,
    pub(crate) plan: &'a Plan,
    /// The array's name.
    pub(crate) name: &'a FileName,
    /// Writes the metadata, with these remarks in the receipt. A route calls it before the data
    /// file becomes the array.
    pub(crate) describe: &'a dyn Fn(&[String]) -> Result<(), Interruption>,
}

/// The result of a route.
pub(crate) enum RouteResult {
    /// A new file holds the array. It has no name yet, and is not durable.
    Filled(TempFile),
    /// The data file is the array, durable under its final name. The remarks are for the receipt.
    Consumed(Vec<String>),
    /// The route does not work for this file; nothing was changed.
    Inapplicable(RouteObstacle),
}

/// Carries out the steps of the plan.
pub(crate) fn carry_out(
    work: &RouteWork<'_>,
    progress: &mut Meter,
) -> Result<RouteResult, Interruption> {
    match &work.plan.steps {
        Steps::InPlace(writes) => in_place::carry_out(work, writes, progress),
        Steps::Reflink(new) => reflink::carry_out(work, new, progress),
        Steps::Insert(head) => insert_range::carry_out(work, head, progress),
        Steps::Copy(new) => copy::carry_out(work, new, progress),
    }
}
