//! Pending files: data files that begin with a pending header, which describes them.

use crate::describe::DescribeError;
use crate::describe::declared_by::DeclaredBy;
use crate::describe::dump::{Division, Dump};
use crate::describe::leading_bytes::{LeadingBytes, OwnHeader};
use crate::describe::sidecar_facts::SidecarFacts;
use crate::describe::text::Metadata;
use crate::model::FileName;
use crate::npy::{self, Preamble, parse_header};

/// Returns the dump that a file's own header declares. `head` holds the whole header; `file_len` is
/// the file's size.
///
/// Returns `Ok(None)` for a finished array: a final header and a final name. A file with a final
/// header and a pending name was committed and still has to be renamed.
///
/// # Errors
/// The header is not valid.
pub fn from_header(
    name: &FileName,
    preamble: Preamble,
    head: Vec<u8>,
    file_len: u64,
) -> Result<Option<Dump>, DescribeError> {
    if preamble.kind == npy::Kind::Final && name.without_pending_suffix().is_none() {
        return Ok(None);
    }
    let layout = parse_header(&preamble, &head, file_len)?;
    Ok(Some(Dump {
        kind: DeclaredBy::Pending,
        layout,
        division: Division::EqualShares,
        data_offset: preamble.data_offset,
        trailing: 0,
        front: LeadingBytes::Header(OwnHeader { preamble, bytes: head }),
        marker: None,
        digest: None,
        output: name.as_npy(),
        metadata: Metadata::new(),
        warnings: Vec::new(),
        bits_or_bytes: None,
        facts: SidecarFacts::default(),
    }))
}
