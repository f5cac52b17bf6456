//! The reflink route: no byte of the data moves. The new file shares the source's blocks behind a
//! header of its own; whoever writes to one of the two later changes only that one.

use super::{Halt, Settled, Site, source};
use crate::disk::Output;
use crate::plan::NewFile;
use crate::progress::Progress;

/// A new file with header and shared data; `None` where the file system does not share them.
pub(super) fn fill(
    settled: &Settled,
    site: &Site,
    new: &NewFile,
    progress: &Progress,
) -> Result<Option<Output>, Halt> {
    // Sharing would do it, too, and after a failure share what is not there when asked again.
    source::sync_written(&settled.candidate.file, progress)?;
    let output = Output::create(&site.output, 0)?;
    let at = new.head.len() as u64;
    if !output.share(&settled.candidate.file, new.offset, at, new.len)? {
        return Ok(None);
    }
    // By a write, not through a mapping: on a full disk that would be the end of the process.
    output.file().write_all_at(&new.head, 0)?;
    Ok(Some(output))
}
