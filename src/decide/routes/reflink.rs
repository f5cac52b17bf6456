//! The reflink route: a new file shares the blocks of the data behind a header of one page.

use crate::decide::constraints::Obstacle;
use crate::decide::route::Route;
use crate::decide::route_obstacle::RouteObstacle;
use crate::decide::routes::page_header::page_header;
use crate::decide::routes::{Candidate, Outline, Request};
use crate::decide::steps::{NewFile, Steps};

pub(super) const CANDIDATE: Candidate =
    Candidate { route: Route::Reflink, can_remake_array: true, outline };

/// Outlines a header of one page, and the range of the data that is shared behind it.
fn outline(request: &Request<'_>) -> Result<Outline, Obstacle> {
    let Request { dump, source_header, constraints, .. } = request;
    constraints.allow(Route::Reflink)?;
    if !constraints.file_system.may_share() {
        return Err(RouteObstacle::NoSharing.into());
    }
    let new = NewFile {
        head: page_header(request)?,
        offset: dump.data_offset,
        len: source_header.data_len(),
    };
    Ok(request.with_source_bytes(Steps::Reflink(new)))
}
