//! The reflink route: the new file shares the source's blocks behind a header of its own
//! (`ioctl_ficlonerange(2)`). npyd copies no data. A later write to one of the files does not
//! change the other file.

use crate::decide::route_obstacle::RouteObstacle;
use crate::decide::steps::NewFile;
use crate::finalize::routes::{RouteResult, RouteWork};
use crate::finalize::{Interruption, source_checks};
use crate::fs::TempFile;
use crate::throttle::meter::Meter;

/// Fills a new file with header and shared data.
pub(crate) fn carry_out(
    work: &RouteWork<'_>,
    new: &NewFile,
    progress: &Meter,
) -> Result<RouteResult, Interruption> {
    let RouteWork { job, at, .. } = *work;
    // F1: FICLONERANGE also writes dirty pages back, but after a failed writeback a second call
    // shares what is not on the disk.
    let source = &job.only_file()?.file;
    source_checks::sync_written(source, progress)?;
    let output = TempFile::create(&at.output, 0)?;
    let at = new.head.len() as u64;
    if !output.share(source, new.offset, at, new.len)? {
        return Ok(RouteResult::Inapplicable(RouteObstacle::NotShared));
    }
    // Not through a mapping: on a full disk that would kill npyd with SIGBUS.
    output.file().write_all_at(&new.head, 0)?;
    Ok(RouteResult::Filled(output))
}
