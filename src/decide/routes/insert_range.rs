//! The insert-range route: the file system inserts a page for the header at the front of the file.

use crate::decide::constraints::{Obstacle, expected};
use crate::decide::route::Route;
use crate::decide::routes::page_header::page_header;
use crate::decide::routes::{Candidate, Outline, Request};
use crate::decide::steps::Steps;
use crate::describe::LeadingBytes;

/// The smallest data for which inserting a range, with the syncs that make it safe, takes less time
/// than a copy, in bytes.
const WORTH_INSERTING: u64 = 16 << 20;

pub(super) const CANDIDATE: Candidate = Candidate { route: Route::InsertRange, outline };

/// Outlines a header of one page, which goes into the range that is inserted before the data.
fn outline(request: &Request<'_>) -> Result<Outline, Obstacle> {
    let Request { dump, source_header, size, constraints } = request;
    if constraints.keeps_source {
        return expected("the source is kept");
    }
    if dump.facts.has_live_readers {
        return expected("the data file is read with its sidecar, too, and stays as it is");
    }
    if !constraints.file_system.may_insert() {
        return expected("the file system can't do it, or not safely");
    }
    if !constraints.can_journal {
        return expected("only a daemon or a sweep does it, which can undo it after a crash");
    }
    if matches!(dump.front, LeadingBytes::Header(_)) {
        return Err("it has a header of its own".to_owned().into());
    }
    if source_header.data_len() < WORTH_INSERTING {
        return expected("it is so small that a copy is faster");
    }
    if !constraints.same_file_system {
        return Err("the output is on another file system or mount".to_owned().into());
    }
    if dump.data_offset != 0 || *size != source_header.data_len() {
        return Err("the file holds more than the data".to_owned().into());
    }
    constraints.allow(Route::InsertRange)?;
    Ok(request.with_source_bytes(Steps::Insert(page_header(request)?)))
}
