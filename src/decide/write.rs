//! A write of a route to the data file.

/// Bytes that overwrite those at an offset of the data file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The offset, in bytes.
    pub at: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
}
