//! The first bytes of a `.npy` file, and of one that does not count yet.
//!
//! A pending file is a `.npy` file in all but its first eight bytes:
//!
//! | offset | size | content |
//! |---|---|---|
//! | 0 | 1 | 0x93 |
//! | 1 | 5 | `NPEND` |
//! | 6 | 1 | major version of the header it will have: 1, 2 or 3 |
//! | 7 | 1 | `w`: still being written; `r`: ready |
//! | 8 | 2 or 4 | the header's length, as in `.npy` |
//! | 10 or 12 | … | the dict, in which the growth axis may be -1; blanks; newline |
//!
//! It becomes final by one aligned write of [`commit_bytes`] over the first eight.

use crate::npy::header::{HeaderError, dict_of, fill};
use crate::npy::{Layout, Order};

/// How a `.npy` file begins.
pub const MAGIC: [u8; 6] = *b"\x93NUMPY";
const PENDING_MAGIC: [u8; 6] = *b"\x93NPEND";

/// How long a pending header is made where nobody says: what every known reader takes.
const DEFAULT_LEN: u64 = 128;

/// Whether a header counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It does.
    Final,
    /// Not yet.
    Pending(PendingState),
}

/// What a pending file's producer says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PendingState {
    /// It is being written.
    Writing,
    /// It is complete.
    Ready,
}

/// What a file's first bytes say about its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preamble {
    /// Whether it counts.
    pub kind: Kind,
    /// The format's major version: 1, 2 or 3. The minor one is 0.
    pub major: u8,
    /// Where the data begin, in bytes from the start of the file.
    pub data_offset: u64,
}

impl Preamble {
    /// How many bytes [`Preamble::read`] wants to see.
    pub const LEN: usize = 12;

    /// Reads a file's first twelve bytes, or all it has. `Ok(None)`: it begins like neither kind.
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
                    "its format version is {major}.{minor}; 1.0, 2.0 and 3.0 are known"
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
                "its format version is {major}.0; 1.0, 2.0 and 3.0 are known"
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

/// The eight bytes that make a pending header of this version final.
#[must_use]
pub fn commit_bytes(major: u8) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..6].copy_from_slice(&MAGIC);
    bytes[6] = major;
    bytes
}

/// A pending header of `total` bytes, or of 128.
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
