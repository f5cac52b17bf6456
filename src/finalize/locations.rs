//! The open directories of a job.

use crate::finalize::{DropDir, Interruption, Job, Path, RefCell, transfer};
use crate::fs::{Dir, FsError};

/// The directories of the source and the output.
pub(crate) struct Locations {
    pub(crate) source: Dir,
    pub(crate) output: Dir,
    /// Whether both are one directory.
    pub(crate) beside: bool,
    /// What an archived copy could not keep of its source.
    pub(crate) lost: RefCell<transfer::Lost>,
}

pub(crate) fn open_locations(job: &Job) -> Result<Locations, Interruption> {
    let parent = job.parent();
    let source = match Dir::open_below(&job.drop_dir.path, parent) {
        // The directory was renamed with its files, or unmounted.
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

/// Opens, and creates if missing, the directory below `base` that corresponds to `below` in the
/// drop directory.
pub(crate) fn mirrored(drop_dir: &DropDir, base: &Path, below: &Path) -> Result<Dir, FsError> {
    let dir = Dir::open_trusted(base, drop_dir.untrusted_root())?;
    if below.as_os_str().is_empty() { Ok(dir) } else { dir.make_dirs(below) }
}
