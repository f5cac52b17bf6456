//! Settled series: if a series is settled in the ledger and none of its files has changed, a scan
//! probes neither the series nor its files.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::time::Instant;

use crate::decide::identity::FileSnapshot;
use crate::fs::Dir;
use crate::ledger::KnownSource;
use crate::model::FileName;
use crate::service::tracker::Tracker;

/// A series, as a listing shows it.
struct Series {
    /// The name that stands for it.
    name: FileName,
    /// The file that describes it, in the same directory.
    description: Option<FileName>,
    /// The names of its files, in order.
    files: Vec<OsString>,
}

impl Tracker {
    /// Returns the names of the files of a series that is settled and unchanged, or `None`. `known`
    /// is what the ledger has about its manifest. The series stays in the index, so that a second
    /// description of one of its files is found.
    pub(super) fn settled_series(
        &mut self,
        dir: &Dir,
        (below, manifest): (&Path, &OsStr),
        known: &KnownSource,
        now: Instant,
    ) -> Option<Vec<OsString>> {
        // The source of a series is its manifest; that of any other drop is a data file.
        let name = FileName::try_from(manifest.to_str()?.to_owned()).ok()?;
        let sidecar = known.fingerprint.identity.sidecar.as_ref();
        if sidecar.is_none_or(|(sidecar, _)| sidecar != name.as_str()) {
            return None;
        }
        // The probe of the manifest reports an error.
        let files =
            self.index.learn_series(&self.drop_dir, &below.join(manifest)).ok().flatten()?;
        let files = files.iter().filter_map(|file| file.file_name()).map(OsStr::to_owned);
        let series = Series { description: Some(name.clone()), name, files: files.collect() };
        if !self.is_series_settled(dir, &series, known) {
            return None;
        }
        let first = series.files.first();
        if known.is_unproven && first.is_some_and(|first| self.may_be_proved(dir, first)) {
            self.enqueue_listed(&below.join(&series.name), now);
        }
        Some(series.files)
    }

    /// Returns whether this series is settled in the ledger, and none of its files has changed
    /// since.
    fn is_series_settled(&self, dir: &Dir, series: &Series, known: &KnownSource) -> bool {
        let stat = |name: &Path| dir.stat(name).ok().flatten();
        let files = || series.files.iter().map(|name| stat(name.as_ref())).collect::<Option<_>>();
        let snapshot = || {
            let sidecar = match &series.description {
                Some(name) => Some((name.clone(), stat(name.as_ref())?)),
                None => None,
            };
            Some(FileSnapshot { files: files()?, sidecar, rivals: Vec::new() })
        };
        self.holds_under_settings(known)
            && snapshot().is_some_and(|it| it.identity() == known.fingerprint.identity)
    }
}
