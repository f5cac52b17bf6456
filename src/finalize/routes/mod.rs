//! The routes: carries out the steps. Each route is one file; a new route needs a file and a line
//! in [`carry_out`] and in [`remake`]. `decide/routes/` decides whether a route applies, and which
//! steps it takes.

pub(crate) mod copy;
pub(crate) mod in_place;
pub(crate) mod insert_range;
pub(crate) mod reflink;

use crate::decide::plan::Plan;
use crate::decide::reason::Reason;
use crate::decide::route::Steps;
use crate::decide::route_obstacle::RouteObstacle;
use crate::decide::route_problem::RouteProblem;
use crate::finalize::locations::Locations;
use crate::finalize::{Interruption, Job};
use crate::fs::{DataFile, Dir, TempFile};
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
    pub(crate) write_metadata: &'a dyn Fn(&[String]) -> Result<(), Interruption>,
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

/// Carries out the steps of a plan for an array that is made again from itself: fills a new file
/// that no other user can open yet. The route may not work for this array.
pub(crate) fn remake(
    (array, may_map): (&DataFile, bool),
    dir: &Dir,
    plan: &Plan,
    progress: &mut Meter,
) -> Result<Result<TempFile, RouteObstacle>, Interruption> {
    match &plan.steps {
        Steps::Reflink(new) => reflink::remake(array, dir, new, progress),
        Steps::Copy(new) => copy::remake((array, may_map), dir, new, progress).map(Ok),
        // No route that can remake an array has such steps.
        Steps::InPlace(_) | Steps::Insert(_) => {
            let none = RouteProblem::NoneLeft(plan.skipped_routes.clone());
            Err(Interruption::Rejected(Reason::Route(none)))
        }
    }
}
