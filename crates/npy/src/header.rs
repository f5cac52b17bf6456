//! Headers of `.npy` files: writes them as NumPy does or padded to a given length, and parses them.

use std::fmt::{self, Write};

use thiserror::Error;

use crate::literal::Literal;
use crate::sanitize::sanitize;
use crate::shape::{check_size, len_of, write_tuple};
use crate::{Dtype, Kind, Layout, LayoutError, Order, Preamble};

/// NumPy pads headers to a multiple of this length, in bytes (`ARRAY_ALIGN` of `_format_impl.py`).
const ALIGN: usize = 64;

/// Digits that NumPy reserves for the growth axis, so that it can grow in place
/// (`GROWTH_AXIS_MAX_DIGITS`).
const GROWTH_DIGITS: usize = 21;

/// Maximum length of a header's text that np.load accepts, in characters (`_MAX_HEADER_SIZE`).
const TEXT_MAX: usize = 10_000;

/// Maximum length of a header that np.load accepts, in bytes. In version 3 a character may have
/// four bytes.
pub const HEADER_MAX: u64 = 12 + 4 * TEXT_MAX as u64;

/// The content of an array's header: dtype, order and shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    dtype: Dtype,
    order: Order,
    shape: Vec<u64>,
}

/// Why a header can't be parsed or written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct HeaderError(String);

impl HeaderError {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        HeaderError(sanitize(&what.into()))
    }
}

impl Header {
    /// Creates the header of an array. The array's size must be possible for a file.
    pub fn new(dtype: Dtype, order: Order, shape: Vec<u64>) -> Result<Self, LayoutError> {
        check_size(&dtype, shape.iter().copied())?;
        Ok(Header { dtype, order, shape })
    }

    /// Returns the type of the items.
    #[must_use]
    pub fn dtype(&self) -> &Dtype {
        &self.dtype
    }

    /// Returns which axis varies slowest.
    #[must_use]
    pub fn order(&self) -> Order {
        self.order
    }

    /// Returns the number of items along each axis.
    #[must_use]
    pub fn shape(&self) -> &[u64] {
        &self.shape
    }

    /// Returns the size of the array's data in bytes.
    #[must_use]
    pub fn data_len(&self) -> u64 {
        len_of(&self.dtype, self.shape.iter().copied())
    }

    /// Returns whether both headers describe the same array in the same bytes. The order is ignored
    /// if the array is contiguous in both orders.
    #[must_use]
    pub fn same_bytes(&self, other: &Header) -> bool {
        self.is_fortran() == other.is_fortran()
            && (&self.dtype, &self.shape) == (&other.dtype, &other.shape)
    }

    /// Returns whether NumPy writes `fortran_order: True`: only if the bytes differ from C order.
    #[must_use]
    pub fn is_fortran(&self) -> bool {
        let long_axes = self.shape.iter().filter(|dim| **dim != 1).count();
        self.order == Order::F && long_axes > 1 && !self.shape.contains(&0)
    }

    /// Returns the text of the header's dict, with sorted keys, in the form of Python's `repr`.
    fn dict(&self) -> String {
        let dims: Vec<_> = self.shape.iter().collect();
        dict_of(&self.dtype, self.is_fortran(), &dims)
    }

    /// Returns the whole header, from the magic to the newline, byte for byte as NumPy 1.24 and
    /// later write it (`_write_array_header` of `_format_impl.py`).
    #[must_use]
    pub fn numpy_bytes(&self) -> Vec<u8> {
        let mut text = self.dict();
        let growth = if self.is_fortran() { self.shape.last() } else { self.shape.first() };
        if let Some(growth) = growth {
            let digits = growth.to_string().len();
            text.extend(std::iter::repeat_n(' ', GROWTH_DIGITS.saturating_sub(digits)));
        }
        for major in [1, 2] {
            let Some(encoded) = encode(&text, major) else { break };
            let total = aligned(encoded.len(), major);
            if let Some(bytes) = assemble(major, &encoded, total) {
                return bytes;
            }
        }
        let total = aligned(text.len(), 3);
        assemble(3, text.as_bytes(), total).unwrap_or_default()
    }

