//! The header of a `.npy` file: the input is the file.

use npyd::npy::{Dtype, HEADER_MAX, Kind, Preamble, parse_header};

use super::assertions::{assert_clear, assert_loads, text_len};

/// Checks headers.
///
/// # Panics
/// npyd accepts an input that it should reject, or rejects one with an unfit message.
pub fn check(file: &[u8]) {
    let preamble = match Preamble::read(&file[..file.len().min(Preamble::LEN)]) {
        Ok(Some(preamble)) => preamble,
        Ok(None) => return,
        Err(error) => return assert_clear(&error.to_string()),
    };
    let len = file.len() as u64;
    let layout = match parse_header(&preamble, file, len) {
        Ok(layout) => layout,
        Err(error) => return assert_clear(&error.to_string()),
    };
    assert!(preamble.data_offset <= len.min(HEADER_MAX));
    let head = &file[..usize::try_from(preamble.data_offset).unwrap()];
    assert!(text_len(head, preamble.major) <= 10_000);
    // Neither the bytes behind the header nor the size of the file change the result.
    assert_eq!(parse_header(&preamble, head, u64::MAX).unwrap(), layout);

    let dims = layout.shape.dims();
    assert!(dims.len() <= 64);
    assert_eq!(layout.shape.is_open(), dims.contains(&-1));
    let itemsize = layout.dtype.itemsize();
    let bytes = dims.iter().filter(|dim| **dim > 0).try_fold(itemsize.max(1), |bytes, dim| {
        bytes.checked_mul(dim.unsigned_abs()).filter(|bytes| i64::try_from(*bytes).is_ok())
    });
    assert!(bytes.is_some(), "{itemsize} bytes for each of {dims:?}");
    assert_eq!(Dtype::from_text(&layout.dtype.to_string()).unwrap(), layout.dtype);

    if preamble.kind == Kind::Final {
        assert!(!layout.shape.is_open());
    }
    let Some(header) = layout.header() else {
        return assert!(layout.shape.is_open());
    };
    let product = if dims.contains(&0) { 0 } else { bytes.unwrap() * u64::from(itemsize > 0) };
    assert_eq!(header.data_len(), product);
    assert!(header.numpy_bytes().len().is_multiple_of(64));
    // NumPy's spelling of the header can be longer than the one that was parsed.
    match header.check_loadable() {
        Ok(()) => assert_loads(&header.numpy_bytes(), &header),
        Err(error) => assert_clear(&error.to_string()),
    }
    if let Ok(filled) = header.bytes_padded_to(preamble.data_offset) {
        assert_eq!(filled.len() as u64, preamble.data_offset);
        assert_loads(&filled, &header);
    }
}
