//! The reflink route: a new file shares the blocks of the data behind a header of one page.

use crate::decide::route::{Constraints, NewFile, Route, Why, expected};
use crate::decide::routes::page_header::page;
use crate::describe::Dump;
use crate::npy::Header;

/// A header of one page, and the data shared behind it.
pub(crate) fn share(
    dump: &Dump,
    header: &Header,
    constraints: &Constraints,
) -> Result<NewFile, Why> {
    constraints.allow(Route::Reflink)?;
    if !constraints.file_system.may_share() {
        return expected("the file system does not share blocks");
    }
    Ok(NewFile {
        head: page(dump, header, constraints)?,
        offset: dump.data_offset,
        len: header.data_len(),
    })
}