    /// Checks that np.load accepts this header, because NumPy also writes headers that are too long
    /// for np.load.
    ///
    /// # Errors
    /// The header has too many characters.
    pub fn check_loadable(&self) -> Result<(), HeaderError> {
        let bytes = self.numpy_bytes();
        let len = match &bytes[..] {
            [_, _, _, _, _, _, 3, ..] => String::from_utf8_lossy(&bytes[12..]).chars().count(),
            _ => bytes.len().saturating_sub(prefix_len(1)),
        };
        if len <= TEXT_MAX {
            return Ok(());
        }
        Err(HeaderError::new(format!(
            "its header would have {len} characters, but np.load accepts only {TEXT_MAX}: \
             declare fewer fields or shorter names"
        )))
    }

    /// Returns a header of exactly `total` bytes, in the lowest version that can hold it.
    ///
    /// # Errors
    /// The header is too long for `total` bytes, or np.load would reject that length.
    pub fn bytes_padded_to(&self, total: u64) -> Result<Vec<u8>, HeaderError> {
        let text = self.dict();
        let lowest = if text.chars().any(|c| c as u32 > 0xff) { 3 } else { 1 };
        let long = total > u64::from(u16::MAX) + prefix_len(1) as u64;
        let major = if lowest == 1 && long { 2 } else { lowest };
        fill(&text, total, major)
    }

    /// Returns a header of exactly `total` bytes, in a given version.
    ///
    /// # Errors
    /// As [`Header::bytes_padded_to`]; or the version can't encode the names of the fields.
    pub fn bytes_padded_to_version(&self, total: u64, major: u8) -> Result<Vec<u8>, HeaderError> {
        fill(&self.dict(), total, major)
    }
}

/// Returns the text of a header's dict. It prints `dims` unchanged.
pub(crate) fn dict_of<T: fmt::Display>(dtype: &Dtype, fortran: bool, dims: &[T]) -> String {
    let fortran = Literal::Bool(fortran);
    let mut text = format!("{{'descr': {dtype}, 'fortran_order': {fortran}, 'shape': ");
    // Writing to a string can't fail.
    let _ = write_tuple(&mut text, dims);
    let _ = write!(text, ", }}");
    text
}

/// Returns a header of exactly `total` bytes with this dict.
pub(crate) fn fill(text: &str, total: u64, major: u8) -> Result<Vec<u8>, HeaderError> {
    let encoded = encode(text, major).ok_or_else(|| {
        HeaderError::new(format!(
            "header version {major} can't encode the field names: use version 3"
        ))
    })?;
    let needed = prefix_len(major) + encoded.len() + 1;
    if (needed as u64) > total {
        return Err(HeaderError::new(format!(
            "the header needs {needed} bytes, but only {total} are reserved: reserve more"
        )));
    }
    let extra = encoded.len() - text.chars().count();
    if total > (prefix_len(major) + TEXT_MAX + extra) as u64 {
        return Err(HeaderError::new(format!(
            "np.load rejects a header of {total} bytes: it accepts {TEXT_MAX} characters"
        )));
    }
    assemble(major, &encoded, total as usize).ok_or_else(|| {
        HeaderError::new(format!("a header of version {major} can't have {total} bytes"))
    })
}

/// Returns the length of what precedes a header's text: magic, version, and length field.
fn prefix_len(major: u8) -> usize {
    if major == 1 { 10 } else { 12 }
}

/// Encodes the text: UTF-8 in version 3, Latin-1 before. `None` if Latin-1 can't encode it.
fn encode(text: &str, major: u8) -> Option<Vec<u8>> {
    match major {
        3 => Some(text.as_bytes().to_vec()),
        _ => text.chars().map(|c| u8::try_from(c as u32).ok()).collect(),
    }
}

/// Returns the length that NumPy gives a header: a multiple of 64, with at least one padding byte.
fn aligned(text_len: usize, major: u8) -> usize {
    let bare = prefix_len(major) + text_len + 1;
    bare + ALIGN - bare % ALIGN
}

