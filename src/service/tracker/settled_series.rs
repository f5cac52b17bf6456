//! Settled series: a scan probes neither a series that the ledger has as settled nor its files, as
//! long as none of them has changed.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::time::Instant;

use crate::decide::identity::FileSnapshot;
use crate::fs::Dir;
use crate::ledger::KnownSource;
use crate::model::{FileName, Stat};
use crate::service::tracker::Tracker;

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
        let identity = &known.fingerprint.identity;
        // The source of a series is its manifest; that of any other drop is a data file.
        let name = FileName::try_from(manifest.to_str()?.to_owned()).ok()?;
        let is_series = identity.sidecar.as_ref().is_some_and(|(it, _)| it == name.as_str());
        if !is_series || !self.holds_under_settings(known) {
            return None;
        }
        let rel = below.join(manifest);
        // The probe of the manifest reports an error.
        let files = self.index.learn_series(&self.drop_dir, &rel).ok().flatten()?;
        let names: Vec<_> = files.iter().filter_map(|file| file.file_name()).collect();
        let stat = |name: &OsStr| dir.stat(Path::new(name)).ok().flatten();
        let stats: Vec<Stat> = names.iter().map(|name| stat(name)).collect::<Option<_>>()?;
        let sidecar = Some((name, stat(manifest)?));
        let snapshot = FileSnapshot { files: stats, sidecar, rivals: Vec::new() };
        if snapshot.identity() != *identity {
            return None;
        }
        if known.is_unproven && names.first().is_some_and(|first| self.may_be_proved(dir, first)) {
            self.enqueue_listed(&rel, now);
        }
        Some(names.into_iter().map(OsStr::to_owned).collect())
    }
}
