//! Reads what the ledger stores about a drop that is being probed.

use std::path::{Path, PathBuf};

use crate::config::{Disposition, DropDir};
use crate::decide::file_snapshot::FileSnapshot;
use crate::decide::reason::Reason;
use crate::events::source_fate::SourceFate;
use crate::finalize::{find_archived, has_part};
use crate::fs::Dir;
use crate::ledger::{Entry, Ledger, LedgerError};
use crate::model::parent_of;
use crate::probe::Residue;
use crate::probe::candidate::Candidate;
use crate::probe::input::Input;
use crate::service::tracker::Tracker;

impl Tracker {
    /// Returns the latest ledger entry of a source. Reports an error, and returns `None` then.
    pub(crate) fn latest(&self, rel: &Path) -> Option<Entry> {
        self.context.ledger().latest(&self.drop_dir.path.join(rel)).unwrap_or_else(|error| {
            self.context.report_ledger(&error);
            None
        })
    }

    /// Returns the last ledger entry of a data file, if that settled it.
    pub(crate) fn last_settled(&self, rel: &Path) -> Option<Entry> {
        self.latest(rel).filter(is_settled)
    }

    /// Returns whether the ledger has settled exactly this drop. A source that stayed because a
    /// proof was missing is no longer settled once npyd has the proof.
    pub(crate) fn is_as_known(
        &self,
        known: &Entry,
        snapshot: &FileSnapshot,
        candidate: &Candidate,
    ) -> bool {
        if known.is_unproven() && self.may_go(candidate) {
            return false;
        }
        known.settles(&snapshot.identity(), self.settings_hash)
    }

    /// Returns whether a finished source may be removed or archived now.
    fn may_go(&self, candidate: &Candidate) -> bool {
        let parent = parent_of(&candidate.input.rel);
        let is_free = |dir: Dir| matches!(candidate.input.unproven_in(&dir), Ok(None));
        self.drop_dir.source != Disposition::Keep
            && Dir::open_below(&self.drop_dir.path, parent).is_ok_and(is_free)
            && (self.drop_dir.remove_unproven || matches!(candidate.input.leases(), Ok(Ok(_))))
    }

    /// Adds the description with which a drop was settled to the index. A scan does not read that
    /// description again, so without this a second, later one would count as the only one. Returns
    /// whether the index changed, so that the drop must be probed again.
    pub(crate) fn recall_description(&mut self, known: &Entry, candidate: &Candidate) -> bool {
        let Candidate { input: Input { rel, description, .. }, conflicting_inodes, .. } = candidate;
        let Some(name) = known.sidecar() else { return false };
        let is_found = description.as_ref().is_some_and(|sidecar| sidecar.name.as_str() == name);
        if is_found || !conflicting_inodes.is_empty() {
            return false;
        }
        // The ledger stores only its name: it is in the data file's directory, or in one above.
        let mut dirs = rel.ancestors().skip(1).map(|dir| dir.join(&name));
        dirs.any(|description| self.index.add(rel, &description))
    }

    /// Returns the reason for waiting for a data file that may have these paths. The reason names
    /// the array that an earlier file of that name became, or says that npyd rejected it.
    /// `parts` are its data files if it has several.
    pub(crate) fn after_earlier_data(
        &self,
        why: Reason,
        data: &[PathBuf],
        parts: &[PathBuf],
    ) -> Reason {
        let earlier = data.iter().filter_map(|data| self.latest(data)).find(Entry::is_settled);
        match earlier {
            Some(entry) => entry.add_earlier_data(why, self.drop_dir.rejects.is_some()),
            None => after_rejected_parts(self.context.ledger(), &self.drop_dir, why, (data, parts)),
        }
    }
}

/// Maximum number of data files of a series that npyd looks for in `rejects`.
const PARTS_MAX: usize = 16;

/// Returns the reason for waiting for a data file that may have these paths, or for one of the
/// parts of a series. If npyd rejected one of them with other files of its drop, the reason says
/// so. Asks the ledger only if a file of such a name is in `rejects`.
pub fn after_rejected_parts(
    ledger: &Ledger,
    drop_dir: &DropDir,
    why: Reason,
    (data, parts): (&[PathBuf], &[PathBuf]),
) -> Reason {
    let rejects = drop_dir.rejects.as_ref().and_then(|rejects| Dir::open(rejects).ok());
    let is_there =
        |rel: &&PathBuf| rejects.as_ref().is_some_and(|dir| matches!(dir.stat(rel), Ok(Some(_))));
    let mut files = data.iter().chain(parts.iter().take(PARTS_MAX));
    let Some(rel) = files.find(is_there) else { return why };
    let has_rel = |entry: &Entry| {
        entry.parts().zip(rel.to_str()).is_some_and(|(parts, rel)| has_part(&parts, rel))
    };
    let with = ledger.latest_with_part(&drop_dir.path.join(rel), has_rel).ok().flatten();
    let latest = with.and_then(|with| ledger.latest(&with.source).ok().flatten());
    match latest.filter(|entry| entry.is_rejected() && !entry.is_lost()) {
        Some(entry) => {
            let with = entry.source.file_name().unwrap_or_default().into();
            Reason::DataRejectedWith { why: Box::new(why), with, rejected: entry.reason() }
        }
        None => why,
    }
}

/// Returns whether a description whose data files are not there must wait for them, although its
/// array is made: as far as the ledger knows, npyd did not dispose of the data, so that they may
/// come back and have changed. Without a receipt of this array, npyd was interrupted before it
/// wrote one.
///
/// # Errors
/// The ledger can't be read.
pub fn awaits_data(
    ledger: &Ledger,
    drop_dir: &DropDir,
    residue: &Residue,
) -> Result<bool, LedgerError> {
    // What remains of several data files is compared with the array before it goes.
    if residue.finished.consumed_source || residue.data.is_empty() {
        return Ok(false);
    }
    for rel in residue.data.iter().chain([&residue.rel]) {
        let source = drop_dir.path.join(rel);
        let Some(entry) = ledger.latest_with_array(&source, |_| true)? else { continue };
        let made_of = entry.identity();
        if !made_of.as_ref().is_some_and(|it| it.is_of_data_files(&residue.finished.mark)) {
            return Ok(false); // the receipt is about an array before this one
        }
        let fate = entry.source_fate();
        let is_disposed_of = fate.is_some_and(SourceFate::ends_drop) || entry.is_disposing();
        let archived = made_of.and_then(|identity| {
            find_archived(drop_dir, (&source, &identity), entry.archive().as_deref()).path
        });
        return Ok(!is_disposed_of && archived.is_none());
    }
    Ok(false)
}

/// Returns whether npyd has settled the source of an entry: finalized or rejected it.
pub(crate) fn is_settled(entry: &Entry) -> bool {
    entry.is_settled() && entry.key().is_some()
}
