//! The reflink route: no byte of the data moves. The new file shares the source's blocks behind a
//! header of its own; whoever writes to one of the two later changes only that one.

use crate::decide::route::NewFile;
use crate::finalize::locations::Locations;
use crate::finalize::{Interruption, Job, source_checks};
use crate::fs::TempFile;
use crate::throttle::meter::Progress;

/// A new file with header and shared data; `None` where the file system does not share them.
pub(crate) fn fill(
    job: &Job,
    at: &Locations,
    new: &NewFile,
    progress: &Progress,
) -> Result<Option<TempFile>, Interruption> {
    // Sharing would do it, too, and after a failure share what is not there when asked again.
    source_checks::sync_written(&job.candidate.file, progress)?;
    let output = TempFile::create(&at.output, 0)?;
    let at = new.head.len() as u64;
    if !output.share(&job.candidate.file, new.offset, at, new.len)? {
        return Ok(None);
    }
    // By a write, not through a mapping: on a full disk that would be the end of the process.
    output.file().write_all_at(&new.head, 0)?;
    Ok(Some(output))
}
