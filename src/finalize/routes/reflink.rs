//! The reflink route: the new file shares the source's blocks behind a header of its own
//! (`ioctl_ficlonerange(2)`). No data are copied; a later write to one of the files changes only
//! that one.

use crate::decide::route::NewFile;
use crate::finalize::locations::Locations;
use crate::finalize::{Interruption, Job, source_checks};
use crate::fs::TempFile;
use crate::throttle::meter::Progress;

/// Fills a new file with header and shared data. Returns `None` if the file system can't share
/// them.
pub(crate) fn fill(
    job: &Job,
    at: &Locations,
    new: &NewFile,
    progress: &Progress,
) -> Result<Option<TempFile>, Interruption> {
    // F1: FICLONERANGE also writes dirty pages back, but after a failed writeback a second call
    // shares what is not on the disk.
    source_checks::sync_written(&job.candidate.file, progress)?;
    let output = TempFile::create(&at.output, 0)?;
    let at = new.head.len() as u64;
    if !output.share(&job.candidate.file, new.offset, at, new.len)? {
        return Ok(None);
    }
    // Not through a mapping: on a full disk that would kill npyd with SIGBUS.
    output.file().write_all_at(&new.head, 0)?;
    Ok(Some(output))
}
