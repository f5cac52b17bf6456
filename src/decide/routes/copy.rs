//! The copy route: all bytes are copied behind a new header. It applies to every drop.

use crate::decide::constraints::Obstacle;
use crate::decide::route::Route;
use crate::decide::routes::{Candidate, Outline, Request};
use crate::decide::steps::{NewFile, Steps};

pub(super) const CANDIDATE: Candidate =
    Candidate { route: Route::Copy, can_remake_array: true, outline };

/// Outlines NumPy's own header, and the range of the data that is copied behind it.
fn outline(request: &Request<'_>) -> Result<Outline, Obstacle> {
    let Request { dump, source_header, constraints, .. } = request;
    constraints.allow(Route::Copy)?;
    let (offset, len) = (dump.data_offset, source_header.data_len());
    let new = NewFile { head: source_header.numpy_bytes(), offset, len };
    Ok(request.with_source_bytes(Steps::Copy(new)))
}
