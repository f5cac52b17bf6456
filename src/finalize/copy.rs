//! The copy route: all bytes, in constant memory, into a file that has no name until it is whole.

use std::ops::ControlFlow;

use super::{Halt, Settled, Site, check_sidecar, hash, verify};
use crate::disk::{self, CopyError, Output};
use crate::look::SOURCE_ATTR;
use crate::progress::Progress;
use crate::settle::Writer;

/// Fills a new file with header and data, and makes sure that the source held still meanwhile.
pub(super) fn fill(
    settled: &Settled,
    site: &Site,
    head: &[u8],
    offset: u64,
    len: u64,
    progress: &mut Progress,
) -> Result<Output, Halt> {
    let source = &settled.candidate.file;
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
    check_source(settled)?;
    check_sidecar(settled, site)?;
    output
        .file()
        .set_attr(SOURCE_ATTR, settled.candidate.stamp().identity().to_string().as_bytes())?;
    Ok(output)
}

/// Nothing may have been written to the source while it was read.
fn check_source(settled: &Settled) -> Result<(), Halt> {
    let candidate = &settled.candidate;
    if candidate.file.stat()? != candidate.stat {
        return Err(Halt::Again("it changed while it was copied".to_owned()));
    }
    let by_word = settled.evidence == crate::settle::Evidence::Ready;
    if !by_word && candidate.writer() == Writer::Present {
        return Err(Halt::Again("somebody opened it for writing while it was copied".to_owned()));
    }
    Ok(())
}
