//! A header of one page, which keeps the data aligned to the blocks of the file system.

use crate::config::Readers;
use crate::decide::route_obstacle::RouteObstacle;
use crate::decide::routes::RouteInput;

/// The block size of the common file systems that share blocks, in bytes. A header of that length
/// keeps mapped data aligned, and np.load accepts it.
const PAGE: u64 = 4096;

/// Returns a header after which the data begin at a block boundary.
pub(super) fn page_header(input: &RouteInput<'_>) -> Result<Vec<u8>, RouteObstacle> {
    let RouteInput { dump, source_header, constraints, .. } = input;
    if source_header.data_len() == 0 {
        return Err(RouteObstacle::NoData);
    }
    if constraints.wishes.readers == Readers::Any {
        return Err(RouteObstacle::PageHeader);
    }
    if constraints.files > 1 {
        return Err(RouteObstacle::SeveralFiles);
    }
    if !dump.data_offset.is_multiple_of(PAGE) {
        return Err(RouteObstacle::Unaligned { offset: dump.data_offset, page: PAGE });
    }
    Ok(source_header.bytes_padded_to(PAGE)?)
}
