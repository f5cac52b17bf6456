//! Lists rejected drops that npyd moved to `rejects`: those of such a directory, or those that were
//! in a drop directory.

use std::collections::BTreeSet;
use std::path::Path;

use super::Query;
use super::dir::print_line;
use super::file_status::FileStatus;
use super::own_file::explain_own_file;
use crate::decide::reason_kind::ReasonKind;
use crate::finalize::{Quarantine, Quarantined};
use crate::fs::{self, Dir, EntryKind};
use crate::model::FileName;
use crate::service::tracker::DEPTH_MAX;

impl Query {
    /// Lists the rejected drops in the directory in question and below, and files there that belong
    /// to none of them. Returns `false` if it is not a directory of rejected drops.
    pub(super) fn list_quarantine(&self, is_json: bool) -> fs::Result<bool> {
        let top = self.path();
        if Quarantine::open(self.drop_dirs(), &top)?.is_none() {
            return Ok(false);
        }
        self.each_quarantine(&top, 0, &mut |dir, quarantine| {
            let mut own = BTreeSet::new();
            for drop in quarantine.drops()? {
                own.extend(quarantine.files_of(&drop)?);
                let Quarantined { source, reason, path, .. } = &drop;
                let why = format!("{reason}; it was `{}`", source.display());
                print_line(path, (FileStatus::Rejected, "", &why), is_json);
            }
            for (name, kind) in dir.entries()? {
                let path = dir.path().join(&name);
                let is_own = FileName::of_path(&path).is_some_and(|name| own.contains(&name));
                if kind == EntryKind::File && !is_own && explain_own_file(self, &path)?.is_none() {
                    let why = "it belongs to no rejected drop that npyd knows";
                    print_line(
                        &path,
                        (FileStatus::Ignored, ReasonKind::Undescribed.as_str(), why),
                        is_json,
                    );
                }
            }
            Ok(())
        })?;
        Ok(true)
    }

    /// Lists the rejected drops that npyd moved from the directory in question.
    pub(super) fn list_moved(&self, is_json: bool) -> fs::Result<()> {
        let Some(rejects) = &self.drop_dir.rejects else { return Ok(()) };
        let was_in = self.path();
        self.each_quarantine(&rejects.join(&self.rel), 0, &mut |_, quarantine| {
            for Quarantined { source, reason, path, .. } in quarantine.drops()? {
                if source.starts_with(&was_in) && path.symlink_metadata().is_ok() {
                    let why = format!("{reason}; it is `{}` now", path.display());
                    print_line(&source, (FileStatus::Rejected, "", &why), is_json);
                }
            }
            Ok(())
        })
    }

    /// Calls `see` with a directory of rejected drops, and with those below it.
    fn each_quarantine(
        &self,
        path: &Path,
        depth: usize,
        see: &mut impl FnMut(&Dir, &Quarantine<'_>) -> fs::Result<()>,
    ) -> fs::Result<()> {
        let quarantine = match Quarantine::open(self.drop_dirs(), path) {
            Err(error) if error.is_missing() => return Ok(()),
            opened => opened?,
        };
        let Some(quarantine) = quarantine else { return Ok(()) };
        let dir = Dir::open(path)?;
        see(&dir, &quarantine)?;
        let mut entries = dir.entries()?;
        entries.sort_unstable();
        for (name, kind) in entries {
            if kind == EntryKind::Dir && depth < DEPTH_MAX {
                self.each_quarantine(&path.join(name), depth + 1, see)?;
            }
        }
        Ok(())
    }
}
