//! A header of one page, which keeps the data aligned to the blocks of the file system.

use crate::config::Readers;
use crate::decide::route::{Constraints, Why, expected};
use crate::describe::Dump;
use crate::npy::Header;

/// The block of the common file systems that share blocks, in bytes. A header of that length keeps
/// the mapped data aligned, and np.load takes it.
pub(crate) const PAGE: u64 = 4096;

/// A header that leaves the data where their blocks begin.
pub(crate) fn page(
    dump: &Dump,
    header: &Header,
    constraints: &Constraints,
) -> Result<Vec<u8>, Why> {
    if header.data_len() == 0 {
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
    header.bytes_padded_to(PAGE).map_err(|error| error.to_string().into())
}
