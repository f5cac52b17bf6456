//! The directories of one step of a batch, each of which is synced once.

use std::path::PathBuf;

use crate::decide::reason::Reason;
use crate::finalize::Interruption;
use crate::fs::{self, Dir, FsError};
use crate::model::SystemError;

/// The directories synced in this step, each with the error of its sync, if any.
#[derive(Default)]
pub(super) struct SyncedDirs(Vec<(PathBuf, Option<SystemError>)>);

impl SyncedDirs {
    pub(super) fn sync(&mut self, dir: &Dir) -> Result<(), Interruption> {
        self.once(dir, Dir::sync)
    }

    /// Syncs a directory with new arrays, and checks that its path still leads to it.
    pub(super) fn sync_output(&mut self, dir: &Dir) -> Result<(), Interruption> {
        self.once(dir, |dir| dir.sync().and_then(|()| dir.check_path()))
    }

    fn once(
        &mut self,
        dir: &Dir,
        sync: impl FnOnce(&Dir) -> fs::Result<()>,
    ) -> Result<(), Interruption> {
        match self.0.iter().find(|(path, _)| path == dir.path()) {
            Some((_, None)) => Ok(()),
            // F1
            Some((_, Some(failure))) => Err(Interruption::Retry(Reason::Io(failure.clone()))),
            None => {
                let result = sync(dir);
                let failure = result.as_ref().err().map(FsError::to_value);
                self.0.push((dir.path().to_path_buf(), failure));
                Ok(result?)
            }
        }
    }
}
