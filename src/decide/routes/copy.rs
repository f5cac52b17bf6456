//! The copy route: all bytes are copied behind a new header. It applies to every drop.

use crate::decide::new_file::NewFile;
use crate::decide::route::{Route, Steps};
use crate::decide::route_obstacle::RouteObstacle;
use crate::decide::routes::{Outline, RouteInput, RouteRule};

pub(super) const RULE: RouteRule =
    RouteRule { route: Route::Copy, can_remake_array: true, outline };

/// Outlines NumPy's own header, and the range of the data that is copied behind it.
fn outline(input: &RouteInput<'_>) -> Result<Outline, RouteObstacle> {
    let RouteInput { dump, source_header, constraints, .. } = input;
    constraints.allow(Route::Copy)?;
    let (offset, len) = (dump.data_offset, source_header.data_len());
    let new = NewFile { head: source_header.numpy_bytes(), offset, len };
    Ok(input.with_source_bytes(Steps::Copy(new)))
}
