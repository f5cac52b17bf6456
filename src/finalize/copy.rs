//! The copy route: all bytes, in constant memory, into a file that has no name until it is whole.

use std::ops::ControlFlow;

use super::{Halt, Settled, Site, hash, verify};
use crate::disk::{self, CopyError, Output};
use crate::plan::NewFile;
use crate::progress::Progress;

/// Fills a new file with header and data.
pub(super) fn fill(
    settled: &Settled,
    site: &Site,
    new: &NewFile,
    progress: &mut Progress,
) -> Result<Output, Halt> {
    let NewFile { head, offset, len } = new;
    let (source, offset, len) = (&settled.candidate.file, *offset, *len);
    let output = Output::create(&site.output, head.len() as u64 + len)?;
    let mut hasher = settled.dump.digest.as_ref().map(crate::digest::Digest::hasher);
    if let Some(hasher) = &mut hasher {
        hash(source, 0..offset, hasher, progress)?;
    }
    progress.expect(len);
    let mut tap = |bytes: &[u8]| {
        if let Some(hasher) = &mut hasher {
            hasher.update(bytes);
        }
    };
    let mut tell = |done| {
        if progress.advance(done) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    disk::Copy { source, head, offset, len }.run(&output, &mut tap, &mut tell).map_err(
        |error| match error {
            CopyError::Disk(error) => Halt::Failed(error),
            CopyError::Stopped => Halt::Stopped,
            CopyError::SourceEnded { at } => {
                Halt::Again(format!("it was truncated to {at} bytes while it was copied"))
            }
        },
    )?;
    if let Some(mut hasher) = hasher {
        hash(source, offset + len..settled.candidate.stat.size, &mut hasher, progress)?;
        verify(settled, hasher)?;
    }
    Ok(output)
}
