//! A new file that a route makes.

/// A file to be made: a header, and a range of the source behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFile {
    /// The header.
    pub head: Vec<u8>,
    /// Offset of the data in the source, in bytes.
    pub offset: u64,
    /// Length of the data, in all files together, in bytes.
    pub len: u64,
}
