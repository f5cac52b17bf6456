//! The reflink route: a new file shares the blocks of the data behind a header of one page.

use crate::decide::new_file::NewFile;
use crate::decide::route::{Route, Steps};
use crate::decide::route_obstacle::RouteObstacle;
use crate::decide::routes::page_header::page_header;
use crate::decide::routes::{Outline, RouteInput, RouteRule};

pub(super) const RULE: RouteRule =
    RouteRule { route: Route::Reflink, can_remake_array: true, outline };

/// Outlines a header of one page, and the range of the data that is shared behind it.
fn outline(input: &RouteInput<'_>) -> Result<Outline, RouteObstacle> {
    let RouteInput { dump, source_header, constraints, .. } = input;
    constraints.allow(Route::Reflink)?;
    if !constraints.file_system.may_share() {
        return Err(RouteObstacle::NoSharing);
    }
    let new = NewFile {
        head: page_header(input)?,
        offset: dump.data_offset,
        len: source_header.data_len(),
    };
    Ok(input.with_source_bytes(Steps::Reflink(new)))
}
