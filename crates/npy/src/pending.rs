//! Preambles and pending headers: the first bytes of `.npy` files and of pending files.
//!
//! A pending file differs from a `.npy` file only in its first eight bytes:
//!
//! | offset | size | content |
//! |---|---|---|
//! | 0 | 1 | 0x93 |
//! | 1 | 5 | `NPEND` |
//! | 6 | 1 | major version of the final header: 1, 2 or 3 |
//! | 7 | 1 | `w`: still being written; `r`: ready |
//! | 8 | 2 or 4 | the header's length, as in `.npy` |
//! | 10 or 12 | … | the dict, in which the growth axis may be -1; blanks; newline |
//!
//! One aligned write of [`commit_bytes`] over the first eight bytes makes the file final.

use crate::header::{HeaderError, dict_of, fill};
use crate::{Layout, Order};

/// The magic of a `.npy` file.
pub const MAGIC: [u8; 6] = *b"\x93NUMPY";
const PENDING_MAGIC: [u8; 6] = *b"\x93NPEND";

/// Default length of a pending header, which every known reader accepts, in bytes.
const DEFAULT_LEN: u64 = 128;

/// Whether a header is final.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The header of a `.npy` file.
    Final,
    /// A pending header.
    Pending(PendingState),
}

/// The state that a producer writes into a pending header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PendingState {
    /// The file is being written.
    Writing,
    /// The file is complete.
    Ready,
}

/// The start of a header: its kind, version and length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preamble {
    /// Whether the header is final.
    pub kind: Kind,
    /// The format's major version: 1, 2 or 3. The minor version is 0.
    pub major: u8,
    /// Start of the data, in bytes from the start of the file.
    pub data_offset: u64,
}

impl Preamble {
    /// The number of bytes that [`Preamble::read`] needs.
    pub const LEN: usize = 12;

    /// Parses the first twelve bytes of a file, or all bytes of a shorter one. Returns `Ok(None)`
    /// if the file begins with neither magic.
    ///
    /// # Errors
    /// The file ends within the preamble, or its version or state is unknown.
    pub fn read(first: &[u8]) -> Result<Option<Self>, HeaderError> {
        let pending = match first.get(..6) {
            Some(magic) if magic == MAGIC => false,
            Some(magic) if magic == PENDING_MAGIC => true,
            _ => return Ok(None),
        };
        let ended =
            || HeaderError::new(format!("it ends after {} bytes, within its header", first.len()));
        let [major, last]: [u8; 2] =
            first.get(6..8).and_then(|two| two.try_into().ok()).ok_or_else(ended)?;
        let kind = match (pending, last) {
            (false, 0) => Kind::Final,
            (true, b'w') => Kind::Pending(PendingState::Writing),
            (true, b'r') => Kind::Pending(PendingState::Ready),
            (false, minor) => {
                return Err(HeaderError::new(format!(
                    "its format version is {major}.{minor}; npyd reads 1.0, 2.0 and 3.0"
                )));
            }
            (true, mark) => {
                return Err(HeaderError::new(format!(
                    "byte 7 of its pending header is {mark:#04x}; it must be `w` (0x77) or `r` (0x72)"
                )));
            }
        };
        if !(1..=3).contains(&major) {
            return Err(HeaderError::new(format!(
                "its format version is {major}.0; npyd reads 1.0, 2.0 and 3.0"
            )));
        }
        let data_offset = if major == 1 {
            let len = first.get(8..10).and_then(|two| two.try_into().ok()).ok_or_else(ended)?;
            10 + u64::from(u16::from_le_bytes(len))
        } else {
            let len = first.get(8..12).and_then(|four| four.try_into().ok()).ok_or_else(ended)?;
            12 + u64::from(u32::from_le_bytes(len))
        };
        Ok(Some(Preamble { kind, major, data_offset }))
    }
}

/// Returns the eight bytes that make a pending header of this version final.
#[must_use]
pub fn commit_bytes(major: u8) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..6].copy_from_slice(&MAGIC);
    bytes[6] = major;
    bytes
}

/// Returns a pending header of `total` bytes, or of 128 by default.
///
/// # Errors
/// The header needs more bytes, or np.load would reject that length.
pub fn pending_bytes(
    layout: &Layout,
    state: PendingState,
    total: Option<u64>,
) -> Result<Vec<u8>, HeaderError> {
    let dict = dict_of(&layout.dtype, layout.order == Order::F, &layout.shape.dims());
    let major = if dict.chars().any(|c| c as u32 > 0xff) { 3 } else { 1 };
    let mut bytes = fill(&dict, total.unwrap_or(DEFAULT_LEN), major)?;
    bytes[..6].copy_from_slice(&PENDING_MAGIC);
    bytes[7] = match state {
        PendingState::Writing => b'w',
        PendingState::Ready => b'r',
    };
    Ok(bytes)
}
