//! `.npy` files: reads their headers.

use crate::fs::{self, DataFile};
use crate::npy::{HEADER_MAX, Header, Kind, Preamble, parse_header};

/// Reads what comes before the header of a `.npy` or pending file; returns `None` if the file is
/// neither.
pub(crate) fn read_preamble(file: &DataFile) -> fs::Result<Option<Preamble>> {
    Ok(Preamble::read(&file.read_at_most(0, Preamble::LEN)?).ok().flatten())
}

/// Returns where the data begin in a `.npy` file; `None` if it is not one.
pub(crate) fn npy_data_offset(file: &DataFile) -> fs::Result<Option<u64>> {
    Ok(read_preamble(file)?.map(|preamble| preamble.data_offset))
}

/// Reads the header and the data offset of a `.npy` file; returns `None` if it is not one.
pub(crate) fn read_header(file: &DataFile) -> fs::Result<Option<(Header, u64)>> {
    let Some(preamble) = read_preamble(file)? else { return Ok(None) };
    if preamble.kind != Kind::Final {
        return Ok(None);
    }
    let at = preamble.data_offset;
    let head = file.read_at_most(0, at.min(HEADER_MAX) as usize)?;
    let layout = parse_header(&preamble, &head, file.stat()?.size);
    Ok(layout.ok().and_then(|layout| layout.header()).map(|header| (header, at)))
}

/// Returns the data offset of a complete `.npy` file with this header, whatever its padding.
pub(crate) fn data_of(file: &DataFile, header: &Header) -> fs::Result<Option<u64>> {
    let Some((facts, at)) = read_header(file)? else { return Ok(None) };
    let is_unbroken = file.stat()?.size == at + header.data_len();
    Ok((facts.same_bytes(header) && is_unbroken).then_some(at))
}
