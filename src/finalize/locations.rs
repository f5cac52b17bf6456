//! The open directories of a job.

use crate::decide::reason::Reason;
use crate::finalize::known_dirs::{open_known, why_not_known};
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
    check_dirs(job)?;
    let beside = job.drop_dir.output.is_none();
    let output = match &job.drop_dir.output {
        Some(output) => mirrored(&job.drop_dir, output, parent)?,
        None => source.try_clone()?,
    };
    Ok(Locations { source, output, beside, lost: RefCell::default() })
}

/// Has the job wait while its output or its archive is on another file system than before.
fn check_dirs(job: &Job) -> Result<(), Interruption> {
    let drop_dir = &job.drop_dir;
    for path in [&drop_dir.output, &drop_dir.archive].into_iter().flatten() {
        let dir = Dir::open_trusted(path, drop_dir.untrusted_root())?;
        if let Some(why) = why_not_known(drop_dir, path, &dir)? {
            let why = format!("`{}` can't be used: {why}", path.display());
            return Err(Interruption::Locked(Reason::Output(why)));
        }
    }
    Ok(())
}

/// Opens, and creates if missing, the directory below `base` that corresponds to `below` in the
/// drop directory.
pub(crate) fn mirrored(drop_dir: &DropDir, base: &Path, below: &Path) -> Result<Dir, FsError> {
    let dir = open_known(drop_dir, base)?;
    if below.as_os_str().is_empty() { Ok(dir) } else { dir.make_dirs(below) }
}
