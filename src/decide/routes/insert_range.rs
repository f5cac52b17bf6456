//! The insert-range route: the file system inserts a page for the header at the front of the file.

use crate::decide::route::{Constraints, Route, Why, expected};
use crate::decide::routes::page_header::page;
use crate::describe::{Dump, LeadingBytes};
use crate::npy::Header;

/// From how many bytes on moving blocks, with the syncs that make it safe, takes less time than
/// copying bytes.
const WORTH_INSERTING: u64 = 16 << 20;

/// A header of one page, for which room is made before the data.
pub(crate) fn insert(
    dump: &Dump,
    header: &Header,
    size: u64,
    constraints: &Constraints,
) -> Result<Vec<u8>, Why> {
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
    if header.data_len() < WORTH_INSERTING {
        return expected("it is so small that a copy is faster");
    }
    if !constraints.same_file_system {
        return Err("the output is on another file system".to_owned().into());
    }
    if dump.data_offset != 0 || size != header.data_len() {
        return Err("the file holds more than the data".to_owned().into());
    }
    constraints.allow(Route::InsertRange)?;
    page(dump, header, constraints)
}
