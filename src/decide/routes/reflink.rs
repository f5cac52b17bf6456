//! The reflink route: a new file shares the blocks of the data behind a header of one page.

use crate::decide::plan::Steps;
use crate::decide::route::{NewFile, Obstacle, Route, expected};
use crate::decide::routes::page_header::page_header;
use crate::decide::routes::{Candidate, Request};

pub(super) const CANDIDATE: Candidate = Candidate { route: Route::Reflink, steps };

/// Returns a header of one page, and the range of the data that is shared behind it.
fn steps(request: &Request<'_>) -> Result<Steps, Obstacle> {
    let Request { dump, header, constraints, .. } = request;
    constraints.allow(Route::Reflink)?;
    if !constraints.file_system.may_share() {
        return expected("the file system does not share blocks");
    }
    Ok(Steps::Reflink(NewFile {
        head: page_header(request)?,
        offset: dump.data_offset,
        len: header.data_len(),
    }))
}
