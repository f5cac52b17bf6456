//! The reflink route: the new file shares the source's blocks behind a header of its own
//! (`ioctl_ficlonerange(2)`). npyd copies no data. A later write to one of the files does not
//! change the other file.

use crate::decide::new_file::NewFile;
use crate::decide::route_obstacle::RouteObstacle;
use crate::finalize::routes::{RouteResult, RouteWork};
use crate::finalize::{Interruption, source_checks};
use crate::fs::{DataFile, Dir, TempFile};
use crate::throttle::meter::Meter;

/// Fills a new file with header and shared data.
pub(crate) fn carry_out(
    work: &RouteWork<'_>,
    new: &NewFile,
    progress: &Meter,
) -> Result<RouteResult, Interruption> {
    let output = TempFile::create(&work.at.output, 0)?;
    let shared = share(&work.job.only_file()?.file, new, output, progress)?;
    Ok(shared.map_or_else(RouteResult::Inapplicable, RouteResult::Filled))
}

/// Fills a new file from an array that is made again from itself.
pub(crate) fn remake(
    array: &DataFile,
    dir: &Dir,
    new: &NewFile,
    progress: &Meter,
) -> Result<Result<TempFile, RouteObstacle>, Interruption> {
    share(array, new, TempFile::create_with(dir, 0o600, 0)?, progress)
}

fn share(
    source: &DataFile,
    new: &NewFile,
    output: TempFile,
    progress: &Meter,
) -> Result<Result<TempFile, RouteObstacle>, Interruption> {
    // F1: FICLONERANGE also writes dirty pages back, but after a failed writeback a second call
    // shares what is not on the disk.
    source_checks::sync_written(source, progress)?;
    if !output.share(source, new.offset, new.head.len() as u64, new.len)? {
        return Ok(Err(RouteObstacle::NotShared));
    }
    // Not through a mapping: on a full disk that would kill npyd with SIGBUS.
    output.file().write_all_at(&new.head, 0)?;
    Ok(Ok(output))
}
