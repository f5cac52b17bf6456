//! The copy route: copies all bytes, in constant memory, to a file that has no name until it is
//! complete.

use std::ops::ControlFlow;

use crate::decide::route::NewFile;
use crate::finalize::Interruption;
use crate::finalize::digest_check::{hash, verify};
use crate::finalize::locations::Locations;
use crate::finalize::routes::{RouteResult, RouteWork};
use crate::fs::{self, CopyError, DataFile, Segment, TempFile};
use crate::model::Stat;
use crate::probe::input::InputFile;
use crate::throttle::meter::Progress;

/// Fills a new file with header and data, and verifies the digest on the way.
pub(crate) fn carry_out(
    work: &RouteWork<'_>,
    new: &NewFile,
    progress: &mut Progress,
) -> Result<RouteResult, Interruption> {
    let RouteWork { job, at, .. } = *work;
    let NewFile { head, offset, len } = new;
    let segments = job.candidate.input.segments(&job.dump, *len).into_iter();
    let segments = segments.map(|it| Segment::new(&it.input.file, it.offset, it.len));
    let copy = fs::CopyJob { head, segments: segments.collect::<fs::Result<_>>()? };
    let output = copy.output(&at.output).map_err(interruption)?;
    if let (Some(digest), Some(InputFile { file, stat, .. })) =
        (&job.dump.digest, job.candidate.input.only_file())
    {
        let mut hasher = digest.hasher();
        hash(file, 0..*offset, &mut hasher, progress)?;
        progress.expect(*len);
        run(&copy, &output, Some(&mut |bytes| hasher.update(bytes)), progress)?;
        hash(file, offset + len..stat.size, &mut hasher, progress)?;
        verify(job, hasher)?;
    } else {
        progress.expect(*len); // the digest of several files was verified before
        run(&copy, &output, None, progress)?;
    }
    Ok(RouteResult::Filled(output))
}

/// Copies a whole file and returns the source's metadata. Fails if the file changed meanwhile.
pub(crate) fn duplicate(
    source: &DataFile,
    at: &Locations,
    progress: &mut Progress,
) -> Result<(TempFile, Stat), Interruption> {
    let before = source.stat()?;
    let segments = vec![Segment::new(source, 0, before.size)?];
    let copy = fs::CopyJob { head: &[], segments };
    let output = copy.output(&at.output).map_err(interruption)?;
    progress.expect(before.size);
    run(&copy, &output, None, progress)?;
    if !source.stat()?.is_unchanged_since(&before) {
        return Err(Interruption::changed("it changed while it was copied"));
    }
    Ok((output, before))
}

/// Runs a copy. `progress` can stop it.
pub(crate) fn run(
    copy: &fs::CopyJob<'_>,
    output: &TempFile,
    on_bytes: Option<fs::OnBytes<'_>>,
    progress: &mut Progress,
) -> Result<(), Interruption> {
    let mut advance = |done, moved| {
        let goes_on = progress.advance_moved(done, moved);
        if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    copy.run(output, on_bytes, &mut advance).map_err(interruption)
}

pub(crate) fn interruption(error: CopyError) -> Interruption {
    match error {
        CopyError::Disk(error) => Interruption::Io(error),
        CopyError::Stopped => Interruption::Cancelled,
        CopyError::SourceEnded { at } => {
            Interruption::changed(format!("it was truncated to {at} bytes while it was copied"))
        }
    }
}
