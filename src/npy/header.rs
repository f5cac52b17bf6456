//! Headers: written as NumPy writes them, or to fill a given room; read as NumPy reads them.

use std::fmt::{self, Write};

use crate::npy::literal::Literal;
use crate::npy::shape::{check_size, len_of, write_tuple};
use crate::npy::{Dtype, Kind, Layout, LayoutError, Order, Preamble};
use crate::text::sanitize::sanitize;

/// What a header's length is a multiple of, in bytes (`ARRAY_ALIGN` of `_format_impl.py`).
const ALIGN: usize = 64;

/// Room for the growth axis to become longer in place, in digits (`GROWTH_AXIS_MAX_DIGITS`).
const GROWTH_DIGITS: usize = 21;

/// The most characters of a header's text that np.load takes (`_MAX_HEADER_SIZE`).
const TEXT_MAX: usize = 10_000;

/// The most bytes a header has that np.load takes: a character of version 3 has up to four.
pub const HEADER_MAX: u64 = 12 + 4 * TEXT_MAX as u64;

/// What the header of an array says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    dtype: Dtype,
    order: Order,
    shape: Vec<u64>,
}

/// Why a header can't be read or written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderError(String);

impl HeaderError {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        HeaderError(sanitize(&what.into()))
    }
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for HeaderError {}

impl Header {
    /// The header of an array; its size must be one that a file can have.
    pub fn new(dtype: Dtype, order: Order, shape: Vec<u64>) -> Result<Self, LayoutError> {
        check_size(&dtype, shape.iter().copied())?;
        Ok(Header { dtype, order, shape })
    }

    /// The items' type.
    #[must_use]
    pub fn dtype(&self) -> &Dtype {
        &self.dtype
    }

    /// Which axis varies slowest.
    #[must_use]
    pub fn order(&self) -> Order {
        self.order
    }

    /// Items along each axis.
    #[must_use]
    pub fn shape(&self) -> &[u64] {
        &self.shape
    }

    /// Bytes of the array.
    #[must_use]
    pub fn data_len(&self) -> u64 {
        len_of(&self.dtype, self.shape.iter().copied())
    }

    /// Whether both describe the same bytes: an array that is contiguous both ways has no order.
    #[must_use]
    pub fn same_bytes(&self, other: &Header) -> bool {
        self.is_fortran() == other.is_fortran()
            && (&self.dtype, &self.shape) == (&other.dtype, &other.shape)
    }

    /// Whether NumPy says `fortran_order: True`: only where C order would be another one.
    #[must_use]
    pub fn is_fortran(&self) -> bool {
        let long_axes = self.shape.iter().filter(|dim| **dim != 1).count();
        self.order == Order::F && long_axes > 1 && !self.shape.contains(&0)
    }

    /// The dict's text, its keys in order, as `repr` prints them.
    fn dict(&self) -> String {
        let dims: Vec<_> = self.shape.iter().collect();
        dict_of(&self.dtype, self.is_fortran(), &dims)
    }

    /// The whole header, byte for byte as NumPy (1.24 or later) writes it for such an array, from
    /// the magic to the newline (`_write_array_header` of `_format_impl.py`).
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

    /// Whether np.load takes an array with these bytes for its header; NumPy writes longer ones.
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
            "its header would have {len} characters, of which np.load takes {TEXT_MAX}: \
             declare fewer fields, or shorter names"
        )))
    }

    /// A header of exactly `total` bytes, in the lowest version that holds it.
    pub fn bytes_padded_to(&self, total: u64) -> Result<Vec<u8>, HeaderError> {
        let text = self.dict();
        let lowest = if text.chars().any(|c| c as u32 > 0xff) { 3 } else { 1 };
        let long = total > u64::from(u16::MAX) + prefix_len(1) as u64;
        let major = if lowest == 1 && long { 2 } else { lowest };
        fill(&text, total, major)
    }

    /// A header of exactly `total` bytes in a given version.
    pub fn bytes_padded_to_version(&self, total: u64, major: u8) -> Result<Vec<u8>, HeaderError> {
        fill(&self.dict(), total, major)
    }
}

