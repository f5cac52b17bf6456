//! The open directories of a job.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use crate::finalize::known_dirs::open_known;
use crate::finalize::{DropDir, Interruption, Job, Path, RefCell, transfer};
use crate::fs::{Dir, FsError};

/// The directories that the jobs of a batch have open: jobs between two directories share them.
#[derive(Default)]
pub(crate) struct OpenDirs(Mutex<Vec<(Pair, [Dir; 2])>>);

/// The paths of a job's directory and of the configured output.
type Pair = (PathBuf, Option<PathBuf>);

/// The directories of the source and the output.
pub(crate) struct Locations {
    pub(crate) source: Dir,
    pub(crate) output: Dir,
    /// Whether source and output are in one directory.
    pub(crate) beside: bool,
    /// What an archived copy could not keep of its source.
    pub(crate) lost: RefCell<transfer::Lost>,
}

/// Opens the directories of a job, unless another job of the batch did.
pub(crate) fn open_locations(job: &Job, open: &OpenDirs) -> Result<Locations, Interruption> {
    let DropDir { path, output, .. } = &*job.drop_dir;
    let pair = (path.join(job.parent()), output.clone());
    let mut open = open.0.lock().unwrap_or_else(PoisonError::into_inner);
    let known = open.iter().find(|(known, _)| *known == pair).map(|(_, dirs)| dirs.clone());
    let [source, output] = match known {
        Some(dirs) => dirs,
        None => open.push_mut((pair, open_dirs(job)?)).1.clone(),
    };
    let beside = job.drop_dir.output.is_none();
    Ok(Locations { source, output, beside, lost: RefCell::default() })
}

fn open_dirs(job: &Job) -> Result<[Dir; 2], Interruption> {
    let parent = job.parent();
    let source = match Dir::open_below(&job.drop_dir.path, parent) {
        // The directory was renamed with its files, or unmounted.
        Err(error) if error.is_missing() => return Err(Interruption::Vanished),
        opened => opened?,
    };
    let DropDir { output, archive, .. } = &*job.drop_dir;
    let output = output.as_ref().map(|path| open_known(&job.drop_dir, path)).transpose()?;
    if let Some(archive) = archive {
        open_known(&job.drop_dir, archive)?; // the source could not be archived
    }
    let output = match output {
        Some(output) => below_own(output, parent)?,
        None => source.clone(),
    };
    Ok([source, output])
}

/// Opens, and creates if missing, the directory below `base` that corresponds to `below` in the
/// drop directory.
pub(crate) fn mirrored(drop_dir: &DropDir, base: &Path, below: &Path) -> Result<Dir, FsError> {
    below_own(open_known(drop_dir, base)?, below)
}

fn below_own(dir: Dir, below: &Path) -> Result<Dir, FsError> {
    if below.as_os_str().is_empty() { Ok(dir) } else { dir.make_dirs(below) }
}
