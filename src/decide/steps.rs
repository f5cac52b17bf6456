//! The steps of a route, down to the bytes that npyd writes.

use crate::describe::{Dump, LeadingBytes};

/// The steps of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Steps {
    /// The data are synced, then each of these writes is made and synced.
    InPlace(Vec<Write>),
    /// A new file with this header shares the blocks of the data.
    Reflink(NewFile),
    /// This header is written into a range inserted at the front of the data file.
    Insert(Vec<u8>),
    /// The data are copied into a new file behind this header.
    Copy(NewFile),
}

impl Steps {
    /// Returns the header as it will be in the file.
    pub(crate) fn head(&self, dump: &Dump) -> Vec<u8> {
        let writes = match self {
            Steps::Reflink(new) | Steps::Copy(new) => return new.head.clone(),
            Steps::Insert(head) => return head.clone(),
            Steps::InPlace(writes) => writes,
        };
        let mut head = match &dump.front {
            LeadingBytes::Header(own) => own.bytes.clone(),
            _ => vec![0; dump.data_offset as usize],
        };
        for Write { at, bytes } in writes {
            head[*at as usize..][..bytes.len()].copy_from_slice(bytes);
        }
        head
    }
}

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

/// Bytes that overwrite those at an offset of the data file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The offset, in bytes.
    pub at: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
}