/// The dict of a header; `dims` are printed as they are.
pub(crate) fn dict_of<T: fmt::Display>(dtype: &Dtype, fortran: bool, dims: &[T]) -> String {
    let fortran = Literal::Bool(fortran);
    let mut text = format!("{{'descr': {dtype}, 'fortran_order': {fortran}, 'shape': ");
    // Writing to a string can't fail.
    let _ = write_tuple(&mut text, dims);
    let _ = write!(text, ", }}");
    text
}

/// A dict in a header of exactly `total` bytes.
pub(crate) fn fill(text: &str, total: u64, major: u8) -> Result<Vec<u8>, HeaderError> {
    let encoded = encode(text, major).ok_or_else(|| {
        HeaderError::new(format!(
            "version {major} of the header can't hold its names: use version 3"
        ))
    })?;
    let needed = prefix_len(major) + encoded.len() + 1;
    if (needed as u64) > total {
        return Err(HeaderError::new(format!(
            "the header needs {needed} bytes, {total} are there for it"
        )));
    }
    let extra = encoded.len() - text.chars().count();
    if total > (prefix_len(major) + TEXT_MAX + extra) as u64 {
        return Err(HeaderError::new(format!(
            "np.load refuses a header that fills {total} bytes: {TEXT_MAX} characters are the most it takes"
        )));
    }
    assemble(major, &encoded, total as usize).ok_or_else(|| {
        HeaderError::new(format!("version {major} of the header can't be {total} bytes long"))
    })
}

/// Bytes before a header's text: magic, version, and the text's length.
fn prefix_len(major: u8) -> usize {
    if major == 1 { 10 } else { 12 }
}

/// The text in the version's encoding: Latin-1 before version 3.
fn encode(text: &str, major: u8) -> Option<Vec<u8>> {
    match major {
        3 => Some(text.as_bytes().to_vec()),
        _ => text.chars().map(|c| u8::try_from(c as u32).ok()).collect(),
    }
}

/// NumPy's length of a header: at least one byte of padding, and a multiple of 64.
fn aligned(text_len: usize, major: u8) -> usize {
    let bare = prefix_len(major) + text_len + 1;
    bare + ALIGN - bare % ALIGN
}

/// Prefix, text, blanks and newline; `None` where the version can't tell such a length.
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

/// Reads the header whose preamble was read already.
///
/// `head` holds the file's first bytes, `preamble.data_offset` of them where the file has so many;
/// `file_len` is the file's size, which the header must fit in. What NumPy refuses is refused; only
/// a pending header's growth axis may be open.
pub fn parse_header(
    preamble: &Preamble,
    head: &[u8],
    file_len: u64,
) -> Result<Layout, HeaderError> {
    let Preamble { kind, major, data_offset } = *preamble;
    if data_offset > file_len {
        return Err(HeaderError::new(format!(
            "its header has {data_offset} bytes, but the file only {file_len}"
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
            .map_err(|_| HeaderError::new("its header is not UTF-8, as version 3 wants it"))?,
        _ => text.iter().map(|byte| char::from(*byte)).collect(),
    };
    if text.chars().count() > TEXT_MAX {
        return Err(too_long(data_offset));
    }
    let dict = if major < 3 { Literal::parse_python2(&text) } else { Literal::parse(&text) };
    let dict =
        dict.map_err(|error| HeaderError::new(format!("its header can't be read: {error}")))?;
    layout_of(dict, kind)
}

fn too_long(len: u64) -> HeaderError {
    HeaderError::new(format!(
        "its header has {len} bytes; np.load takes no more than {TEXT_MAX} characters"
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
                    "its header has a key {key}, which no .npy has"
                )));
            }
        }
    }
    let missing = |key: &str| HeaderError::new(format!("its header has no '{key}'"));
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
        .map_err(|error| HeaderError::new(format!("its 'descr' can't be used: {error}")))?;
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
