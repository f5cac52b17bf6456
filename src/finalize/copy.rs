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
    let share = len / settled.candidate.files().len() as u64;
    let shares = settled.candidate.shares(&settled.dump, share).into_iter();
    let stretches = shares.map(|(file, offset)| Stretch::new(file, offset, share));
    let copy = disk::Copy { head, stretches: stretches.collect::<disk::Result<_>>()? };
    let output = copy.output(&site.output).map_err(halt)?;
    let mut hasher = settled.dump.digest.as_ref().map(crate::digest::Digest::hasher);
    if let Some(hasher) = &mut hasher {
        hash(source, 0..offset, hasher, progress)?;
    }
    progress.expect(len);
    if let Some(mut hasher) = hasher {
        run(&copy, &output, Some(&mut |bytes| hasher.update(bytes)), progress)?;
        hash(source, offset + len..settled.candidate.stat.size, &mut hasher, progress)?;
        verify(settled, hasher)?;
    } else {
        run(&copy, &output, None, progress)?;
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
    let stretches = vec![Stretch::new(source, 0, before.size)?];
    let copy = disk::Copy { head: &[], stretches };
    let output = copy.output(&site.output).map_err(halt)?;
    progress.expect(before.size);
    run(&copy, &output, None, progress)?;
    if !source.stat()?.is_unchanged_since(&before) {
        return Err(Halt::Again("it changed while it was copied".to_owned()));
    }
    Ok((output, before))
}

fn run(
    copy: &disk::Copy<'_>,
    output: &Output,
    tap: Option<disk::Tap<'_>>,
    progress: &mut Progress,
) -> Result<(), Halt> {
    let mut advance = |done, moved| {
        let goes_on = progress.advance_moved(done, moved);
        if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    copy.run(output, tap, &mut advance).map_err(halt)
}

fn halt(error: CopyError) -> Halt {
    match error {
        CopyError::Disk(error) => Halt::Failed(error),
        CopyError::Stopped => Halt::Stopped,
        CopyError::SourceEnded { at } => {
            Halt::Again(format!("it was truncated to {at} bytes while it was copied"))
        }
    }
}
