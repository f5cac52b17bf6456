//! Checks at the start: can npyd write to the directories that its drops will need?

use crate::config::Disposition;
use crate::events::problem::Problem;
use crate::fs::{Dir, TempFile};
use crate::service::tracker::Tracker;

impl Tracker {
    /// Reports the directories that npyd can't write to. Creates an unnamed file in each directory,
    /// because permissions, mounts and systemd's sandbox can each forbid that.
    pub(crate) fn report_unwritable_dirs(&self) {
        let drop_dir = &self.drop_dir;
        let disposes = drop_dir.source != Disposition::Keep;
        let root = [drop_dir.path.as_path()];
        let root = root.into_iter().filter(|_| drop_dir.output.is_none() || disposes);
        for path in drop_dir.managed_dirs().chain(root) {
            let made = Dir::open_trusted(path, drop_dir.untrusted_root())
                .and_then(|dir| TempFile::create(&dir, 0));
            if let Err(error) = made {
                let is_of_sources = path == drop_dir.path && drop_dir.output.is_some();
                let (drop_dir, error) = (drop_dir.path.clone(), error.to_string());
                self.context.report(Problem::UnwritableDir { drop_dir, is_of_sources, error });
            }
        }
    }
}
