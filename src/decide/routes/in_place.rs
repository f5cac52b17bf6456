//! The in-place route: npyd writes the header before the data, if the file has room for it.

use std::ops::Range;

use crate::config::Readers;
use crate::decide::route::{Route, Steps};
use crate::decide::route_obstacle::RouteObstacle;
use crate::decide::routes::{Outline, RouteInput, RouteRule};
use crate::decide::write::Write;
use crate::describe::{LeadingBytes, OwnHeader};
use crate::npy::{self, Header, commit_bytes};

/// The only padded header length that all known readers accept, in bytes.
const UNIVERSAL_LEN: u64 = 128;

/// The unit that a disk writes atomically, in bytes.
pub const SECTOR: usize = 512;

pub(super) const RULE: RouteRule =
    RouteRule { route: Route::InPlace, can_remake_array: false, outline };

fn outline(input: &RouteInput<'_>) -> Result<Outline, RouteObstacle> {
    Ok(input.with_source_bytes(Steps::InPlace(writes(input)?)))
}

fn writes(input: &RouteInput<'_>) -> Result<Vec<Write>, RouteObstacle> {
    let RouteInput { dump, source_header: header, size, constraints } = input;
    if matches!(dump.front, LeadingBytes::Bare) {
        return Err(RouteObstacle::NoRoom);
    }
    let surplus = size.saturating_sub(dump.end_of(header));
    if surplus > 0 {
        return Err(RouteObstacle::BytesBehind(surplus));
    }
    if !constraints.same_file_system {
        return Err(RouteObstacle::OtherMount);
    }
    constraints.allow(Route::InPlace)?;
    Ok(match &dump.front {
        LeadingBytes::Bare => Vec::new(),
        LeadingBytes::Reserved(room) => fill_reserved(header, *room, constraints.wishes.readers)?,
        LeadingBytes::Header(own) => commit(own, header, constraints.wishes.readers)?,
    })
}

/// Fills the reserved region with the header. The file does not have its final name yet. A header
/// longer than a sector can be torn by a crash, so its magic is written last.
fn fill_reserved(
    header: &Header,
    room: u64,
    readers: Readers,
) -> Result<Vec<Write>, RouteObstacle> {
    let is_universal = room == UNIVERSAL_LEN || room == header.numpy_bytes().len() as u64;
    if readers == Readers::Any && !is_universal {
        return Err(RouteObstacle::UnusualHeader(room));
    }
    let bytes = header.bytes_padded_to(room)?;
    if bytes.len() <= SECTOR {
        return Ok(vec![Write { at: 0, bytes }]);
    }
    let (magic, rest) = bytes.split_at(8);
    Ok(vec![Write { at: 8, bytes: rest.to_vec() }, Write { at: 0, bytes: magic.to_vec() }])
}

/// Rewrites the dict of a pending header where it must change, then its magic.
fn commit(own: &OwnHeader, header: &Header, readers: Readers) -> Result<Vec<Write>, RouteObstacle> {
    let preamble = &own.preamble;
    // The producer may have spelled the dict differently; a final header has NumPy's spelling.
    let text = header.bytes_padded_to_version(preamble.data_offset, preamble.major)?;
    let universal = preamble.data_offset == UNIVERSAL_LEN && preamble.major == 1;
    if readers == Readers::Any && !universal && text[8..] != header.numpy_bytes()[8..] {
        return Err(RouteObstacle::UnusualHeader(preamble.data_offset));
    }
    let mut writes = Vec::new();
    if let Some(changed) = difference(&own.bytes, &text) {
        if changed.start / SECTOR != (changed.end - 1) / SECTOR {
            return Err(RouteObstacle::TornShape);
        }
        writes.push(Write { at: changed.start as u64, bytes: text[changed].to_vec() });
    }
    if preamble.kind != npy::Kind::Final {
        writes.push(Write { at: 0, bytes: commit_bytes(preamble.major).to_vec() });
    }
    Ok(writes)
}

/// Returns the range behind the magic in which two headers of one length differ.
fn difference(old: &[u8], new: &[u8]) -> Option<Range<usize>> {
    let differs = |&at: &usize| old[at] != new[at];
    let first = (8..new.len()).find(differs)?;
    let last = (8..new.len()).rfind(differs)?;
    Some(first..last + 1)
}
