//! A header of one page, which keeps the data aligned to the blocks of the file system.

use crate::config::Readers;
use crate::decide::constraints::{Obstacle, expected};
use crate::decide::routes::Request;

/// The block size of the common file systems that share blocks, in bytes. A header of that length
/// keeps mapped data aligned, and np.load accepts it.
const PAGE: u64 = 4096;

/// Returns a header after which the data begin at a block boundary.
pub(super) fn page_header(request: &Request<'_>) -> Result<Vec<u8>, Obstacle> {
    let Request { dump, source_header, constraints, .. } = request;
    if source_header.data_len() == 0 {
        return expected("there are no data");
    }
    if constraints.readers == Readers::Any {
        return Err("a header of a page is not one that every reader takes".to_owned().into());
    }
    if constraints.files > 1 {
        return Err("the data are in several files".to_owned().into());
    }
    if !dump.data_offset.is_multiple_of(PAGE) {
        let offset = dump.data_offset;
        return Err(format!("the data begin at byte {offset}, not at a multiple of {PAGE}").into());
    }
    source_header.bytes_padded_to(PAGE).map_err(|error| error.to_string().into())
}
