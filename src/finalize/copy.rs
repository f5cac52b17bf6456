//! The copy route: all bytes, in constant memory, into a file that has no name until it is whole.

use std::ops::ControlFlow;

use super::{Halt, Settled, Site, hash, verify};
use crate::disk::{self, CopyError, DataFile, Output, Stat, Stretch};
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
    let share = len / settled.candidate.files().len() as u64;
    let shares = settled.candidate.shares(&settled.dump, share).into_iter();
    let stretches = shares.map(|(file, offset)| Stretch { file, offset, len: share }).collect();
    run(&disk::Copy { head, stretches }, &output, &mut tap, progress)?;
    if let Some(mut hasher) = hasher {
        hash(source, offset + len..settled.candidate.stat.size, &mut hasher, progress)?;
        verify(settled, hasher)?;
    }
    Ok(output)
}

/// Copies a file as it is, which may be written to no more until the copy is made, and tells what
/// it was.
pub(super) fn duplicate(
    source: &DataFile,
    site: &Site,
    progress: &mut Progress,
) -> Result<(Output, Stat), Halt> {
    let before = source.stat()?;
    let output = Output::create(&site.output, before.size)?;
    progress.expect(before.size);
    let stretches = vec![Stretch { file: source, offset: 0, len: before.size }];
    let copy = disk::Copy { head: &[], stretches };
    run(&copy, &output, &mut |_| {}, progress)?;
    if !source.stat()?.is_unchanged_since(&before) {
        return Err(Halt::Again("it changed while it was copied".to_owned()));
    }
    Ok((output, before))
}

fn run(
    copy: &disk::Copy<'_>,
    output: &Output,
    tap: &mut dyn FnMut(&[u8]),
    progress: &mut Progress,
) -> Result<(), Halt> {
    let mut tell = |done| {
        if progress.advance(done) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    copy.run(output, tap, &mut tell).map_err(|error| match error {
        CopyError::Disk(error) => Halt::Failed(error),
        CopyError::Stopped => Halt::Stopped,
        CopyError::SourceEnded { at } => {
            Halt::Again(format!("it was truncated to {at} bytes while it was copied"))
        }
    })
}
