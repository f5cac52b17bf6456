//! What is before the data in a data file.

use std::fmt;

use crate::npy::Preamble;

/// The content of the bytes before the data.
#[derive(Debug, Clone)]
pub enum LeadingBytes {
    /// Nothing that npyd may overwrite.
    Bare,
    /// This number of bytes, which are reserved for the header.
    Reserved(u64),
    /// A pending header, or a final one in a file that still has its pending name.
    Header(OwnHeader),
}

impl fmt::Display for LeadingBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LeadingBytes::Bare => f.write_str("nothing"),
            LeadingBytes::Reserved(bytes) => write!(f, "{bytes} reserved bytes"),
            LeadingBytes::Header(own) => {
                write!(f, "a header of {} bytes", own.preamble.data_offset)
            }
        }
    }
}

/// The header that the producer wrote into the data file.
#[derive(Debug, Clone)]
pub struct OwnHeader {
    /// Its parsed preamble.
    pub preamble: Preamble,
    /// All its bytes, including the preamble.
    pub bytes: Vec<u8>,
}
