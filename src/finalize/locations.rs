//! The directories that the files of a job are in and go to.

use crate::finalize::{DropDir, Interruption, Job, Path, RefCell, transfer};
use crate::fs::{Dir, FsError};

/// The directories a dump's files are in and go to.
pub(crate) struct Locations {
    pub(crate) source: Dir,
    pub(crate) output: Dir,
    /// Whether the two are one and the same.
    pub(crate) beside: bool,
    /// What an archived copy could not keep of its source.
    pub(crate) lost: RefCell<transfer::Lost>,
}

pub(crate) fn open_locations(job: &Job) -> Result<Locations, Interruption> {
    let parent = job.parent();
    let source = match Dir::open_below(&job.drop_dir.path, parent) {
        // It was renamed with all that is in it, or unmounted.
        Err(error) if error.is_missing() => return Err(Interruption::Vanished),
        opened => opened?,
    };
    let beside = job.drop_dir.output.is_none();
    let output = match &job.drop_dir.output {
        Some(output) => mirrored(&job.drop_dir, output, parent)?,
        None => source.try_clone()?,
    };
    Ok(Locations { source, output, beside, lost: RefCell::default() })
}

/// Opens a directory below one that npyd writes to, where the drop directory's tree is mirrored.
pub(crate) fn mirrored(drop_dir: &DropDir, base: &Path, below: &Path) -> Result<Dir, FsError> {
    let dir = Dir::open_trusted(base, drop_dir.untrusted_root())?;
    if below.as_os_str().is_empty() { Ok(dir) } else { dir.make_dirs(below) }
}
