//! The copy route: copies all bytes, in constant memory, to a file that has no name until it is
//! complete.

use crate::decide::new_file::NewFile;
use crate::events::progress::Phase;
use crate::finalize::Interruption;
use crate::finalize::copying::{interruption, run};
use crate::finalize::digest_check::{hash, verify};
use crate::finalize::routes::{RouteResult, RouteWork};
use crate::fs::{self, DataFile, Dir, Segment, TempFile};
use crate::probe::input::InputFile;
use crate::throttle::meter::Meter;

/// Fills a new file with header and data, and verifies the digest on the way.
pub(crate) fn carry_out(
    work: &RouteWork<'_>,
    new: &NewFile,
    progress: &mut Meter,
) -> Result<RouteResult, Interruption> {
    let RouteWork { job, at, .. } = *work;
    let NewFile { head, offset, len } = new;
    let segments = job.candidate.input.segments(&job.dump, *len).into_iter();
    let segments = segments.map(|it| Segment::new(&it.input.file, it.offset, it.len));
    let segments = segments.collect::<fs::Result<_>>()?;
    let copy = fs::CopyJob { head, segments, may_map: job.drop_dir.may_map() };
    let mut output = copy.output(&at.output).map_err(interruption)?;
    if let (Some(digest), Some(InputFile { file, stat, .. })) =
        (&job.dump.digest, job.candidate.input.only_file())
    {
        let mut hasher = digest.hasher();
        hash(file, 0..*offset, &mut hasher, progress)?;
        progress.begin(Phase::Copy, *len);
        run(&copy, &mut output, Some(&mut |bytes| hasher.update(bytes)), progress)?;
        hash(file, offset + len..stat.size, &mut hasher, progress)?;
        verify(job, hasher)?;
    } else {
        progress.begin(Phase::Copy, *len); // the digest of several files was verified before
        run(&copy, &mut output, None, progress)?;
    }
    Ok(RouteResult::Filled(output))
}

/// Fills a new file from an array that is made again from itself.
pub(crate) fn remake(
    (array, may_map): (&DataFile, bool),
    dir: &Dir,
    new: &NewFile,
    progress: &mut Meter,
) -> Result<TempFile, Interruption> {
    let segments = vec![Segment::new(array, new.offset, new.len)?];
    let copy = fs::CopyJob { head: &new.head, segments, may_map };
    let mut output = copy.private_output(dir).map_err(interruption)?;
    progress.begin(Phase::Copy, new.len);
    run(&copy, &mut output, None, progress)?;
    Ok(output)
}
