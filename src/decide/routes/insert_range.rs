//! The insert-range route: the file system inserts a page for the header at the front of the file.

use crate::config::Disposition;
use crate::decide::route::{Route, Steps};
use crate::decide::route_obstacle::RouteObstacle;
use crate::decide::routes::page_header::page_header;
use crate::decide::routes::{Outline, RouteInput, RouteRule};
use crate::describe::LeadingBytes;

/// The smallest data for which inserting a range, with the syncs that make it safe, takes less time
/// than a copy, in bytes.
pub(crate) const WORTH_INSERTING: u64 = 16 << 20;

pub(super) const RULE: RouteRule =
    RouteRule { route: Route::InsertRange, can_remake_array: false, outline };

/// Outlines a header of one page, which goes into the range that is inserted before the data.
fn outline(input: &RouteInput<'_>) -> Result<Outline, RouteObstacle> {
    let RouteInput { dump, source_header, size, constraints } = input;
    match constraints.wishes.source {
        Disposition::Keep => return Err(RouteObstacle::SourceKept),
        Disposition::Archive => return Err(RouteObstacle::SourceArchived),
        Disposition::Remove => {}
    }
    if dump.facts.has_live_readers {
        return Err(RouteObstacle::LiveReaders);
    }
    if !constraints.file_system.may_insert() {
        return Err(RouteObstacle::NoInsertion);
    }
    if !constraints.can_journal {
        return Err(RouteObstacle::NotUndoable);
    }
    if matches!(dump.front, LeadingBytes::Header(_)) {
        return Err(RouteObstacle::OwnHeader);
    }
    if source_header.data_len() < WORTH_INSERTING {
        return Err(RouteObstacle::TooSmall);
    }
    if !constraints.same_file_system {
        return Err(RouteObstacle::OtherMount);
    }
    if dump.data_offset != 0 || *size != source_header.data_len() {
        return Err(RouteObstacle::MoreThanData);
    }
    constraints.allow(Route::InsertRange)?;
    Ok(input.with_source_bytes(Steps::Insert(page_header(input)?)))
}
