//! Pending files: data that begin with their own `.npy` header, whose first eight bytes still say
//! that it does not count yet.

use crate::describe::dump::{DeclaredBy, Dump, LeadingBytes, Metadata, OwnHeader, SidecarFacts};
use crate::model::FileName;
use crate::npy::{self, Preamble, parse_header};

/// The dump that a file's own header declares. `head` holds the file's first bytes, as many as
/// the preamble says; `file_len` is the file's size.
///
/// `Ok(None)` for a final `.npy` under a final name: there is nothing to be done about it. One
/// under a pending name was committed and awaits its rename.
pub fn from_header(
    name: &FileName,
    preamble: Preamble,
    head: Vec<u8>,
    file_len: u64,
) -> Result<Option<Dump>, String> {
    if preamble.kind == npy::Kind::Final && name.without_pending_suffix().is_none() {
        return Ok(None);
    }
    let layout = parse_header(&preamble, &head, file_len).map_err(|error| error.to_string())?;
    Ok(Some(Dump {
        kind: DeclaredBy::Pending,
        layout,
        data_offset: preamble.data_offset,
        trailing: 0,
        front: LeadingBytes::Header(OwnHeader { preamble, bytes: head }),
        marker: None,
        digest: None,
        output: name.as_npy(),
        metadata: Metadata::new(),
        warnings: Vec::new(),
        facts: SidecarFacts::default(),
    }))
}