/// Joins prefix, text, padding and newline. `None` if the length field is too small for `total`.
fn assemble(major: u8, encoded: &[u8], total: usize) -> Option<Vec<u8>> {
    let len = total - prefix_len(major);
    let mut bytes = Vec::with_capacity(total);
    bytes.extend(b"\x93NUMPY");
    bytes.extend([major, 0]);
    match major {
        1 => bytes.extend(u16::try_from(len).ok()?.to_le_bytes()),
        _ => bytes.extend(u32::try_from(len).ok()?.to_le_bytes()),
    }
    bytes.extend(encoded);
    bytes.resize(total - 1, b' ');
    bytes.push(b'\n');
    Some(bytes)
}

/// Parses the header that follows a preamble.
///
/// `head` holds the first `preamble.data_offset` bytes of the file, or the whole file if it is
/// shorter. `file_len` is the file's size. Only a pending header may have an open growth axis.
///
/// # Errors
/// NumPy would reject the header, or the header is longer than the file.
pub fn parse_header(
    preamble: &Preamble,
    head: &[u8],
    file_len: u64,
) -> Result<Layout, HeaderError> {
    let Preamble { kind, major, data_offset } = *preamble;
    if data_offset > file_len {
        return Err(HeaderError::new(format!(
            "its header has {data_offset} bytes, but the file has only {file_len}"
        )));
    }
    if data_offset > HEADER_MAX {
        return Err(too_long(data_offset));
    }
    let text = head
        .get(prefix_len(major)..data_offset as usize)
        .ok_or_else(|| HeaderError::new(format!("its header ends after {} bytes", head.len())))?;
    let text = match major {
        3 => String::from_utf8(text.to_vec())
            .map_err(|_| HeaderError::new("its header is not UTF-8, which version 3 requires"))?,
        _ => text.iter().map(|byte| char::from(*byte)).collect(),
    };
    if text.chars().count() > TEXT_MAX {
        return Err(too_long(data_offset));
    }
    let dict = if major < 3 { Literal::parse_python2(&text) } else { Literal::parse(&text) };
    let dict =
        dict.map_err(|error| HeaderError::new(format!("its header can't be parsed: {error}")))?;
    layout_of(dict, kind)
}

fn too_long(len: u64) -> HeaderError {
    HeaderError::new(format!(
        "its header has {len} bytes; np.load accepts at most {TEXT_MAX} characters"
    ))
}

fn layout_of(dict: Literal, kind: Kind) -> Result<Layout, HeaderError> {
    let Literal::Dict(items) = dict else {
        return Err(HeaderError::new("its header is not a dict"));
    };
    let (mut descr, mut fortran, mut shape) = (None, None, None);
    for (key, value) in items {
        match &key {
            Literal::Str(name) if name == "descr" => descr = Some(value),
            Literal::Str(name) if name == "fortran_order" => fortran = Some(value),
            Literal::Str(name) if name == "shape" => shape = Some(value),
            _ => {
                return Err(HeaderError::new(format!(
                    "its header has an unknown key {key}: remove it"
                )));
            }
        }
    }
    let missing = |key: &str| HeaderError::new(format!("its header has no '{key}': add it"));
    let order = match fortran.ok_or_else(|| missing("fortran_order"))? {
        Literal::Bool(false) => Order::C,
        Literal::Bool(true) => Order::F,
        other => {
            return Err(HeaderError::new(format!(
                "its 'fortran_order' is {other}, not True or False"
            )));
        }
    };
    let shape = shape.ok_or_else(|| missing("shape"))?;
    let dims = dims_of(&shape, kind)?;
    let dtype = Dtype::from_literal(&descr.ok_or_else(|| missing("descr"))?)
        .map_err(|error| HeaderError::new(format!("its 'descr' is not valid: {error}")))?;
    Layout::new(dtype, &dims, order)
        .map_err(|error| HeaderError::new(format!("its 'shape' is {shape}: {error}")))
}

fn dims_of(shape: &Literal, kind: Kind) -> Result<Vec<i64>, HeaderError> {
    let wrong =
        || HeaderError::new(format!("its 'shape' is {shape}, not a tuple of whole numbers"));
    let Literal::Tuple(dims) = shape else { return Err(wrong()) };
    let least = if kind == Kind::Final { 0 } else { -1 };
    dims.iter()
        .map(|dim| match dim {
            Literal::Int(dim) => {
                i64::try_from(*dim).ok().filter(|dim| *dim >= least).ok_or_else(wrong)
            }
            _ => Err(wrong()),
        })
        .collect()
}
