//! Series: the paths that stand for files of which a drop has several. If a series is settled in
//! the ledger and none of its files has changed, a scan probes neither the series nor its files.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::decide::file_snapshot::FileSnapshot;
use crate::describe::series::SeriesKey;
use crate::fs::Dir;
use crate::ledger::KnownSource;
use crate::model::{FileName, parent_of};
use crate::service::tracker::Tracker;

impl Tracker {
    /// Returns the paths that stand for the drops of which a file is one of several: those of the
    /// descriptions that combine it with others.
    pub(super) fn standing_paths(&self, rel: &Path) -> Vec<PathBuf> {
        self.index.wholes_of(rel).cloned().collect()
    }

    /// Returns whether the file exists whose path stands for a drop: its data file, or what
    /// describes its files. Returns `None` if it can't be examined, or this drop directory does not
    /// include it.
    pub(super) fn has_standing_file(&self, root: &Dir, rel: &Path) -> Option<bool> {
        if !self.drop_dir.recursive && !parent_of(rel).as_os_str().is_empty() {
            return None;
        }
        match root.stat(rel) {
            Ok(stat) => Some(stat.is_some()),
            Err(error) if error.is_missing() => Some(false),
            Err(_) => None,
        }
    }

    /// Returns whether a file is one of several files of a drop.
    pub(super) fn is_one_of_several(&self, rel: &Path) -> bool {
        !self.standing_paths(rel).is_empty()
    }

    /// Returns whether the current scan has found a series settled that has this file; `None` if
    /// the file is not one of several.
    pub(super) fn is_in_settled_series(&self, rel: &Path) -> Option<bool> {
        let paths = self.standing_paths(rel);
        let is_settled = |path: &PathBuf| self.settled_series.contains(path);
        (!paths.is_empty()).then(|| paths.iter().any(is_settled))
    }

    /// Returns the names of the files of a series that is settled and unchanged, or `None`. `known`
    /// is what the ledger has about a drop of that name. The series stays in the index, so that a
    /// second description of one of its files is found.
    pub(super) fn settled_series(
        &mut self,
        dir: &Dir,
        (below, name): (&Path, &OsStr),
        known: &KnownSource,
        now: Instant,
    ) -> Option<Vec<OsString>> {
        let name = FileName::try_from(name.to_str()?.to_owned()).ok()?;
        let described_by = known.fingerprint.identity.sidecar.as_ref().map(|(by, _)| by.as_str());
        let key = SeriesKey::of_drop(&name, described_by)?;
        // The probe of the series reports an error.
        let root = self.root().ok()?;
        let learned = self.index.learn_series((&self.drop_dir, &root), (below, &key));
        let files = learned.ok().flatten()?;
        let files = files.iter().filter_map(|file| file.file_name()).map(OsStr::to_owned);
        let files: Vec<_> = files.collect();
        if !self.is_series_settled(dir, (&key, &files), known) {
            return None;
        }
        if known.is_unproven && files.first().is_some_and(|first| self.may_be_proved(dir, first)) {
            self.insert(key.path_in(below), now);
        }
        Some(files)
    }

    /// Returns whether this series is settled in the ledger, and none of its files has changed
    /// since.
    fn is_series_settled(
        &self,
        dir: &Dir,
        (key, files): (&SeriesKey, &[OsString]),
        known: &KnownSource,
    ) -> bool {
        let stat = |name: &Path| dir.stat(name).ok().flatten();
        let files = || files.iter().map(|name| stat(name.as_ref())).collect::<Option<_>>();
        let snapshot = || {
            let sidecar = match key.description() {
                Some(name) => Some((name.clone(), stat(name.as_ref())?)),
                None => None,
            };
            Some(FileSnapshot { files: files()?, sidecar, rivals: Vec::new() })
        };
        self.holds_under_settings(known)
            && snapshot().is_some_and(|it| it.identity() == known.fingerprint.identity)
    }
}
